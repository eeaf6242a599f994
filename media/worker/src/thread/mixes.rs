//! Conferences: at every tick each member's voice is taken from their jitter buffer, all are added, and each is sent the
//! sum less their own. The mixer (`mix`) does the sums; here members come and go, hear announcements, and are sent packets.
//!
//! A tick is 20 ms. Members whose packets are longer or shorter get theirs when enough is there. Whoever listens in G.711
//! hears the same octets as all others of that law who say nothing: they are encoded once.

use super::mix::{door, Member, Mix, Shared, PROMPT_TICK, TICK_MS};
use super::MediaThread;
use crate::audio::hearing::Sound;
use crate::audio::mix;
use crate::codec::audio::Coding;
use crate::log;
use crate::outbox::Up;
use crate::playback::{Play, Programme};
use crate::protocol::{Event, Failed, Name};
use crate::rtp::sending::Feed;
use crate::rtp::HEADER;
use crate::session::{Plan, Toward};
use crate::slab::Handle;
use crate::thread::wheel::STEP_MS;
use std::panic::{catch_unwind, resume_unwind, AssertUnwindSafe};

/// Codecs that have a choice (Opus) take part at this rate: speech of full width, for a third of what 48 kHz cost.
const WIDE_HZ: u32 = 16_000;
/// So often may a mix's sums go wrong before it ends: what was announced is dropped first.
const TOO_MANY_BUGS: u32 = 2;
/// Tells the turns of mixes from those of streams on the wheel.
const ON_WHEEL: u32 = 1 << 31;

impl MediaThread {
    pub(super) fn join_mix(&mut self, name: Name, stream: &str, beep: bool) {
        let Some(handle) = self.streams.handle(stream) else {
            return;
        };
        self.current = Some(handle);
        let mix_handle = match self.mixes.handle(&name) {
            Some(mix_handle) => mix_handle,
            None => {
                let mix_handle = self.mixes.insert(name.clone(), Box::new(Mix::new(name)));
                let tick = self.agenda.wheel.quiet_tick(TICK_MS);
                let due = self.agenda.wheel.schedule(on_wheel(mix_handle), tick);
                if let Some(mix) = self.mixes.get_mut(mix_handle) {
                    mix.due = due;
                }
                mix_handle
            }
        };
        let (Some(mix), Some(stream)) = (self.mixes.get_mut(mix_handle), self.streams.get_mut(handle)) else {
            return;
        };
        if stream.route.mix != Some(mix_handle) {
            stream.route.mix = Some(mix_handle);
            mix.members.push(Member {
                stream: handle,
                seat: None,
            });
            if beep {
                mix.beep = Some(door());
            }
        }
        let joined = Event::Joined {
            mix: mix.name.to_string(),
            stream: stream.name.to_string(),
            members: mix.members.len() as u32,
        };
        self.turn.outbox.tell(joined);
        self.plan_member(handle);
    }

    pub(super) fn leave_mix(&mut self, name: &str, stream: &str, beep: bool) {
        let mix = self.mixes.handle(name);
        if let (Some(mix), Some(handle)) = (mix, self.streams.handle(stream)) {
            self.current = Some(handle);
            if self
                .streams
                .get(handle)
                .is_some_and(|stream| stream.route.mix == Some(mix))
            {
                self.leave_any_mix(handle);
                if let Some(mix) = self.mixes.get_mut(mix).filter(|_| beep) {
                    mix.beep = Some(door());
                }
            }
        }
    }

    /// Take a stream out of the mix in which it is, if it is in one.
    pub(super) fn leave_any_mix(&mut self, handle: Handle) {
        let Some(stream) = self.streams.get_mut(handle) else {
            return;
        };
        let Some(mix_handle) = stream.route.mix.take() else {
            return;
        };
        stream.keep_to_itself();
        let Some(mix) = self.mixes.get_mut(mix_handle) else {
            return;
        };
        if let Some(at) = mix.members.iter().position(|member| member.stream == handle) {
            if let Some((seat, _)) = mix.members.remove(at).seat {
                mix.mixer.leave(seat);
            }
        }
        self.turn.outbox.tell(Event::Left {
            mix: mix.name.to_string(),
            stream: stream.name.to_string(),
            members: mix.members.len() as u32,
        });
        if mix.members.is_empty() {
            mix.end_play("closed", String::new(), &self.turn.outbox);
            if let Some(mix) = self.mixes.remove(mix_handle) {
                self.mixes.forget(&mix.name);
            }
        }
    }

