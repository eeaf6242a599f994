//! The control thread: one controller on the Unix socket, the directory of what lives here, and the media threads below.
//!
//! It runs at call rate. It checks commands against the directory, opens sockets, sends tasks down and events up. Events
//! that come while no controller is connected are dropped; what then exists is in `Listing`, and recordings that ended
//! meanwhile are told to the next controller.

mod commands;
mod directory;
mod last_port;
mod link;
mod media;
mod ports;
mod socket;
mod ways;

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::Arc;

use crate::args::Args;
use crate::clock::{Clock, Nanos, SECOND};
use crate::control::last_port::LastPort;
use crate::control::ports::Pool;
use crate::forward::Forwarder;
use crate::log;
use crate::net::{self, Io};
use crate::outbox::{Outbox, Up};
use crate::playback::{prompts, Prompt, Target};
use crate::protocol::{self, Command, Event, Failed, Name, PROTOCOL_VERSION};
use crate::record::writer::{self, Desk};
use crate::rtp::flood::Limit;
use crate::sys::{self, Epoll, Ready, Signals, Waker};
use crate::thread;
use crate::thread::tasks::{Inlet, Task};
use directory::Directory;
use link::Link;
use socket::ControlSocket;

const LISTENER: u64 = 0;
const WAKER: u64 = 1;
const SIGNALS: u64 = 2;
const FIRST_LINK: u64 = 16;

/// Connections that have not said `Hello` yet; the oldest gives way.
const MAX_LINKS: usize = 16;
/// How long the end may take.
const PATIENCE: Nanos = 10 * SECOND;
/// Ended recordings that are kept for a controller that is away.
const MAX_UNTOLD: usize = 4096;

/// A play whose files are being read.
struct WaitingPlay {
    number: u64,
    loops: u32,
    duration_ms: u64,
}

/// See the module.
struct Control {
    args: Args,
    io: Io,
    clock: Clock,
    epoll: Epoll,
    links: HashMap<u64, Link>,
    next_link: u64,
    controller: Option<u64>,
    /// Since when nobody has been connected.
    alone_since: Option<Nanos>,
    untold: Vec<Event>,
    directory: Directory,
    pools: HashMap<IpAddr, Pool>,
    last_port: LastPort,
    inlets: Vec<Inlet>,
    desk: Desk,
    loader: Sender<prompts::Job>,
    tones: HashMap<(String, String), Arc<Prompt>>,
    /// How each play that waits for its files is to be played.
    waiting_plays: HashMap<(Target, Name), WaitingPlay>,
    /// How many plays of files there were.
    plays: u64,
    /// How many files may be open, and so how many streams.
    descriptors: u64,
    max_streams: usize,
    /// Threads that have ended: the media threads, then the writer.
    stopped: usize,
    stop_by: Option<Nanos>,
}

/// What the control thread waits for.
struct Inputs {
    socket: ControlSocket,
    signals: Signals,
    waker: Arc<Waker>,
    events: Receiver<Up>,
}

/// The threads below.
struct Threads {
    io: Io,
    inlets: Vec<Inlet>,
    desk: Desk,
    loader: Sender<prompts::Job>,
}

fn said(what: &'static str) -> impl Fn(std::io::Error) -> String {
    move |error| format!("{what}: {error}")
}

/// Run the worker until it is told to stop. The error says why it could not start.
pub fn run(args: &Args) -> Result<(), String> {
    let descriptors = sys::raise_descriptor_limit();
    let clock = Clock::new();
    let epoll = Epoll::new().map_err(said("epoll"))?;
    let (inputs, outbox) = Inputs::new(args, &epoll)?;
    let threads = Threads::start(args, clock, &outbox)?;
    let mut control = Control {
        args: args.clone(),
        io: threads.io,
        clock,
        epoll,
        links: HashMap::new(),
        next_link: FIRST_LINK,
        controller: None,
        alone_since: Some(clock.now()),
        untold: Vec::new(),
        directory: Directory::new(args.threads),
        pools: HashMap::new(),
        last_port: LastPort::open(&args.socket),
        inlets: threads.inlets,
        desk: threads.desk,
        loader: threads.loader,
        tones: HashMap::new(),
        waiting_plays: HashMap::new(),
        plays: 0,
        descriptors,
        // Three sockets a stream, and some descriptors for everything else.
        max_streams: (descriptors.saturating_sub(64) / 3) as usize,
        stopped: 0,
        stop_by: None,
    };
    log::info(
        "started",
        &[
            ("socket", &args.socket.display()),
            ("threads", &args.threads),
            ("io", &control.io.name()),
            ("max_streams", &control.max_streams),
        ],
    );
    control.run(&inputs);
    log::info("stopped", &[]);
    Ok(())
}

