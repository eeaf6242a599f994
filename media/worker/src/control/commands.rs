//! Each command: checked here, carried out here (sockets, directory) or on the media thread that it concerns.

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use super::directory::{BridgeEntry, StreamEntry};
use super::Control;
use crate::clock::MILLISECOND;
use crate::control::ports::Pool;
use crate::log;
use crate::protocol::{is_identifier, Command, Connect, Counters, Event, Failed, Name, Quality};
use crate::session::Session;
use crate::stream::{Sockets, Stream};
use crate::sys;
use crate::thread::tasks::{HandOver, Parcel, Task};

/// How long a media thread may take to give up a stream.
const HAND_OVER: Duration = Duration::from_secs(2);

impl Control {
    /// Do what the controller asks for, or say why not.
    pub(super) fn obey(&mut self, command: &Command) -> Result<(), Failed> {
        let (op, subject) = command.op_and_subject();
        if !matches!(command, Command::List {}) && !is_identifier(subject) {
            return Err(Failed::new(
                op,
                "",
                "frame",
                "an identifier is 1 to 64 printable ASCII octets",
            ));
        }
        match command {
            Command::Open {
                stream,
                call,
                address,
                expires_ms,
            } => self.open(stream, call, address, *expires_ms),
            Command::Connect(connect) => self.connect(connect),
            Command::Bridge { bridge, first, second } => self.bridge(bridge, first, second),
            Command::Unbridge { bridge } => {
                if let Some(entry) = self.directory.remove_bridge(bridge) {
                    let bridge = bridge.as_str().into();
                    self.inlets[entry.thread].send(Task::Unbridge { bridge });
                }
                Ok(())
            }
            Command::Stats { stream } => {
                let thread = self.thread_of(op, stream, stream)?;
                let stream = stream.as_str().into();
                self.inlets[thread].send(Task::Stats { stream });
                Ok(())
            }
            Command::Close { stream } => {
                if self.directory.streams.contains_key(stream.as_str()) {
                    self.close_stream(stream);
                } else {
                    self.tell(Event::Closed {
                        stream: stream.clone(),
                        counters: Counters::default(),
                        quality: Quality::default(),
                    });
                }
                Ok(())
            }
            Command::List {} => {
                let listing = self.directory.listing();
                self.tell(listing);
                Ok(())
            }
            Command::Play(play) => self.play(play),
            Command::Join { mix, stream, beep } => self.join(mix, stream, *beep),
            Command::Leave { mix, stream, beep } => {
                let thread = self.directory.mixes.get(mix.as_str()).map(|entry| entry.thread);
                if let Some(thread) = thread.filter(|_| self.directory.leave(mix, stream)) {
                    self.inlets[thread].send(Task::Leave {
                        mix: mix.as_str().into(),
                        stream: stream.as_str().into(),
                        beep: *beep,
                    });
                }
                Ok(())
            }
            Command::Mute { stream, muted, deaf } => {
                let thread = self.thread_of(op, stream, stream)?;
                self.inlets[thread].send(Task::Mute {
                    stream: stream.as_str().into(),
                    muted: *muted,
                    deaf: *deaf,
                });
                Ok(())
            }
            Command::StopPlay { stream, play, mix } => {
                if let Some(entry) = self.directory.mixes.get(mix.as_str()) {
                    let (mix, play) = (mix.as_str().into(), play.as_str().into());
                    self.inlets[entry.thread].send(Task::StopPlayMix { mix, play });
                } else if let Some(entry) = self.directory.stream(stream) {
                    let (stream, play) = (stream.as_str().into(), play.as_str().into());
                    self.inlets[entry.thread].send(Task::StopPlay { stream, play });
                }
                Ok(())
            }
            Command::Record(record) => self.record(record),
            Command::PauseRecord { recording, keep_time } => {
                let (name, keep_time) = (recording.as_str().into(), *keep_time);
                self.send_to_recording(
                    op,
                    recording,
                    Task::PauseRecord {
                        recording: name,
                        keep_time,
                    },
                )
            }
            Command::ResumeRecord { recording } => {
                let name = recording.as_str().into();
                self.send_to_recording(op, recording, Task::ResumeRecord { recording: name })
            }
            Command::StopRecord { recording } => {
                if let Some(thread) = self.directory.recording_thread(recording) {
                    if let Some(entry) = self.directory.recordings.get_mut(recording.as_str()) {
                        entry.ending = true;
                    }
                    let recording = recording.as_str().into();
                    self.inlets[thread].send(Task::StopRecord { recording });
                }
                Ok(())
            }
            Command::SendDigits {
                stream,
                digits,
                tone_ms,
                gap_ms,
            } => {
                let thread = self.thread_of(op, stream, stream)?;
                self.inlets[thread].send(Task::SendDigits {
                    stream: stream.as_str().into(),
                    digits: digits.clone(),
                    tone_ms: *tone_ms,
                    gap_ms: *gap_ms,
                });
                Ok(())
            }
            Command::Deadline { stream, in_ms } => {
                self.thread_of(op, stream, stream)?;
                let at = self.clock.now().saturating_add(in_ms.saturating_mul(MILLISECOND));
                if let Some(entry) = self.directory.streams.get_mut(stream.as_str()) {
                    entry.deadline = (*in_ms > 0).then_some(at);
                }
                Ok(())
            }
            // Both are taken where frames are read.
            Command::Hello { .. } | Command::Shutdown {} => Ok(()),
        }
    }

