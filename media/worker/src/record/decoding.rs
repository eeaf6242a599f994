//! Payloads that wait to be decoded, in the order of their place, for codecs whose decoder goes from packet to packet.
//!
//! A payload is decoded when its time has come, so that one that was late is decoded in its turn. Decoder and resampler
//! answer with a constant delay, which is taken out of the place. Buffers are used again and again.

use std::collections::VecDeque;

use super::strip::{Strip, LOUD};
use super::{samples_in, RATE_HZ};
use crate::audio::resample::Resampler;
use crate::codec::audio::{Coding, Decoder, MAX_SAMPLES};

/// A payload is decoded this long before its samples are taken; more than any delay below.
const AHEAD: i64 = 96;
/// What may wait: 240 ms in the shortest packets of Opus, or as much L16 as a network carries. What is beyond is decoded
/// before its time.
const MAX_HELD: usize = 96;
const MAX_OCTETS: usize = 64 << 10;
/// A gap is concealed if it is a whole number of these (2.5 ms), and no longer than that (120 ms).
const STEP: i64 = 20;
const MOST_CONCEALED: i64 = 960;

#[derive(Debug)]
struct Held {
    place: i64,
    count: i64,
    payload: Vec<u8>,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Decoding {
    decoder: Decoder,
    resampler: Resampler,
    /// By how many samples what comes out lies behind what went in: in all, and in the resampler.
    lag: i64,
    filter_lag: i64,
    held: VecDeque<Held>,
    octets: usize,
    spare: Vec<Vec<u8>>,
    /// The place of the next sample that comes out; None at the beginning.
    next: Option<i64>,
    /// The resampler still has something in it.
    tail: bool,
    /// What was decoded last was loud.
    loud: bool,
}

/// The delay of encoder and decoder together, in seconds. Opus: 6.5 ms of looking ahead (RFC 6716 2.1.7 allows other
/// values, but this is what encoders for conversation have). G.722: both filters, 22 samples of 16 kHz.
fn codec_delay_s(coding: Coding) -> f64 {
    match coding {
        Coding::Opus(_) => 0.0065,
        Coding::G722 => 22.0 / 16_000.0,
        Coding::G711(_) | Coding::L16 { .. } => 0.0,
    }
}

impl Decoding {
    /// None when there is no memory for a decoder.
    pub fn new(coding: Coding) -> Option<Self> {
        let decoder = Decoder::new(coding, RATE_HZ)?;
        let resampler = Resampler::new(decoder.rate_hz(), RATE_HZ)?;
        Some(Self {
            lag: samples_in(codec_delay_s(coding) + resampler.delay_s()),
            filter_lag: samples_in(resampler.delay_s()),
            decoder,
            resampler,
            held: VecDeque::new(),
            octets: 0,
            spare: Vec::new(),
            next: None,
            tail: false,
            loud: false,
        })
    }

    pub fn coding(&self) -> Coding {
        self.decoder.coding()
    }

    #[cfg(test)]
    pub fn octets_held(&self) -> usize {
        self.octets
    }

    pub fn lag(&self) -> i64 {
        self.lag
    }

    /// Keep a payload until its time has come. One whose time has passed already is left out, as is one that is there.
    pub fn hold(&mut self, place: i64, count: i64, payload: &[u8], strip: &mut Strip, written: i64) {
        if self.next.is_some_and(|next| place + count <= next + self.lag) {
            return;
        }
        let after = self.held.iter().rposition(|held| held.place <= place);
        if after.is_some_and(|index| self.held[index].place == place) {
            return;
        }
        let mut buffer = self.spare.pop().unwrap_or_default();
        buffer.extend_from_slice(payload);
        self.octets += buffer.len();
        let held = Held {
            place,
            count,
            payload: buffer,
        };
        self.held.insert(after.map_or(0, |index| index + 1), held);
        while self.held.len() > MAX_HELD || self.octets > MAX_OCTETS {
            self.decode_next(strip, written);
        }
    }

