//! Digits as tones within the audio: found in what a peer says, and made for a peer that knows no telephone-events.
//! Source: ITU-T Q.23 (frequencies), Q.24 Annex A (limits).
//!
//! Audio is cut into blocks of 5 ms. In each, the part of every one of the eight frequencies is measured, with a phase
//! that goes on from block to block; four neighbouring blocks, weighted 1 2 2 1, make a window that tells the frequencies
//! apart. How the phase of a window advances against the one before gives a tone's true frequency to a few hertz, much
//! finer than the width of the window. A window *hits* when one tone of each group stands out at the right frequency and
//! hardly anything else is heard; five hits for the same digit are a press, six misses its end. Speech hits now and then, but
//! not for so long: it has harmonics, and its pitch moves.

use std::f64::consts::TAU;
use std::sync::OnceLock;

use super::{Heard, Press};
use crate::codec::to_i16;

/// The groups of Q.23, and the digit at each crossing.
const LOW_HZ: [f64; 4] = [697.0, 770.0, 852.0, 941.0];
const HIGH_HZ: [f64; 4] = [1209.0, 1336.0, 1477.0, 1633.0];
const DIGITS: [[char; 4]; 4] = [
    ['1', '2', '3', 'A'],
    ['4', '5', '6', 'B'],
    ['7', '8', '9', 'C'],
    ['*', '0', '#', 'D'],
];

const BLOCK_MS: u32 = 5;
const BLOCK_S: f32 = 0.005;
/// Samples in a block at the highest rate.
const MAX_BLOCK: usize = 80;
/// What each block of a window counts, the oldest first.
const WEIGHTS: [f32; 4] = [0.5, 1.0, 1.0, 0.5];
const WEIGHT: f32 = 3.0;

/// The amplitude of a sine at 0 dBm0 (full scale is +3.17 dBm0).
const REFERENCE: f32 = 22_300.0;
/// Each tone is at least this loud: Q.24 wants -25 dBm heard and -29 not.
const QUIETEST_DBM0: f32 = -27.0;
/// How much louder than the low tone the high one may be, and how much quieter: Q.24 wants 4 and 8 dB.
const TWIST_DB: f32 = 5.5;
const REVERSE_TWIST_DB: f32 = -9.5;
/// How far off a frequency may be: Q.24 wants 1.5 % + 2 Hz accepted and 3.5 % refused.
const TOLERANCE: f32 = 0.024;
const TOLERANCE_HZ: f32 = 1.0;
/// The part of the energy that both tones have: 15 dB of noise leave 0.97, half a window of silence 0.67.
const PURITY: f32 = 0.78;
const HITS: u32 = 5;
const MISSES: u32 = 6;
/// A press is so much longer than the time between its first and its last hit.
const EDGES_MS: u32 = 10;

/// A complex number.
type Complex = (f32, f32);

fn times(one: Complex, other: Complex) -> Complex {
    (one.0 * other.0 - one.1 * other.1, one.0 * other.1 + one.1 * other.0)
}

fn times_conjugate(one: Complex, other: Complex) -> Complex {
    times(one, (other.0, -other.1))
}

/// What is known of the frequencies at one sampling rate.
#[derive(Debug)]
struct Bank {
    /// Cosine and minus sine of each frequency at each sample of a block.
    cosines: [[f32; MAX_BLOCK]; 8],
    sines: [[f32; MAX_BLOCK]; 8],
    /// By how much each frequency turns in a block.
    turns: [Complex; 8],
}

impl Bank {
    fn new(rate_hz: u32) -> Self {
        let frequency = |index: usize| if index < 4 { LOW_HZ[index] } else { HIGH_HZ[index - 4] };
        let angle = |index: usize, at: usize| TAU * frequency(index) * at as f64 / f64::from(rate_hz);
        let table =
            |part: fn(f64) -> f64| std::array::from_fn(|index| std::array::from_fn(|at| part(angle(index, at)) as f32));
        Self {
            cosines: table(f64::cos),
            sines: table(|angle| -angle.sin()),
            turns: std::array::from_fn(|index| {
                let turn = -TAU * frequency(index) * f64::from(BLOCK_S);
                (turn.cos() as f32, turn.sin() as f32)
            }),
        }
    }

