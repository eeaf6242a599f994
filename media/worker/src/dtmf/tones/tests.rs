use super::*;
use crate::random::Random;
use crate::testing::{noise, voice};

const ALL: &str = "1234567890*#ABCD";

/// Two sines, levels in dBm0, frequencies as given.
fn pair(
    low_hz: f64,
    high_hz: f64,
    low_dbm0: f64,
    high_dbm0: f64,
    length_ms: u32,
    rate_hz: u32,
    phase: f64,
) -> Vec<f64> {
    let amplitude = |level: f64| f64::from(REFERENCE) * 10_f64.powf(level / 20.0);
    let sample = |at: u32| {
        let seconds = f64::from(at) / f64::from(rate_hz);
        amplitude(low_dbm0) * (TAU * low_hz * seconds + phase).sin()
            + amplitude(high_dbm0) * (TAU * high_hz * seconds).sin()
    };
    (0..rate_hz / 1000 * length_ms).map(sample).collect()
}

fn samples(audio: &[f64]) -> Vec<i16> {
    audio
        .iter()
        .map(|&sample| sample.round().clamp(-32_768.0, 32_767.0) as i16)
        .collect()
}

fn hear(detector: &mut Detector, audio: &[i16]) -> String {
    let mut told = String::new();
    detector.hear(audio, |heard| {
        if let Heard::Down(digit) = heard {
            told.push(digit);
        }
    });
    told
}

/// How often of `ALL`, at ten places relative to the blocks, a digit of this kind is heard.
fn heard_of_160(make: impl Fn(f64, f64, f64) -> Vec<f64>) -> usize {
    let mut count = 0;
    for (index, digit) in ALL.chars().enumerate() {
        let (low_hz, high_hz) = frequencies_of(digit).expect("a digit");
        for shift in 0..10_usize {
            let mut detector = Detector::new(8000).expect("a rate");
            let mut audio = vec![0; 400 + 4 * shift];
            audio.extend(samples(&make(low_hz, high_hz, (shift + index) as f64)));
            audio.extend([0; 400]);
            let told = hear(&mut detector, &audio);
            assert!(
                told.len() <= 1 && told.chars().all(|heard| heard == digit),
                "{digit} was heard as {told:?}"
            );
            count += told.len();
        }
    }
    count
}

/// Digits as we make them, with gaps as long as the tones.
fn made(digits: &str, tone_ms: u32, rate_hz: u32) -> Vec<i16> {
    let length = rate_hz / 1000 * tone_ms;
    let mut audio = Vec::new();
    for digit in digits.chars() {
        let mut press = vec![7; 2 * length as usize];
        fill_tones(
            crate::dtmf::event_of(digit).expect("a digit"),
            0,
            length,
            rate_hz,
            &mut press,
        );
        audio.extend(press);
    }
    audio
}

#[test]
fn every_digit_is_heard_as_it_is_made() {
    for rate_hz in [8000, 16_000] {
        let audio = made(ALL, 50, rate_hz);
        assert_eq!(hear(&mut Detector::new(rate_hz).expect("a rate"), &audio), ALL);
    }
}

#[test]
fn levels_are_accepted_from_0_to_25_dbm0_below_and_refused_from_29__q24() {
    for level in [0.0, -3.0, -10.0, -20.0, -25.0] {
        assert_eq!(
            heard_of_160(|low, high, phase| pair(low, high, level, level, 50, 8000, phase)),
            160,
            "{level} dBm0"
        );
    }
    for level in [-29.0, -40.0] {
        assert_eq!(
            heard_of_160(|low, high, phase| pair(low, high, level, level, 100, 8000, phase)),
            0,
            "{level} dBm0"
        );
    }
}

#[test]
fn the_high_tone_may_be_4_db_louder_and_8_db_quieter__q24() {
    for (twist, heard) in [(4.0, 160), (-8.0, 160), (8.0, 0), (-13.0, 0)] {
        assert_eq!(
            heard_of_160(|low, high, phase| pair(low, high, -12.0, -12.0 + twist, 50, 8000, phase)),
            heard,
            "{twist} dB"
        );
    }
}

