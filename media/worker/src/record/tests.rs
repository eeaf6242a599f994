use super::*;
use crate::codec::g711::Law;
use crate::random::Random;

const MS: Nanos = MILLISECOND;

fn begun(stereo: bool) -> TimeLine {
    let mut line = TimeLine::new(stereo, 0);
    line.begin(0);
    line
}

fn put(line: &mut TimeLine, track: usize, ssrc: u32, timestamp: u32, payload: &[u8], now: Nanos) {
    let coding = Coding::G711(Law::Mu);
    line.put(
        track,
        Heard {
            ssrc,
            timestamp,
            coding,
            payload,
        },
        now,
    );
}

fn octets(values: &[i16]) -> Vec<u8> {
    values.iter().map(|&value| Law::Mu.encode(value)).collect()
}

/// 160 samples that rise from packet to packet, as they come out again.
fn level(packet: usize) -> i16 {
    Law::Mu.decoder()[usize::from(Law::Mu.encode(1000 + 40 * packet as i16))]
}

fn finish(mut line: TimeLine, now: Nanos) -> Vec<i16> {
    let mut out = Vec::new();
    line.finish(now, i64::MAX, &mut out);
    out.chunks(2)
        .map(|pair| i16::from_le_bytes([pair[0], pair[1]]))
        .collect()
}

/// Send packets (number, arrival in ms) and record `length_ms`.
fn heard(packets: &[(usize, u64)], length_ms: u64) -> Vec<i16> {
    let mut line = begun(false);
    for &(packet, at_ms) in packets {
        put(
            &mut line,
            0,
            1,
            8000 + 160 * packet as u32,
            &octets(&[level(packet); 160]),
            at_ms * MS,
        );
    }
    finish(line, length_ms * MS)
}

fn levels(samples: &[i16]) -> Vec<i16> {
    samples
        .chunks(160)
        .map(|chunk| {
            if chunk.iter().all(|s| *s == chunk[0]) {
                chunk[0]
            } else {
                -1
            }
        })
        .collect()
}

#[test]
fn packets_lie_where_they_arrived_and_the_length_is_the_clocks() {
    let samples = heard(&[(0, 40), (1, 60)], 101);
    assert_eq!(samples.len(), 808);
    assert_eq!(levels(&samples[..800]), [0, level(0), level(1), 0, 0]);
}

#[test]
fn loss_and_disorder_leave_everything_else_in_its_place() {
    let samples = heard(&[(0, 40), (3, 100), (2, 101)], 140);
    assert_eq!(levels(&samples), [0, level(0), 0, level(2), level(3), 0, 0]);
}

#[test]
fn jitter_does_not_move_audio() {
    let samples = heard(&[(0, 40), (1, 75), (2, 80), (3, 119), (4, 120)], 120);
    assert_eq!(levels(&samples), [0, level(0), level(1), level(2), level(3), level(4)]);
}

#[test]
fn a_late_first_packet_is_put_right_by_a_faster_one() {
    let samples = heard(&[(0, 70), (1, 80), (2, 100)], 100);
    assert_eq!(levels(&samples), [0, 0, level(0), level(1), level(2)]);
}

#[test]
fn nothing_said_is_silence_of_the_whole_length() {
    assert_eq!(heard(&[], 3_000), vec![0; 24_000]);
}

#[test]
fn a_word_is_not_cut_to_put_a_small_error_right() {
    // Ten loud packets whose first came 3 ms late, after 300 ms of which nothing can be moved as a whole.
    let mut line = begun(false);
    let mut out = Vec::new();
    for packet in 0..25_u64 {
        let late = if packet < 12 { 3 } else { 0 };
        let now = (20 + 20 * packet + late) * MS;
        put(
            &mut line,
            0,
            1,
            160 * packet as u32,
            &octets(&[level(packet as usize); 160]),
            now,
        );
        line.take(now, &mut out);
    }
    line.finish(520 * MS, i64::MAX, &mut out);
    let samples: Vec<i16> = out
        .chunks(2)
        .map(|pair| i16::from_le_bytes([pair[0], pair[1]]))
        .collect();
    assert_eq!(levels(&samples[24..4024]), (0..25).map(level).collect::<Vec<_>>());
}

#[test]
fn a_source_that_starts_anew_is_placed_by_its_arrival() {
    let mut line = begun(false);
    put(&mut line, 0, 1, 0, &octets(&[level(0); 160]), 20 * MS);
    put(&mut line, 0, 1, 0x8000_0000, &octets(&[level(1); 160]), 40 * MS);
    put(&mut line, 0, 2, 77, &octets(&[level(2); 160]), 60 * MS);
    assert_eq!(levels(&finish(line, 60 * MS)), [level(0), level(1), level(2)]);
}

