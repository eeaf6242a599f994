//! What the peer sends: the receiver's side of RFC 3711 3.3 and 3.4, and the doubts about a peer that `srtp` names.

use super::cipher::{PacketIndex, Pair};
use super::index::{Seen, Window, LAST_INDEX};
use super::keys::Keys;
use super::sources::{Source, Sources};
use super::{control_header, rtp_header, Refused, RtpHeader, CONTROL_HEADER, ENCRYPTED};
use crate::clock::{Nanos, SECOND};

/// How long packets under the old key are taken after a change: an answer may be repeated for 64 * T1 before it arrives
/// (RFC 3261 13.3.1.4), and the peer changes its key with it.
pub const OLD_KEY: Nanos = 32 * SECOND;
/// After a roll-over that nobody saw, the first sequence numbers of a source are low: a sender that begins above has
/// not rolled over unseen within the few packets that may be lost.
const ROLLED_OVER_UNSEEN: u16 = 1 << 14;

struct KeySet {
    keys: Keys,
    pair: Box<Pair>,
}

impl KeySet {
    fn new(keys: &Keys) -> Self {
        Self {
            keys: keys.clone(),
            pair: Box::new(Pair::new(keys)),
        }
    }
}

/// The receiver's half of a stream. One for all SSRCs that the peer sends.
pub struct Inbound {
    current: KeySet,
    previous: Option<KeySet>,
    previous_until: Nanos,
    /// Rises with every change of keys.
    epoch: u32,
    sources: Sources,
}

impl Inbound {
    pub fn new(keys: &Keys) -> Self {
        Self {
            current: KeySet::new(keys),
            previous: None,
            previous_until: 0,
            epoch: 0,
            sources: Sources::default(),
        }
    }

    /// Take other keys from `now` on, the old ones for `OLD_KEY` more; the same ones change nothing.
    pub fn rekey(&mut self, keys: &Keys, now: Nanos) {
        if self.current.keys == *keys {
            return;
        }
        self.epoch = self.epoch.wrapping_add(1);
        self.previous_until = now.saturating_add(OLD_KEY);
        let back = self.previous.take().filter(|previous| previous.keys == *keys);
        if back.is_some() {
            // Back to what was used before, as after an offer that was refused. A counter that began at zero again would
            // open the door to whatever was recorded then: it must go on.
            for source in self.sources.iter_mut() {
                (source.rtp_epoch, source.control_epoch) = (self.epoch, self.epoch);
            }
        }
        let next = back.unwrap_or_else(|| KeySet::new(keys));
        self.previous = Some(std::mem::replace(&mut self.current, next));
    }

    /// Decrypt an RTP packet in place; gives its length without the tag.
    pub fn unprotect(&mut self, datagram: &mut [u8], now: Nanos) -> Result<usize, Refused> {
        let header = rtp_header(datagram).ok_or(Refused::Malformed)?;
        let source = self.sources.get(header.ssrc);
        let current = open_rtp(
            &self.current,
            datagram,
            &header,
            source.rtp,
            source.rtp_epoch != self.epoch,
        );
        let refused = match current {
            Ok((plain, window)) => {
                if source.rtp.highest() > window.highest() {
                    self.previous = None; // what it protected begins anew, and could be replayed
                }
                self.sources.put(Source {
                    rtp: window,
                    rtp_epoch: self.epoch,
                    ..source
                });
                return Ok(plain);
            }
            Err(refused) => refused,
        };
        let Some(previous) = self.previous.as_ref().filter(|_| now < self.previous_until) else {
            return Err(refused);
        };
        let (plain, window) = open_rtp(previous, datagram, &header, source.rtp, false).map_err(|_| refused)?;
        self.sources.put(Source { rtp: window, ..source });
        Ok(plain)
    }

    /// Decrypt an RTCP packet in place; gives its length without what protection added.
    pub fn unprotect_rtcp(&mut self, datagram: &mut [u8], now: Nanos) -> Result<usize, Refused> {
        let ssrc = control_header(datagram).ok_or(Refused::Malformed)?;
        let source = self.sources.get(ssrc);
        let may_restart = source.control_epoch != self.epoch;
        let refused = match open_rtcp(&self.current, datagram, ssrc, source.rtcp, may_restart) {
            Ok((plain, window)) => {
                if source.rtcp.highest() > window.highest() {
                    self.previous = None; // what it protected begins anew, and could be replayed
                }
                self.sources.put(Source {
                    rtcp: window,
                    control_epoch: self.epoch,
                    ..source
                });
                return Ok(plain);
            }
            Err(refused) => refused,
        };
        let Some(previous) = self.previous.as_ref().filter(|_| now < self.previous_until) else {
            return Err(refused);
        };
        let (plain, window) = open_rtcp(previous, datagram, ssrc, source.rtcp, false).map_err(|_| refused)?;
        self.sources.put(Source { rtcp: window, ..source });
        Ok(plain)
    }
}

