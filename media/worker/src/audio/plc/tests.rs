use super::*;
use crate::random::Random;
use crate::testing::{amplitude, decibels, noise, rms, sine, snr, voice};

const RATES: [u32; 6] = [8000, 16_000, 24_000, 32_000, 44_100, 48_000];

/// Every tenth frame of 20 ms is lost; `fill` makes up for it.
fn lose_tenth(said: &[i16], rate_hz: u32, mut fill: impl FnMut(&mut Concealer, &mut [i16], &[i16])) -> Vec<i16> {
    let frame = rate_hz as usize / 50;
    let mut concealer = Concealer::new(rate_hz);
    let mut heard = Vec::with_capacity(said.len());
    for (index, audio) in said.chunks_exact(frame).enumerate() {
        let mut out = audio.to_vec();
        if index % 10 == 9 {
            fill(&mut concealer, &mut out, &heard);
        } else {
            concealer.hear(&mut out);
        }
        heard.extend(out);
    }
    heard
}

#[test]
fn a_lost_frame_of_a_voice_is_closer_than_silence_and_than_the_frame_before() {
    for rate_hz in RATES {
        let said = voice(11, rate_hz, rate_hz as usize * 8);
        let concealed = lose_tenth(&said, rate_hz, |concealer, out, _| concealer.conceal(out));
        let silent = lose_tenth(&said, rate_hz, |concealer, out, _| {
            concealer.hear(&mut []);
            out.fill(0);
        });
        let repeated = lose_tenth(&said, rate_hz, |_, out, heard| {
            let from = heard.len() - out.len();
            out.copy_from_slice(&heard[from..]);
        });
        let figures = [&concealed, &silent, &repeated].map(|heard| snr(&said, heard));
        println!(
            "{rate_hz} Hz: concealed {:.1} dB, silence {:.1} dB, frame repeated {:.1} dB",
            figures[0], figures[1], figures[2]
        );
        assert!(
            figures[0] > figures[1] + 2.0 && figures[0] > figures[2] + 2.0,
            "{rate_hz}: {figures:?}"
        );
    }
}

#[test]
fn a_steady_tone_goes_on_through_a_lost_frame() {
    for rate_hz in RATES {
        for frequency_hz in [110.0, 200.0, 440.0, 1000.0] {
            let said = sine(frequency_hz, rate_hz, rate_hz as usize / 2, 10_000.0);
            let heard = lose_tenth(&said, rate_hz, |concealer, out, _| concealer.conceal(out));
            let (frame, lost) = (rate_hz as usize / 50, 9 * rate_hz as usize / 50);
            // The fade begins in the second half of the gap.
            let ratio = snr(
                &said[lost - frame..lost + frame / 2],
                &heard[lost - frame..lost + frame / 2],
            );
            assert!(ratio > 18.0, "{rate_hz} Hz, tone of {frequency_hz} Hz: {ratio:.1} dB");
        }
    }
}

#[test]
fn neither_end_of_a_gap_clicks() {
    for rate_hz in [8000, 16_000, 48_000] {
        let said = sine(180.0, rate_hz, rate_hz as usize * 2, 10_000.0);
        let heard = lose_tenth(&said, rate_hz, |concealer, out, _| concealer.conceal(out));
        let steepest = |audio: &[i16]| {
            audio
                .windows(2)
                .map(|pair| (i32::from(pair[1]) - i32::from(pair[0])).abs())
                .max()
        };
        let (said, heard) = (steepest(&said).unwrap_or(0), steepest(&heard).unwrap_or(0));
        assert!(heard <= said * 2, "{rate_hz}: {heard} against {said}");
    }
}

#[test]
fn a_long_gap_fades_into_silence_within_60_ms() {
    let mut concealer = Concealer::new(8000);
    concealer.hear(&mut sine(200.0, 8000, 800, 10_000.0));
    let mut out = [0; 800];
    concealer.conceal(&mut out[..160]);
    assert!(concealer.is_concealing() && !concealer.has_faded());
    concealer.conceal(&mut out[160..]);
    assert!(concealer.has_faded());
    let level = |from_ms: usize| rms(&out[from_ms * 8..(from_ms + 10) * 8]);
    assert!(level(0) > 6500.0 && level(20) > 4000.0 && level(50) < 1500.0 && level(60) == 0.0);
    assert!(out[480..].iter().all(|&sample| sample == 0));
}