#[test]
fn two_loud_voices_are_bent_and_never_wrap_and_one_is_as_it_was() {
    // Every pair of levels on either side: the mix rises with each of them and stays within the range.
    let levels: Vec<i16> = (-128..128)
        .map(|step: i16| step.saturating_mul(256))
        .chain([i16::MAX])
        .collect();
    for &one in &levels {
        let row: Vec<i16> = levels.iter().map(|&other| mixed(one, other)).collect();
        assert!(row.windows(2).all(|pair| pair[0] <= pair[1]), "{one}: {row:?}");
        let sum = |other: i16| i32::from(one) + i32::from(other);
        for (&other, &mix) in levels.iter().zip(&row) {
            assert!(
                sum(other).abs() > KNEE || i32::from(mix) == sum(other),
                "{one} {other} {mix}"
            );
        }
    }
    assert_eq!(mixed(i16::MIN, i16::MIN), -mixed(i16::MAX, i16::MAX));
    // The loudest that G.711 can say, alone: 1 dB less.
    assert!((28_672..32_124).contains(&mixed(32_124, 0)));
}

#[test]
fn stereo_is_kept_apart() {
    let mut line = begun(true);
    for (track, level) in [(0, 32_124), (1, -32_124)] {
        put(&mut line, track, 1, 0, &octets(&[level; 2]), 250_000);
    }
    assert_eq!(finish(line, 250_000), [32_124, -32_124, 32_124, -32_124]);
}

#[test]
fn what_comes_too_late_is_left_out() {
    let mut line = begun(false);
    let mut out = Vec::new();
    put(&mut line, 0, 1, 160, &octets(&[level(1); 160]), 40 * MS);
    line.take(300 * MS, &mut out);
    assert_eq!(out.len(), 2 * 800);
    put(&mut line, 0, 1, 0, &octets(&[level(0); 160]), 301 * MS);
    assert_eq!(levels(&finish(line, 400 * MS)), [0; 15]);
}

/// The places of the loud samples of one side of a recording in stereo.
fn clicks(out: &[u8], track: usize) -> Vec<i64> {
    let samples = out
        .chunks(4)
        .map(|frame| i16::from_le_bytes([frame[2 * track], frame[2 * track + 1]]));
    samples
        .enumerate()
        .filter(|(_, sample)| *sample > 10_000)
        .map(|(at, _)| at as i64)
        .collect()
}

#[test]
fn both_directions_stay_aligned_with_loss_jitter_and_drifting_clocks() {
    // A click at every second of real time in both directions; the right sender's clock is 100 ppm slow, its network
    // adds up to 40 ms, and one packet in 50 is lost. Ten minutes later the clicks still lie within a millisecond.
    let mut random = Random::new(42);
    let mut line = begun(true);
    let mut arrivals: Vec<(Nanos, usize, u32, Vec<u8>)> = Vec::new();
    let minutes = 10_u64;
    for (track, ppm, jitter_ms) in [(0, 0.0, 0), (1, 100.0, 40)] {
        let period = 1.0 + ppm * 1e-6;
        for packet in 0..minutes * 60 * 50 {
            // Sample n of the sender is taken at n/8000*period seconds of our clock.
            let payload: Vec<u8> = (0..160)
                .map(|index| {
                    let n = packet * 160 + index;
                    let at = n as f64 / 8000.0 * period;
                    let before = (n as f64 - 1.0) / 8000.0 * period;
                    Law::Mu.encode(if at.floor() > before.floor() && n > 0 {
                        20_000
                    } else {
                        0
                    })
                })
                .collect();
            let sent = ((packet + 1) as f64 * 0.02 * period * 1e9) as Nanos;
            if random.below(50) != 0 {
                let delay = 5 * MS + random.below(jitter_ms * MS + 1);
                arrivals.push((sent + delay, track, (packet * 160) as u32, payload));
            }
        }
    }
    arrivals.sort_by_key(|arrival| arrival.0);
    let mut out = Vec::new();
    for (now, track, timestamp, payload) in arrivals {
        put(&mut line, track, track as u32, timestamp, &payload, now);
        line.take(now, &mut out);
    }
    let (left, right) = (clicks(&out, 0), clicks(&out, 1));
    assert!(left.len() > 570 && right.len() > 560, "{} {}", left.len(), right.len());
    // The first seconds are those in which the fastest packet is still being found.
    let settled = right.iter().filter(|at| **at > 5 * 8000);
    let worst = settled
        .map(|at| {
            left.iter()
                .map(|other| (at - other).abs())
                .filter(|d| *d < 4000)
                .min()
                .unwrap_or(0)
        })
        .max();
    assert!(worst.is_some_and(|worst| worst <= 8), "{worst:?} samples apart");
}

/// Both directions at once: packet n says its own level on the left and half of it on the right.
fn said_on_both_sides(line: &mut TimeLine, out: &mut Vec<u8>, packets: std::ops::Range<u64>) {
    for packet in packets {
        let now = (20 * packet + 20) * MS;
        for (track, part) in [(0, 1), (1, 2)] {
            let payload = octets(&[level(packet as usize) / part; 160]);
            put(line, track, track as u32, 160 * packet as u32, &payload, now);
        }
        if packet % 25 == 24 {
            line.take(now, out);
        }
    }
}

