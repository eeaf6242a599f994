//! One unbroken RTP stream toward a peer, whatever it is made of: bridged packets of changing sources, plays, digits.
//!
//! The peer hears one SSRC whose sequence numbers and timestamps never jump. A *source* is whatever feeds the stream at
//! the moment. While one bridged source goes on, its own numbers pass with a constant offset, so that its losses and
//! pauses stay visible to the peer's jitter buffer. When the source changes, new offsets are chosen so that the sequence
//! goes on by one and the timestamp by the time that passed, and the first packet carries the marker. The same is done when
//! packets were withheld on purpose (hold): the peer must not take them for lost.
//! Source: RFC 3550 5.1, 7.1 (a translator that renumbers), RFC 3551 4.1 (marker at the start of a talk spurt).

use crate::clock::{samples, Nanos, SECOND};
use crate::rtp::{Packet, Stamp};

/// Steps of a bridged source beyond these are a new beginning, not loss or reordering (as RFC 3550 A.1).
const MAX_DROPOUT: u16 = 3000;
const MAX_MISORDER: u16 = 100;
/// So far behind the newest number of a source its packets may be: well beyond disorder, well below half of all numbers.
const MOST_OPEN: u16 = 1 << 14;
/// A timestamp step that no pause explains.
const MAX_STEP_S: u32 = 30;

/// What feeds the stream; two values are equal exactly when nothing changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// Packets of a bridged stream (its number) with this SSRC.
    Bridged { stream: u32, ssrc: u32 },
    /// Audio that we make; each play has its own number.
    Own(u32),
    /// Nothing: what was there has ended.
    Nobody,
}

