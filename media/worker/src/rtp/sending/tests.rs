use super::*;
use crate::clock::MILLISECOND;

pub(super) const A: Feed = Feed::Bridged { stream: 1, ssrc: 10 };
const B: Feed = Feed::Bridged { stream: 1, ssrc: 11 };
const PLAY: Feed = Feed::Play(1);

pub(super) fn packet(sequence: u16, timestamp: u32) -> Packet {
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
fn one_feed_keeps_its_gaps_and_its_order() {
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
fn a_new_feed_goes_on_where_the_last_one_was__rfc3550_7_1() {
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
fn a_feed_that_has_ended_begins_again_when_it_is_time() {
    let mut sending = Sending::new(9, 0, 0);
    sending.own(PLAY, 0, 160, 160, ms(0), 8000);
    sending.end(Feed::Play(7));
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
fn a_feed_passes_however_long_it_goes_on() {
    let mut sending = Sending::new(9, 65_000, 0);
    let later = |number: u32| packet(number as u16, number * 160);
    for number in 0..200_000 {
        let stamp = sending.relay(A, &later(number), 0, ms(u64::from(number) * 20), 8000);
        let expected = (number as u16).wrapping_add(65_000);
        assert_eq!(stamp.map(|stamp| stamp.sequence), Some(expected), "packet {number}");
    }
    // What was before the feed took over is still told apart from what comes late.
    let play = sending.own(PLAY, 0, 160, 160, ms(4_000_000), 8000);
    sending.relay(A, &later(200_001), 0, ms(4_000_020), 8000);
    assert_eq!(sending.relay(A, &later(199_999), 0, ms(4_000_021), 8000), None);
    assert!(play.marker);
}

#[test]
fn a_feed_passes_however_long_it_passed_elsewhere() {
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
fn what_belongs_before_the_change_of_feed_is_dropped() {
    let mut sending = Sending::new(9, 0, 0);
    sending.own(PLAY, 0, 160, 160, ms(0), 8000);
    sending.relay(A, &packet(50, 160), 0, ms(20), 8000);
    assert_eq!(sending.relay(A, &packet(49, 0), 0, ms(21), 8000), None);
}

#[test]
fn a_feed_that_restarts_its_numbers_is_a_new_beginning() {
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
    let stamps: Vec<_> = (0..3)
        .map(|index| sending.digit(101, 4, start, index == 0, ms(20 + 20 * index)))
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