impl std::fmt::Debug for Inbound {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(to, "Inbound({:?})", self.current.keys)
    }
}

/// Try an RTP packet under one key. `may_restart`: the source was not heard under it yet. Gives the length of the plain
/// packet, and the window with it in.
fn open_rtp(
    key_set: &KeySet,
    datagram: &mut [u8],
    header: &RtpHeader,
    window: Window,
    may_restart: bool,
) -> Result<(usize, Window), Refused> {
    let cipher = &key_set.pair.rtp;
    let identifier = key_set.keys.identifier();
    let behind = identifier.len() + cipher.tag_len();
    let plain = datagram
        .len()
        .checked_sub(behind)
        .filter(|plain| *plain >= header.length)
        .ok_or(Refused::Malformed)?;
    let (packet, trailer) = datagram.split_at_mut(plain);
    let (tag, carried) = if cipher.is_aead() {
        trailer.split_at(cipher.tag_len())
    } else {
        let (carried, tag) = trailer.split_at(identifier.len());
        (tag, carried)
    };
    if carried != identifier {
        return Err(Refused::Unauthentic);
    }
    let (head, body) = packet.split_at_mut(header.length);
    let likely = window.guess(header.sequence);
    let doubt = if !window.has_begun() {
        (header.sequence < ROLLED_OVER_UNSEEN).then(|| (u64::from(header.sequence) | 1 << 16, window))
    } else {
        may_restart.then(|| (u64::from(header.sequence), Window::default()))
    };
    let mut refused = Refused::Late;
    let mut tried = None;
    for (index, mut window) in likely.map(|index| (index, window)).into_iter().chain(doubt) {
        if index > LAST_INDEX || tried == Some(index) {
            continue;
        }
        match window.look(index) {
            Seen::Never => {}
            Seen::Before => {
                refused = Refused::Replayed;
                continue;
            }
            Seen::Unknown => {
                refused = Refused::Late;
                continue;
            }
        }
        if cipher.open(head, body, tag, PacketIndex::of_rtp(header.ssrc, index)) {
            window.note(index);
            return Ok((plain, window));
        }
        refused = Refused::Unauthentic;
        tried = Some(index);
    }
    Err(refused)
}

/// The same for RTCP, which carries its index.
fn open_rtcp(
    key_set: &KeySet,
    datagram: &mut [u8],
    ssrc: u32,
    window: Window,
    may_restart: bool,
) -> Result<(usize, Window), Refused> {
    let cipher = &key_set.pair.rtcp;
    let identifier = key_set.keys.identifier();
    let behind = 4 + identifier.len() + cipher.tag_len();
    let plain = datagram
        .len()
        .checked_sub(behind)
        .filter(|plain| *plain >= CONTROL_HEADER)
        .ok_or(Refused::Malformed)?;
    let (packet, trailer) = datagram.split_at_mut(plain);
    let (tag, word, carried) = if cipher.is_aead() {
        let (tag, rest) = trailer.split_at(cipher.tag_len());
        let (word, carried) = rest.split_at(4);
        (tag, word, carried)
    } else {
        let (word, rest) = trailer.split_at(4);
        let (carried, tag) = rest.split_at(identifier.len());
        (tag, word, carried)
    };
    if carried != identifier {
        return Err(Refused::Unauthentic);
    }
    let word = word.first_chunk::<4>().map_or(0, |word| u32::from_be_bytes(*word));
    // The flag tells that it is encrypted; that it need not be is something we never agree to.
    if word & ENCRYPTED == 0 {
        return Err(Refused::Malformed);
    }
    let index = u64::from(word & !ENCRYPTED);
    let mut window = match window.look(index) {
        Seen::Never => window,
        _ if may_restart => Window::default(),
        Seen::Before => return Err(Refused::Replayed),
        Seen::Unknown => return Err(Refused::Late),
    };
    let (head, body) = packet.split_at_mut(CONTROL_HEADER);
    if !cipher.open(head, body, tag, PacketIndex::of_rtcp(ssrc, index as u32)) {
        return Err(Refused::Unauthentic);
    }
    window.note(index);
    Ok((plain, window))
}
