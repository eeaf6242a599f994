//! Audio where none came: packet loss concealment by repeating what was heard last, and the same means to make audio a
//! little longer or shorter, so that a jitter buffer can change its delay unheard.
//!
//! Speech is nearly periodic for tens of milliseconds. When samples are missing, the length of the last period is measured
//! and the period repeated, first one, after 10 ms two and after 20 ms three of them, so that it does not buzz; it fades
//! away until 60 ms, since by then speech would be something else. The ends of what is repeated are blended into each
//! other, and so is the end of the gap into what is heard next. Nothing is delayed for it.
//! Source: the idea is that of ITU-T G.711 Appendix I; the method is our own.

use std::ops::RangeInclusive;

use crate::codec::to_i16;

/// Periods looked for: voices from 66 to 400 Hz.
const SHORTEST_US: u32 = 2500;
const LONGEST_US: u32 = 15_000;
/// The stretch that must look alike one period earlier.
const TEMPLATE_MS: u32 = 15;
/// What is remembered: three of the longest periods and a quarter, or one and the template.
const HISTORY_MS: u32 = 50;
/// When repeated audio begins to fade, and when it is gone.
const FADE_FROM_MS: u32 = 10;
const FADE_UNTIL_MS: u32 = 60;
/// The coarse search runs at this rate or a little less.
const COARSE_HZ: u32 = 8000;
/// Correlation from which audio counts as periodic.
const PERIODIC: f32 = 0.6;
/// Mean square below which audio may be cut anywhere: 60 dB below full scale.
const QUIET: f32 = 1000.0;

/// How long the last period of `audio` is, in samples, and how well it repeats: 1 exactly, 0 or less not at all.
fn period(audio: &[f32], rate_hz: u32) -> (usize, f32) {
    let shortest = (rate_hz / 1000 * SHORTEST_US / 1000) as usize;
    let longest = (rate_hz / 1000 * LONGEST_US / 1000) as usize;
    let template = (rate_hz / 1000 * TEMPLATE_MS) as usize;
    let grain = rate_hz.div_ceil(COARSE_HZ) as usize;
    let audio = &audio[audio.len().saturating_sub(longest + template)..];
    if audio.len() < shortest + template {
        return (shortest, 0.0);
    }
    let longest = longest.min(audio.len() - template);
    // Coarse: one value for every `grain` samples; then the neighbours of the best one in all samples.
    let mut coarse = [0.0_f32; ((LONGEST_US / 1000 + TEMPLATE_MS) * COARSE_HZ / 1000) as usize + 1];
    let skipped = audio.len() % grain;
    let values = audio[skipped..]
        .chunks_exact(grain)
        .map(|some| some.iter().sum::<f32>());
    let count = coarse
        .iter_mut()
        .zip(values)
        .map(|(place, value)| *place = value)
        .count();
    // Two periods correlate as well as one; the shorter is the better one to repeat.
    let (lag, _) = best(
        &coarse[..count],
        template / grain,
        shortest / grain..=longest / grain,
        0.01,
    );
    let around = lag * grain;
    best(
        audio,
        template,
        around.saturating_sub(grain).max(shortest)..=(around + grain).min(longest),
        0.0,
    )
}

/// The lag at which the last `template` samples look most like those before them, and the correlation. A longer lag must
/// be better by `margin`.
fn best(audio: &[f32], template: usize, lags: RangeInclusive<usize>, margin: f32) -> (usize, f32) {
    let end = audio.len();
    let last = &audio[end - template..];
    let power = |some: &[f32]| some.iter().map(|sample| sample * sample).sum::<f32>();
    let here = power(last).max(1.0);
    let mut winner = (*lags.start(), f32::NEG_INFINITY);
    for lag in *lags.start()..=(*lags.end()).min(end - template) {
        let before = &audio[end - template - lag..end - lag];
        let correlation = correlate(last, before) / (here * power(before).max(1.0)).sqrt();
        if correlation > winner.1 + margin {
            winner = (lag, correlation);
        }
    }
    winner
}

fn correlate(one: &[f32], other: &[f32]) -> f32 {
    // Sums side by side, because the compiler may not reorder a single one.
    const LANES: usize = 8;
    let mut sums = [0.0_f32; LANES];
    let (ones, others) = (one.chunks_exact(LANES), other.chunks_exact(LANES));
    let rest: f32 = ones
        .remainder()
        .iter()
        .zip(others.remainder())
        .map(|(one, other)| one * other)
        .sum();
    for (some, more) in ones.zip(others) {
        for lane in 0..LANES {
            sums[lane] += some[lane] * more[lane];
        }
    }
    sums.iter().sum::<f32>() + rest
}

