//! What is played to a peer: prompts one after another, repeated, without a gap, cut into packets.
//!
//! A prompt is loaded once and shared by all who hear it. It is kept as samples and as G.711 octets of both laws, so that
//! one more listener costs a copy of 160 octets every 20 ms.

pub mod prompts;
pub mod tones;

use std::sync::Arc;

use crate::codec::g711::Law;
use crate::protocol::Name;

/// Samples per millisecond.
const PER_MS: u64 = 8;

/// A sound in every form in which it is sent.
#[derive(Debug)]
pub struct Prompt {
    pub samples: Box<[i16]>,
    mu: Box<[u8]>,
    a: Box<[u8]>,
}

impl Prompt {
    pub fn new(samples: Vec<i16>) -> Self {
        let encoded = |law: Law| samples.iter().map(|&sample| law.encode(sample)).collect();
        Self {
            mu: encoded(Law::Mu),
            a: encoded(Law::A),
            samples: samples.into(),
        }
    }

    fn octets(&self, law: Law) -> &[u8] {
        match law {
            Law::Mu => &self.mu,
            Law::A => &self.a,
        }
    }

    /// The memory it takes, in octets.
    pub fn size(&self) -> usize {
        4 * self.samples.len()
    }
}

/// Prompts in their order, how often, and for how long at most.
#[derive(Debug)]
pub struct Programme {
    parts: Vec<Arc<Prompt>>,
    /// Samples in all that are to be played; None = without end.
    total: Option<u64>,
    /// Where the next sample is: part and place in it.
    part: usize,
    offset: usize,
    played: u64,
}

impl Programme {
    /// `loops`: how often all parts are played, 0 = without end. `duration_ms`: 0 = unlimited.
    pub fn new(parts: Vec<Arc<Prompt>>, loops: u32, duration_ms: u64) -> Self {
        let length: u64 = parts.iter().map(|part| part.samples.len() as u64).sum();
        let by_loops = (loops > 0 || length == 0).then_some(length.saturating_mul(u64::from(loops)));
        let by_time = (duration_ms > 0).then_some(duration_ms.saturating_mul(PER_MS));
        let total = match (by_loops, by_time) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
        Self {
            parts,
            total,
            part: 0,
            offset: 0,
            played: 0,
        }
    }

    pub fn position_ms(&self) -> u64 {
        self.played / PER_MS
    }

    pub fn is_over(&self) -> bool {
        self.total.is_some_and(|total| self.played >= total)
    }

    /// Fill `out` with the next octets; what lies behind the end is silence.
    pub fn fill(&mut self, law: Law, out: &mut [u8]) {
        let mut filled = 0;
        self.advance(out.len(), |part, offset, length| {
            out[filled..filled + length].copy_from_slice(&part.octets(law)[offset..offset + length]);
            filled += length;
        });
        out[filled..].fill(law.silence());
    }

    /// Fill `out` with the next samples; what lies behind the end is silence.
    pub fn fill_samples(&mut self, out: &mut [i16]) {
        let mut filled = 0;
        self.advance(out.len(), |part, offset, length| {
            out[filled..filled + length].copy_from_slice(&part.samples[offset..offset + length]);
            filled += length;
        });
        out[filled..].fill(0);
    }

    /// Let `count` samples pass unheard.
    pub fn skip(&mut self, count: usize) {
        self.advance(count, |_, _, _| ());
    }

    fn advance(&mut self, count: usize, mut take: impl FnMut(&Prompt, usize, usize)) {
        let mut left = count;
        if let Some(total) = self.total {
            left = left.min((total - self.played.min(total)) as usize);
        }
        while left > 0 {
            let part = &self.parts[self.part];
            let length = left.min(part.samples.len() - self.offset);
            take(part, self.offset, length);
            left -= length;
            self.played += length as u64;
            self.offset += length;
            if self.offset == part.samples.len() {
                // An endless programme has at least one sample, so this comes to an end.
                self.offset = 0;
                self.part = (self.part + 1) % self.parts.len();
            }
        }
    }
}

/// Who hears a play.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Target {
    Stream(Name),
    Mix(Name),
}

/// A play on a stream, from the command until `PlayEnded`.
#[derive(Debug)]
pub struct Play {
    pub name: Name,
    /// Tells plays apart where the stream's numbers are made continuous.
    pub number: u32,
    /// None while the files are being read.
    pub programme: Option<Programme>,
}

impl Play {
    pub fn is_over(&self) -> bool {
        self.programme.as_ref().is_some_and(Programme::is_over)
    }

    pub fn position_ms(&self) -> u64 {
        self.programme.as_ref().map_or(0, Programme::position_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ramp(from: i16, count: i16) -> Arc<Prompt> {
        Arc::new(Prompt::new((from..from + count).map(|value| value * 64).collect()))
    }

    fn drain(mut programme: Programme, packet: usize, packets: usize) -> Vec<u8> {
        let mut all = Vec::new();
        for _ in 0..packets {
            let mut out = vec![0; packet];
            programme.fill(Law::A, &mut out);
            all.extend(out);
        }
        all
    }

    fn octets(values: impl IntoIterator<Item = i16>) -> Vec<u8> {
        values.into_iter().map(|value| Law::A.encode(value * 64)).collect()
    }

    #[test]
    fn parts_and_loops_follow_without_a_gap_wherever_packets_are_cut() {
        for packet in [1, 3, 7, 10, 24, 50] {
            let programme = Programme::new(vec![ramp(0, 5), ramp(100, 2)], 3, 0);
            let whole: Vec<i16> = (0..3).flat_map(|_| (0..5).chain(100..102)).collect();
            let mut heard = drain(programme, packet, 24_usize.div_ceil(packet));
            let rest = heard.split_off(21);
            assert_eq!(heard, octets(whole), "{packet}");
            assert!(rest.iter().all(|&octet| octet == Law::A.silence()), "{packet}");
        }
    }

    #[test]
    fn zero_loops_go_on_without_end() {
        let mut programme = Programme::new(vec![ramp(0, 5)], 0, 0);
        programme.skip(1_000_003);
        assert!(!programme.is_over());
        let mut out = [0; 2];
        programme.fill(Law::A, &mut out);
        assert_eq!(out.to_vec(), octets([3, 4]));
        assert_eq!(programme.position_ms(), 1_000_005 / 8);
    }

    #[test]
    fn the_duration_ends_what_would_go_on() {
        let mut programme = Programme::new(vec![ramp(0, 5)], 0, 2);
        programme.skip(15);
        assert!(!programme.is_over());
        let mut out = [0; 3];
        programme.fill(Law::A, &mut out);
        assert_eq!(out.to_vec(), [&octets([0])[..], &[Law::A.silence(); 2]].concat());
        assert!(programme.is_over());
        assert_eq!(programme.position_ms(), 2);
    }

    #[test]
    fn nothing_is_over_at_once() {
        assert!(Programme::new(vec![], 0, 0).is_over());
        assert!(Programme::new(vec![ramp(0, 0)], 0, 1000).is_over());
        let mut empty = Programme::new(vec![ramp(0, 0), ramp(1, 1)], 0, 0);
        empty.skip(10);
        assert!(!empty.is_over());
    }
}
