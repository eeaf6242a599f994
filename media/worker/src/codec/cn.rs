//! Comfort noise: the background of a pause, told in a few octets and made up again by who hears them. Source: RFC 3389.
//!
//! A payload is the level of the noise and, optionally, the shape of its spectrum as reflection coefficients of a linear
//! predictor. `Generator` drives that predictor backwards with white noise. On the way out, `Suppressor` tells pauses from
//! speech and measures their noise.

use crate::codec::to_i16;
use crate::random::Random;

/// The most coefficients that we send and use; more describe a background no better.
pub const ORDER: usize = 10;
/// Octets of the longest payload that we make.
pub const MAX_OCTETS: usize = 1 + ORDER;
/// 0 dBov: a square wave as loud as the mu-law can tell (RFC 3389 3.1).
const OVERLOAD: f32 = 32_124.0;
const QUIETEST: u8 = 127;

/// A background noise.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Noise {
    /// Decibels below overload, 0 to 127.
    pub below_overload_db: u8,
    /// Reflection coefficients, each within -1 and 1; zeros are white noise.
    reflections: [f32; ORDER],
}

impl Noise {
    /// White noise.
    pub fn white(below_overload_db: u8) -> Self {
        Self {
            below_overload_db: below_overload_db.min(QUIETEST),
            reflections: [0.0; ORDER],
        }
    }

    /// Read a payload; None when it is empty. Coefficients beyond `ORDER` are left out.
    pub fn parse(payload: &[u8]) -> Option<Self> {
        let (&level, shape) = payload.split_first()?;
        let mut noise = Self::white(level & 0x7F);
        for (reflection, &octet) in noise.reflections.iter_mut().zip(shape) {
            // 255 is not defined; it would be the only value outside of the range.
            *reflection = (258.0 * (f32::from(octet.min(254)) - 127.0)) / 32_768.0;
        }
        Some(noise)
    }

    /// Write the payload. Returns its length, up to `MAX_OCTETS`.
    pub fn write(&self, out: &mut [u8; MAX_OCTETS]) -> usize {
        out[0] = self.below_overload_db;
        for (octet, reflection) in out[1..].iter_mut().zip(self.reflections) {
            *octet = (reflection * 32_768.0 / 258.0 + 127.0).round().clamp(0.0, 254.0) as u8;
        }
        let used = out[1..]
            .iter()
            .rposition(|&octet| octet != 127)
            .map_or(0, |last| last + 1);
        1 + used
    }

    /// Root mean square of the samples.
    fn level(&self) -> f32 {
        if self.below_overload_db == QUIETEST {
            return 0.0;
        }
        OVERLOAD * 10_f32.powf(-f32::from(self.below_overload_db) / 20.0)
    }
}

/// Makes noise.
#[derive(Debug, Clone)]
pub struct Generator {
    noise: Noise,
    /// The standard deviation of what drives the predictor, and where it is going, so that the level does not jump.
    drive: f32,
    target: f32,
    lattice: [f32; ORDER],
    random: Random,
}

impl Generator {
    /// A generator of silence; `seed` tells it from others.
    pub fn new(seed: u64) -> Self {
        Self {
            noise: Noise::white(QUIETEST),
            drive: 0.0,
            target: 0.0,
            lattice: [0.0; ORDER],
            random: Random::new(seed),
        }
    }

    /// Change to another noise within some milliseconds.
    pub fn set(&mut self, noise: Noise) {
        // A predictor raises the power of what drives it by 1 / (1 - k^2) for each coefficient k.
        let gain: f32 = noise
            .reflections
            .iter()
            .map(|reflection| 1.0 - reflection * reflection)
            .product();
        self.target = noise.level() * gain.sqrt();
        self.noise = noise;
    }

    /// The next samples.
    pub fn fill(&mut self, out: &mut [i16]) {
        for place in out {
            self.drive += (self.target - self.drive) / 64.0;
            // Four of the 16-bit parts add up to something near a normal distribution, of standard deviation 37,837.
            let bits = self.random.next();
            let sum: i32 = (0..4).map(|part| i32::from((bits >> (16 * part)) as i16)).sum();
            let sample = self.filter(sum as f32 / 37_837.0 * self.drive);
            *place = to_i16(sample);
        }
    }

    fn filter(&mut self, drive: f32) -> f32 {
        let mut forward = drive;
        for stage in (0..ORDER).rev() {
            let reflection = self.noise.reflections[stage];
            forward -= reflection * self.lattice[stage];
            if stage + 1 < ORDER {
                self.lattice[stage + 1] = self.lattice[stage] + reflection * forward;
            }
        }
        self.lattice[0] = forward;
        forward
    }
}

/// What to send for a packet's worth of audio.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Verdict {
    /// The audio itself.
    Speech,
    /// This instead, as comfort noise.
    Noise(Noise),
    /// Nothing: the noise told before goes on.
    Pause,
}

/// Autocorrelations of a background, lag 0 first.
type Correlations = [f32; ORDER + 1];

