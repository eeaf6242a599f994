//! A digit that passes across a bridge: what its timestamp becomes for the other peer.
//!
//! The packets of a press share the moment at which it began as timestamp (RFC 4733 2.5.1.2), also those that repeat its end
//! (2.5.1.4), and the far peer knows one press from another by nothing else. Events of some peers are far from their audio's
//! clock, or say the same for each press: aiortp writes 0 unless it is told otherwise. So a press whose timestamp cannot be
//! the audio's begins now, and what belongs to it is moved by as much.

use super::{Feed, MAX_STEP_S};
use crate::clock::Nanos;
use crate::rtp::event::{follows, is_newer, is_pressed_again, Body, GIVEN_UP};
use crate::rtp::Packet;

/// The newest packet of a press, as it came.
#[derive(Debug, Clone, Copy)]
pub struct Press {
    feed: Feed,
    sequence: u16,
    timestamp: u32,
    body: Body,
    at: Nanos,
    /// What is added to its timestamp.
    offset: u32,
}

/// Where a packet of a digit belongs.
#[derive(Debug, PartialEq, Eq)]
pub enum Belongs {
    /// To what passes with this offset.
    With(u32),
    /// To another press, whose timestamp says nothing.
    Anew,
    /// To another press, whose timestamp may be the audio's.
    Elsewhere,
    /// To a press of which enough was sent.
    Nowhere,
}

impl Press {
    pub fn new(feed: Feed, packet: &Packet, body: Body, offset: u32, now: Nanos) -> Self {
        Self {
            feed,
            sequence: packet.sequence,
            timestamp: packet.timestamp,
            body,
            at: now,
            offset,
        }
    }

    /// The timestamp that the peer was told.
    pub fn told(&self) -> u32 {
        self.timestamp.wrapping_add(self.offset)
    }

    /// Whether a packet of `feed` with this sequence number is the newest of a digit.
    pub fn is_before(&self, feed: Feed, sequence: u16) -> bool {
        self.feed != feed || is_newer(sequence, self.sequence)
    }

    /// `audio`: by how much the timestamps of the audio are moved.
    pub fn place(&self, feed: Feed, packet: &Packet, body: Body, audio: u32, now: Nanos, rate_hz: u32) -> Belongs {
        if self.feed != feed {
            return Belongs::Elsewhere;
        }
        let newer = self.is_before(feed, packet.sequence);
        if packet.timestamp == self.timestamp {
            let other = body.event != self.body.event;
            let next = follows(packet.sequence, self.sequence);
            return match newer {
                false if other => Belongs::Nowhere,
                true if other || is_pressed_again(self.body, self.at, body, next, now, rate_hz) => Belongs::Anew,
                _ => Belongs::With(self.offset),
            };
        }
        if self.offset == audio {
            return Belongs::Elsewhere;
        }
        if !newer {
            return Belongs::Nowhere;
        }
        // The segments of a long press follow one another by their timestamps (RFC 4733 2.5.1.3).
        let near = is_near(packet.timestamp, self.timestamp, rate_hz);
        if near && now.saturating_sub(self.at) <= GIVEN_UP {
            Belongs::With(self.offset)
        } else {
            Belongs::Elsewhere
        }
    }
}

/// Whether two timestamps can be of one clock, with a pause between them.
pub fn is_near(timestamp: u32, other: u32, rate_hz: u32) -> bool {
    (timestamp.wrapping_sub(other) as i32).unsigned_abs() <= MAX_STEP_S.saturating_mul(rate_hz)
}

#[cfg(test)]
mod tests {
    use super::super::tests::{packet, A};
    use super::super::Sending;
    use super::*;
    use crate::clock::MILLISECOND;

    const START: u32 = 0x9000_0000;

    /// A peer whose packets come 20 ms apart, and what the far one is sent.
    struct Way {
        sending: Sending,
        now: Nanos,
        sequence: u16,
    }

    impl Way {
        fn new() -> Self {
            let mut way = Self {
                sending: Sending::new(9, 65_530, 5000),
                now: 0,
                sequence: 0,
            };
            assert_eq!(way.audio(), Some(5000));
            way
        }

        /// 20 ms of audio later; the timestamp of the far peer's packet.
        fn audio(&mut self) -> Option<u32> {
            self.sequence += 1;
            self.now += 20 * MILLISECOND;
            let timestamp = START + self.clock() - 160;
            let packet = packet(self.sequence, timestamp);
            let stamp = self.sending.relay(A, &packet, 0, self.now, 8000)?;
            Some(stamp.timestamp)
        }

        fn clock(&self) -> u32 {
            (self.now / MILLISECOND * 8) as u32
        }

        fn event(&mut self, event: u8, timestamp: u32, duration: u16) -> Option<u32> {
            self.sequence += 1;
            self.event_again(self.sequence, event, timestamp, duration)
        }

        fn event_again(&mut self, sequence: u16, event: u8, timestamp: u32, duration: u16) -> Option<u32> {
            let body = Body {
                event,
                end: duration > 320,
                duration,
            };
            let packet = packet(sequence, timestamp);
            let stamp = self.sending.relay_event(A, &packet, body, 101, self.now, 8000)?;
            Some(stamp.timestamp)
        }