    /// Whether the first payload is to be decoded now that everything before `end` is wanted; and if so, whether it may be
    /// moved without cutting a word.
    pub fn is_due(&self, end: i64) -> Option<bool> {
        let first = self.held.front().filter(|held| held.place < end + AHEAD)?;
        let follows = self.next.is_some_and(|next| (first.place - self.lag - next).abs() <= 1);
        Some(!self.loud || !follows)
    }

    /// All that waits lies elsewhere by `by` samples.
    pub fn shift(&mut self, by: i64) {
        self.held.iter_mut().for_each(|held| held.place += by);
    }

    /// What was decoded was moved back in the strip.
    pub fn move_back(&mut self, by: i64) {
        self.next = self.next.map(|next| next - by);
    }

    /// Decode the first payload into its place.
    pub fn decode_next(&mut self, strip: &mut Strip, written: i64) {
        let Some(mut held) = self.held.pop_front() else {
            return;
        };
        self.octets -= held.payload.len();
        let at = held.place - self.lag;
        let gap = self.next.map_or(i64::MAX, |next| at - next);
        // A sample more or less is the rounding of a clock that does not divide into ours, or of its drift.
        if gap.abs() > 1 {
            self.bridge_gap(gap, &held.payload, strip, written);
            self.next = Some(at);
        }
        let mut decoded = [0; MAX_SAMPLES];
        match self.decoder.decode(&held.payload, &mut decoded) {
            Some(count) => {
                let decoded = &decoded[..count];
                self.loud = decoded.iter().any(|sample| sample.unsigned_abs() >= LOUD);
                self.put_out(decoded, strip, written);
            }
            // Damaged: a loss.
            None => self.next = Some(at + held.count),
        }
        held.payload.clear();
        self.spare.push(held.payload);
    }

    /// Resample what was decoded, and lay it where it belongs.
    fn put_out(&mut self, decoded: &[i16], strip: &mut Strip, written: i64) {
        let at = self.next.unwrap_or(0);
        let mut out = [0; MAX_SAMPLES];
        let count = self.resampler.process(decoded, &mut out).min(MAX_SAMPLES);
        strip.lay(&out[..count], at, written);
        self.next = Some(at + count as i64);
        self.tail = self.filter_lag > 0;
    }

    /// `gap` samples are missing before the payload that comes next: Opus repairs a short loss, anything else is silence.
    fn bridge_gap(&mut self, gap: i64, following: &[u8], strip: &mut Strip, written: i64) {
        if gap < 0 {
            return; // a source that begins anew: the splice is heard anyway
        }
        let repairable = gap <= MOST_CONCEALED && gap % STEP == 0 && self.decoder.conceals();
        match self.next {
            Some(at) if repairable => {
                let mut repaired = [0; MOST_CONCEALED as usize];
                let repaired = &mut repaired[..gap as usize];
                self.decoder.conceal(Some(following), repaired);
                strip.lay(repaired, at, written);
            }
            Some(_) => self.finish_tail(strip, written),
            None => {}
        }
    }

    /// Bring out what is still in the resampler, and begin anew.
    fn finish_tail(&mut self, strip: &mut Strip, written: i64) {
        let (true, Some(at)) = (self.tail, self.next) else {
            return;
        };
        let silence = [0; MAX_SAMPLES];
        let wanted = self.filter_lag as usize * self.resampler.from_hz() as usize / RATE_HZ as usize;
        let mut out = [0; MAX_SAMPLES];
        let count = self.resampler.process(&silence[..wanted.min(MAX_SAMPLES)], &mut out);
        strip.lay(&out[..count.min(MAX_SAMPLES)], at, written);
        self.next = Some(at + count as i64);
        self.resampler.reset();
        self.tail = false;
    }

    /// Nothing came that goes on where the last payload ended: bring out what is still in the resampler.
    pub fn end_tail(&mut self, end: i64, strip: &mut Strip, written: i64) {
        if self.tail && self.next.is_some_and(|next| next < end) {
            self.finish_tail(strip, written);
        }
    }

    /// Decode all that waits: the codec has changed.
    pub fn run_out(&mut self, strip: &mut Strip, written: i64) {
        while !self.held.is_empty() {
            self.decode_next(strip, written);
        }
        self.finish_tail(strip, written);
    }
}
