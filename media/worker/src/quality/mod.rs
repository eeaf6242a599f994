//! How good a stream sounds, second by second, each way: counted here, estimated by the E-model, kept for a while.
//!
//! *In* is what the peer sends and our side hears; *out* is what we send and the peer hears, as far as its reports tell.
//! A second without packets (hold, silence) has no opinion; the totals are means over the seconds that have one.
//!
//! Assumed: the way there is half of the round trip. A peer's jitter buffer holds twice the jitter that it reports, and
//! 40 ms at least. Packets that came too late for our jitter buffer count as lost. Until the first report the peer hears
//! what leaves us, without loss.

pub mod emodel;
pub mod losses;
pub mod xr;

use crate::clock::Nanos;
use crate::rtp::rtcp::Block;
use emodel::{opinion, rating, Codec, Conditions};
use losses::Watch;
use xr::VoipMetrics;

/// How many seconds are kept.
pub const KEPT: usize = 64;
/// The least that a phone's jitter buffer holds.
const PEER_BUFFER_MS: f32 = 40.0;

/// What one second was like. Negative figures are not known.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Second {
    /// Counts up from 0 over the life of the stream.
    pub number: u32,
    pub ended_at: Nanos,
    pub received: u16,
    pub lost: u16,
    /// Came, but too late to be played.
    pub late: u16,
    pub jitter_ms: f32,
    pub round_trip_ms: f32,
    /// Of what we send, as reported: the part that was lost, 0 to 1, and the jitter.
    pub remote_loss: f32,
    pub remote_jitter_ms: f32,
    /// Mean opinion scores, 1 to 4.5.
    pub mos_in: f32,
    pub mos_out: f32,
}

/// What only others know of the second that ends.
#[derive(Debug, Clone, Copy)]
pub struct Known {
    /// RTP packets heard and sent in it.
    pub received: u32,
    pub sent: u32,
    /// Dropped by the jitter buffer in it.
    pub late: u32,
    pub jitter_ms: f32,
    /// How long our jitter buffer, or the one that we relay to, holds a packet.
    pub buffer_ms: f32,
    pub packet_ms: f32,
    pub round_trip_ms: Option<f64>,
}

/// The whole call until now.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Summary {
    pub seconds: u32,
    /// Means and minima of the opinion scores; negative when there was none.
    pub mos_in: f32,
    pub mos_out: f32,
    pub worst_in: f32,
    pub worst_out: f32,
}

#[derive(Debug, Clone, Copy, Default)]
struct Mean {
    sum: f64,
    count: u32,
    least: f32,
}

impl Mean {
    fn add(&mut self, value: Option<f32>) {
        if let Some(value) = value {
            self.least = if self.count == 0 { value } else { self.least.min(value) };
            self.sum += f64::from(value);
            self.count += 1;
        }
    }

    fn mean(&self) -> f32 {
        if self.count == 0 {
            -1.0
        } else {
            (self.sum / f64::from(self.count)) as f32
        }
    }

    fn least(&self) -> f32 {
        if self.count == 0 {
            -1.0
        } else {
            self.least
        }
    }
}

/// What the peer said last of what it hears.
#[derive(Debug, Clone, Copy)]
struct Remote {
    loss: f32,
    burst_ratio: f32,
    jitter_ms: f32,
    /// Its own buffer and codec, when it tells them.
    delay_ms: Option<f32>,
}

/// See the module.
#[derive(Debug)]
pub struct Quality {
    hears: Codec,
    sends: Codec,
    watch: Watch,
    remote: Option<Remote>,
    /// The last seconds, a ring once it is full.
    seconds: Vec<Second>,
    count: u32,
    mos_in: Mean,
    mos_out: Mean,
}

impl Quality {
    /// `hears`, `sends`: the codecs that were agreed on.
    pub fn new(hears: Codec, sends: Codec) -> Self {
        Self {
            hears,
            sends,
            watch: Watch::default(),
            remote: None,
            seconds: Vec::new(),
            count: 0,
            mos_in: Mean::default(),
            mos_out: Mean::default(),
        }
    }

    /// The session changed its codecs.
    pub fn set_codecs(&mut self, hears: Codec, sends: Codec) {
        (self.hears, self.sends) = (hears, sends);
    }

    /// A packet of the peer came.
    pub fn heard(&mut self, sequence: u16) {
        self.watch.note(sequence);
    }

    /// So many packets of the peer came, by which its numbers went on by `steps`.
    pub fn heard_many(&mut self, packets: u64, steps: u64) {
        self.watch.note_many(packets, steps);
    }

    /// What follows is of another source: its numbers say nothing of those before.
    pub fn source_changed(&mut self) {
        self.watch.forget();
    }

