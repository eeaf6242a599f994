//! Two directions of audio on one time line: where each packet belongs, and what is ready to be written.
//!
//! The time line counts samples of our clock since the recording began. A packet's own place is where its audio ended
//! when it arrived. Packets of one source keep the distances of their RTP timestamps; the place of the source on the time
//! line is that of its *fastest* packet, because delay is only ever added on the way. So jitter does not move audio, loss
//! leaves silence of its length, and both directions stay aligned. When even the fastest packet of some seconds comes
//! late, the sender's clock is slower than ours and the source is moved on; when a packet comes faster than any before,
//! it is moved back. To move is to drop or to insert a few samples, so it is done between two packets that are not loud,
//! and only a large error does not wait for that. A beginning that is not written yet moves as a whole.
//!
//! Audio waits for `WINDOW` before it is written, so that a late or reordered packet still finds its place.

use crate::clock::{samples, Nanos, MILLISECOND, SECOND};
use crate::codec::g711::Law;

const RATE_HZ: u32 = 8000;
/// How long a packet may be late.
const WINDOW: i64 = 1600;
/// Samples of each direction that are held; a power of two.
const RING: usize = 8192;
/// A timestamp that lies farther from the clock than this has lost its meaning: the source starts anew.
const LOST: i64 = 3200;
/// How long the fastest packet is looked for before it counts as the sender's drift.
const DRIFT_SPAN: Nanos = 5 * SECOND;
/// An error that is put right in the middle of a word.
const LARGE: i64 = 160;
/// A packet whose samples are all below this (about -36 dBFS) is not loud.
const LOUD: i16 = 512;

/// One direction.
#[derive(Debug)]
struct Track {
    ring: Box<[i16; RING]>,
    source: Option<Source>,
}

#[derive(Debug, Clone, Copy)]
struct Source {
    ssrc: u32,
    timestamp: u32,
    /// The place of the sample with `timestamp`.
    place: i64,
    /// What was written since the source started: its first and its last place.
    first: i64,
    last: i64,
    /// How late the fastest packet since `span_began` was; negative if it was early.
    fastest: i64,
    span_began: Nanos,
    /// The timestamp that follows the newest packet, and whether that was loud.
    next: u32,
    loud: bool,
}

/// See the module. The samples come out interleaved or mixed.
#[derive(Debug)]
pub struct TimeLine {
    began: Nanos,
    /// Everything before this place is out.
    written: i64,
    tracks: [Track; 2],
    stereo: bool,
}

impl TimeLine {
    pub fn new(began: Nanos, stereo: bool) -> Self {
        let track = || Track {
            ring: Box::new([0; RING]),
            source: None,
        };
        Self {
            began,
            written: 0,
            tracks: [track(), track()],
            stereo,
        }
    }

    /// Samples since the beginning.
    pub fn length(&self, now: Nanos) -> i64 {
        samples(now.saturating_sub(self.began), RATE_HZ) as i64
    }

    /// Put the G.711 payload of a packet that arrived `now` into its place.
    pub fn put(&mut self, track: usize, ssrc: u32, timestamp: u32, law: Law, payload: &[u8], now: Nanos) {
        let arrived = self.length(now) - payload.len() as i64;
        let written = self.written;
        let Some(track) = self.tracks.get_mut(track) else {
            return;
        };
        let place = track.place(ssrc, timestamp, payload.len() as i64, arrived, written, now);
        let table = law.decoder();
        let mut peak = 0;
        for (octet, at) in payload.iter().zip(place..) {
            let sample = table[usize::from(*octet)];
            peak = peak.max(sample.saturating_abs());
            if at >= written && at < written + RING as i64 {
                track.ring[at as usize % RING] = sample;
            }
        }
        if let Some(source) = track.source.as_mut() {
            source.loud = peak >= LOUD;
        }
    }

    /// Append to `out`, as little-endian 16-bit samples, all that no packet can change any more.
    pub fn take(&mut self, now: Nanos, out: &mut Vec<u8>) {
        self.take_until(self.length(now) - WINDOW, out);
    }

    /// Append everything up to `end` samples: the recording is over.
    pub fn finish(&mut self, end: i64, out: &mut Vec<u8>) {
        self.take_until(end, out);
    }

    fn take_until(&mut self, end: i64, out: &mut Vec<u8>) {
        let [left, right] = &mut self.tracks;
        while self.written < end {
            let index = self.written as usize % RING;
            let one = std::mem::take(&mut left.ring[index]);
            let other = std::mem::take(&mut right.ring[index]);
            if self.stereo {
                out.extend_from_slice(&one.to_le_bytes());
                out.extend_from_slice(&other.to_le_bytes());
            } else {
                out.extend_from_slice(&one.saturating_add(other).to_le_bytes());
            }
            self.written += 1;
        }
    }
}

