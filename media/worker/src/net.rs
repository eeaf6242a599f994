//! How a media thread waits for its sockets and sends through them.
//!
//! One turn of a thread's loop is `wait`, then `take` until there is nothing left. What arrived is told by the token that
//! was given to `watch`. A socket must be handed to `forget` before it is closed or leaves the thread.

use std::io::{self, ErrorKind};
use std::net::UdpSocket;
use std::os::fd::AsFd;

use crate::sys::{Epoll, Ready};

/// Sockets that one wait may report.
const MAX_READY: usize = 1024;

/// Something that a watched descriptor has for us.
#[derive(Debug, Clone, Copy)]
pub struct Arrival {
    pub token: u64,
}

/// A packet of our own in the making, and the way it goes.
#[derive(Debug)]
pub struct Outgoing<'a> {
    /// Room for a header, a payload, and what encryption puts behind them.
    pub packet: &'a mut [u8],
    pub net: &'a mut Net,
}

/// See the module.
#[derive(Debug)]
pub struct Net {
    epoll: Epoll,
    ready: Box<[Ready]>,
    /// The part of `ready` that is still to be handled.
    next: usize,
    end: usize,
}

impl Net {
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            epoll: Epoll::new()?,
            ready: vec![Ready::EMPTY; MAX_READY].into(),
            next: 0,
            end: 0,
        })
    }

    /// Have a descriptor watched: it is told as long as there is something to read.
    pub fn watch(&mut self, fd: &impl AsFd, token: u64) -> io::Result<()> {
        self.epoll.add(fd, token)
    }

    /// Have a connected socket watched, whose datagrams are taken with `receive`.
    pub fn watch_datagrams(&mut self, socket: &UdpSocket, token: u64) -> io::Result<()> {
        self.epoll.add(socket, token)
    }

    /// Watch a descriptor no more; what was to be sent through it is on its way after this.
    pub fn forget(&mut self, fd: &impl AsFd) {
        // It may never have been watched, when that failed; then there is nothing to take back.
        let _ = self.epoll.remove(fd);
    }

    /// Wait until something arrives or `timeout_ms` is over (-1 = for ever).
    pub fn wait(&mut self, timeout_ms: i32) {
        self.next = 0;
        self.end = self.epoll.wait(&mut self.ready, timeout_ms).len();
    }

    /// What arrived, one after the other.
    pub fn take(&mut self) -> Option<Arrival> {
        let token = self.ready[self.next..self.end].first()?.token();
        self.next += 1;
        Some(Arrival { token })
    }

    /// The datagram of an arrival, which lies at the start of `buffer` then; its length. None: an ICMP answer to what we
    /// sent, or nothing after all.
    pub fn receive(&mut self, _arrival: Arrival, socket: &UdpSocket, buffer: &mut [u8]) -> Option<usize> {
        socket.recv(buffer).ok()
    }

    /// Send a datagram through a connected socket. False when it was refused: a full socket buffer or a lost route loses
    /// a packet, as the network might.
    pub fn send(&mut self, socket: &UdpSocket, datagram: &[u8]) -> bool {
        let sent = match socket.send(datagram) {
            // An answer "port unreachable" to an earlier packet is told with the next one, which is then not sent.
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => socket.send(datagram),
            other => other,
        };
        sent.is_ok()
    }
}