    /// The thread of a living stream.
    pub(super) fn thread_of(&self, op: &str, subject: &str, stream: &str) -> Result<usize, Failed> {
        match self.directory.stream(stream) {
            Some(entry) => Ok(entry.thread),
            None => Err(Failed::new(
                op,
                subject,
                "unknown_stream",
                format!("no stream {stream:?}"),
            )),
        }
    }

    fn open(&mut self, stream: &str, call: &str, address: &str, expires_ms: u64) -> Result<(), Failed> {
        let refuse = |code: &str, reason: String| Failed::new("open", stream, code, reason);
        if let Some(entry) = self.directory.streams.get(stream) {
            if entry.closing {
                return Err(refuse("busy", "the stream of that name is being closed".into()));
            }
            let opened = entry.opened.clone();
            self.tell(opened);
            return Ok(());
        }
        if self.stop_by.is_some() {
            return Err(refuse("busy", "the worker is stopping".into()));
        }
        if self.directory.streams.len() >= self.max_streams {
            return Err(refuse("limit", format!("{} streams are open", self.max_streams)));
        }
        let local: IpAddr = address
            .parse()
            .map_err(|_| refuse("address", "address is no IP address".into()))?;
        let (sockets, port) = self.bind_pair(local).map_err(|(code, reason)| refuse(code, reason))?;
        let name: Name = stream.into();
        let thread = self.directory.thread_for(call);
        let opened = Event::Opened {
            stream: stream.to_owned(),
            address: local.to_string(),
            port,
            rtcp_port: port + 1,
        };
        let entry = StreamEntry {
            call: call.to_owned(),
            thread,
            local,
            port,
            forwarded: false,
            opened: opened.clone(),
            expires: (expires_ms > 0).then(|| expires_ms.saturating_mul(MILLISECOND)),
            deadline: None,
            bridge: None,
            mix: None,
            closing: false,
        };
        self.directory.add_stream(name.clone(), entry);
        let now = self.clock.now();
        let parcel = Parcel {
            stream: Box::new(Stream::new(name, sockets, now)),
            recordings: Vec::new(),
        };
        self.inlets[thread].send(Task::Attach(Box::new(parcel)));
        self.tell(opened);
        Ok(())
    }

