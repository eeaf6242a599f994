//! One direction of a recording: its samples that are not written yet, and how packets get among them.

use super::ear::Ear;
use super::source::{Arrival, Source};
use super::{Heard, RATE_HZ, RING};
use crate::clock::Nanos;
use crate::codec::audio::Coding;
use crate::codec::g711::Law;

/// A packet whose samples are all below this (about -36 dBFS) is not loud.
pub(super) const LOUD: u16 = 512;

/// Samples by their place on the time line.
#[derive(Debug)]
pub(super) struct Ring(Box<[i16; RING]>);

impl Ring {
    /// The two stretches that a range takes, as far as it lies between what is written and what can be held; and how many
    /// of its samples are left out before them.
    fn parts(&mut self, at: i64, count: usize, written: i64) -> (&mut [i16], &mut [i16], usize) {
        let begin = at.max(written);
        let end = (at + count as i64).min(written + RING as i64);
        let length = (end - begin).max(0) as usize;
        let index = begin.max(0) as usize % RING;
        let first = length.min(RING - index);
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
    fn lay_g711(&mut self, law: Law, octets: &[u8], at: i64, written: i64) -> u16 {
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
    fn move_back(&mut self, first: i64, last: i64, by: i64) {
        for at in first..last {
            let sample = std::mem::take(&mut self.0[at as usize % RING]);
            self.0[(at - by) as usize % RING] = sample;
        }
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct Track {
    ring: Ring,
    source: Option<Source>,
    /// The newest G.711 packet was loud.
    loud: bool,
    ear: Option<Box<Ear>>,
}

impl Track {
    pub fn new() -> Self {
        Self {
            ring: Ring(Box::new([0; RING])),
            source: None,
            loud: false,
            ear: None,
        }
    }

    /// Octets that wait to be decoded.
    #[cfg(test)]
    pub fn octets_held(&self) -> usize {
        self.ear.as_ref().map_or(0, |ear| ear.octets_held())
    }

    /// Part of the ring, by index; it does not wrap.
    pub fn stretch(&mut self, index: usize, count: usize) -> &mut [i16] {
        &mut self.ring.0[index..index + count]
    }

    /// Take in a packet when the time line is `length` samples long and written up to `written`.
    pub fn put(&mut self, heard: Heard, length: i64, written: i64, now: Nanos) {
        let Some(units) = heard.coding.units(heard.payload) else {
            return; // damaged: a loss
        };
        let arrival = Arrival::new(heard.ssrc, heard.timestamp, heard.coding.clock_hz(), units, length);
        if let Coding::G711(law) = heard.coding {
            if let Some(ear) = &mut self.ear {
                // Another codec came before: what it said lies before this.
                ear.run_out(&mut self.ring, written);
            }
            let place = self.place(arrival, true, written, now);
            self.loud = self.ring.lay_g711(law, heard.payload, place, written) >= LOUD;
            return;
        }
        if self.ear.as_ref().is_none_or(|ear| ear.coding() != heard.coding) {
            if let Some(mut before) = self.ear.take() {
                before.run_out(&mut self.ring, written);
            }
            self.ear = Ear::new(heard.coding).map(Box::new);
        }
        let place = self.place(arrival, false, written, now);
        if let Some(ear) = &mut self.ear {
            ear.hold(place, arrival.count, heard.payload, &mut self.ring, written);
        }
        self.ripen(length - super::WINDOW, written, now);
    }

    /// Have everything before `end` among the samples.
    pub fn ripen(&mut self, end: i64, written: i64, now: Nanos) {
        let Some(ear) = &mut self.ear else {
            return;
        };
        while let Some(quiet) = ear.is_due(end) {
            // Errors are put right where a word was not cut, and that is known only of what was decoded.
            if let Some(error) = self.source.as_ref().and_then(|source| source.error(quiet, now)) {
                ear.shift(error);
                if let Some(source) = &mut self.source {
                    source.shift(error);
                }
                continue;
            }
            ear.decode_next(&mut self.ring, written);
        }
        ear.end_tail(end, &mut self.ring, written);
    }

    /// Where a packet begins. `corrects`: errors of the source are put right before it.
    fn place(&mut self, arrival: Arrival, corrects: bool, written: i64, now: Nanos) -> i64 {
        let Some(mut source) = self.source.filter(|source| source.goes_on_with(arrival)) else {
            self.source = Some(Source::new(arrival, now));
            return arrival.place;
        };
        let mut late = source.lateness(arrival);
        if late < 0 && self.move_beginning(&mut source, -late, written) {
            late = 0;
        }
        source.note(late, now);
        let between_words = !self.loud || !source.is_next(arrival);
        if let Some(error) = source.error(between_words, now).filter(|_| corrects) {
            source.shift(error);
        }
        let place = source.take(arrival);
        self.source = Some(source);
        place
    }

    /// A packet came that was faster by `by` samples than all before: those were late. If none of them is written yet,
    /// they are moved to where they belong.
    fn move_beginning(&mut self, source: &mut Source, by: i64, written: i64) -> bool {
        let lead = self.ear.as_ref().map_or(0, |ear| ear.lag());
        if source.first - lead - by < written {
            return false;
        }
        self.ring.move_back(source.first - lead, source.last, by);
        if let Some(ear) = &mut self.ear {
            ear.shift(-by);
            ear.move_back(by);
        }
        source.move_back(by);
        true
    }
}

/// Samples at `RATE_HZ` in a time.
pub(super) fn samples_in(seconds: f64) -> i64 {
    (seconds * f64::from(RATE_HZ)).round() as i64
}
