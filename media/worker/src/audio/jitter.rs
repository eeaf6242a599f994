//! The jitter buffer: packets as they come in, in the order and at the pace in which they should be heard.
//!
//! The *cursor* is the timestamp of the next sample to hand out. It moves on when a packet is handed out, and when a packet
//! is given up because a later one is there; time in which nothing is there does not move it. So a packet that comes
//! late is still heard, a little later than planned, and the delay has grown by itself to where the network needs it. That
//! and the drift between the clocks make the delay differ from what `Arrivals` aims at; `excess` tells by how much, for
//! the listener to lengthen or shorten what is heard until they agree again. After a pause the delay is set anew.
//! A packet's delay counts from its arrival, had it been as quick as the quickest, to the tick in which it is handed out.
//!
//! Nothing is allocated per packet once the buffer has seen as many packets at a time as it ever will.

use std::collections::VecDeque;

use crate::audio::arrivals::Arrivals;
use crate::clock::{Nanos, MILLISECOND};

/// More packets than this are not held, whatever their length.
const MAX_PACKETS: usize = 128;
/// Steps of the sequence number or timestamp that are no loss and no pause but a source that began anew.
const MAX_STEP: i64 = 3000;
const MAX_PAUSE_S: i64 = 30;
/// A gap of this length is a pause even if sequence numbers are missing.
const PAUSE_MS: i64 = 200;
/// So much delay too many is not shortened away bit by bit but skipped.
const SKIP_MS: i64 = 250;

/// Bounds of the delay.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    pub least: Nanos,
    /// The delay before enough was seen to know better.
    pub start: Nanos,
    pub most: Nanos,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            least: 10 * MILLISECOND,
            start: 40 * MILLISECOND,
            most: 400 * MILLISECOND,
        }
    }
}

/// What a packet carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// Audio of `units` of the RTP clock. `last`: the sender pauses after it (discontinuous transmission).
    Audio { units: u32, last: bool },
    /// Comfort noise, which begins a pause or goes on with one.
    Noise,
    /// Something that takes a sequence number and is heard by others (telephone-event).
    Other,
}

/// A packet that came.
#[derive(Debug, Clone, Copy)]
pub struct Arrival<'a> {
    pub ssrc: u32,
    pub sequence: u16,
    pub timestamp: u32,
    pub marker: bool,
    pub payload_type: u8,
    pub content: Content,
    pub payload: &'a [u8],
}

/// What became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    Kept,
    Duplicate,
    /// Its time had passed.
    Late,
    /// It is the first of another source; what the buffer held is gone.
    Restarted,
}

/// What comes next.
#[derive(Debug, PartialEq, Eq)]
pub enum Next<'a> {
    Audio {
        payload_type: u8,
        payload: &'a [u8],
        units: u32,
    },
    Noise {
        payload_type: u8,
        payload: &'a [u8],
    },
    /// So many units are missing. `following`: the packet right behind them, which may hold a copy.
    Lost {
        units: u32,
        following: Option<&'a [u8]>,
    },
    /// Nothing came, and it is not known why: to be concealed for as long as something is wanted now.
    Starved,
    /// The peer pauses, or has not begun.
    Pause,
}

/// Counts since the beginning.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    pub late: u64,
    pub duplicates: u64,
    /// Packets that never came in time, by sequence numbers.
    pub lost: u64,
    /// Packets that were dropped to catch up.
    pub skipped: u64,
    pub restarts: u64,
}

#[derive(Debug, Default)]
struct Entry {
    sequence: i64,
    timestamp: i64,
    marker: bool,
    payload_type: u8,
    content: Option<Content>,
    payload: Vec<u8>,
}

/// See the module.
#[derive(Debug)]
pub struct Jitter {
    pub counts: Counts,
    clock_hz: u32,
    limits: Limits,
    arrivals: Arrivals,
    /// By sequence number, the first to be heard in front.
    queue: VecDeque<Entry>,
    /// What was handed out last, and buffers for what will come.
    current: Entry,
    spare: Vec<Vec<u8>>,
    ssrc: u32,
    /// The newest numbers that came, without their wrap-arounds.
    newest: Option<(i64, i64)>,
    cursor: Option<Cursor>,
    /// Units that were concealed while nothing was there.
    starved: i64,
    pausing: bool,
    excess: Option<i64>,
}

/// Sequence number and timestamp of what should come next.
#[derive(Debug, Clone, Copy)]
struct Cursor {
    sequence: i64,
    timestamp: i64,
}

/// What to do about the packet in front.
enum Step {
    Give,
    Drop,
    Conceal { units: i64, to_front: bool },
    Wait,
}

