//! The tones that a telephone network says things with. Source: ITU-T E.180 Supplement 2 (national tones).

use std::f64::consts::TAU;

use crate::playback::Prompt;

const RATE_HZ: f64 = 8000.0;
/// Each frequency at -13 dBm0 (E.180: -10 +- 5 dBm0 in all); full scale of G.711 is +3.17 dBm0.
const LEVEL: f64 = 5000.0;

/// One cadence: frequencies, then for each burst how long it and the pause behind it are in milliseconds, and its level in dB.
struct Sound {
    frequencies_hz: &'static [f64],
    bursts: &'static [(u32, u32, i32)],
}

const fn sound(frequencies_hz: &'static [f64], bursts: &'static [(u32, u32, i32)]) -> Sound {
    Sound { frequencies_hz, bursts }
}

/// What differs from country to country.
struct Country {
    name: &'static str,
    ringback: Sound,
    busy: Sound,
    congestion: Sound,
}

/// Tones that the supplement gives as one frequency modulated by another (400 x 16) stand here as the two that are then to
/// be heard, half of the modulating one above and below.
const COUNTRIES: &[Country] = &[
    Country {
        name: "us",
        ringback: sound(&[440.0, 480.0], &[(2000, 4000, 0)]),
        busy: sound(&[480.0, 620.0], &[(500, 500, 0)]),
        congestion: sound(&[480.0, 620.0], &[(250, 250, 0)]),
    },
    // What E.180 recommends to whoever is free to choose.
    Country {
        name: "eu",
        ringback: sound(&[425.0], &[(1000, 4000, 0)]),
        busy: sound(&[425.0], &[(500, 500, 0)]),
        congestion: sound(&[425.0], &[(250, 250, 0)]),
    },
    Country {
        name: "uk",
        ringback: sound(&[400.0, 450.0], &[(400, 200, 0), (400, 2000, 0)]),
        busy: sound(&[400.0], &[(375, 375, 0)]),
        congestion: sound(&[400.0], &[(400, 350, 0), (225, 525, 0)]),
    },
    Country {
        name: "fr",
        ringback: sound(&[440.0], &[(1500, 3500, 0)]),
        busy: sound(&[440.0], &[(500, 500, 0)]),
        congestion: sound(&[440.0], &[(250, 250, 0)]),
    },
    Country {
        name: "de",
        ringback: sound(&[425.0], &[(1000, 4000, 0)]),
        busy: sound(&[425.0], &[(480, 480, 0)]),
        congestion: sound(&[425.0], &[(240, 240, 0)]),
    },
    Country {
        name: "it",
        ringback: sound(&[425.0], &[(1000, 4000, 0)]),
        busy: sound(&[425.0], &[(500, 500, 0)]),
        congestion: sound(&[425.0], &[(200, 200, 0)]),
    },
    Country {
        name: "es",
        ringback: sound(&[425.0], &[(1500, 3000, 0)]),
        busy: sound(&[425.0], &[(200, 200, 0)]),
        congestion: sound(&[425.0], &[(200, 200, 0), (200, 200, 0), (200, 600, 0)]),
    },
    Country {
        name: "jp",
        ringback: sound(&[392.0, 408.0], &[(1000, 2000, 0)]),
        busy: sound(&[400.0], &[(500, 500, 0)]),
        congestion: sound(&[400.0], &[(500, 500, 0)]),
    },
    Country {
        name: "au",
        ringback: sound(&[412.5, 437.5], &[(400, 200, 0), (400, 2000, 0)]),
        busy: sound(&[425.0], &[(375, 375, 0)]),
        congestion: sound(&[425.0], &[(375, 375, 0), (375, 375, -10)]),
    },
    Country {
        name: "in",
        ringback: sound(&[387.5, 412.5], &[(400, 200, 0), (400, 2000, 0)]),
        busy: sound(&[400.0], &[(750, 750, 0)]),
        congestion: sound(&[400.0], &[(250, 250, 0)]),
    },
    Country {
        name: "br",
        ringback: sound(&[425.0], &[(1000, 4000, 0)]),
        busy: sound(&[425.0], &[(250, 250, 0)]),
        congestion: sound(&[425.0], &[(250, 250, 0), (750, 250, 0)]),
    },
    Country {
        name: "cn",
        ringback: sound(&[450.0], &[(1000, 4000, 0)]),
        busy: sound(&[450.0], &[(350, 350, 0)]),
        congestion: sound(&[450.0], &[(700, 700, 0)]),
    },
];

