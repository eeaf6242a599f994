//! The packet path: from one stream's socket to its mate's, without an allocation, a lock or a copy.

use super::recordings::tap;
use super::{MediaThread, MAX_DATAGRAM};
use crate::clock::Nanos;
use crate::codec::audio::Coding;
use crate::codec::g711::Law;
use crate::codec::Kind;
use crate::net::Net;
use crate::record::Heard;
use crate::rtp::event::Body;
use crate::rtp::latch::Verdict;
use crate::rtp::sending::Feed;
use crate::rtp::{self, Packet, Stamp, HEADER};
use crate::session::{Lane, Passage};
use crate::slab::Handle;
use crate::stream::forwarding::Back;
use crate::stream::Stream;

impl MediaThread {
    /// A packet from the connected peer: the hot path.
    pub(super) fn receive_from_peer(&mut self, handle: Handle) {
        let Some(stream) = self.streams.get_mut(handle) else {
            return;
        };
        let Some(peer) = stream.sockets.peer.as_ref() else {
            return;
        };
        let Some(length) = self.wire.net.receive(peer, &mut self.datagram[..MAX_DATAGRAM]) else {
            return;
        };
        let Some(from) = stream.remote() else {
            return;
        };
        self.accept(handle, length, from);
    }

    /// A packet on the port from anyone whom the kernel does not know as the peer.
    pub(super) fn receive_from_anyone(&mut self, handle: Handle) {
        let Some(stream) = self.streams.get_mut(handle) else {
            return;
        };
        let Ok((length, from)) = stream.sockets.any.recv_from(&mut self.datagram[..MAX_DATAGRAM]) else {
            return;
        };
        self.accept(handle, length, from);
    }

    pub(super) fn receive_rtcp(&mut self, handle: Handle) {
        let Some(stream) = self.streams.get_mut(handle) else {
            return;
        };
        let Ok((length, from)) = stream.sockets.rtcp.recv_from(&mut self.datagram[..MAX_DATAGRAM]) else {
            return;
        };
        stream.hear_rtcp(&mut self.datagram[..length], from, &self.turn);
    }

    /// What lies at the start of `datagram` came from `from`.
    fn accept(&mut self, handle: Handle, length: usize, from: std::net::SocketAddr) {
        let turn = &self.turn;
        let Some(stream) = self.streams.get_mut(handle) else {
            return;
        };
        let datagram = &mut self.datagram[..length];
        if rtp::is_rtcp(datagram) && stream.session.as_ref().is_some_and(|session| session.rtcp_mux) {
            if stream.admit(from, None, &mut self.wire.net, turn) == Verdict::Peer {
                stream.hear_rtcp(datagram, from, turn);
            }
            return;
        }
        let Some(datagram) = stream.open(datagram, from, turn) else {
            return;
        };
        let whole = (datagram.len() < MAX_DATAGRAM).then_some(&*datagram);
        let known = whole.and_then(rtp::parse).and_then(|packet| {
            let lane = *stream.inbound.plan.lane(packet.payload_type)?;
            Some((packet, lane, datagram.len()))
        });
        let packet = known.as_ref().map(|(packet, ..)| packet);
        let verdict = stream.admit(from, packet, &mut self.wire.net, turn);
        if verdict == Verdict::Stranger {
            return;
        }
        let moved = verdict == Verdict::Moved;
        match known {
            None => stream.counts.malformed += 1,
            Some((packet, lane, length)) => self.take_in(handle, &packet, lane, length, moved),
        }
        if moved {
            self.watch_peer(handle);
            self.hear_early(handle);
        }
    }

    /// What came from the peer of a stream that is about to leave, behind the task that says so.
    pub(super) fn hear_left(&mut self, handle: Handle) {
        while let Some((peer, from)) = self
            .streams
            .get(handle)
            .and_then(|stream| Some((stream.sockets.peer.as_ref()?, stream.remote()?)))
        {
            let Some(length) = self.wire.net.left(peer, &mut self.datagram[..MAX_DATAGRAM]) else {
                return;
            };
            self.accept(handle, length, from);
        }
    }

    /// What came to the `peer` socket before it was connected: it may be anyone's.
    #[cold]
    pub(super) fn hear_early(&mut self, handle: Handle) {
        let Some(stream) = self.streams.get_mut(handle) else {
            return;
        };
        // One that moves the latch brings another socket, and what is early there; it moves to who is likelier, so that ends.
        for (from, octets) in std::mem::take(&mut stream.sockets.early) {
            self.datagram[..octets.len()].copy_from_slice(&octets);
            self.accept(handle, octets.len(), from);
        }
    }

