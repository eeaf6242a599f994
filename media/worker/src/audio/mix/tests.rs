use super::*;
use crate::random::Random;
use crate::testing::{fit, noise, rms, sine, snr, voice};

const FRAME: usize = 160;

/// Runs a conference: member n says `said[n]` (nothing if it is empty); gives what each heard.
fn confer(mixer: &mut Mixer, seats: &[(Seat, u32)], said: &[Vec<i16>]) -> Vec<Vec<i16>> {
    let mut heard = vec![Vec::new(); seats.len()];
    let ticks = said
        .iter()
        .zip(seats)
        .map(|(said, seat)| said.len() / (seat.1 as usize / 50))
        .max()
        .unwrap_or(0);
    for tick in 0..ticks {
        mixer.begin();
        for (said, &(seat, rate_hz)) in said.iter().zip(seats) {
            let frame = rate_hz as usize / 50;
            if let Some(frame) = said.get(tick * frame..(tick + 1) * frame) {
                mixer.say(seat, frame);
            }
        }
        mixer.finish();
        for (heard, &(seat, rate_hz)) in heard.iter_mut().zip(seats) {
            let at = heard.len();
            heard.resize(at + rate_hz as usize / 50, 0);
            mixer.hear(seat, &mut heard[at..]);
        }
    }
    heard
}

fn join(mixer: &mut Mixer, rates: &[u32]) -> Vec<(Seat, u32)> {
    rates
        .iter()
        .map(|&rate_hz| (mixer.join(rate_hz).expect("a rate"), rate_hz))
        .collect()
}

#[test]
fn each_hears_all_but_themselves_to_the_bit() {
    let mut mixer = Mixer::new(20);
    let seats = join(&mut mixer, &[8000; 5]);
    let mut said: Vec<Vec<i16>> = (0..4).map(|seed| noise(seed, 8000, 3000)).collect();
    said.push(Vec::new());
    let heard = confer(&mut mixer, &seats, &said);
    for (listener, heard) in heard.iter().enumerate() {
        for (at, &sample) in heard.iter().enumerate() {
            let others = said
                .iter()
                .enumerate()
                .filter(|&(speaker, said)| speaker != listener && !said.is_empty());
            let expected: i32 = others.map(|(_, said)| i32::from(said[at])).sum();
            assert_eq!(i32::from(sample), expected, "{listener} at {at}");
        }
    }
}

#[test]
fn rates_meet_without_aliases_and_one_is_never_heard_by_oneself() {
    let rates = [8000, 16_000, 48_000, 8000];
    let mut mixer = Mixer::new(20);
    let seats = join(&mut mixer, &rates);
    // One after the other, with pauses for what the resamplers hold back.
    for speaker in 0..4 {
        (0..4).for_each(|_| {
            mixer.begin();
            mixer.finish();
        });
        let said: Vec<Vec<i16>> = (0..4)
            .map(|member| {
                if member == speaker {
                    voice(9, rates[member], rates[member] as usize * 2)
                } else {
                    Vec::new()
                }
            })
            .collect();
        let heard = confer(&mut mixer, &seats, &said);
        for listener in 0..4 {
            if listener == speaker {
                assert_eq!(rms(&heard[listener]), 0.0);
                continue;
            }
            let (from_hz, to_hz) = (rates[speaker], rates[listener]);
            let mut expected = vec![0; to_hz as usize * 2];
            let mut resampler = Resampler::new(from_hz, to_hz).expect("rates");
            let count = resampler.process(&said[speaker], &mut expected);
            let (ratio, shift) = fit(&expected[..count], &heard[listener], 20);
            assert!(
                ratio > 60.0 && shift == 0,
                "{from_hz} to {to_hz}: {ratio:.1} dB at {shift}"
            );
        }
    }
}

#[test]
fn two_rates_speaking_at_once_are_both_heard_and_neither_hears_itself() {
    let mut mixer = Mixer::new(20);
    let seats = join(&mut mixer, &[8000, 16_000, 16_000]);
    let said = vec![
        sine(500.0, 8000, 8000, 6000.0),
        sine(900.0, 16_000, 16_000, 6000.0),
        Vec::new(),
    ];
    let heard = confer(&mut mixer, &seats, &said);
    let tone = |member: usize, hz: f64| {
        let samples: Vec<f64> = heard[member][800..].iter().map(|&sample| f64::from(sample)).collect();
        crate::testing::amplitude(&samples, hz, seats[member].1)
    };
    for (member, hz, expected) in [
        (0, 500.0, 0.0),
        (0, 900.0, 6000.0),
        (1, 500.0, 6000.0),
        (1, 900.0, 0.0),
        (2, 500.0, 6000.0),
        (2, 900.0, 6000.0),
    ] {
        assert!(
            (tone(member, hz) - expected).abs() < 5.0,
            "{member} {hz}: {:.1}",
            tone(member, hz)
        );
    }
}

#[test]
fn whoever_is_silent_shares_one_frame() {
    let mut mixer = Mixer::new(20);
    let seats = join(&mut mixer, &[8000; 4]);
    mixer.begin();
    mixer.say(seats[0].0, &[100; FRAME]);
    mixer.finish();
    let mut out = [0; FRAME];
    let mut kinds = Vec::new();
    for &(seat, _) in &seats {
        kinds.push((mixer.hear(seat, &mut out), out[0]));
    }
    assert_eq!(
        kinds,
        [
            (Mix::Own, 0),
            (Mix::Common, 100),
            (Mix::Common, 100),
            (Mix::Common, 100)
        ]
    );
    mixer.begin();
    mixer.finish();
    assert_eq!(mixer.hear(seats[0].0, &mut out), Mix::Silence);
}

