//! From one sampling rate to another, as a stream: a polyphase filter bank with linear phase.
//!
//! The filter is a sinc within a Kaiser window that reaches `REACH` samples of the lower rate to each side. It passes what
//! lies below 0.43 of the lower rate (3.4 kHz of 8 kHz, 6.9 kHz of 16 kHz) and rejects what lies above half of it, so that
//! neither aliases nor images are heard. Its delay is the same for all frequencies: `REACH` samples of the lower rate, thus
//! 4 ms with 8 kHz on either side, 2 ms with 16 kHz. A bank is made when a pair of rates is first used, and shared.

use std::sync::OnceLock;

use crate::codec::to_i16;

/// The rates that can be turned into one another.
pub const RATES_HZ: [u32; 6] = [8000, 16_000, 24_000, 32_000, 44_100, 48_000];

/// Half of the filter's length, in samples of the lower rate.
const REACH: f64 = 32.0;
/// For a rejection of 72 dB, and how wide the slope then is for this length, as a part of the lower rate.
const KAISER_BETA: f64 = 7.0;
const SLOPE: f64 = 0.07;
/// Samples taken in at a time.
const CHUNK: usize = 480;
/// Samples multiplied side by side.
const LANES: usize = 8;

/// The filter for one pair of rates, cut into its phases.
#[derive(Debug)]
struct Bank {
    /// Output number m lies `m * step / phases` input samples after the first one.
    phases: usize,
    step: usize,
    /// Coefficients of a phase, the oldest sample's first; a multiple of `LANES`.
    taps: usize,
    coefficients: Vec<f32>,
}

/// The modified Bessel function of the first kind and order zero.
fn bessel(x: f64) -> f64 {
    let (mut sum, mut term, mut order) = (1.0, 1.0, 1.0);
    while term > sum * 1e-12 {
        term *= (x / (2.0 * order)).powi(2);
        sum += term;
        order += 1.0;
    }
    sum
}

/// The continuous filter; `at` in samples of the lower rate from its middle.
fn prototype(at: f64) -> f64 {
    let along = at / REACH;
    if along.abs() > 1.0 {
        return 0.0;
    }
    let window = bessel(KAISER_BETA * (1.0 - along * along).sqrt());
    let turn = std::f64::consts::PI * (1.0 - SLOPE) * at;
    let sinc = if turn.abs() < 1e-9 { 1.0 } else { turn.sin() / turn };
    sinc * window
}

impl Bank {
    fn new(from_hz: u32, to_hz: u32) -> Self {
        let common = gcd(from_hz, to_hz);
        let (phases, step) = ((to_hz / common) as usize, (from_hz / common) as usize);
        // One input sample in samples of the lower rate.
        let grain = f64::from(from_hz.min(to_hz)) / f64::from(from_hz);
        let taps = ((2.0 * REACH / grain).floor() as usize + 1).next_multiple_of(LANES);
        let mut coefficients = Vec::with_capacity(phases * taps);
        for phase in 0..phases {
            let age = |tap: usize| (taps - 1 - tap) as f64 + phase as f64 / phases as f64;
            let row: Vec<f64> = (0..taps).map(|tap| prototype(age(tap) * grain - REACH)).collect();
            // Every phase passes a constant unchanged.
            let sum: f64 = row.iter().sum();
            coefficients.extend(row.iter().map(|value| (value / sum) as f32));
        }
        Self {
            phases,
            step,
            taps,
            coefficients,
        }
    }

    fn of(from_hz: u32, to_hz: u32) -> Option<&'static Bank> {
        static BANKS: [OnceLock<Bank>; RATES_HZ.len() * RATES_HZ.len()] =
            [const { OnceLock::new() }; RATES_HZ.len() * RATES_HZ.len()];
        let index = |rate_hz: u32| RATES_HZ.iter().position(|&known| known == rate_hz);
        let bank = &BANKS[index(from_hz)? * RATES_HZ.len() + index(to_hz)?];
        Some(bank.get_or_init(|| Bank::new(from_hz, to_hz)))
    }
}

fn gcd(one: u32, other: u32) -> u32 {
    if other == 0 {
        one
    } else {
        gcd(other, one % other)
    }
}

fn dot(coefficients: &[f32], samples: &[f32]) -> f32 {
    // Sums side by side, because the compiler may not reorder a single one.
    let mut sums = [0.0_f32; LANES];
    for (some, others) in coefficients.chunks_exact(LANES).zip(samples.chunks_exact(LANES)) {
        for lane in 0..LANES {
            sums[lane] += some[lane] * others[lane];
        }
    }
    sums.iter().sum()
}

