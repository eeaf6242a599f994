//! What we send: the sender's side of RFC 3711 3.3 and 3.4.

use super::cipher::{PacketIndex, Pair};
use super::index::{Seen, LAST_INDEX, LAST_RTCP_INDEX};
use super::keys::Keys;
use super::sources::Sources;
use super::{control_header, rtp_header, Refused, CONTROL_HEADER};

/// The sender's half of a stream. One for all SSRCs that it sends.
pub struct Outbound {
    keys: Keys,
    pair: Box<Pair>,
    sources: Sources,
}

impl Outbound {
    pub fn new(keys: &Keys) -> Self {
        Self {
            keys: keys.clone(),
            pair: Box::new(Pair::new(keys)),
            sources: Sources::default(),
        }
    }

    /// Go on with other keys; the same ones change nothing. A roll-over counter goes on with its SSRC (RFC 3711 3.3.1).
    /// Peers disagree whether it does, and an SSRC that is new has none: so give the stream a new one when this is true.
    pub fn rekey(&mut self, keys: &Keys) -> bool {
        if self.keys == *keys {
            return false;
        }
        self.keys = keys.clone();
        *self.pair = Pair::new(keys);
        true
    }

    /// Encrypt the RTP packet in the first `length` octets of `buffer`; gives its new length.
    pub fn protect(&mut self, buffer: &mut [u8], length: usize) -> Result<usize, Refused> {
        let header = buffer.get(..length).and_then(rtp_header).ok_or(Refused::Malformed)?;
        let cipher = &self.pair.rtp;
        let behind = self.keys.identifier().len() + cipher.tag_len();
        if buffer.len() - length < behind {
            return Err(Refused::NoRoom);
        }
        // Forgetting a source here would mean to begin its counter again, and to use its keystream twice.
        if self.sources.is_full_for(header.ssrc) {
            return Err(Refused::Sources);
        }
        let mut source = self.sources.get(header.ssrc);
        let index = source.rtp.guess(header.sequence).ok_or(Refused::Late)?;
        if index > LAST_INDEX {
            return Err(Refused::Exhausted);
        }
        match source.rtp.look(index) {
            Seen::Never => {}
            Seen::Before => return Err(Refused::Replayed),
            Seen::Unknown => return Err(Refused::Late),
        }
        source.rtp.note(index);
        self.sources.put(source);
        let (packet, room) = buffer.split_at_mut(length);
        let (head, body) = packet.split_at_mut(header.length);
        let tag = cipher
            .seal(head, body, PacketIndex::of_rtp(header.ssrc, index))
            .ok_or(Refused::Malformed)?;
        let parts: [&[u8]; 2] = if cipher.is_aead() {
            [&tag[..cipher.tag_len()], self.keys.identifier()]
        } else {
            [self.keys.identifier(), &tag[..cipher.tag_len()]]
        };
        Ok(length + append(room, &parts))
    }

    /// Encrypt the RTCP packet, which may be a compound one, in the first `length` octets of `buffer`.
    pub fn protect_rtcp(&mut self, buffer: &mut [u8], length: usize) -> Result<usize, Refused> {
        let ssrc = buffer
            .get(..length)
            .and_then(control_header)
            .ok_or(Refused::Malformed)?;
        let cipher = &self.pair.rtcp;
        let behind = 4 + self.keys.identifier().len() + cipher.tag_len();
        if buffer.len() - length < behind {
            return Err(Refused::NoRoom);
        }
        if self.sources.is_full_for(ssrc) {
            return Err(Refused::Sources);
        }
        let mut source = self.sources.get(ssrc);
        let index = source.rtcp.highest().map_or(0, |highest| highest + 1);
        if index > LAST_RTCP_INDEX {
            return Err(Refused::Exhausted);
        }
        source.rtcp.note(index);
        self.sources.put(source);
        let place = PacketIndex::of_rtcp(ssrc, index as u32);
        let (packet, room) = buffer.split_at_mut(length);
        let (head, body) = packet.split_at_mut(CONTROL_HEADER);
        let tag = cipher.seal(head, body, place).ok_or(Refused::Malformed)?;
        let tag = &tag[..cipher.tag_len()];
        let parts: [&[u8]; 3] = if cipher.is_aead() {
            [tag, &place.trailer, self.keys.identifier()]
        } else {
            [&place.trailer, self.keys.identifier(), tag]
        };
        Ok(length + append(room, &parts))
    }
}

impl std::fmt::Debug for Outbound {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(to, "Outbound({:?})", self.keys)
    }
}

/// Write one part behind the other; the room was measured before.
fn append(room: &mut [u8], parts: &[&[u8]]) -> usize {
    let mut length = 0;
    for part in parts {
        if let Some(place) = room.get_mut(length..length + part.len()) {
            place.copy_from_slice(part);
            length += part.len();
        }
    }
    length
}

#[cfg(test)]
mod tests {
    use super::super::keys::Suite;
    use super::super::sources::Source;
    use super::*;

    #[test]
    fn a_key_protects_no_more_than_its_indices__rfc3711_9_2() {
        let mut outbound = Outbound::new(&Keys::new(Suite::AeadAes128Gcm, &[7; 28]).expect("keys"));
        let mut source = Source {
            ssrc: 1,
            ..Source::default()
        };
        source.rtp.note(LAST_INDEX - 1);
        source.rtcp.note(LAST_RTCP_INDEX - 1);
        outbound.sources.put(source);
        let mut packet = [0; 40];
        packet[..12].copy_from_slice(&[0x80, 0, 0xFF, 0xFF, 0, 0, 0, 0, 0, 0, 0, 1]);
        assert!(outbound.protect(&mut packet, 20).is_ok());
        packet[2..4].copy_from_slice(&[0, 0]);
        assert_eq!(outbound.protect(&mut packet, 20), Err(Refused::Exhausted));
        packet[..8].copy_from_slice(&[0x80, 201, 0, 1, 0, 0, 0, 1]);
        assert!(outbound.protect_rtcp(&mut packet, 8).is_ok());
        assert_eq!(outbound.protect_rtcp(&mut packet, 8), Err(Refused::Exhausted));
    }
}
