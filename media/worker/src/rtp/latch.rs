//! Who the peer of a stream is: learnt from its packets at the beginning of a session, then held (symmetric RTP, RFC 4961; latching,
//! RFC 7362 4).
//!
//! Behind a NAT the peer's packets do not come from the address in its SDP. So its packets tell where it is, and once that is
//! settled nobody else is heard: otherwise anyone who sprays packets over a port range is sent the call ("RTP bleed"). What
//! remains is the very start, and there evidence decides:
//!
//! - The first plausible packet is believed at once, so a call loses nothing. But one packet proves nothing: a source is *proven* by
//!   `PROOF` packets of one SSRC in sequence, or by one that is authentic (SRTP).
//! - A proven source takes the place of an unproven peer after `PROBATION`, of a proven one that fell silent for `GONE`, and of one
//!   that is less likely by its address: likely is who comes from the host of the SDP or the signalling, or from where the peer was.
//! - The signalled address itself needs one plausible packet, and nobody takes its place.
//! - `LEARNING` after somebody was proven it is over: the peer stays who it is, until the session is agreed anew.

use std::net::{IpAddr, SocketAddr};

use crate::clock::{Nanos, MILLISECOND, SECOND};

/// How long after somebody was proven a likelier peer may still take the latch.
pub const LEARNING: Nanos = 3 * SECOND;
/// So many packets of one SSRC in sequence make it likely that more follow.
pub const PROOF: u8 = 3;
/// So long an unproven peer is left to prove itself: three packets of up to 60 ms.
pub const PROBATION: Nanos = 150 * MILLISECOND;
/// A proven peer that was silent for so long, while another speaks, has gone elsewhere. Longer than the longest packets and their
/// jitter.
pub const GONE: Nanos = 300 * MILLISECOND;
/// The same when the peer is where it is to be expected, and the other is not: it may only have paused.
pub const LONG_GONE: Nanos = SECOND;
/// Packets are in sequence with up to so many missing between them.
const MISSING: u16 = 8;
/// So many others are watched at a time.
const WATCHED: usize = 4;

/// Whose a packet may be, by where it came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    Peer,
    /// The peer's, should the packet prove plausible.
    Candidate,
    Stranger,
}

/// What to make of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is the peer's.
    Peer,
    /// It is the peer's, and tells where the peer is: what we send goes there from now on.
    Moved,
    /// It is someone else's.
    Stranger,
}

/// What a plausible packet says of its source: it is RTP with a payload type that was agreed, and authentic if keys were.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sign {
    pub ssrc: u32,
    pub sequence: u16,
    /// Nobody without the keys can have made it.
    pub authentic: bool,
}

/// What was agreed on where the peer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terms {
    /// The address in its SDP.
    pub signalled: SocketAddr,
    /// Whether another address may become the peer.
    pub allowed: bool,
    /// Where its signalling comes from, if that is known.
    pub signalling: Option<IpAddr>,
}

/// A source, and what speaks for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Source {
    address: SocketAddr,
    ssrc: u32,
    sequence: u16,
    /// Packets in sequence; 0 = never heard.
    run: u8,
    proven: bool,
    heard_at: Nanos,
}

impl Source {
    fn unheard(address: SocketAddr) -> Self {
        Self {
            address,
            ssrc: 0,
            sequence: 0,
            run: 0,
            proven: false,
            heard_at: 0,
        }
    }

    fn note(&mut self, sign: Sign, now: Nanos) {
        let step = sign.sequence.wrapping_sub(self.sequence);
        if self.run == 0 || sign.ssrc != self.ssrc {
            self.run = 1;
        } else if (1..=MISSING + 1).contains(&step) {
            self.run = self.run.saturating_add(1);
        } else if step.wrapping_neg() > MISSING {
            self.run = 1;
        } else {
            // Once more, or late: it says nothing new.
            self.heard_at = now;
            return;
        }
        self.ssrc = sign.ssrc;
        self.sequence = sign.sequence;
        self.heard_at = now;
        self.proven |= sign.authentic || self.run >= PROOF;
    }
}

/// The state of one stream's latch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Latch {
    terms: Terms,
    peer: Source,
    /// From when on it moves no more: known once somebody was proven.
    closes_at: Option<Nanos>,
    /// When the peer became it, or the session was agreed anew.
    since: Nanos,
    /// Where the peer was under the terms that hold.
    known: Option<IpAddr>,
    others: [Option<Source>; WATCHED],
}

impl Latch {
    pub fn new(terms: Terms, now: Nanos) -> Self {
        Self {
            terms,
            peer: Source::unheard(terms.signalled),
            closes_at: None,
            since: now,
            known: None,
            others: [None; WATCHED],
        }
    }

