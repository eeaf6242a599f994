//! One unbroken RTP stream toward a peer, whatever it is made of: bridged packets of changing feeds, plays, digits.
//!
//! The peer hears one SSRC whose sequence numbers and timestamps never jump. A *feed* is what the stream is made of at
//! the moment. While one bridged feed goes on, its own numbers pass with a constant offset, so that its losses and
//! pauses stay visible to the peer's jitter buffer. When the feed changes, new offsets are chosen so that the sequence
//! goes on by one and the timestamp by the time that passed, and the first packet carries the marker. The same is done when
//! packets were withheld on purpose (hold): the peer must not take them for lost.
//! Source: RFC 3550 5.1, 7.1 (a translator that renumbers), RFC 3551 4.1 (marker at the start of a talk spurt).

mod press;
#[cfg(test)]
mod tests;

use super::event::Body;
use super::{Packet, Stamp, MAX_DROPOUT, MAX_MISORDER};
use crate::clock::{samples, Nanos, SECOND};
use press::{is_near, Belongs, Press};

/// So far behind the newest number of a feed its packets may be: well beyond disorder, well below half of all numbers.
const MOST_OPEN: u16 = 1 << 14;
/// A timestamp step that no pause explains.
const MAX_STEP_S: u32 = 30;

/// What feeds the stream; two values are equal exactly when nothing changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Feed {
    /// Packets of a bridged stream (its number) with this SSRC.
    Bridged { stream: u32, ssrc: u32 },
    /// Audio that we make of what others say: the other side of a bridge, a mix.
    Voice,
    /// Digits that we send.
    Digits,
    /// The play of this number.
    Play(u32),
    /// Nothing: what was there has ended.
    Nobody,
}

/// How a bridged feed passes: what is added to its numbers, and its newest packet that passed, as it came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Passing {
    pub sequence_offset: u16,
    pub timestamp_offset: u32,
    pub sequence: u16,
    pub timestamp: u32,
}

/// The sender's side of a stream.
#[derive(Debug)]
pub struct Sending {
    pub ssrc: u32,
    /// RTP packets and payload octets since the start, as sender reports count them.
    pub packets: u32,
    pub octets: u32,
    feed: Option<Feed>,
    /// The next sequence number that nobody used.
    next_sequence: u16,
    /// The first number of the current feed: what is below belongs to the one before.
    floor: u16,
    /// Where the newest packet's samples begin, and when it was sent.
    timestamp: u32,
    sent_at: Nanos,
    sequence_offset: u16,
    timestamp_offset: u32,
    /// The sequence number of the newest bridged packet, and the timestamp of the newest that bears the audio's clock.
    last_in: (u16, u32),
    /// The newest press of a bridged feed.
    press: Option<Press>,
    /// Packets of the bridged feed were withheld since the last one that was sent.
    withheld: bool,
    /// A feed of our own let time pass without a packet.
    paused: bool,
    /// The length of the last packet of our own; 0 when one was passed on since, whose length nobody knows.
    length: u32,
}

impl Sending {
    /// A stream that has sent nothing. The three first numbers must be unpredictable (RFC 3550 5.1).
    pub fn new(ssrc: u32, sequence: u16, timestamp: u32) -> Self {
        Self {
            ssrc,
            packets: 0,
            octets: 0,
            feed: None,
            next_sequence: sequence,
            floor: sequence,
            timestamp,
            sent_at: 0,
            sequence_offset: 0,
            timestamp_offset: 0,
            last_in: (0, 0),
            press: None,
            withheld: false,
            paused: false,
            length: 0,
        }
    }

    /// Go on under another SSRC, whose counts and numbers begin here (RFC 3550 6.4.1, 8.2).
    pub fn renew(&mut self, ssrc: u32, sequence: u16) {
        self.ssrc = ssrc;
        self.packets = 0;
        self.octets = 0;
        self.next_sequence = sequence;
        self.floor = sequence;
        // A bridged feed takes new offsets.
        self.withheld = true;
    }

    /// Whether anything was sent yet.
    pub fn has_begun(&self) -> bool {
        self.feed.is_some()
    }

    /// The timestamp that a sample played out `now` would carry.
    pub fn timestamp_at(&self, now: Nanos, rate_hz: u32) -> u32 {
        self.timestamp
            .wrapping_add(samples(now.saturating_sub(self.sent_at), rate_hz) as u32)
    }

    /// A bridged packet is not sent although it came: what is sent next follows the last one without a gap in the numbers.
    pub fn withhold(&mut self) {
        self.withheld = true;
    }

    /// A feed has ended, perhaps to come back: what is sent next, also by itself, begins by the time that has passed.
    pub fn end(&mut self, feed: Feed) {
        if self.feed == Some(feed) {
            self.feed = Some(Feed::Nobody);
        }
    }

