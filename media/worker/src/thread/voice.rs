//! What a stream sends of audio that we make: plays, and the other side of a bridge when that must be decoded and encoded
//! anew. One packet each time the stream's turn on the wheel comes.
//!
//! Audio is made for whoever is in a bridge with someone of another codec (`Passage::Hear`), or with someone muted: then
//! it is silence, so that the peer's phone does not take the call for dead.

use super::playout::end_play;
use super::{MediaThread, MAX_DATAGRAM};
use crate::audio::hearing::{self, Hearing, Sound};
use crate::audio::jitter::Limits;
use crate::audio::speaking::{packet_ms, Said, Speaking, PROMPT_HZ};
use crate::codec::audio::Coding;
use crate::codec::g711::Law;
use crate::codec::Kind;
use crate::protocol::{Event, Failed};
use crate::rtp::sending::Feed;
use crate::rtp::{self, Stamp, HEADER};
use crate::session::{Lane, Plan, Session, Toward};
use crate::slab::Handle;
use crate::stream::{Stream, Turn, Wire};
use crate::thread::wheel::STEP_MS;

/// The feed of all audio that is not a play: the other side of a bridge, a mix.
pub(super) const VOICE: Feed = Feed::Own(u32::MAX);
/// Nothing came from the other side for so long, and no noise was told: it pauses, and so do we.
const QUIET_MS: u32 = 400;
/// Audio of codecs that have a choice (Opus) is transcoded at what the other side can take of this.
const FULL_HZ: u32 = 48_000;

impl MediaThread {
    /// Have a stream's turn on the wheel come, unless it is coming already.
    pub(super) fn schedule_voice(&mut self, handle: Handle) {
        if let Some(stream) = self.streams.get_mut(handle) {
            if stream.voice_due <= self.agenda.wheel.now() {
                let tick = self.agenda.wheel.quiet_tick(stream.packet_ms());
                stream.voice_due = self.agenda.wheel.schedule(handle, tick);
            }
        }
    }

    /// A stream's turn: the next packet of what we make for its peer.
    pub(super) fn step_voice(&mut self, handle: Handle, tick: u64) {
        let Some(stream) = self.streams.get(handle) else {
            return;
        };
        let next = tick + u64::from(stream.packet_ms() / STEP_MS);
        let plays = stream.play.as_ref().is_some_and(|play| play.programme.is_some());
        if plays {
            self.step_play(handle);
        } else if stream.spoken_to {
            self.speak(handle);
        }
        if let Some(stream) = self.streams.get_mut(handle) {
            // A play whose files are still being read keeps its turn.
            if stream.play.is_some() || stream.spoken_to {
                stream.voice_due = self.agenda.wheel.schedule(handle, next);
            }
        }
    }