    fn of(rate_hz: u32) -> Option<&'static Bank> {
        static BANKS: [OnceLock<Bank>; 2] = [const { OnceLock::new() }; 2];
        let index = match rate_hz {
            8000 => 0,
            16_000 => 1,
            _ => return None,
        };
        Some(BANKS[index].get_or_init(|| Bank::new(rate_hz)))
    }
}

/// What one block holds: each frequency with a phase that goes on from block to block, and the energy.
#[derive(Debug, Clone, Copy, Default)]
struct Block {
    parts: [Complex; 8],
    energy: f32,
}

/// A window that hit.
#[derive(Debug, Clone, Copy)]
struct Hit {
    low: usize,
    high: usize,
    /// How both tones turned since the window before.
    turned: [Complex; 2],
}

/// The press that is being heard, or may be.
#[derive(Debug, Clone, Copy, Default)]
struct Candidate {
    digit: (usize, usize),
    hits: u32,
    /// Turns of all hits so far, summed.
    turned: [Complex; 2],
    first: u64,
    last: u64,
}

/// Finds digits in audio.
#[derive(Debug, Clone)]
pub struct Detector {
    bank: &'static Bank,
    length: usize,
    samples: [f32; MAX_BLOCK],
    filled: usize,
    /// For taking out a constant: the last sample in and out.
    constant: (f32, f32),
    phases: [Complex; 8],
    blocks: [Block; 4],
    before: [Complex; 8],
    count: u64,
    candidate: Option<Candidate>,
    pressed: Option<Candidate>,
}

impl Detector {
    /// A detector for audio of 8 or 16 kHz; None for another rate.
    pub fn new(rate_hz: u32) -> Option<Self> {
        Some(Self {
            bank: Bank::of(rate_hz)?,
            length: (rate_hz / 1000 * BLOCK_MS) as usize,
            samples: [0.0; MAX_BLOCK],
            filled: 0,
            constant: (0.0, 0.0),
            phases: [(1.0, 0.0); 8],
            blocks: [Block::default(); 4],
            before: [(0.0, 0.0); 8],
            count: 0,
            candidate: None,
            pressed: None,
        })
    }

    /// Listen to the next samples, in pieces of any length; `tell` is called for each digit that went down (some 40 ms after its
    /// beginning) or up.
    pub fn hear(&mut self, audio: &[i16], mut tell: impl FnMut(Heard)) {
        for &sample in audio {
            let sample = f32::from(sample);
            // A high pass at some 25 Hz.
            let out = sample - self.constant.0 + 0.98 * self.constant.1;
            self.constant = (sample, out);
            self.samples[self.filled] = out;
            self.filled += 1;
            if self.filled == self.length {
                self.filled = 0;
                self.take_block();
                self.judge(&mut tell);
            }
        }
    }

    fn take_block(&mut self) {
        let samples = &self.samples[..self.length];
        let mut block = Block {
            energy: samples.iter().map(|sample| sample * sample).sum(),
            ..Block::default()
        };
        for (index, part) in block.parts.iter_mut().enumerate() {
            let sum = |table: &[f32; MAX_BLOCK]| -> f32 {
                // Sums side by side, because the compiler may not reorder a single one.
                let mut sums = [0.0_f32; 8];
                for (some, others) in samples.chunks_exact(8).zip(table.chunks_exact(8)) {
                    for lane in 0..8 {
                        sums[lane] += some[lane] * others[lane];
                    }
                }
                sums.iter().sum()
            };
            let here = (sum(&self.bank.cosines[index]), sum(&self.bank.sines[index]));
            *part = times(here, self.phases[index]);
            self.phases[index] = times(self.phases[index], self.bank.turns[index]);
        }
        self.blocks.rotate_left(1);
        self.blocks[3] = block;
        self.count += 1;
        if self.count.is_multiple_of(1000) {
            // Rounding lets the phases shrink or grow very slowly.
            for phase in &mut self.phases {
                let length = phase.0.hypot(phase.1);
                *phase = (phase.0 / length, phase.1 / length);
            }
        }
    }

