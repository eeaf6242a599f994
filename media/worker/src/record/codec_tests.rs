//! Recordings in every codec: a signal that is a function of real time goes through encoder and network, and is found again
//! in its place.

use super::*;
use crate::codec::audio::Encoder;
use crate::codec::g711::Law;
use crate::codec::opus;
use crate::random::Random;
use crate::testing::{fit, rms};

const MS: Nanos = MILLISECOND;
const PCMU: Coding = Coding::G711(Law::Mu);
const PCMA: Coding = Coding::G711(Law::A);
const OPUS: Coding = Coding::Opus(WISHES);
const WISHES: opus::Wishes = opus::Wishes {
    max_bitrate: None,
    max_playback_hz: opus::CLOCK_HZ,
    fec: true,
    dtx: false,
    constant_bitrate: false,
};

const fn l16(rate_hz: u32, channels: u8) -> Coding {
    Coding::L16 { rate_hz, channels }
}

/// Half a second of chirp from 300 to 3000 Hz; silence around it. `at`: seconds since it began.
fn chirp(at: f64) -> f64 {
    if !(0.0..0.5).contains(&at) {
        return 0.0;
    }
    let turns = 300.0 * at + 2700.0 * at * at;
    9000.0 * (std::f64::consts::TAU * turns).sin()
}

/// What is said: a chirp one second into every period.
fn said(seconds: f64, period: f64) -> f64 {
    chirp(seconds.rem_euclid(period) - 1.0)
}

#[derive(Debug, Clone)]
struct Sent {
    at: Nanos,
    timestamp: u32,
    payload: Vec<u8>,
}

/// The packets of a phone whose clock is `ppm` too slow, for so many seconds; `at` is when each leaves.
fn phone(coding: Coding, seconds: f64, period: f64, ppm: f64) -> Vec<Sent> {
    let mut encoder = Encoder::new(coding, 16_000).expect("an encoder");
    let (rate_hz, length_ms) = (encoder.rate_hz(), coding.packet_ms(20));
    let slow = 1.0 + ppm * 1e-6;
    let count = (rate_hz * length_ms / 1000) as usize;
    let mut frame = vec![0; count];
    let mut octets = [0; 2000];
    let mut timestamp = 0xFFFF_0000_u32; // it wraps on the way
    let packets = (seconds * 1000.0 / f64::from(length_ms)) as usize;
    (0..packets)
        .map(|packet| {
            for (index, sample) in frame.iter_mut().enumerate() {
                let at = (packet * count + index) as f64 / f64::from(rate_hz) * slow;
                *sample = said(at, period) as i16;
            }
            let length = encoder.encode(&frame, &mut octets);
            let sent = Sent {
                at: ((packet + 1) as f64 * f64::from(length_ms) * slow * 1e6) as Nanos,
                timestamp,
                payload: octets[..length].to_vec(),
            };
            timestamp = timestamp.wrapping_add(encoder.units(count));
            sent
        })
        .collect()
}

/// Through a network that delays by 5 ms and up to `jitter_ms` more and loses one of `loss` (0 = none).
fn network(sent: Vec<Sent>, jitter_ms: u64, loss: u64, seed: u64) -> Vec<Sent> {
    let mut random = Random::new(seed);
    let mut arrived: Vec<Sent> = sent
        .into_iter()
        .filter_map(|mut packet| {
            packet.at += 5 * MS + random.below(jitter_ms * MS + 1);
            (loss == 0 || random.below(loss) != 0).then_some(packet)
        })
        .collect();
    arrived.sort_by_key(|packet| packet.at);
    arrived
}

/// Record two directions (codec and what arrived) as a stereo file; gives both.
fn record(sides: [(Coding, Vec<Sent>); 2], seconds: f64) -> [Vec<i16>; 2] {
    let mut all: Vec<(usize, Coding, Sent)> = Vec::new();
    for (track, (coding, packets)) in sides.into_iter().enumerate() {
        all.extend(packets.into_iter().map(|packet| (track, coding, packet)));
    }
    all.sort_by_key(|packet| packet.2.at);
    let mut line = TimeLine::new(true, 0);
    line.begin(0);
    let (mut out, mut taken_at) = (Vec::new(), 0);
    for (track, coding, packet) in &all {
        put(&mut line, *track, *coding, packet);
        if packet.at - taken_at >= CHUNK {
            taken_at = packet.at;
            line.take(packet.at, &mut out);
        }
    }
    line.finish((seconds * 1e9) as Nanos, i64::MAX, &mut out);
    [0, 2].map(|first| {
        let frames = out.chunks(4);
        frames
            .map(|frame| i16::from_le_bytes([frame[first], frame[first + 1]]))
            .collect()
    })
}

fn put(line: &mut TimeLine, track: usize, coding: Coding, packet: &Sent) {
    let heard = Heard {
        ssrc: track as u32,
        timestamp: packet.timestamp,
        coding,
        payload: &packet.payload,
    };
    line.put(track, heard, packet.at);
}

