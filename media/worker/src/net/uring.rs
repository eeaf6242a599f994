//! The back end on io_uring: which descriptor is watched how, and what is done when the kernel stops watching.

use std::collections::VecDeque;
use std::io;
use std::net::UdpSocket;
use std::os::fd::{AsFd, RawFd};

use super::Arrival;
use crate::log;
use crate::sys::ring::{number, Completion, Filled, Ring};

/// How a descriptor is watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum How {
    Not,
    /// It is polled, and polled again once it was told.
    Readable,
    /// Its datagrams come by themselves.
    Datagrams,
}

/// One descriptor; the number under which it stands may have had others before.
#[derive(Debug, Clone, Copy)]
struct Watch {
    token: u64,
    generation: u32,
    how: How,
    /// The kernel keeps it at hand.
    kept: bool,
}

const UNWATCHED: Watch = Watch {
    token: 0,
    generation: 0,
    how: How::Not,
    kept: false,
};

/// See the module.
#[derive(Debug)]
pub struct Uring {
    ring: Ring,
    /// By number of descriptor.
    watches: Vec<Watch>,
    arrived: VecDeque<Completion>,
    /// How many of them belong to this turn; what comes in while it sends waits for the next.
    budget: usize,
    /// The datagram of the arrival that was taken last, until it is received or the next is taken.
    in_hand: Option<Filled>,
}