    /// Send the next packet of a play, end it, or wait until there is someone to send to.
    fn step_play(&mut self, handle: Handle) {
        let turn = &self.turn;
        let Some(stream) = self.streams.get_mut(handle) else {
            return;
        };
        if stream.play.as_ref().is_some_and(|play| play.is_over()) {
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
        if !stream.may_send() || stream.digits_busy {
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
        let Some(mate) = self.streams.get(handle).and_then(|stream| stream.mate) else {
            return;
        };
        let (Some(to), Some(from)) = self.streams.pair(handle, mate) else {
            return;
        };
        let hushed = to.deaf || from.muted;
        if !hushed && !from.listens {
            return; // what it sends passes as it is
        }
        let Some(speaking) = to.speaking.as_mut() else {
            return;
        };
        let coding = speaking.coding();
        let (units, length_ms, rate_hz) = (speaking.packet_units(), speaking.packet_ms(), speaking.rate_hz());
        let frame = speaking.whole_frame();
        // Taken out also when nobody may hear it, so that it is not late afterwards.
        let sound = match from.hearing.as_mut().filter(|hearing| hearing.out_hz() == rate_hz) {
            Some(hearing) => hearing.pull(turn.now, frame),
            None => Sound::Silence,
        };
        if hushed || sound == Sound::Silence {
            frame.fill(0);
        }
        to.quiet_ms = if sound == Sound::Silence && !hushed {
            to.quiet_ms.saturating_add(length_ms)
        } else {
            0
        };
        if !to.may_send() || to.digits_busy || to.quiet_ms > QUIET_MS {
            return to.sending.pause(VOICE, units, turn.now);
        }
        let sent = to.send_frame(VOICE, units, true, &mut self.wire, turn);
        if let Some((stamp, octets)) = sent {
            self.tap_out(handle, stamp, coding, octets);
        }
    }

    /// The packets of a stream are longer than the other side takes: from now on they are cut. Gives the lane anew.
    pub(super) fn cut(&mut self, handle: Handle, payload_type: u8) -> Option<Lane> {
        self.streams.get_mut(handle)?.cut = true;
        self.plan_ways(handle);
        self.streams.get(handle)?.plan.lane(payload_type).copied()
    }

    /// Work out anew how the audio of a stream, and of its mate or its mix, passes.
    pub(super) fn plan_ways(&mut self, handle: Handle) {
        self.bring_back(handle);
        let seed = self.random.next();
        let Some(stream) = self.streams.get_mut(handle) else {
            return;
        };
        if stream.mix.is_some() {
            return self.plan_member(handle);
        }
        let Some(mate) = stream.mate else {
            return stream.keep_to_itself();
        };
        let (Some(one), Some(other)) = self.streams.pair(handle, mate) else {
            return;
        };
        join(one, other, seed);
        join(other, one, !seed);
        let both_ways = one.has_way_to(other) && other.has_way_to(one);
        let [one_codec, other_codec] = [&one, &other].map(|stream| stream.codec_name());
        if let Some(bridge) = one.bridge.and_then(|handle| self.bridges.get_mut(handle)) {
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
            if self.streams.get(handle).is_some_and(|stream| stream.spoken_to) {
                self.schedule_voice(handle);
            }
        }
    }
}

/// Lead what `from` says to `to`.
fn join(from: &mut Stream, to: &mut Stream, seed: u64) {
    let (Some(session), Some(toward)) = (&from.session, &to.session) else {
        from.plan = from
            .session
            .as_ref()
            .map_or_else(Plan::default, |session| Plan::new(session, Toward::Nobody));
        return;
    };
    let way = if from.cut {
        Toward::Cut(toward)
    } else {
        Toward::Mate(toward)
    };
    from.plan = Plan::new(session, way);
    if from.muted || to.deaf {
        from.plan.hush(session, toward);
    }
    let hears = from.plan.hears();
    to.spoken_to = hears || from.muted || to.deaf;
    if to.spoken_to {
        let wanted_hz = session
            .spoken()
            .map_or(PROMPT_HZ, |(_, coding)| coding.rate_hz(FULL_HZ));
        to.speak_at(wanted_hz);
    }
    let rate_hz = to.speaking.as_ref().map(|speaking| speaking.rate_hz());
    from.listen_at(rate_hz.filter(|_| hears), seed);
}

impl Stream {
    /// The length of the packets that we make for the peer.
    pub(super) fn packet_ms(&self) -> u32 {
        let session = self.session.as_ref();
        session
            .and_then(|session| Some(packet_ms(session.spoken()?.1, session.ptime_ms)))
            .unwrap_or(20)
    }

    fn codec_name(&self) -> String {
        let own = self.session.as_ref().and_then(Session::own);
        own.map_or_else(|| "nothing".to_owned(), |format| format.name.clone())
    }

    /// Whether the peer's own codec reaches the other side; nobody knows before both have agreed on something.
    fn has_way_to(&self, to: &Stream) -> bool {
        let (Some(session), Some(_)) = (&self.session, &to.session) else {
            return true;
        };
        let lane = session.own().and_then(|own| self.plan.lane(own.payload_type));
        lane.is_some_and(|lane| lane.passage != crate::session::Passage::Drop)
    }

    /// In no bridge and no mix: nobody hears the peer.
    pub(super) fn keep_to_itself(&mut self) {
        self.plan = self
            .session
            .as_ref()
            .map_or_else(Plan::default, |session| Plan::new(session, Toward::Nobody));
        self.spoken_to = false;
        self.listen_at(None, 0);
        if self.play.is_none() {
            self.speaking = None;
        }
    }

    /// Make what the peer says heard at `rate_hz`, or not at all.
    pub(super) fn listen_at(&mut self, rate_hz: Option<u32>, seed: u64) {
        let (Some(session), Some(rate_hz)) = (&self.session, rate_hz) else {
            self.hearing = None;
            self.listens = false;
            return;
        };
        let lanes: Vec<(u8, hearing::Lane)> = session
            .formats
            .iter()
            .map(|format| {
                let lane = match (format.coding, format.kind) {
                    (Some(coding), _) => hearing::Lane::Audio(coding),
                    (None, Kind::ComfortNoise) => hearing::Lane::ComfortNoise,
                    (None, _) => hearing::Lane::Other,
                };
                (format.payload_type, lane)
            })
            .collect();
        if !self.hearing.as_ref().is_some_and(|it| it.is_for(&lanes, rate_hz)) {
            self.hearing = Hearing::new(lanes, rate_hz, Limits::default(), seed).map(Box::new);
        }
    }

    /// Have an encoder for audio of `wanted_hz`.
    pub(super) fn speak_at(&mut self, wanted_hz: u32) -> Option<&mut Speaking> {
        let terms = self.session.as_ref()?.terms();
        let fits = |it: &Speaking| terms.is_some_and(|terms| it.is_for(terms, wanted_hz));
        if !self.speaking.as_deref().is_some_and(fits) {
            self.speaking = terms.and_then(|terms| Speaking::new(terms, wanted_hz)).map(Box::new);
        }
        self.speaking.as_deref_mut()
    }

    /// Encode what stands in the frame of `speaking`, and send it. Gives the header and the payload's length of a packet of
    /// audio: what tells of noise holds no samples, and is silence to those who record.
    pub(super) fn send_frame(
        &mut self,
        feed: Feed,
        units: u32,
        may_pause: bool,
        wire: &mut Wire,
        turn: &Turn,
    ) -> Option<(Stamp, usize)> {
        let speaking = self.speaking.as_mut()?;
        let audio = speaking.payload_type();
        match speaking.encode(may_pause, &mut wire.packet[HEADER..MAX_DATAGRAM]) {
            Said::Pause => {
                self.sending.pause(feed, units, turn.now);
                None
            }
            Said::Packet { payload_type, octets } => {
                let stamp = self.send_own(feed, payload_type, units, octets, wire, turn);
                (payload_type == audio).then_some((stamp, octets))
            }
        }
    }

    /// Send the payload in `outgoing`, behind the room for its header.
    pub(super) fn send_own(
        &mut self,
        feed: Feed,
        payload_type: u8,
        units: u32,
        octets: usize,
        wire: &mut Wire,
        turn: &Turn,
    ) -> Stamp {
        let rate_hz = self
            .session
            .as_ref()
            .and_then(Session::spoken)
            .map_or(PROMPT_HZ, |(format, _)| format.clock_rate_hz);
        let stamp = self.sending.own(feed, payload_type, octets, units, turn.now, rate_hz);
        if let Some(head) = wire.packet.first_chunk_mut::<HEADER>() {
            rtp::write(head, stamp);
        }
        self.transmit(&mut wire.packet[..], HEADER + octets, &mut wire.net);
        stamp
    }

    /// Send the next packet of a play as it lies encoded in the prompt: what one more listener costs.
    fn send_prompt(
        &mut self,
        law: Law,
        payload_type: u8,
        length_ms: u32,
        wire: &mut Wire,
        turn: &Turn,
    ) -> Option<Stamp> {
        let count = (PROMPT_HZ / 1000 * length_ms) as usize;
        let play = self.play.as_mut()?;
        let feed = Feed::Own(play.number);
        play.programme
            .as_mut()?
            .fill(law, &mut wire.packet[HEADER..HEADER + count]);
        Some(self.send_own(feed, payload_type, count as u32, count, wire, turn))
    }

    /// Send the next packet of a play in a codec that is encoded for this peer alone.
    fn send_play(&mut self, wire: &mut Wire, turn: &Turn) -> Option<(Stamp, usize)> {
        let rate_hz = self.speaking.as_ref().map_or(PROMPT_HZ, |speaking| speaking.rate_hz());
        self.speak_at(rate_hz)?;
        let (speaking, play) = (self.speaking.as_mut()?, self.play.as_mut()?);
        let (feed, units) = (Feed::Own(play.number), speaking.packet_units());
        let programme = play.programme.as_mut()?;
        speaking.fill_from_prompt(|samples| programme.fill_samples(samples));
        self.send_frame(feed, units, false, wire, turn)
    }

    fn skip_play(&mut self, count: usize) {
        if let Some(programme) = self.play.as_mut().and_then(|play| play.programme.as_mut()) {
            programme.skip(count);
        }
    }
}
