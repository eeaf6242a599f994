//! What a peer is sent of audio that we make ourselves: the stream's one encoder, fed by whoever speaks at the moment (a
//! play, the other side of a transcoded bridge, a mix, digits as tones), and the packets that come out of it.
//!
//! Samples are collected until a packet is full, since ticks and packets need not be of one length. Where comfort noise
//! was agreed, pauses between words are told once and not sent (RFC 3389).

use crate::audio::resample::Resampler;
use crate::codec::audio::{Coding, Encoder};
use crate::codec::cn::{self, Suppressor, Verdict};

/// The rate of prompts and tones.
pub const PROMPT_HZ: u32 = 8000;
/// The longest packet that we make.
const MAX_PACKET_MS: u32 = 60;
/// Samples of prompts that are resampled at a time.
const MAX_PROMPT: usize = (PROMPT_HZ / 1000 * MAX_PACKET_MS) as usize;

/// What is to be sent for one packet's worth of audio.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Said {
    /// So many octets, of this payload type.
    Packet { payload_type: u8, octets: usize },
    /// Nothing: the peer knows that this is a pause.
    Pause,
}

/// What was agreed on the audio that a peer is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terms {
    pub payload_type: u8,
    pub coding: Coding,
    /// The length of a packet.
    pub packet_ms: u32,
    /// The payload type of comfort noise beside audio of the codec's clock.
    pub noise: Option<u8>,
}

impl Terms {
    /// What RFC 3389 says of noise is for telephone bandwidth.
    fn noise_at(&self, rate_hz: u32) -> Option<u8> {
        self.noise.filter(|_| rate_hz == PROMPT_HZ)
    }
}

/// See the module.
#[derive(Debug)]
pub struct Speaking {
    payload_type: u8,
    coding: Coding,
    encoder: Encoder,
    packet_ms: u32,
    frame: Vec<i16>,
    /// Samples at the beginning of `frame` that wait for the others.
    filled: usize,
    /// From the rate of prompts to ours, once one was played.
    from_prompts: Option<Resampler>,
    expected_loss: u8,
    /// The payload type of comfort noise.
    noise: Option<(u8, Suppressor)>,
}

impl Speaking {
    /// An encoder for what was agreed, for audio of `wanted_hz` if the codec can take it so. None when libopus has no memory.
    pub fn new(terms: Terms, wanted_hz: u32) -> Option<Self> {
        let encoder = Encoder::new(terms.coding, wanted_hz)?;
        let rate_hz = encoder.rate_hz();
        Some(Self {
            payload_type: terms.payload_type,
            coding: terms.coding,
            packet_ms: terms.packet_ms,
            frame: vec![0; rate_hz as usize * terms.packet_ms as usize / 1000],
            filled: 0,
            from_prompts: None,
            expected_loss: 0,
            noise: terms.noise_at(rate_hz).map(|number| (number, Suppressor::default())),
            encoder,
        })
    }

    /// Whether this is what `new` would make.
    pub fn is_for(&self, terms: Terms, wanted_hz: u32) -> bool {
        (terms.payload_type, terms.coding) == (self.payload_type, self.coding)
            && terms.coding.rate_hz(wanted_hz) == self.rate_hz()
            && terms.packet_ms == self.packet_ms
            && terms.noise_at(self.rate_hz()) == self.noise.as_ref().map(|(number, _)| *number)
    }

    pub fn coding(&self) -> Coding {
        self.coding
    }

    pub fn payload_type(&self) -> u8 {
        self.payload_type
    }

    /// The sampling rate of what is said.
    pub fn rate_hz(&self) -> u32 {
        self.encoder.rate_hz()
    }

    pub fn packet_ms(&self) -> u32 {
        self.packet_ms
    }

    /// The length of a packet in units of the RTP clock.
    pub fn packet_units(&self) -> u32 {
        self.encoder.units(self.frame.len())
    }

    /// Samples in units of the RTP clock.
    pub fn units(&self, samples: usize) -> u32 {
        self.encoder.units(samples)
    }

    /// Whether a frame of that length becomes a packet by itself, whatever is in it.
    pub fn takes_frames_as_they_are(&self, length_ms: u32) -> bool {
        self.packet_ms == length_ms && self.filled == 0 && self.noise.is_none()
    }