impl Track {
    /// Where a packet of `length` samples begins, which by its arrival alone would begin at `arrived`.
    fn place(&mut self, ssrc: u32, timestamp: u32, length: i64, arrived: i64, written: i64, now: Nanos) -> i64 {
        let known = self.source.filter(|source| source.ssrc == ssrc);
        let by_timestamp = |source: &Source| source.place + i64::from(timestamp.wrapping_sub(source.timestamp) as i32);
        let Some(mut source) = known.filter(|source| (by_timestamp(source) - arrived).abs() <= LOST) else {
            self.source = Some(Source {
                ssrc,
                timestamp,
                place: arrived,
                first: arrived,
                last: arrived + length,
                fastest: 0,
                span_began: now,
                next: timestamp.wrapping_add(length as u32),
                loud: false,
            });
            return arrived;
        };
        let late = arrived - by_timestamp(&source);
        if late < 0 && self.move_beginning(&mut source, -late, written) {
            source.fastest = 0;
        } else {
            source.fastest = source.fastest.min(late);
        }
        let over = now.saturating_sub(source.span_began) >= DRIFT_SPAN;
        let between_words = !source.loud || timestamp != source.next;
        let error = source.fastest;
        if (error < 0 || over) && (between_words || error.abs() >= LARGE) {
            source.place += error;
            source.fastest = if over { i64::MAX } else { late - error };
            source.span_began = now;
        }
        let place = by_timestamp(&source);
        // Kept near the newest packet, so that differences never wrap.
        source.place = place;
        source.timestamp = timestamp;
        source.last = source.last.max(place + length);
        source.next = timestamp.wrapping_add(length as u32);
        self.source = Some(source);
        place
    }

    /// A packet came that was faster by `by` samples than all before: those were late. If none of them is written yet,
    /// they are moved to where they belong.
    fn move_beginning(&mut self, source: &mut Source, by: i64, written: i64) -> bool {
        if source.first - by < written {
            return false;
        }
        source.place -= by;
        for at in source.first..source.last {
            let sample = std::mem::take(&mut self.ring[at as usize % RING]);
            self.ring[(at - by) as usize % RING] = sample;
        }
        source.first -= by;
        source.last -= by;
        true
    }
}