    /// Give a member the place that fits what was agreed with them.
    pub(super) fn plan_member(&mut self, handle: Handle) {
        let seed = self.random.next();
        let Some(stream) = self.streams.get_mut(handle) else {
            return;
        };
        let Some(mix) = stream.route.mix.and_then(|mix| self.mixes.get_mut(mix)) else {
            return;
        };
        let Some(member) = mix.members.iter_mut().find(|member| member.stream == handle) else {
            return;
        };
        stream.inbound.plan = stream
            .session
            .as_ref()
            .map_or_else(Plan::default, |session| Plan::new(session, Toward::Mix));
        stream.outbound.spoken_to = false;
        let rate_hz = stream.speak_at(WIDE_HZ).map(|speaking| speaking.rate_hz());
        stream.listen_at(rate_hz, seed);
        if member.seat.map(|(_, rate_hz)| rate_hz) != rate_hz {
            if let Some((seat, _)) = member.seat.take() {
                mix.mixer.leave(seat);
            }
            member.seat = rate_hz.and_then(|rate_hz| Some((mix.mixer.join(rate_hz)?, rate_hz)));
        }
        if let Some((seat, _)) = member.seat {
            mix.mixer.mute(seat, stream.route.muted);
            mix.mixer.deafen(seat, stream.route.deaf);
        }
    }

    /// Whether this is the turn of a mix.
    pub(super) fn is_mix(handle: Handle) -> bool {
        handle.index & ON_WHEEL != 0
    }

    pub(super) fn step_mix(&mut self, handle: Handle, tick: u64) {
        let handle = Handle {
            index: handle.index & !ON_WHEEL,
            ..handle
        };
        self.current = None;
        // Taken out for the time, since its members are looked at meanwhile.
        let Some(mut mix) = self.mixes.take(handle) else {
            return;
        };
        let (mut panicked, mut broken) = (None, false);
        if mix.due == tick {
            // It goes back into its place whatever happens: a bug costs the member in hand, not the conference.
            panicked = catch_unwind(AssertUnwindSafe(|| self.mix_turn(&mut mix))).err();
            if panicked.is_some() && self.current.is_none() {
                mix.beep = None;
                mix.end_play("failed", "a bug in the worker".to_owned(), &self.turn.outbox);
                mix.bugs += 1;
                broken = mix.bugs >= TOO_MANY_BUGS;
            }
            mix.due = self
                .agenda
                .wheel
                .schedule(on_wheel(handle), tick + u64::from(TICK_MS / STEP_MS));
        }
        self.mixes.put_back(handle, mix);
        if broken {
            self.dissolve(handle);
        }
        if let Some(panic) = panicked {
            resume_unwind(panic);
        }
    }

    /// End a mix whose sums go wrong, and not for what was played. Its members go on, each by itself.
    fn dissolve(&mut self, handle: Handle) {
        let Some(mix) = self.mixes.get(handle) else {
            return;
        };
        log::error("mix_dissolved", &[("mix", &mix.name)]);
        let (name, members) = (mix.name.clone(), mix.members.iter().map(|member| member.stream));
        let members: Vec<Handle> = members.collect();
        let named = |handle: &Handle| self.streams.get(*handle).map(|stream| stream.name.clone());
        let streams = members.iter().filter_map(named).collect();
        self.turn.outbox.tell(Event::Failed(Failed::new(
            "join",
            &name,
            "internal",
            "a bug in the worker; the mix was ended",
        )));
        self.turn.outbox.send(Up::Dissolved { mix: name, streams });
        for member in members {
            self.leave_any_mix(member);
        }
    }

    fn mix_turn(&mut self, mix: &mut Mix) {
        self.hear_members(mix);
        self.current = None;
        #[cfg(test)]
        mix.trip(None);
        mix.announce(&self.turn.outbox);
        mix.mixer.finish();
        self.speak_to_members(mix);
    }

