//! One RTP/RTCP socket pair and all that is known of its peer.
//!
//! Three sockets: `any` owns the RTP port and hears everyone; `peer` shares the port and is connected to whom we talk to,
//! so that the kernel tells the peer's packets from strangers' and sending needs no route lookup; `rtcp` is the port
//! above. A stream belongs to one thread at a time and moves as a whole.

pub mod forwarding;
mod security;
mod statistics;

use std::io;
use std::net::{SocketAddr, UdpSocket};

use crate::audio::hearing::Hearing;
use crate::audio::speaking::Speaking;
use crate::clock::{Clock, Nanos, MILLISECOND};
use crate::dtmf::events::EventAt;
use crate::dtmf::presses::Presses;
use crate::dtmf::sender::Sender;
use crate::net::{Net, MAX_DATAGRAM};
use crate::outbox::Outbox;
use crate::playback::Play;
use crate::protocol::{Event, Name};
use crate::random::Random;
use crate::rtp::event::Body;
use crate::rtp::flood::{Allowance, Limit};
use crate::rtp::latch::{Latch, Verdict};
use crate::rtp::reception::Reception;
use crate::rtp::reports::Reports;
use crate::rtp::rtcp::{self, Block, Compound, MAX_BUILT};
use crate::rtp::sending::Sending;
use crate::rtp::{self, Packet};
use crate::session::{Lane, Passage, Plan, Session};
use crate::slab::Handle;
use crate::srtp::{Channel, MAX_TRAILER};
use crate::sys;
use forwarding::Forwarding;
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
    pub any: UdpSocket,
    pub rtcp: UdpSocket,
    pub peer: Option<UdpSocket>,
    pub session: Option<Session>,
    pub plan: Plan,
    /// The stream on the other side of the bridge, and the bridge.
    pub mate: Option<Handle>,
    pub bridge: Option<Handle>,
    /// The mix that it takes part in.
    pub mix: Option<Handle>,
    /// The others do not hear the peer; the peer does not hear the others.
    pub muted: bool,
    pub deaf: bool,
    /// What the peer says as samples, for transcoding and mixing; the encoder of what we make ourselves.
    pub hearing: Option<Box<Hearing>>,
    pub speaking: Option<Box<Speaking>>,
    /// The newest audio of the peer went into `hearing`, and was not passed on as it is.
    pub listens: bool,
    /// The peer's packets are longer than the other side takes.
    pub cut: bool,
    /// The peer is sent audio that we make of what others say, and how long those have been silent.
    pub spoken_to: bool,
    pub quiet_ms: u32,
    pub sending: Sending,
    pub counts: Counts,
    pub play: Option<Box<Play>>,
    /// How many plays there were.
    pub plays: u32,
    pub digits_out: Sender,
    /// A digit is being sent, so audio is not.
    pub digits_busy: bool,
    /// The timestamp of the digit that is being sent.
    pub digit_start: u32,
    /// The ticks of the wheel at which the next packet of our own, and the digits, go on.
    pub voice_due: u64,
    pub digits_due: u64,
    /// Recordings of what the peer sends, and of what it is sent.
    pub taps_in: Vec<Tap>,
    pub taps_out: Vec<Tap>,
    /// Whether the kernel forwards what the peer says.
    pub forwarding: Forwarding,
    latch: Option<Latch>,
    reception: Reception,
    reports: Reports,
    pub presses: Presses,
    /// Encryption, when it was agreed.
    channel: Option<Box<Channel>>,
    allowance: Allowance,
    /// The quality of its seconds, from the first session on.
    gauge: Option<Box<Gauge>>,
    heard_at: Nanos,
    /// Silence was told, and nothing heard since.
    timeout_told: bool,
    stranger_told: bool,
    dscp: u8,
}

/// The sockets of a stream that is about to be.
#[derive(Debug)]
pub struct Sockets {
    pub any: UdpSocket,
    pub rtcp: UdpSocket,
    pub dscp: u8,
}

