//! What a stream sends of audio that we make: plays, and the other side of a bridge when that must be decoded and encoded
//! anew. One packet each time the stream's turn on the wheel comes.
//!
//! Audio is made for whoever is in a bridge with someone of another codec (`Passage::Hear`), or with someone muted: then
//! it is silence, so that the peer's phone does not take the call for dead.

use super::playout::end_play;
use super::MediaThread;
use crate::audio::hearing::Sound;
use crate::audio::speaking::{packet_ms, PROMPT_HZ};
use crate::codec::audio::Coding;
use crate::protocol::{Event, Failed};
use crate::rtp::sending::Feed;
use crate::session::Lane;
use crate::slab::Handle;
use crate::stream::route::join;
use crate::thread::wheel::STEP_MS;

/// Nothing came from the other side for so long, and no noise was told: it pauses, and so do we.
const QUIET_MS: u32 = 400;
impl MediaThread {
    /// Have a stream's turn on the wheel come, unless it is coming already.
    pub(super) fn schedule_voice(&mut self, handle: Handle) {
        if let Some(stream) = self.streams.get_mut(handle) {
            if stream.outbound.voice_due <= self.agenda.wheel.now() {
                let tick = self.agenda.wheel.quiet_tick(stream.packet_ms());
                stream.outbound.voice_due = self.agenda.wheel.schedule(handle, tick);
            }
        }
    }

    /// A stream's turn: the next packet of what we make for its peer.
    pub(super) fn step_voice(&mut self, handle: Handle, tick: u64) {
        let Some(stream) = self.streams.get(handle) else {
            return;
        };
        let next = tick + u64::from(stream.packet_ms() / STEP_MS);
        let plays = stream.outbound.is_playing();
        if plays {
            self.step_play(handle);
        } else if stream.outbound.spoken_to {
            self.speak(handle);
        }
        if let Some(stream) = self.streams.get_mut(handle) {
            // A play whose files are still being read keeps its turn.
            if stream.outbound.play.is_some() || stream.outbound.spoken_to {
                stream.outbound.voice_due = self.agenda.wheel.schedule(handle, next);
            }
        }
    }

    /// Send the next packet of a play, end it, or wait until there is someone to send to.
    fn step_play(&mut self, handle: Handle) {
        let turn = &self.turn;
        let Some(stream) = self.streams.get_mut(handle) else {
            return;
        };
        if stream.outbound.play.as_ref().is_some_and(|play| play.is_over()) {
            return end_play(stream, "finished", String::new(), turn);
        }
        let Some(session) = stream.session.as_ref().filter(|session| session.remote.is_some()) else {
            return;
        };
        let Some((format, coding)) = session.spoken() else {
            let reason = "the session's codec cannot be played to".to_owned();
            return end_play(stream, "failed", reason, turn);
        };
        let payload_type = format.payload_type;
        let length_ms = packet_ms(coding, session.ptime_ms);
        if !stream.may_send() || stream.outbound.digits.busy {
            // Time passes also while the peer is on hold or hears a digit.
            return stream.skip_play((PROMPT_HZ / 1000 * length_ms) as usize);
        }
        let sent = match coding {
            Coding::G711(law) => stream
                .send_prompt(law, payload_type, length_ms, &mut self.wire, turn)
                .map(|stamp| (stamp, (PROMPT_HZ / 1000 * length_ms) as usize)),
            _ => stream.send_play(&mut self.wire, turn),
        };
        if let Some((stamp, octets)) = sent {
            self.tap_out(handle, stamp, coding, octets);
        }
    }

    /// Send what the other side of the bridge says.
    fn speak(&mut self, handle: Handle) {
        let turn = &self.turn;
        let Some(mate) = self.streams.get(handle).and_then(|stream| stream.route.mate) else {
            return;
        };
        let (Some(to), Some(from)) = self.streams.pair(handle, mate) else {
            return;
        };
        let hushed = to.route.deaf || from.route.muted;
        if !hushed && !from.inbound.listens {
            return; // what it sends passes as it is
        }
        let Some(speaking) = to.outbound.speaking.as_mut() else {
            return;
        };
        let coding = speaking.coding();
        let (units, length_ms, rate_hz) = (speaking.packet_units(), speaking.packet_ms(), speaking.rate_hz());
        let frame = speaking.whole_frame();
        // Taken out also when nobody may hear it, so that it is not late afterwards.
        let sound = match from
            .inbound
            .hearing
            .as_mut()
            .filter(|hearing| hearing.out_hz() == rate_hz)
        {
            Some(hearing) => hearing.pull(turn.now, frame),
            None => Sound::Silence,
        };
        if hushed || sound == Sound::Silence {
            frame.fill(0);
        }
        to.outbound.quiet_ms = if sound == Sound::Silence && !hushed {
            to.outbound.quiet_ms.saturating_add(length_ms)
        } else {
            0
        };
        if !to.may_send() || to.outbound.digits.busy || to.outbound.quiet_ms > QUIET_MS {
            return to.outbound.sending.pause(Feed::Voice, units, turn.now);
        }
        let sent = to.send_frame(Feed::Voice, units, true, &mut self.wire, turn);
        if let Some((stamp, octets)) = sent {
            self.tap_out(handle, stamp, coding, octets);
        }
    }

    /// The packets of a stream are longer than the other side takes: from now on they are cut. Gives the lane anew.
    pub(super) fn cut(&mut self, handle: Handle, payload_type: u8) -> Option<Lane> {
        self.streams.get_mut(handle)?.inbound.cut = true;
        self.plan_ways(handle);
        self.streams.get(handle)?.inbound.plan.lane(payload_type).copied()
    }

    /// Work out anew how the audio of a stream, and of its mate or its mix, passes.
    pub(super) fn plan_ways(&mut self, handle: Handle) {
        self.bring_back(handle);
        let seed = self.random.next();
        let Some(stream) = self.streams.get_mut(handle) else {
            return;
        };
        if stream.route.mix.is_some() {
            return self.plan_member(handle);
        }
        let Some(mate) = stream.route.mate else {
            return stream.keep_to_itself();
        };
        let (Some(one), Some(other)) = self.streams.pair(handle, mate) else {
            return;
        };
        join(one, other, seed);
        join(other, one, !seed);
        let both_ways = one.has_way_to(other) && other.has_way_to(one);
        let [one_codec, other_codec] = [&one, &other].map(|stream| stream.codec_name());
        if let Some(bridge) = one.route.bridge.and_then(|handle| self.bridges.get_mut(handle)) {
            let (first, second) = if bridge.first == handle {
                (one_codec, other_codec)
            } else {
                (other_codec, one_codec)
            };
            let apart = (!both_ways).then(|| format!("no way between {first} and {second}"));
            // Once as long as it lasts, however often the two are connected or muted meanwhile.
            if apart != bridge.apart {
                bridge.apart.clone_from(&apart);
                if let Some(reason) = apart {
                    let failed = Failed::new("bridge", &bridge.name, "codec", reason);
                    self.turn.outbox.tell(Event::Failed(failed));
                }
            }
        }
        for handle in [handle, mate] {
            if self.streams.get(handle).is_some_and(|stream| stream.outbound.spoken_to) {
                self.schedule_voice(handle);
            }
        }
    }
}
