//! A listener for digits in the audio of one peer: packets are decoded as they arrive, beside whatever else becomes of them.
//!
//! Nothing waits in a jitter buffer: a tone is steady, so a packet that was lost or came late only shortens it. A press that a
//! gap tears apart for longer than Q.24 allows is two presses.

use super::tones::Detector;
use super::Heard;
use crate::audio::resample::Resampler;
use crate::clock::Nanos;
use crate::codec::audio::{Coding, Decoder, MAX_SAMPLES};
use crate::codec::g711::Law;
use crate::codec::Format;
use crate::rtp::event::GIVEN_UP;
use crate::rtp::Packet;

/// What the detector listens to when the codec leaves a choice.
const RATE_HZ: u32 = 8000;
/// A gap that a press does not outlast, and the silence that stands for it: a press has ended for sure behind it.
const GAP_MS: u32 = 50;
const SILENCE: [i16; 960] = [0; 960];
/// Samples decoded at a time where that is free.
const PIECE: usize = 160;

/// The way from one payload type to its detector.
#[derive(Debug)]
struct Finder {
    decoder: Decoder,
    resampler: Option<Resampler>,
    detector: Detector,
}

impl Finder {
    /// None when libopus has no memory.
    fn new(coding: Coding) -> Option<Self> {
        let decoder = Decoder::new(coding, RATE_HZ)?;
        let rate_hz = decoder.rate_hz();
        if let Some(detector) = Detector::new(rate_hz) {
            return Some(Self {
                decoder,
                resampler: None,
                detector,
            });
        }
        Some(Self {
            decoder,
            resampler: Some(Resampler::new(rate_hz, RATE_HZ)?),
            detector: Detector::new(RATE_HZ)?,
        })
    }

    fn hear(&mut self, payload: &[u8], tell: &mut impl FnMut(Heard)) {
        if let Coding::G711(law) = self.decoder.coding() {
            return hear_g711(&mut self.detector, law, payload, tell);
        }
        let mut samples = [0; MAX_SAMPLES];
        let Some(count) = self.decoder.decode(payload, &mut samples) else {
            return;
        };
        let Some(resampler) = self.resampler.as_mut() else {
            return self.detector.hear(&samples[..count], tell);
        };
        let mut narrow = [0; MAX_SAMPLES];
        let count = resampler.process(&samples[..count], &mut narrow);
        self.detector.hear(&narrow[..count], tell);
    }
}

/// Without a buffer for the longest packet of all codecs.
fn hear_g711(detector: &mut Detector, law: Law, payload: &[u8], tell: &mut impl FnMut(Heard)) {
    let table = law.decoder();
    for piece in payload.chunks(PIECE) {
        let mut samples = [0; PIECE];
        for (sample, &octet) in samples.iter_mut().zip(piece) {
            *sample = table[usize::from(octet)];
        }
        detector.hear(&samples[..piece.len()], &mut *tell);
    }
}

/// One payload type that carries audio.
#[derive(Debug)]
struct Channel {
    payload_type: u8,
    coding: Coding,
    /// Made when the first packet comes, so that what is agreed and not used costs nothing.
    listener: Option<Finder>,
}

/// What came last.
#[derive(Debug, Clone, Copy)]
struct Last {
    channel: usize,
    ssrc: u32,
    sequence: u16,
    /// The timestamp that follows it.
    next: u32,
    heard_at: Nanos,
}

/// See the module.
#[derive(Debug)]
pub struct ToneListener {
    channels: Vec<Channel>,
    last: Option<Last>,
    /// A digit is held, as far as we know.
    pressed: bool,
}

impl ToneListener {
    /// None when nothing of what was agreed can be decoded.
    pub fn new(formats: &[Format]) -> Option<Self> {
        let channels: Vec<Channel> = formats
            .iter()
            .filter_map(|format| {
                Some(Channel {
                    payload_type: format.payload_type,
                    coding: format.coding?,
                    listener: None,
                })
            })
            .collect();
        (!channels.is_empty()).then_some(Self {
            channels,
            last: None,
            pressed: false,
        })
    }

    /// Whether `new` would make the same of these.
    pub fn is_for(&self, formats: &[Format]) -> bool {
        let known = self
            .channels
            .iter()
            .map(|channel| (channel.payload_type, channel.coding));
        known.eq(formats
            .iter()
            .filter_map(|format| Some((format.payload_type, format.coding?))))
    }