impl Uring {
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            ring: Ring::new()?,
            watches: Vec::new(),
            arrived: VecDeque::new(),
            budget: 0,
            in_hand: None,
        })
    }

    /// To be called once, on the thread that uses it.
    pub fn start(&mut self) -> io::Result<()> {
        self.ring.start()
    }

    pub fn watch(&mut self, fd: &impl AsFd, token: u64) {
        self.begin(number(fd), token, How::Readable);
    }

    pub fn watch_datagrams(&mut self, socket: &UdpSocket, token: u64) {
        self.begin(number(socket), token, How::Datagrams);
    }

    fn begin(&mut self, fd: RawFd, token: u64, how: How) {
        let place = fd as usize;
        if place >= self.watches.len() {
            self.watches.resize(place + 1, UNWATCHED);
        }
        let watch = &mut self.watches[place];
        watch.generation = watch.generation.wrapping_add(1);
        watch.token = token;
        watch.how = how;
        watch.kept = how == How::Datagrams && self.ring.keep(fd).is_ok();
        self.arm(fd);
    }

    /// Ask the kernel (again) for what a watched descriptor has to say.
    fn arm(&mut self, fd: RawFd) {
        let watch = self.watches[fd as usize];
        let mark = mark(fd, watch.generation);
        match watch.how {
            How::Not => {}
            How::Readable => self.ring.poll(fd, mark),
            How::Datagrams => self.ring.receive(fd, watch.kept, mark),
        }
    }

    /// Queued sends leave with this, so the descriptor may be closed and its number given to another socket.
    pub fn forget(&mut self, fd: &impl AsFd) {
        let fd = number(fd);
        let Some(watch) = self.watches.get_mut(fd as usize).filter(|watch| watch.how != How::Not) else {
            // Its watch may have ended by an error, and something be queued all the same.
            return self.ring.enter(0, &mut self.arrived);
        };
        watch.how = How::Not;
        let kept = std::mem::take(&mut watch.kept);
        let mark = mark(fd, watch.generation);
        self.ring.cancel(mark);
        self.ring.enter(0, &mut self.arrived);
        if kept {
            self.ring.put_away(fd);
        }
    }

    /// See `Net::left`.
    pub fn left(&mut self, socket: &UdpSocket, buffer: &mut [u8]) -> Option<usize> {
        let fd = number(socket);
        let watch = self.watches.get(fd as usize).filter(|watch| watch.how == How::Not)?;
        let own = mark(fd, watch.generation);
        let of_socket = |one: &Completion| matches!(one, Completion::Datagram { mark, .. } if *mark == own);
        let place = self.arrived.iter().position(of_socket)?;
        let Some(Completion::Datagram { filled, armed, .. }) = self.arrived.remove(place) else {
            return None;
        };
        self.budget -= usize::from(place < self.budget);
        if armed {
            self.ring.cancel(own); // it may have slipped through while the socket was being forgotten
        }
        self.in_hand = Some(filled);
        self.receive(buffer).ok()
    }

    pub fn wait(&mut self, timeout_ms: i32) {
        self.put_down();
        let timeout_ms = if self.arrived.is_empty() { timeout_ms } else { 0 };
        self.ring.enter(timeout_ms, &mut self.arrived);
        self.budget = self.arrived.len();
    }

    pub fn upcoming(&self, ahead: usize) -> Option<u64> {
        match self.arrived.get(ahead - 1)? {
            Completion::Datagram { mark, .. } => self.current(*mark).map(|(_, watch)| watch.token),
            _ => None,
        }
    }

    pub fn take(&mut self) -> Option<Arrival> {
        self.put_down();
        while self.budget > 0 {
            self.budget -= 1;
            let completion = self.arrived.pop_front()?;
            let arrival = match completion {
                Completion::Readable { mark } => self.readable(mark),
                Completion::Datagram { mark, filled, armed } => self.datagram(mark, filled, armed),
                Completion::Ended { mark, error } => self.ended(mark, error),
                Completion::Unsent { fd, octets } => {
                    let watch = self.watches.get(fd as usize).filter(|watch| watch.how != How::Not);
                    watch.map(|watch| Arrival::Unsent {
                        token: watch.token,
                        octets,
                    })
                }
            };
            if arrival.is_some() {
                return arrival;
            }
        }
        None
    }

    /// The descriptor of a mark, if it is still what was watched then.
    fn current(&self, mark: u64) -> Option<(RawFd, Watch)> {
        let fd = (mark >> 32) as RawFd;
        let watch = *self.watches.get(fd as usize)?;
        (watch.how != How::Not && watch.generation == mark as u32).then_some((fd, watch))
    }

    fn readable(&mut self, mark: u64) -> Option<Arrival> {
        let (fd, watch) = self.current(mark)?;
        // The kernel looks again with the next wait: by then it was read once, and others had their turn.
        self.arm(fd);
        Some(Arrival::Waiting { token: watch.token })
    }

    fn datagram(&mut self, mark: u64, filled: Filled, armed: bool) -> Option<Arrival> {
        let Some((fd, watch)) = self.current(mark) else {
            self.ring.recycle(filled);
            if armed {
                self.ring.cancel(mark); // it slipped through while the socket was being forgotten
            }
            return None;
        };
        if !armed {
            self.arm(fd);
        }
        self.in_hand = Some(filled);
        Some(Arrival::Waiting { token: watch.token })
    }

    /// The kernel watches no more. It ran out of buffers, or has an ICMP answer for us, or had too much to tell: go on.
    fn ended(&mut self, mark: u64, error: i32) -> Option<Arrival> {
        let (fd, watch) = self.current(mark)?;
        match (watch.how, error) {
            (How::Datagrams, libc::EINVAL | libc::EOPNOTSUPP | libc::ENOSYS) => {
                // Not on this socket: it is read like the others.
                self.watches[fd as usize].how = How::Readable;
            }
            (_, libc::EBADF | libc::EINVAL) => {
                log::error("watch_ended", &[("descriptor", &fd), ("error", &error)]);
                self.watches[fd as usize].how = How::Not;
            }
            _ => {}
        }
        self.arm(fd);
        None
    }

    /// Copy the datagram in hand into `buffer`. Err: there is none, read the socket.
    pub fn receive(&mut self, buffer: &mut [u8]) -> Result<usize, ()> {
        let filled = self.in_hand.take().ok_or(())?;
        let datagram = self.ring.datagram(&filled);
        let length = datagram.len().min(buffer.len());
        buffer[..length].copy_from_slice(&datagram[..length]);
        self.ring.recycle(filled);
        Ok(length)
    }

    fn put_down(&mut self) {
        if let Some(filled) = self.in_hand.take() {
            self.ring.recycle(filled);
        }
    }

    /// Queue a datagram. Err: there is no room for it even now.
    pub fn send(&mut self, socket: &UdpSocket, datagram: &[u8]) -> Result<(), ()> {
        if !self.ring.has_room(datagram.len()) {
            self.ring.enter(0, &mut self.arrived);
            if !self.ring.has_room(datagram.len()) {
                return Err(());
            }
        }
        let fd = number(socket);
        let kept = self.watches.get(fd as usize).is_some_and(|watch| watch.kept);
        self.ring.send(fd, kept, datagram);
        Ok(())
    }
}

/// Descriptor and generation in one number: 30 and 32 bits.
fn mark(fd: RawFd, generation: u32) -> u64 {
    (fd as u64) << 32 | u64::from(generation)
}
