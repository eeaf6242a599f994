//! One RTP/RTCP socket pair and all that is known of its peer.
//!
//! Three sockets: `any` owns the RTP port and hears everyone; `peer` shares the port and is connected to whom we talk to,
//! so that the kernel tells the peer's packets from strangers' and sending needs no route lookup; `rtcp` is the port
//! above. A stream belongs to one thread at a time and moves as a whole.

pub mod digits;
pub mod forwarding;
mod inbound;
pub mod outbound;
pub mod route;
mod rtcp;
mod security;
mod sockets;
mod statistics;

use std::net::SocketAddr;

use crate::clock::{Clock, Nanos, MILLISECOND};
use crate::dtmf::events::EventAt;
use crate::net::{Net, MAX_DATAGRAM};
use crate::outbox::Outbox;
use crate::protocol::{Event, Name};
use crate::random::Random;
use crate::rtp::event::Body;
use crate::rtp::flood::Limit;
use crate::rtp::latch::{Latch, Sign, Verdict};
use crate::rtp::reports::Reports;
use crate::rtp::sending::Sending;
use crate::rtp::Packet;
use crate::session::{Lane, Session};
use crate::slab::Handle;
use crate::srtp::{Channel, MAX_TRAILER};
use crate::sys;
use inbound::Inbound;
use outbound::Outbound;
use route::Route;
pub use sockets::Sockets;
use statistics::Gauge;

/// One turn of a thread's loop, as its streams see it.
#[derive(Debug)]
pub struct Turn {
    pub now: Nanos,
    pub clock: Clock,
    /// Our CNAME in reports.
    pub cname: String,
    pub outbox: Outbox,
    /// What a stream takes of its peer.
    pub limit: Limit,
}

/// Room for a datagram, with what protecting it may add.
pub const ROOM: usize = MAX_DATAGRAM + MAX_TRAILER;

/// A packet of our own in the making, and the way it goes.
#[derive(Debug)]
pub struct Wire {
    pub net: Net,
    /// Room for a header, a payload, and what encryption puts behind them.
    pub packet: Box<[u8; ROOM]>,
}

/// Packet counts since the stream was opened.
#[derive(Debug, Clone, Copy, Default)]
pub struct Counts {
    pub packets_in: u64,
    pub octets_in: u64,
    pub packets_out: u64,
    pub octets_out: u64,
    pub strangers: u64,
    pub malformed: u64,
    pub unauthentic: u64,
    pub flooded: u64,
}

/// Where a direction of a stream is recorded.
#[derive(Debug, Clone, Copy)]
pub struct Tap {
    pub recording: Handle,
    pub track: usize,
}

/// See the module.
#[derive(Debug)]
pub struct Stream {
    pub name: Name,
    pub sockets: Sockets,
    pub session: Option<Session>,
    /// What the peer sends, what it is sent, and who is on the other side.
    pub inbound: Inbound,
    pub outbound: Outbound,
    pub route: Route,
    pub counts: Counts,
    reports: Reports,
    /// Encryption, when it was agreed.
    channel: Option<Box<Channel>>,
    /// The quality of its seconds, from the first session on.
    gauge: Option<Box<Gauge>>,
}

impl Stream {
    /// A stream without a peer.
    pub fn new(name: Name, sockets: Sockets, now: Nanos) -> Self {
        let numbers: [u8; 12] = sys::entropy();
        let word = |at: usize| u32::from_be_bytes([numbers[at], numbers[at + 1], numbers[at + 2], numbers[at + 3]]);
        let mut random = Random::new(u64::from(word(8)));
        Self {
            name,
            sockets,
            session: None,
            inbound: Inbound::new(now),
            outbound: Outbound::new(Sending::new(word(0), word(8) as u16, word(4))),
            route: Route::default(),
            counts: Counts::default(),
            reports: Reports::new(now, &mut random),
            channel: None,
            gauge: None,
        }
    }

    /// A packet is going to look at what this stream points to: have it brought near.
    pub fn prefetch_parts(&self) {
        self.inbound.plan.prefetch();
        if let Some(gauge) = self.gauge.as_deref() {
            sys::prefetch(gauge);
        }
    }

    /// Take a new session. True when `peer` is another socket now, which wants to be watched.
    pub fn connect(&mut self, session: Session, now: Nanos, net: &mut Net) -> bool {
        // First: it asks when the peer was heard last.
        self.inbound.renew_latch(&session, now);
        // Silence counts from when there was somebody to be heard.
        let awaits = |session: &Session| session.hears && session.media_timeout.is_some();
        if awaits(&session) && !self.session.as_ref().is_some_and(awaits) {
            self.inbound.end_silence(now);
        }
        let aim = self.remote();
        let moved = aim != self.sockets.peer_address();
        let listened_to = session.inband_digits.then_some(&session.formats[..]);
        self.inbound.presses.listen(listened_to, now);
        self.secure(session.srtp.as_ref(), now);
        self.session = Some(session);
        self.measure(now);
        if moved {
            self.reports.from = None;
            self.sockets.turn_to(aim, net);
        }
        moved
    }

