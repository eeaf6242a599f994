//! What the tests of several modules share: sessions, signals and measures.

use crate::protocol::{Codec, Connect};
use crate::random::Random;
use crate::session::Session;
use std::f64::consts::TAU;

pub fn codec(payload_type: u8, name: &str, clock_rate_hz: u32, channels: u8) -> Codec {
    Codec {
        payload_type,
        name: name.into(),
        clock_rate_hz,
        channels,
        fmtp: String::new(),
    }
}

/// A peer at 127.0.0.2:4000 with whom these codecs were agreed, and nothing else that is special.
pub fn connect(codecs: Vec<Codec>) -> Connect {
    Connect {
        stream: "s".into(),
        remote_address: "127.0.0.2".into(),
        remote_port: 4000,
        remote_rtcp_port: 0,
        codecs,
        direction: "sendrecv".into(),
        rtcp_mux: false,
        latch: true,
        ptime_ms: 20,
        media_timeout_ms: 0,
        srtp: None,
        inband_digits: false,
        stats_interval_ms: 0,
        max_ptime_ms: 0,
    }
}

/// What a stream at 127.0.0.1 makes of it.
pub fn session(connect: &Connect) -> Session {
    Session::new(connect, [127, 0, 0, 1].into()).expect("a session")
}

/// A sine of `peak` amplitude.
pub fn sine(frequency_hz: f64, rate_hz: u32, count: usize, peak: f64) -> Vec<i16> {
    let step = TAU * frequency_hz / f64::from(rate_hz);
    (0..count)
        .map(|index| (peak * (step * index as f64).sin()).round() as i16)
        .collect()
}

/// A sine that glides evenly from one frequency to another.
pub fn chirp(from_hz: f64, to_hz: f64, rate_hz: u32, count: usize, peak: f64) -> Vec<i16> {
    let seconds = count as f64 / f64::from(rate_hz);
    let slope = (to_hz - from_hz) / seconds;
    let sample = |index: usize| {
        let at = index as f64 / f64::from(rate_hz);
        (peak * (TAU * (from_hz * at + slope * at * at / 2.0)).sin()).round() as i16
    };
    (0..count).map(sample).collect()
}

/// White noise, evenly spread within `peak`.
pub fn noise(seed: u64, count: usize, peak: i16) -> Vec<i16> {
    let mut random = Random::new(seed);
    let width = 2 * u64::from(peak.unsigned_abs()) + 1;
    (0..count)
        .map(|_| (random.below(width) as i64 - i64::from(peak)) as i16)
        .collect()
}

/// Something like a voice: glottal pulses of a wandering pitch through the formants of changing vowels, syllables of about
/// 200 ms with pauses and breath between them. Peaks near 12,000.
pub fn voice(seed: u64, rate_hz: u32, count: usize) -> Vec<i16> {
    // Centres of the first four formants of a, e, i, o, u and their common widths, in Hz.
    const VOWELS: [[f64; 4]; 5] = [
        [730.0, 1090.0, 2440.0, 3400.0],
        [530.0, 1840.0, 2480.0, 3500.0],
        [270.0, 2290.0, 3010.0, 3700.0],
        [570.0, 840.0, 2410.0, 3300.0],
        [300.0, 870.0, 2240.0, 3200.0],
    ];
    const WIDTHS: [f64; 4] = [80.0, 90.0, 120.0, 150.0];
    let rate = f64::from(rate_hz);
    let mut random = Random::new(seed);
    let mut uniform = move || (random.next() >> 11) as f64 / (1_u64 << 53) as f64;
    let base_hz = 90.0 + 130.0 * uniform();
    let (mut phase, mut pitch_hz) = (0.0, base_hz);
    let mut formants = [(0.0, 0.0); 4];
    let mut vowel = VOWELS[0];
    let (mut left, mut length, mut gain) = (0_usize, 1_usize, 0.0);
    let mut out = Vec::with_capacity(count);
    for _ in 0..count {
        if left == 0 {
            length = (rate * (0.12 + 0.18 * uniform())) as usize;
            left = length;
            vowel = VOWELS[(uniform() * 5.0) as usize % 5];
            gain = if uniform() < 0.25 { 0.0 } else { 0.4 + 0.6 * uniform() };
        }
        left -= 1;
        let along = 1.0 - left as f64 / length as f64;
        pitch_hz += (base_hz * (1.1 - 0.25 * along) - pitch_hz) * 20.0 / rate;
        phase += pitch_hz / rate;
        let pulse = if phase >= 1.0 {
            phase -= 1.0;
            1.0
        } else {
            0.0
        };
        let breath = (uniform() - 0.5) * 0.02;
        let source = pulse + breath;
        let mut sum = 0.0;
        for (index, state) in formants.iter_mut().enumerate() {
            let radius = (-std::f64::consts::PI * WIDTHS[index] / rate).exp();
            let turn = (TAU * vowel[index] / rate).cos();
            if vowel[index] * 2.0 > rate * 0.95 {
                continue;
            }
            let next = source * (1.0 - radius) + 2.0 * radius * turn * state.0 - radius * radius * state.1;
            *state = (next, state.0);
            sum += next * [1.0, 0.6, 0.3, 0.2][index];
        }
        let envelope = (std::f64::consts::PI * along).sin().max(0.0).sqrt() * gain;
        out.push((sum * envelope * 60_000.0 + breath * 300.0).clamp(-30_000.0, 30_000.0) as i16);
    }
    out
}

