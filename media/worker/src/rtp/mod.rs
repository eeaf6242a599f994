//! The RTP fixed header: reading what a peer sent, writing what we send. Source: RFC 3550 5.1, RFC 5761 4.

pub mod event;
pub mod flood;
pub mod latch;
pub mod reception;
pub mod reports;
pub mod rtcp;
pub mod sending;

use std::ops::Range;

/// Octets of a header without CSRCs and extension, as we send it.
pub const HEADER: usize = 12;
/// A larger step of the sequence forward, or a step back of more than `MAX_MISORDER`, is a source that began anew and neither loss
/// nor disorder (RFC 3550 A.1). `bpf/forward.bpf.c` has them too.
pub const MAX_DROPOUT: u16 = 3000;
pub const MAX_MISORDER: u16 = 100;

/// What a packet says of itself. `payload` is the range of the datagram that holds the payload, padding excluded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packet {
    pub marker: bool,
    pub payload_type: u8,
    pub sequence: u16,
    pub timestamp: u32,
    pub ssrc: u32,
    pub payload: Range<usize>,
}

/// Whether a datagram on a port that both share is RTCP: packet types 192-223, which as RTP would be payload types
/// 64-95 with the marker set, and those are never negotiated (RFC 5761 4).
pub fn is_rtcp(datagram: &[u8]) -> bool {
    datagram.len() >= 2 && (192..=223).contains(&datagram[1])
}

/// Whether a datagram is STUN, which phones send to the ports of media to open their NAT or to see whether we are there:
/// first octet 0-3 and the cookie (RFC 7983 7, RFC 8489 5).
pub fn is_stun(datagram: &[u8]) -> bool {
    datagram
        .first_chunk::<20>()
        .is_some_and(|head| head[0] < 4 && head[4..8] == [0x21, 0x12, 0xA4, 0x42])
}

/// Read the header; None when the octets cannot be RTP of version 2.
pub fn parse(datagram: &[u8]) -> Option<Packet> {
    let head = datagram.first_chunk::<HEADER>()?;
    if head[0] >> 6 != 2 {
        return None;
    }
    let mut start = HEADER + 4 * usize::from(head[0] & 0x0F);
    if head[0] & 0x10 != 0 {
        let extension = datagram.get(start..start + 4)?;
        start += 4 + 4 * usize::from(u16::from_be_bytes([extension[2], extension[3]]));
    }
    let mut end = datagram.len();
    if head[0] & 0x20 != 0 {
        // The last octet counts the padding, itself included: 0 is impossible.
        let padding = usize::from(*datagram.last()?);
        if padding == 0 {
            return None;
        }
        end = end.checked_sub(padding)?;
    }
    if start > end {
        return None;
    }
    Some(Packet {
        marker: head[1] & 0x80 != 0,
        payload_type: head[1] & 0x7F,
        sequence: u16::from_be_bytes([head[2], head[3]]),
        timestamp: u32::from_be_bytes([head[4], head[5], head[6], head[7]]),
        ssrc: u32::from_be_bytes([head[8], head[9], head[10], head[11]]),
        payload: start..end,
    })
}

/// The part of a header that we choose for each packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    pub marker: bool,
    pub payload_type: u8,
    pub sequence: u16,
    pub timestamp: u32,
    pub ssrc: u32,
}

