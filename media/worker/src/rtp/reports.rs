//! The RTCP side of one stream: what we report, and what the peer's reports told us.

use std::net::SocketAddr;

use crate::clock::{ntp_span, Clock, Nanos, SECOND};
use crate::random::Random;
use crate::rtp::reception::{Reception, Report};
use crate::rtp::rtcp::{self, Block, Item, LastReport, SenderInfo};
use crate::rtp::sending::Sending;

/// The mean time between reports (RFC 3550 6.2: at least 5 s; each is spread by half of it either way).
const INTERVAL: Nanos = 5 * SECOND;

/// See the module.
#[derive(Debug)]
pub struct Reports {
    /// Where the peer's reports come from, once one came.
    pub from: Option<SocketAddr>,
    pub round_trip_ms: Option<f64>,
    pub remote_lost: Option<i32>,
    /// Of a hundred packets that we sent lately, how many the peer missed.
    pub remote_loss_percent: u8,
    next_at: Nanos,
    heard: Option<(u32, Nanos)>,
    packets_at_report: u32,
}

impl Reports {
    /// The first report is due half an interval after the start (RFC 3550 6.2).
    pub fn new(now: Nanos, random: &mut Random) -> Self {
        Self {
            from: None,
            round_trip_ms: None,
            remote_lost: None,
            remote_loss_percent: 0,
            next_at: now + spread(INTERVAL / 2, random),
            heard: None,
            packets_at_report: 0,
        }
    }

    /// Take in a datagram that came from the peer; `tell` is given what it says of us. False when it is no RTCP.
    pub fn hear(
        &mut self,
        datagram: &[u8],
        own_ssrc: u32,
        now: Nanos,
        clock: &Clock,
        mut tell: impl FnMut(&Block),
    ) -> bool {
        let now_middle = (clock.ntp(now) >> 16) as u32;
        rtcp::parse(datagram, |item| match item {
            Item::SenderReport { middle, .. } => self.heard = Some((middle, now)),
            Item::Block(block) if block.ssrc == own_ssrc => {
                self.remote_lost = Some(block.cumulative_lost);
                self.remote_loss_percent = (u32::from(block.fraction_lost) * 100).div_ceil(256) as u8;
                self.round_trip_ms = rtcp::round_trip_ms(&block, now_middle).or(self.round_trip_ms);
                tell(&block);
            }
            // A goodbye changes nothing: how the call goes on is for signalling to say.
            Item::Block(_) | Item::Goodbye { .. } => {}
        })
    }

    /// Whether the next report is due, without planning another.
    pub fn will_report(&self, now: Nanos) -> bool {
        now >= self.next_at
    }

    /// Whether a report is due; if so the next one is planned.
    pub fn is_due(&mut self, now: Nanos, random: &mut Random) -> bool {
        let due = now >= self.next_at;
        if due {
            self.next_at = now + spread(INTERVAL, random);
        }
        due
    }

    /// What our report says. None when there is nothing to say yet.
    pub fn facts(
        &mut self,
        sending: &Sending,
        reception: &mut Reception,
        rate_hz: u32,
        now: Nanos,
        clock: &Clock,
    ) -> Option<Facts> {
        let sender = (sending.packets != self.packets_at_report).then(|| SenderInfo {
            ntp: clock.ntp(now),
            timestamp: sending.timestamp_at(now, rate_hz),
            packets: sending.packets,
            octets: sending.octets,
        });
        let last = self.heard.map_or(LastReport::default(), |(middle, at)| LastReport {
            middle,
            delay: (ntp_span(now.saturating_sub(at)) >> 16) as u32,
        });
        let report = reception.report().map(|report| (report, last));
        if sender.is_none() && report.is_none() && !sending.has_begun() {
            return None;
        }
        self.packets_at_report = sending.packets;
        Some(Facts { sender, report })
    }
}

/// The changing parts of a report.
#[derive(Debug)]
pub struct Facts {
    pub sender: Option<SenderInfo>,
    pub report: Option<(Report, LastReport)>,
}

fn spread(mean: Nanos, random: &mut Random) -> Nanos {
    mean / 2 + random.below(mean)
}