#[test]
fn frequencies_may_be_off_by_1_5_percent_and_2_hz_and_not_by_3_5_percent__q24() {
    let off = |hz: f64, by: f64| hz * (1.0 + by / 100.0) + 2.0 * by.signum();
    for (low_off, high_off) in [(1.5, 1.5), (-1.5, -1.5), (1.5, -1.5), (-1.5, 1.5)] {
        let heard = heard_of_160(|low, high, phase| {
            pair(off(low, low_off), off(high, high_off), -10.0, -10.0, 50, 8000, phase)
        });
        assert_eq!(heard, 160, "{low_off} % {high_off} %");
    }
    let far = |hz: f64, by: f64| hz * (1.0 + by / 100.0);
    for (low_off, high_off) in [
        (3.5, 0.0),
        (-3.5, 0.0),
        (0.0, 3.5),
        (0.0, -3.5),
        (3.5, 3.5),
        (-3.5, -3.5),
        (5.0, 0.0),
        (0.0, -5.0),
    ] {
        let heard = heard_of_160(|low, high, phase| {
            pair(far(low, low_off), far(high, high_off), -10.0, -10.0, 100, 8000, phase)
        });
        assert_eq!(heard, 0, "{low_off} % {high_off} %");
    }
}

#[test]
fn forty_milliseconds_are_a_press_and_23_are_none__q24() {
    for (length_ms, heard) in [(40, 160), (50, 160), (500, 160), (23, 0), (10, 0)] {
        assert_eq!(
            heard_of_160(|low, high, phase| pair(low, high, -10.0, -10.0, length_ms, 8000, phase)),
            heard,
            "{length_ms} ms"
        );
    }
}

#[test]
fn forty_milliseconds_between_are_two_presses_and_10_are_one__q24() {
    for (gap_ms, expected) in [(40, "55"), (60, "55"), (10, "5"), (5, "5")] {
        for shift in 0..10 {
            let mut detector = Detector::new(8000).expect("a rate");
            let tone = samples(&pair(770.0, 1336.0, -10.0, -10.0, 50, 8000, 0.3));
            let mut audio = vec![0; 200 + 4 * shift];
            audio.extend(&tone);
            audio.extend(vec![0; gap_ms * 8]);
            audio.extend(&tone);
            audio.extend([0; 400]);
            assert_eq!(hear(&mut detector, &audio), expected, "{gap_ms} ms, {shift}");
        }
    }
}

#[test]
fn digits_that_follow_at_once_are_told_apart() {
    let mut detector = Detector::new(8000).expect("a rate");
    let mut audio = samples(&pair(770.0, 1336.0, -10.0, -10.0, 60, 8000, 0.0));
    audio.extend(samples(&pair(697.0, 1477.0, -10.0, -10.0, 60, 8000, 0.0)));
    audio.extend([0; 400]);
    assert_eq!(hear(&mut detector, &audio), "53");
}

#[test]
fn digits_are_heard_through_noise_15_db_below() {
    let mut random = Random::new(3);
    let mut normal = move || {
        (0..12)
            .map(|_| (random.next() >> 11) as f64 / (1_u64 << 53) as f64)
            .sum::<f64>()
            - 6.0
    };
    let heard = std::cell::RefCell::new(0);
    let count = {
        let noise = std::cell::RefCell::new(&mut normal);
        heard_of_160(|low, high, phase| {
            *heard.borrow_mut() += 1;
            let tone = pair(low, high, -15.0, -15.0, 50, 8000, phase);
            // The tone has twice the power of one sine.
            let level = f64::from(REFERENCE) * 10_f64.powf(-15.0 / 20.0) * 10_f64.powf(-15.0 / 20.0);
            tone.into_iter()
                .map(|sample| sample + level * (noise.borrow_mut())())
                .collect()
        })
    };
    assert_eq!((count, heard.into_inner()), (160, 160));
}

#[test]
fn g711_and_a_constant_do_no_harm() {
    let law = crate::codec::g711::Law::Mu;
    let heard = heard_of_160(|low, high, phase| {
        let tone = pair(low, high, -20.0, -20.0, 50, 8000, phase);
        let coded = samples(&tone)
            .into_iter()
            .map(|sample| law.decoder()[usize::from(law.encode(sample.saturating_add(900)))]);
        coded.map(f64::from).collect()
    });
    assert_eq!(heard, 160);
}