    /// Listen to a packet of the peer; `tell` is called for each digit that went down or up.
    pub fn hear(&mut self, packet: &Packet, payload: &[u8], now: Nanos, mut tell: impl FnMut(Heard)) {
        let Some(index) = self
            .channels
            .iter()
            .position(|channel| channel.payload_type == packet.payload_type)
        else {
            return;
        };
        let coding = self.channels[index].coding;
        let Some(units) = coding.units(payload) else {
            return;
        };
        if let Some(last) = self.last {
            let same = last.ssrc == packet.ssrc && last.channel == index;
            let ahead = packet.sequence.wrapping_sub(last.sequence);
            if same && (ahead == 0 || ahead > u16::MAX - 100) {
                return; // a copy, or late
            }
            let gap = packet.timestamp.wrapping_sub(last.next);
            if !same || gap > coding.clock_hz() / 1000 * GAP_MS {
                self.fall_silent(&mut tell);
            }
        }
        self.last = Some(Last {
            channel: index,
            ssrc: packet.ssrc,
            sequence: packet.sequence,
            next: packet.timestamp.wrapping_add(units),
            heard_at: now,
        });
        let channel = &mut self.channels[index];
        if channel.listener.is_none() {
            channel.listener = Finder::new(coding);
        }
        if let Some(listener) = channel.listener.as_mut() {
            let pressed = &mut self.pressed;
            listener.hear(payload, &mut |heard| {
                *pressed = matches!(heard, Heard::Down(_));
                tell(heard);
            });
        }
    }

    /// End a press when the peer has stopped sending.
    pub fn expire(&mut self, now: Nanos, mut tell: impl FnMut(Heard)) {
        let silent = |last: &Last| now.saturating_sub(last.heard_at) >= GIVEN_UP;
        if self.pressed && self.last.as_ref().is_some_and(silent) {
            self.fall_silent(&mut tell);
        }
    }

