//! Each command: checked here, carried out here (sockets, directory) or on the media thread that it concerns. What concerns one
//! stream is in this file; bridges and mixes are in `ways`, plays and recordings in `media`.

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};

use super::directory::StreamEntry;
use super::Control;
use crate::clock::MILLISECOND;
use crate::control::ports::Pool;
use crate::protocol::{is_identifier, Command, Connect, Counters, Event, Failed, Name, Quality};
use crate::session::Session;
use crate::stream::{Sockets, Stream};
use crate::sys;
use crate::thread::tasks::{Parcel, Task};

impl Control {
    /// Do what the controller asks for, or say why not.
    pub(super) fn obey(&mut self, command: &Command) -> Result<(), Failed> {
        let (op, subject) = command.op_and_subject();
        if subject.is_some_and(|subject| !is_identifier(subject)) {
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
                signalling_address,
            } => {
                let signalling = signalling_address.parse().ok(); // a hint: what makes no sense is none
                self.open(stream, call, address, *expires_ms, signalling)
            }
            Command::Connect(connect) => self.connect(connect),
            Command::Stats { stream } => {
                let task = |stream| Task::Stats { stream };
                self.send_to_stream(op, stream, task)
            }
            Command::Close { stream } => self.close(stream),
            Command::Deadline { stream, in_ms } => self.deadline(stream, *in_ms),
            Command::List {} => self.list(),
            Command::Ping {} => {
                self.tell(Event::Pong {});
                Ok(())
            }
            Command::Bridge { bridge, first, second } => self.bridge(bridge, first, second),
            Command::Unbridge { bridge } => self.unbridge(bridge),
            Command::Join { mix, stream, beep } => self.join(mix, stream, *beep),
            Command::Leave { mix, stream, beep } => self.leave(mix, stream, *beep),
            Command::Mute { stream, muted, deaf } => {
                let (muted, deaf) = (*muted, *deaf);
                self.send_to_stream(op, stream, |stream| Task::Mute { stream, muted, deaf })
            }
            Command::Play(play) => self.play(play),
            Command::StopPlay { stream, play, mix } => self.stop_play(stream, play, mix),
            Command::Record(record) => self.record(record),
            Command::PauseRecord { recording, keep_time } => self.pause_recording(recording, *keep_time),
            Command::ResumeRecord { recording } => self.resume_recording(recording),
            Command::StopRecord { recording } => self.stop_recording(recording),
            Command::SendDigits {
                stream,
                digits,
                tone_ms,
                gap_ms,
            } => self.send_digits(stream, digits, *tone_ms, *gap_ms),
            // Both are taken where frames are read.
            Command::Hello { .. } | Command::Shutdown {} => Ok(()),
        }
    }

    /// Send a task to the thread of a living stream.
    fn send_to_stream(&self, op: &str, stream: &str, task: impl FnOnce(Name) -> Task) -> Result<(), Failed> {
        let thread = self.thread_of(op, stream, stream)?;
        self.inlets[thread].send(task(stream.into()));
        Ok(())
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

    fn open(
        &mut self,
        stream: &str,
        call: &str,
        address: &str,
        expires_ms: u64,
        signalling: Option<IpAddr>,
    ) -> Result<(), Failed> {
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
            return Err(refuse("limit", full(self.max_streams, self.descriptors)));
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
        let mut stream = Box::new(Stream::new(name, sockets, now));
        stream.inbound.signalling = signalling;
        let parcel = Parcel {
            stream,
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
        let before = self.last_port.before;
        let pool = self.pools.entry(local).or_insert_with(|| {
            let start = before.map(|port| Pool::start_behind(low, port));
            Pool::new(low, high, start.unwrap_or_else(|| u64::from_be_bytes(sys::entropy())))
        });
        let dscp = self.args.dscp;
        for _ in 0..pool.len() {
            let Some(port) = pool.take(now) else {
                break;
            };
            let pair = sys::udp_exclusive(SocketAddr::new(local, port), dscp)
                .and_then(|any| sys::udp_exclusive(SocketAddr::new(local, port + 1), dscp).map(|rtcp| (any, rtcp)));
            match pair {
                Ok((any, rtcp)) => {
                    self.last_port.keep(port);
                    return Ok((Sockets::new(any, rtcp, dscp), port));
                }
                Err(error) => {
                    pool.give(port, now);
                    match error.kind() {
                        ErrorKind::AddrInUse | ErrorKind::PermissionDenied => {}
                        ErrorKind::AddrNotAvailable => return Err(("address", format!("{local} is not ours"))),
                        _ if error.raw_os_error() == Some(libc::EMFILE) => {
                            return Err(("limit", full(self.directory.streams.len(), sys::descriptor_limit())));
                        }
                        _ if error.raw_os_error() == Some(libc::ENFILE) => {
                            let remedy = "the system has no more open files for anyone; raise fs.file-max";
                            return Err(("limit", remedy.into()));
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

    fn close(&mut self, stream: &str) -> Result<(), Failed> {
        if self.directory.streams.contains_key(stream) {
            self.close_stream(stream);
        } else {
            self.tell(Event::Closed {
                stream: stream.to_owned(),
                counters: Counters::default(),
                quality: Quality::default(),
            });
        }
        Ok(())
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

    fn deadline(&mut self, stream: &str, in_ms: u64) -> Result<(), Failed> {
        self.thread_of("deadline", stream, stream)?;
        let at = self.clock.now().saturating_add(in_ms.saturating_mul(MILLISECOND));
        if let Some(entry) = self.directory.streams.get_mut(stream) {
            entry.deadline = (in_ms > 0).then_some(at);
        }
        Ok(())
    }

    fn list(&mut self) -> Result<(), Failed> {
        let listing = self.directory.listing();
        self.tell(listing);
        Ok(())
    }

    fn send_digits(&mut self, stream: &str, digits: &str, tone_ms: u32, gap_ms: u32) -> Result<(), Failed> {
        let digits = digits.to_owned();
        let task = |stream| Task::SendDigits {
            stream,
            digits,
            tone_ms,
            gap_ms,
        };
        self.send_to_stream("send_digits", stream, task)
    }
}

/// Why no further stream is opened, and what to do about it.
fn full(streams: usize, descriptors: u64) -> String {
    format!(
        "streams open: {streams}, and the limit of {descriptors} open files allows no more; raise it (LimitNOFILE in the systemd \
         unit, --ulimit nofile with Docker, ulimit -Hn in a shell) and start the worker anew"
    )
}