/// Tells pauses from speech by their level above the background, and measures the background.
#[derive(Debug, Clone)]
pub struct Suppressor {
    /// Mean square of the background; infinite until something was heard.
    floor: f32,
    /// How long it has been quiet, and how long ago the noise was told, in milliseconds.
    quiet_ms: u32,
    told_ms: u32,
    told: Option<Noise>,
    correlations: Correlations,
}

/// Speech is so much louder than the background, and louder than this anyway: mean squares 8 dB up, and 54 dB below full
/// scale.
const ABOVE_FLOOR: f32 = 6.3;
const LOUD_ANYWAY: f32 = 4000.0;
/// Words end softly: what follows them is sent for so long.
const HANGOVER_MS: u32 = 240;
/// How often the noise is told anew, even if it did not change.
const REFRESH_MS: u32 = 2000;
/// A background no louder than this is taken as it is: 86 dB below full scale.
const SILENT: f32 = 2.7;

impl Default for Suppressor {
    fn default() -> Self {
        Self {
            floor: f32::INFINITY,
            quiet_ms: 0,
            told_ms: 0,
            told: None,
            correlations: [0.0; ORDER + 1],
        }
    }
}

impl Suppressor {
    /// Judge `audio`, one packet of `length_ms`.
    pub fn judge(&mut self, audio: &[i16], length_ms: u32) -> Verdict {
        let found = correlate(audio);
        let power = found[0];
        // The floor follows quieter audio at once and rises by 3 dB in a second, so that speech does not lift it.
        self.floor = if power < self.floor {
            power
        } else {
            self.floor.max(SILENT) * (1.0 + 0.0007 * length_ms as f32)
        };
        if power > LOUD_ANYWAY.max(SILENT) && power > self.floor * ABOVE_FLOOR {
            self.quiet_ms = 0;
            self.told = None;
            return Verdict::Speech;
        }
        self.quiet_ms += length_ms;
        let weight = if self.quiet_ms == length_ms { 1.0 } else { 0.2 };
        for (mean, found) in self.correlations.iter_mut().zip(found) {
            *mean += (found - *mean) * weight;
        }
        if self.quiet_ms <= HANGOVER_MS {
            return Verdict::Speech;
        }
        self.told_ms += length_ms;
        let noise = describe(&self.correlations);
        let changed = self
            .told
            .is_none_or(|told| told.below_overload_db.abs_diff(noise.below_overload_db) >= 4);
        if changed || self.told_ms >= REFRESH_MS {
            self.told = Some(noise);
            self.told_ms = 0;
            return Verdict::Noise(noise);
        }
        Verdict::Pause
    }
}

fn correlate(audio: &[i16]) -> Correlations {
    let mut correlations = [0.0; ORDER + 1];
    if audio.len() <= ORDER {
        return correlations;
    }
    for (lag, place) in correlations.iter_mut().enumerate() {
        let sum: i64 = audio[lag..]
            .iter()
            .zip(audio)
            .map(|(&one, &other)| i64::from(one) * i64::from(other))
            .sum();
        *place = sum as f32 / audio.len() as f32;
    }
    correlations
}