/// One stream's way from one rate to another.
#[derive(Debug, Clone)]
pub struct Resampler {
    from_hz: u32,
    to_hz: u32,
    /// None between equal rates.
    bank: Option<&'static Bank>,
    /// The last `taps - 1` samples of what came before, then a chunk.
    line: Vec<f32>,
    /// The phase of the next output, and how many samples of the next input lie before it.
    phase: usize,
    skip: usize,
}

impl Resampler {
    /// None for a rate that is not among `RATES_HZ`.
    pub fn new(from_hz: u32, to_hz: u32) -> Option<Self> {
        let bank = if from_hz == to_hz && RATES_HZ.contains(&from_hz) {
            None
        } else {
            Some(Bank::of(from_hz, to_hz)?)
        };
        Some(Self {
            from_hz,
            to_hz,
            bank,
            line: bank.map_or(Vec::new(), |bank| vec![0.0; bank.taps - 1 + CHUNK]),
            phase: 0,
            skip: 0,
        })
    }

    pub fn from_hz(&self) -> u32 {
        self.from_hz
    }

    pub fn to_hz(&self) -> u32 {
        self.to_hz
    }

    /// By how much the output lags behind the input, in seconds.
    pub fn delay_s(&self) -> f64 {
        self.bank
            .map_or(0.0, |_| REACH / f64::from(self.from_hz.min(self.to_hz)))
    }

    /// The most samples that so many samples of input can become. Whole multiples of 10 ms become exactly as long.
    pub fn room(&self, count: usize) -> usize {
        (count as u64 * u64::from(self.to_hz)).div_ceil(u64::from(self.from_hz)) as usize
    }

    /// Forget what came before, as after a pause.
    pub fn reset(&mut self) {
        self.line.fill(0.0);
        (self.phase, self.skip) = (0, 0);
    }

    /// Take in `input`, write what has become due to `out`, which has `room` for it. Returns how many samples were written.
    pub fn process(&mut self, input: &[i16], out: &mut [i16]) -> usize {
        let Some(bank) = self.bank else {
            let count = input.len().min(out.len());
            out[..count].copy_from_slice(&input[..count]);
            return count;
        };
        let mut written = 0;
        for chunk in input.chunks(CHUNK) {
            for (place, &sample) in self.line[bank.taps - 1..].iter_mut().zip(chunk) {
                *place = f32::from(sample);
            }
            let rest = &mut out[written..];
            written += self.run(bank, chunk.len(), rest, to_i16);
        }
        written
    }

    /// `process` for audio that is not rounded yet.
    pub fn process_f32(&mut self, input: &[f32], out: &mut [f32]) -> usize {
        let Some(bank) = self.bank else {
            let count = input.len().min(out.len());
            out[..count].copy_from_slice(&input[..count]);
            return count;
        };
        let mut written = 0;
        for chunk in input.chunks(CHUNK) {
            self.line[bank.taps - 1..bank.taps - 1 + chunk.len()].copy_from_slice(chunk);
            let rest = &mut out[written..];
            written += self.run(bank, chunk.len(), rest, |sample| sample);
        }
        written
    }

