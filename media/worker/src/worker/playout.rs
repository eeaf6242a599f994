//! What a stream sends by our own clock: plays and digits, a packet each time its turn on the wheel comes.

use super::{outgoing, turn, Worker};
use crate::codec::g711::Law;
use crate::dtmf::{self, Step};
use crate::net::Outgoing;
use crate::play::{Play, Programme};
use crate::protocol::{Event, Failed};
use crate::rtp::{self, Stamp, HEADER};
use crate::sending::Source;
use crate::slab::Key;
use crate::stream::{Stream, Turn};
use crate::tasks::Name;
use crate::wheel::STEP_MS;

/// The number of the digits among the sources of a stream; plays count up from 1.
const DIGITS: Source = Source::Own(0);

impl Worker {
    /// A play was asked for. It begins when its programme is there.
    pub(super) fn play(&mut self, name: &str, play: Name) {
        let turn = turn!(self);
        let Some(stream) = self.stream_keys.get(name).and_then(|key| self.streams.get_mut(*key)) else {
            return;
        };
        if stream.play.as_ref().is_some_and(|running| running.name == play) {
            return;
        }
        end_play(stream, "replaced", String::new(), turn);
        stream.plays += 1;
        stream.play = Some(Box::new(Play {
            name: play,
            number: stream.plays,
            programme: None,
        }));
    }

    pub(super) fn begin_play(&mut self, name: &str, play: &str, programme: Result<Programme, String>) {
        let turn = turn!(self);
        let Some(&key) = self.stream_keys.get(name) else {
            return;
        };
        self.current = Some(key);
        let Some(stream) = self.streams.get_mut(key) else {
            return;
        };
        // Stopped, replaced or begun already: not wanted any more.
        let Some(waiting) = stream
            .play
            .as_mut()
            .filter(|it| &*it.name == play && it.programme.is_none())
        else {
            return;
        };
        match programme {
            Err(reason) => end_play(stream, "failed", reason, turn),
            Ok(programme) => {
                waiting.programme = Some(programme);
                // One that replaces another keeps its pace.
                self.schedule_voice(key);
            }
        }
    }

    pub(super) fn stop_play(&mut self, name: &str, play: &str) {
        let turn = turn!(self);
        if let Some(stream) = self.stream_keys.get(name).and_then(|key| self.streams.get_mut(*key)) {
            if stream.play.as_ref().is_some_and(|running| &*running.name == play) {
                end_play(stream, "stopped", String::new(), turn);
            }
        }
    }

    pub(super) fn send_digits(&mut self, name: &str, digits: &str, tone_ms: u32, gap_ms: u32) {
        let Some(&key) = self.stream_keys.get(name) else {
            return;
        };
        let Some(stream) = self.streams.get_mut(key) else {
            return;
        };
        let able = stream
            .session
            .as_ref()
            .is_some_and(|session| session.telephone_event(8000).is_some());
        let queued = if able {
            stream.digits_out.push(digits, tone_ms, gap_ms)
        } else {
            Err("telephone-event was not agreed".into())
        };
        if let Err(reason) = queued {
            self.outbox
                .tell(Event::Failed(Failed::new("send_digits", name, "codec", reason)));
        } else if stream.digits_due <= self.wheel.now() {
            let tick = self.wheel.quiet_tick(dtmf::STEP_MS);
            stream.digits_due = self.wheel.schedule(key, tick);
        }
    }

    /// A stream's turn on the wheel.
    pub(super) fn play_out(&mut self, key: Key, tick: u64) {
        self.current = Some(key);
        let turn = turn!(self);
        let Some(stream) = self.streams.get_mut(key) else {
            return;
        };
        if stream.digits_due == tick {
            if step_digits(stream, outgoing!(self), turn) {
                let next = tick + u64::from(dtmf::STEP_MS / STEP_MS);
                stream.digits_due = self.wheel.schedule(key, next);
            } else {
                stream.digits_busy = false;
            }
        }
        if stream.voice_due == tick {
            self.step_voice(key, tick);
        }
    }

    /// Record what was just put into `outgoing`.
    pub(super) fn tap_out(&mut self, key: Key, stamp: Stamp, law: Law, count: usize) {
        let Some(stream) = self.streams.get(key) else {
            return;
        };
        for tap in &stream.taps_out {
            if let Some(recording) = self.recordings.get_mut(tap.recording) {
                let payload = &self.outgoing[HEADER..HEADER + count];
                recording
                    .line()
                    .put(tap.track, stamp.ssrc, stamp.timestamp, law, payload, self.now);
            }
        }
    }
}

/// End the play of a stream, if there is one, and say so.
pub(super) fn end_play(stream: &mut Stream, reason: &str, detail: String, turn: Turn) {
    if let Some(play) = stream.play.take() {
        turn.outbox.tell(Event::PlayEnded {
            stream: stream.name.to_string(),
            play: play.name.to_string(),
            reason: reason.to_owned(),
            position_ms: play.position_ms(),
            detail,
            mix: String::new(),
        });
    }
}

/// Send the next packet of the digits. False when there are none left.
fn step_digits(stream: &mut Stream, outgoing: &mut Outgoing, turn: Turn) -> bool {
    let format = stream.session.as_ref().and_then(|session| {
        let rate_hz = session.own().map_or(8000, |own| own.clock_rate_hz);
        session
            .telephone_event(rate_hz)
            .map(|format| (format.payload_type, format.clock_rate_hz))
    });
    let Some((payload_type, rate_hz)) = format else {
        stream.digits_out = dtmf::Sender::default();
        return false;
    };
    let Some(step) = stream.digits_out.step(rate_hz) else {
        return false;
    };
    stream.digits_busy = step != Step::Pass;
    if let Step::Send { body, first } = step {
        if first {
            stream.digit_start = stream.sending.timestamp_at(turn.now, rate_hz);
        }
        if stream.may_send() {
            let octets = body.octets();
            let start = stream.digit_start;
            let stamp = stream
                .sending
                .digit(DIGITS, payload_type, octets.len(), start, first, turn.now);
            send(stream, stamp, &octets, outgoing);
        }
    }
    true
}

fn send(stream: &mut Stream, stamp: Stamp, payload: &[u8], outgoing: &mut Outgoing) {
    outgoing.packet[HEADER..HEADER + payload.len()].copy_from_slice(payload);
    if let Some(head) = outgoing.packet.first_chunk_mut::<HEADER>() {
        rtp::write(head, stamp);
        stream.transmit(outgoing.packet, HEADER + payload.len(), outgoing.net);
    }
}
