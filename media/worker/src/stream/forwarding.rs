//! One direction of a bridge in the kernel: whether it may be there, by which rule, and what it did meanwhile.
//!
//! User space is the reference. What the kernel does for a while is what `MediaThread::relay` would have done: other header, same
//! payload. So a direction may be there only while nothing else is to happen to its packets (`Stream::rule`), and all
//! that a packet would have left behind in the two streams is made up for from the counters of the flow (`account`).

use std::net::{SocketAddr, SocketAddrV4, UdpSocket};
use std::sync::Arc;

use super::Stream;
use crate::clock::{Nanos, MILLISECOND, SECOND};
use crate::codec::audio::Coding;
use crate::forward::{Counters, Flow, Forwarder, Rule};
use crate::net::MAX_DATAGRAM;
use crate::rtp::flood::Limit;
use crate::rtp::sending::Feed;
use crate::rtp::{Packet, HEADER};
use crate::session::{Lane, Passage};
use crate::slab::Handle;

/// So long nothing but plain audio must have come, and nothing been asked for.
const PLAIN: Nanos = 2 * SECOND;
/// What the kernel does not take although it could is offered it less and less often.
const PLAIN_MOST: Nanos = 64 * SECOND;
/// How often it is asked whether a direction that must stay may go.
const RETRY: Nanos = SECOND;
/// The shortest packets that anyone sends.
const SHORTEST: Nanos = 5 * MILLISECOND;

/// What a stream knows of the way of its peer's packets to the other side.
#[derive(Debug)]
pub struct Forwarding {
    /// SSRC and payload type of the newest packet.
    usual: (u32, u8),
    plain_since: Nanos,
    wait: Nanos,
    retry_at: Nanos,
    down: Option<Box<Down>>,
    /// Why it stays in user space, as it was logged last.
    reason: Option<String>,
}

impl Default for Forwarding {
    fn default() -> Self {
        Self {
            usual: (0, 0),
            plain_since: 0,
            wait: PLAIN,
            retry_at: 0,
            down: None,
            reason: None,
        }
    }
}

/// A flow in the kernel. It does not outlive this: whatever becomes of the stream, nobody goes on for it.
#[derive(Debug)]
struct Down {
    forwarder: Arc<Forwarder>,
    flow: Flow,
    /// What is accounted for.
    seen: Counters,
    seen_at: Nanos,
    clock_rate_hz: u32,
}

impl Drop for Down {
    fn drop(&mut self) {
        self.forwarder.take(self.flow);
    }
}

/// Why a direction comes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Back {
    /// A packet that the kernel left to us.
    Packet,
    /// Something is about to happen to the streams.
    Change,
}

impl Forwarding {
    /// Whether the peer's packets are forwarded in the kernel.
    pub fn is_down(&self) -> bool {
        self.down.is_some()
    }

    /// A packet of the peer came up here: true when the kernel was to take such.
    pub fn notice(&mut self, packet: &Packet, now: Nanos) -> bool {
        let usual = (packet.ssrc, packet.payload_type);
        if usual != self.usual {
            self.usual = usual;
            self.plain_since = now;
        }
        self.down.is_some()
    }

    /// Something happens to the stream: it stays for a while.
    pub fn stay(&mut self, now: Nanos) {
        self.plain_since = now;
    }

    /// Whether it is time to ask for a rule.
    pub fn may_go(&self, now: Nanos) -> bool {
        self.down.is_none() && now >= self.retry_at && now >= self.plain_since + self.wait
    }

    /// Leave it to the kernel.
    pub fn go(&mut self, forwarder: &Arc<Forwarder>, flow: Flow, rule: &Rule, now: Nanos) {
        self.reason = None;
        self.down = Some(Box::new(Down {
            forwarder: forwarder.clone(),
            flow,
            seen: Counters {
                highest_sequence: rule.highest_sequence,
                ..Counters::default()
            },
            seen_at: now,
            clock_rate_hz: rule.clock_rate_hz,
        }));
    }

    /// It stays in user space; true when this is news.
    pub fn refuse(&mut self, reason: &str, now: Nanos) -> bool {
        self.retry_at = now + RETRY;
        let news = self.reason.as_deref() != Some(reason);
        if news {
            self.reason = Some(reason.to_owned());
        }
        news
    }