    /// The header of a bridged packet as the peer shall see it; None when it comes too late to be told apart from what
    /// was sent before its feed took over.
    pub fn relay(&mut self, feed: Feed, packet: &Packet, payload_type: u8, now: Nanos, rate_hz: u32) -> Option<Stamp> {
        let far = !is_near(packet.timestamp, self.last_in.1, rate_hz);
        let begins = self.begin_bridged(feed, packet, far, now, rate_hz);
        let sequence = self.bridged_sequence(packet)?;
        let timestamp = packet.timestamp.wrapping_add(self.timestamp_offset);
        if self.advance(sequence, packet) {
            self.move_on(packet, now);
        }
        let marker = packet.marker || begins;
        Some(self.stamp(marker, payload_type, sequence, timestamp, packet.payload.len()))
    }

    /// The header of a bridged packet of a digit, as `relay`. Its timestamp is no reason to take the audio for a new beginning.
    pub fn relay_event(
        &mut self,
        feed: Feed,
        packet: &Packet,
        body: Body,
        payload_type: u8,
        now: Nanos,
        rate_hz: u32,
    ) -> Option<Stamp> {
        let begins = self.begin_bridged(feed, packet, false, now, rate_hz);
        let sequence = self.bridged_sequence(packet)?;
        if begins {
            self.move_on(packet, now);
        }
        let audio = self.timestamp_offset;
        let belongs = self.press.map_or(Belongs::Elsewhere, |press| {
            press.place(feed, packet, body, audio, now, rate_hz)
        });
        let offset = match belongs {
            Belongs::Nowhere => return None,
            Belongs::With(offset) => offset,
            Belongs::Elsewhere if is_near(packet.timestamp, self.last_in.1, rate_hz) => audio,
            Belongs::Anew | Belongs::Elsewhere => self.moment(now, rate_hz).wrapping_sub(packet.timestamp),
        };
        if begins || self.press.is_none_or(|press| press.is_before(feed, packet.sequence)) {
            self.press = Some(Press::new(feed, packet, body, offset, now));
        }
        let ahead = packet.timestamp.wrapping_sub(self.last_in.1) as i32 > 0;
        if self.advance(sequence, packet) && offset == audio && ahead {
            self.move_on(packet, now);
        }
        let timestamp = packet.timestamp.wrapping_add(offset);
        let marker = packet.marker || begins;
        Some(self.stamp(marker, payload_type, sequence, timestamp, packet.payload.len()))
    }

    /// When a press begins that begins now: no two begin at the same time.
    fn moment(&self, now: Nanos, rate_hz: u32) -> u32 {
        let moment = self.timestamp_at(now, rate_hz);
        match self.press.map(|press| press.told()) {
            Some(told) if moment == told => moment.wrapping_add(rate_hz / 50),
            _ => moment,
        }
    }

    /// New offsets if the packet does not go on where the last one of its feed was; true when that is so.
    fn begin_bridged(&mut self, feed: Feed, packet: &Packet, far: bool, now: Nanos, rate_hz: u32) -> bool {
        let step = packet.sequence.wrapping_sub(self.last_in.0);
        let leaps = (MAX_DROPOUT..=u16::MAX - MAX_MISORDER).contains(&step);
        if self.feed == Some(feed) && !self.withheld && !leaps && !far {
            return false;
        }
        let timestamp = self.begin(feed, now, rate_hz);
        self.sequence_offset = self.next_sequence.wrapping_sub(packet.sequence);
        self.timestamp_offset = timestamp.wrapping_sub(packet.timestamp);
        true
    }

    /// The sequence number of a bridged packet; None when it belongs before its feed took over.
    fn bridged_sequence(&self, packet: &Packet) -> Option<u16> {
        let sequence = packet.sequence.wrapping_add(self.sequence_offset);
        (sequence.wrapping_sub(self.floor) <= u16::MAX / 2).then_some(sequence)
    }

    /// Whether a bridged packet is the newest, which it is then.
    fn advance(&mut self, sequence: u16, packet: &Packet) -> bool {
        let newest = sequence.wrapping_sub(self.next_sequence) <= u16::MAX / 2;
        if newest {
            self.follow(sequence);
            self.last_in.0 = packet.sequence;
        }
        newest
    }

    /// The clock of the audio is where this packet is.
    fn move_on(&mut self, packet: &Packet, now: Nanos) {
        self.timestamp = packet.timestamp.wrapping_add(self.timestamp_offset);
        self.sent_at = now;
        self.last_in.1 = packet.timestamp;
        self.length = 0;
    }