impl Inputs {
    /// All of them, watched by `epoll`; and the way for the other threads to be heard.
    fn new(args: &Args, epoll: &Epoll) -> Result<(Self, Outbox), String> {
        let signals = Signals::new().map_err(said("signals"))?;
        let socket = ControlSocket::bind(&args.socket)?;
        let (up, events) = mpsc::channel();
        let waker = Arc::new(Waker::new().map_err(said("eventfd"))?);
        let outbox = Outbox::new(up, waker.clone());
        epoll.add(&socket.listener, LISTENER).map_err(said("epoll"))?;
        epoll.add(&*waker, WAKER).map_err(said("epoll"))?;
        epoll.add(&signals, SIGNALS).map_err(said("epoll"))?;
        let inputs = Self {
            socket,
            signals,
            waker,
            events,
        };
        Ok((inputs, outbox))
    }
}

impl Threads {
    fn start(args: &Args, clock: Clock, outbox: &Outbox) -> Result<Self, String> {
        let io = net::choose(args.io)?;
        let (desk, _) = writer::start(args.record_buffer_mib << 20, outbox.clone()).map_err(said("thread"))?;
        let deliver = outbox.clone();
        let deliver = move |loaded| deliver.send(Up::Loaded(loaded));
        let (loader, _) = prompts::start(args.prompt_cache_mib << 20, deliver).map_err(said("thread"))?;
        let limit = Limit::new(args.max_packets_per_second);
        let forwarder = args.forward.as_ref().and_then(|directory| {
            // Not a reason to stay away: calls go on in user space.
            let unavailable = |error| log::warning("forwarding_unavailable", &[("reason", &error)]);
            Forwarder::start(directory, clock).map_err(unavailable).ok()
        });
        let mut inlets = Vec::new();
        for number in 0..args.threads {
            let started = thread::start(
                number,
                io,
                clock,
                outbox.clone(),
                desk.clone(),
                limit,
                forwarder.clone(),
            );
            let (inlet, _) = started.map_err(said("thread"))?;
            inlets.push(inlet);
        }
        Ok(Self {
            io,
            inlets,
            desk,
            loader,
        })
    }
}

impl Control {
    fn run(&mut self, inputs: &Inputs) {
        let mut ready = [Ready::EMPTY; 64];
        loop {
            // Deadlines here are seconds away: a look every second is enough, and none while a controller is there.
            let timeout_ms = if self.stop_by.is_some() || self.controller.is_none() {
                1000
            } else {
                -1
            };
            let ready = self.epoll.wait(&mut ready, timeout_ms);
            for one in ready {
                match one.token() {
                    LISTENER => self.accept(&inputs.socket),
                    WAKER => inputs.waker.reset(),
                    SIGNALS if inputs.signals.taken() => self.stop("signal"),
                    SIGNALS => {}
                    link => self.serve(link),
                }
            }
            while let Ok(up) = inputs.events.try_recv() {
                self.take(up);
            }
            let now = self.clock.now();
            // One more than the media threads: the writer.
            if self.stopped > self.inlets.len() || self.stop_by.is_some_and(|by| now >= by) {
                return;
            }
            self.look_after_orphans(now);
        }
    }

    fn accept(&mut self, socket: &ControlSocket) {
        while let Ok((stream, _)) = socket.listener.accept() {
            let Ok(link) = Link::new(stream) else {
                continue;
            };
            if self.links.len() >= MAX_LINKS {
                let oldest = self
                    .links
                    .keys()
                    .copied()
                    .filter(|id| Some(*id) != self.controller)
                    .min();
                if let Some(oldest) = oldest {
                    self.drop_link(oldest, "too_many");
                }
            }
            let id = self.next_link;
            self.next_link += 1;
            if self.epoll.add(&link.socket, id).is_ok() {
                self.links.insert(id, link);
            }
        }
    }

    /// A connection is readable, or has room again.
    fn serve(&mut self, id: u64) {
        let Some(link) = self.links.get_mut(&id) else {
            return;
        };
        let alive = link.fill();
        if link.flush().is_err() {
            return self.drop_link(id, "write");
        }
        loop {
            let Some(link) = self.links.get_mut(&id) else {
                return;
            };
            match link.next_frame() {
                Ok(Some(body)) => self.take_frame(id, &body),
                Ok(None) => break,
                Err(oversize) => {
                    let reason = format!("{} octets, {} allowed", oversize.0, protocol::MAX_FRAME);
                    self.answer(id, &Event::Failed(Failed::new("", "", "frame", reason)));
                    return self.drop_link(id, "oversize");
                }
            }
        }
        match alive {
            Ok(true) => self.await_room(id),
            Ok(false) => self.drop_link(id, "closed"),
            Err(_) => self.drop_link(id, "read"),
        }
    }

    fn take_frame(&mut self, id: u64, body: &[u8]) {
        let command = match protocol::decode_command(body) {
            Ok(command) => command,
            Err(failed) => {
                log::warning("bad_frame", &[("op", &failed.op), ("reason", &failed.reason)]);
                return self.answer(id, &Event::Failed(failed));
            }
        };
        match command {
            Command::Hello { version, controller } => self.greet(id, version, &controller),
            _ if self.controller != Some(id) => {
                let (op, subject) = command.op_and_subject();
                let failed = Failed::new(op, subject.unwrap_or_default(), "frame", "hello comes first");
                self.answer(id, &Event::Failed(failed));
            }
            Command::Shutdown {} => self.stop("shutdown"),
            command => {
                if let Err(failed) = self.obey(&command) {
                    log::info(
                        "refused",
                        &[("op", &failed.op), ("subject", &failed.subject), ("code", &failed.code)],
                    );
                    self.answer(id, &Event::Failed(failed));
                }
            }
        }
    }