    /// Bind an even port and the one above it. The error is a code and a reason.
    fn bind_pair(&mut self, local: IpAddr) -> Result<(Sockets, u16), (&'static str, String)> {
        let now = self.clock.now();
        let (low, high) = (self.args.port_min, self.args.port_max);
        let start = u64::from_be_bytes(sys::entropy());
        let pool = self.pools.entry(local).or_insert_with(|| Pool::new(low, high, start));
        let dscp = self.args.dscp;
        for _ in 0..pool.len() {
            let Some(port) = pool.take(now) else {
                break;
            };
            let pair = sys::udp_exclusive(SocketAddr::new(local, port), dscp)
                .and_then(|any| sys::udp_exclusive(SocketAddr::new(local, port + 1), dscp).map(|rtcp| (any, rtcp)));
            match pair {
                Ok((any, rtcp)) => return Ok((Sockets { any, rtcp, dscp }, port)),
                Err(error) => {
                    pool.give(port, now);
                    match error.kind() {
                        ErrorKind::AddrInUse | ErrorKind::PermissionDenied => {}
                        ErrorKind::AddrNotAvailable => return Err(("address", format!("{local} is not ours"))),
                        _ if matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE)) => {
                            return Err(("limit", error.to_string()));
                        }
                        _ => return Err(("bind", error.to_string())),
                    }
                }
            }
        }
        Err((
            "no_ports",
            format!("all ports from {low} to {high} on {local} are used or resting"),
        ))
    }

    fn connect(&mut self, connect: &Connect) -> Result<(), Failed> {
        let thread = self.thread_of("connect", &connect.stream, &connect.stream)?;
        let local = self.directory.streams[connect.stream.as_str()].local;
        let session = Box::new(Session::new(connect, local)?);
        let stream = connect.stream.as_str().into();
        self.inlets[thread].send(Task::Connect { stream, session });
        Ok(())
    }

    fn bridge(&mut self, bridge: &str, first: &str, second: &str) -> Result<(), Failed> {
        let refuse = |code: &str, reason: &str| Failed::new("bridge", bridge, code, reason);
        let thread = self.thread_of("bridge", bridge, first)?;
        self.thread_of("bridge", bridge, second)?;
        if first == second {
            return Err(refuse("busy", "a stream cannot be bridged with itself"));
        }
        if let Some(entry) = self.directory.bridges.get(bridge) {
            if (&*entry.first, &*entry.second) == (first, second) {
                return Ok(());
            }
        }
        let elsewhere = |stream: &str| {
            let entry = self.directory.stream(stream);
            entry
                .and_then(|entry| entry.bridge.as_deref())
                .is_some_and(|other| other != bridge)
        };
        if elsewhere(first) || elsewhere(second) {
            return Err(refuse("busy", "one of the streams is in another bridge"));
        }
        let mixed = |stream: &str| self.directory.stream(stream).is_some_and(|entry| entry.mix.is_some());
        if mixed(first) || mixed(second) {
            return Err(refuse("busy", "one of the streams is in a mix"));
        }
        if let Some(before) = self.directory.remove_bridge(bridge) {
            let bridge = bridge.into();
            self.inlets[before.thread].send(Task::Unbridge { bridge });
        }
        self.bring(second, thread)
            .map_err(|reason| refuse("internal", reason))?;
        let entry = BridgeEntry {
            first: first.into(),
            second: second.into(),
            thread,
        };
        self.inlets[thread].send(Task::Bridge {
            bridge: bridge.into(),
            first: entry.first.clone(),
            second: entry.second.clone(),
        });
        self.directory.add_bridge(bridge.into(), entry);
        Ok(())
    }

    fn join(&mut self, mix: &str, stream: &str, beep: bool) -> Result<(), Failed> {
        let refuse = |code: &str, reason: String| Failed::new("join", mix, code, reason);
        let here = self.thread_of("join", mix, stream)?;
        let entry = &self.directory.streams[stream];
        if entry.bridge.is_some() {
            return Err(refuse("busy", "the stream is in a bridge".into()));
        }
        let known = entry.mix.as_deref().map(|other| other == mix);
        if known == Some(false) {
            return Err(refuse("busy", "the stream is in another mix".into()));
        }
        let place = self.directory.mixes.get(mix);
        let thread = place.map_or(here, |place| place.thread);
        if known.is_none() {
            let most = self.args.mix_members;
            if place.is_some_and(|place| place.members >= most) {
                return Err(refuse("limit", format!("the mix has {most} members already")));
            }
            self.bring(stream, thread)
                .map_err(|reason| refuse("internal", reason.into()))?;
            self.directory.add_member(mix.into(), stream, thread);
        }
        self.inlets[thread].send(Task::Join {
            mix: mix.into(),
            stream: stream.into(),
            beep,
        });
        Ok(())
    }

    /// Have a stream on that thread: all of a bridge or mix lives on one. Rare, since the streams of a call are opened together.
    fn bring(&mut self, stream: &str, thread: usize) -> Result<(), &'static str> {
        let from = self.directory.stream(stream).map_or(thread, |entry| entry.thread);
        if from == thread {
            return Ok(());
        }
        let over = Arc::new(HandOver::new());
        self.inlets[from].send(Task::Detach {
            stream: stream.into(),
            over: over.clone(),
        });
        match over.take(HAND_OVER) {
            Some(Some(moved)) => {
                self.inlets[thread].send(Task::Attach(moved));
                self.directory.move_stream(stream, thread);
                Ok(())
            }
            Some(None) => Err("the stream cannot leave its thread"),
            // That thread keeps the stream, or takes it back.
            None => {
                log::error("hand_over_failed", &[("stream", &stream)]);
                Err("a media thread does not answer")
            }
        }
    }

    /// Ask for a stream's end. Its thread says `Closed`.
    pub(super) fn close_stream(&mut self, name: &str) {
        let Some(entry) = self.directory.streams.get_mut(name).filter(|entry| !entry.closing) else {
            return;
        };
        entry.closing = true;
        let (thread, bridge, mix) = (entry.thread, entry.bridge.clone(), entry.mix.clone());
        self.directory.end_recordings_of_stream(name);
        if let Some(bridge) = bridge {
            self.directory.remove_bridge(&bridge);
        }
        if let Some(mix) = mix {
            self.directory.leave(&mix, name);
        }
        self.inlets[thread].send(Task::Close { stream: name.into() });
    }
}
