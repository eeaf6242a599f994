//! What the controller is told of a stream: counters, the quality of each second, what plays.

use super::Stream;
use crate::clock::{Nanos, MILLISECOND, SECOND};
use crate::protocol::{self, Counters, Event};
use crate::quality::emodel::Codec;
use crate::quality::xr::{read_voip_metrics, VoipMetrics};
use crate::quality::{Known, Quality};
use crate::rtp::rtcp::Block;
use crate::session::Session;

/// What the jitter buffer of the phone holds to which we relay; a guess.
const BUFFER_MS: f32 = 40.0;

/// The seconds of one stream, from its first session on.
#[derive(Debug)]
pub struct Gauge {
    quality: Quality,
    second_ends: Nanos,
    /// Totals at the end of the last second.
    received: u64,
    sent: u64,
    late: u64,
    ssrc: Option<u32>,
    /// The payload types by which the codecs were chosen last: heard, sent.
    codecs: (u8, u8),
    /// The payload type of the newest audio.
    heard: u8,
    /// Seconds below this number were told.
    told: u32,
    tell_at: Nanos,
}

impl Gauge {
    fn new(session: &Session, now: Nanos) -> Self {
        let own = session.own().map_or(0, |format| format.payload_type);
        let codec = codec(session, own);
        Self {
            quality: Quality::new(codec, codec),
            second_ends: now + SECOND,
            received: 0,
            sent: 0,
            late: 0,
            ssrc: None,
            codecs: (own, own),
            heard: own,
            told: 0,
            tell_at: now,
        }
    }

    /// A packet of the peer came. `audio`: its payload is audio.
    pub fn heard(&mut self, ssrc: u32, sequence: u16, audio: Option<u8>) {
        if self.ssrc.replace(ssrc) != Some(ssrc) {
            self.quality.source_changed();
        }
        self.quality.heard(sequence);
        self.heard = audio.unwrap_or(self.heard);
    }

    /// So many packets of the same source and codec came, by which its numbers went on by `steps`.
    pub fn heard_many(&mut self, packets: u64, steps: u64) {
        self.quality.heard_many(packets, steps);
    }

    /// Whether a second is over.
    pub fn is_due(&self, now: Nanos) -> bool {
        now >= self.second_ends
    }

    /// The peer reported on our stream, whose clock is `rate_hz`.
    pub fn reported(&mut self, block: &Block, rate_hz: u32) {
        self.quality.reported(block, rate_hz);
    }

    /// The peer measured what it hears of us.
    pub fn measured(&mut self, metrics: &VoipMetrics) {
        self.quality.measured(metrics);
    }

    fn summary(&self) -> protocol::Quality {
        let summary = self.quality.summary();
        protocol::Quality {
            seconds: summary.seconds,
            mos_in: rounded(summary.mos_in),
            mos_out: rounded(summary.mos_out),
            worst_in: rounded(summary.worst_in),
            worst_out: rounded(summary.worst_out),
        }
    }

    /// The seconds that were not told yet.
    fn untold(&mut self) -> Vec<protocol::Second> {
        let first = std::mem::replace(&mut self.told, self.quality.summary().seconds);
        self.quality
            .since(first)
            .map(|second| protocol::Second {
                number: second.number,
                received: second.received.into(),
                lost: second.lost.into(),
                late: second.late.into(),
                jitter_ms: rounded(second.jitter_ms),
                round_trip_ms: rounded(second.round_trip_ms),
                remote_loss: rounded(second.remote_loss),
                remote_jitter_ms: rounded(second.remote_jitter_ms),
                mos_in: rounded(second.mos_in),
                mos_out: rounded(second.mos_out),
            })
            .collect()
    }
}

/// Thousandths are more than these figures are worth.
fn rounded(figure: f32) -> f64 {
    (f64::from(figure) * 1000.0).round() / 1000.0
}

fn codec(session: &Session, payload_type: u8) -> Codec {
    let format = session
        .formats
        .iter()
        .find(|format| format.payload_type == payload_type);
    format.map_or(Codec::of("", 8000), |format| {
        Codec::of(&format.name, format.clock_rate_hz)
    })
}

impl Stream {
    /// Begin to measure, or take note of what was agreed anew.
    pub(super) fn measure(&mut self, now: Nanos) {
        let Some(session) = self.session.as_ref() else {
            return;
        };
        let gauge = self.gauge.get_or_insert_with(|| Box::new(Gauge::new(session, now)));
        // Numbers may stand for other codecs now.
        let own = session.own().map_or(0, |format| format.payload_type);
        (gauge.heard, gauge.codecs) = (own, (own, own));
        gauge.quality.set_codecs(codec(session, own), codec(session, own));
        gauge.tell_at = now + session.stats_interval.unwrap_or(0);
    }

