//! Two directions of audio on one time line: where each packet belongs, and what is ready to be written.
//!
//! The time line counts samples of our clock since the recording began. A packet's own place is where its audio ended
//! when it arrived. Packets of one source keep the distances of their RTP timestamps; the place of the source on the time
//! line is that of its *fastest* packet, because delay is only ever added on the way (`source`). So jitter does not move
//! audio, loss leaves silence of its length, and both directions stay aligned.
//!
//! Audio waits for `WINDOW` before it is written, so that a late or reordered packet still finds its place. G.711 waits as
//! samples; payloads whose decoder goes from packet to packet wait as they came and are decoded in order (`decoding`).
//!
//! A pause is a mark on the time line, so that it begins and ends at the same sample in both directions.

#[cfg(test)]
mod codec_tests;
mod decoding;
mod drift;
mod quiet;
mod source;
mod strip;
#[cfg(test)]
mod tests;
mod track;
pub mod writer;

use std::collections::VecDeque;

use crate::clock::{samples, Nanos, MILLISECOND};
use crate::codec::audio::Coding;
use quiet::Quiet;
use track::Track;

const RATE_HZ: u32 = 8000;
/// How long a packet may be late, in samples.
const WINDOW: i64 = 1600;
/// Samples of each direction that are held; a power of two.
const LENGTH: usize = 8192;
/// How often finished samples are handed to the disk. With the window and the turn of housekeeping it is what a killed
/// worker loses: less than a second.
pub const CHUNK: Nanos = 500 * MILLISECOND;
/// Sums beyond this are bent toward the largest sample instead of being cut off there.
const KNEE: i32 = 28_672;

/// A packet's audio, as it came or as it was sent.
#[derive(Debug, Clone, Copy)]
pub struct Heard<'a> {
    pub ssrc: u32,
    pub timestamp: u32,
    pub coding: Coding,
    pub payload: &'a [u8],
}

/// What becomes of a stretch of the time line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    Kept,
    /// A pause that is silence in the file.
    Silent,
    /// A pause that is not in the file.
    LeftOut,
}

/// See the module. The samples come out interleaved or mixed.
#[derive(Debug)]
pub struct TimeLine {
    /// None before the recording has begun: nothing is taken in and no time passes.
    began: Option<Nanos>,
    /// Everything before this place is out.
    written: i64,
    /// Samples that went to the file.
    filed: i64,
    /// What becomes of the samples from `written` on, and the places where that changes.
    mode: Mode,
    marks: VecDeque<(i64, Mode)>,
    tracks: [Track; 2],
    stereo: bool,
    quiet: Option<Quiet>,
}

impl TimeLine {
    /// `silence_ms`: how long the first direction may be silent before `fell_silent`; 0 = for ever.
    pub fn new(stereo: bool, silence_ms: u64) -> Self {
        Self {
            began: None,
            written: 0,
            filed: 0,
            mode: Mode::Kept,
            marks: VecDeque::new(),
            tracks: [Track::new(), Track::new()],
            stereo,
            quiet: (silence_ms > 0).then(|| Quiet::new(silence_ms)),
        }
    }

    /// The first sample is that of `now`.
    pub fn begin(&mut self, now: Nanos) {
        self.began = Some(now);
    }

    /// Samples since the beginning, pauses included.
    fn length(&self, now: Nanos) -> i64 {
        self.began
            .map_or(0, |began| samples(now.saturating_sub(began), RATE_HZ) as i64)
    }

    /// Samples that the file holds when it ends `now`.
    pub fn duration(&self, now: Nanos) -> i64 {
        let counted = |mode: Mode, count: i64| if mode == Mode::LeftOut { 0 } else { count };
        let (mut total, mut at, mut mode) = (self.filed, self.written, self.mode);
        for &(place, next) in &self.marks {
            total += counted(mode, place - at);
            (at, mode) = (place, next);
        }
        total + counted(mode, self.length(now) - at)
    }

    /// From now on it is so. The same again changes nothing.
    pub fn set_mode(&mut self, mode: Mode, now: Nanos) {
        let place = self.length(now);
        if self.marks.back().is_some_and(|&(last, _)| last == place) {
            self.marks.pop_back();
        }
        let before = self.marks.back().map_or(self.mode, |&(_, mode)| mode);
        if before != mode {
            self.marks.push_back((place, mode));
        }
    }

    /// Put the audio of a packet that arrived or left `now` into its place.
    pub fn put(&mut self, track: usize, heard: Heard, now: Nanos) {
        if self.began.is_none() {
            return;
        }
        let (length, written) = (self.length(now), self.written);
        if let Some(track) = self.tracks.get_mut(track) {
            track.put(heard, length, written, now);
        }
    }

