//! What a peer says, as an even stream of samples: jitter buffer, decoder, concealment, comfort noise, drift and resampling
//! in one. Whoever transcodes, mixes or records asks for a tick's worth of samples and always gets it.
//!
//! Decoded audio waits in a short line, since packets and ticks need not be of one length. When the delay has drifted from
//! where the jitter buffer wants it, one period of the voice is left out or said twice, at most ten times a second; more often
//! when it is far too long or nobody speaks.

use crate::audio::jitter::{Arrival, Content, Counts, Fate, Jitter, Limits, Next};
use crate::audio::plc::{is_pause, shorten, Concealer};
use crate::audio::resample::Resampler;
use crate::clock::{Nanos, MILLISECOND};
use crate::codec::audio::{Coding, Decoder, MAX_SAMPLES};
use crate::codec::cn;
use crate::rtp::Packet;

/// How far the delay may be from its aim, in milliseconds: too long by more than a tick, or too short.
const TOO_LONG_MS: i64 = 25;
const TOO_SHORT_MS: i64 = -5;
/// From here on it is mended without the usual rest between two changes.
const FAR_TOO_LONG_MS: i64 = 60;
const REST: Nanos = 100 * MILLISECOND;
/// The longest tick.
pub const MAX_TICK_MS: u32 = 60;
/// What the line may hold: a tick, the rest of a tick before, two packets' worth of 120 ms and a period.
const LINE_MS: u32 = 2 * MAX_TICK_MS + 2 * 120 + 15;
/// Opus conceals in steps of this many to a second: 2.5 ms.
const STEPS: u32 = 400;

/// What a payload type means to the listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lane {
    Audio(Coding),
    ComfortNoise,
    /// Handled elsewhere (telephone-event), but its packets are not lost audio.
    Other,
}

/// What the samples of a tick are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sound {
    /// Zeros.
    Silence,
    /// Comfort noise, told or guessed.
    Noise,
    /// At least in part the peer's audio, or what stands for lost audio.
    Speech,
}

/// What was done to the samples since the beginning; counts in samples at the decoder's rate.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Repairs {
    pub heard: u64,
    pub concealed: u64,
    pub lengthened: u64,
    pub shortened: u64,
    /// Packets that the decoder refused.
    pub damaged: u64,
}

/// See the module.
#[derive(Debug)]
pub struct Hearing {
    pub repairs: Repairs,
    lanes: Vec<(u8, Lane)>,
    limits: Limits,
    out_hz: u32,
    jitter: Jitter,
    noise: cn::Generator,
    /// Whether the peer told its noise.
    noisy: bool,
    chain: Chain,
    /// Decoders of other formats that were heard before, by payload type: one that changes its codec with every packet makes us
    /// work for each no more than once.
    shelf: Vec<(u8, Decoder)>,
    /// The least excess of the packets since the pace was judged, in units of the RTP clock.
    excess: Option<i64>,
    judged_at: Nanos,
}

/// The decoder at work, and all that runs at its rate.
#[derive(Debug)]
struct Chain {
    payload_type: u8,
    decoder: Decoder,
    concealer: Concealer,
    resampler: Resampler,
    line: Vec<i16>,
    /// Samples at the beginning of the line that wait to be heard.
    waiting: usize,
}

impl Chain {
    fn new(payload_type: u8, coding: Coding, out_hz: u32) -> Option<Self> {
        Self::with(payload_type, Decoder::new(coding, out_hz)?, out_hz)
    }

    fn with(payload_type: u8, decoder: Decoder, out_hz: u32) -> Option<Self> {
        let rate_hz = decoder.rate_hz();
        Some(Self {
            payload_type,
            concealer: Concealer::new(rate_hz),
            resampler: Resampler::new(rate_hz, out_hz)?,
            line: vec![0; (rate_hz / 1000 * LINE_MS) as usize],
            waiting: 0,
            decoder,
        })
    }

    /// Go on with another codec. What waits in the line is lost: at most a few milliseconds, once in a call.
    fn switch(&mut self, payload_type: u8, coding: Coding, out_hz: u32, shelf: &mut Vec<(u8, Decoder)>) {
        let kept = shelf.iter().position(|(known, _)| *known == payload_type);
        let chain = match kept {
            Some(at) => Self::with(payload_type, shelf.swap_remove(at).1, out_hz),
            None => Self::new(payload_type, coding, out_hz),
        };
        if let Some(chain) = chain {
            let before = std::mem::replace(self, chain);
            shelf.push((before.payload_type, before.decoder));
        }
    }

    fn rate_hz(&self) -> u32 {
        self.decoder.rate_hz()
    }

    /// Samples of ours that become `count` at `out_hz`.
    fn wanted(&self, count: usize, out_hz: u32) -> usize {
        (count as u64 * u64::from(self.rate_hz()) / u64::from(out_hz)) as usize
    }