impl Jitter {
    pub fn new(clock_hz: u32, limits: Limits) -> Self {
        Self {
            counts: Counts::default(),
            clock_hz: clock_hz.max(1),
            limits,
            arrivals: Arrivals::new(clock_hz),
            queue: VecDeque::with_capacity(16),
            current: Entry::default(),
            spare: Vec::new(),
            ssrc: 0,
            newest: None,
            cursor: None,
            starved: 0,
            pausing: true,
            excess: None,
        }
    }

    fn units(&self, length_ms: i64) -> i64 {
        length_ms * i64::from(self.clock_hz) / 1000
    }

    /// The delay that the buffer aims at.
    pub fn target(&self) -> Nanos {
        let Limits { least, start, most } = self.limits;
        self.arrivals.target(least, start, most)
    }

    /// Packets that wait.
    pub fn len(&self) -> usize {
        self.queue.len()
    }

    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Take a packet in.
    pub fn insert(&mut self, arrival: &Arrival, now: Nanos) -> Fate {
        let (sequence, timestamp, restarted) = self.unwrap_numbers(arrival);
        if restarted {
            self.restart();
        }
        let is_event = arrival.content == Content::Other;
        let newest = self.newest.unwrap_or((sequence, timestamp));
        // The packets of one event share its beginning as timestamp, so they tell nothing of time.
        self.newest = Some((
            newest.0.max(sequence),
            if is_event { newest.1 } else { newest.1.max(timestamp) },
        ));
        self.ssrc = arrival.ssrc;
        if !is_event {
            self.arrivals.note(timestamp, now);
        }
        let at = self.queue.iter().rposition(|entry| entry.sequence <= sequence);
        if at.is_some_and(|at| self.queue[at].sequence == sequence) {
            self.counts.duplicates += 1;
            return Fate::Duplicate;
        }
        if self.cursor.is_some_and(|cursor| sequence < cursor.sequence) {
            self.counts.late += 1;
            return Fate::Late;
        }
        if self.queue.len() == MAX_PACKETS {
            self.skip();
        }
        let mut payload = self.spare.pop().unwrap_or_default();
        payload.clear();
        payload.extend_from_slice(arrival.payload);
        let entry = Entry {
            sequence,
            timestamp,
            marker: arrival.marker,
            payload_type: arrival.payload_type,
            content: Some(arrival.content),
            payload,
        };
        // Found anew: a packet may have been skipped.
        let at = self
            .queue
            .iter()
            .rposition(|entry| entry.sequence < sequence)
            .map_or(0, |at| at + 1);
        self.queue.insert(at, entry);
        if restarted {
            Fate::Restarted
        } else {
            Fate::Kept
        }
    }

    /// The numbers without wrap-arounds, and whether they belong to another source than the ones before.
    fn unwrap_numbers(&self, arrival: &Arrival) -> (i64, i64, bool) {
        let anew = (i64::from(arrival.sequence), i64::from(arrival.timestamp));
        let Some((sequence, timestamp)) = self.newest else {
            return (anew.0, anew.1, false);
        };
        let step = i64::from(arrival.sequence.wrapping_sub(sequence as u16) as i16);
        let pause = i64::from(arrival.timestamp.wrapping_sub(timestamp as u32) as i32);
        let is_event = arrival.content == Content::Other;
        let leaps = step.abs() > MAX_STEP || (!is_event && pause.abs() > MAX_PAUSE_S * i64::from(self.clock_hz));
        if arrival.ssrc != self.ssrc || leaps {
            return (anew.0, anew.1, true);
        }
        (sequence + step, timestamp + pause, false)
    }

    fn restart(&mut self) {
        self.counts.restarts += 1;
        while let Some(entry) = self.queue.pop_front() {
            self.spare.push(entry.payload);
        }
        // The delay that the network needs is kept in mind only as far as it shows again: timestamps begin anew.
        self.arrivals = Arrivals::new(self.clock_hz);
        self.newest = None;
        self.cursor = None;
        self.starved = 0;
        self.pausing = true;
        self.excess = None;
    }

