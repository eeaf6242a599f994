//! Who the peer of a stream is: learnt once from its packets, then held (symmetric RTP, RFC 4961).
//!
//! Behind a NAT the peer's packets do not come from the address in its SDP. So the first plausible packet settles where
//! it is, and from then on nobody else is heard: otherwise anyone who sprays packets over a port range is sent the call
//! ("RTP bleed"). What remains is a race at the very start. The signalled address wins it: for `LEARNING` after the
//! session was agreed, a packet from there takes a latch back that went elsewhere.

use std::net::SocketAddr;

use crate::clock::{Nanos, SECOND};

/// How long the signalled address may take the latch back.
pub const LEARNING: Nanos = 3 * SECOND;

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

/// The state of one stream's latch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Latch {
    signalled: SocketAddr,
    peer: SocketAddr,
    allowed: bool,
    locked: bool,
    learning_until: Nanos,
}

impl Latch {
    /// Open a latch. `allowed`: whether another address than `signalled` may become the peer.
    pub fn new(signalled: SocketAddr, allowed: bool, now: Nanos) -> Self {
        Self {
            signalled,
            peer: signalled,
            allowed,
            locked: false,
            learning_until: now + LEARNING,
        }
    }

    /// Where to send.
    pub fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// Whether the peer was heard.
    pub fn is_locked(&self) -> bool {
        self.locked
    }

    /// Whether the peer was heard and nobody can take its place any more.
    pub fn is_settled(&self, now: Nanos) -> bool {
        self.locked && (self.peer == self.signalled || now >= self.learning_until)
    }

    /// Whether the session still is what this latch was opened for.
    pub fn is_for(&self, signalled: SocketAddr, allowed: bool) -> bool {
        self.signalled == signalled && self.allowed == allowed
    }

    /// What its address alone says of a packet: asked before anything costs time, and changes nothing.
    pub fn look(&self, from: SocketAddr, now: Nanos) -> Look {
        if from == self.peer {
            return Look::Peer;
        }
        let may_learn = !self.locked && self.allowed;
        let may_return = from == self.signalled && now < self.learning_until;
        if may_learn || may_return {
            Look::Candidate
        } else {
            Look::Stranger
        }
    }

    /// Judge a packet. `plausible`: it is RTP with a payload type that was agreed, and authentic if
    /// keys were; only such a packet moves the latch.
    pub fn judge(&mut self, from: SocketAddr, plausible: bool, now: Nanos) -> Verdict {
        match self.look(from, now) {
            Look::Peer => {
                self.locked |= plausible;
                Verdict::Peer
            }
            Look::Candidate if plausible => {
                self.locked = true;
                self.peer = from;
                Verdict::Moved
            }
            Look::Candidate | Look::Stranger => Verdict::Stranger,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(port: u16) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 2], port))
    }

    #[test]
    fn the_first_plausible_source_is_the_peer_and_the_next_a_stranger() {
        let mut latch = Latch::new(at(1), true, 0);
        assert_eq!(latch.judge(at(2), false, 0), Verdict::Stranger);
        assert_eq!(latch.judge(at(2), true, 0), Verdict::Moved);
        assert_eq!(latch.judge(at(2), true, 0), Verdict::Peer);
        assert_eq!(latch.judge(at(3), true, 0), Verdict::Stranger);
        assert_eq!(latch.peer(), at(2));
    }

    #[test]
    fn the_signalled_address_locks_at_once() {
        let mut latch = Latch::new(at(1), true, 0);
        assert_eq!(latch.judge(at(1), true, 0), Verdict::Peer);
        assert_eq!(latch.judge(at(2), true, 0), Verdict::Stranger);
        assert!(latch.is_locked());
    }

    #[test]
    fn without_leave_to_latch_only_the_signalled_address_is_heard() {
        let mut latch = Latch::new(at(1), false, 0);
        assert_eq!(latch.judge(at(2), true, 0), Verdict::Stranger);
        assert_eq!(latch.judge(at(1), true, 0), Verdict::Peer);
    }

    #[test]
    fn the_signalled_address_takes_a_stolen_latch_back_while_learning() {
        let mut latch = Latch::new(at(1), true, 0);
        latch.judge(at(2), true, 0);
        let mut late = latch.clone();
        assert_eq!(latch.judge(at(1), true, LEARNING - 1), Verdict::Moved);
        assert_eq!(latch.judge(at(2), true, LEARNING - 1), Verdict::Stranger);
        assert_eq!(late.judge(at(1), true, LEARNING), Verdict::Stranger);
    }

    #[test]
    fn a_look_at_the_address_changes_nothing() {
        let mut latch = Latch::new(at(1), true, 0);
        assert_eq!(latch.look(at(2), 0), Look::Candidate);
        assert_eq!(latch.look(at(1), 0), Look::Peer);
        assert!(!latch.is_locked());
        latch.judge(at(2), true, 0);
        assert_eq!(latch.look(at(3), 0), Look::Stranger);
        assert_eq!(latch.look(at(1), LEARNING - 1), Look::Candidate);
        assert_eq!(latch.look(at(1), LEARNING), Look::Stranger);
    }

    #[test]
    fn a_peer_is_settled_once_nobody_can_take_its_place() {
        let mut latch = Latch::new(at(1), true, 0);
        assert!(!latch.is_settled(LEARNING));
        let mut signalled = latch.clone();
        latch.judge(at(2), true, 0);
        assert!(!latch.is_settled(LEARNING - 1) && latch.is_settled(LEARNING));
        signalled.judge(at(1), true, 0);
        assert!(signalled.is_settled(0));
    }

    #[test]
    fn an_implausible_packet_from_the_signalled_address_locks_nothing() {
        let mut latch = Latch::new(at(1), true, 0);
        assert_eq!(latch.judge(at(1), false, 0), Verdict::Peer);
        assert_eq!(latch.judge(at(2), true, 0), Verdict::Moved);
    }
}