const BEEP: Sound = sound(&[1000.0], &[(500, 0, 0)]);
const SILENCE: Sound = sound(&[], &[(1000, 0, 0)]);

/// Whether a tone has no end of its own, so that counting its repetitions means nothing.
pub fn is_continuous(name: &str) -> bool {
    name == "silence"
}

/// One cadence of a tone. The error says what is not known.
pub fn prompt(name: &str, country: &str) -> Result<Prompt, String> {
    let of = COUNTRIES.iter().find(|of| of.name == country);
    let of = of.ok_or_else(|| format!("no tones of {country:?}"))?;
    let sound = match name {
        "ringback" => &of.ringback,
        "busy" => &of.busy,
        "congestion" => &of.congestion,
        "beep" => &BEEP,
        "silence" => &SILENCE,
        _ => return Err(format!("no tone {name:?}")),
    };
    let mut samples = Vec::new();
    for &(on_ms, off_ms, level_db) in sound.bursts {
        let level = LEVEL * 10_f64.powf(f64::from(level_db) / 20.0);
        samples.extend((0..on_ms * 8).map(|at| {
            let turn = TAU * f64::from(at) / RATE_HZ;
            let sum: f64 = sound.frequencies_hz.iter().map(|hz| (turn * hz).sin()).sum();
            (level * sum) as i16
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

    /// Bursts and pauses in the samples by ear, in ms: `on, off, on, off`.
    fn cadence(samples: &[i16]) -> Vec<usize> {
        let mut lengths = vec![0];
        let mut on = true;
        // A beat between two frequencies may be silent for some milliseconds, a pause is not that short.
        for window in samples.chunks(25 * 8) {
            let loud = window.iter().any(|sample| sample.abs() > 500);
            if loud != on {
                lengths.push(0);
                on = loud;
            }
            if let Some(last) = lengths.last_mut() {
                *last += window.len() / 8;
            }
        }
        lengths
    }

    type Expected<'a> = (&'a [f64], &'a [usize]);

    /// Ringback, busy and congestion of a country: frequencies, and bursts and pauses to within the windows of `cadence`.
    fn expect(country: &str, tones: [Expected; 3]) {
        for (name, (frequencies, lengths)) in ["ringback", "busy", "congestion"].into_iter().zip(tones) {
            let samples = prompt(name, country).expect(name).samples;
            assert_eq!(samples.len(), lengths.iter().sum::<usize>() * 8, "{name} {country}");
            let heard = cadence(&samples);
            let alike = heard
                .iter()
                .zip(lengths)
                .all(|(heard, length)| heard.abs_diff(*length) <= 25);
            assert!(heard.len() == lengths.len() && alike, "{name} {country}: {heard:?}");
            // The first burst, as far as it holds whole periods of all.
            let burst = &samples[..lengths[0] / 80 * 80 * 8];
            let total: f64 = frequencies.iter().map(|&hz| share(burst, hz)).sum();
            assert!((0.95..1.05).contains(&total), "{name} {country}: {total}");
        }
    }

    #[test]
    fn tones_of_the_united_states__e180_supplement_2() {
        let (ring, busy): ([f64; 2], [f64; 2]) = ([440.0, 480.0], [480.0, 620.0]);
        expect(
            "us",
            [(&ring, &[2000, 4000]), (&busy, &[500, 500]), (&busy, &[250, 250])],
        );
    }

    #[test]
    fn tones_that_e180_recommends() {
        expect(
            "eu",
            [
                (&[425.0], &[1000, 4000]),
                (&[425.0], &[500, 500]),
                (&[425.0], &[250, 250]),
            ],
        );
    }

    #[test]
    fn tones_of_the_united_kingdom__e180_supplement_2() {
        expect(
            "uk",
            [
                (&[400.0, 450.0], &[400, 200, 400, 2000]),
                (&[400.0], &[375, 375]),
                (&[400.0], &[400, 350, 225, 525]),
            ],
        );
    }

    #[test]
    fn tones_of_france__e180_supplement_2() {
        expect(
            "fr",
            [
                (&[440.0], &[1500, 3500]),
                (&[440.0], &[500, 500]),
                (&[440.0], &[250, 250]),
            ],
        );
    }

    #[test]
    fn tones_of_germany__e180_supplement_2() {
        expect(
            "de",
            [
                (&[425.0], &[1000, 4000]),
                (&[425.0], &[480, 480]),
                (&[425.0], &[240, 240]),
            ],
        );
    }

    #[test]
    fn tones_of_italy__e180_supplement_2() {
        expect(
            "it",
            [
                (&[425.0], &[1000, 4000]),
                (&[425.0], &[500, 500]),
                (&[425.0], &[200, 200]),
            ],
        );
    }

    #[test]
    fn tones_of_spain__e180_supplement_2() {
        expect(
            "es",
            [
                (&[425.0], &[1500, 3000]),
                (&[425.0], &[200, 200]),
                (&[425.0], &[200, 200, 200, 200, 200, 600]),
            ],
        );
    }

    #[test]
    fn tones_of_japan__e180_supplement_2() {
        expect(
            "jp",
            [
                (&[392.0, 408.0], &[1000, 2000]),
                (&[400.0], &[500, 500]),
                (&[400.0], &[500, 500]),
            ],
        );
    }

    #[test]
    fn tones_of_australia__e180_supplement_2() {
        expect(
            "au",
            [
                (&[412.5, 437.5], &[400, 200, 400, 2000]),
                (&[425.0], &[375, 375]),
                (&[425.0], &[375, 375, 375, 375]),
            ],
        );
        let congestion = prompt("congestion", "au").expect("congestion").samples;
        let [loud, quiet] = [&congestion[..3000], &congestion[6000..9000]].map(crate::testing::rms);
        assert!((20.0 * (loud / quiet).log10() - 10.0).abs() < 0.2);
    }

    #[test]
    fn tones_of_india__e180_supplement_2() {
        expect(
            "in",
            [
                (&[387.5, 412.5], &[400, 200, 400, 2000]),
                (&[400.0], &[750, 750]),
                (&[400.0], &[250, 250]),
            ],
        );
    }

    #[test]
    fn tones_of_brazil__e180_supplement_2() {
        expect(
            "br",
            [
                (&[425.0], &[1000, 4000]),
                (&[425.0], &[250, 250]),
                (&[425.0], &[250, 250, 750, 250]),
            ],
        );
    }

    #[test]
    fn tones_of_china__e180_supplement_2() {
        expect(
            "cn",
            [
                (&[450.0], &[1000, 4000]),
                (&[450.0], &[350, 350]),
                (&[450.0], &[700, 700]),
            ],
        );
    }

    #[test]
    fn beep_and_silence_are_the_same_everywhere_and_unknown_tones_are_named() {
        for country in COUNTRIES {
            let samples = |name| prompt(name, country.name).expect(name).samples;
            assert!(samples("silence").iter().all(|&sample| sample == 0));
            assert_eq!(samples("beep").len(), 4000);
            assert!(share(&samples("beep"), 1000.0) > 0.98);
        }
        assert!(prompt("whistle", "us").expect_err("unknown").contains("whistle"));
        assert!(prompt("busy", "xx").expect_err("unknown").contains("xx"));
    }
}
