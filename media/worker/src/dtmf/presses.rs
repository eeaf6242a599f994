//! The digits that one peer presses, in whichever form: each press is told once.
//!
//! A phone may send a press as events and as tones at the same time, or leave a bit of the tone in the audio before its events
//! begin. The first form that is heard counts, and the other one is an *echo*. Events are surer than tones, so they take a
//! press over that was heard as a tone first.

use std::collections::VecDeque;

use super::events::{EventAt, Receiver};
use super::listener::ToneListener;
use super::{Form, Heard, Press};
use crate::clock::{Nanos, MILLISECOND};
use crate::codec::Format;
use crate::rtp::event::Body;
use crate::rtp::Packet;

/// The same digit in the other form so soon after its end is still the same press: a tone is known some 45 ms after it began,
/// and the two forms may lie in different packets.
const ECHO: Nanos = 200 * MILLISECOND;

/// What a peer did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Move {
    Down { digit: char, form: Form },
    Up { press: Press, form: Form },
}

/// See the module.
#[derive(Debug, Default)]
pub struct Presses {
    events: Receiver,
    listener: Option<Box<ToneListener>>,
    decided: Decided,
}

#[derive(Debug, Default)]
struct Decided {
    held: Option<(char, Form)>,
    /// What is held as an event, or as a tone, is an echo.
    echo_of_event: bool,
    echo_of_tone: bool,
    /// The press that was told last.
    last: Option<(char, Form, Nanos)>,
    moves: VecDeque<Move>,
}

impl Presses {
    /// Listen to tones in these formats, or to none.
    pub fn listen(&mut self, formats: Option<&[Format]>, now: Nanos) {
        if let (Some(listener), Some(formats)) = (&self.listener, formats) {
            if listener.is_for(formats) {
                return;
            }
        }
        let decided = &mut self.decided;
        if let Some(listener) = self.listener.as_mut() {
            listener.fall_silent(&mut |heard| decided.take(heard, Form::Tone, now));
        }
        self.listener = formats.and_then(ToneListener::new).map(Box::new);
    }

    /// Whether audio is listened to.
    pub fn listens_for_tones(&self) -> bool {
        self.listener.is_some()
    }

    /// Take note of a telephone-event.
    pub fn hear_event(&mut self, body: Body, at: EventAt) {
        for heard in self.events.note(body, at).into_iter().flatten() {
            self.decided.take(heard, Form::Event, at.now);
        }
    }

    /// Listen to a packet of audio.
    pub fn hear_audio(&mut self, packet: &Packet, payload: &[u8], now: Nanos) {
        let decided = &mut self.decided;
        if let Some(listener) = self.listener.as_mut() {
            listener.hear(packet, payload, now, |heard| decided.take(heard, Form::Tone, now));
        }
    }

    /// End presses of which nothing more came.
    pub fn expire(&mut self, now: Nanos) {
        if let Some(heard) = self.events.expire(now) {
            self.decided.take(heard, Form::Event, now);
        }
        let decided = &mut self.decided;
        if let Some(listener) = self.listener.as_mut() {
            listener.expire(now, |heard| decided.take(heard, Form::Tone, now));
        }
    }

    /// Whether there is something for `next_move`.
    pub fn has_moves(&self) -> bool {
        !self.decided.moves.is_empty()
    }

    /// What the peer did, one after the other.
    pub fn next_move(&mut self) -> Option<Move> {
        self.decided.moves.pop_front()
    }
}

impl Decided {
    fn take(&mut self, heard: Heard, form: Form, now: Nanos) {
        match heard {
            Heard::Down(digit) => self.down(digit, form, now),
            Heard::Up(press) => self.up(press, form, now),
        }
    }

    fn down(&mut self, digit: char, form: Form, now: Nanos) {
        *self.echo(form) = false;
        match (self.held, self.last) {
            (Some((held, other)), _) if held == digit && other != form => {
                if form == Form::Event {
                    self.held = Some((digit, Form::Event));
                    self.echo_of_tone = true;
                } else {
                    *self.echo(form) = true;
                }
            }
            (_, Some((last, other, at))) if last == digit && other != form && now.saturating_sub(at) < ECHO => {
                *self.echo(form) = true;
            }
            _ => {
                self.held = Some((digit, form));
                self.moves.push_back(Move::Down { digit, form });
            }
        }
    }