/// Write a plain header over the `HEADER` octets of `at`.
pub fn write(at: &mut [u8; HEADER], stamp: Stamp) {
    at[0] = 0x80;
    at[1] = (u8::from(stamp.marker) << 7) | (stamp.payload_type & 0x7F);
    at[2..4].copy_from_slice(&stamp.sequence.to_be_bytes());
    at[4..8].copy_from_slice(&stamp.timestamp.to_be_bytes());
    at[8..12].copy_from_slice(&stamp.ssrc.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(first: u8, second: u8) -> Vec<u8> {
        [
            &[first, second, 0x12, 0x34][..],
            &[0, 0, 1, 0],
            &[0xDE, 0xAD, 0xBE, 0xEF],
        ]
        .concat()
    }

    #[test]
    fn a_request_for_a_binding_is_stun__rfc8489_5() {
        let mut request = [0; 20];
        request[..8].copy_from_slice(&[0x00, 0x01, 0x00, 0x00, 0x21, 0x12, 0xA4, 0x42]);
        assert!(is_stun(&request));
        assert!(!is_stun(&request[..19]));
        for (octet, bits) in [(0, 0x80), (0, 0x04), (4, 0x01), (7, 0x01)] {
            let mut other = request;
            other[octet] ^= bits;
            assert!(!is_stun(&other), "octet {octet}");
        }
    }

    #[test]
    fn a_written_header_reads_back() {
        let stamp = Stamp {
            marker: true,
            payload_type: 101,
            sequence: 65535,
            timestamp: 0xFFFF_FF00,
            ssrc: 0x0102_0304,
        };
        let mut datagram = [0x55; HEADER + 4];
        write(datagram.first_chunk_mut().expect("long enough"), stamp);
        let packet = parse(&datagram).expect("RTP");
        assert_eq!(packet.payload, HEADER..HEADER + 4);
        assert_eq!(
            (
                packet.marker,
                packet.payload_type,
                packet.sequence,
                packet.timestamp,
                packet.ssrc
            ),
            (true, 101, 65535, 0xFFFF_FF00, 0x0102_0304)
        );
    }

    #[test]
    fn the_payload_lies_between_what_surrounds_it() {
        let body = |first: u8, rest: &[u8]| parse(&[&header(first, 0)[..], rest].concat()).map(|packet| packet.payload);
        type Case<'a> = (&'a str, u8, &'a [u8], Option<Range<usize>>);
        let cases: [Case; 13] = [
            ("plain", 0x80, b"abcd", Some(12..16)),
            ("no payload", 0x80, b"", Some(12..12)),
            ("version 1", 0x40, b"abcd", None),
            ("version 0", 0x00, b"abcd", None),
            ("one csrc", 0x81, b"CCCCab", Some(16..18)),
            ("csrcs past the end", 0x8F, b"abcd", None),
            ("extension", 0x90, b"\xBE\xDE\x00\x01EEEEab", Some(20..22)),
            ("extension of no words", 0x90, b"\xBE\xDE\x00\x00ab", Some(16..18)),
            ("extension cut off", 0x90, b"\xBE\xDE\x00", None),
            ("extension past the end", 0x90, b"\xBE\xDE\xFF\xFFab", None),
            ("padding", 0xA0, b"ab\x00\x00\x03", Some(12..14)),
            ("padding of nothing", 0xA0, b"ab\x00", None),
            ("padding over the header", 0xA0, b"ab\x10", None),
        ];
        for (name, first, rest, expected) in cases {
            assert_eq!(body(first, rest), expected, "{name}");
        }
    }

    #[test]
    fn short_datagrams_are_refused() {
        for length in 0..HEADER {
            assert_eq!(parse(&header(0x80, 0)[..length]), None, "{length}");
        }
    }

    #[test]
    fn rtcp_is_told_from_rtp_by_its_packet_type() {
        let cases = [
            (200, true),
            (192, true),
            (223, true),
            (191, false),
            (224, false),
            (0, false),
            (0x80, false),
            (0xE5, false),
        ];
        for (second, rtcp) in cases {
            assert_eq!(is_rtcp(&header(0x80, second)), rtcp, "{second}");
        }
        assert!(!is_rtcp(b"\x80"));
    }

    #[test]
    fn any_bytes_give_a_packet_within_the_datagram_or_none() {
        let mut random = crate::random::Random::new(1);
        for _ in 0..200_000 {
            let mut datagram: Vec<u8> = (0..random.below(80)).map(|_| random.next() as u8).collect();
            if let Some(first) = datagram.first_mut() {
                *first = (*first & 0x3F) | 0x80;
            }
            if let Some(packet) = parse(&datagram) {
                assert!(packet.payload.start >= HEADER && packet.payload.end <= datagram.len());
                assert!(packet.payload.start <= packet.payload.end);
            }
        }
    }
}
