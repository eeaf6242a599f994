//! Digits that a stream sends, a step of the thread's clock at a time.

use super::{Stream, Turn, Wire};
use crate::codec::audio::Coding;
use crate::dtmf::sender::{self, Moment, Step};
use crate::dtmf::tones::fill_tones;
use crate::dtmf::Form;
use crate::rtp::sending::Feed;
use crate::rtp::{self, Stamp, HEADER};
use crate::session::digits::digit_form;
use crate::session::Session;

impl Stream {
    /// How long a step of the digits is: events have a pace of their own, tones that of the audio.
    pub fn digit_step_ms(&self) -> u32 {
        match self.session.as_ref().and_then(digit_form) {
            Some(Form::Tone) => self.packet_ms(),
            _ => sender::STEP_MS,
        }
    }

    /// Send a part of a press as an event. Time passes also while the peer is on hold.
    pub fn send_event(&mut self, moment: Moment, wire: &mut Wire, turn: &Turn) {
        let format = self.session.as_ref().and_then(Session::digit_format);
        let Some((payload_type, rate_hz)) = format.map(|format| (format.payload_type, format.clock_rate_hz)) else {
            return;
        };
        if moment.is_first() {
            self.outbound.digits.start = self.outbound.sending.timestamp_at(turn.now, rate_hz);
        }
        if !self.may_send() {
            return;
        }
        let (body, segment) = moment.body(rate_hz);
        let octets = body.octets();
        let start = self.outbound.digits.start.wrapping_add(segment);
        let stamp = self
            .outbound
            .sending
            .digit(payload_type, octets.len(), start, moment.is_first(), turn.now);
        wire.packet[HEADER..HEADER + octets.len()].copy_from_slice(&octets);
        if let Some(head) = wire.packet.first_chunk_mut::<HEADER>() {
            rtp::write(head, stamp);
            self.transmit(&mut wire.packet[..], HEADER + octets.len(), &mut wire.net);
        }
    }

    /// Send a part of a press, or of the silence behind it, in the audio. Gives the header, the codec and the length.
    pub fn send_tone(&mut self, step: Step, wire: &mut Wire, turn: &Turn) -> Option<(Stamp, Coding, usize)> {
        if !self.may_send() {
            return None;
        }
        let speaking = self.speak()?;
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
        let (stamp, octets) = self.send_frame(Feed::Digits, units, false, wire, turn)?;
        Some((stamp, coding, octets))
    }
}