#[test]
fn the_muted_are_not_heard_and_the_deaf_hear_nothing() {
    let mut mixer = Mixer::new(20);
    let seats = join(&mut mixer, &[8000; 3]);
    mixer.mute(seats[0].0, true);
    mixer.deafen(seats[2].0, true);
    let said = vec![
        sine(300.0, 8000, 8000, 8000.0),
        sine(700.0, 8000, 8000, 8000.0),
        Vec::new(),
    ];
    let heard = confer(&mut mixer, &seats, &said);
    assert!(snr(&said[1], &heard[0]) > 60.0 && rms(&heard[1]) == 0.0 && rms(&heard[2]) == 0.0);
    assert!(mixer.is_speaking(seats[0].0), "a muted member's voice is measured");
    assert_eq!(mixer.speaker(), Some(seats[1].0));
    mixer.mute(seats[0].0, false);
    mixer.deafen(seats[2].0, false);
    let heard = confer(&mut mixer, &seats, &said);
    assert!(rms(&heard[1]) > 5000.0 && rms(&heard[2]) > 7000.0);
}

#[test]
fn sums_that_are_too_loud_are_bent_in_order_and_do_not_wrap() {
    let mut mixer = Mixer::new(20);
    let seats = join(&mut mixer, &[8000; 41]);
    let said: Vec<Vec<i16>> = (0..40)
        .map(|_| vec![i16::MAX; FRAME])
        .chain([vec![i16::MIN; FRAME]])
        .collect();
    let heard = confer(&mut mixer, &seats, &said);
    assert!(heard[0].iter().all(|&sample| sample > 32_000) && heard[40].iter().all(|&sample| sample > 32_000));
    let mut before = i16::MIN;
    for sum in (-200_000..200_000).step_by(37) {
        let bent = bend(sum as f32);
        assert!(bent >= before, "{sum}");
        before = bent;
    }
    assert_eq!([-24_000.0, -5.0, 0.0, 24_000.0].map(bend), [-24_000, -5, 0, 24_000]);
}

#[test]
fn announcements_are_heard_by_all_once() {
    let mut mixer = Mixer::new(20);
    let seats = join(&mut mixer, &[8000, 16_000]);
    mixer.begin();
    mixer.say(seats[0].0, &[1000; FRAME]);
    for rate_hz in mixer.rates().collect::<Vec<_>>() {
        mixer.announce(rate_hz, &vec![500; rate_hz as usize / 50]);
    }
    mixer.finish();
    let (mut narrow, mut wide) = ([0; FRAME], [0; 2 * FRAME]);
    assert_eq!((mixer.hear(seats[0].0, &mut narrow), narrow[80]), (Mix::Own, 500));
    assert_eq!((mixer.hear(seats[1].0, &mut wide), wide[319]), (Mix::Common, 1500));
    mixer.begin();
    mixer.finish();
    assert_eq!((mixer.hear(seats[0].0, &mut narrow), narrow[80]), (Mix::Silence, 0));
}

#[test]
fn levels_follow_the_voice_and_fade() {
    let mut mixer = Mixer::new(20);
    let seats = join(&mut mixer, &[8000; 2]);
    assert_eq!((mixer.speaker(), mixer.level_below_db(seats[0].0)), (None, 100.0));
    confer(
        &mut mixer,
        &seats,
        &[sine(400.0, 8000, 4000, 3276.8), sine(400.0, 8000, 4000, 327.68)],
    );
    let levels = [0, 1].map(|seat: usize| mixer.level_below_db(seats[seat].0));
    assert!(
        (levels[0] - 23.0).abs() < 0.2 && (levels[1] - 43.0).abs() < 0.2,
        "{levels:?}"
    );
    assert_eq!(mixer.speaker(), Some(seats[0].0));
    confer(&mut mixer, &seats, &[vec![], vec![0; 16_000]]);
    assert_eq!(mixer.speaker(), None);
}

#[test]
fn members_come_and_go_at_any_time() {
    let mut random = Random::new(2);
    let mut mixer = Mixer::new(20);
    let mut seats: Vec<(Seat, u32)> = Vec::new();
    for _ in 0..800 {
        match random.below(4) {
            0 => seats.push(join(&mut mixer, &[RATES_HZ[random.below(6) as usize]])[0]),
            1 if !seats.is_empty() => {
                let (seat, _) = seats.swap_remove(random.below(seats.len() as u64) as usize);
                mixer.leave(seat);
                mixer.leave(seat);
                mixer.say(seat, &[1; 10]);
            }
            _ => {
                mixer.begin();
                for &(seat, rate_hz) in &seats {
                    if random.below(2) == 0 {
                        mixer.say(
                            seat,
                            &noise(random.next(), random.below(u64::from(rate_hz / 40)) as usize, i16::MAX),
                        );
                    }
                }
                mixer.finish();
                for &(seat, _) in &seats {
                    mixer.hear(seat, &mut [0; 1000]);
                }
            }
        }
        assert_eq!(mixer.len(), seats.len());
    }
    for (seat, _) in seats {
        mixer.leave(seat);
    }
    assert!(mixer.is_empty() && mixer.rates().count() == 0 && mixer.join(11_025).is_none());
}
