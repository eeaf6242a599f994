//! Digits that peers press, and those that are pressed for them: as telephone-events (`events`) and as tones in the audio
//! (`tones`, `listener`). `presses` makes one press of what comes in both forms; `sender` spells out what is to be pressed.

pub mod events;
pub mod listener;
pub mod presses;
pub mod sender;
#[cfg(test)]
mod tests;
pub mod tones;

const DIGITS: &[u8; 16] = b"0123456789*#ABCD";

/// Whether it is what can be pressed, as we write it.
pub fn is_digit(digit: char) -> bool {
    DIGITS.iter().any(|&known| char::from(known) == digit)
}

/// The digit of an event number; None for the events that are none (a hook flash, a modem).
pub fn digit_of(event: u8) -> Option<char> {
    DIGITS.get(usize::from(event)).map(|&digit| char::from(digit))
}

/// The event number of a digit.
pub fn event_of(digit: char) -> Option<u8> {
    let digit = digit.to_ascii_uppercase();
    DIGITS
        .iter()
        .position(|&known| char::from(known) == digit)
        .map(|index| index as u8)
}

/// How a digit is sent or heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// In telephone-events (RFC 4733).
    Event,
    /// As tones in the audio.
    Tone,
}

impl Form {
    /// As `Digit` says it.
    pub fn name(self) -> &'static str {
        match self {
            Form::Event => "rfc4733",
            Form::Tone => "inband",
        }
    }
}

/// A digit and how long it was held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Press {
    pub digit: char,
    pub duration_ms: u32,
}

/// What is heard of a digit, in events or in audio.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard {
    /// It is held.
    Down(char),
    /// It was let go.
    Up(Press),
}
