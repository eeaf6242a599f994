//! The samples of one direction that are not written yet.

use super::LENGTH;
use crate::codec::g711::Law;

/// A packet whose samples are all below this (about -36 dBFS) is not loud.
pub(super) const LOUD: u16 = 512;

/// Samples by their place on the time line.
#[derive(Debug)]
pub(super) struct Strip(Box<[i16; LENGTH]>);

impl Strip {
    pub fn new() -> Self {
        Self(Box::new([0; LENGTH]))
    }

    /// Part of it, by index; it does not wrap.
    pub fn stretch(&mut self, index: usize, count: usize) -> &mut [i16] {
        &mut self.0[index..index + count]
    }

    /// The two stretches that a range takes, as far as it lies between what is written and what can be held; and how many
    /// of its samples are left out before them.
    fn parts(&mut self, at: i64, count: usize, written: i64) -> (&mut [i16], &mut [i16], usize) {
        let begin = at.max(written);
        let end = (at + count as i64).min(written + LENGTH as i64);
        let length = (end - begin).max(0) as usize;
        let index = begin.max(0) as usize % LENGTH;
        let first = length.min(LENGTH - index);
        let (low, high) = self.0.split_at_mut(index);
        let skipped = (begin - at).min(count as i64) as usize;
        (&mut high[..first], &mut low[..length - first], skipped)
    }

    pub fn lay(&mut self, samples: &[i16], at: i64, written: i64) {
        let (first, second, skipped) = self.parts(at, samples.len(), written);
        let samples = &samples[skipped..];
        let (before, after) = samples.split_at(first.len());
        first.copy_from_slice(before);
        second.copy_from_slice(&after[..second.len()]);
    }

    /// Lay G.711 octets; gives the largest sample.
    pub fn lay_g711(&mut self, law: Law, octets: &[u8], at: i64, written: i64) -> u16 {
        let (first, second, skipped) = self.parts(at, octets.len(), written);
        let table = law.decoder();
        let mut peak = 0;
        let (before, after) = octets[skipped..].split_at(first.len());
        for (part, octets) in [(first, before), (second, after)] {
            for (place, octet) in part.iter_mut().zip(octets) {
                let sample = table[usize::from(*octet)];
                peak = peak.max(sample.unsigned_abs());
                *place = sample;
            }
        }
        peak
    }

    /// Move the samples from `first` to `last` back by `by`.
    pub fn move_back(&mut self, first: i64, last: i64, by: i64) {
        for at in first..last {
            let sample = std::mem::take(&mut self.0[at as usize % LENGTH]);
            self.0[(at - by) as usize % LENGTH] = sample;
        }
    }
}