    /// A controller introduces itself. The newest is the one that counts: the older may be a connection that died.
    fn greet(&mut self, id: u64, version: u32, name: &str) {
        if version != PROTOCOL_VERSION {
            let reason = format!("this worker speaks {PROTOCOL_VERSION}, not {version}");
            self.answer(id, &Event::Failed(Failed::new("hello", "", "version", reason)));
            return self.drop_link(id, "version");
        }
        if let Some(before) = self.controller.filter(|before| *before != id) {
            self.drop_link(before, "replaced");
        }
        self.controller = Some(id);
        self.alone_since = None;
        log::info("controller", &[("name", &name.escape_debug())]);
        self.answer(
            id,
            &Event::Welcome {
                version: PROTOCOL_VERSION,
                pid: std::process::id(),
                worker: env!("CARGO_PKG_VERSION").to_owned(),
                threads: self.args.threads as u32,
                io: self.io.name().to_owned(),
            },
        );
        for event in std::mem::take(&mut self.untold) {
            self.answer(id, &event);
        }
    }

    fn answer(&mut self, id: u64, event: &Event) {
        let Some(link) = self.links.get_mut(&id) else {
            return;
        };
        match link.send(&protocol::encode(event)) {
            Ok(()) => self.await_room(id),
            Err(_) => self.drop_link(id, "write"),
        }
    }

    /// Tell the controller, if there is one.
    fn tell(&mut self, event: Event) {
        if let Some(id) = self.controller {
            self.answer(id, &event);
        }
        // The answer may have found the connection dead.
        if self.controller.is_none() && matches!(event, Event::RecordingEnded { .. }) && self.untold.len() < MAX_UNTOLD
        {
            self.untold.push(event);
        }
    }

    fn await_room(&mut self, id: u64) {
        if let Some(link) = self.links.get_mut(&id) {
            let waits = link.has_waiting();
            if waits != link.awaits_room && self.epoll.change(&link.socket, id, waits).is_ok() {
                link.awaits_room = waits;
            }
        }
    }

    fn drop_link(&mut self, id: u64, cause: &str) {
        self.links.remove(&id);
        if self.controller == Some(id) {
            log::info("controller_gone", &[("cause", &cause)]);
            self.controller = None;
            let now = self.clock.now();
            self.alone_since = Some(now);
            self.directory.drop_passed_deadlines(now);
        }
    }

    /// Something came up from a media thread.
    fn take(&mut self, up: Up) {
        match up {
            Up::Event(event) => {
                match &event {
                    Event::Closed { stream, .. } => self.forget_stream(stream),
                    Event::RecordingEnded { recording, reason, .. } => self.forget_recording(recording, reason),
                    _ => {}
                }
                self.tell(event);
            }
            Up::Loaded(loaded) => self.begin_play(loaded),
            Up::Forwarded { stream, forwarded } => {
                if let Some(entry) = self.directory.streams.get_mut(&stream) {
                    entry.forwarded = forwarded;
                }
            }
            Up::Dissolved { mix, streams } => {
                for stream in streams {
                    self.directory.leave(&mix, &stream);
                }
            }
            Up::Stopped => {
                self.stopped += 1;
                // The writer ends last: the media threads leave it the ends of their recordings.
                if self.stopped == self.inlets.len() {
                    self.desk.send(writer::Job::Stop);
                }
            }
        }
    }

    fn forget_stream(&mut self, name: &str) {
        if let Some(entry) = self.directory.remove_stream(name) {
            let now = self.clock.now();
            if let Some(pool) = self.pools.get_mut(&entry.local) {
                pool.give(entry.port, now);
            }
        }
    }

    fn forget_recording(&mut self, name: &str, reason: &str) {
        if reason == "disk" {
            if let Some(thread) = self.directory.recording_thread(name) {
                let recording = name.into();
                self.inlets[thread].send(Task::LoseRecording { recording });
            }
        }
        self.directory.recordings.remove(name);
    }

    /// Without a controller: streams past their time are closed, and an idle worker may leave.
    fn look_after_orphans(&mut self, now: Nanos) {
        let Some(since) = self.alone_since else {
            return;
        };
        let alone = now.saturating_sub(since);
        for name in self.directory.overdue(alone, now) {
            log::warning("stream_expired", &[("stream", &name)]);
            self.close_stream(&name);
        }
        if self.directory.streams.is_empty()
            && self
                .args
                .idle_exit
                .is_some_and(|after| alone >= after.as_nanos() as Nanos)
        {
            self.stop("idle");
        }
    }

    fn stop(&mut self, cause: &str) {
        if self.stop_by.is_some() {
            return;
        }
        log::info("stopping", &[("cause", &cause)]);
        self.stop_by = Some(self.clock.now() + PATIENCE);
        for inlet in &self.inlets {
            inlet.send(Task::Stop);
        }
    }
}
