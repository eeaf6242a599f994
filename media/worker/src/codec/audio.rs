//! One packet of audio to samples and back, whatever the codec: what playout, transcoding, mixing and recording build on.
//!
//! Audio is mono, 16 bits, at the codec's own sampling rate; only Opus can be asked for another one. Two units of time
//! meet here: samples of that rate, and *units* of the RTP clock, which differ for G.722 and Opus.

use crate::codec::g711::Law;
use crate::codec::{g722, l16, opus};

/// Samples in the longest packet that can come: 120 ms at 48 kHz.
pub const MAX_SAMPLES: usize = 5760;
/// Octets in the longest packet that we make: what a network carries in one piece.
pub const MAX_OCTETS: usize = 1400;

/// A codec that we can hear and speak, with its parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Coding {
    G711(Law),
    G722,
    L16 { rate_hz: u32, channels: u8 },
    Opus(opus::Wishes),
}

impl Coding {
    /// The codec of an SDP encoding name, clock rate, channel count and `fmtp`; None when we do not know it.
    pub fn find(name: &str, clock_rate_hz: u32, channels: u8, fmtp: &str) -> Option<Self> {
        match (name.to_ascii_uppercase().as_str(), clock_rate_hz, channels) {
            ("PCMU", 8000, 1) => Some(Coding::G711(Law::Mu)),
            ("PCMA", 8000, 1) => Some(Coding::G711(Law::A)),
            ("G722", 8000, 1) => Some(Coding::G722),
            ("L16", 8000 | 16_000 | 24_000 | 32_000 | 44_100 | 48_000, 1 | 2) => Some(Coding::L16 {
                rate_hz: clock_rate_hz,
                channels,
            }),
            // Always announced with two channels (RFC 7587 4.1).
            ("OPUS", opus::CLOCK_HZ, 2) => Some(Coding::Opus(opus::Wishes::parse(fmtp))),
            _ => None,
        }
    }

    /// The RTP clock.
    pub fn clock_hz(self) -> u32 {
        match self {
            Coding::G711(_) | Coding::G722 => 8000,
            Coding::L16 { rate_hz, .. } => rate_hz,
            Coding::Opus(_) => opus::CLOCK_HZ,
        }
    }

    /// The sampling rate to work at, when the other side of the audio works at `wanted_hz`.
    pub fn rate_hz(self, wanted_hz: u32) -> u32 {
        match self {
            Coding::G711(_) => 8000,
            Coding::G722 => g722::RATE_HZ,
            Coding::L16 { rate_hz, .. } => rate_hz,
            Coding::Opus(_) if opus::is_rate(wanted_hz) => wanted_hz,
            Coding::Opus(_) => opus::CLOCK_HZ,
        }
    }

    /// The packet length to use for an agreed `ptime`: one that the codec can make and a network carries in one piece.
    pub fn packet_ms(self, ptime_ms: u32) -> u32 {
        match self {
            Coding::Opus(_) => opus::frame_ms(ptime_ms),
            Coding::G711(_) | Coding::G722 => (ptime_ms / 10 * 10).clamp(10, 120),
            Coding::L16 { rate_hz, channels } => {
                let octets_in_10_ms = rate_hz / 100 * 2 * u32::from(channels);
                let most = MAX_OCTETS as u32 / octets_in_10_ms * 10;
                // Two channels at 44.1 kHz and above: not even 10 ms fit, and fragments are better than no sound.
                (ptime_ms / 10 * 10).clamp(10, most.max(10))
            }
        }
    }

    /// Length of a payload in units of the RTP clock; None when it cannot be a payload of this codec.
    pub fn units(self, payload: &[u8]) -> Option<u32> {
        let units = match self {
            Coding::G711(_) | Coding::G722 => payload.len() as u32,
            Coding::L16 { channels, .. } => l16::count(payload, channels)? as u32,
            Coding::Opus(_) => opus::units(payload)?,
        };
        (units > 0).then_some(units)
    }
}

/// Samples to packets.
#[derive(Debug)]
pub struct Encoder {
    rate_hz: u32,
    clock_hz: u32,
    machine: EncoderOf,
}

#[derive(Debug)]
enum EncoderOf {
    G711(Law),
    G722(Box<g722::Encoder>),
    L16(u8),
    Opus(opus::Encoder),
}

impl Encoder {
    /// An encoder for audio that comes at `wanted_hz` if the codec can take it so, else at `rate_hz()`. None when libopus
    /// has no memory.
    pub fn new(coding: Coding, wanted_hz: u32) -> Option<Self> {
        let rate_hz = coding.rate_hz(wanted_hz);
        let machine = match coding {
            Coding::G711(law) => EncoderOf::G711(law),
            Coding::G722 => EncoderOf::G722(Box::default()),
            Coding::L16 { channels, .. } => EncoderOf::L16(channels),
            Coding::Opus(wishes) => EncoderOf::Opus(opus::Encoder::new(rate_hz, &wishes, opus::COMPLEXITY)?),
        };
        Some(Self {
            rate_hz,
            clock_hz: coding.clock_hz(),
            machine,
        })
    }