    /// Hand out what comes next.
    pub fn next(&mut self, now: Nanos) -> Next<'_> {
        loop {
            self.catch_up(now);
            let Some(front) = self.queue.front() else {
                return if self.pausing { Next::Pause } else { Next::Starved };
            };
            match self.judge(front, now) {
                Step::Wait => return Next::Pause,
                Step::Drop => self.drop_front(),
                Step::Conceal { units, to_front } => {
                    self.conceal(units);
                    let following = self.queue.front().filter(|_| to_front);
                    return Next::Lost {
                        units: units as u32,
                        following: following.map(|entry| entry.payload.as_slice()),
                    };
                }
                Step::Give => {
                    self.excess = self.excess_of_front(now);
                    self.pass_front();
                    let entry = &self.current;
                    match entry.content {
                        Some(Content::Audio { units, .. }) => {
                            return Next::Audio {
                                payload_type: entry.payload_type,
                                payload: &entry.payload,
                                units,
                            }
                        }
                        _ => {
                            return Next::Noise {
                                payload_type: entry.payload_type,
                                payload: &entry.payload,
                            }
                        }
                    }
                }
            }
        }
    }

    fn judge(&self, front: &Entry, now: Nanos) -> Step {
        let Some(cursor) = self.cursor else {
            return match front.content {
                Some(Content::Other) => Step::Drop,
                _ => self.give_when_due(front, now),
            };
        };
        let Some(Content::Audio { units, .. }) = front.content else {
            return match front.content {
                Some(Content::Noise) if front.timestamp > cursor.timestamp => self.give_when_due(front, now),
                Some(Content::Noise) => Step::Give,
                _ => Step::Drop,
            };
        };
        let units = i64::from(units);
        let gap = front.timestamp - cursor.timestamp;
        if gap * 2 <= -units {
            return Step::Drop; // it was given up already
        }
        if gap <= 0 {
            return Step::Give;
        }
        let missing = front.sequence - cursor.sequence;
        // Lost packets were about as long as this one; what they cannot explain is a pause.
        let is_pause = missing == 0 || front.marker || gap > missing * units * 2 || gap > self.units(PAUSE_MS);
        if is_pause {
            return self.give_when_due(front, now);
        }
        let gap = gap - self.starved; // what was concealed before it was known
        if gap <= 0 {
            Step::Give
        } else if gap > units {
            Step::Conceal {
                units: gap - units,
                to_front: false,
            }
        } else {
            Step::Conceal {
                units: gap,
                to_front: true,
            }
        }
    }

    /// The first packet after a pause is heard when the delay aimed at has passed.
    fn give_when_due(&self, front: &Entry, now: Nanos) -> Step {
        match self.arrivals.due(self.target(), now) {
            Some(due) if due < front.timestamp => Step::Wait,
            _ => Step::Give,
        }
    }

    /// Move the packet in front to `current`, and the cursor behind it.
    fn pass_front(&mut self) {
        let Some(entry) = self.queue.pop_front() else {
            return;
        };
        let before = std::mem::replace(&mut self.current, entry);
        if self.spare.len() < MAX_PACKETS {
            self.spare.push(before.payload);
        }
        let entry = &self.current;
        if let Some(cursor) = self.cursor {
            self.counts.lost += (entry.sequence - cursor.sequence).max(0) as u64;
        }
        let sequence = entry.sequence + 1;
        let behind = match entry.content {
            Some(Content::Audio { units, last }) => {
                self.pausing = last;
                Some(entry.timestamp + i64::from(units))
            }
            Some(Content::Noise) => {
                self.pausing = true;
                Some(entry.timestamp)
            }
            // Audio stops while a digit is sent.
            _ => {
                self.pausing = true;
                None
            }
        };
        self.starved = 0;
        let timestamp = match (self.cursor, behind) {
            (Some(cursor), Some(behind)) => Some(cursor.timestamp.max(behind)),
            (Some(cursor), None) => Some(cursor.timestamp),
            (None, behind) => behind,
        };
        self.cursor = timestamp.map(|timestamp| Cursor { sequence, timestamp });
    }

    fn drop_front(&mut self) {
        self.pass_front();
        if matches!(self.current.content, Some(Content::Audio { .. })) {
            self.counts.late += 1;
        }
    }

    /// Give up `units` before the packet in front.
    fn conceal(&mut self, units: i64) {
        if let Some(cursor) = self.cursor.as_mut() {
            cursor.timestamp += self.starved + units;
        }
        self.starved = 0;
    }

    /// Say that so many units were made up because of `Starved`.
    pub fn note_starved(&mut self, units: u32) {
        self.starved += i64::from(units);
        if self.starved > self.units(PAUSE_MS) {
            self.pausing = true; // whoever is silent for so long pauses
        }
    }

    /// Units by which the delay of the packet handed out last was longer than aimed at; less than zero when it was shorter.
    pub fn excess(&self) -> Option<i64> {
        self.excess
    }

    fn excess_of_front(&self, now: Nanos) -> Option<i64> {
        let due = self.arrivals.due(self.target(), now)?;
        Some(due - self.queue.front()?.timestamp)
    }

    /// Drop packets when the delay has become unbearable, as after a network that held everything back for a second.
    fn catch_up(&mut self, now: Nanos) {
        let bearable = self.units(SKIP_MS);
        if self.queue.len() < 2 || self.excess_of_front(now).is_none_or(|excess| excess <= bearable) {
            return;
        }
        while self.queue.len() > 1 && self.excess_of_front(now).is_some_and(|excess| excess > bearable / 8) {
            self.skip();
        }
    }

    fn skip(&mut self) {
        let lost = self.counts.lost;
        self.pass_front();
        self.counts.lost = lost;
        self.counts.skipped += 1;
    }
}

#[cfg(test)]
mod tests;