    /// It came back.
    fn settle(&mut self, why: Back, carried: u64, now: Nanos) {
        self.plain_since = now;
        if carried > 0 {
            self.wait = PLAIN;
        } else if why == Back::Packet {
            self.wait = (2 * self.wait).min(PLAIN_MOST);
        }
    }
}

impl Stream {
    /// The rule by which the kernel may forward what the peer of this stream, which is `handle`, says to the peer of `to`; or
    /// why it may not.
    pub fn rule(&self, handle: Handle, to: &Stream, limit: Limit, now: Nanos) -> Result<Rule, &'static str> {
        let packets_per_second = limit.packets_per_second();
        if packets_per_second == 0 {
            return Err("no limit of packets");
        }
        self.stays_plain(to)?;
        let (ssrc, payload_type) = self.inbound.forwarding.usual;
        let lane = self.inbound.plan.lane(payload_type).ok_or("no packets yet")?;
        // What is ready to make audio of another format anew does nothing while this one passes.
        if lane.passage != Passage::Pass || self.inbound.listens {
            return Err("the audio is made anew");
        }
        if !lane.kind.is_audio() {
            return Err("no audio at the moment");
        }
        let settled = |stream: &Stream| stream.inbound.latch.as_ref().is_some_and(|latch| latch.is_settled(now));
        if !settled(self) || !settled(to) {
            return Err("who the peer is may still change");
        }
        let feed = Feed::Bridged {
            stream: handle.index,
            ssrc,
        };
        let passing = to.outbound.sending.passing(feed).ok_or("the numbers begin anew")?;
        if self.inbound.reception.newest() != Some((ssrc, passing.sequence)) {
            return Err("packets are out of order");
        }
        let (local, peer) = self.ends().ok_or("no IPv4, or no route")?;
        let (out_local, out_peer) = to.ends().ok_or("no IPv4, or no route")?;
        Ok(Rule {
            peer,
            local,
            out_local,
            out_peer,
            ssrc_in: ssrc,
            ssrc_out: to.outbound.sending.ssrc,
            payload_type_in: payload_type,
            payload_type_out: lane.payload_type,
            sequence_offset: passing.sequence_offset,
            timestamp_offset: passing.timestamp_offset,
            clock_rate_hz: lane.clock_rate_hz,
            highest_sequence: passing.sequence,
            timestamp: passing.timestamp,
            jitter: (self.inbound.reception.jitter(lane.clock_rate_hz) * 16.0) as u32,
            packets_per_second,
            max_octets: most_octets(lane).ok_or("how long packets are cannot be told")?,
            dscp: to.sockets.dscp,
        })
    }

    /// Whether nothing was agreed or asked for by which more would become of a packet than another header.
    fn stays_plain(&self, to: &Stream) -> Result<(), &'static str> {
        let session = self.session.as_ref().ok_or("nothing agreed")?;
        if !session.hears || !to.may_send() {
            return Err("on hold");
        }
        if self.channel.is_some() || to.channel.is_some() {
            return Err("encrypted");
        }
        if self.route.muted || to.route.deaf {
            return Err("muted");
        }
        if self.inbound.presses.listens_for_tones() {
            return Err("digits are listened for in the audio");
        }
        if !self.inbound.taps.is_empty() || !to.outbound.taps.is_empty() {
            return Err("recorded");
        }
        if to.outbound.play.is_some() {
            return Err("a play");
        }
        if to.outbound.digits.busy || !to.outbound.digits.sender.is_idle() {
            return Err("digits are sent");
        }
        Ok(())
    }

    /// Both ends of the connected socket.
    fn ends(&self) -> Option<(SocketAddrV4, SocketAddrV4)> {
        let v4 = |address: SocketAddr| match address {
            SocketAddr::V4(address) => Some(address),
            SocketAddr::V6(_) => None,
        };
        let socket: &UdpSocket = self.sockets.peer.as_ref()?;
        Some((v4(socket.local_addr().ok()?)?, v4(socket.peer_addr().ok()?)?))
    }

    /// Whether something is about to be told, or decided, for which the counts must be right.
    pub fn needs_account(&self, now: Nanos) -> bool {
        let silent = |limit| now.saturating_sub(self.inbound.heard_at) >= limit && !self.inbound.timeout_told;
        self.reports.will_report(now)
            || self.gauge.as_ref().is_some_and(|gauge| gauge.is_due(now))
            || self
                .session
                .as_ref()
                .is_some_and(|session| session.media_timeout.is_some_and(silent))
    }

    /// Make up for what the kernel did with the peer's packets until now. False when the flow is gone.
    pub fn account(&mut self, to: &mut Stream, now: Nanos) -> bool {
        let Some(down) = self.inbound.forwarding.down.as_ref() else {
            return true;
        };
        match down.forwarder.read(down.flow) {
            Some(counters) => {
                self.make_up(to, counters, now);
                true
            }
            None => {
                self.take_back(to, Back::Change, now);
                false
            }
        }
    }

    /// Take the peer's packets back from the kernel. True when they were there.
    pub fn take_back(&mut self, to: &mut Stream, why: Back, now: Nanos) -> bool {
        self.inbound.forwarding.stay(now);
        let Some(down) = self.inbound.forwarding.down.as_ref() else {
            return false;
        };
        let counters = down.forwarder.take(down.flow);
        let (before, since) = (down.seen.packets, now.saturating_sub(down.seen_at));
        match counters {
            Some(counters) => self.make_up(to, counters, now),
            // Nobody tells what it did since it was asked last.
            None => to
                .outbound
                .sending
                .lose_track((since / SHORTEST + 1).min(20_000) as u16),
        }
        self.inbound.forwarding.down = None;
        self.inbound
            .forwarding
            .settle(why, counters.map_or(before, |counters| counters.packets), now);
        true
    }

    /// What each packet leaves behind in `hear`, `Sending::relay` and `transmit`, for those since it was done last.
    fn make_up(&mut self, to: &mut Stream, counters: Counters, now: Nanos) {
        let Some(down) = self.inbound.forwarding.down.as_mut() else {
            return;
        };
        let seen = std::mem::replace(&mut down.seen, counters);
        down.seen_at = now;
        let rate_hz = down.clock_rate_hz;
        self.counts.flooded += counters.flooded.saturating_sub(seen.flooded);
        let packets = counters.packets.saturating_sub(seen.packets);
        if packets == 0 {
            return;
        }
        let octets = counters.octets.saturating_sub(seen.octets);
        let with_headers = octets + packets * HEADER as u64;
        // Fewer than packets when some were late or came twice.
        let steps = extended(&counters).saturating_sub(extended(&seen));
        self.counts.packets_in += packets;
        self.counts.octets_in += with_headers;
        to.counts.packets_out += packets;
        to.counts.octets_out += with_headers;
        self.inbound.heard_at = self.inbound.heard_at.max(counters.last_at);
        self.inbound.timeout_told = false;
        let jitter = counters.jitter as f32 / 16.0;
        self.inbound
            .reception
            .passed(packets, steps, counters.timestamp, counters.last_at, jitter, rate_hz);
        if let Some(gauge) = self.gauge.as_mut() {
            gauge.heard_many(packets, steps);
        }
        let newest = (counters.highest_sequence, counters.timestamp);
        let newest = (steps > 0).then_some((newest, counters.last_at));
        to.outbound.sending.passed(packets, octets, newest);
    }
}

fn extended(counters: &Counters) -> u64 {
    u64::from(counters.cycles) << 16 | u64::from(counters.highest_sequence)
}

/// The longest payload that is passed on as it is; None when its length does not tell how long it sounds.
fn most_octets(lane: &Lane) -> Option<u16> {
    // What fills the buffer of user space may be cut off.
    let whole = (MAX_DATAGRAM - HEADER - 1) as u32;
    let most = match (lane.most_units, lane.coding) {
        (u32::MAX, _) | (_, None) => whole,
        (units, Some(Coding::G711(_) | Coding::G722)) => units,
        (units, Some(Coding::L16 { channels, .. })) => units.saturating_mul(2 * u32::from(channels)),
        (_, Some(Coding::Opus(_))) => return None,
    };
    u16::try_from(most.min(whole)).ok()
}
