//! A media thread: one loop that owns streams, bridges and whatever happens on them.
//!
//! Nothing here is shared and nothing is locked. A turn of the loop waits for packets, for a task or for the next tick,
//! reads the clock once, then handles all that is ready. Every socket is read once a turn: a busy one does not keep
//! others waiting, and the next wait brings it back.
//!
//! A panic is a bug of ours. It ends the stream whose packet or task was in hand, is told as `Failed(code="internal")`,
//! and the loop goes on: one call is lost, not all of them.

mod carry_out;
mod digits;
mod forwarding;
mod mix;
mod mixes;
mod packets;
mod playout;
mod recordings;
pub mod tasks;
#[cfg(test)]
mod tests;
mod timers;
mod voice;
mod wheel;

use std::io;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::Arc;
use std::thread::JoinHandle;

use crate::clock::{Clock, Nanos, MILLISECOND};
use crate::forward::Forwarder;
use crate::log;
use crate::net::{Arrival, Io, Net, MAX_DATAGRAM};
use crate::outbox::{Outbox, Up};
use crate::protocol::{Event, Failed, Name};
use crate::random::Random;
use crate::record::writer::Desk;
use crate::rtp::flood::Limit;
use crate::slab::{Handle, Named};
use crate::stream::{Stream, Turn, Wire, ROOM};
use crate::sys;

/// How many packets ahead a stream is brought near, and then what it points to.
const FAR_AHEAD: usize = 4;
const AHEAD: usize = 2;
const WAKER_TOKEN: u64 = u64::MAX;

pub use recordings::Recording;
use recordings::Recordings;
use tasks::{Inbox, Inlet};
use timers::Agenda;

/// Which of a stream's sockets is ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Port {
    Any = 0,
    Peer = 1,
    Rtcp = 2,
}

/// Two joined streams.
#[derive(Debug)]
struct Bridge {
    name: Name,
    first: Handle,
    second: Handle,
    /// Why nothing passes between the two, as it was told.
    apart: Option<String>,
}

/// See the module.
#[derive(Debug)]
pub struct MediaThread {
    turn: Turn,
    wire: Wire,
    inbox: Inbox,
    streams: Named<Stream>,
    bridges: Named<Bridge>,
    mixes: Named<mix::Mix>,
    recordings: Recordings,
    agenda: Agenda,
    random: Random,
    /// The way into the kernel, if plain bridges are to be forwarded there.
    forwarder: Option<Arc<Forwarder>>,
    /// The stream in hand, to be blamed for a panic.
    current: Option<Handle>,
    /// The datagram in hand, which is worked on in place.
    datagram: Box<[u8; ROOM]>,
    stopping: bool,
}

/// Start a media thread.
pub fn start(
    number: usize,
    io: Io,
    clock: Clock,
    outbox: Outbox,
    desk: Desk,
    limit: Limit,
    forwarder: Option<Arc<Forwarder>>,
) -> io::Result<(Inlet, JoinHandle<()>)> {
    let (inlet, inbox) = tasks::channel()?;
    let mut media_thread = MediaThread::new(io, clock, inbox, outbox, desk)?;
    media_thread.turn.limit = limit;
    media_thread.forwarder = forwarder;
    let thread = std::thread::Builder::new()
        .name(format!("media-{number}"))
        .spawn(move || media_thread.run_to_the_end())?;
    Ok((inlet, thread))
}

impl MediaThread {
    fn new(io: Io, clock: Clock, inbox: Inbox, outbox: Outbox, desk: Desk) -> io::Result<Self> {
        let mut net = Net::new(io)?;
        net.watch(&*inbox.waker, WAKER_TOKEN)?;
        let name: [u8; 12] = sys::entropy();
        let now = clock.now();
        Ok(Self {
            turn: Turn {
                now,
                clock,
                cname: name.iter().map(|octet| format!("{octet:02x}")).collect(),
                outbox,
                limit: Limit::new(0),
            },
            wire: Wire {
                net,
                packet: Box::new([0; ROOM]),
            },
            inbox,
            streams: Named::default(),
            bridges: Named::default(),
            mixes: Named::default(),
            recordings: Recordings::new(desk),
            agenda: Agenda::new(now),
            random: Random::new(u64::from_be_bytes(sys::entropy())),
            forwarder: None,
            current: None,
            datagram: Box::new([0; ROOM]),
            stopping: false,
        })
    }

    fn run_to_the_end(&mut self) {
        if let Err(error) = self.start_net() {
            log::error("no_network", &[("reason", &error)]);
            return self.turn.outbox.send(Up::Stopped);
        }
        while !self.guarded(Self::run) {}
        self.turn.outbox.send(Up::Stopped);
    }

    /// Do a part of the loop. False when it gave way: then the stream in hand is closed.
    fn guarded(&mut self, part: impl FnOnce(&mut Self)) -> bool {
        let done = catch_unwind(AssertUnwindSafe(|| part(self))).is_ok();
        if let Some(handle) = self.current.take().filter(|_| !done) {
            self.give_up(handle);
        }
        done
    }

