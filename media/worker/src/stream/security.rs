//! Encryption of one stream, and the order in which a datagram must prove itself: whose it may be by its address, whether
//! there is room for it in this second, then whether it is authentic. Each step is dearer than the one before, so a flood is
//! refused at the first.

use std::cell::RefCell;
use std::net::SocketAddr;

use super::{Stream, Turn, ROOM};
use crate::rtp;
use crate::rtp::latch::Look;
use crate::srtp::{Agreed, Channel, Refused};
use crate::{clock::Nanos, sys};

thread_local! {
    /// Where packets are encrypted that are recorded too: who records them reads them after they were sent.
    static SEALED: RefCell<[u8; ROOM]> = const { RefCell::new([0; ROOM]) };
}

impl Stream {
    /// Take what was agreed on encryption; the same as before changes nothing.
    ///
    /// With a key of ours that is new goes a new SSRC: it has no roll-over counter, about which peers disagree, and no
    /// keystream that was used. It begins low, far from a roll-over that the peer might miss (RFC 3711 3.3.1).
    pub(super) fn secure(&mut self, agreed: Option<&Agreed>, now: Nanos) {
        let renewed = match (self.channel.as_mut(), agreed) {
            (_, None) => {
                self.channel = None;
                false
            }
            (Some(channel), Some(agreed)) => channel.rekey(agreed, now),
            (None, Some(agreed)) => {
                self.channel = Some(Box::new(Channel::new(agreed)));
                true
            }
        };
        if renewed {
            let [a, b, c, d, e, f]: [u8; 6] = sys::entropy();
            let ssrc = u32::from_be_bytes([a, b, c, d]);
            self.outbound.sending.renew(ssrc, u16::from_be_bytes([e, f]) >> 1);
        }
    }

    /// Whether a datagram on the RTP port is worth looking at. Those of strangers, and those over the limit, are counted.
    #[inline]
    fn screen(&mut self, from: SocketAddr, turn: &Turn) -> bool {
        let Some(latch) = self.inbound.latch.as_ref() else {
            return false; // nothing was agreed yet: early packets are dropped
        };
        let look = latch.look(from, turn.now);
        if look == Look::Stranger {
            self.note_stranger(from, &turn.outbox);
            return false;
        }
        let sparing = !latch.is_settled(turn.now) && !latch.is_likely(from);
        self.allow(sparing, turn)
    }

    /// What a datagram on the RTP port says; nothing is looked at before it is known whose it may be, and that it is authentic.
    /// Where it was encrypted it lies in the clear then.
    #[inline]
    pub fn open<'a>(&mut self, datagram: &'a mut [u8], from: SocketAddr, turn: &Turn) -> Option<&'a mut [u8]> {
        if !self.screen(from, turn) {
            return None;
        }
        // We speak no ICE, so it is not answered; and who sends it in the clear beside SRTP does nothing wrong.
        if rtp::is_stun(datagram) {
            return None;
        }
        let length = self.unprotect(datagram, turn.now)?;
        datagram.get_mut(..length)
    }

    pub(super) fn allow(&mut self, sparing: bool, turn: &Turn) -> bool {
        let allowed = self.inbound.allowance.take(turn.now, turn.limit, sparing);
        self.counts.flooded += u64::from(!allowed);
        allowed
    }

    /// Decrypt an RTP packet where it lies, if keys were agreed; gives its length. One that is not authentic is counted.
    fn unprotect(&mut self, datagram: &mut [u8], now: Nanos) -> Option<usize> {
        let Some(channel) = self.channel.as_mut() else {
            return Some(datagram.len());
        };
        let opened = channel.inbound.unprotect(datagram, now);
        self.settle(opened)
    }

    /// The same for RTCP.
    pub(super) fn unprotect_rtcp(&mut self, datagram: &mut [u8], now: Nanos) -> Option<usize> {
        let Some(channel) = self.channel.as_mut() else {
            return Some(datagram.len());
        };
        let opened = channel.inbound.unprotect_rtcp(datagram, now);
        self.settle(opened)
    }

    fn settle(&mut self, opened: Result<usize, Refused>) -> Option<usize> {
        match opened {
            Ok(length) => return Some(length),
            Err(Refused::Malformed) => self.counts.malformed += 1,
            Err(_) => self.counts.unauthentic += 1,
        }
        None
    }

    /// Hand `send` the first `length` octets of `datagram` as they go to the peer, encrypted where they lie if keys were
    /// agreed, or in a copy if they are recorded. What cannot be protected is not sent.
    pub(super) fn seal(&mut self, datagram: &mut [u8], length: usize, send: impl FnOnce(&Self, &[u8]) -> bool) -> bool {
        if self.channel.is_none() || self.outbound.taps.is_empty() {
            return self.seal_in_place(datagram, length, send);
        }
        SEALED.with_borrow_mut(|room| {
            let (Some(copy), Some(plain)) = (room.get_mut(..length), datagram.get(..length)) else {
                return false;
            };
            copy.copy_from_slice(plain);
            self.seal_in_place(room, length, send)
        })
    }

    fn seal_in_place(&mut self, datagram: &mut [u8], length: usize, send: impl FnOnce(&Self, &[u8]) -> bool) -> bool {
        let length = match self.channel.as_mut() {
            Some(channel) => channel.outbound.protect(datagram, length).ok(),
            None => Some(length),
        };
        length.is_some_and(|length| send(self, &datagram[..length]))
    }

    /// The same for a report; gives its length.
    pub(super) fn protect_rtcp(&mut self, report: &mut [u8], length: usize) -> Option<usize> {
        match self.channel.as_mut() {
            Some(channel) => channel.outbound.protect_rtcp(report, length).ok(),
            None => Some(length),
        }
    }
}