    /// Append to `out`, as little-endian 16-bit samples, all that no packet can change any more.
    pub fn take(&mut self, now: Nanos, out: &mut Vec<u8>) {
        let end = self.length(now) - WINDOW;
        for track in &mut self.tracks {
            track.ripen(end, self.written, now);
        }
        self.take_until(end, i64::MAX, out);
    }

    /// Append everything up to `now`, but no more than makes the file `most` samples long: the recording is over.
    pub fn finish(&mut self, now: Nanos, most: i64, out: &mut Vec<u8>) {
        let end = self.length(now);
        // What is still to come out may not fit into the rings at once.
        while self.written < end && self.filed < most {
            let part = end.min(self.written + WINDOW);
            for track in &mut self.tracks {
                track.ripen(part, self.written, now);
            }
            self.take_until(part, most, out);
        }
    }

    /// Where the file is to end because the first direction has been silent for so long.
    pub fn fell_silent(&self) -> Option<i64> {
        self.quiet.as_ref().and_then(Quiet::end)
    }

    /// Whether `take` should come often, because the silence is looked for.
    pub fn listens(&self) -> bool {
        self.quiet.is_some()
    }

    fn take_until(&mut self, end: i64, most: i64, out: &mut Vec<u8>) {
        let samples = (end - self.written).clamp(0, LENGTH as i64) as usize;
        out.reserve_exact(samples * if self.stereo { 4 } else { 2 });
        while self.written < end && self.filed < most {
            while let Some(&(_, mode)) = self.marks.front().filter(|mark| mark.0 <= self.written) {
                self.mode = mode;
                self.marks.pop_front();
            }
            let index = self.written as usize % LENGTH;
            let mut stop = end.min(self.written + (LENGTH - index) as i64);
            if let Some(&(place, _)) = self.marks.front() {
                stop = stop.min(place);
            }
            if self.mode != Mode::LeftOut {
                stop = stop.min(self.written.saturating_add(most.saturating_sub(self.filed)));
            }
            let count = (stop - self.written) as usize;
            let [left, right] = &mut self.tracks;
            let (left, right) = (left.stretch(index, count), right.stretch(index, count));
            match self.mode {
                Mode::Kept => {
                    if let Some(quiet) = &mut self.quiet {
                        quiet.hear(left);
                    }
                    write(left, right, self.stereo, out);
                }
                Mode::Silent => {
                    if let Some(quiet) = &mut self.quiet {
                        quiet.pass(count);
                    }
                    let octets = count * if self.stereo { 4 } else { 2 };
                    out.resize(out.len() + octets, 0);
                }
                Mode::LeftOut => {}
            }
            if self.mode != Mode::LeftOut {
                self.filed += count as i64;
            }
            left.fill(0);
            right.fill(0);
            self.written = stop;
        }
    }
}

/// Append samples of both directions.
fn write(left: &[i16], right: &[i16], stereo: bool, out: &mut Vec<u8>) {
    let begin = out.len();
    let pairs = left.iter().zip(right);
    if stereo {
        out.resize(begin + 4 * left.len(), 0);
        for (place, (one, other)) in out[begin..].chunks_exact_mut(4).zip(pairs) {
            place[..2].copy_from_slice(&one.to_le_bytes());
            place[2..].copy_from_slice(&other.to_le_bytes());
        }
    } else {
        out.resize(begin + 2 * left.len(), 0);
        let places = out[begin..].chunks_exact_mut(2).zip(pairs.clone());
        let sum = |(&one, &other): (&i16, &i16)| i32::from(one) + i32::from(other);
        if pairs.map(|pair| sum(pair).abs()).max() <= Some(KNEE) {
            // Nothing to bend, as nearly always: as fast as memory is.
            places.for_each(|(place, pair)| place.copy_from_slice(&(sum(pair) as i16).to_le_bytes()));
        } else {
            places.for_each(|(place, (&one, &other))| place.copy_from_slice(&mixed(one, other).to_le_bytes()));
        }
    }
}

/// The sum, bent where it would leave the range: two loud voices are never cut off flat, one alone is hardly touched.
fn mixed(one: i16, other: i16) -> i16 {
    let sum = i32::from(one) + i32::from(other);
    let over = sum.abs() - KNEE;
    if over <= 0 {
        return sum as i16;
    }
    let room = i32::from(i16::MAX) - KNEE;
    (sum.signum() * (KNEE + room * over / (room + over))) as i16
}

/// Samples at `RATE_HZ` in a time.
pub(super) fn samples_in(seconds: f64) -> i64 {
    (seconds * f64::from(RATE_HZ)).round() as i64
}