    fn judge(&mut self, tell: &mut impl FnMut(Heard)) {
        let window: [Complex; 8] = std::array::from_fn(|index| {
            let parts = self
                .blocks
                .iter()
                .zip(WEIGHTS)
                .map(|(block, weight)| (block.parts[index], weight));
            parts.fold((0.0, 0.0), |sum, (part, weight)| {
                (sum.0 + part.0 * weight, sum.1 + part.1 * weight)
            })
        });
        let hit = self.hit(&window);
        self.before = window;
        match (hit, self.pressed.as_mut()) {
            (Some(hit), Some(pressed)) if pressed.digit == (hit.low, hit.high) => pressed.last = self.count,
            (Some(hit), _) => self.follow(hit, tell),
            (None, _) => {
                // One window in between may be spoilt by a click.
                if self.candidate.is_some_and(|candidate| self.count > candidate.last + 1) {
                    self.candidate = None;
                }
            }
        }
        if self
            .pressed
            .is_some_and(|pressed| self.count - pressed.last >= u64::from(MISSES))
        {
            self.release(tell);
        }
    }

    /// Whether the window holds the two tones of a digit and nothing else.
    fn hit(&self, window: &[Complex; 8]) -> Option<Hit> {
        let energy: f32 = self
            .blocks
            .iter()
            .zip(WEIGHTS)
            .map(|(block, weight)| block.energy * weight)
            .sum();
        let samples = self.length as f32 * WEIGHT;
        let mean_square = energy / samples;
        let quietest = REFERENCE * 10_f32.powf(QUIETEST_DBM0 / 20.0);
        // Both tones together cannot be louder than everything: a cheap no for silence.
        if mean_square < quietest * quietest * 0.5 {
            return None;
        }
        let low = strongest(&window[..4]);
        let high = strongest(&window[4..]) + 4;
        let mut turned = [(0.0, 0.0); 2];
        let mut amplitudes = [0.0; 2];
        for (place, index) in [low, high].into_iter().enumerate() {
            turned[place] = times_conjugate(window[index], self.before[index]);
            let off_hz = frequency_of(turned[place]).abs().min(45.0);
            let amplitude = 2.0 * window[index].0.hypot(window[index].1) / samples;
            amplitudes[place] = amplitude / response(off_hz);
        }
        let [quiet, loud] = amplitudes;
        let twist_db = 20.0 * (loud / quiet.max(1e-3)).max(1e-6).log10();
        let tones = (quiet * quiet + loud * loud) / 2.0;
        let fits = quiet.min(loud) >= quietest
            && (REVERSE_TWIST_DB..=TWIST_DB).contains(&twist_db)
            && tones >= PURITY * mean_square;
        fits.then_some(Hit {
            low,
            high: high - 4,
            turned,
        })
    }

    /// Count a hit for its digit, and tell the digit when there are enough at the right frequencies.
    fn follow(&mut self, hit: Hit, tell: &mut impl FnMut(Heard)) {
        let digit = (hit.low, hit.high);
        let candidate = match self.candidate.as_mut() {
            Some(candidate) if candidate.digit == digit => candidate,
            _ => {
                // The first window turned from something else.
                self.candidate = Some(Candidate {
                    digit,
                    hits: 1,
                    turned: [(0.0, 0.0); 2],
                    first: self.count,
                    last: self.count,
                });
                return;
            }
        };
        candidate.hits += 1;
        candidate.last = self.count;
        for (sum, turned) in candidate.turned.iter_mut().zip(hit.turned) {
            *sum = (sum.0 + turned.0, sum.1 + turned.1);
        }
        if candidate.hits < HITS {
            return;
        }
        let off = candidate.turned.map(|turned| frequency_of(turned).abs());
        let frequencies = [LOW_HZ[digit.0], HIGH_HZ[digit.1]].map(|frequency| frequency as f32);
        let true_to_digit = off
            .iter()
            .zip(frequencies)
            .all(|(off, hz)| *off <= hz * TOLERANCE + TOLERANCE_HZ);
        if !true_to_digit {
            return;
        }
        let found = *candidate;
        self.candidate = None;
        self.release(tell);
        self.pressed = Some(found);
        tell(Heard::Down(DIGITS[digit.0][digit.1]));
    }