    /// The session was agreed anew (RFC 3264 8). The peer stays where it was heard last, at `heard_at`, until there is evidence that it
    /// is elsewhere: nothing else need have changed, and its audio may be flowing. Another address begins from nothing.
    pub fn renew(self, terms: Terms, heard_at: Nanos, now: Nanos) -> Self {
        let unheard = self.peer.run == 0;
        if unheard || terms.signalled != self.terms.signalled || terms.allowed != self.terms.allowed {
            let known = if unheard {
                self.known
            } else {
                Some(self.peer.address.ip())
            };
            return Self {
                known: known.filter(|_| terms.signalled.ip() == self.terms.signalled.ip()),
                ..Self::new(terms, now)
            };
        }
        Self {
            terms,
            peer: Source {
                heard_at: self.peer.heard_at.max(heard_at.min(now)),
                ..self.peer
            },
            closes_at: None,
            since: now,
            known: Some(self.peer.address.ip()),
            others: [None; WATCHED],
        }
    }

    /// Where to send.
    pub fn peer(&self) -> SocketAddr {
        self.peer.address
    }

    /// Whether the peer was heard and nobody can take its place any more.
    pub fn is_settled(&self, now: Nanos) -> bool {
        self.closes_at.is_some_and(|at| now >= at)
    }

    /// Whether an address is the one that was agreed, or of a host from which the peer is to be expected.
    pub fn is_likely(&self, from: SocketAddr) -> bool {
        let host = Some(from.ip());
        host == Some(self.terms.signalled.ip()) || host == self.terms.signalling || host == self.known
    }

    /// What its address alone says of a packet: asked before anything costs time, and changes nothing.
    #[inline]
    pub fn look(&self, from: SocketAddr, now: Nanos) -> Look {
        if from == self.peer.address {
            return Look::Peer;
        }
        let may_move = self.terms.allowed || from == self.terms.signalled;
        if may_move && !self.is_settled(now) {
            Look::Candidate
        } else {
            Look::Stranger
        }
    }

    /// Judge a packet. `sign`: None for one that is not plausible, which moves nothing.
    #[inline]
    pub fn judge(&mut self, from: SocketAddr, sign: Option<Sign>, now: Nanos) -> Verdict {
        match (self.look(from, now), sign) {
            (Look::Peer, Some(sign)) if !self.is_settled(now) => {
                self.hear_peer(sign, now);
                Verdict::Peer
            }
            (Look::Peer, _) => Verdict::Peer,
            (Look::Candidate, Some(sign)) => self.hear_other(from, sign, now),
            (Look::Candidate, None) | (Look::Stranger, _) => Verdict::Stranger,
        }
    }

    fn hear_peer(&mut self, sign: Sign, now: Nanos) {
        self.peer.note(sign, now);
        self.close_in_time(now);
    }

    /// Nobody takes the place of who speaks from the signalled address, which is proof enough; else there is time for a likelier one
    /// from the first proof on.
    fn close_in_time(&mut self, now: Nanos) {
        if self.peer.address == self.terms.signalled {
            self.peer.proven = true;
            self.closes_at = Some(now);
        } else if self.peer.proven {
            self.closes_at.get_or_insert(now + LEARNING);
        }
    }

    fn hear_other(&mut self, from: SocketAddr, sign: Sign, now: Nanos) -> Verdict {
        let Some(place) = self.place_for(from, now) else {
            return Verdict::Stranger;
        };
        let watched = self.others[place].filter(|other| other.address == from);
        let mut other = watched.unwrap_or_else(|| Source::unheard(from));
        other.note(sign, now);
        if !self.yields_to(&other, now) {
            self.others[place] = Some(other);
            return Verdict::Stranger;
        }
        // Who was the peer may win it back: what was seen of it is kept, in the place that has become free.
        let before = std::mem::replace(&mut self.peer, other);
        self.others[place] = (before.run > 0).then_some(before);
        self.since = now;
        self.close_in_time(now);
        Verdict::Moved
    }

    /// Whether the peer has less for it than another source.
    fn yields_to(&self, other: &Source, now: Nanos) -> bool {
        if self.peer.run == 0 || other.address == self.terms.signalled {
            return true;
        }
        if !other.proven {
            return false;
        }
        let (mine, theirs) = (self.is_likely(self.peer.address), self.is_likely(other.address));
        let patience = if mine && !theirs { LONG_GONE } else { GONE };
        let gone = now >= self.peer.heard_at + patience;
        let failed = !self.peer.proven && now >= self.since + PROBATION;
        theirs && !mine || gone || failed
    }

    /// The place of a source among those that are watched: its own, or a free one, or that of one that fell silent, or of one that is
    /// less likely. Else it has none and waits, so that a flood of addresses does not wash away what was learnt; all but the signalled
    /// address, which needs a single packet.
    fn place_for(&self, from: SocketAddr, now: Nanos) -> Option<usize> {
        let first = |fits: &dyn Fn(&Source) -> bool| {
            let fits = |place: &Option<Source>| place.as_ref().is_some_and(fits);
            self.others.iter().position(fits)
        };
        first(&|other| other.address == from)
            .or_else(|| self.others.iter().position(Option::is_none))
            .or_else(|| first(&|other| now >= other.heard_at + PROBATION))
            .or_else(|| first(&|other| self.is_likely(from) && !self.is_likely(other.address)))
            .or_else(|| (from == self.terms.signalled).then_some(0))
    }
}

#[cfg(test)]
mod tests;