/// Where the chirp begins that should begin near `expected`, and how alike it is (1 = the same).
fn find(samples: &[i16], expected: usize) -> (usize, f64) {
    let reference: Vec<f64> = (0..4000).map(|index| chirp(f64::from(index) / 8000.0)).collect();
    let likeness = |at: usize| {
        let part = &samples[at..at + reference.len()];
        let (mut cross, mut energy, mut own) = (0.0, 1.0, 1.0);
        for (&sample, &value) in part.iter().zip(&reference) {
            cross += f64::from(sample) * value;
            energy += f64::from(sample).powi(2);
            own += value * value;
        }
        cross / (energy * own).sqrt()
    };
    let places = expected.saturating_sub(100)..expected + 100;
    places
        .map(|at| (at, likeness(at)))
        .max_by(|one, other| one.1.total_cmp(&other.1))
        .expect("places")
}

/// Ten minutes; one clock 100 ppm slow, up to 40 ms of jitter, one packet of fifty lost: a chirp every 5 s, said at the same
/// moment on both sides, lies within a millisecond on both.
fn expect_alignment(coding: Coding) {
    const SECONDS: f64 = 600.0;
    const PERIOD: f64 = 5.0;
    let left = network(phone(PCMU, SECONDS, PERIOD, 0.0), 0, 0, 1);
    let right = network(phone(coding, SECONDS, PERIOD, 100.0), 40, 50, 2);
    let [left, right] = record([(PCMU, left), (coding, right)], SECONDS + 1.0);
    let (mut worst, mut judged) = (0, 0);
    for chirp in 1..120 {
        // 5 ms of network on either side.
        let expected = (f64::from(chirp) * PERIOD * 8000.0) as usize + 8000 + 40;
        let ((one, alike), (other, likeness)) = (find(&left, expected), find(&right, expected));
        assert!(alike > 0.99 && one == expected, "{coding:?} {chirp}: {one} {alike}");
        // A loss within a chirp, or a correction at it, changes the sound, and with Opus for long: its place is not judged.
        if likeness > 0.6 {
            judged += 1;
            worst = worst.max(one.abs_diff(other));
        }
    }
    assert!(judged >= 75, "{coding:?}: {judged} chirps found");
    println!("{coding:?}: {worst} samples apart at most, {judged} chirps");
    assert!(worst <= 8, "{coding:?}: {worst} samples apart");
}

#[test]
fn ten_minutes_of_pcma_stay_aligned() {
    expect_alignment(PCMA);
}

#[test]
fn ten_minutes_of_g722_stay_aligned() {
    expect_alignment(Coding::G722);
}

#[test]
fn ten_minutes_of_opus_stay_aligned() {
    expect_alignment(OPUS);
}

#[test]
fn ten_minutes_of_l16_stay_aligned() {
    expect_alignment(l16(16_000, 1));
}

#[test]
fn ten_minutes_of_l16_at_a_rate_that_does_not_divide_stay_aligned() {
    expect_alignment(l16(44_100, 1));
}

#[test]
fn every_codec_is_heard_as_well_as_it_can_be() {
    // (codec, least SNR in dB)
    let cases = [
        (PCMU, 35.0),
        (PCMA, 35.0),
        (Coding::G722, 35.0),
        (OPUS, 8.5),
        (l16(8000, 1), 60.0),
        (l16(16_000, 2), 60.0),
        (l16(44_100, 1), 60.0),
        (l16(48_000, 2), 60.0),
    ];
    for (coding, least) in cases {
        let sent = network(phone(coding, 3.0, 5.0, 0.0), 0, 0, 1);
        let [heard, _] = record([(coding, sent), (PCMU, Vec::new())], 3.0);
        assert_eq!(heard.len(), 24_000);
        let reference: Vec<i16> = (0..4000).map(|index| chirp(f64::from(index) / 8000.0) as i16).collect();
        let (snr, shift) = fit(&reference, &heard[8000..12_200], 100);
        println!("{coding:?}: {snr:.1} dB, {shift} samples late");
        assert!(snr >= least, "{coding:?}: {snr:.1} dB");
        assert!(shift.abs_diff(40) <= 2, "{coding:?}: {shift}");
        assert!(rms(&heard[..7900]) < 20.0 && rms(&heard[12_200..]) < 20.0, "{coding:?}");
    }
}