    /// The sampling rate of what `encode` takes.
    pub fn rate_hz(&self) -> u32 {
        self.rate_hz
    }

    /// Samples in units of the RTP clock.
    pub fn units(&self, samples: usize) -> u32 {
        (samples as u64 * u64::from(self.clock_hz) / u64::from(self.rate_hz)) as u32
    }

    /// How many packets of a hundred the peer is likely to miss, from its reports.
    pub fn expect_loss(&mut self, percent: u8) {
        if let EncoderOf::Opus(encoder) = &mut self.machine {
            encoder.expect_loss(percent);
        }
    }

    /// Encode one packet's samples (`Coding::packet_ms`). Returns its length: 0 when there is nothing to send, which is a
    /// pause of discontinuous transmission, or an impossible number of samples.
    pub fn encode(&mut self, samples: &[i16], out: &mut [u8]) -> usize {
        match &mut self.machine {
            EncoderOf::G711(law) => {
                let law = *law;
                out.iter_mut()
                    .zip(samples)
                    .for_each(|(octet, &sample)| *octet = law.encode(sample));
                out.len().min(samples.len())
            }
            EncoderOf::G722(encoder) => encoder.encode(samples, out),
            EncoderOf::L16(channels) => l16::encode(samples, *channels, out),
            EncoderOf::Opus(encoder) => encoder.encode(samples, out).filter(|&length| length > 2).unwrap_or(0),
        }
    }
}

/// Packets to samples.
#[derive(Debug)]
pub struct Decoder {
    coding: Coding,
    rate_hz: u32,
    machine: DecoderOf,
}

#[derive(Debug)]
enum DecoderOf {
    G711(Law),
    G722(Box<g722::Decoder>),
    L16(u8),
    Opus(opus::Decoder),
}

impl Decoder {
    /// A decoder that gives audio at `wanted_hz` if the codec can, else at `rate_hz()`. None when libopus has no memory.
    pub fn new(coding: Coding, wanted_hz: u32) -> Option<Self> {
        let rate_hz = coding.rate_hz(wanted_hz);
        let machine = match coding {
            Coding::G711(law) => DecoderOf::G711(law),
            Coding::G722 => DecoderOf::G722(Box::default()),
            Coding::L16 { channels, .. } => DecoderOf::L16(channels),
            Coding::Opus(_) => DecoderOf::Opus(opus::Decoder::new(rate_hz)?),
        };
        Some(Self {
            coding,
            rate_hz,
            machine,
        })
    }

    pub fn coding(&self) -> Coding {
        self.coding
    }

    /// The sampling rate of what `decode` gives.
    pub fn rate_hz(&self) -> u32 {
        self.rate_hz
    }

    /// Units of the RTP clock in samples of this decoder, rounded down.
    pub fn samples(&self, units: u32) -> usize {
        (u64::from(units) * u64::from(self.rate_hz) / u64::from(self.coding.clock_hz())) as usize
    }

    /// Decode one packet into `out`, which has room for `MAX_SAMPLES`. Returns how many samples it held; None when it is
    /// damaged, which is like a loss.
    pub fn decode(&mut self, payload: &[u8], out: &mut [i16]) -> Option<usize> {
        let count = match &mut self.machine {
            DecoderOf::G711(law) => {
                let table = law.decoder();
                out.iter_mut()
                    .zip(payload)
                    .for_each(|(sample, &octet)| *sample = table[usize::from(octet)]);
                out.len().min(payload.len())
            }
            DecoderOf::G722(decoder) => decoder.decode(payload, out),
            DecoderOf::L16(channels) => l16::decode(payload, *channels, out),
            DecoderOf::Opus(decoder) => decoder.decode(payload, out)?,
        };
        (count > 0).then_some(count)
    }

    /// Whether `conceal` works: the other codecs know nothing that could tell what was lost (`plc` guesses for them).
    pub fn conceals(&self) -> bool {
        matches!(self.machine, DecoderOf::Opus(_))
    }