    /// Samples in units of the RTP clock, rounded up.
    fn units(&self, samples: usize) -> u32 {
        let clock_hz = u64::from(self.decoder.coding().clock_hz());
        (samples as u64 * clock_hz).div_ceil(u64::from(self.rate_hz())) as u32
    }

    fn hear(&mut self, payload: &[u8]) -> Option<usize> {
        let room = &mut self.line[self.waiting..];
        let count = self.decoder.decode(payload, room)?;
        self.concealer.hear(&mut room[..count]);
        self.waiting += count;
        Some(count)
    }

    /// Add `count` samples in place of lost ones, as far as there is room. Returns how many.
    fn conceal(&mut self, count: usize, following: Option<&[u8]>) -> usize {
        let room = &mut self.line[self.waiting..];
        let mut count = count.min(room.len());
        if self.decoder.conceals() {
            let step = (self.decoder.rate_hz() / STEPS) as usize;
            count = count.next_multiple_of(step).min(room.len() / step * step);
            self.decoder.conceal(following, &mut room[..count]);
            self.concealer.hear(&mut room[..count]);
        } else {
            self.concealer.conceal(&mut room[..count]);
        }
        self.waiting += count;
        count
    }

    /// Take `out`'s worth of samples out of the line.
    fn give(&mut self, wanted: usize, out: &mut [i16]) {
        let count = wanted.min(self.waiting);
        let written = self.resampler.process(&self.line[..count], out);
        out[written..].fill(0);
        self.line.copy_within(count..self.waiting, 0);
        self.waiting -= count;
    }
}

impl Hearing {
    /// A listener for the payload types in `lanes`, of which the first audio one is expected; it gives samples of `out_hz`
    /// (one of `resample::RATES_HZ`). `seed` tells its comfort noise from others'. None without an audio lane or memory.
    pub fn new(lanes: Vec<(u8, Lane)>, out_hz: u32, limits: Limits, seed: u64) -> Option<Self> {
        let (payload_type, coding) = lanes.iter().find_map(|&(payload_type, lane)| match lane {
            Lane::Audio(coding) => Some((payload_type, coding)),
            _ => None,
        })?;
        Some(Self {
            repairs: Repairs::default(),
            limits,
            out_hz,
            jitter: Jitter::new(coding.clock_hz(), limits),
            noise: cn::Generator::new(seed),
            noisy: false,
            chain: Chain::new(payload_type, coding, out_hz)?,
            shelf: Vec::new(),
            excess: None,
            judged_at: 0,
            lanes,
        })
    }

    /// Whether this is what `new` would make of the same.
    pub fn is_for(&self, lanes: &[(u8, Lane)], out_hz: u32) -> bool {
        self.lanes == lanes && self.out_hz == out_hz
    }

    pub fn out_hz(&self) -> u32 {
        self.out_hz
    }

    /// What became of the packets.
    pub fn counts(&self) -> Counts {
        self.jitter.counts
    }

    /// The delay that the jitter buffer aims at.
    pub fn target(&self) -> Nanos {
        self.jitter.target()
    }

    fn lane(&self, payload_type: u8) -> Option<Lane> {
        self.lanes
            .iter()
            .find(|(known, _)| *known == payload_type)
            .map(|&(_, lane)| lane)
    }

    /// Take a packet in; `payload` are the octets that `packet` speaks of. None when its payload type was not agreed or its
    /// payload cannot be of that codec.
    pub fn insert(&mut self, packet: &Packet, payload: &[u8], now: Nanos) -> Option<Fate> {
        let content = match self.lane(packet.payload_type)? {
            Lane::ComfortNoise => Content::Noise,
            Lane::Other => Content::Other,
            Lane::Audio(coding) => {
                let clock_hz = coding.clock_hz();
                if clock_hz != self.chain.decoder.coding().clock_hz() {
                    let shelf = &mut self.shelf;
                    self.chain.switch(packet.payload_type, coding, self.out_hz, shelf);
                    self.jitter = Jitter::new(clock_hz, self.limits);
                }
                Content::Audio {
                    units: coding.units(payload)?,
                    last: matches!(coding, Coding::Opus(_)) && payload.len() <= 2,
                }
            }
        };
        let arrival = Arrival {
            ssrc: packet.ssrc,
            sequence: packet.sequence,
            timestamp: packet.timestamp,
            marker: packet.marker,
            payload_type: packet.payload_type,
            content,
            payload,
        };
        Some(self.jitter.insert(&arrival, now))
    }