#[test]
fn what_comes_after_a_gap_is_heard_unchanged_after_10_ms() {
    let mut concealer = Concealer::new(8000);
    concealer.hear(&mut voice(2, 8000, 800));
    for gap in [80, 160, 4000] {
        concealer.conceal(&mut vec![0; gap]);
        let said = voice(3, 8000, 160);
        let mut heard = said.clone();
        concealer.hear(&mut heard);
        assert!(!concealer.is_concealing() && heard[80..] == said[80..], "{gap}");
    }
}

#[test]
fn noise_is_continued_as_noise() {
    let said = noise(5, 8000, 5000);
    let heard = lose_tenth(&said, 8000, |concealer, out, _| concealer.conceal(out));
    let lost: Vec<f64> = heard[1440..1600].iter().map(|&sample| f64::from(sample)).collect();
    let strongest = (1..40)
        .map(|step| amplitude(&lost, f64::from(step) * 100.0, 8000))
        .fold(0.0, f64::max);
    let level = rms(&heard[1440..1520]);
    assert!(
        (2000.0..4000.0).contains(&level) && strongest < 1500.0,
        "{level:.0} {strongest:.0}"
    );
}

#[test]
fn lengthening_and_shortening_keep_the_pitch() {
    for rate_hz in RATES {
        let said = sine(150.0, rate_hz, rate_hz as usize, 10_000.0);
        let frame = rate_hz as usize / 50;
        let (mut concealer, mut longer) = (Concealer::new(rate_hz), Vec::new());
        let mut added = 0;
        let mut room = vec![0; rate_hz as usize * 15 / 1000];
        for audio in said.chunks_exact(frame) {
            let mut audio = audio.to_vec();
            concealer.hear(&mut audio);
            longer.extend_from_slice(&audio);
            let count = if longer.len() / frame % 4 == 3 {
                concealer.lengthen(&mut room)
            } else {
                0
            };
            longer.extend_from_slice(&room[..count]);
            added += count;
        }
        assert!(added > said.len() / 20 && longer.len() == said.len() + added);
        let (mut shorter, mut taken) = (Vec::new(), 0);
        for audio in said.chunks_exact(3 * frame) {
            let mut audio = audio.to_vec();
            let count = shorten(&mut audio, rate_hz);
            shorter.extend_from_slice(&audio[..audio.len() - count]);
            taken += count;
        }
        assert!(taken > said.len() / 12);
        for (name, audio) in [("longer", &longer), ("shorter", &shorter)] {
            let samples: Vec<f64> = audio.iter().map(|&sample| f64::from(sample)).collect();
            let tone = amplitude(&samples, 150.0, rate_hz);
            let rest = decibels((rms(audio) / tone * 2_f64.sqrt() - 1.0).abs());
            assert!(
                tone > 9000.0 && rest < -20.0,
                "{rate_hz} {name}: tone {tone:.0}, rest {rest:.1} dB"
            );
        }
    }
}

#[test]
fn loud_noise_is_neither_lengthened_nor_shortened_but_quiet_noise_is() {
    let mut loud = noise(1, 800, 8000);
    let mut concealer = Concealer::new(8000);
    concealer.hear(&mut loud);
    assert_eq!((concealer.lengthen(&mut [0; 120]), shorten(&mut loud, 8000)), (0, 0));
    let mut quiet = noise(1, 800, 20);
    concealer.hear(&mut quiet);
    assert!(concealer.lengthen(&mut [0; 120]) >= 20 && shorten(&mut quiet, 8000) >= 20);
    assert_eq!(shorten(&mut quiet[..239], 8000), 0);
    concealer.conceal(&mut [0; 10]);
    assert_eq!(concealer.lengthen(&mut [0; 120]), 0);
}

#[test]
fn any_audio_in_any_pieces_is_borne() {
    let mut random = Random::new(6);
    for rate_hz in RATES {
        let mut concealer = Concealer::new(rate_hz);
        for _ in 0..300 {
            let count = random.below(1200) as usize;
            let mut audio = noise(random.next(), count, [0, 1, i16::MAX][random.below(3) as usize]);
            match random.below(4) {
                0 => concealer.conceal(&mut audio),
                1 => assert!(concealer.lengthen(&mut audio) <= count),
                2 => assert!(shorten(&mut audio, rate_hz) <= count),
                _ => concealer.hear(&mut audio),
            }
        }
    }
}