/// The samples of both directions in a stereo file.
fn frames(out: &[u8]) -> Vec<(i16, i16)> {
    out.chunks(4)
        .map(|frame| {
            (
                i16::from_le_bytes([frame[0], frame[1]]),
                i16::from_le_bytes([frame[2], frame[3]]),
            )
        })
        .collect()
}

/// `count` samples of a packet.
fn pair(packet: usize, count: usize) -> Vec<(i16, i16)> {
    let half = Law::Mu.decoder()[usize::from(Law::Mu.encode(level(packet) / 2))];
    vec![(level(packet), half); count]
}

#[test]
fn a_pause_is_left_out_or_silent_and_both_directions_go_on_together() {
    for (mode, kept_ms) in [(Mode::LeftOut, 1000), (Mode::Silent, 2000)] {
        let (mut line, mut out) = (begun(true), Vec::new());
        said_on_both_sides(&mut line, &mut out, 0..30);
        // In the middle of packet 30, and of packet 80.
        line.set_mode(mode, 610 * MS);
        line.set_mode(mode, 615 * MS);
        said_on_both_sides(&mut line, &mut out, 30..80);
        assert_eq!(
            line.duration(1600 * MS),
            if mode == Mode::Silent { 12_800 } else { 4880 }
        );
        line.set_mode(Mode::Kept, 1610 * MS);
        line.set_mode(Mode::Kept, 1615 * MS);
        said_on_both_sides(&mut line, &mut out, 80..100);
        assert_eq!(line.duration(2000 * MS), kept_ms * 8);
        line.finish(2000 * MS, i64::MAX, &mut out);
        let mut expected: Vec<_> = (0..30).flat_map(|packet| pair(packet, 160)).collect();
        expected.extend(pair(30, 80));
        if mode == Mode::Silent {
            expected.extend([(0, 0); 8000]);
        }
        expected.extend(pair(80, 80));
        expected.extend((81..100).flat_map(|packet| pair(packet, 160)));
        assert!(frames(&out) == expected, "{mode:?}");
    }
}

#[test]
fn pauses_shorter_than_the_window_are_kept_apart() {
    let (mut line, mut out) = (begun(true), Vec::new());
    for (packet, mode) in [
        (2, Mode::LeftOut),
        (3, Mode::Kept),
        (4, Mode::Silent),
        (5, Mode::Kept),
        (6, Mode::LeftOut),
    ] {
        line.set_mode(mode, packet * 20 * MS);
    }
    said_on_both_sides(&mut line, &mut out, 0..8);
    assert_eq!(line.duration(160 * MS), 800);
    line.finish(160 * MS, i64::MAX, &mut out);
    let silence = vec![(0, 0); 160];
    let expected = [pair(0, 160), pair(1, 160), pair(3, 160), silence, pair(5, 160)].concat();
    assert!(frames(&out) == expected);
}

#[test]
fn a_length_counts_what_is_in_the_file() {
    let (mut line, mut out) = (begun(true), Vec::new());
    said_on_both_sides(&mut line, &mut out, 0..5);
    line.set_mode(Mode::LeftOut, 100 * MS);
    line.set_mode(Mode::Kept, 300 * MS);
    said_on_both_sides(&mut line, &mut out, 15..25);
    line.finish(500 * MS, 1000, &mut out);
    assert_eq!(frames(&out).len(), 1000);
}

#[test]
fn before_it_has_begun_nothing_is_taken_in_and_no_time_passes() {
    let mut line = TimeLine::new(false, 500);
    put(&mut line, 0, 1, 0, &octets(&[level(0); 160]), 10_000 * MS);
    assert_eq!(line.duration(20_000 * MS), 0);
    line.begin(20_000 * MS);
    assert_eq!(finish(line, 20_020 * MS), vec![0; 160]);
}

#[test]
fn silence_of_the_first_direction_is_told_with_its_place_in_the_file() {
    let mut line = TimeLine::new(false, 300);
    line.begin(0);
    let mut out = Vec::new();
    for packet in 0..60_u64 {
        let now = (20 * packet + 20) * MS;
        // 200 ms of speech; the other side talks on.
        let speech = if packet < 10 { 8000 } else { 100 };
        put(&mut line, 0, 1, 160 * packet as u32, &octets(&[speech; 160]), now);
        put(&mut line, 1, 2, 160 * packet as u32, &octets(&[8000; 160]), now);
        // A pause is no silence.
        match packet {
            12 => line.set_mode(Mode::Silent, now),
            22 => line.set_mode(Mode::Kept, now),
            _ => {}
        }
        line.take(now, &mut out);
        assert_eq!(line.fell_silent(), (packet >= 44).then_some(5600), "{packet}");
    }
}