    /// Filter the `count` new samples that stand in the line, then move the line on.
    fn run<T>(&mut self, bank: &Bank, count: usize, out: &mut [T], finish: impl Fn(f32) -> T) -> usize {
        let (mut at, mut phase) = (self.skip, self.phase);
        let mut places = out.iter_mut();
        let mut written = 0;
        while at < count {
            if let Some(place) = places.next() {
                let row = &bank.coefficients[phase * bank.taps..(phase + 1) * bank.taps];
                *place = finish(dot(row, &self.line[at..at + bank.taps]));
                written += 1;
            }
            let ahead = phase + bank.step;
            at += ahead / bank.phases;
            phase = ahead % bank.phases;
        }
        (self.skip, self.phase) = (at - count, phase);
        self.line.copy_within(count..count + bank.taps - 1, 0);
        written
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;
    use crate::testing::{amplitude, decibels, noise, voice};
    use std::f64::consts::TAU;

    fn pairs() -> impl Iterator<Item = (u32, u32)> {
        let all = RATES_HZ
            .iter()
            .flat_map(|&from| RATES_HZ.iter().map(move |&to| (from, to)));
        all.filter(|(from, to)| from != to)
    }

    /// A tone of amplitude 1 through a resampler, without the beginning.
    fn pass(from_hz: u32, to_hz: u32, frequency_hz: f64, seconds: f64) -> Vec<f64> {
        let mut resampler = Resampler::new(from_hz, to_hz).expect("known rates");
        let count = (f64::from(from_hz) * (seconds + 0.02)) as usize;
        let step = TAU * frequency_hz / f64::from(from_hz);
        let input: Vec<f32> = (0..count).map(|index| (step * index as f64).cos() as f32).collect();
        let mut out = vec![0.0; resampler.room(count)];
        let written = resampler.process_f32(&input, &mut out);
        out[to_hz as usize / 50..written]
            .iter()
            .map(|&sample| f64::from(sample))
            .collect()
    }

    fn level(samples: &[f64]) -> f64 {
        (2.0 * samples.iter().map(|sample| sample * sample).sum::<f64>() / samples.len() as f64).sqrt()
    }

    #[test]
    fn what_the_lower_rate_cannot_carry_is_rejected_by_60_db_at_least() {
        let mut worst = f64::NEG_INFINITY;
        for (from_hz, to_hz) in pairs().filter(|(from, to)| from > to) {
            let (nyquist_hz, top_hz) = (f64::from(to_hz) / 2.0, f64::from(from_hz) / 2.0);
            for step in 0..=24 {
                let frequency_hz = nyquist_hz + (top_hz - nyquist_hz) * f64::from(step) / 24.0;
                worst = worst.max(decibels(level(&pass(from_hz, to_hz, frequency_hz, 0.05))));
            }
        }
        let known = decibels(level(&pass(48_000, 8000, 6000.0, 0.2)));
        println!("worst alias {worst:.1} dB; 6 kHz from 48 to 8 kHz {known:.1} dB");
        assert!(worst < -62.0 && known < -80.0, "{worst:.1} {known:.1}");
    }

    #[test]
    fn images_of_the_lower_rate_are_rejected_by_60_db_at_least() {
        let mut worst = f64::NEG_INFINITY;
        for (from_hz, to_hz) in pairs().filter(|(from, to)| from < to) {
            for part in [0.05, 0.2, 0.37, 0.42, 0.46] {
                let frequency_hz = f64::from(from_hz) * part;
                let out = pass(from_hz, to_hz, frequency_hz, 0.1);
                for image in 1..6 {
                    for image_hz in [-1.0, 1.0].map(|side| f64::from(from_hz * image) + side * frequency_hz) {
                        if image_hz < f64::from(to_hz) / 2.0 {
                            worst = worst.max(decibels(amplitude(&out, image_hz, to_hz)));
                        }
                    }
                }
            }
        }
        println!("worst image {worst:.1} dB");
        assert!(worst < -62.0, "{worst:.1}");
    }

    #[test]
    fn speech_passes_unchanged() {
        let (mut least, mut most) = (f64::INFINITY, f64::NEG_INFINITY);
        for (from_hz, to_hz) in pairs() {
            for part in [0.0125, 0.1, 0.25, 0.35, 0.4, 0.42] {
                let frequency_hz = f64::from(from_hz.min(to_hz)) * part;
                let gain = decibels(amplitude(&pass(from_hz, to_hz, frequency_hz, 0.1), frequency_hz, to_hz));
                (least, most) = (least.min(gain), most.max(gain));
            }
        }
        println!("{least:.3} to {most:.3} dB");
        assert!(least > -0.1 && most < 0.1, "{least:.3} to {most:.3} dB");
    }

    #[test]
    fn all_frequencies_are_delayed_alike_and_by_5_ms_at_most() {
        for (from_hz, to_hz) in pairs() {
            let delay_s = Resampler::new(from_hz, to_hz).expect("known rates").delay_s();
            assert!(delay_s <= 0.004, "{from_hz} to {to_hz}: {delay_s}");
            for part in [0.02, 0.1, 0.3, 0.42] {
                let frequency_hz = f64::from(from_hz.min(to_hz)) * part;
                let out = pass(from_hz, to_hz, frequency_hz, 0.1);
                let skipped_s = f64::from(to_hz / 50) / f64::from(to_hz);
                let (mut real, mut imaginary) = (0.0, 0.0);
                for (index, sample) in out.iter().enumerate() {
                    let window = 1.0 - (TAU * index as f64 / out.len() as f64).cos();
                    let at_s = skipped_s + index as f64 / f64::from(to_hz) - delay_s;
                    real += window * sample * (TAU * frequency_hz * at_s).cos();
                    imaginary += window * sample * (TAU * frequency_hz * at_s).sin();
                }
                // The part of the delay that is not accounted for, in microseconds.
                let error_us = imaginary.atan2(real) / (TAU * frequency_hz) * 1e6;
                assert!(
                    error_us.abs() < 1.0,
                    "{from_hz} to {to_hz} at {frequency_hz}: {error_us:.3} us"
                );
            }
        }
    }

    #[test]
    fn ten_milliseconds_become_ten_milliseconds() {
        for (from_hz, to_hz) in pairs() {
            let mut resampler = Resampler::new(from_hz, to_hz).expect("known rates");
            for _ in 0..200 {
                let input = vec![100; from_hz as usize / 100];
                let mut out = vec![0; to_hz as usize / 100 + 3];
                assert_eq!(resampler.room(input.len()), to_hz as usize / 100);
                assert_eq!(
                    resampler.process(&input, &mut out),
                    to_hz as usize / 100,
                    "{from_hz} to {to_hz}"
                );
            }
        }
    }

    #[test]
    fn pieces_of_any_length_join_seamlessly() {
        let mut random = Random::new(3);
        for (from_hz, to_hz) in pairs() {
            let said = voice(1, from_hz, from_hz as usize / 10);
            let mut whole = vec![0; to_hz as usize / 10];
            let count = Resampler::new(from_hz, to_hz)
                .expect("known rates")
                .process(&said, &mut whole);
            assert_eq!(count, whole.len());
            let mut resampler = Resampler::new(from_hz, to_hz).expect("known rates");
            let (mut rest, mut heard) = (&said[..], Vec::new());
            while !rest.is_empty() {
                let (piece, after) = rest.split_at((random.below(900) as usize).min(rest.len()));
                let mut out = vec![0; resampler.room(piece.len())];
                let count = resampler.process(piece, &mut out);
                heard.extend_from_slice(&out[..count]);
                rest = after;
            }
            assert!(heard == whole, "{from_hz} to {to_hz}");
        }
    }

    #[test]
    fn what_is_too_loud_is_clipped_and_does_not_wrap() {
        let square: Vec<i16> = (0..800)
            .map(|index| if index / 40 % 2 == 0 { i16::MAX } else { i16::MIN })
            .collect();
        let mut out = vec![0; 1600];
        let mut resampler = Resampler::new(8000, 16_000).expect("known rates");
        resampler.process(&square, &mut out);
        // 64 samples of delay, 80 of each half wave.
        for (index, &sample) in out.iter().enumerate().skip(64) {
            if (20..60).contains(&((index - 64) % 80)) {
                let up = (index - 64) / 80 % 2 == 0;
                assert!((sample > 20_000) == up && (sample < -20_000) != up, "{index}: {sample}");
            }
        }
        assert_eq!(
            (to_i16(40_000.0), to_i16(-40_000.0), to_i16(-1.5), to_i16(0.49)),
            (i16::MAX, i16::MIN, -2, 0)
        );
    }

    #[test]
    fn equal_rates_pass_and_unknown_ones_are_refused() {
        let said = noise(1, 160, 1000);
        let mut out = [0; 160];
        let mut resampler = Resampler::new(8000, 8000).expect("known rates");
        assert_eq!((resampler.process(&said, &mut out), resampler.delay_s()), (160, 0.0));
        assert_eq!(out[..], said[..]);
        assert!(Resampler::new(8000, 11_025).is_none() && Resampler::new(0, 8000).is_none());
    }

    #[test]
    fn too_little_room_loses_only_what_does_not_fit() {
        let said = voice(1, 16_000, 640);
        let (mut short, mut long) = (
            Resampler::new(16_000, 8000).expect("one"),
            Resampler::new(16_000, 8000).expect("one"),
        );
        let (mut some, mut all) = ([0; 300], [0; 320]);
        assert_eq!(
            (short.process(&said, &mut some[..10]), long.process(&said, &mut all)),
            (10, 320)
        );
        assert_eq!(
            (short.process(&said, &mut some), long.process(&said, &mut all)),
            (300, 320)
        );
        assert_eq!(some[..], all[..300]);
    }
}