    /// How many packets of a hundred the peer misses, by its reports: Opus then sends copies (FEC).
    pub fn expect_loss(&mut self, percent: u8) {
        if percent != self.expected_loss {
            self.expected_loss = percent;
            self.encoder.expect_loss(percent);
        }
    }

    /// Room for a whole packet's samples, to be filled and encoded at once; what was waiting is dropped.
    pub fn whole_frame(&mut self) -> &mut [i16] {
        self.filled = self.frame.len();
        &mut self.frame
    }

    /// Add samples of `rate_hz()`, as far as there is room. Returns how many were taken; a full frame wants `encode`.
    pub fn add(&mut self, samples: &[i16]) -> usize {
        let count = samples.len().min(self.frame.len() - self.filled);
        self.frame[self.filled..self.filled + count].copy_from_slice(&samples[..count]);
        self.filled += count;
        count
    }

    pub fn is_full(&self) -> bool {
        self.filled == self.frame.len()
    }

    /// Fill the frame from audio at the rate of prompts: `give` writes the next samples.
    pub fn fill_from_prompt(&mut self, give: impl FnOnce(&mut [i16])) {
        self.filled = self.frame.len();
        if self.rate_hz() == PROMPT_HZ {
            return give(&mut self.frame);
        }
        let rate_hz = self.encoder.rate_hz();
        if self.from_prompts.is_none() {
            self.from_prompts = Resampler::new(PROMPT_HZ, rate_hz);
        }
        let mut samples = [0; MAX_PROMPT];
        let count = ((PROMPT_HZ / 1000 * self.packet_ms) as usize).min(MAX_PROMPT);
        give(&mut samples[..count]);
        let written = self
            .from_prompts
            .as_mut()
            .map_or(0, |resampler| resampler.process(&samples[..count], &mut self.frame));
        self.frame[written..].fill(0);
    }

    /// Encode the frame into `out` (room for a datagram), and begin a new one. `may_pause`: pauses may be told as noise.
    pub fn encode(&mut self, may_pause: bool, out: &mut [u8]) -> Said {
        self.frame[self.filled..].fill(0);
        self.filled = 0;
        if let Some((payload_type, suppressor)) = self.noise.as_mut().filter(|_| may_pause) {
            match suppressor.judge(&self.frame, self.packet_ms) {
                Verdict::Speech => {}
                Verdict::Pause => return Said::Pause,
                Verdict::Noise(noise) => {
                    let mut octets = [0; cn::MAX_OCTETS];
                    let count = noise.write(&mut octets).min(out.len());
                    out[..count].copy_from_slice(&octets[..count]);
                    return Said::Packet {
                        payload_type: *payload_type,
                        octets: count,
                    };
                }
            }
        }
        match self.encoder.encode(&self.frame, out) {
            0 => Said::Pause,
            octets => Said::Packet {
                payload_type: self.payload_type,
                octets,
            },
        }
    }
}

