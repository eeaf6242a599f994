//! The payload of a telephone-event packet, and how packets of one press are told from those of another. Source: RFC 4733 2.3, 2.5.

use super::MAX_MISORDER;
use crate::clock::{samples, Nanos, MILLISECOND};

/// A press of which nothing more came for so long has ended.
pub const GIVEN_UP: Nanos = 200 * MILLISECOND;
/// A press that takes longer than its duration can say goes on in a segment of its own (RFC 4733 2.5.1.3).
pub const SEGMENT: u32 = 0xFFFF;
/// The body of a telephone-event packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Body {
    pub event: u8,
    pub end: bool,
    /// In units of the RTP clock, since the timestamp of the packet.
    pub duration: u16,
}

impl Body {
    /// Read the first four octets; redundant copies behind them are left alone.
    pub fn parse(payload: &[u8]) -> Option<Self> {
        let body = payload.first_chunk::<4>()?;
        Some(Self {
            event: body[0],
            end: body[1] & 0x80 != 0,
            duration: u16::from_be_bytes([body[2], body[3]]),
        })
    }

    /// As sent, with the volume at -10 dBm0.
    pub fn octets(self) -> [u8; 4] {
        let [high, low] = self.duration.to_be_bytes();
        [self.event, (u8::from(self.end) << 7) | 10, high, low]
    }
}

/// Whether a packet with the timestamp of the press before, but newer than all of it, belongs to another press: some peers
/// write the same timestamp for each. Within one, the time between two packets is that by which its duration grew, but for
/// the repetitions of the end, and for a network that stood still: then the next packet follows its predecessor by number, and
/// its duration has not begun anew.
/// `before`: the newest packet, which came at `heard_at`. `follows`: nothing was sent between it and this one.
pub fn is_pressed_again(before: Body, heard_at: Nanos, body: Body, follows: bool, now: Nanos, rate_hz: u32) -> bool {
    if follows && body.duration >= before.duration {
        return false;
    }
    let grown = u64::from(body.duration.saturating_sub(before.duration));
    samples(now.saturating_sub(heard_at), rate_hz) > samples(GIVEN_UP, rate_hz) + grown
}

/// Whether nothing was sent between two packets, by their sequence numbers.
pub fn follows(sequence: u16, newest: u16) -> bool {
    sequence == newest.wrapping_add(1)
}

/// Whether a sequence number is none of a late copy or a late packet, seen from the newest (as RFC 3550 A.1).
pub fn is_newer(sequence: u16, newest: u16) -> bool {
    newest.wrapping_sub(sequence) > MAX_MISORDER
}
