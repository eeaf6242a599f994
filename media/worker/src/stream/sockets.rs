//! The sockets of one stream.

use std::net::{SocketAddr, UdpSocket};

use crate::net::Net;
use crate::sys;

/// See `stream`.
#[derive(Debug)]
pub struct Sockets {
    /// Owns the RTP port, and hears everyone.
    pub any: UdpSocket,
    /// The port above.
    pub rtcp: UdpSocket,
    /// Shares the port of `any`, and is connected to the peer.
    pub peer: Option<UdpSocket>,
    pub dscp: u8,
}

impl Sockets {
    /// Those of a stream that is about to be.
    pub fn new(any: UdpSocket, rtcp: UdpSocket, dscp: u8) -> Self {
        Self {
            any,
            rtcp,
            peer: None,
            dscp,
        }
    }

    /// Whom `peer` is connected to.
    pub fn peer_address(&self) -> Option<SocketAddr> {
        self.peer.as_ref().and_then(|peer| peer.peer_addr().ok())
    }

    /// Connect a new `peer` socket. Without a route, or a descriptor for it, `any` serves alone until the latch moves.
    pub fn turn_to(&mut self, aim: Option<SocketAddr>, net: &mut Net) {
        if let Some(before) = self.peer.take() {
            net.forget(&before);
        }
        self.peer = aim.and_then(|aim| sys::udp_companion(&self.any, aim, self.dscp).ok());
    }

    /// Have no socket watched any more: before they are closed, and before the stream leaves its thread.
    pub fn forget(&self, net: &mut Net) {
        for socket in [Some(&self.any), Some(&self.rtcp), self.peer.as_ref()]
            .into_iter()
            .flatten()
        {
            net.forget(socket);
        }
    }

    /// Send through the connected socket, or to `remote` as long as there is none.
    pub fn send(&self, datagram: &[u8], remote: Option<SocketAddr>, net: &mut Net) -> bool {
        match (&self.peer, remote) {
            (Some(peer), _) => net.send(peer, datagram),
            (None, Some(remote)) => self.any.send_to(datagram, remote).is_ok(),
            (None, None) => false,
        }
    }
}