    fn hear_members(&mut self, mix: &mut Mix) {
        mix.mixer.begin();
        for member in &mix.members {
            let (Some((seat, rate_hz)), Some(stream)) = (member.seat, self.streams.get_mut(member.stream)) else {
                continue;
            };
            self.current = Some(member.stream);
            #[cfg(test)]
            mix.trip(Some(member.stream));
            let hears = stream.session.as_ref().is_some_and(|session| session.hears);
            if let Some(hearing) = stream.inbound.hearing.as_mut() {
                let frame = &mut mix.frame[..(rate_hz * TICK_MS / 1000) as usize];
                // The noise of forty rooms is not heard.
                if hearing.pull(self.turn.now, frame) == Sound::Speech && hears {
                    mix.mixer.say(seat, frame);
                }
            }
        }
    }

    fn speak_to_members(&mut self, mix: &mut Mix) {
        let mut shared = Shared::default();
        for at in 0..mix.members.len() {
            let turn = &self.turn;
            let member = &mix.members[at];
            let (Some((seat, rate_hz)), Some(stream)) = (member.seat, self.streams.get_mut(member.stream)) else {
                continue;
            };
            let handle = member.stream;
            self.current = Some(handle);
            let frame = &mut mix.frame[..(rate_hz * TICK_MS / 1000) as usize];
            let heard = mix.mixer.hear(seat, frame);
            if !stream.takes_bridged_audio() {
                stream.pause_voice(frame.len(), turn.now);
                continue;
            }
            let Some(speaking) = stream.outbound.speaking.as_mut() else {
                continue;
            };
            let coding = speaking.coding();
            if let (mix::Mix::Common, Coding::G711(law), true) =
                (heard, coding, speaking.takes_frames_as_they_are(TICK_MS))
            {
                let payload_type = speaking.payload_type();
                self.wire.packet[HEADER..HEADER + PROMPT_TICK].copy_from_slice(shared.octets(law, frame));
                let units = PROMPT_TICK as u32;
                let stamp = stream.send_own(Feed::Voice, payload_type, units, PROMPT_TICK, &mut self.wire, turn);
                self.tap_out(handle, stamp, coding, PROMPT_TICK);
                continue;
            }
            let mut taken = 0;
            while taken < frame.len() {
                let Some(speaking) = self
                    .streams
                    .get_mut(handle)
                    .and_then(|stream| stream.outbound.speaking.as_mut())
                else {
                    break;
                };
                taken += speaking.add(&frame[taken..]);
                if speaking.is_full() {
                    self.send_mixed(handle, coding);
                }
            }
        }
    }

    fn send_mixed(&mut self, handle: Handle, coding: Coding) {
        let turn = &self.turn;
        let Some(stream) = self.streams.get_mut(handle) else {
            return;
        };
        let units = stream
            .outbound
            .speaking
            .as_ref()
            .map_or(0, |speaking| speaking.packet_units());
        let sent = stream.send_frame(Feed::Voice, units, true, &mut self.wire, turn);
        if let Some((stamp, octets)) = sent {
            self.tap_out(handle, stamp, coding, octets);
        }
    }

    pub(super) fn play_mix(&mut self, name: &str, play: Name) {
        let Some(mix) = self.mixes.named_mut(name) else {
            return;
        };
        if mix.play.as_ref().is_some_and(|running| running.name == play) {
            return;
        }
        mix.end_play("replaced", String::new(), &self.turn.outbox);
        mix.play = Some(Play {
            name: play,
            number: 0,
            programme: None,
        });
    }

    pub(super) fn begin_play_mix(&mut self, name: &str, play: &str, programme: Result<Programme, String>) {
        let Some(mix) = self.mixes.named_mut(name) else {
            return;
        };
        let waiting = mix
            .play
            .as_mut()
            .filter(|it| &*it.name == play && it.programme.is_none());
        match (waiting, programme) {
            (Some(waiting), Ok(programme)) => waiting.programme = Some(programme),
            (Some(_), Err(reason)) => mix.end_play("failed", reason, &self.turn.outbox),
            // Stopped or replaced meanwhile.
            (None, _) => {}
        }
    }

    pub(super) fn stop_play_mix(&mut self, name: &str, play: &str) {
        let Some(mix) = self.mixes.named_mut(name) else {
            return;
        };
        if mix.play.as_ref().is_some_and(|running| &*running.name == play) {
            mix.end_play("stopped", String::new(), &self.turn.outbox);
        }
    }
}

fn on_wheel(handle: Handle) -> Handle {
    Handle {
        index: handle.index | ON_WHEEL,
        ..handle
    }
}