        /// A press amid audio, each packet again after the audio that follows; the one timestamp of all of them.
        fn press(&mut self, event: u8, timestamp: u32) -> u32 {
            let mut told = Vec::new();
            for duration in [160, 320, 480, 480, 480] {
                told.extend(self.event(event, timestamp, duration));
                let sequence = self.sequence;
                assert_eq!(
                    self.audio(),
                    Some(5000 + self.clock() - 160),
                    "the audio keeps its offset"
                );
                told.extend(self.event_again(sequence, event, timestamp, duration));
            }
            assert_eq!(told.len(), 10, "none is dropped");
            assert!(told.iter().all(|one| one == &told[0]), "{told:?}");
            told[0]
        }

        fn talk(&mut self, packets: u32) {
            for _ in 0..packets {
                assert_eq!(self.audio(), Some(5000 + self.clock() - 160));
            }
        }
    }

    #[test]
    fn all_packets_of_a_press_keep_one_timestamp_whatever_it_is__rfc4733_2_5_1_2() {
        for timestamp in [0, START, START - 8000 * 31, START + 8000 * 31] {
            let mut way = Way::new();
            way.talk(10);
            let first = way.press(1, timestamp);
            way.talk(11);
            let second = way.press(1, timestamp);
            way.talk(11);
            let third = way.press(1, timestamp);
            assert!(
                first < second && second < third,
                "{timestamp:x}: {first} {second} {third}"
            );
        }
    }

    #[test]
    fn a_press_far_from_the_audio_begins_when_it_comes__rfc4733_2_5_1_2() {
        let mut way = Way::new();
        way.talk(10);
        let at = way.clock();
        assert_eq!(way.press(1, 0), 5000 + at - 160);
        // The next digit at once: a press of its own.
        let at = way.clock();
        assert_eq!(way.press(2, 0), 5000 + at - 160);
        assert_eq!(
            way.event_again(way.sequence - 9, 1, 0, 480),
            None,
            "a late copy of the one before"
        );
        way.talk(10);
    }

    #[test]
    fn repetitions_of_the_end_are_no_further_press__rfc4733_2_5_1_4() {
        let mut way = Way::new();
        let told = way.event(1, 0, 480);
        way.now += 150 * MILLISECOND;
        assert_eq!(way.event(1, 0, 480), told);
        way.now += 150 * MILLISECOND;
        assert_eq!(way.event(1, 0, 480), told);
        way.now += 300 * MILLISECOND;
        assert_eq!(
            way.event_again(way.sequence, 1, 0, 480),
            told,
            "a copy that took its time"
        );
        way.now += 300 * MILLISECOND;
        assert_eq!(way.event(1, 0, 480), told, "the next one, held up on its way");
        way.sequence += 10;
        way.now += 201 * MILLISECOND;
        assert_ne!(way.event(1, 0, 480), told, "audio lay between");
    }

    #[test]
    fn a_press_whose_packets_were_held_up_is_one_and_a_duration_that_falls_begins_another__rfc4733_2_5_1_2() {
        let mut way = Way::new();
        let told = way.event(1, 0, 160);
        way.now += 400 * MILLISECOND;
        assert_eq!(way.event(1, 0, 320), told);
        way.now += 400 * MILLISECOND;
        assert_ne!(way.event(1, 0, 160), told);
    }

    #[test]
    fn a_press_goes_on_after_a_burst_of_losses_and_in_segments__rfc4733_2_5_1_3() {
        let mut way = Way::new();
        let told = way.event(1, 0, 160).expect("sent");
        way.now += 400 * MILLISECOND;
        assert_eq!(way.event(1, 0, 160 + 3200), Some(told));
        way.now += 20 * MILLISECOND;
        assert_eq!(way.event(1, 0xFFFF, 160), Some(told + 0xFFFF), "the next segment");
    }

    #[test]
    fn digits_of_who_is_muted_stay_whole__rfc4733_2_5_1_2() {
        let mut way = Way::new();
        let mut told = Vec::new();
        for duration in [160, 320, 480, 480] {
            way.sending.withhold();
            way.sequence += 1;
            way.now += 20 * MILLISECOND;
            told.extend(way.event(1, START + 160, duration));
        }
        assert_eq!(told, [told[0]; 4]);
    }

    #[test]
    fn a_press_that_comes_first_leaves_the_audio_its_clock__rfc4733_2_5_1_2() {
        let mut way = Way::new();
        way.sending = Sending::new(9, 0, 700);
        let told = way.event(1, 0, 160);
        assert_eq!(told, Some(700));
        let sequence = way.sequence;
        let offset = way.audio().expect("sent").wrapping_sub(way.clock());
        assert_eq!(
            way.event_again(sequence, 1, 0, 160),
            None,
            "from before the audio's beginning"
        );
        assert_eq!(way.event(1, 0, 480), told);
        for _ in 0..3 {
            assert_eq!(way.audio(), Some(offset.wrapping_add(way.clock())));
        }
    }
}