    /// Fill `out` (multiples of 2.5 ms) in place of lost packets. `next`: the packet right behind them, if it is there.
    pub fn conceal(&mut self, next: Option<&[u8]>, out: &mut [i16]) {
        match &mut self.machine {
            DecoderOf::Opus(decoder) => decoder.conceal(next, out),
            _ => out.fill(0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;
    use crate::testing::{chirp, fit, voice};

    const L16_RATES: [u32; 6] = [8000, 16_000, 24_000, 32_000, 44_100, 48_000];

    fn all() -> Vec<Coding> {
        let mut all = vec![
            Coding::G711(Law::Mu),
            Coding::G711(Law::A),
            Coding::G722,
            Coding::Opus(opus::Wishes::default()),
        ];
        for rate_hz in L16_RATES {
            all.extend([1, 2].map(|channels| Coding::L16 { rate_hz, channels }));
        }
        all
    }

    #[test]
    fn codecs_are_found_by_their_sdp_names() {
        let cases = [
            (("pcmu", 8000, 1), Some(Coding::G711(Law::Mu))),
            (("PCMA", 8000, 1), Some(Coding::G711(Law::A))),
            (("PCMU", 16_000, 1), None),
            (("G722", 8000, 1), Some(Coding::G722)),
            (("G722", 16_000, 1), None),
            (
                ("L16", 44_100, 2),
                Some(Coding::L16 {
                    rate_hz: 44_100,
                    channels: 2,
                }),
            ),
            (("L16", 11_025, 1), None),
            (("opus", 48_000, 2), Some(Coding::Opus(opus::Wishes::default()))),
            (("opus", 48_000, 1), None),
            (("G729", 8000, 1), None),
        ];
        for ((name, clock, channels), expected) in cases {
            assert_eq!(
                Coding::find(name, clock, channels, ""),
                expected,
                "{name}/{clock}/{channels}"
            );
        }
    }

    #[test]
    fn packets_of_all_codecs_have_the_length_that_their_clock_says() {
        for coding in all() {
            for ptime_ms in [10, 20, 30, 40, 60] {
                let length_ms = coding.packet_ms(ptime_ms);
                let mut encoder = Encoder::new(coding, 16_000).expect("an encoder");
                let count = (encoder.rate_hz() * length_ms / 1000) as usize;
                let said = voice(1, encoder.rate_hz(), count);
                let mut octets = [0; 2000];
                let length = encoder.encode(&said, &mut octets);
                let units = coding.units(&octets[..length]);
                assert_eq!(
                    units,
                    Some(coding.clock_hz() * length_ms / 1000),
                    "{coding:?} {ptime_ms}"
                );
                assert_eq!(units, Some(encoder.units(count)));
                let mut decoder = Decoder::new(coding, 16_000).expect("a decoder");
                let mut heard = [0; MAX_SAMPLES];
                assert_eq!(
                    decoder.decode(&octets[..length], &mut heard),
                    Some(decoder.samples(encoder.units(count)))
                );
                assert!(
                    length <= MAX_OCTETS || coding.packet_ms(ptime_ms) == 10,
                    "{coding:?} {ptime_ms}: {length}"
                );
            }
        }
    }

    #[test]
    fn a_chirp_through_each_codec_keeps_its_signal_to_noise_ratio() {
        // (codec, upper end of the chirp in Hz, least SNR in dB: each codec's own best as measured, less 1 dB)
        let cases = [
            (Coding::G711(Law::Mu), 3400.0, 38.0),
            (Coding::G711(Law::A), 3400.0, 38.0),
            (Coding::G722, 3400.0, 46.5),
            (Coding::G722, 7000.0, 26.0),
            (
                Coding::L16 {
                    rate_hz: 8000,
                    channels: 1,
                },
                3400.0,
                200.0,
            ),
            (
                Coding::L16 {
                    rate_hz: 44_100,
                    channels: 2,
                },
                20_000.0,
                200.0,
            ),
            (
                Coding::L16 {
                    rate_hz: 48_000,
                    channels: 1,
                },
                20_000.0,
                200.0,
            ),
        ];
        for (coding, highest_hz, least) in cases {
            let (mut encoder, mut decoder) = (
                Encoder::new(coding, 0).expect("one"),
                Decoder::new(coding, 0).expect("one"),
            );
            let count = (encoder.rate_hz() / 100) as usize;
            let said = chirp(100.0, highest_hz, encoder.rate_hz(), count * 200, 8000.0);
            let mut heard = Vec::new();
            let (mut octets, mut samples) = ([0; 2000], [0; MAX_SAMPLES]);
            for frame in said.chunks_exact(count) {
                let length = encoder.encode(frame, &mut octets);
                let count = decoder.decode(&octets[..length], &mut samples).expect("a packet");
                heard.extend_from_slice(&samples[..count]);
            }
            let (snr, shift) = fit(&said, &heard, 30);
            println!("{coding:?}: {snr:.1} dB after {shift} samples");
            assert!(snr >= least, "{coding:?}: {snr:.1} dB");
        }
    }

    #[test]
    fn any_octets_are_samples_or_none() {
        let mut random = Random::new(4);
        let mut samples = [0; MAX_SAMPLES];
        for coding in all() {
            let mut decoder = Decoder::new(coding, 8000).expect("a decoder");
            for _ in 0..300 {
                let payload: Vec<u8> = (0..random.below(1500)).map(|_| random.next() as u8).collect();
                if let Some(count) = decoder.decode(&payload, &mut samples) {
                    assert!(count <= MAX_SAMPLES);
                    if let Some(units) = coding.units(&payload) {
                        assert_eq!(count, decoder.samples(units), "{coding:?} {}", payload.len());
                    }
                }
            }
            assert_eq!((coding.units(&[]), decoder.decode(&[], &mut samples)), (None, None));
        }
    }
}
