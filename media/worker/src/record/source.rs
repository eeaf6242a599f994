//! Where the packets of a source lie on the time line, and how that is put right.
//!
//! When even the fastest packet of some seconds comes late, the sender's clock is slower than ours and the source is moved
//! on; when a packet comes faster than any before, it is moved back. After a while the pace of the sender's clock is known
//! (`drift`) and followed. To move is to drop or to insert a few samples, so it is done between two packets that are not
//! loud, and only a large error does not wait for that. A beginning that is not written yet moves as a whole (`track`).

use super::drift::{Drift, SPAN, STEP};
use super::RATE_HZ;
use crate::clock::Nanos;

/// A timestamp that lies farther from the clock than this has lost its meaning: the source starts anew.
const LOST: i64 = 3200;
/// An error that is put right in the middle of a word.
const LARGE: i64 = 160;
/// Where the pace of the sender is known, one sample more or less is not worth a change.
const SMALL: i64 = 2;
/// Places are kept in this part of a sample, because not every clock divides into 8000 Hz.
const FINE: u32 = 16;

/// What is known of a packet before it has a place.
#[derive(Debug, Clone, Copy)]
pub(super) struct Arrival {
    pub ssrc: u32,
    pub timestamp: u32,
    pub clock_hz: u32,
    /// Its length in units of the clock, and in samples.
    pub units: u32,
    pub count: i64,
    /// Where it would begin by its arrival alone.
    pub place: i64,
}

impl Arrival {
    pub fn new(ssrc: u32, timestamp: u32, clock_hz: u32, units: u32, length: i64) -> Self {
        let count = i64::from(units) * i64::from(RATE_HZ) / i64::from(clock_hz);
        Self {
            ssrc,
            timestamp,
            clock_hz,
            units,
            count,
            place: length - count,
        }
    }
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Source {
    ssrc: u32,
    timestamp: u32,
    clock_hz: u32,
    /// The place of the sample with `timestamp`, in parts of a sample.
    place: i64,
    /// What was put since the source started: its first and its last place.
    pub first: i64,
    pub last: i64,
    /// By how much the source was moved since it started, and by how much it should have been. Delays count in the same
    /// way: from where the source started.
    moved: i64,
    wanted: i64,
    /// The fastest packet since `span_began`: when it came, and its delay.
    fastest: Option<(Nanos, i64)>,
    span_began: Nanos,
    drift: Drift,
    /// The timestamp that follows the newest packet.
    next: u32,
}

impl Source {
    pub fn new(arrival: Arrival, now: Nanos) -> Self {
        Self {
            ssrc: arrival.ssrc,
            timestamp: arrival.timestamp,
            clock_hz: arrival.clock_hz,
            place: arrival.place << FINE,
            first: arrival.place,
            last: arrival.place + arrival.count,
            moved: 0,
            wanted: 0,
            fastest: Some((now, 0)),
            span_began: now,
            drift: Drift::default(),
            next: arrival.timestamp.wrapping_add(arrival.units),
        }
    }

    fn fine(&self, timestamp: u32) -> i64 {
        let units = i64::from(timestamp.wrapping_sub(self.timestamp) as i32);
        if self.clock_hz == RATE_HZ {
            return self.place + (units << FINE);
        }
        self.place + ((units * i64::from(RATE_HZ)) << FINE).div_euclid(i64::from(self.clock_hz))
    }

    /// Whether a packet is of this source.
    pub fn goes_on_with(&self, arrival: Arrival) -> bool {
        self.ssrc == arrival.ssrc && self.clock_hz == arrival.clock_hz && self.lateness(arrival).abs() <= LOST
    }

    /// Whether a packet is the one behind the newest.
    pub fn is_next(&self, arrival: Arrival) -> bool {
        self.next == arrival.timestamp
    }

    /// By how many samples a packet is later than its place; negative when it is faster than it should be.
    pub fn lateness(&self, arrival: Arrival) -> i64 {
        arrival.place - (self.fine(arrival.timestamp) >> FINE)
    }

    /// Take note of how late a packet was.
    pub fn note(&mut self, late: i64, now: Nanos) {
        let delay = self.moved + late;
        if self.fastest.is_none_or(|(_, fastest)| delay < fastest) {
            self.fastest = Some((now, delay));
        }
        match self.drift.expected(now) {
            Some(expected) if delay >= expected - STEP => self.wanted = expected,
            // The way has become shorter.
            Some(_) => {
                self.drift.forget();
                self.wanted = delay;
            }
            None => self.wanted = self.wanted.min(delay),
        }
        if now.saturating_sub(self.span_began) >= SPAN {
            if let Some((at, delay)) = self.fastest.take() {
                self.drift.note(at, delay);
                self.wanted = self.drift.expected(now).unwrap_or(delay);
            }
            self.span_began = now;
        }
    }

    /// By how much the source is to be moved at this moment, if it is. `quiet`: nothing would be cut by it.
    pub fn error(&self, quiet: bool, now: Nanos) -> Option<i64> {
        let error = self.wanted - self.moved;
        let least = if self.drift.expected(now).is_some() { SMALL } else { 1 };
        (error.abs() >= LARGE || (quiet && error.abs() >= least)).then_some(error)
    }

    /// Move it.
    pub fn shift(&mut self, error: i64) {
        self.place += error << FINE;
        self.moved += error;
    }

    /// A beginning moves back as a whole.
    pub fn move_back(&mut self, by: i64) {
        self.shift(-by);
        self.first -= by;
        self.last -= by;
    }

    /// Take a packet in; gives its place.
    pub fn take(&mut self, arrival: Arrival) -> i64 {
        // Kept near the newest packet, so that differences never wrap.
        self.place = self.fine(arrival.timestamp);
        self.timestamp = arrival.timestamp;
        let place = self.place >> FINE;
        self.last = self.last.max(place + arrival.count);
        self.next = arrival.timestamp.wrapping_add(arrival.units);
        place
    }
}