#[test]
fn disorder_and_jitter_leave_the_file_as_it_is() {
    for coding in [PCMU, Coding::G722, OPUS, l16(16_000, 1), l16(44_100, 1)] {
        let sent = phone(coding, 4.0, 5.0, 0.0);
        let mut jittered = network(sent.clone(), 150, 0, 3);
        // The first one tells where all others belong.
        let first = jittered.iter().position(|packet| packet.timestamp == sent[0].timestamp);
        jittered[first.expect("nothing is lost")].at = sent[0].at + 5 * MS;
        jittered.sort_by_key(|packet| packet.at);
        let even = record([(coding, network(sent, 0, 0, 3)), (PCMU, Vec::new())], 4.5);
        let uneven = record([(coding, jittered), (PCMU, Vec::new())], 4.5);
        assert!(rms(&even[0]) > 1000.0, "{coding:?}");
        assert!(even[0] == uneven[0], "{coding:?}");
    }
}

#[test]
fn a_loss_is_silence_of_its_length_and_opus_repairs_a_short_one() {
    for (coding, repaired) in [(Coding::G722, false), (l16(16_000, 1), false), (OPUS, true)] {
        let lost = 60..65; // at 1.2 s, in the middle of the chirp
        let mut sent = network(phone(coding, 3.0, 5.0, 0.0), 0, 0, 1);
        let [whole, _] = record([(coding, sent.clone()), (PCMU, Vec::new())], 3.0);
        sent.drain(lost);
        let [heard, _] = record([(coding, sent), (PCMU, Vec::new())], 3.0);
        let gap = 9600 + 40 + 80..9600 + 40 + 600;
        assert_eq!(
            rms(&heard[gap.clone()]) > 500.0,
            repaired,
            "{coding:?} {}",
            rms(&heard[gap])
        );
        assert!(heard[..9500] == whole[..9500], "{coding:?}");
        let reference: Vec<i16> = (2600..4000)
            .map(|index| chirp(f64::from(index) / 8000.0) as i16)
            .collect();
        let (snr, shift) = fit(&reference, &heard[10_600..12_200], 100);
        assert!(
            snr > 6.0 && shift.abs_diff(40) <= 2,
            "{coding:?}: {snr:.1} dB at {shift}"
        );
    }
}

#[test]
fn a_change_of_codec_in_the_middle_of_a_call_is_heard() {
    let codings = [PCMU, OPUS, Coding::G722, PCMA, l16(44_100, 1)];
    let mut line = TimeLine::new(false, 0);
    line.begin(0);
    let mut out = Vec::new();
    for (part, &coding) in codings.iter().enumerate() {
        // Three seconds each, the chirp in the middle.
        for mut packet in phone(coding, 3.0, 3.0, 0.0) {
            packet.at += part as u64 * 3000 * MS + 5 * MS;
            put(&mut line, 0, coding, &packet);
            line.take(packet.at, &mut out);
        }
    }
    line.finish(15_500 * MS, i64::MAX, &mut out);
    let samples: Vec<i16> = out
        .chunks(2)
        .map(|pair| i16::from_le_bytes([pair[0], pair[1]]))
        .collect();
    for (part, coding) in codings.iter().enumerate() {
        let expected = part * 24_000 + 8000 + 40;
        let (at, alike) = find(&samples, expected);
        assert!(at.abs_diff(expected) <= 4 && alike > 0.9, "{coding:?}: {at} {alike}");
    }
}

#[test]
fn any_packets_take_bounded_memory_and_harm_nothing() {
    let mut random = Random::new(5);
    let codings = [
        PCMU,
        PCMA,
        Coding::G722,
        OPUS,
        l16(8000, 1),
        l16(44_100, 2),
        l16(48_000, 1),
    ];
    let mut line = TimeLine::new(true, 1000);
    line.begin(0);
    let (mut now, mut out, mut payload) = (0, Vec::new(), vec![0; 2048]);
    for round in 0..60_000 {
        // For a while one codec and a clock that more or less goes on, then anything.
        let wild = round % 4000 > 3000;
        let coding = codings[if wild { random.below(7) } else { round / 4000 % 7 } as usize];
        payload
            .iter_mut()
            .step_by(7)
            .for_each(|octet| *octet = random.next() as u8);
        let length = random.below(if wild { 2048 } else { 400 }) as usize;
        let timestamp = if wild {
            random.next()
        } else {
            now * u64::from(coding.clock_hz()) / 1_000_000_000
        };
        let heard = Heard {
            ssrc: random.below(if wild { 3 } else { 1 }) as u32,
            timestamp: timestamp as u32,
            coding,
            payload: &payload[..length],
        };
        line.put(random.below(3) as usize, heard, now);
        now += random.below(10 * MS);
        match random.below(200) {
            0..20 => line.take(now, &mut out),
            20 => line.set_mode(Mode::Silent, now),
            21 => line.set_mode(Mode::LeftOut, now),
            22..25 => line.set_mode(Mode::Kept, now),
            25 => now += random.below(3000 * MS),
            _ => {}
        }
        out.clear();
        assert!(line.tracks.iter().all(|track| track.octets_held() <= 64 << 10));
    }
    line.finish(now, i64::MAX, &mut out);
    assert_eq!(line.duration(now), line.filed);
}