    fn up(&mut self, press: Press, form: Form, now: Nanos) {
        if std::mem::take(self.echo(form)) {
            return;
        }
        if self.held == Some((press.digit, form)) {
            self.held = None;
        }
        self.last = Some((press.digit, form, now));
        self.moves.push_back(Move::Up { press, form });
    }

    fn echo(&mut self, form: Form) -> &mut bool {
        match form {
            Form::Event => &mut self.echo_of_event,
            Form::Tone => &mut self.echo_of_tone,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A script of `e5 e. t5 t.` (digit down and up as an event and as a tone), each with its time in ms; gives what is told.
    fn told(script: &[(&str, u64)]) -> String {
        let mut decided = Decided::default();
        let mut held = [' '; 2];
        let mut told = String::new();
        for &(what, at) in script {
            let (form, index) = if what.starts_with('e') {
                (Form::Event, 0)
            } else {
                (Form::Tone, 1)
            };
            let heard = match what.chars().nth(1) {
                Some('.') => Heard::Up(Press {
                    digit: held[index],
                    duration_ms: 100,
                }),
                Some(digit) => {
                    held[index] = digit;
                    Heard::Down(digit)
                }
                None => continue,
            };
            decided.take(heard, form, at * MILLISECOND);
            for one in decided.moves.drain(..) {
                told += &match one {
                    Move::Down { digit, form } => format!("{digit}{} ", &form.name()[..1]),
                    Move::Up { press, form } => format!(".{}{} ", press.digit, &form.name()[..1]),
                };
            }
        }
        told.trim_end().to_owned()
    }

    #[test]
    fn a_press_in_both_forms_is_told_once() {
        let event_first = [("e5", 0), ("t5", 45), ("e.", 100), ("t.", 130)];
        assert_eq!(told(&event_first), "5r .5r");
        let tone_lasts_into_the_next = [("e5", 0), ("e.", 60), ("t5", 70), ("t.", 130)];
        assert_eq!(told(&tone_lasts_into_the_next), "5r .5r");
        let tone_first = [("t5", 0), ("e5", 30), ("t.", 40), ("e.", 100)];
        assert_eq!(told(&tone_first), "5i .5r");
        let tone_is_over = [("t5", 0), ("t.", 40), ("e5", 60), ("e.", 100)];
        assert_eq!(told(&tone_is_over), "5i .5i");
    }

    #[test]
    fn fast_presses_of_one_digit_in_both_forms_are_all_told() {
        let events_first = [
            ("e5", 0),
            ("t5", 45),
            ("e.", 60),
            ("t.", 90),
            ("e5", 120),
            ("t5", 165),
            ("e.", 180),
            ("t.", 210),
        ];
        assert_eq!(told(&events_first), "5r .5r 5r .5r");
        let tones_first = [
            ("t5", 45),
            ("e5", 70),
            ("t.", 90),
            ("e.", 130),
            ("t5", 165),
            ("e5", 190),
            ("t.", 210),
            ("e.", 250),
        ];
        assert_eq!(told(&tones_first), "5i .5r 5r .5r");
    }

    #[test]
    fn presses_of_one_form_and_of_other_digits_are_no_echo() {
        assert_eq!(
            told(&[("t5", 0), ("t.", 60), ("t5", 100), ("t.", 150)]),
            "5i .5i 5i .5i"
        );
        assert_eq!(
            told(&[("e5", 0), ("e.", 60), ("t6", 100), ("t.", 150)]),
            "5r .5r 6i .6i"
        );
        assert_eq!(
            told(&[("e5", 0), ("e.", 60), ("t5", 300), ("t.", 350)]),
            "5r .5r 5i .5i"
        );
        assert_eq!(told(&[("e5", 0), ("t6", 50), ("e.", 60), ("t.", 99)]), "5r 6i .5r .6i");
    }
}