impl Stream {
    /// A stream without a peer.
    pub fn new(name: Name, sockets: Sockets, now: Nanos) -> Self {
        let numbers: [u8; 12] = sys::entropy();
        let word = |at: usize| u32::from_be_bytes([numbers[at], numbers[at + 1], numbers[at + 2], numbers[at + 3]]);
        let mut random = Random::new(u64::from(word(8)));
        Self {
            name,
            any: sockets.any,
            rtcp: sockets.rtcp,
            peer: None,
            session: None,
            plan: Plan::default(),
            mate: None,
            bridge: None,
            mix: None,
            muted: false,
            deaf: false,
            hearing: None,
            speaking: None,
            listens: false,
            cut: false,
            spoken_to: false,
            quiet_ms: 0,
            sending: Sending::new(word(0), word(8) as u16, word(4)),
            counts: Counts::default(),
            play: None,
            plays: 0,
            digits_out: Sender::default(),
            digits_busy: false,
            digit_start: 0,
            voice_due: 0,
            digits_due: 0,
            taps_in: Vec::new(),
            taps_out: Vec::new(),
            forwarding: Forwarding::default(),
            latch: None,
            reception: Reception::default(),
            reports: Reports::new(now, &mut random),
            presses: Presses::default(),
            channel: None,
            allowance: Allowance::default(),
            gauge: None,
            heard_at: now,
            timeout_told: false,
            stranger_told: false,
            dscp: sockets.dscp,
        }
    }

    /// A packet is going to look at what this stream points to: have it brought near.
    pub fn prefetch_parts(&self) {
        self.plan.prefetch();
        if let Some(gauge) = self.gauge.as_deref() {
            sys::prefetch(gauge);
        }
    }

    /// Take a new session. True when `peer` is another socket now, which wants to be watched.
    pub fn connect(&mut self, session: Session, now: Nanos, net: &mut Net) -> bool {
        // Silence counts from when there was somebody to be heard.
        let awaits = |session: &Session| session.hears && session.media_timeout.is_some();
        if awaits(&session) && !self.session.as_ref().is_some_and(awaits) {
            self.heard_at = now;
            self.timeout_told = false;
        }
        let latch = session.remote.map(|remote| match self.latch.take() {
            Some(latch) if latch.is_for(remote, session.latch) => latch,
            _ => Latch::new(remote, session.latch, now),
        });
        let aim = latch.as_ref().map(Latch::peer);
        let moved = aim != self.peer_address();
        self.latch = latch;
        let listened_to = session.inband_digits.then_some(&session.formats[..]);
        self.presses.listen(listened_to, now);
        self.secure(session.srtp.as_ref(), now);
        self.session = Some(session);
        self.measure(now);
        if moved {
            self.reports.from = None;
            self.turn_to(aim, net);
        }
        moved
    }

    /// Whom `peer` is connected to.
    fn peer_address(&self) -> Option<SocketAddr> {
        self.peer.as_ref().and_then(|peer| peer.peer_addr().ok())
    }

    /// Connect a new `peer` socket. Without a route, or a descriptor for it, `any` serves alone until the latch moves.
    fn turn_to(&mut self, aim: Option<SocketAddr>, net: &mut Net) {
        if let Some(before) = self.peer.take() {
            net.forget(&before);
        }
        self.peer = aim.and_then(|aim| sys::udp_companion(&self.any, aim, self.dscp).ok());
    }

    /// The peer's address as far as it is known.
    pub fn remote(&self) -> Option<SocketAddr> {
        self.latch.as_ref().map(Latch::peer)
    }

    /// Whether audio may go to the peer by what was agreed.
    pub fn may_send(&self) -> bool {
        self.session
            .as_ref()
            .is_some_and(|session| session.sends && session.remote.is_some())
    }

    /// Whether bridged audio goes to the peer at this moment.
    pub fn takes_bridged_audio(&self) -> bool {
        let playing = self.play.as_ref().is_some_and(|play| play.programme.is_some());
        self.may_send() && !playing && !self.digits_busy
    }

