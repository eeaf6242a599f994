//! How a media thread waits for its sockets and sends through them: one interface, two back ends.
//!
//! One turn of a thread's loop is `wait`, then `take` until there is nothing left. What arrived is told by the token that
//! was given to `watch`. A socket must be handed to `forget` before it is closed or leaves the thread.
//!
//! With epoll every datagram costs a call to receive and one to send. With io_uring (`sys::ring`) datagrams of connected
//! sockets arrive by themselves, and all that a turn sends goes out with the wait of the next: one call a turn. Kernels
//! and containers that forbid it are common, so epoll stays a full citizen; `choose` finds out.

mod polled;
#[cfg(test)]
mod tests;
mod uring;

use std::io::{self, ErrorKind};
use std::net::UdpSocket;
use std::os::fd::AsFd;

use crate::log;
use crate::sys::ring;
pub use crate::sys::MAX_DATAGRAM;
use polled::Polled;
use uring::Uring;

/// Which back end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Io {
    Epoll,
    Uring,
}

impl Io {
    pub fn name(self) -> &'static str {
        match self {
            Self::Epoll => "epoll",
            Self::Uring => "uring",
        }
    }
}

/// The back end to use: the one that is wanted, or io_uring where the kernel allows it. The error says why the one that
/// is wanted cannot be had.
pub fn choose(wanted: Option<Io>) -> Result<Io, String> {
    if wanted == Some(Io::Epoll) {
        return Ok(Io::Epoll);
    }
    match (ring::probe(), wanted) {
        (Ok(()), _) => Ok(Io::Uring),
        (Err(error), Some(_)) => Err(format!("io_uring: {error}")),
        (Err(error), None) => {
            log::info("no_io_uring", &[("reason", &error)]);
            Ok(Io::Epoll)
        }
    }
}

/// Something that happened to a watched descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrival {
    /// There is something to read.
    Waiting { token: u64 },
    /// A datagram that `send` had taken was refused after all.
    Unsent { token: u64, octets: usize },
}

/// See the module.
#[derive(Debug)]
pub struct Net(Back);

#[derive(Debug)]
enum Back {
    Epoll(Polled),
    Uring(Box<Uring>),
}

impl Net {
    /// What a thread cannot have of io_uring, for want of memory say, it does with epoll.
    pub fn new(io: Io) -> io::Result<Self> {
        if io == Io::Uring {
            match Uring::new() {
                Ok(uring) => return Ok(Self(Back::Uring(Box::new(uring)))),
                Err(error) => log::warning("thread_without_io_uring", &[("reason", &error)]),
            }
        }
        Ok(Self(Back::Epoll(Polled::new()?)))
    }

    /// To be called once, on the thread that uses it, before the first `wait`.
    pub fn start(&mut self) -> io::Result<()> {
        match &mut self.0 {
            Back::Epoll(_) => Ok(()),
            Back::Uring(uring) => uring.start(),
        }
    }

    /// Have a descriptor watched: it is told as long as there is something to read.
    pub fn watch(&mut self, fd: &impl AsFd, token: u64) -> io::Result<()> {
        match &mut self.0 {
            Back::Epoll(polled) => polled.watch(fd, token),
            Back::Uring(uring) => {
                uring.watch(fd, token);
                Ok(())
            }
        }
    }

    /// Have a connected socket watched, whose datagrams are taken with `receive`.
    pub fn watch_datagrams(&mut self, socket: &UdpSocket, token: u64) -> io::Result<()> {
        match &mut self.0 {
            Back::Epoll(polled) => polled.watch(socket, token),
            Back::Uring(uring) => {
                uring.watch_datagrams(socket, token);
                Ok(())
            }
        }
    }

    /// Watch a descriptor no more; what was to be sent through it is on its way after this.
    pub fn forget(&mut self, fd: &impl AsFd) {
        match &mut self.0 {
            Back::Epoll(polled) => polled.forget(fd),
            Back::Uring(uring) => uring.forget(fd),
        }
    }

    /// What had come from a socket that was forgotten just now, and was not taken yet; one datagram at a time, which lies at the
    /// start of `buffer` then. It is lost otherwise: what the socket still holds goes with it.
    pub fn left(&mut self, socket: &UdpSocket, buffer: &mut [u8]) -> Option<usize> {
        match &mut self.0 {
            Back::Epoll(_) => None, // all that was not read is in the socket
            Back::Uring(uring) => uring.left(socket, buffer),
        }
    }

    /// Wait until something arrives or `timeout_ms` is over (-1 = for ever).
    pub fn wait(&mut self, timeout_ms: i32) {
        match &mut self.0 {
            Back::Epoll(polled) => polled.wait(timeout_ms),
            Back::Uring(uring) => uring.wait(timeout_ms),
        }
    }

    /// What arrived, one after the other.
    pub fn take(&mut self) -> Option<Arrival> {
        match &mut self.0 {
            Back::Epoll(polled) => polled.take(),
            Back::Uring(uring) => uring.take(),
        }
    }

    /// The token of what is going to be taken so many arrivals later (1 = the next), as far as that can be told.
    pub fn upcoming(&self, ahead: usize) -> Option<u64> {
        match &self.0 {
            Back::Epoll(polled) => polled.upcoming(ahead),
            Back::Uring(uring) => uring.upcoming(ahead),
        }
    }

    /// The datagram that the last arrival told of, which lies at the start of `buffer` then; its length. None: an ICMP
    /// answer to what we sent, or nothing after all.
    pub fn receive(&mut self, socket: &UdpSocket, buffer: &mut [u8]) -> Option<usize> {
        if let Back::Uring(uring) = &mut self.0 {
            if let Ok(length) = uring.receive(buffer) {
                return Some(length);
            }
        }
        socket.recv(buffer).ok()
    }

    /// Send a datagram through a connected, watched socket. False when it was refused: a full socket buffer or a lost
    /// route loses a packet, as the network might. What is refused later is told as `Unsent`.
    pub fn send(&mut self, socket: &UdpSocket, datagram: &[u8]) -> bool {
        if let Back::Uring(uring) = &mut self.0 {
            if uring.send(socket, datagram).is_ok() {
                return true;
            }
        }
        let sent = match socket.send(datagram) {
            // An answer "port unreachable" to an earlier packet is told with the next one, which is then not sent.
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => socket.send(datagram),
            other => other,
        };
        sent.is_ok()
    }
}
