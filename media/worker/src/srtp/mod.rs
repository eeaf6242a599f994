//! Encrypted media: SRTP and SRTCP with keys that signalling agreed on. Source: RFC 3711, RFC 6188, RFC 7714; keys as in
//! RFC 4568.
//!
//! A stream has an `Outbound` for what we send and an `Inbound` for what the peer sends; each has its own master key. Both
//! work in place, on the datagram as it lies in the receive buffer, and allocate only when a source is seen first.
//!
//! Every packet has an *index* that is never used twice under one key: 48 bits for RTP, whose lower 16 are the sequence
//! number and whose upper 32, the roll-over counter, both sides keep for themselves; 31 bits for RTCP, sent along. From
//! master key, SSRC and index follows the keystream, so what must never happen is that one index protects two different
//! packets: `Outbound` refuses a sequence number it has used. `Inbound` refuses an index it has accepted (replay), and
//! changes nothing, neither its own state nor the octets, before a packet has proven authentic.
//!
//! Where real peers differ from each other, we try what the sender may have meant, each attempt proven by its tag:
//! - The first packet of a source may be one after a roll-over that we did not see: counter 0, then 1.
//! - After a change of keys a sender goes on with its counter (RFC 3711 3.3.1), or begins at zero (the new context of
//!   RFC 4568 7.1.4): both are tried until the first packet under the new key.
//! - Packets under the old key are on their way while the new one is agreed: it stays good for `OLD_KEY`.
//!
//! Primitives are those of the RustCrypto crates; tags are compared in constant time by them.

mod channel;
mod cipher;
mod derive;
mod inbound;
mod index;
mod keys;
mod outbound;
mod sources;
#[cfg(test)]
mod test_support;
#[cfg(test)]
mod tests;

use crate::rtp::HEADER;

pub use channel::{Agreed, Channel};
pub use inbound::{Inbound, OLD_KEY};
pub use keys::{KeyError, Keys, Suite};
pub use outbound::Outbound;

/// Room that protecting may need behind a packet: the largest tag, the index word of RTCP, an identifier of the key.
pub const MAX_TRAILER: usize = 16 + 4 + 16;

/// Why a packet was not protected or unprotected. The datagram is as it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// Its octets cannot be what they should be.
    Malformed,
    /// The buffer has no room for the trailer.
    NoRoom,
    /// The tag is wrong: another key, other octets, or a roll-over counter that we cannot know.
    Unauthentic,
    /// Its index was used before.
    Replayed,
    /// Its index is too far behind to tell whether it was used before.
    Late,
    /// The key has protected all that it may.
    Exhausted,
    /// More sources under one key than are kept apart.
    Sources,
}

/// Octets of an RTCP packet that stay readable: the head and the sender's SSRC.
const CONTROL_HEADER: usize = 8;
/// The flag beside the index of RTCP.
const ENCRYPTED: u32 = 1 << 31;

/// What of an RTP packet stays readable.
#[derive(Debug, Clone, Copy)]
struct RtpHeader {
    /// Octets before the payload, CSRCs and extension among them.
    length: usize,
    sequence: u16,
    ssrc: u32,
}

/// Read it. `rtp::parse` will not do: how much padding there is stands in the last octet, which is encrypted.
fn rtp_header(packet: &[u8]) -> Option<RtpHeader> {
    let head = packet.first_chunk::<HEADER>()?;
    if head[0] >> 6 != 2 {
        return None;
    }
    let mut length = HEADER + 4 * usize::from(head[0] & 0x0F);
    if head[0] & 0x10 != 0 {
        let extension = packet.get(length..length + 4)?;
        length += 4 + 4 * usize::from(u16::from_be_bytes([extension[2], extension[3]]));
    }
    (length <= packet.len()).then(|| RtpHeader {
        length,
        sequence: u16::from_be_bytes([head[2], head[3]]),
        ssrc: u32::from_be_bytes([head[8], head[9], head[10], head[11]]),
    })
}

/// The SSRC of the sender of an RTCP packet.
fn control_header(packet: &[u8]) -> Option<u32> {
    let head = packet.first_chunk::<CONTROL_HEADER>()?;
    (head[0] >> 6 == 2 && (192..=223).contains(&head[1]))
        .then(|| u32::from_be_bytes([head[4], head[5], head[6], head[7]]))
}
