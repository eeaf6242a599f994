//! The sockets of one stream.

use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};

use crate::net::{Net, MAX_DATAGRAM};
use crate::sys;

/// Datagrams that came while `peer` was bound and not connected yet, each with its sender.
pub type Early = Vec<(SocketAddr, Vec<u8>)>;

/// So many of them are kept. It takes microseconds to connect a socket: who sends more in that time sends too much.
const MOST_EARLY: usize = 64;
/// What waits in a new socket has come to an end by then, or somebody floods it faster than we can read.
const MOST_WAITING: usize = 4096;

/// See `stream`.
#[derive(Debug)]
pub struct Sockets {
    /// Owns the RTP port, and hears everyone.
    pub any: UdpSocket,
    /// The port above.
    pub rtcp: UdpSocket,
    /// Shares the port of `any`, and is connected to the peer.
    pub peer: Option<UdpSocket>,
    /// To be heard as if it had come to `any`, once `peer` is watched.
    pub early: Early,
    pub dscp: u8,
}

impl Sockets {
    /// Those of a stream that is about to be.
    pub fn new(any: UdpSocket, rtcp: UdpSocket, dscp: u8) -> Self {
        Self {
            any,
            rtcp,
            peer: None,
            early: Early::new(),
            dscp,
        }
    }

    /// Whom `peer` is connected to.
    pub fn peer_address(&self) -> Option<SocketAddr> {
        self.peer.as_ref().and_then(|peer| peer.peer_addr().ok())
    }

    /// Connect a new `peer` socket. Without a route, or a descriptor for it, `any` serves alone until the latch moves.
    ///
    /// What waits in the old one came from where the peer is no more, and after the decision that it is not: it is let go.
    pub fn turn_to(&mut self, aim: Option<SocketAddr>, net: &mut Net) {
        if let Some(before) = self.peer.take() {
            net.forget(&before);
        }
        if let Some((aim, second)) = aim.and_then(|aim| Some((aim, sys::udp_beside(&self.any, self.dscp).ok()?))) {
            (self.peer, self.early) = connected(second, aim);
        }
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

/// Connect a socket on the port of `any`, and take out of it what came before: the peer's packets among it are not to be lost, nor
/// anyone else's to pass for the peer's. No socket: there is no route, or what waits there does not end.
fn connected(second: UdpSocket, aim: SocketAddr) -> (Option<UdpSocket>, Early) {
    let is_connected = second.connect(aim).is_ok();
    let mut early = Early::new();
    let mut room = [0; MAX_DATAGRAM];
    for _ in 0..MOST_WAITING {
        match second.recv_from(&mut room) {
            Ok((length, from)) if early.len() < MOST_EARLY => early.push((from, room[..length].to_vec())),
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => return (is_connected.then_some(second), early),
            Err(_) => {} // an ICMP answer to what `any` sent: nothing was taken out
        }
    }
    (None, early)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn socket(host: &str) -> (UdpSocket, SocketAddr) {
        let socket = UdpSocket::bind((host, 0)).expect("a port");
        let at = socket.local_addr().expect("bound");
        (socket, at)
    }

    /// The socket of a stream, where it is, and one beside it that is not connected yet.
    fn beside() -> (UdpSocket, SocketAddr, UdpSocket) {
        let any = sys::udp_exclusive("127.0.0.1:0".parse().expect("an address"), 0).expect("a port");
        let at = any.local_addr().expect("bound");
        let second = sys::udp_beside(&any, 0).expect("a socket");
        (any, at, second)
    }

    #[test]
    fn what_comes_between_bind_and_connect_is_kept_with_its_sender() {
        let (any, at, second) = beside();
        let ((friend, friend_at), (stranger, stranger_at)) = (socket("127.0.0.2"), socket("127.0.0.3"));
        stranger.send_to(b"not yours", at).expect("sent");
        friend.send_to(b"hello", at).expect("sent");
        let (peer, early) = connected(second, friend_at);
        let peer = peer.expect("connected");
        // Whichever of the two sockets the kernel gave them to, none is lost, and none of the stranger's passes for the peer's.
        let mut room = [0; 64];
        let waits = std::iter::from_fn(|| {
            any.recv_from(&mut room)
                .ok()
                .map(|(length, from)| (from, room[..length].to_vec()))
        });
        let heard: Early = early.into_iter().chain(waits).collect();
        assert_eq!(
            heard,
            [(stranger_at, b"not yours".to_vec()), (friend_at, b"hello".to_vec())]
        );
        assert!(peer.recv(&mut [0; 64]).is_err());
        friend.send_to(b"again", at).expect("sent");
        stranger.send_to(b"never", at).expect("sent");
        let mut room = [0; 64];
        assert_eq!(
            peer.recv(&mut room)
                .map(|length| room[..length].to_vec())
                .expect("the peer's"),
            b"again"
        );
        assert!(peer.recv(&mut room).is_err());
    }

    #[test]
    fn of_a_flood_before_the_connect_some_are_kept_and_none_is_left_in_the_socket() {
        let (_any, at, second) = beside();
        let ((_friend, friend_at), (stranger, stranger_at)) = (socket("127.0.0.2"), socket("127.0.0.3"));
        for _ in 0..2 * MOST_EARLY {
            stranger.send_to(b"not yours", at).expect("sent");
        }
        let (peer, early) = connected(second, friend_at);
        assert!(early.len() <= MOST_EARLY && early.iter().all(|(from, _)| *from == stranger_at));
        assert!(peer.expect("connected").recv(&mut [0; 64]).is_err());
    }

    #[test]
    fn without_a_route_there_is_no_socket() {
        let (_any, _, second) = beside();
        let (peer, early) = connected(second, "240.0.0.1:9".parse().expect("an address"));
        assert!(peer.is_none() && early.is_empty());
    }
}