    /// Fill `out`, a tick of 10 ms to `MAX_TICK_MS` in whole milliseconds, with what is to be heard `now`.
    pub fn pull(&mut self, now: Nanos, out: &mut [i16]) -> Sound {
        let mut sound = if self.chain.waiting > 0 {
            Sound::Speech
        } else {
            Sound::Silence
        };
        // Every round adds samples or takes a packet, so it ends; the bound is for a peer that sends empty packets.
        for _ in 0..64 {
            let wanted = self.chain.wanted(out.len(), self.out_hz);
            if self.chain.waiting >= wanted {
                break;
            }
            sound = sound.max(self.listen(wanted - self.chain.waiting, now));
        }
        self.keep_pace(now);
        let wanted = self.chain.wanted(out.len(), self.out_hz);
        self.chain.give(wanted, out);
        sound
    }

    /// Take the next packet, or make up `missing` samples.
    fn listen(&mut self, missing: usize, now: Nanos) -> Sound {
        match self.jitter.next(now) {
            Next::Audio {
                payload_type,
                payload,
                units,
            } => {
                if payload_type != self.chain.payload_type {
                    let lane = self.lanes.iter().find(|(known, _)| *known == payload_type);
                    if let Some(&(_, Lane::Audio(coding))) = lane {
                        self.chain.switch(payload_type, coding, self.out_hz, &mut self.shelf);
                    }
                }
                match self.chain.hear(payload) {
                    Some(count) => {
                        self.repairs.heard += count as u64;
                        self.excess = self.excess.into_iter().chain(self.jitter.excess()).min();
                    }
                    None => {
                        self.repairs.damaged += 1;
                        let count = self.chain.decoder.samples(units);
                        self.repairs.concealed += self.chain.conceal(count, None) as u64;
                    }
                }
                Sound::Speech
            }
            Next::Lost { units, following } => {
                let count = self.chain.decoder.samples(units).max(1);
                self.repairs.concealed += self.chain.conceal(count, following) as u64;
                Sound::Speech
            }
            Next::Starved => {
                let count = self.chain.conceal(missing, None);
                self.repairs.concealed += count as u64;
                self.jitter.note_starved(self.chain.units(count));
                Sound::Speech
            }
            Next::Noise { payload, .. } => {
                if let Some(noise) = cn::Noise::parse(payload) {
                    self.noise.set(noise);
                    self.noisy = true;
                }
                Sound::Noise
            }
            Next::Pause => self.pause(missing),
        }
    }

    fn pause(&mut self, count: usize) -> Sound {
        if self.chain.concealer.is_concealing() && !self.chain.concealer.has_faded() {
            self.chain.conceal(count, None);
            return Sound::Speech;
        }
        if self.chain.decoder.conceals() && self.repairs.heard > 0 {
            self.chain.conceal(count, None); // the decoder goes on with the noise that it knows
            return Sound::Noise;
        }
        let room = &mut self.chain.line[self.chain.waiting..];
        let count = count.min(room.len());
        if self.noisy {
            self.noise.fill(&mut room[..count]);
        } else {
            room[..count].fill(0);
        }
        self.chain.waiting += count;
        if self.noisy {
            Sound::Noise
        } else {
            Sound::Silence
        }
    }

    /// Leave out or repeat a period when the delay is too far from its aim. The packet that waited least decides.
    fn keep_pace(&mut self, now: Nanos) {
        let Some(excess) = self.excess else {
            return;
        };
        let excess_ms = excess * 1000 / i64::from(self.chain.decoder.coding().clock_hz());
        let in_pause = excess_ms > TOO_LONG_MS && is_pause(&self.chain.line[..self.chain.waiting]);
        if now.saturating_sub(self.judged_at) < REST && excess_ms <= FAR_TOO_LONG_MS && !in_pause {
            return;
        }
        self.judged_at = now;
        if excess_ms > TOO_LONG_MS {
            self.repairs.shortened += self.lose_time(now) as u64;
        } else if excess_ms < TOO_SHORT_MS {
            let count = self
                .chain
                .concealer
                .lengthen(&mut self.chain.line[self.chain.waiting..]);
            self.chain.waiting += count;
            self.repairs.lengthened += count as u64;
        }
        self.excess = None;
    }

    fn lose_time(&mut self, now: Nanos) -> usize {
        let rate_hz = self.chain.rate_hz();
        // Two of the longest periods are looked at.
        let span = (rate_hz / 1000 * 30) as usize;
        if self.chain.waiting < span && !self.jitter.is_empty() {
            self.listen(0, now);
        }
        let waiting = self.chain.waiting;
        let count = shorten(&mut self.chain.line[..waiting], rate_hz);
        self.chain.waiting -= count;
        count
    }
}

// A packet that fills the line by itself would be cut: none is longer than 120 ms at any rate.
const _: () = assert!(MAX_SAMPLES as u32 <= 48 * LINE_MS / 2);

#[cfg(test)]
mod tests;
