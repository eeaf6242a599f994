//! What the peer of a stream sends: who it is, how its packets come in, what they say, and what becomes of them.

use std::net::IpAddr;

use super::forwarding::Forwarding;
use super::Tap;
use crate::audio::hearing::Hearing;
use crate::clock::Nanos;
use crate::dtmf::presses::Presses;
use crate::rtp::flood::Allowance;
use crate::rtp::latch::{Latch, Terms};
use crate::rtp::reception::Reception;
use crate::rtp::Packet;
use crate::session::{Lane, Passage, Plan, Session};

/// See the module.
#[derive(Debug)]
pub struct Inbound {
    pub(super) latch: Option<Latch>,
    /// That of a peer who gave no address for now (a hold with 0.0.0.0), until it gives one again.
    rested: Option<Box<Latch>>,
    /// Where the peer's signalling comes from, if that is known.
    pub signalling: Option<IpAddr>,
    pub(super) allowance: Allowance,
    pub(super) reception: Reception,
    pub(super) heard_at: Nanos,
    /// Silence was told, and nothing heard since.
    pub(super) timeout_told: bool,
    pub(super) stranger_told: bool,
    /// What becomes of each payload type.
    pub plan: Plan,
    /// The packets are longer than the other side takes.
    pub cut: bool,
    pub presses: Presses,
    /// What the peer says as samples, for transcoding and mixing.
    pub hearing: Option<Box<Hearing>>,
    /// The newest audio of the peer went into `hearing`, and was not passed on as it is.
    pub listens: bool,
    /// Whether the kernel forwards it.
    pub forwarding: Forwarding,
    pub taps: Vec<Tap>,
}

impl Inbound {
    pub fn new(now: Nanos) -> Self {
        Self {
            latch: None,
            rested: None,
            signalling: None,
            allowance: Allowance::default(),
            reception: Reception::default(),
            heard_at: now,
            timeout_told: false,
            stranger_told: false,
            plan: Plan::default(),
            cut: false,
            presses: Presses::default(),
            hearing: None,
            listens: false,
            forwarding: Forwarding::default(),
            taps: Vec::new(),
        }
    }

    /// A session was agreed, maybe the same again: who may speak is asked anew.
    pub(super) fn renew_latch(&mut self, session: &Session, now: Nanos) {
        let rested = self.rested.take().map(|latch| *latch);
        let before = self.latch.take().or(rested);
        let Some(signalled) = session.remote else {
            self.rested = before.map(Box::new);
            return;
        };
        let terms = Terms {
            signalled,
            allowed: session.latch,
            signalling: self.signalling,
        };
        self.latch = Some(match before {
            Some(latch) => latch.renew(terms, self.heard_at, now),
            None => Latch::new(terms, now),
        });
    }

    /// Something of the peer came.
    pub(super) fn end_silence(&mut self, now: Nanos) {
        self.heard_at = now;
        self.timeout_told = false;
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
}
