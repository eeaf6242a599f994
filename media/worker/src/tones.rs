//! The tones that a telephone network says things with. Source: ITU-T E.180 Supplement 2 (national tones).

use std::f64::consts::TAU;

use crate::play::Prompt;

const RATE_HZ: f64 = 8000.0;
/// Each frequency at -13 dBm0 (E.180: -10 +- 5 dBm0 in all); full scale of G.711 is +3.17 dBm0.
const LEVEL: f64 = 5000.0;

/// A cadence: frequencies, then pairs of on and off in milliseconds.
struct Tone {
    name: &'static str,
    country: &'static str,
    frequencies_hz: &'static [f64],
    cadence_ms: &'static [(u32, u32)],
}

const TONES: &[Tone] = &[
    tone("ringback", "us", &[440.0, 480.0], &[(2000, 4000)]),
    tone("busy", "us", &[480.0, 620.0], &[(500, 500)]),
    tone("congestion", "us", &[480.0, 620.0], &[(250, 250)]),
    tone("ringback", "eu", &[425.0], &[(1000, 4000)]),
    tone("busy", "eu", &[425.0], &[(500, 500)]),
    tone("congestion", "eu", &[425.0], &[(250, 250)]),
    tone("beep", "us", &[1000.0], &[(500, 0)]),
    tone("beep", "eu", &[1000.0], &[(500, 0)]),
    tone("silence", "us", &[], &[(1000, 0)]),
    tone("silence", "eu", &[], &[(1000, 0)]),
];

const fn tone(
    name: &'static str,
    country: &'static str,
    frequencies_hz: &'static [f64],
    cadence_ms: &'static [(u32, u32)],
) -> Tone {
    Tone {
        name,
        country,
        frequencies_hz,
        cadence_ms,
    }
}

/// Whether a tone has no end of its own, so that counting its repetitions means nothing.
pub fn is_continuous(name: &str) -> bool {
    name == "silence"
}

/// One cadence of a tone. The error says what is not known.
pub fn prompt(name: &str, country: &str) -> Result<Prompt, String> {
    if !TONES.iter().any(|tone| tone.name == name) {
        return Err(format!("no tone {name:?}"));
    }
    let tone = TONES.iter().find(|tone| tone.name == name && tone.country == country);
    let tone = tone.ok_or_else(|| format!("no tones of {country:?}"))?;
    let mut samples = Vec::new();
    for &(on_ms, off_ms) in tone.cadence_ms {
        samples.extend((0..on_ms * 8).map(|at| {
            let sum: f64 = tone
                .frequencies_hz
                .iter()
                .map(|hz| (TAU * hz * f64::from(at) / RATE_HZ).sin())
                .sum();
            (LEVEL * sum) as i16
        }));
        samples.resize(samples.len() + (off_ms * 8) as usize, 0);
    }
    Ok(Prompt::new(samples))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The share of the energy that a frequency has in the samples.
    fn share(samples: &[i16], hz: f64) -> f64 {
        let (mut real, mut imaginary, mut energy) = (0.0, 0.0, 0.0);
        for (at, &sample) in samples.iter().enumerate() {
            let phase = TAU * hz * at as f64 / RATE_HZ;
            real += f64::from(sample) * phase.cos();
            imaginary += f64::from(sample) * phase.sin();
            energy += f64::from(sample).powi(2);
        }
        2.0 * (real.powi(2) + imaginary.powi(2)) / samples.len() as f64 / energy
    }

    #[test]
    fn tones_have_their_frequencies_and_their_cadence() {
        let cases: [(&str, &str, &[f64], usize, usize); 7] = [
            ("ringback", "us", &[440.0, 480.0], 2000, 6000),
            ("busy", "us", &[480.0, 620.0], 500, 1000),
            ("congestion", "us", &[480.0, 620.0], 250, 500),
            ("ringback", "eu", &[425.0], 1000, 5000),
            ("busy", "eu", &[425.0], 500, 1000),
            ("congestion", "eu", &[425.0], 250, 500),
            ("beep", "us", &[1000.0], 500, 500),
        ];
        for (name, country, frequencies, on_ms, length_ms) in cases {
            let samples = prompt(name, country).expect(name).samples;
            assert_eq!(samples.len(), length_ms * 8, "{name} {country}");
            let total: f64 = frequencies.iter().map(|&hz| share(&samples[..on_ms * 8], hz)).sum();
            assert!(total > 0.98, "{name} {country}: {total}");
            assert!(
                samples[on_ms * 8..].iter().all(|&sample| sample == 0),
                "{name} {country}"
            );
        }
    }

    #[test]
    fn silence_is_silent_and_unknown_tones_are_named() {
        assert!(prompt("silence", "eu")
            .expect("silence")
            .samples
            .iter()
            .all(|&sample| sample == 0));
        assert!(prompt("whistle", "us").expect_err("unknown").contains("whistle"));
        assert!(prompt("busy", "xx").expect_err("unknown").contains("xx"));
    }
}
