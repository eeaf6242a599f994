//! One direction of a recording: its samples that are not written yet, and how packets get among them.

use super::decoding::Decoding;
use super::source::{Arrival, Source};
use super::strip::{Strip, LOUD};
use super::Heard;
use crate::clock::Nanos;
use crate::codec::audio::Coding;

/// See the module.
#[derive(Debug)]
pub(super) struct Track {
    strip: Strip,
    source: Option<Source>,
    /// The newest G.711 packet was loud.
    loud: bool,
    decoding: Option<Box<Decoding>>,
}

impl Track {
    pub fn new() -> Self {
        Self {
            strip: Strip::new(),
            source: None,
            loud: false,
            decoding: None,
        }
    }

    /// Octets that wait to be decoded.
    #[cfg(test)]
    pub fn octets_held(&self) -> usize {
        self.decoding.as_ref().map_or(0, |decoding| decoding.octets_held())
    }

    /// Part of the samples, by index; it does not wrap.
    pub fn stretch(&mut self, index: usize, count: usize) -> &mut [i16] {
        self.strip.stretch(index, count)
    }

    /// Take in a packet when the time line is `length` samples long and written up to `written`.
    pub fn put(&mut self, heard: Heard, length: i64, written: i64, now: Nanos) {
        let Some(units) = heard.coding.units(heard.payload) else {
            return; // damaged: a loss
        };
        let arrival = Arrival::new(heard.ssrc, heard.timestamp, heard.coding.clock_hz(), units, length);
        if let Coding::G711(law) = heard.coding {
            if let Some(decoding) = &mut self.decoding {
                // Another codec came before: what it said lies before this.
                decoding.run_out(&mut self.strip, written);
            }
            let place = self.place(arrival, true, written, now);
            self.loud = self.strip.lay_g711(law, heard.payload, place, written) >= LOUD;
            return;
        }
        if self
            .decoding
            .as_ref()
            .is_none_or(|decoding| decoding.coding() != heard.coding)
        {
            if let Some(mut before) = self.decoding.take() {
                before.run_out(&mut self.strip, written);
            }
            self.decoding = Decoding::new(heard.coding).map(Box::new);
        }
        let place = self.place(arrival, false, written, now);
        if let Some(decoding) = &mut self.decoding {
            decoding.hold(place, arrival.count, heard.payload, &mut self.strip, written);
        }
        self.ripen(length - super::WINDOW, written, now);
    }

    /// Have everything before `end` among the samples.
    pub fn ripen(&mut self, end: i64, written: i64, now: Nanos) {
        let Some(decoding) = &mut self.decoding else {
            return;
        };
        while let Some(quiet) = decoding.is_due(end) {
            // Errors are put right where a word was not cut, and that is known only of what was decoded.
            if let Some(error) = self.source.as_ref().and_then(|source| source.error(quiet, now)) {
                decoding.shift(error);
                if let Some(source) = &mut self.source {
                    source.shift(error);
                }
                continue;
            }
            decoding.decode_next(&mut self.strip, written);
        }
        decoding.end_tail(end, &mut self.strip, written);
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
        let lead = self.decoding.as_ref().map_or(0, |decoding| decoding.lag());
        if source.first - lead - by < written {
            return false;
        }
        self.strip.move_back(source.first - lead, source.last, by);
        if let Some(decoding) = &mut self.decoding {
            decoding.shift(-by);
            decoding.move_back(by);
        }
        source.move_back(by);
        true
    }
}