/// How often finished samples are handed to the disk.
pub const CHUNK: Nanos = 250 * MILLISECOND;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    const MS: Nanos = MILLISECOND;

    fn octets(values: &[i16]) -> Vec<u8> {
        values.iter().map(|&value| Law::Mu.encode(value)).collect()
    }

    /// 160 samples that rise from packet to packet, as they come out again.
    fn level(packet: usize) -> i16 {
        Law::Mu.decoder()[usize::from(Law::Mu.encode(1000 + 40 * packet as i16))]
    }

    fn finish(mut line: TimeLine, now: Nanos) -> Vec<i16> {
        let mut out = Vec::new();
        let end = line.length(now);
        line.finish(end, &mut out);
        out.chunks(2)
            .map(|pair| i16::from_le_bytes([pair[0], pair[1]]))
            .collect()
    }

    /// Send packets (number, arrival in ms) and record `length_ms`.
    fn heard(packets: &[(usize, u64)], length_ms: u64) -> Vec<i16> {
        let mut line = TimeLine::new(0, false);
        for &(packet, at_ms) in packets {
            line.put(
                0,
                1,
                8000 + 160 * packet as u32,
                Law::Mu,
                &octets(&[level(packet); 160]),
                at_ms * MS,
            );
        }
        finish(line, length_ms * MS)
    }

    fn levels(samples: &[i16]) -> Vec<i16> {
        samples
            .chunks(160)
            .map(|chunk| {
                if chunk.iter().all(|s| *s == chunk[0]) {
                    chunk[0]
                } else {
                    -1
                }
            })
            .collect()
    }

    #[test]
    fn packets_lie_where_they_arrived_and_the_length_is_the_clocks() {
        let samples = heard(&[(0, 40), (1, 60)], 101);
        assert_eq!(samples.len(), 808);
        assert_eq!(levels(&samples[..800]), [0, level(0), level(1), 0, 0]);
    }

    #[test]
    fn loss_and_disorder_leave_everything_else_in_its_place() {
        let samples = heard(&[(0, 40), (3, 100), (2, 101)], 140);
        assert_eq!(levels(&samples), [0, level(0), 0, level(2), level(3), 0, 0]);
    }

    #[test]
    fn jitter_does_not_move_audio() {
        let samples = heard(&[(0, 40), (1, 75), (2, 80), (3, 119), (4, 120)], 120);
        assert_eq!(levels(&samples), [0, level(0), level(1), level(2), level(3), level(4)]);
    }

    #[test]
    fn a_late_first_packet_is_put_right_by_a_faster_one() {
        let samples = heard(&[(0, 70), (1, 80), (2, 100)], 100);
        assert_eq!(levels(&samples), [0, 0, level(0), level(1), level(2)]);
    }

    #[test]
    fn nothing_said_is_silence_of_the_whole_length() {
        assert_eq!(heard(&[], 3_000), vec![0; 24_000]);
    }

    #[test]
    fn a_word_is_not_cut_to_put_a_small_error_right() {
        // Ten loud packets whose first came 3 ms late, after 300 ms of which nothing can be moved as a whole.
        let mut line = TimeLine::new(0, false);
        let mut out = Vec::new();
        for packet in 0..25_u64 {
            let late = if packet < 12 { 3 } else { 0 };
            let now = (20 + 20 * packet + late) * MS;
            line.put(
                0,
                1,
                160 * packet as u32,
                Law::Mu,
                &octets(&[level(packet as usize); 160]),
                now,
            );
            line.take(now, &mut out);
        }
        line.finish(line.length(520 * MS), &mut out);
        let samples: Vec<i16> = out
            .chunks(2)
            .map(|pair| i16::from_le_bytes([pair[0], pair[1]]))
            .collect();
        assert_eq!(levels(&samples[24..4024]), (0..25).map(level).collect::<Vec<_>>());
    }

    #[test]
    fn a_source_that_starts_anew_is_placed_by_its_arrival() {
        let mut line = TimeLine::new(0, false);
        line.put(0, 1, 0, Law::Mu, &octets(&[level(0); 160]), 20 * MS);
        line.put(0, 1, 0x8000_0000, Law::Mu, &octets(&[level(1); 160]), 40 * MS);
        line.put(0, 2, 77, Law::Mu, &octets(&[level(2); 160]), 60 * MS);
        assert_eq!(levels(&finish(line, 60 * MS)), [level(0), level(1), level(2)]);
    }

    #[test]
    fn the_mix_is_clipped_and_stereo_is_kept_apart() {
        for (stereo, expected) in [(false, vec![32767, 32767]), (true, vec![32124, 32124, 32124, 32124])] {
            let mut line = TimeLine::new(0, stereo);
            for track in 0..2 {
                line.put(track, 1, 0, Law::Mu, &octets(&[32124; 2]), 250_000);
            }
            assert_eq!(finish(line, 250_000), expected);
        }
    }

    #[test]
    fn what_comes_too_late_is_left_out() {
        let mut line = TimeLine::new(0, false);
        let mut out = Vec::new();
        line.put(0, 1, 160, Law::Mu, &octets(&[level(1); 160]), 40 * MS);
        line.take(300 * MS, &mut out);
        assert_eq!(out.len(), 2 * 800);
        line.put(0, 1, 0, Law::Mu, &octets(&[level(0); 160]), 301 * MS);
        assert_eq!(levels(&finish(line, 400 * MS)), [0; 15]);
    }

    #[test]
    fn both_directions_stay_aligned_with_loss_jitter_and_drifting_clocks() {
        // A click at every second of real time in both directions; the right sender's clock is 100 ppm slow, its network
        // adds up to 40 ms, and one packet in 50 is lost. Ten minutes later the clicks still lie within a millisecond.
        let mut random = Random::new(42);
        let mut line = TimeLine::new(0, true);
        let mut arrivals: Vec<(Nanos, usize, u32, Vec<u8>)> = Vec::new();
        let minutes = 10_u64;
        for (track, ppm, jitter_ms) in [(0, 0.0, 0), (1, 100.0, 40)] {
            let period = 1.0 + ppm * 1e-6;
            for packet in 0..minutes * 60 * 50 {
                // Sample n of the sender is taken at n/8000*period seconds of our clock.
                let payload: Vec<u8> = (0..160)
                    .map(|index| {
                        let n = packet * 160 + index;
                        let at = n as f64 / 8000.0 * period;
                        let before = (n as f64 - 1.0) / 8000.0 * period;
                        Law::Mu.encode(if at.floor() > before.floor() && n > 0 {
                            20_000
                        } else {
                            0
                        })
                    })
                    .collect();
                let sent = ((packet + 1) as f64 * 0.02 * period * 1e9) as Nanos;
                if random.below(50) != 0 {
                    let delay = 5 * MS + random.below(jitter_ms * MS + 1);
                    arrivals.push((sent + delay, track, (packet * 160) as u32, payload));
                }
            }
        }
        arrivals.sort_by_key(|arrival| arrival.0);
        let mut out = Vec::new();
        for (now, track, timestamp, payload) in arrivals {
            line.put(track, track as u32, timestamp, Law::Mu, &payload, now);
            line.take(now, &mut out);
        }
        let clicks = |track: usize| -> Vec<i64> {
            let samples = out
                .chunks(4)
                .map(|frame| i16::from_le_bytes([frame[2 * track], frame[2 * track + 1]]));
            samples
                .enumerate()
                .filter(|(_, sample)| *sample > 10_000)
                .map(|(at, _)| at as i64)
                .collect()
        };
        let (left, right) = (clicks(0), clicks(1));
        assert!(left.len() > 570 && right.len() > 560, "{} {}", left.len(), right.len());
        // The first seconds are those in which the fastest packet is still being found.
        let settled = right.iter().filter(|at| **at > 5 * 8000);
        let worst = settled
            .map(|at| {
                left.iter()
                    .map(|other| (at - other).abs())
                    .filter(|d| *d < 4000)
                    .min()
                    .unwrap_or(0)
            })
            .max();
        assert!(worst.is_some_and(|worst| worst <= 8), "{worst:?} samples apart");
    }
}