/// Level and spectrum from autocorrelations, by the recursion of Levinson and Durbin.
fn describe(correlations: &Correlations) -> Noise {
    let level_db = 20.0 * (correlations[0].max(0.0).sqrt() / OVERLOAD).max(1e-9).log10();
    let mut noise = Noise::white((-level_db).round().clamp(0.0, 127.0) as u8);
    let mut predictor = [0.0_f32; ORDER];
    // White noise 40 dB below keeps the recursion stable for pure tones.
    let mut error = correlations[0] * 1.0001 + 0.1;
    for order in 0..ORDER {
        let known: f32 = (0..order)
            .map(|index| predictor[index] * correlations[order - index])
            .sum();
        let reflection = (-(correlations[order + 1] + known) / error).clamp(-0.98, 0.98);
        let before = predictor;
        for index in 0..order {
            predictor[index] = before[index] + reflection * before[order - 1 - index];
        }
        predictor[order] = reflection;
        noise.reflections[order] = reflection;
        error *= 1.0 - reflection * reflection;
    }
    noise
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{decibels, noise, rms, voice};

    fn made(noise: Noise, count: usize) -> Vec<i16> {
        let mut generator = Generator::new(1);
        generator.set(noise);
        let mut out = vec![0; count + 2000];
        generator.fill(&mut out);
        out.split_off(2000)
    }

    #[test]
    fn the_level_is_what_the_payload_says__rfc3389_3_1() {
        for below in [20, 40, 60, 70] {
            let level = decibels(rms(&made(Noise::parse(&[below]).expect("a payload"), 16_000)) / f64::from(OVERLOAD));
            assert!((level + f64::from(below)).abs() < 0.5, "{below}: {level:.1}");
        }
        assert_eq!(rms(&made(Noise::parse(&[127]).expect("a payload"), 1000)), 0.0);
        // The spectrum changes the timbre, not the level.
        let shaped = Noise::parse(&[40, 20, 200, 90]).expect("a payload");
        let level = decibels(rms(&made(shaped, 16_000)) / f64::from(OVERLOAD));
        assert!((level + 40.0).abs() < 1.0, "{level:.1}");
    }

    #[test]
    fn octets_that_are_written_read_back() {
        let mut out = [0; MAX_OCTETS];
        for payload in [&[55][..], &[0, 20, 200, 90], &[126, 0, 254, 1, 2, 3, 4, 5, 6, 7, 8]] {
            let noise = Noise::parse(payload).expect("a payload");
            let length = noise.write(&mut out);
            assert_eq!(&out[..length], payload);
        }
        assert_eq!(Noise::parse(&[]), None);
        assert_eq!(Noise::parse(&[0x80 | 30]), Some(Noise::white(30)));
    }

    #[test]
    fn the_spectrum_of_a_background_is_heard_again() {
        // Rumble: white noise through a one-pole low pass.
        let mut state = 0.0;
        let background: Vec<i16> = noise(3, 8000, 3000)
            .into_iter()
            .map(|sample| {
                state += (f64::from(sample) - state) * 0.1;
                state as i16
            })
            .collect();
        let told = describe(&correlate(&background));
        let mut octets = [0; MAX_OCTETS];
        let length = told.write(&mut octets);
        let again = made(Noise::parse(&octets[..length]).expect("a payload"), 8000);
        let slope = |audio: &[i16]| {
            let steps: Vec<i16> = audio.windows(2).map(|pair| pair[1].saturating_sub(pair[0])).collect();
            rms(&steps) / rms(audio)
        };
        let (said, heard) = (slope(&background), slope(&again));
        assert!((said / heard - 1.0).abs() < 0.15, "{said:.3} {heard:.3}");
        assert!((decibels(rms(&again) / rms(&background))).abs() < 1.0);
    }

    #[test]
    fn the_level_does_not_jump() {
        let mut generator = Generator::new(1);
        generator.set(Noise::white(30));
        let mut out = [0; 8];
        generator.fill(&mut out);
        assert!(rms(&out) < 200.0);
    }

    #[test]
    fn pauses_are_told_once_and_speech_passes() {
        let mut suppressor = Suppressor::default();
        let background = noise(4, 8000 * 10, 60);
        let speech = voice(4, 8000, 8000 * 4);
        let mut verdicts = Vec::new();
        for (index, frame) in background.chunks_exact(160).enumerate() {
            let speaking = (150..350).contains(&index);
            let frame: Vec<i16> = if speaking {
                frame
                    .iter()
                    .zip(&speech[(index - 150) * 160..])
                    .map(|(one, two)| one + two)
                    .collect()
            } else {
                frame.to_vec()
            };
            verdicts.push(suppressor.judge(&frame, 20));
        }
        let count = |range: std::ops::Range<usize>, kind: fn(&Verdict) -> bool| {
            verdicts[range].iter().filter(|one| kind(one)).count()
        };
        let speech = |verdict: &Verdict| *verdict == Verdict::Speech;
        let told = |verdict: &Verdict| matches!(verdict, Verdict::Noise(_));
        assert_eq!(count(12..150, speech), 0, "the background is no speech");
        assert!(count(12..150, told) <= 3);
        let loud = (150..350).filter(|&index| verdicts[index] == Verdict::Speech).count();
        assert!(loud > 170, "{loud} of 200 packets of speech were sent");
        assert_eq!(count(375..500, speech), 0);
        let Some(Verdict::Noise(noise)) = verdicts[375..].iter().find(|verdict| told(verdict)) else {
            panic!("the noise after the speech was not told: {:?}", &verdicts[350..400]);
        };
        let expected = -decibels(rms(&background) / f64::from(OVERLOAD));
        assert!(
            (f64::from(noise.below_overload_db) - expected).abs() <= 2.0,
            "{noise:?} {expected:.1}"
        );
    }

    #[test]
    fn digital_silence_is_no_noise() {
        let mut suppressor = Suppressor::default();
        let verdicts: Vec<Verdict> = (0..50).map(|_| suppressor.judge(&[0; 160], 20)).collect();
        assert!(
            verdicts.contains(&Verdict::Noise(Noise::white(QUIETEST))),
            "{verdicts:?}"
        );
    }

    #[test]
    fn any_payload_and_any_audio_are_borne() {
        let mut random = Random::new(8);
        let mut generator = Generator::new(2);
        let mut suppressor = Suppressor::default();
        for round in 0..2000 {
            let payload: Vec<u8> = (0..random.below(20)).map(|_| random.next() as u8).collect();
            if let Some(noise) = Noise::parse(&payload) {
                generator.set(noise);
            }
            let mut out = [0; 160];
            generator.fill(&mut out);
            assert!(generator.lattice.iter().all(|value| value.is_finite()), "{payload:?}");
            let count = random.below(200) as usize;
            suppressor.judge(&noise(round, count, [0, 50, i16::MAX][random.below(3) as usize]), 20);
            assert!(suppressor.correlations.iter().all(|value| value.is_finite()));
        }
    }
}