    /// What the jitter buffer counts: packets that came after their time, and how long it holds one.
    fn buffer(&self) -> (u64, f32) {
        self.inbound.hearing.as_ref().map_or((0, BUFFER_MS), |hearing| {
            let held_ms = hearing.target() as f32 / MILLISECOND as f32;
            (
                hearing.counts().late,
                if self.inbound.listens { held_ms } else { BUFFER_MS },
            )
        })
    }

    /// End the seconds that are over. True when statistics are due without being asked for.
    pub(super) fn end_seconds(&mut self, now: Nanos) -> bool {
        let (late_total, buffer_ms) = self.buffer();
        let jitter_ms = self.inbound.reception.jitter_ms() as f32;
        let (Some(gauge), Some(session)) = (self.gauge.as_mut(), self.session.as_ref()) else {
            return false;
        };
        if now < gauge.second_ends {
            return false;
        }
        // After a stall of ours one second stands for all that passed.
        while gauge.second_ends <= now {
            gauge.second_ends += SECOND;
        }
        let own = session.own().map_or(0, |format| format.payload_type);
        if gauge.codecs != (gauge.heard, own) {
            gauge.codecs = (gauge.heard, own);
            gauge
                .quality
                .set_codecs(codec(session, gauge.heard), codec(session, own));
        }
        let counts = &self.counts;
        // A buffer that was made anew counts from zero again.
        let late = late_total.checked_sub(gauge.late).unwrap_or(late_total);
        let known = Known {
            received: (counts.packets_in - gauge.received) as u32,
            sent: (counts.packets_out - gauge.sent) as u32,
            late: late as u32,
            jitter_ms,
            buffer_ms,
            packet_ms: session.ptime_ms as f32,
            round_trip_ms: self.reports.round_trip_ms,
        };
        (gauge.received, gauge.sent, gauge.late) = (counts.packets_in, counts.packets_out, late_total);
        gauge.quality.end_second(&known, now);
        let due = session.stats_interval.filter(|_| now >= gauge.tell_at);
        // A little early counts, so that one a second stays one a second.
        gauge.tell_at = due.map_or(gauge.tell_at, |interval| gauge.tell_at.max(now - SECOND / 2) + interval);
        due.is_some()
    }

    /// What the peer measured by itself, in a report that was found to be its own.
    pub(super) fn read_measurements(&mut self, datagram: &[u8]) {
        let ssrc = self.outbound.sending.ssrc;
        if let Some(gauge) = self.gauge.as_mut() {
            read_voip_metrics(datagram, |metrics| {
                if metrics.ssrc == ssrc {
                    gauge.measured(&metrics);
                }
            });
        }
    }

    pub fn quality(&self) -> protocol::Quality {
        self.gauge.as_ref().map(|gauge| gauge.summary()).unwrap_or_default()
    }

    /// The whole account, with the seconds that were not told yet.
    pub fn statistics(&mut self) -> Event {
        let (play, position_ms) = self
            .outbound
            .play
            .as_ref()
            .map_or((String::new(), 0), |play| (play.name.to_string(), play.position_ms()));
        Event::StreamStats {
            stream: self.name.to_string(),
            counters: self.counters(),
            quality: self.quality(),
            seconds: self.gauge.as_mut().map(|gauge| gauge.untold()).unwrap_or_default(),
            play,
            position_ms,
            forwarded: self.inbound.forwarding.is_down(),
        }
    }

    /// The counters as the controller sees them.
    pub fn counters(&self) -> Counters {
        let counts = &self.counts;
        Counters {
            packets_in: counts.packets_in,
            bytes_in: counts.octets_in,
            packets_out: counts.packets_out,
            bytes_out: counts.octets_out,
            lost_in: self.inbound.reception.lost(),
            strangers: counts.strangers,
            malformed: counts.malformed,
            unauthentic: counts.unauthentic,
            flooded: counts.flooded,
            jitter_ms: self.inbound.reception.jitter_ms(),
            round_trip_ms: self.reports.round_trip_ms.unwrap_or(-1.0),
            remote_lost: self.reports.remote_lost.map_or(-1, |lost| i64::from(lost.max(0))),
        }
    }
}
