//! Digits: what peers press is told and carried to the other side of the bridge, and what is to be pressed is sent.
//!
//! Each stream has one sender of digits, whether they come from `SendDigits` or are held by the peer on the other side. It
//! goes on in steps of a packet's length, as events or as tones in the audio, whatever was agreed at the time of the step.

use super::MediaThread;
use crate::audio::speaking::PROMPT_HZ;
use crate::codec::audio::Coding;
use crate::dtmf::presses::Move;
use crate::dtmf::sender::{self, Moment, Step};
use crate::dtmf::tones::fill_tones;
use crate::dtmf::{event_of, Form};
use crate::protocol::{Event, Failed};
use crate::rtp::sending::Feed;
use crate::rtp::{self, Stamp, HEADER};
use crate::session::digits::{digit_form, DigitWay};
use crate::slab::Handle;
use crate::stream::{Stream, Turn, Wire};
use crate::thread::wheel;

/// The number of the digits among the feeds of a stream; plays count up from 1.
const DIGITS: Feed = Feed::Own(0);

impl MediaThread {
    /// Tell what the peer of a stream pressed, and press it at the other side of its bridge if it does not get there by
    /// itself.
    pub(super) fn carry_digits(&mut self, handle: Handle) {
        let Some(stream) = self.streams.get_mut(handle) else {
            return;
        };
        let (moves, ways, mate) = (stream.presses.take_moves(), stream.plan.digits, stream.mate);
        for one in &moves {
            if let (Move::Up { press, form }, Some(stream)) = (one, self.streams.get(handle)) {
                self.turn.outbox.tell(Event::Digit {
                    stream: stream.name.to_string(),
                    digit: press.digit.to_string(),
                    duration_ms: press.duration_ms,
                    source: form.name().to_owned(),
                });
                self.pressed(handle, press.digit);
            }
            let Some(mate) = mate else {
                continue;
            };
            match *one {
                Move::Down { digit, form } if ways.of(form) == DigitWay::Anew => self.hold_digit(mate, digit),
                Move::Down { .. } => {}
                Move::Up { press, .. } => {
                    // Whatever form it began in; what is not held is not let go.
                    if let (Some(mate), Some(event)) = (self.streams.get_mut(mate), event_of(press.digit)) {
                        mate.digits_out.release(event, press.duration_ms);
                    }
                }
            }
        }
        if let Some(stream) = self.streams.get_mut(handle) {
            stream.presses.reuse(moves);
        }
    }

    /// Begin to press a digit that somebody holds. As bridged audio, it is not heard beside a play.
    fn hold_digit(&mut self, handle: Handle, pressed: char) {
        let Some(stream) = self.streams.get_mut(handle) else {
            return;
        };
        let playing = stream.play.as_ref().is_some_and(|play| play.programme.is_some());
        if let (Some(event), false) = (event_of(pressed), playing) {
            // From now on, so that no more of a tone is heard beside the event.
            stream.digits_busy |= stream.digits_out.is_idle();
            stream.digits_out.hold(event);
            self.schedule_digits(handle);
        }
    }

    pub(super) fn send_digits(&mut self, name: &str, digits: &str, tone_ms: u32, gap_ms: u32) {
        let Some(handle) = self.streams.handle(name) else {
            return;
        };
        let Some(stream) = self.streams.get_mut(handle) else {
            return;
        };
        let queued = match stream.session.as_ref().and_then(digit_form) {
            Some(_) => stream.digits_out.push(digits, tone_ms, gap_ms),
            None => Err("neither telephone-event nor a codec for tones was agreed".into()),
        };
        match queued {
            Err(reason) => self
                .turn
                .outbox
                .tell(Event::Failed(Failed::new("send_digits", name, "codec", reason))),
            Ok(()) => self.schedule_digits(handle),
        }
    }

    /// Have the steps of a stream's digits begin, unless they go on already.
    pub(super) fn schedule_digits(&mut self, handle: Handle) {
        if let Some(stream) = self.streams.get_mut(handle) {
            if stream.digits_due <= self.agenda.wheel.now() && !stream.digits_out.is_idle() {
                let tick = self.agenda.wheel.quiet_tick(stream.digit_step_ms());
                stream.digits_due = self.agenda.wheel.schedule(handle, tick);
            }
        }
    }

