//! Digits from one side of a bridge to the other: as they come, or pressed anew, or with the audio they are in.

use super::Session;
use crate::codec::Kind;
use crate::dtmf::Form;

/// What becomes of the digits of one side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DigitWay {
    /// They go no further than to the controller.
    #[default]
    Stay,
    /// With the packets that carry them.
    Pass,
    /// They are pressed anew at the other side while they are held at this one.
    Anew,
}

/// The ways of digits in events and of digits in tones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DigitWays {
    pub events: DigitWay,
    pub tones: DigitWay,
}

impl DigitWays {
    pub fn of(self, form: Form) -> DigitWay {
        match form {
            Form::Event => self.events,
            Form::Tone => self.tones,
        }
    }
}

/// What becomes of the audio of one side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Audio {
    /// Its packets pass, perhaps by a table.
    Passes,
    /// It is made anew, by a clock of our own: packets of the other side do not fit between it.
    Made,
    /// The same, and it is silence: who is muted may press digits all the same.
    Hushed,
}

/// The ways of the digits that come in by `from` to the peer of `to`.
pub fn digit_ways(from: &Session, to: &Session, audio: Audio) -> DigitWays {
    let same_clock = from
        .formats
        .iter()
        .any(|one| one.kind == Kind::TelephoneEvent && to.formats.iter().any(|other| other.same_as(one)));
    let form = digit_form(to);
    // A peer whose tones are listened for may send both, and only one of them may arrive; so none passes by itself.
    let events = match form {
        Some(Form::Event) if audio == Audio::Passes && same_clock && !from.inband_digits => DigitWay::Pass,
        Some(_) => DigitWay::Anew,
        None => DigitWay::Stay,
    };
    let tones = match form {
        Some(Form::Event) if from.inband_digits => DigitWay::Anew,
        Some(Form::Tone) if from.inband_digits && audio == Audio::Hushed => DigitWay::Anew,
        _ => DigitWay::Pass,
    };
    DigitWays { events, tones }
}

/// How digits are sent to a peer, if they can be at all.
pub fn digit_form(to: &Session) -> Option<Form> {
    match to.digit_format() {
        Some(_) => Some(Form::Event),
        None => to.spoken().map(|_| Form::Tone),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    fn session(codecs: &[(&str, u32)], inband_digits: bool) -> Session {
        let codecs = (96..).zip(codecs).map(|(number, &(name, clock_rate_hz))| {
            let channels = if name == "opus" { 2 } else { 1 };
            testing::codec(number, name, clock_rate_hz, channels)
        });
        let mut connect = testing::connect(codecs.collect());
        connect.inband_digits = inband_digits;
        testing::session(&connect)
    }

    const PCMU: (&str, u32) = ("PCMU", 8000);
    const G729: (&str, u32) = ("G729", 8000);
    const OPUS: (&str, u32) = ("opus", 48_000);
    const EVENT: (&str, u32) = ("telephone-event", 8000);
    const FAST: (&str, u32) = ("telephone-event", 48_000);

    #[test]
    fn events_pass_when_clock_and_audio_do_and_else_are_pressed_anew() {
        let cases: [(&[_], &[_], Audio, DigitWay); 8] = [
            (&[PCMU, EVENT], &[PCMU, EVENT], Audio::Passes, DigitWay::Pass),
            (&[PCMU, EVENT], &[PCMU, EVENT], Audio::Hushed, DigitWay::Anew),
            (&[OPUS, FAST], &[OPUS, FAST], Audio::Passes, DigitWay::Pass),
            (&[OPUS, FAST], &[PCMU, EVENT], Audio::Made, DigitWay::Anew),
            (&[OPUS, EVENT], &[PCMU, EVENT], Audio::Made, DigitWay::Anew),
            (&[PCMU, EVENT], &[PCMU], Audio::Passes, DigitWay::Anew),
            (&[G729, EVENT], &[G729, EVENT], Audio::Passes, DigitWay::Pass),
            (&[G729, EVENT], &[G729], Audio::Passes, DigitWay::Stay),
        ];
        for (from, to, audio, way) in cases {
            let ways = digit_ways(&session(from, false), &session(to, false), audio);
            assert_eq!(
                (ways.events, ways.tones),
                (way, DigitWay::Pass),
                "{from:?} {to:?} {audio:?}"
            );
        }
    }

    #[test]
    fn a_peer_who_may_send_both_forms_is_heard_in_one() {
        let from = session(&[PCMU, EVENT], true);
        let ways = |to: &[_], audio| digit_ways(&from, &session(to, false), audio);
        let both_anew = DigitWays {
            events: DigitWay::Anew,
            tones: DigitWay::Anew,
        };
        assert_eq!(ways(&[PCMU, EVENT], Audio::Passes), both_anew);
        assert_eq!(ways(&[PCMU], Audio::Hushed), both_anew);
        assert_eq!(ways(&[PCMU], Audio::Passes).tones, DigitWay::Pass);
        assert_eq!(ways(&[G729], Audio::Passes).tones, DigitWay::Pass);
    }

    #[test]
    fn digits_are_sent_as_events_if_they_can_be_and_else_as_tones() {
        assert_eq!(digit_form(&session(&[PCMU, EVENT], false)), Some(Form::Event));
        assert_eq!(digit_form(&session(&[OPUS], false)), Some(Form::Tone));
        assert_eq!(digit_form(&session(&[G729], false)), None);
    }
}