/// The memory of one stream of audio.
#[derive(Debug, Clone)]
pub struct Concealer {
    rate_hz: u32,
    /// What was heard last, the newest at the end; while samples are missing it stands still.
    history: Vec<f32>,
    /// What was made up since, as far as it can still be heard.
    made: Vec<f32>,
    /// How many samples are missing so far.
    missing: usize,
    repeat: Repeat,
}

/// Where we are in what is repeated.
#[derive(Debug, Clone, Copy, Default)]
struct Repeat {
    /// The length of a period, how many are repeated, and the place in them.
    period: usize,
    periods: usize,
    at: usize,
    /// The same before one period more was taken, as long as the blending takes.
    before: Option<(usize, usize)>,
    blended: usize,
    /// The step between the last sample that was heard and the one before the first that is repeated.
    step: f32,
}

impl Repeat {
    /// Samples over which ends are blended.
    fn blend(&self) -> usize {
        (self.period / 4).max(1)
    }

    /// Sample `at` of the last `periods` of `history`, the last quarter of a period leading into the first sample again.
    fn sample(&self, history: &[f32], periods: usize, at: usize) -> f32 {
        let length = periods * self.period;
        let place = history.len() - length + at;
        let left = length - at;
        let blend = self.blend();
        if left > blend || place < length {
            return history[place];
        }
        let weight = (blend - left + 1) as f32 / (blend + 1) as f32;
        history[place] * (1.0 - weight) + history[place - length] * weight
    }

    fn next(&mut self, history: &[f32]) -> f32 {
        let mut value = self.sample(history, self.periods, self.at);
        self.at = (self.at + 1) % (self.periods * self.period);
        if let Some((periods, at)) = self.before {
            let weight = (self.blended + 1) as f32 / (self.blend() + 1) as f32;
            value = self.sample(history, periods, at) * (1.0 - weight) + value * weight;
            self.blended += 1;
            self.before = (self.blended < self.blend()).then_some((periods, (at + 1) % (periods * self.period)));
        }
        value
    }

    fn take_one_more(&mut self) {
        self.before = Some((self.periods, self.at));
        self.blended = 0;
        self.periods += 1;
        self.at %= self.period;
    }
}

impl Concealer {
    pub fn new(rate_hz: u32) -> Self {
        let room = |length_ms: u32| (rate_hz / 1000 * length_ms) as usize;
        Self {
            rate_hz,
            history: vec![0.0; room(HISTORY_MS)],
            made: Vec::with_capacity(room(FADE_UNTIL_MS)),
            missing: 0,
            repeat: Repeat::default(),
        }
    }

    fn samples(&self, length_ms: u32) -> usize {
        (self.rate_hz / 1000 * length_ms) as usize
    }

    /// Whether the last samples were made up.
    pub fn is_concealing(&self) -> bool {
        self.missing > 0
    }

    /// Whether the repeated audio has faded away.
    pub fn has_faded(&self) -> bool {
        self.missing >= self.samples(FADE_UNTIL_MS)
    }

    /// Take note of audio that was received. After a gap its beginning is blended with what was made up.
    pub fn hear(&mut self, audio: &mut [i16]) {
        if self.missing > 0 {
            let blend = self.repeat.blend() + self.missing * 2 / 5;
            let blend = blend.min(self.samples(10)).min(audio.len());
            for (index, sample) in audio[..blend].iter_mut().enumerate() {
                let weight = (index + 1) as f32 / (blend + 1) as f32;
                let made = self.invent();
                *sample = to_i16(made * (1.0 - weight) + f32::from(*sample) * weight);
            }
            self.close_gap();
        }
        self.remember(audio);
    }

    fn remember(&mut self, audio: &[i16]) {
        let audio = &audio[audio.len().saturating_sub(self.history.len())..];
        self.history.copy_within(audio.len().., 0);
        let start = self.history.len() - audio.len();
        for (place, &sample) in self.history[start..].iter_mut().zip(audio) {
            *place = f32::from(sample);
        }
    }

    /// Make what was made up part of the history.
    fn close_gap(&mut self) {
        let length = self.history.len();
        if self.missing > self.made.len() {
            self.history.fill(0.0); // all that the history reaches was silence
        } else {
            let made = &self.made[self.made.len().saturating_sub(length)..];
            self.history.copy_within(made.len().., 0);
            self.history[length - made.len()..].copy_from_slice(made);
        }
        self.made.clear();
        self.missing = 0;
    }

