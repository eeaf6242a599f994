//! Digits: what peers press is told and carried to the other side of the bridge, and what is to be pressed is sent.
//!
//! Each stream has one sender of digits, whether they come from `SendDigits` or are held by the peer on the other side. It
//! goes on in steps of a packet's length, as events or as tones in the audio, whatever was agreed at the time of the step.

use super::MediaThread;
use crate::dtmf::presses::Move;
use crate::dtmf::sender::{self, Step};
use crate::dtmf::{event_of, Form};
use crate::protocol::{Event, Failed};
use crate::rtp::sending::Feed;
use crate::session::digits::{digit_form, DigitWay};
use crate::slab::Handle;
use crate::stream::Stream;
use crate::thread::wheel;

impl MediaThread {
    /// Tell what the peer of a stream pressed, and press it at the other side of its bridge if it does not get there by
    /// itself.
    pub(super) fn carry_digits(&mut self, handle: Handle) {
        let next = |stream: &mut Stream| stream.inbound.presses.next_move();
        while let Some(one) = self.streams.get_mut(handle).and_then(next) {
            self.carry_move(handle, one);
        }
    }

    fn carry_move(&mut self, handle: Handle, one: Move) {
        let Some(stream) = self.streams.get(handle) else {
            return;
        };
        let (ways, mate) = (stream.inbound.plan.digits, stream.route.mate);
        if let Move::Up { press, form } = one {
            self.turn.outbox.tell(Event::Digit {
                stream: stream.name.to_string(),
                digit: press.digit.to_string(),
                duration_ms: press.duration_ms,
                source: form.name().to_owned(),
            });
            self.pressed(handle, press.digit);
        }
        let Some(mate) = mate else {
            return;
        };
        match one {
            Move::Down { digit, form } if ways.of(form) == DigitWay::Anew => self.hold_digit(mate, digit),
            Move::Down { .. } => {}
            Move::Up { press, .. } => {
                // Whatever form it began in; what is not held is not let go.
                if let (Some(mate), Some(event)) = (self.streams.get_mut(mate), event_of(press.digit)) {
                    mate.outbound.digits.sender.release(event, press.duration_ms);
                }
            }
        }
    }

    /// Begin to press a digit that somebody holds. As bridged audio, it is not heard beside a play.
    fn hold_digit(&mut self, handle: Handle, pressed: char) {
        let Some(stream) = self.streams.get_mut(handle) else {
            return;
        };
        let playing = stream.outbound.is_playing();
        if let (Some(event), false) = (event_of(pressed), playing) {
            // From now on, so that no more of a tone is heard beside the event.
            stream.outbound.digits.busy |= stream.outbound.digits.sender.is_idle();
            stream.outbound.digits.sender.hold(event);
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
            Some(_) => stream.outbound.digits.sender.push(digits, tone_ms, gap_ms),
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
            if stream.outbound.digits.due <= self.agenda.wheel.now() && !stream.outbound.digits.sender.is_idle() {
                let tick = self.agenda.wheel.quiet_tick(stream.digit_step_ms());
                stream.outbound.digits.due = self.agenda.wheel.schedule(handle, tick);
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
            stream.outbound.digits.sender = sender::Sender::default(); // what was agreed since allows no digits
        }
        let step_ms = stream.digit_step_ms();
        let step = stream.outbound.digits.sender.step(step_ms);
        if matches!(step, None | Some(Step::Pass)) {
            stream.outbound.sending.end(Feed::Digits);
        }
        let Some(step) = step else {
            stream.outbound.digits.busy = false;
            return;
        };
        stream.outbound.digits.due = self
            .agenda
            .wheel
            .schedule(handle, tick + u64::from(step_ms / wheel::STEP_MS));
        stream.outbound.digits.busy = step != Step::Pass;
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