    /// How `feed` passes; None unless it feeds the stream and its next packet follows the last one.
    pub fn passing(&self, feed: Feed) -> Option<Passing> {
        (self.feed == Some(feed) && !self.withheld).then_some(Passing {
            sequence_offset: self.sequence_offset,
            timestamp_offset: self.timestamp_offset,
            sequence: self.last_in.0,
            timestamp: self.last_in.1,
        })
    }

    /// Packets of the bridged feed passed elsewhere. `newest`: the sequence number and the timestamp of the newest as it
    /// came, and when, if it is newer than what passed before.
    pub fn passed(&mut self, packets: u64, octets: u64, newest: Option<((u16, u32), Nanos)>) {
        self.packets = self.packets.wrapping_add(packets as u32);
        self.octets = self.octets.wrapping_add(octets as u32);
        let Some((newest, at)) = newest else {
            return;
        };
        self.follow(newest.0.wrapping_add(self.sequence_offset));
        self.timestamp = newest.1.wrapping_add(self.timestamp_offset);
        self.sent_at = at;
        self.last_in = newest;
        self.length = 0;
    }

    /// Nobody knows how many packets of the bridged feed passed elsewhere since the last one that is known, but not more
    /// than `most`. What is sent next is not to bear a number that the peer has seen: to it, some seem lost.
    pub fn lose_track(&mut self, most: u16) {
        self.next_sequence = self.next_sequence.wrapping_add(most);
        self.withheld = true;
    }

    /// The header of a packet of our own, `count` samples after the one before if that was of the same feed.
    pub fn own(&mut self, feed: Feed, payload_type: u8, octets: usize, count: u32, now: Nanos, rate_hz: u32) -> Stamp {
        let mut marker = std::mem::take(&mut self.paused);
        // A feed that was not heard of for a while did not count the time.
        let goes_on = now.saturating_sub(self.sent_at) < SECOND;
        let timestamp = if self.feed == Some(feed) && goes_on {
            self.timestamp.wrapping_add(count)
        } else {
            marker = true;
            self.begin(feed, now, rate_hz)
        };
        self.timestamp = timestamp;
        self.sent_at = now;
        self.length = count;
        let sequence = self.take_sequence();
        self.stamp(marker, payload_type, sequence, timestamp, octets)
    }

    /// Let `count` samples of our own pass without a packet: the peer knows by the timestamps that it was a pause.
    pub fn pause(&mut self, feed: Feed, count: u32, now: Nanos) {
        if self.feed == Some(feed) {
            self.timestamp = self.timestamp.wrapping_add(count);
            self.sent_at = now;
            self.paused = true;
        }
    }

    /// The header of one packet of a digit as events. `start` is `timestamp_at` the moment the digit was pressed, which all of them
    /// share (RFC 4733 2.5.1.2).
    pub fn digit(&mut self, payload_type: u8, octets: usize, start: u32, first: bool, now: Nanos) -> Stamp {
        self.feed = Some(Feed::Digits);
        // What comes after begins where the digit began plus the time it took: `timestamp_at` adds that time.
        if first {
            self.timestamp = start;
            self.sent_at = now;
        }
        let sequence = self.take_sequence();
        self.floor = self.next_sequence;
        self.stamp(first, payload_type, sequence, start, octets)
    }

    /// Make `feed` the one that feeds the stream, and give the timestamp of its first packet.
    fn begin(&mut self, feed: Feed, now: Nanos, rate_hz: u32) -> u32 {
        let timestamp = if self.feed.is_some() {
            // At least a packet's time, so that nothing overlaps what was sent just now.
            let least = u64::from(self.length.max(rate_hz / 50));
            let passed = samples(now.saturating_sub(self.sent_at), rate_hz).max(least);
            self.timestamp.wrapping_add(passed as u32)
        } else {
            self.timestamp
        };
        self.feed = Some(feed);
        self.withheld = false;
        self.paused = false;
        self.floor = self.next_sequence;
        timestamp
    }

    /// A bridged packet of this number was the newest. The floor goes along: left where it was, it would be taken for
    /// ahead once half of all numbers were used, and every packet for one from before it.
    fn follow(&mut self, sequence: u16) {
        self.next_sequence = sequence.wrapping_add(1);
        if self.next_sequence.wrapping_sub(self.floor) > MOST_OPEN {
            self.floor = self.next_sequence.wrapping_sub(MOST_OPEN);
        }
    }

    fn take_sequence(&mut self) -> u16 {
        let sequence = self.next_sequence;
        self.next_sequence = sequence.wrapping_add(1);
        sequence
    }

    fn stamp(&mut self, marker: bool, payload_type: u8, sequence: u16, timestamp: u32, octets: usize) -> Stamp {
        self.packets = self.packets.wrapping_add(1);
        self.octets = self.octets.wrapping_add(octets as u32);
        Stamp {
            marker,
            payload_type,
            sequence,
            timestamp,
            ssrc: self.ssrc,
        }
    }
}