    /// A ring that cannot be bound to this thread gives way to epoll; nothing but the waker is watched yet.
    fn start_net(&mut self) -> io::Result<()> {
        if let Err(error) = self.wire.net.start() {
            log::warning("thread_without_io_uring", &[("reason", &error)]);
            self.wire.net = Net::new(Io::Epoll)?;
            self.wire.net.watch(&*self.inbox.waker, WAKER_TOKEN)?;
        }
        Ok(())
    }

    /// End the stream that was in hand when the code gave way.
    fn give_up(&mut self, handle: Handle) {
        let Some(name) = self.streams.get(handle).map(|stream| stream.name.clone()) else {
            return;
        };
        // Whatever is wrong with the stream, the kernel is not to go on for it.
        let _ = catch_unwind(AssertUnwindSafe(|| self.bring_back(handle)));
        log::error("stream_panicked", &[("stream", &name)]);
        self.turn.outbox.tell(Event::Failed(Failed::new(
            "stream",
            &name,
            "internal",
            "a bug in the worker; the stream was closed",
        )));
        // A second panic while closing must not end the thread either.
        if catch_unwind(AssertUnwindSafe(|| self.close(&name))).is_err() {
            self.streams.remove(handle);
            self.streams.forget(&name);
        }
    }

    fn run(&mut self) {
        while !self.stopping {
            self.wait_and_take_turn();
        }
    }

    fn wait_and_take_turn(&mut self) {
        let timeout_ms = self.timeout_ms();
        self.wire.net.wait(timeout_ms);
        self.take_turn(self.turn.clock.now());
    }

    /// Do all that is ready.
    fn take_turn(&mut self, now: Nanos) {
        self.turn.now = now;
        self.agenda.wheel.follow(now);
        while let Some(arrival) = self.wire.net.take() {
            self.look_ahead();
            match arrival {
                Arrival::Waiting { token: WAKER_TOKEN } => {
                    self.inbox.waker.reset();
                    self.take_tasks();
                }
                Arrival::Unsent { token, octets } => {
                    if let Some(stream) = self.streams.get_mut(from_token(token).0) {
                        stream.counts.packets_out = stream.counts.packets_out.saturating_sub(1);
                        stream.counts.octets_out = stream.counts.octets_out.saturating_sub(octets as u64);
                    }
                }
                Arrival::Waiting { token } => {
                    let (handle, port) = from_token(token);
                    self.current = Some(handle);
                    match port {
                        Port::Peer => self.receive_from_peer(handle),
                        Port::Any => self.receive_from_anyone(handle),
                        Port::Rtcp => self.receive_rtcp(handle),
                    }
                }
            }
        }
        self.tick();
    }

    /// Thousands of streams do not fit into the processor's cache, and each packet looks at two of them: have those of the
    /// packets behind this one brought near meanwhile.
    fn look_ahead(&self) {
        if let Some(token) = self.wire.net.upcoming(FAR_AHEAD) {
            self.streams.prefetch(from_token(token).0);
        }
        if let Some(stream) = self
            .wire
            .net
            .upcoming(AHEAD)
            .and_then(|token| self.streams.get(from_token(token).0))
        {
            stream.prefetch_parts();
            if let Some(mate) = stream.route.mate {
                self.streams.prefetch(mate);
            }
        }
    }

    /// How long the loop may sleep.
    fn timeout_ms(&self) -> i32 {
        if self.streams.is_empty() {
            return -1;
        }
        let next = self.agenda.next_at();
        // Rounded up: waking before the tick would only mean another turn.
        next.saturating_sub(self.turn.clock.now())
            .div_ceil(MILLISECOND)
            .min(1000) as i32
    }

    /// Have the sockets of a stream watched by this thread.
    fn watch(&mut self, handle: Handle) {
        let Some(stream) = self.streams.get(handle) else {
            return;
        };
        let mut result = self.wire.net.watch(&stream.sockets.any, token(handle, Port::Any));
        result = result.and(self.wire.net.watch(&stream.sockets.rtcp, token(handle, Port::Rtcp)));
        if let Err(error) = result {
            log::error("watch_failed", &[("stream", &stream.name), ("reason", &error)]);
        }
        self.watch_peer(handle);
    }

    /// Have the `peer` socket watched after it was replaced.
    fn watch_peer(&mut self, handle: Handle) {
        if let Some(stream) = self.streams.get(handle) {
            if let Some(Err(error)) = stream
                .sockets
                .peer
                .as_ref()
                .map(|peer| self.wire.net.watch_datagrams(peer, token(handle, Port::Peer)))
            {
                log::error("watch_failed", &[("stream", &stream.name), ("reason", &error)]);
            }
        }
    }
}

/// Slab index, generation and socket in one number: 32, 30 and 2 bits.
fn token(handle: Handle, port: Port) -> u64 {
    (u64::from(handle.index) << 32) | (u64::from(handle.generation) << 2) | port as u64
}

fn from_token(token: u64) -> (Handle, Port) {
    let port = match token & 3 {
        0 => Port::Any,
        1 => Port::Peer,
        _ => Port::Rtcp,
    };
    let handle = Handle {
        index: (token >> 32) as u32,
        generation: (token as u32) >> 2,
    };
    (handle, port)
}