/// How a bridged source passes: what is added to its numbers, and its newest packet that passed, as it came.
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
    source: Option<Source>,
    /// The next sequence number that nobody used.
    next_sequence: u16,
    /// The first number of the current source: what is below belongs to the one before.
    floor: u16,
    /// Where the newest packet's samples begin, and when it was sent.
    timestamp: u32,
    sent_at: Nanos,
    sequence_offset: u16,
    timestamp_offset: u32,
    last_in: (u16, u32),
    /// Packets of the bridged source were withheld since the last one that was sent.
    withheld: bool,
    /// A source of our own let time pass without a packet.
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
            source: None,
            next_sequence: sequence,
            floor: sequence,
            timestamp,
            sent_at: 0,
            sequence_offset: 0,
            timestamp_offset: 0,
            last_in: (0, 0),
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
        // A bridged source takes new offsets.
        self.withheld = true;
    }

    /// Whether anything was sent yet.
    pub fn has_begun(&self) -> bool {
        self.source.is_some()
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

    /// A source has ended, perhaps to come back: what is sent next, also by itself, begins by the time that has passed.
    pub fn end(&mut self, source: Source) {
        if self.source == Some(source) {
            self.source = Some(Source::Nobody);
        }
    }

    /// The header of a bridged packet as the peer shall see it; None when it comes too late to be told apart from what
    /// was sent before its source took over.
    pub fn relay(
        &mut self,
        source: Source,
        packet: &Packet,
        payload_type: u8,
        now: Nanos,
        rate_hz: u32,
    ) -> Option<Stamp> {
        let mut marker = packet.marker;
        if self.source != Some(source) || self.withheld || self.begins_anew(packet, rate_hz) {
            let timestamp = self.begin(source, now, rate_hz);
            self.sequence_offset = self.next_sequence.wrapping_sub(packet.sequence);
            self.timestamp_offset = timestamp.wrapping_sub(packet.timestamp);
            marker = true;
        }
        let sequence = packet.sequence.wrapping_add(self.sequence_offset);
        if sequence.wrapping_sub(self.floor) > u16::MAX / 2 {
            return None;
        }
        let timestamp = packet.timestamp.wrapping_add(self.timestamp_offset);
        if sequence.wrapping_sub(self.next_sequence) <= u16::MAX / 2 {
            self.follow(sequence);
            self.timestamp = timestamp;
            self.sent_at = now;
            self.last_in = (packet.sequence, packet.timestamp);
            self.length = 0;
        }
        Some(self.stamp(marker, payload_type, sequence, timestamp, packet.payload.len()))
    }

    /// How `source` passes; None unless it feeds the stream and its next packet follows the last one.
    pub fn passing(&self, source: Source) -> Option<Passing> {
        (self.source == Some(source) && !self.withheld).then_some(Passing {
            sequence_offset: self.sequence_offset,
            timestamp_offset: self.timestamp_offset,
            sequence: self.last_in.0,
            timestamp: self.last_in.1,
        })
    }

    /// Packets of the bridged source passed elsewhere. `newest`: the sequence number and the timestamp of the newest as it
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

    /// Nobody knows how many packets of the bridged source passed elsewhere since the last one that is known, but not more
    /// than `most`. What is sent next is not to bear a number that the peer has seen: to it, some seem lost.
    pub fn lose_track(&mut self, most: u16) {
        self.next_sequence = self.next_sequence.wrapping_add(most);
        self.withheld = true;
    }

    /// The header of a packet of our own, `count` samples after the one before if that was of the same source.
    /// `timestamp`: given for digits, whose packets share the moment at which the key was pressed (RFC 4733 2.5.1.2).
    pub fn own(
        &mut self,
        source: Source,
        payload_type: u8,
        octets: usize,
        count: u32,
        now: Nanos,
        rate_hz: u32,
    ) -> Stamp {
        let mut marker = std::mem::take(&mut self.paused);
        // A source that was not heard of for a while did not count the time.
        let goes_on = now.saturating_sub(self.sent_at) < SECOND;
        let timestamp = if self.source == Some(source) && goes_on {
            self.timestamp.wrapping_add(count)
        } else {
            marker = true;
            self.begin(source, now, rate_hz)
        };
        self.timestamp = timestamp;
        self.sent_at = now;
        self.length = count;
        let sequence = self.take_sequence();
        self.stamp(marker, payload_type, sequence, timestamp, octets)
    }

    /// Let `count` samples of our own pass without a packet: the peer knows by the timestamps that it was a pause.
    pub fn pause(&mut self, source: Source, count: u32, now: Nanos) {
        if self.source == Some(source) {
            self.timestamp = self.timestamp.wrapping_add(count);
            self.sent_at = now;
            self.paused = true;
        }
    }

    /// The header of one packet of a digit. `start` is `timestamp_at` the moment the key was pressed.
    pub fn digit(
        &mut self,
        source: Source,
        payload_type: u8,
        octets: usize,
        start: u32,
        first: bool,
        now: Nanos,
    ) -> Stamp {
        self.source = Some(source);
        // What comes after begins where the digit began plus the time it took: `timestamp_at` adds that time.
        if first {
            self.timestamp = start;
            self.sent_at = now;
        }
        let sequence = self.take_sequence();
        self.floor = self.next_sequence;
        self.stamp(first, payload_type, sequence, start, octets)
    }

    fn begins_anew(&self, packet: &Packet, rate_hz: u32) -> bool {
        let step = packet.sequence.wrapping_sub(self.last_in.0);
        if (MAX_DROPOUT..=u16::MAX - MAX_MISORDER).contains(&step) {
            return true;
        }
        (packet.timestamp.wrapping_sub(self.last_in.1) as i32).unsigned_abs() > MAX_STEP_S.saturating_mul(rate_hz)
    }

    /// Make `source` the one that feeds the stream, and give the timestamp of its first packet.
    fn begin(&mut self, source: Source, now: Nanos, rate_hz: u32) -> u32 {
        let timestamp = if self.source.is_some() {
            // At least a packet's time, so that nothing overlaps what was sent just now.
            let least = u64::from(self.length.max(rate_hz / 50));
            let passed = samples(now.saturating_sub(self.sent_at), rate_hz).max(least);
            self.timestamp.wrapping_add(passed as u32)
        } else {
            self.timestamp
        };
        self.source = Some(source);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::MILLISECOND;

    const A: Source = Source::Bridged { stream: 1, ssrc: 10 };
    const B: Source = Source::Bridged { stream: 1, ssrc: 11 };
    const PLAY: Source = Source::Own(1);

    fn packet(sequence: u16, timestamp: u32) -> Packet {
        Packet {
            marker: false,
            payload_type: 0,
            sequence,
            timestamp,
            ssrc: 10,
            payload: 12..172,
        }
    }

    fn ms(value: u64) -> Nanos {
        value * MILLISECOND
    }

    #[test]
    fn one_source_keeps_its_gaps_and_its_order() {
        let mut sending = Sending::new(9, 65_534, 5000);
        let mut sent = Vec::new();
        for (sequence, timestamp) in [(100, 1000), (101, 1160), (104, 1640), (103, 1480), (105, 1800)] {
            let stamp = sending
                .relay(A, &packet(sequence, timestamp), 8, ms(0), 8000)
                .expect("in time");
            sent.push((stamp.sequence, stamp.timestamp, stamp.marker));
        }
        let expected = [
            (65_534, 5000, true),
            (65_535, 5160, false),
            (2, 5640, false),
            (1, 5480, false),
            (3, 5800, false),
        ];
        assert_eq!(sent, expected);
    }

    #[test]
    fn a_new_source_goes_on_where_the_last_one_was__rfc3550_7_1() {
        let mut sending = Sending::new(9, 0, 0);
        sending.relay(A, &packet(50, 0), 0, ms(0), 8000);
        sending.relay(A, &packet(51, 160), 0, ms(20), 8000);
        let stamp = sending
            .relay(B, &packet(7000, 99), 0, ms(45), 8000)
            .expect("first of B");
        assert_eq!((stamp.sequence, stamp.timestamp, stamp.marker), (2, 160 + 200, true));
        let stamp = sending
            .relay(B, &packet(7001, 259), 0, ms(60), 8000)
            .expect("second of B");
        assert_eq!((stamp.sequence, stamp.timestamp, stamp.marker), (3, 160 + 360, false));
    }

    #[test]
    fn a_source_that_has_ended_begins_again_when_it_is_time() {
        let mut sending = Sending::new(9, 0, 0);
        sending.own(PLAY, 0, 160, 160, ms(0), 8000);
        sending.end(Source::Own(7));
        assert_eq!(sending.own(PLAY, 0, 160, 160, ms(21), 8000).timestamp, 160);
        sending.end(PLAY);
        let again = sending.own(PLAY, 0, 160, 160, ms(521), 8000);
        assert_eq!((again.sequence, again.timestamp, again.marker), (2, 160 + 4000, true));
    }

    #[test]
    fn what_is_withheld_is_not_lost__rfc3550_5_1() {
        let mut sending = Sending::new(9, 0, 0);
        sending.relay(A, &packet(50, 0), 0, ms(0), 8000);
        for _ in 51..100 {
            sending.withhold();
        }
        let after = sending
            .relay(A, &packet(100, 8000), 0, ms(1000), 8000)
            .expect("resumed");
        assert_eq!((after.sequence, after.timestamp, after.marker), (1, 8000, true));
        let lost_one = sending.relay(A, &packet(102, 8320), 0, ms(1040), 8000).expect("next");
        assert_eq!(
            (lost_one.sequence, lost_one.timestamp, lost_one.marker),
            (3, 8320, false)
        );
    }

    #[test]
    fn play_between_two_stretches_of_a_bridge_leaves_no_jump() {
        let mut sending = Sending::new(9, 0, 0);
        sending.relay(A, &packet(50, 0), 0, ms(0), 8000);
        let first = sending.own(PLAY, 0, 160, 160, ms(20), 8000);
        let second = sending.own(PLAY, 0, 160, 160, ms(41), 8000);
        let after = sending
            .relay(A, &packet(53, 480), 0, ms(60), 8000)
            .expect("bridge again");
        assert_eq!((first.sequence, first.timestamp, first.marker), (1, 160, true));
        assert_eq!((second.sequence, second.timestamp, second.marker), (2, 320, false));
        assert_eq!((after.sequence, after.timestamp, after.marker), (3, 480, true));
    }

    #[test]
    fn what_follows_a_long_packet_of_our_own_does_not_overlap_it() {
        let mut sending = Sending::new(9, 0, 0);
        sending.own(PLAY, 0, 480, 480, ms(0), 8000);
        let after = sending.relay(A, &packet(50, 0), 0, ms(5), 8000).expect("bridge");
        assert_eq!((after.sequence, after.timestamp), (1, 480));
        let again = sending.own(PLAY, 0, 160, 160, ms(10), 8000);
        assert_eq!((again.sequence, again.timestamp), (2, 640));
    }

    #[test]
    fn a_pause_of_our_own_shows_in_the_timestamps_only__rfc3551_4_1() {
        let mut sending = Sending::new(9, 0, 0);
        sending.own(PLAY, 0, 160, 160, ms(0), 8000);
        sending.pause(PLAY, 160, ms(20));
        sending.pause(PLAY, 160, ms(40));
        let after = sending.own(PLAY, 0, 160, 160, ms(60), 8000);
        assert_eq!((after.sequence, after.timestamp, after.marker), (1, 480, true));
        let next = sending.own(PLAY, 0, 160, 160, ms(80), 8000);
        assert_eq!((next.sequence, next.timestamp, next.marker), (2, 640, false));
    }

    #[test]
    fn another_ssrc_begins_with_its_own_numbers_and_counts__rfc3550_6_4_1() {
        let mut sending = Sending::new(9, 100, 0);
        sending.relay(A, &packet(50, 0), 0, ms(0), 8000);
        sending.renew(10, 7);
        assert_eq!((sending.packets, sending.octets), (0, 0));
        let stamp = sending.relay(A, &packet(51, 160), 0, ms(20), 8000).expect("goes on");
        assert_eq!(
            (stamp.ssrc, stamp.sequence, stamp.timestamp, stamp.marker),
            (10, 7, 160, true)
        );
        assert_eq!(sending.relay(A, &packet(50, 0), 0, ms(21), 8000), None);
    }

    #[test]
    fn what_passed_elsewhere_leaves_no_jump() {
        let mut sending = Sending::new(9, 65_535, 5000);
        assert_eq!(sending.passing(A), None);
        sending.relay(A, &packet(50, 0), 0, ms(0), 8000);
        let passing = sending.passing(A).expect("it feeds the stream");
        assert_eq!((passing.sequence, passing.timestamp), (50, 0));
        // 51 was lost, 52 and 53 passed.
        let elsewhere = 53_u16.wrapping_add(passing.sequence_offset);
        assert_eq!(elsewhere, 2);
        sending.passed(2, 320, Some(((53, 480), ms(60))));
        assert_eq!((sending.packets, sending.octets), (3, 480));
        assert_eq!(sending.timestamp_at(ms(70), 8000), 5000 + 480 + 80);
        let next = sending.relay(A, &packet(54, 640), 0, ms(80), 8000).expect("relayed");
        assert_eq!((next.sequence, next.timestamp, next.marker), (3, 5640, false));
        sending.passed(1, 160, Some(((55, 800), ms(100))));
        sending.passed(1, 160, None);
        let play = sending.own(PLAY, 0, 160, 160, ms(120), 8000);
        assert_eq!((play.sequence, play.timestamp, play.marker), (5, 5960, true));
        assert_eq!(sending.passing(A), None);
    }

    #[test]
    fn a_source_passes_however_long_it_goes_on() {
        let mut sending = Sending::new(9, 65_000, 0);
        let later = |number: u32| packet(number as u16, number * 160);
        for number in 0..200_000 {
            let stamp = sending.relay(A, &later(number), 0, ms(u64::from(number) * 20), 8000);
            let expected = (number as u16).wrapping_add(65_000);
            assert_eq!(stamp.map(|stamp| stamp.sequence), Some(expected), "packet {number}");
        }
        // What was before the source took over is still told apart from what comes late.
        let play = sending.own(PLAY, 0, 160, 160, ms(4_000_000), 8000);
        sending.relay(A, &later(200_001), 0, ms(4_000_020), 8000);
        assert_eq!(sending.relay(A, &later(199_999), 0, ms(4_000_021), 8000), None);
        assert!(play.marker);
    }

    #[test]
    fn a_source_passes_however_long_it_passed_elsewhere() {
        let mut sending = Sending::new(9, 0, 0);
        sending.relay(A, &packet(50, 0), 0, ms(0), 8000);
        for number in 1..200_u32 {
            let newest = ((50 + number * 1000) as u16, number * 160_000);
            sending.passed(1000, 160_000, Some((newest, ms(u64::from(number) * 20_000))));
            let mut came_back = Sending { ..sending };
            let next = packet(newest.0.wrapping_add(1), newest.1 + 160);
            let stamp = came_back.relay(A, &next, 0, ms(u64::from(number) * 20_000 + 20), 8000);
            assert_eq!(
                stamp.map(|stamp| stamp.sequence),
                Some((1 + number * 1000) as u16),
                "{number}"
            );
        }
    }

    #[test]
    fn after_the_track_was_lost_no_number_is_used_twice() {
        let mut sending = Sending::new(9, 0, 0);
        sending.relay(A, &packet(50, 0), 0, ms(0), 8000);
        sending.lose_track(100);
        assert_eq!(sending.passing(A), None);
        let next = sending
            .relay(A, &packet(100, 8000), 0, ms(1000), 8000)
            .expect("relayed");
        assert_eq!((next.sequence, next.timestamp, next.marker), (101, 8000, true));
    }

    #[test]
    fn what_belongs_before_the_change_of_source_is_dropped() {
        let mut sending = Sending::new(9, 0, 0);
        sending.own(PLAY, 0, 160, 160, ms(0), 8000);
        sending.relay(A, &packet(50, 160), 0, ms(20), 8000);
        assert_eq!(sending.relay(A, &packet(49, 0), 0, ms(21), 8000), None);
    }

    #[test]
    fn a_source_that_restarts_its_numbers_is_a_new_beginning() {
        for (sequence, timestamp) in [(20_000, 160), (40_000, 160), (51, 0x7000_0000)] {
            let mut sending = Sending::new(9, 0, 0);
            sending.relay(A, &packet(50, 0), 0, ms(0), 8000);
            let stamp = sending
                .relay(A, &packet(sequence, timestamp), 0, ms(20), 8000)
                .expect("goes on");
            assert_eq!(
                (stamp.sequence, stamp.timestamp, stamp.marker),
                (1, 160, true),
                "{sequence} {timestamp}"
            );
        }
    }

    #[test]
    fn packets_of_a_digit_share_the_moment_of_the_press__rfc4733_2_5_1_2() {
        let mut sending = Sending::new(9, 0, 1000);
        sending.own(PLAY, 0, 160, 160, ms(0), 8000);
        let start = sending.timestamp_at(ms(20), 8000);
        let digit = Source::Own(2);
        let stamps: Vec<_> = (0..3)
            .map(|index| sending.digit(digit, 101, 4, start, index == 0, ms(20 + 20 * index)))
            .collect();
        assert!(stamps.iter().all(|stamp| stamp.timestamp == 1160));
        assert_eq!(
            stamps
                .iter()
                .map(|stamp| (stamp.sequence, stamp.marker))
                .collect::<Vec<_>>(),
            [(1, true), (2, false), (3, false)]
        );
        let after = sending.own(PLAY, 0, 160, 160, ms(80), 8000);
        assert_eq!((after.sequence, after.timestamp), (4, 1640));
    }
}