    /// The peer's address as far as it is known.
    pub fn remote(&self) -> Option<SocketAddr> {
        self.inbound.latch.as_ref().map(Latch::peer)
    }

    /// Whether audio may go to the peer by what was agreed.
    pub fn may_send(&self) -> bool {
        self.session
            .as_ref()
            .is_some_and(|session| session.sends && session.remote.is_some())
    }

    /// Whether bridged audio goes to the peer at this moment.
    pub fn takes_bridged_audio(&self) -> bool {
        self.may_send() && !self.outbound.is_playing() && !self.outbound.digits.busy
    }

    /// Decide whose a datagram is. `packet`: what it is as RTP, with a payload type that was agreed. `Moved`: the `peer` socket was
    /// replaced, and wants to be watched.
    pub fn admit(&mut self, from: SocketAddr, packet: Option<&Packet>, net: &mut Net, turn: &Turn) -> Verdict {
        let sign = packet.map(|packet| Sign {
            ssrc: packet.ssrc,
            sequence: packet.sequence,
            authentic: self.channel.is_some(),
        });
        let Some(latch) = self.inbound.latch.as_mut() else {
            return Verdict::Stranger; // nothing was agreed yet: early packets of either kind are dropped, and not counted
        };
        let verdict = latch.judge(from, sign, turn.now);
        match verdict {
            Verdict::Peer => {}
            Verdict::Moved => {
                self.sockets.turn_to(Some(from), net);
                // Where reports came from before says nothing of the peer that it is now, not even when the host is the same: a NAT
                // that gave its RTP another port gave its RTCP one too. And who was taken for the peer is told if it goes on.
                self.reports.from = None;
                self.inbound.stranger_told = false;
                turn.outbox.tell(Event::Latched {
                    stream: self.name.to_string(),
                    address: from.ip().to_string(),
                    port: from.port(),
                });
            }
            Verdict::Stranger => self.note_stranger(from, &turn.outbox),
        }
        verdict
    }

    fn note_stranger(&mut self, from: SocketAddr, outbox: &Outbox) {
        self.counts.strangers += 1;
        if !self.inbound.stranger_told {
            self.inbound.stranger_told = true;
            outbox.tell(Event::Stranger {
                stream: self.name.to_string(),
                address: from.ip().to_string(),
                port: from.port(),
            });
        }
    }

    /// Take note of a packet of the peer. True when its audio may be used.
    #[inline]
    pub fn hear(&mut self, packet: &Packet, lane: &Lane, datagram: &[u8], turn: &Turn) -> bool {
        self.counts.packets_in += 1;
        self.counts.octets_in += datagram.len() as u64;
        self.inbound.end_silence(turn.now);
        self.inbound.reception.note(packet, turn.now, lane.clock_rate_hz);
        if let Some(gauge) = self.gauge.as_mut() {
            let audio = lane.kind.is_audio().then_some(packet.payload_type);
            gauge.heard(packet.ssrc, packet.sequence, audio);
        }
        if lane.kind == crate::codec::Kind::TelephoneEvent {
            if let Some(body) = Body::parse(&datagram[packet.payload.clone()]) {
                let at = EventAt {
                    ssrc: packet.ssrc,
                    sequence: packet.sequence,
                    timestamp: packet.timestamp,
                    rate_hz: lane.clock_rate_hz,
                    now: turn.now,
                };
                self.inbound.presses.hear_event(body, at);
            }
        } else if self.inbound.presses.listens_for_tones() {
            self.inbound
                .presses
                .hear_audio(packet, &datagram[packet.payload.clone()], turn.now);
        }
        self.session.as_ref().is_some_and(|session| session.hears)
    }

    /// Send the first `length` octets of `datagram` to the peer. Behind them are at least `srtp::MAX_TRAILER` octets of room.
    pub fn transmit(&mut self, datagram: &mut [u8], length: usize, net: &mut Net) {
        let send = |stream: &Self, sealed: &[u8]| stream.sockets.send(sealed, stream.remote(), net);
        if self.seal(datagram, length, send) {
            self.counts.packets_out += 1;
            self.counts.octets_out += length as u64;
        }
    }

    /// The work of every tenth of a second: presses whose end was lost, silence, reports.
    pub fn housekeeping(&mut self, random: &mut Random, turn: &Turn) {
        self.inbound.presses.expire(turn.now);
        if self.end_seconds(turn.now) {
            turn.outbox.tell(self.statistics());
        }
        let Some(session) = self.session.as_ref() else {
            return;
        };
        let silent = turn.now.saturating_sub(self.inbound.heard_at);
        if let Some(limit) = session.media_timeout {
            if session.hears && session.remote.is_some() && silent >= limit && !self.inbound.timeout_told {
                self.inbound.timeout_told = true;
                turn.outbox.tell(Event::MediaTimeout {
                    stream: self.name.to_string(),
                    silent_ms: silent / MILLISECOND,
                });
            }
        }
        if self.reports.is_due(turn.now, random) {
            self.report(false, turn);
        }
    }
}