    /// The peer reported on our stream, whose clock is `rate_hz`.
    pub fn reported(&mut self, block: &Block, rate_hz: u32) {
        let told = self.remote;
        self.remote = Some(Remote {
            loss: f32::from(block.fraction_lost) / 256.0,
            jitter_ms: block.jitter as f32 * 1000.0 / rate_hz.max(1) as f32,
            burst_ratio: told.map_or(1.0, |remote| remote.burst_ratio),
            delay_ms: told.and_then(|remote| remote.delay_ms),
        });
    }

    /// The peer's own measurement of our stream.
    pub fn measured(&mut self, metrics: &VoipMetrics) {
        let remote = self.remote.get_or_insert(Remote {
            loss: 0.0,
            burst_ratio: 1.0,
            jitter_ms: 0.0,
            delay_ms: None,
        });
        remote.loss = (metrics.loss + metrics.discard).min(1.0);
        // A burst of `burst_ms` in which `burst_density` is lost: longer gaps than chance, by as much as it is denser.
        let overall = remote.loss.max(1.0 / 256.0);
        remote.burst_ratio = (metrics.burst_density / overall).clamp(1.0, 8.0);
        remote.delay_ms = (metrics.end_system_delay_ms > 0).then(|| f32::from(metrics.end_system_delay_ms));
    }

    /// A second is over.
    pub fn end_second(&mut self, known: &Known, now: Nanos) -> Second {
        let settled = self.watch.take();
        let way = known.round_trip_ms.map_or(0.0, |trip| trip as f32 / 2.0);
        let expected = settled.expected.max(1) as f32;
        let mos_in = (known.received > 0 || settled.lost > 0).then(|| {
            let conditions = Conditions {
                loss: ((settled.lost + known.late) as f32 / expected).min(1.0),
                burst_ratio: settled.burst_ratio(),
                delay_ms: way + known.packet_ms + known.buffer_ms + self.hears.delay_ms,
            };
            opinion(rating(&self.hears, &conditions))
        });
        let mos_out = (known.sent > 0).then(|| {
            let remote = self.remote;
            let buffer = remote.map_or(PEER_BUFFER_MS, |it| {
                it.delay_ms.unwrap_or((2.0 * it.jitter_ms).max(PEER_BUFFER_MS))
            });
            let conditions = Conditions {
                loss: remote.map_or(0.0, |remote| remote.loss),
                burst_ratio: remote.map_or(1.0, |remote| remote.burst_ratio),
                delay_ms: way + known.packet_ms + buffer + self.sends.delay_ms,
            };
            opinion(rating(&self.sends, &conditions))
        });
        self.mos_in.add(mos_in);
        self.mos_out.add(mos_out);
        let second = Second {
            number: self.count,
            ended_at: now,
            received: short(known.received),
            lost: short(settled.lost),
            late: short(known.late),
            jitter_ms: known.jitter_ms,
            round_trip_ms: known.round_trip_ms.map_or(-1.0, |trip| trip as f32),
            remote_loss: self.remote.map_or(-1.0, |remote| remote.loss),
            remote_jitter_ms: self.remote.map_or(-1.0, |remote| remote.jitter_ms),
            mos_in: mos_in.unwrap_or(-1.0),
            mos_out: mos_out.unwrap_or(-1.0),
        };
        let place = self.count as usize % KEPT;
        match self.seconds.get_mut(place) {
            Some(oldest) => *oldest = second,
            None => self.seconds.push(second),
        }
        self.count = self.count.wrapping_add(1);
        second
    }

    /// The seconds that are kept, from number `first` on, the oldest first.
    pub fn since(&self, first: u32) -> impl Iterator<Item = &Second> {
        let oldest = if self.seconds.len() < KEPT {
            0
        } else {
            self.count as usize % KEPT
        };
        let (newer, older) = self.seconds.split_at(oldest);
        older.iter().chain(newer).filter(move |second| second.number >= first)
    }

    pub fn summary(&self) -> Summary {
        Summary {
            seconds: self.count,
            mos_in: self.mos_in.mean(),
            mos_out: self.mos_out.mean(),
            worst_in: self.mos_in.least(),
            worst_out: self.mos_out.least(),
        }
    }
}