    /// Decide whose a datagram is. `packet`: what it is as RTP, with a payload type that was agreed. True when it is the
    /// peer's. `moved` is set when the `peer` socket was replaced.
    pub fn admit(&mut self, from: SocketAddr, plausible: bool, moved: &mut bool, net: &mut Net, turn: &Turn) -> bool {
        let Some(latch) = self.latch.as_mut() else {
            return false; // nothing was agreed yet: early packets of either kind are dropped
        };
        match latch.judge(from, plausible, turn.now) {
            Verdict::Peer => true,
            Verdict::Moved => {
                self.turn_to(Some(from), net);
                *moved = true;
                turn.outbox.tell(Event::Latched {
                    stream: self.name.to_string(),
                    address: from.ip().to_string(),
                    port: from.port(),
                });
                true
            }
            Verdict::Stranger => {
                self.note_stranger(from, &turn.outbox);
                false
            }
        }
    }

    fn note_stranger(&mut self, from: SocketAddr, outbox: &Outbox) {
        self.counts.strangers += 1;
        if !self.stranger_told {
            self.stranger_told = true;
            outbox.tell(Event::Stranger {
                stream: self.name.to_string(),
                address: from.ip().to_string(),
                port: from.port(),
            });
        }
    }

    /// Take note of a packet of the peer. True when its audio may be used.
    pub fn hear(&mut self, packet: &Packet, lane: &Lane, datagram: &[u8], turn: &Turn) -> bool {
        self.counts.packets_in += 1;
        self.counts.octets_in += datagram.len() as u64;
        self.heard_at = turn.now;
        self.timeout_told = false;
        self.reception.note(packet, turn.now, lane.clock_rate_hz);
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
                self.presses.hear_event(body, at);
            }
        } else if self.presses.listens_for_tones() {
            self.presses
                .hear_audio(packet, &datagram[packet.payload.clone()], turn.now);
        }
        self.session.as_ref().is_some_and(|session| session.hears)
    }

    /// Keep a packet that may be heard for those to whom it is made anew.
    #[inline]
    pub fn listen(&mut self, packet: &Packet, lane: &Lane, payload: &[u8], now: Nanos) {
        if lane.coding.is_some() {
            self.listens = lane.passage == Passage::Hear;
        }
        if let Some(hearing) = self.hearing.as_mut() {
            // What passes as it is would only wait there.
            if lane.passage == Passage::Hear || lane.coding.is_none() {
                let _ = hearing.insert(packet, payload, now);
            }
        }
    }

    /// Take in an RTCP packet that came from `from`.
    pub fn hear_rtcp(&mut self, datagram: &mut [u8], from: SocketAddr, turn: &Turn) {
        let Some(session) = self.session.as_ref() else {
            return;
        };
        let known = session.remote_rtcp == Some(from) || self.reports.from == Some(from);
        // A NAT gives RTCP a port of its own: the first one from the peer's address is taken.
        let plausible = self.reports.from.is_none() && self.remote().is_some_and(|remote| remote.ip() == from.ip());
        if !known && !plausible {
            return self.note_stranger(from, &turn.outbox);
        }
        let rate_hz = session.own().map_or(8000, |format| format.clock_rate_hz);
        let pauses = session.pauses;
        if !self.allow(!known, turn) || rtp::is_stun(datagram) {
            return;
        }
        let Some(length) = self.unprotect_rtcp(datagram, turn.now) else {
            return;
        };
        let datagram = &datagram[..length];
        let gauge = &mut self.gauge;
        let tell = |block: &Block| {
            if let Some(gauge) = gauge.as_mut() {
                gauge.reported(block, rate_hz);
            }
        };
        if self
            .reports
            .hear(datagram, self.sending.ssrc, turn.now, &turn.clock, tell)
        {
            self.read_measurements(datagram);
            self.reports.from = Some(from);
            // Who may pause and still reports is no dead peer.
            if pauses {
                self.heard_at = turn.now;
                self.timeout_told = false;
            }
            if let Some(speaking) = self.speaking.as_mut() {
                speaking.expect_loss(self.reports.remote_loss_percent);
            }
        } else {
            self.counts.malformed += 1;
        }
    }

    /// Send the first `length` octets of `datagram` to the peer. Behind them are at least `srtp::MAX_TRAILER` octets of room.
    pub fn transmit(&mut self, datagram: &mut [u8], length: usize, net: &mut Net) {
        if self.seal(datagram, length, |stream, sealed| stream.dispatch(sealed, net)) {
            self.counts.packets_out += 1;
            self.counts.octets_out += length as u64;
        }
    }

    fn dispatch(&self, datagram: &[u8], net: &mut Net) -> bool {
        match (&self.peer, &self.latch) {
            (Some(peer), _) => net.send(peer, datagram),
            (None, Some(latch)) => self.any.send_to(datagram, latch.peer()).is_ok(),
            (None, None) => false,
        }
    }

    /// Have no socket watched any more: before they are closed, and before the stream leaves its thread.
    pub fn forget_sockets(&self, net: &mut Net) {
        for socket in [Some(&self.any), Some(&self.rtcp), self.peer.as_ref()]
            .into_iter()
            .flatten()
        {
            net.forget(socket);
        }
    }

    /// The work of every tenth of a second: presses whose end was lost, silence, reports.
    pub fn housekeeping(&mut self, random: &mut Random, turn: &Turn) {
        self.presses.expire(turn.now);
        if self.end_seconds(turn.now) {
            turn.outbox.tell(self.statistics());
        }
        let Some(session) = self.session.as_ref() else {
            return;
        };
        let silent = turn.now.saturating_sub(self.heard_at);
        if let Some(limit) = session.media_timeout {
            if session.hears && session.remote.is_some() && silent >= limit && !self.timeout_told {
                self.timeout_told = true;
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

    /// Send a report to the peer; the last one says goodbye.
    pub fn report(&mut self, goodbye: bool, turn: &Turn) {
        let Some(session) = self.session.as_ref() else {
            return;
        };
        let rate_hz = session.own().map_or(8000, |format| format.clock_rate_hz);
        let Some(facts) = self
            .reports
            .facts(&self.sending, &mut self.reception, rate_hz, turn.now, &turn.clock)
        else {
            return;
        };
        let mut octets = [0; MAX_BUILT + MAX_TRAILER];
        let compound = Compound {
            ssrc: self.sending.ssrc,
            sender: facts.sender,
            report: facts.report,
            name: &turn.cname,
            goodbye,
        };
        let Some(room) = octets.first_chunk_mut() else {
            return;
        };
        let length = rtcp::build(&compound, room);
        if let Some(length) = self.protect_rtcp(&mut octets, length) {
            // What cannot be sent now is said again in the next report.
            let _ = self.send_report(&octets[..length]);
        }
    }

    fn send_report(&self, report: &[u8]) -> io::Result<usize> {
        let Some(session) = self.session.as_ref() else {
            return Ok(0);
        };
        if session.rtcp_mux {
            match (&self.peer, self.remote()) {
                (Some(peer), _) => peer.send(report),
                (None, Some(remote)) => self.any.send_to(report, remote),
                (None, None) => Ok(0),
            }
        } else {
            match self.rtcp_remote(session) {
                Some(remote) => self.rtcp.send_to(report, remote),
                None => Ok(0),
            }
        }
    }

    /// Where reports go: where the peer's came from; else as signalled, unless the latch says that the peer is elsewhere.
    fn rtcp_remote(&self, session: &Session) -> Option<SocketAddr> {
        let remote = self.remote()?;
        self.reports.from.or_else(|| {
            if session.remote == Some(remote) {
                session.remote_rtcp
            } else {
                remote
                    .port()
                    .checked_add(1)
                    .map(|port| SocketAddr::new(remote.ip(), port))
            }
        })
    }
}