    /// What is being pressed has ended.
    pub fn fall_silent(&mut self, tell: &mut impl FnMut(Heard)) {
        let listener = self.last.and_then(|last| self.channels[last.channel].listener.as_mut());
        if let Some(listener) = listener {
            let pressed = &mut self.pressed;
            listener.detector.hear(&SILENCE, |heard| {
                *pressed = matches!(heard, Heard::Down(_));
                tell(heard);
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::MILLISECOND;
    use crate::codec::audio::Encoder;
    use crate::dtmf::event_of;
    use crate::dtmf::tones::fill_tones;
    use crate::testing::codec;

    fn format(name: &str, clock_rate_hz: u32, channels: u8, payload_type: u8) -> Format {
        Format::new(&codec(payload_type, name, clock_rate_hz, channels))
    }

    /// A peer that presses digits in its audio, and the listener that hears it.
    struct Call {
        listener: ToneListener,
        coding: Coding,
        encoder: Encoder,
        sequence: u16,
        timestamp: u32,
        now: Nanos,
        told: String,
    }

    impl Call {
        fn new(format: Format) -> Self {
            let coding = format.coding.expect("a codec");
            Self {
                listener: ToneListener::new(&[format]).expect("a listener"),
                coding,
                encoder: Encoder::new(coding, 8000).expect("an encoder"),
                sequence: 0xFFF0,
                timestamp: u32::MAX - 1000,
                now: 0,
                told: String::new(),
            }
        }

        /// A packet of 10 ms; one that is not `sent` is lost.
        fn say(&mut self, payload: &[u8], sent: bool) {
            self.sequence = self.sequence.wrapping_add(1);
            self.now += 10 * MILLISECOND;
            let packet = Packet {
                marker: false,
                payload_type: 96,
                sequence: self.sequence,
                timestamp: self.timestamp,
                ssrc: 1,
                payload: 0..0,
            };
            self.timestamp = self.timestamp.wrapping_add(self.coding.clock_hz() / 100);
            if sent {
                let told = &mut self.told;
                self.listener
                    .hear(&packet, payload, self.now, |heard| note(told, heard));
            }
        }

        /// A digit for so long, then silence for as long. `lost`: packets that are.
        fn press(&mut self, digit: char, tone_ms: u32, lost: &[u32]) {
            let rate_hz = self.encoder.rate_hz();
            let in_10_ms = rate_hz / 100;
            for part in 0..tone_ms / 5 {
                let mut samples = vec![0; in_10_ms as usize];
                let event = event_of(digit).expect("a digit");
                fill_tones(event, part * in_10_ms, tone_ms * rate_hz / 1000, rate_hz, &mut samples);
                let mut payload = [0; 1500];
                let length = self.encoder.encode(&samples, &mut payload);
                self.say(&payload[..length], !lost.contains(&part));
            }
        }
    }

    fn note(told: &mut String, heard: Heard) {
        match heard {
            Heard::Down(digit) => told.push(digit),
            Heard::Up(_) => told.push('.'),
        }
    }

    #[test]
    fn digits_are_heard_in_every_codec_that_we_know() {
        for format in [
            format("PCMU", 8000, 1, 96),
            format("PCMA", 8000, 1, 96),
            format("G722", 8000, 1, 96),
            format("opus", 48_000, 2, 96),
            format("L16", 8000, 1, 96),
            format("L16", 16_000, 2, 96),
            format("L16", 44_100, 1, 96),
            format("L16", 48_000, 1, 96),
        ] {
            let name = format!("{} {}", format.name, format.clock_rate_hz);
            let mut call = Call::new(format);
            for digit in "159D*#55".chars() {
                call.press(digit, 60, &[]);
            }
            assert_eq!(call.told, "1.5.9.D.*.#.5.5.", "{name}");
        }
        assert!(ToneListener::new(&[format("G729", 8000, 1, 18)]).is_none());
    }

    #[test]
    fn a_lost_packet_leaves_one_press_and_a_long_gap_two() {
        for (lost, told) in [(&[][..], "5."), (&[6, 7], "5."), (&[6, 7, 8, 9, 10, 11, 12], "5.5.")] {
            let mut call = Call::new(format("PCMU", 8000, 1, 96));
            call.press('5', 200, lost);
            assert_eq!(call.told, told, "{lost:?}");
        }
    }

    #[test]
    fn a_press_in_the_midst_of_which_the_peer_falls_silent_ends() {
        let mut call = Call::new(format("PCMU", 8000, 1, 96));
        let lost: Vec<u32> = (10..40).collect();
        call.press('7', 200, &lost);
        assert_eq!(call.told, "7");
        let told = &mut call.told;
        call.listener.expire(call.now, |heard| note(told, heard));
        assert_eq!(call.told, "7.");
        let told = &mut call.told;
        call.listener.expire(call.now, |heard| note(told, heard));
        assert_eq!(call.told, "7.");
    }

    #[test]
    fn copies_and_late_packets_are_not_heard() {
        let mut call = Call::new(format("PCMU", 8000, 1, 96));
        let mut samples = [0; 80];
        let mut payloads: Vec<Vec<u8>> = Vec::new();
        for part in 0..20 {
            fill_tones(5, part * 80, 800, 8000, &mut samples);
            let mut payload = [0; 80];
            call.encoder.encode(&samples, &mut payload);
            payloads.push(payload.to_vec());
        }
        for (index, payload) in payloads.iter().enumerate() {
            call.say(payload, true);
            // Silence that is older comes in the middle of the tone, twice.
            for back in [0, 4] {
                let packet = Packet {
                    marker: false,
                    payload_type: 96,
                    sequence: call.sequence.wrapping_sub(back),
                    timestamp: 0,
                    ssrc: 1,
                    payload: 0..0,
                };
                let told = &mut call.told;
                if index > 3 {
                    call.listener
                        .hear(&packet, &[0xFF; 320], call.now, |heard| note(told, heard));
                }
            }
        }
        assert_eq!(call.told, "5.");
    }

    #[test]
    fn any_packets_leave_it_listening() {
        let mut random = crate::random::Random::new(11);
        let formats = [
            format("PCMU", 8000, 1, 0),
            format("G722", 8000, 1, 9),
            format("opus", 48_000, 2, 111),
        ];
        let mut listener = ToneListener::new(&formats).expect("a listener");
        assert!(listener.is_for(&formats) && !listener.is_for(&formats[..2]));
        for index in 0..5000_u64 {
            let payload: Vec<u8> = (0..random.below(300)).map(|_| random.next() as u8).collect();
            let packet = Packet {
                marker: false,
                payload_type: [0, 9, 111, 8][random.below(4) as usize],
                sequence: random.next() as u16,
                timestamp: random.next() as u32,
                ssrc: random.below(2) as u32,
                payload: 0..0,
            };
            listener.hear(&packet, &payload, index * MILLISECOND, |_| ());
        }
    }
}