/// The length of our packets for an agreed `ptime`.
pub fn packet_ms(coding: Coding, ptime_ms: u32) -> u32 {
    coding.packet_ms(ptime_ms.min(MAX_PACKET_MS))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{self, voice};

    fn terms(ptime_ms: u32, codecs: &[(u8, &str, u32, u8)]) -> Option<Terms> {
        let codecs = codecs
            .iter()
            .map(|&(number, name, clock_rate_hz, channels)| testing::codec(number, name, clock_rate_hz, channels));
        let mut connect = testing::connect(codecs.collect());
        connect.ptime_ms = ptime_ms;
        testing::session(&connect).terms()
    }

    fn encoder(ptime_ms: u32, codecs: &[(u8, &str, u32, u8)], name: &str) -> Speaking {
        let terms = terms(ptime_ms, codecs);
        terms.and_then(|terms| Speaking::new(terms, 8000)).expect(name)
    }

    /// Packets of a second of `samples`, added 20 ms at a time.
    fn say(speaking: &mut Speaking, samples: &[i16]) -> Vec<Said> {
        let mut said = Vec::new();
        let mut octets = [0; 2000];
        for tick in samples.chunks((speaking.rate_hz() / 50) as usize) {
            let mut taken = 0;
            while taken < tick.len() {
                taken += speaking.add(&tick[taken..]);
                if speaking.is_full() {
                    said.push(speaking.encode(true, &mut octets));
                }
            }
        }
        said
    }

    #[test]
    fn packets_have_the_agreed_length_whatever_the_ticks__rfc4566_6_ptime() {
        for (ptime_ms, packets) in [(10, 100), (20, 50), (30, 33), (40, 25), (60, 16), (100, 16)] {
            let mut speaking = encoder(ptime_ms, &[(9, "G722", 8000, 1)], "G.722");
            assert_eq!(speaking.rate_hz(), 16_000);
            let said = say(&mut speaking, &voice(1, 16_000, 16_000));
            let octets = (speaking.packet_ms() * 8) as usize;
            assert_eq!(said.len(), packets, "{ptime_ms}");
            assert!(said.iter().all(|&one| one
                == Said::Packet {
                    payload_type: 9,
                    octets
                }));
        }
    }

    #[test]
    fn the_first_codec_that_we_know_is_spoken() {
        let agreed = [(18, "G729", 8000, 1), (8, "PCMA", 8000, 1), (0, "PCMU", 8000, 1)];
        let speaking = encoder(20, &agreed, "PCMA");
        assert_eq!(speaking.payload_type(), 8);
        assert!(terms(20, &agreed[..1]).is_none());
    }

    #[test]
    fn an_encoder_is_kept_as_long_as_it_fits() {
        let opus = |ptime_ms, number| terms(ptime_ms, &[(number, "opus", 48_000, 2)]).expect("Opus");
        let speaking = Speaking::new(opus(20, 96), 16_000).expect("memory");
        assert!(speaking.is_for(opus(20, 96), 16_000));
        assert!(!speaking.is_for(opus(20, 96), 8000), "another bandwidth");
        assert!(!speaking.is_for(opus(40, 96), 16_000), "other packets");
        assert!(!speaking.is_for(opus(20, 97), 16_000), "another number");
    }

    #[test]
    fn a_pause_is_told_once_and_not_sent_where_noise_was_agreed__rfc3389() {
        let agreed = [(0, "PCMU", 8000, 1), (13, "CN", 8000, 1)];
        let mut speaking = encoder(20, &agreed, "PCMU");
        let loud = say(&mut speaking, &voice(3, 8000, 8000));
        let count = |said: &[Said], wanted: fn(&Said) -> bool| said.iter().filter(|one| wanted(one)).count();
        assert!(count(&loud, |one| matches!(one, Said::Packet { payload_type: 0, .. })) > 30);
        let quiet = say(&mut speaking, &[0; 8000]);
        assert_eq!(
            count(&quiet, |one| matches!(one, Said::Packet { payload_type: 13, .. })),
            1
        );
        assert!(count(&quiet, |one| *one == Said::Pause) > 30);
        let mut plain = encoder(20, &agreed[..1], "PCMU");
        assert_eq!(count(&say(&mut plain, &[0; 8000]), |one| *one == Said::Pause), 0);
    }

    #[test]
    fn prompts_are_heard_at_the_rate_of_the_codec() {
        let mut speaking = encoder(20, &[(96, "L16", 16_000, 1)], "L16");
        let prompt = crate::testing::chirp(300.0, 3000.0, 8000, 8000, 8000.0);
        let (mut heard, mut octets) = (Vec::new(), [0; 2000]);
        for part in prompt.chunks(160) {
            speaking.fill_from_prompt(|samples| samples.copy_from_slice(part));
            let said = speaking.encode(false, &mut octets);
            assert_eq!(
                said,
                Said::Packet {
                    payload_type: 96,
                    octets: 640
                }
            );
            heard.extend(
                octets[..640]
                    .chunks(2)
                    .map(|pair| i16::from_be_bytes([pair[0], pair[1]])),
            );
        }
        let wanted = crate::testing::chirp(300.0, 3000.0, 16_000, 16_000, 8000.0);
        let (snr, _) = crate::testing::fit(&wanted, &heard, 200);
        assert!(snr > 40.0, "{snr:.1} dB");
    }
}