    fn release(&mut self, tell: &mut impl FnMut(Heard)) {
        if let Some(pressed) = self.pressed.take() {
            let duration_ms = (pressed.last - pressed.first) as u32 * BLOCK_MS + EDGES_MS;
            tell(Heard::Up(Press {
                digit: DIGITS[pressed.digit.0][pressed.digit.1],
                duration_ms,
            }));
        }
    }
}

fn strongest(parts: &[Complex]) -> usize {
    let power = |part: &Complex| part.0 * part.0 + part.1 * part.1;
    let strongest = parts
        .iter()
        .enumerate()
        .max_by(|one, other| power(one.1).total_cmp(&power(other.1)));
    strongest.map_or(0, |(index, _)| index)
}

/// How far off its nominal frequency a tone is that turned so far from one window to the next.
fn frequency_of(turned: Complex) -> f32 {
    turned.1.atan2(turned.0) / (std::f32::consts::TAU * BLOCK_S)
}

/// What a window leaves of a tone that is so far off.
fn response(off_hz: f32) -> f32 {
    let turn = std::f32::consts::PI * off_hz * BLOCK_S;
    let block = if turn < 1e-3 { 1.0 } else { turn.sin() / turn };
    block * (2.0 * turn.cos() + (3.0 * turn).cos()) / WEIGHT
}

/// Tones begin and end softly.
const RAMP_MS: u32 = 2;
/// Levels of the low and the high tone: the high ones suffer more on the way.
const LOW_DBM0: f64 = -9.0;
const HIGH_DBM0: f64 = -7.0;

/// Fill `out` with a piece of a digit's tones, which begins `from` samples after the digit went down; it is let go after `length`
/// samples. Pieces join without a seam, and behind the end there is silence; also for an event that is no digit.
pub fn fill_tones(event: u8, from: u32, length: u32, rate_hz: u32, out: &mut [i16]) {
    let Some((low_hz, high_hz)) = super::digit_of(event).and_then(frequencies_of) else {
        return out.fill(0);
    };
    let amplitude = |level_dbm0: f64| f64::from(REFERENCE) * 10_f64.powf(level_dbm0 / 20.0);
    let (low, high) = (amplitude(LOW_DBM0), amplitude(HIGH_DBM0));
    let ramp = f64::from(rate_hz / 1000 * RAMP_MS);
    for (at, sample) in (from..).zip(out) {
        // The end is not known before the digit is let go, so the tone fades behind it.
        let inside = f64::from(at).min(ramp - f64::from(at.saturating_sub(length)));
        *sample = if inside <= 0.0 {
            0
        } else {
            let turn = TAU * f64::from(at) / f64::from(rate_hz);
            let tone = low * (turn * low_hz).sin() + high * (turn * high_hz).sin();
            let edge = (inside / ramp).min(1.0);
            to_i16((tone * (0.5 - 0.5 * (std::f64::consts::PI * edge).cos())) as f32)
        };
    }
}

fn frequencies_of(digit: char) -> Option<(f64, f64)> {
    let find = |row: usize| {
        DIGITS[row]
            .iter()
            .position(|&known| known == digit)
            .map(|column| (LOW_HZ[row], HIGH_HZ[column]))
    };
    (0..4).find_map(find)
}

#[cfg(test)]
mod tests;