    /// Send the next packet of the digits.
    pub(super) fn step_digits(&mut self, handle: Handle, tick: u64) {
        let turn = &self.turn;
        let Some(stream) = self.streams.get_mut(handle) else {
            return;
        };
        let form = stream.session.as_ref().and_then(digit_form);
        if form.is_none() {
            stream.digits_out = sender::Sender::default(); // what was agreed since allows no digits
        }
        let step_ms = stream.digit_step_ms();
        let step = stream.digits_out.step(step_ms);
        if matches!(step, None | Some(Step::Pass)) {
            stream.sending.end(DIGITS);
        }
        let Some(step) = step else {
            stream.digits_busy = false;
            return;
        };
        stream.digits_due = self
            .agenda
            .wheel
            .schedule(handle, tick + u64::from(step_ms / wheel::STEP_MS));
        stream.digits_busy = step != Step::Pass;
        match (form, step) {
            (Some(Form::Event), Step::Press(moment)) => stream.send_event(moment, &mut self.wire, turn),
            (Some(Form::Tone), Step::Press(_) | Step::Hold) => {
                let sent = stream.send_tone(step, &mut self.wire, turn);
                if let Some((stamp, coding, octets)) = sent {
                    self.tap_out(handle, stamp, coding, octets);
                }
            }
            _ => {}
        }
    }
}

impl Stream {
    /// How long a step of the digits is: events have a pace of their own, tones that of the audio.
    fn digit_step_ms(&self) -> u32 {
        match self.session.as_ref().and_then(digit_form) {
            Some(Form::Tone) => self.packet_ms(),
            _ => sender::STEP_MS,
        }
    }

    /// Send a part of a press as an event. Time passes also while the peer is on hold.
    fn send_event(&mut self, moment: Moment, wire: &mut Wire, turn: &Turn) {
        let format = self.session.as_ref().and_then(|session| {
            let rate_hz = session.own().map_or(8000, |own| own.clock_rate_hz);
            session.telephone_event(rate_hz)
        });
        let Some((payload_type, rate_hz)) = format.map(|format| (format.payload_type, format.clock_rate_hz)) else {
            return;
        };
        if moment.is_first() {
            self.digit_start = self.sending.timestamp_at(turn.now, rate_hz);
        }
        if !self.may_send() {
            return;
        }
        let (body, segment) = moment.body(rate_hz);
        let octets = body.octets();
        let start = self.digit_start.wrapping_add(segment);
        let stamp = self
            .sending
            .digit(DIGITS, payload_type, octets.len(), start, moment.is_first(), turn.now);
        wire.packet[HEADER..HEADER + octets.len()].copy_from_slice(&octets);
        if let Some(head) = wire.packet.first_chunk_mut::<HEADER>() {
            rtp::write(head, stamp);
            self.transmit(&mut wire.packet[..], HEADER + octets.len(), &mut wire.net);
        }
    }

    /// Send a part of a press, or of the silence behind it, in the audio. Gives the header, the codec and the length.
    fn send_tone(&mut self, step: Step, wire: &mut Wire, turn: &Turn) -> Option<(Stamp, Coding, usize)> {
        if !self.may_send() {
            return None;
        }
        // The encoder keeps the rate it has, if others speak through it too.
        let rate_hz = self.speaking.as_ref().map_or(PROMPT_HZ, |speaking| speaking.rate_hz());
        let speaking = self.speak_at(rate_hz)?;
        let (coding, units, rate_hz) = (speaking.coding(), speaking.packet_units(), speaking.rate_hz());
        let frame = speaking.whole_frame();
        match step {
            Step::Press(moment) => {
                let [from, length] =
                    [moment.from_ms, moment.tone_ms].map(|ms| (u64::from(ms) * u64::from(rate_hz) / 1000) as u32);
                fill_tones(moment.event, from, length, rate_hz, frame);
            }
            Step::Hold | Step::Pass => frame.fill(0),
        }
        let (stamp, octets) = self.send_frame(DIGITS, units, false, wire, turn)?;
        Some((stamp, coding, octets))
    }
}