/// How far `heard` is below `said` as a signal-to-noise ratio in dB, at the shift (0 to `most` samples) and the gain that
/// fit best. Also gives the shift.
pub fn fit(said: &[i16], heard: &[i16], most: usize) -> (f64, usize) {
    // Every so-manyth sample tells which shifts to look at closely.
    const EVERY: usize = 17;
    const LOOKED_AT: usize = 6;
    let likeness = |shift: usize| {
        let heard = heard[shift..].iter().step_by(EVERY);
        said.iter()
            .step_by(EVERY)
            .zip(heard)
            .map(|(&one, &other)| f64::from(one) * f64::from(other))
            .sum::<f64>()
    };
    let mut shifts: Vec<(f64, usize)> = (0..=most.min(heard.len().saturating_sub(1)))
        .map(|shift| (likeness(shift), shift))
        .collect();
    shifts.sort_by(|one, other| other.0.total_cmp(&one.0));
    let close = shifts
        .iter()
        .take(LOOKED_AT)
        .map(|&(_, shift)| (snr(said, &heard[shift..]), shift));
    close
        .max_by(|one, other| one.0.total_cmp(&other.0))
        .unwrap_or((f64::NEG_INFINITY, 0))
}

/// Signal-to-noise ratio in dB of `heard` against `said`, the best gain taken out, without their first and last tenth.
pub fn snr(said: &[i16], heard: &[i16]) -> f64 {
    let count = said.len().min(heard.len());
    let range = count / 10..count - count / 10;
    let (mut square, mut cross, mut energy) = (0.0, 0.0, 0.0);
    for (&one, &other) in said[range.clone()].iter().zip(&heard[range]) {
        let (one, other) = (f64::from(one), f64::from(other));
        square += one * one;
        cross += one * other;
        energy += other * other;
    }
    if cross <= 0.0 || square == 0.0 {
        return f64::NEG_INFINITY;
    }
    let gain = cross / square;
    let error = energy - gain * cross;
    10.0 * (gain * cross / error.max(1e-9)).log10()
}

/// Root mean square.
pub fn rms(samples: &[i16]) -> f64 {
    let energy: f64 = samples.iter().map(|&sample| f64::from(sample).powi(2)).sum();
    (energy / samples.len().max(1) as f64).sqrt()
}

/// Amplitude of one frequency in a stretch of samples, through a Blackman-Harris window (side lobes below -92 dB).
pub fn amplitude(samples: &[f64], frequency_hz: f64, rate_hz: u32) -> f64 {
    let count = samples.len() as f64;
    let (mut real, mut imaginary, mut weight) = (0.0, 0.0, 0.0);
    for (index, sample) in samples.iter().enumerate() {
        let at = TAU * index as f64 / count;
        let window = 0.35875 - 0.48829 * at.cos() + 0.14128 * (2.0 * at).cos() - 0.01168 * (3.0 * at).cos();
        let (sin, cos) = (TAU * frequency_hz * index as f64 / f64::from(rate_hz)).sin_cos();
        real += window * sample * cos;
        imaginary += window * sample * sin;
        weight += window;
    }
    2.0 * real.hypot(imaginary) / weight
}

/// 20 log10.
pub fn decibels(ratio: f64) -> f64 {
    20.0 * ratio.max(1e-12).log10()
}