fn short(count: u32) -> u16 {
    count.min(u32::from(u16::MAX)) as u16
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SECOND;
    use crate::rtp::rtcp::LastReport;

    const GOOD: Known = Known {
        received: 50,
        sent: 50,
        late: 0,
        jitter_ms: 2.0,
        buffer_ms: 40.0,
        packet_ms: 20.0,
        round_trip_ms: Some(30.0),
    };

    struct Call {
        quality: Quality,
        sequence: u16,
        now: Nanos,
    }

    impl Call {
        fn new() -> Self {
            let codec = Codec::of("PCMU", 8000);
            Self {
                quality: Quality::new(codec, codec),
                sequence: 0,
                now: 0,
            }
        }

        /// A second of 50 packets, less those that are lost.
        fn second(&mut self, lost: impl Fn(u16) -> bool, known: Known) -> Second {
            for step in 0..50 {
                if !lost(step) {
                    self.quality.heard(self.sequence);
                }
                self.sequence = self.sequence.wrapping_add(1);
            }
            self.now += SECOND;
            self.quality.end_second(&known, self.now)
        }
    }

    fn block(fraction_lost: u8, jitter: u32) -> Block {
        Block {
            ssrc: 1,
            fraction_lost,
            cumulative_lost: 0,
            jitter,
            last: LastReport::default(),
        }
    }

    #[test]
    fn a_clean_call_is_as_good_as_its_codec() {
        let mut call = Call::new();
        for _ in 0..5 {
            let second = call.second(|_| false, GOOD);
            assert!(
                (second.mos_in - 4.41).abs() < 0.01 && (second.mos_out - 4.41).abs() < 0.01,
                "{second:?}"
            );
            assert_eq!((second.received, second.lost, second.remote_loss), (50, 0, -1.0));
        }
    }

    #[test]
    fn each_direction_has_its_own_losses() {
        let mut call = Call::new();
        call.second(|_| false, GOOD);
        call.second(|step| step % 10 == 3, GOOD);
        let inward = call.second(|_| false, GOOD);
        assert!(
            inward.lost >= 2 && inward.mos_in < 4.2 && inward.mos_out > 4.4,
            "{inward:?}"
        );
        call.quality.reported(&block(26, 80), 8000);
        call.second(|_| false, GOOD);
        let outward = call.second(|_| false, GOOD);
        assert!(
            outward.lost == 0 && outward.mos_in > 4.4 && outward.mos_out < 4.0,
            "{outward:?}"
        );
        assert_eq!((outward.remote_loss, outward.remote_jitter_ms), (26.0 / 256.0, 10.0));
    }

    #[test]
    fn packets_that_came_too_late_are_as_bad_as_lost_ones() {
        let mut call = Call::new();
        call.second(|_| false, GOOD);
        let second = call.second(|_| false, Known { late: 5, ..GOOD });
        assert!(
            (second.late, second.lost) == (5, 0) && second.mos_in < 4.0,
            "{second:?}"
        );
    }

    #[test]
    fn a_long_way_is_heard_both_ways() {
        let far = Known {
            round_trip_ms: Some(700.0),
            ..GOOD
        };
        let second = Call::new().second(|_| false, far);
        assert!(second.mos_in < 3.6 && second.mos_out < 3.6, "{second:?}");
    }

    #[test]
    fn silence_has_no_opinion() {
        let mut call = Call::new();
        call.second(|_| false, GOOD);
        let held = Known {
            received: 0,
            sent: 0,
            ..GOOD
        };
        let second = call.quality.end_second(&held, 9 * SECOND);
        assert_eq!((second.mos_in, second.mos_out), (-1.0, -1.0));
        let summary = call.quality.summary();
        assert!(
            summary.seconds == 2 && summary.mos_in > 4.4 && summary.worst_in > 4.4,
            "{summary:?}"
        );
        assert_eq!(Call::new().quality.summary().mos_in, -1.0);
    }

    #[test]
    fn what_the_peer_measured_is_believed() {
        let mut call = Call::new();
        call.quality.reported(&block(0, 0), 8000);
        let metrics = VoipMetrics {
            ssrc: 1,
            loss: 0.02,
            discard: 0.06,
            burst_density: 0.4,
            gap_density: 0.0,
            burst_ms: 200,
            gap_ms: 2000,
            round_trip_ms: 30,
            end_system_delay_ms: 300,
            rating: None,
            listening: None,
            conversation: None,
        };
        call.quality.measured(&metrics);
        let second = call.second(|_| false, GOOD);
        assert!(second.mos_out < 3.2 && second.mos_in > 4.4, "{second:?}");
    }

    #[test]
    fn the_last_seconds_are_kept_and_those_not_seen_are_told() {
        let mut call = Call::new();
        for _ in 0..KEPT + 10 {
            call.second(|_| false, GOOD);
        }
        let numbers: Vec<u32> = call.quality.since(0).map(|second| second.number).collect();
        assert_eq!(numbers, (10..KEPT as u32 + 10).collect::<Vec<_>>());
        assert_eq!(
            call.quality.since(70).map(|second| second.number).collect::<Vec<_>>(),
            [70, 71, 72, 73]
        );
        assert_eq!(call.quality.since(74).count(), 0);
        assert_eq!(call.quality.summary().seconds, KEPT as u32 + 10);
    }
}