    /// Fill `out` in place of samples that did not come.
    pub fn conceal(&mut self, out: &mut [i16]) {
        if self.missing == 0 && !out.is_empty() {
            self.begin();
        }
        for place in out {
            *place = to_i16(self.invent_next());
        }
    }

    fn begin(&mut self) {
        let (period, likeness) = period(&self.history, self.rate_hz);
        let last = self.history.len() - 1;
        // Noise has no period: a long piece of it is repeated, lest it should begin to sing.
        let periods = if likeness < PERIODIC { 3 } else { 1 };
        self.repeat = Repeat {
            period,
            periods,
            at: 0,
            before: None,
            blended: 0,
            step: self.history[last] - self.history[last - periods * period],
        };
    }

    /// The next sample that is made up, counted as missing.
    fn invent_next(&mut self) -> f32 {
        let sample = self.invent();
        self.missing += 1;
        if self.made.len() < self.made.capacity() {
            self.made.push(sample);
        }
        for periods in [2, 3] {
            if self.missing == self.samples((periods - 1) * 10) && self.repeat.periods < periods as usize {
                self.repeat.take_one_more();
            }
        }
        sample
    }

    fn invent(&mut self) -> f32 {
        let (from, until) = (self.samples(FADE_FROM_MS), self.samples(FADE_UNTIL_MS));
        if self.missing >= until {
            return 0.0;
        }
        let mut sample = self.repeat.next(&self.history);
        let blend = self.repeat.blend();
        if self.missing < blend {
            sample += self.repeat.step * (1.0 - (self.missing + 1) as f32 / (blend + 1) as f32);
        }
        if self.missing > from {
            sample *= (until - self.missing) as f32 / (until - from) as f32;
        }
        sample
    }

    /// Say the last period once more, to gain time: it fills the beginning of `out`, which has room for 15 ms. Returns its
    /// length; 0 when it would be heard, or while samples are missing.
    pub fn lengthen(&mut self, out: &mut [i16]) -> usize {
        if self.missing > 0 {
            return 0;
        }
        let (period, likeness) = period(&self.history, self.rate_hz);
        let end = self.history.len();
        if period > out.len() || !(likeness >= PERIODIC || is_quiet(&self.history[end - period..])) {
            return 0;
        }
        let step = self.history[end - 1] - self.history[end - 1 - period];
        let blend = (period / 4).max(1);
        for (index, place) in out[..period].iter_mut().enumerate() {
            let weight = (1.0 - (index + 1) as f32 / (blend + 1) as f32).max(0.0);
            *place = to_i16(self.history[end - period + index] + step * weight);
        }
        self.remember(&out[..period]);
        period
    }
}

fn is_quiet(audio: &[f32]) -> bool {
    audio.iter().map(|sample| sample * sample).sum::<f32>() < QUIET * audio.len() as f32
}

/// Take one period out of the beginning of `audio`, to lose time. It wants 30 ms and gives back how much shorter it became
/// (what is left stands at the beginning); 0 when it would be heard, or `audio` is too short.
pub fn shorten(audio: &mut [i16], rate_hz: u32) -> usize {
    const ROOM: usize = (48_000 / 1000 * (LONGEST_US / 1000) * 2) as usize;
    let longest = (rate_hz / 1000 * LONGEST_US / 1000) as usize;
    let span = 2 * longest;
    if audio.len() < span || span > ROOM {
        return 0;
    }
    let mut copy = [0.0_f32; ROOM];
    copy.iter_mut()
        .zip(&audio[..span])
        .for_each(|(place, &sample)| *place = f32::from(sample));
    let period = if is_quiet(&copy[..span]) {
        longest
    } else {
        let (period, likeness) = period(&copy[..span], rate_hz);
        if likeness < PERIODIC {
            return 0;
        }
        period
    };
    // The last two periods of the span become one.
    let start = span - 2 * period;
    for index in 0..period {
        let weight = (index + 1) as f32 / (period + 1) as f32;
        let blended = copy[start + index] * (1.0 - weight) + copy[start + period + index] * weight;
        audio[start + index] = to_i16(blended);
    }
    audio.copy_within(span.., span - period);
    period
}

/// Whether nobody would hear it if some of this were left out.
pub fn is_pause(audio: &[i16]) -> bool {
    let power: f32 = audio.iter().map(|&sample| f32::from(sample) * f32::from(sample)).sum();
    power <= QUIET * audio.len() as f32
}

#[cfg(test)]
mod tests;