#[test]
fn the_length_of_a_press_is_told() {
    for length_ms in [50, 100, 473, 2000] {
        let mut detector = Detector::new(8000).expect("a rate");
        let mut audio = vec![0; 200];
        audio.extend(samples(&pair(852.0, 1209.0, -10.0, -10.0, length_ms, 8000, 1.0)));
        audio.extend([0; 400]);
        let mut told = Vec::new();
        detector.hear(&audio, |heard| told.push(heard));
        let [Heard::Down('7'), Heard::Up(Press {
            digit: '7',
            duration_ms,
        })] = told[..]
        else {
            panic!("{told:?}");
        };
        assert!(
            duration_ms.abs_diff(length_ms) <= 15,
            "{duration_ms} instead of {length_ms}"
        );
    }
}

#[test]
fn ten_minutes_of_voices_hold_no_digit() {
    for seed in 0..10 {
        let mut detector = Detector::new(8000).expect("a rate");
        let audio = voice(100 + seed, 8000, 8000 * 60);
        assert_eq!(hear(&mut detector, &audio), "", "voice {seed}");
    }
}

#[test]
fn noise_chords_and_single_tones_hold_no_digit() {
    let mut detector = Detector::new(8000).expect("a rate");
    assert_eq!(hear(&mut detector, &noise(1, 80_000, 12_000)), "");
    for frequency_hz in (300..3400).step_by(7) {
        assert_eq!(
            hear(
                &mut detector,
                &crate::testing::sine(f64::from(frequency_hz), 8000, 800, 9000.0)
            ),
            "",
            "{frequency_hz}"
        );
    }
    // Dial, ringing and busy tones, and three notes that hold two of the frequencies.
    for tones in [
        &[350.0, 440.0][..],
        &[440.0, 480.0],
        &[480.0, 620.0],
        &[770.0, 1336.0, 2000.0],
        &[425.0],
    ] {
        let sum = |at: usize| {
            tones
                .iter()
                .map(|hz| 5000.0 * (TAU * hz * at as f64 / 8000.0).sin())
                .sum::<f64>()
        };
        let audio: Vec<f64> = (0..8000).map(sum).collect();
        assert_eq!(hear(&mut detector, &samples(&audio)), "", "{tones:?}");
    }
}

#[test]
fn tones_have_their_length_their_level_and_soft_edges_at_every_rate() {
    for rate_hz in [8000, 16_000, 44_100, 48_000] {
        let ms = |count: usize| rate_hz as usize / 1000 * count;
        let audio = made("5", 60, rate_hz);
        let level = crate::testing::rms(&audio[ms(10)..ms(50)]);
        let expected = 22_300.0 * (10_f64.powf(-0.9) / 2.0 + 10_f64.powf(-0.7) / 2.0).sqrt();
        assert!((level / expected - 1.0).abs() < 0.05, "{level:.0} {expected:.0}");
        assert!(audio[ms(62)..].iter().all(|&sample| sample == 0));
        let edges = [&audio[..ms(1) / 2], &audio[ms(62) - ms(1) / 2..ms(62)]];
        assert!(
            edges.iter().all(|edge| edge.iter().all(|sample| sample.abs() < 2500)),
            "{edges:?}"
        );
    }
    let mut none = [7; 160];
    fill_tones(16, 0, 160, 8000, &mut none);
    assert_eq!(none, [0; 160]);
}

#[test]
fn tones_made_in_pieces_have_no_seam() {
    let whole = made("8", 100, 8000);
    let mut pieces = vec![0; whole.len()];
    let mut from = 0;
    for piece in pieces.chunks_mut(160) {
        // The length is not known before it is over.
        fill_tones(8, from, if from < 800 { 64_000 } else { 800 }, 8000, piece);
        from += 160;
    }
    assert_eq!(pieces, whole);
}

#[test]
fn pieces_of_any_length_make_no_difference() {
    let mut random = Random::new(5);
    let audio = made("90210", 45, 16_000);
    let mut detector = Detector::new(16_000).expect("a rate");
    let (mut rest, mut told) = (&audio[..], String::new());
    while !rest.is_empty() {
        let (piece, after) = rest.split_at((random.below(300) as usize).min(rest.len()));
        told += &hear(&mut detector, piece);
        rest = after;
    }
    assert_eq!(told, "90210");
    assert!(Detector::new(44_100).is_none());
}