    /// A packet of the peer, which takes the first `length` octets of `datagram`. `moved`: the peer is elsewhere since.
    #[inline]
    fn take_in(&mut self, handle: Handle, packet: &Packet, lane: Lane, length: usize, moved: bool) {
        let Some(lane) = self.settle_way(handle, packet, lane, moved) else {
            return;
        };
        let turn = &self.turn;
        let datagram = &self.datagram[..length];
        let Some(stream) = self.streams.get_mut(handle) else {
            return;
        };
        let heard = stream.hear(packet, &lane, datagram, turn);
        let pressed = stream.inbound.presses.has_moves();
        if heard {
            stream
                .inbound
                .listen(packet, &lane, &datagram[packet.payload.clone()], turn.now);
            if !stream.inbound.taps.is_empty() {
                self.tap_in(handle, packet, &lane);
            }
            self.relay(handle, packet, &lane);
        }
        if pressed {
            self.carry_digits(handle);
        }
    }

    /// The lane of a packet, after whatever it changes: the kernel gives its direction back, the other side wants it shorter.
    #[inline]
    fn settle_way(&mut self, handle: Handle, packet: &Packet, lane: Lane, moved: bool) -> Option<Lane> {
        let stream = self.streams.get_mut(handle)?;
        let too_long = lane.is_too_long(&self.datagram[packet.payload.clone()]);
        if stream.inbound.forwarding.notice(packet, self.turn.now) {
            self.take_direction_back(handle, Back::Packet);
        }
        if moved {
            self.bring_back(handle);
        }
        if too_long {
            self.cut(handle, packet.payload_type)
        } else {
            Some(lane)
        }
    }

    /// Pass a packet, which lies in `datagram`, to the other side of the bridge.
    fn relay(&mut self, handle: Handle, packet: &Packet, lane: &Lane) {
        let Some((mate, muted)) = self
            .streams
            .get(handle)
            .and_then(|stream| Some((stream.route.mate?, stream.route.muted)))
        else {
            return;
        };
        let Some(mate) = self.streams.get_mut(mate) else {
            return;
        };
        if matches!(lane.passage, Passage::Drop | Passage::Hear) {
            return;
        }
        let hushed = (muted || mate.route.deaf) && lane.kind != Kind::TelephoneEvent;
        if hushed || !mate.takes_bridged_audio() {
            mate.outbound.sending.withhold();
            return;
        }
        let feed = Feed::Bridged {
            stream: handle.index,
            ssrc: packet.ssrc,
        };
        let Some(stamp) = pass_on(
            mate,
            feed,
            packet,
            lane,
            &mut self.datagram[..],
            &mut self.wire.net,
            self.turn.now,
        ) else {
            return;
        };
        if mate.outbound.taps.is_empty() {
            return;
        }
        if let Some(coding) = sent_coding(lane) {
            let heard = Heard {
                ssrc: stamp.ssrc,
                timestamp: stamp.timestamp,
                coding,
                payload: &self.datagram[packet.payload.clone()],
            };
            tap(&mut self.recordings.all, &mate.outbound.taps, heard, self.turn.now);
        }
    }

    /// Record what the peer said.
    fn tap_in(&mut self, handle: Handle, packet: &Packet, lane: &Lane) {
        let (Some(stream), Some(coding)) = (self.streams.get(handle), lane.coding) else {
            return;
        };
        let heard = Heard {
            ssrc: packet.ssrc,
            timestamp: packet.timestamp,
            coding,
            payload: &self.datagram[packet.payload.clone()],
        };
        tap(&mut self.recordings.all, &stream.inbound.taps, heard, self.turn.now);
    }
}

/// The codec of a payload after its passage.
fn sent_coding(lane: &Lane) -> Option<Coding> {
    match (lane.coding?, lane.passage) {
        (Coding::G711(Law::Mu), Passage::Translate(_)) => Some(Coding::G711(Law::A)),
        (Coding::G711(Law::A), Passage::Translate(_)) => Some(Coding::G711(Law::Mu)),
        (coding, _) => Some(coding),
    }
}

/// Write the header that `mate`'s peer shall see just before the payload, over whatever CSRCs and extensions were there,
/// translate the payload in place, and send. Gives the header.
fn pass_on(
    mate: &mut Stream,
    feed: Feed,
    packet: &Packet,
    lane: &Lane,
    datagram: &mut [u8],
    net: &mut Net,
    now: Nanos,
) -> Option<Stamp> {
    let body = (lane.kind == Kind::TelephoneEvent)
        .then(|| Body::parse(&datagram[packet.payload.clone()]))
        .flatten();
    let (sending, to, rate_hz) = (&mut mate.outbound.sending, lane.payload_type, lane.clock_rate_hz);
    let stamp = match body {
        Some(body) => sending.relay_event(feed, packet, body, to, now, rate_hz)?,
        None => sending.relay(feed, packet, to, now, rate_hz)?,
    };
    if let Passage::Translate(table) = lane.passage {
        for octet in &mut datagram[packet.payload.clone()] {
            *octet = table[usize::from(*octet)];
        }
    }
    let out = &mut datagram[packet.payload.start - HEADER..];
    rtp::write(out.first_chunk_mut::<HEADER>()?, stamp);
    mate.transmit(out, HEADER + packet.payload.len(), net);
    Some(stamp)
}
