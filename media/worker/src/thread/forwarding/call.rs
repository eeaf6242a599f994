//! A call for tests of forwarding: the kernel is played by a double that does as the program does, and time is virtual.

use std::net::UdpSocket;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use crate::clock::{Clock, Nanos, MILLISECOND, SECOND};
use crate::forward::Forwarder;
use crate::forward::Rule;
use crate::net::Io;
use crate::outbox::{Outbox, Up};
use crate::playback::{Programme, Prompt};
use crate::protocol::{Connect, Counters, Event};
use crate::record::writer;
use crate::rtp::flood::Limit;
use crate::rtp::{self, Stamp};
use crate::slab::Handle;
use crate::stream::{Sockets, Stream};
use crate::sys::{self, Waker};
use crate::testing;
use crate::thread::tasks::{self, Inlet, Parcel, Task};
use crate::thread::MediaThread;
use std::sync::Arc;

pub const EVENTS: u8 = 101;

/// What a peer hears, its numbers counted from the first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heard {
    pub marker: bool,
    pub payload_type: u8,
    pub sequence: u16,
    pub timestamp: u32,
    pub ssrc: u32,
    /// Its length, and the sum of its octets.
    pub payload: (usize, u64),
}

pub struct Phone {
    pub name: &'static str,
    pub socket: UdpSocket,
    pub ssrc: u32,
    pub sequence: u16,
    pub timestamp: u32,
    pub heard: Vec<Heard>,
    /// Packets that came up to the worker.
    pub came_up: usize,
}

pub struct Call {
    pub thread: MediaThread,
    pub forwarder: Arc<Forwarder>,
    pub tasks: Inlet,
    pub told: Receiver<Up>,
    pub events: Vec<Event>,
    pub phones: [Phone; 2],
    pub now: Nanos,
}

pub fn agreed(phone: &Phone) -> Connect {
    let mut connect = testing::connect(vec![
        testing::codec(0, "PCMU", 8000, 1),
        testing::codec(EVENTS, "telephone-event", 8000, 1),
    ]);
    if phone.name == "a" {
        // Never sent, but to be made anew if it was: there is a jitter buffer, and `b` has turns on the wheel.
        connect.codecs.push(testing::codec(9, "G722", 8000, 1));
    }
    let place = phone.socket.local_addr().expect("bound");
    connect.remote_address = place.ip().to_string();
    connect.remote_port = place.port();
    connect.stream = phone.name.into();
    connect
}

impl Call {
    pub fn new(forwards: bool) -> Self {
        let (up, told) = mpsc::channel();
        let outbox = Outbox::new(up, Arc::new(Waker::new().expect("a waker")));
        let (desk, _) = writer::start(0, outbox.clone()).expect("a thread");
        let (tasks, inbox) = tasks::channel().expect("a channel");
        let mut thread = MediaThread::new(Io::Epoll, Clock::new(), inbox, outbox, desk).expect("a thread");
        thread.turn.limit = Limit::new(1000);
        let forwarder = Forwarder::double();
        thread.forwarder = forwards.then(|| forwarder.clone());
        let phone = |name, ssrc| {
            let socket = UdpSocket::bind(home()).expect("a port");
            socket.set_nonblocking(true).expect("a mode");
            Phone {
                name,
                socket,
                ssrc,
                sequence: 65_500,
                timestamp: 7,
                heard: Vec::new(),
                came_up: 0,
            }
        };
        let mut call = Self {
            thread,
            forwarder,
            tasks,
            told,
            events: Vec::new(),
            phones: [phone("a", 70), phone("b", 80)],
            now: SECOND,
        };
        for index in [0, 1] {
            call.open(index);
        }
        call.bridge();
        call
    }

    pub fn open(&mut self, index: usize) {
        let socket = || sys::udp_exclusive(home(), 0).expect("a port");
        let sockets = Sockets::new(socket(), socket(), 0);
        self.task(Task::Attach(Box::new(Parcel {
            stream: Box::new(Stream::new(self.phones[index].name.into(), sockets, self.now)),
            recordings: Vec::new(),
        })));
        self.connect(index, |_| ());
    }

    pub fn connect(&mut self, index: usize, change: impl Fn(&mut Connect)) {
        let mut connect = agreed(&self.phones[index]);
        change(&mut connect);
        self.task(Task::Connect {
            stream: self.phones[index].name.into(),
            session: Box::new(testing::session(&connect)),
        });
    }

    pub fn bridge(&mut self) {
        self.task(Task::Bridge {
            bridge: "ab".into(),
            first: "a".into(),
            second: "b".into(),
        });
    }

    pub fn task(&mut self, task: Task) {
        self.tasks.send(task);
        self.thread.turn.now = self.now;
        self.thread.take_tasks();
    }

    pub fn play(&mut self, index: usize, loops: u32) {
        let stream = self.phones[index].name;
        self.task(Task::Play {
            stream: stream.into(),
            play: "p".into(),
        });
        self.task(Task::BeginPlay {
            stream: stream.into(),
            play: "p".into(),
            programme: Ok(Programme::new(vec![Arc::new(Prompt::new(vec![999; 4000]))], loops, 0)),
        });
    }

    pub fn mute(&mut self, index: usize, muted: bool, deaf: bool) {
        self.task(Task::Mute {
            stream: self.phones[index].name.into(),
            muted,
            deaf,
        });
    }

    pub fn send_digits(&mut self, index: usize) {
        self.task(Task::SendDigits {
            stream: self.phones[index].name.into(),
            digits: "4".into(),
            tone_ms: 100,
            gap_ms: 50,
        });
    }

    pub fn stream(&mut self, index: usize) -> Option<&mut Stream> {
        let handle = self.thread.streams.handle(self.phones[index].name)?;
        self.thread.streams.get_mut(handle)
    }

    pub fn handle(&self, index: usize) -> Handle {
        self.thread.streams.handle(self.phones[index].name).expect("a stream")
    }

    pub fn is_down(&mut self) -> [bool; 2] {
        [0, 1].map(|index| {
            self.stream(index)
                .is_some_and(|stream| stream.inbound.forwarding.is_down())
        })
    }

    /// Time passes, and all that is due is done.
    pub fn pass(&mut self, time: Nanos) {
        let end = self.now + time;
        while self.now < end {
            self.now += 5 * MILLISECOND;
            self.turn();
        }
    }

    pub fn turn(&mut self) {
        self.thread.wire.net.wait(0);
        self.thread.take_turn(self.now);
        for phone in &mut self.phones {
            let mut datagram = [0; 2000];
            // Its own octet comes behind all that the worker sent.
            let itself = phone.socket.local_addr().expect("bound");
            phone.socket.send_to(&[0], itself).expect("sent");
            loop {
                arrive(|| phone.socket.peek(&mut [0]).is_ok());
                let (length, from) = phone.socket.recv_from(&mut datagram).expect("a datagram");
                if from == itself {
                    break;
                }
                let packet = rtp::parse(&datagram[..length]).expect("RTP");
                phone.heard.push(Heard {
                    marker: packet.marker,
                    payload_type: packet.payload_type,
                    sequence: packet.sequence,
                    timestamp: packet.timestamp,
                    ssrc: packet.ssrc,
                    payload: measure(&datagram[packet.payload]),
                });
            }
        }
        self.events.extend(self.told.try_iter().filter_map(|up| match up {
            Up::Event(event) => Some(event),
            _ => None,
        }));
    }

    /// Both speak for a while.
    pub fn talk(&mut self, time: Nanos) {
        for _ in 0..time / (20 * MILLISECOND) {
            for index in [0, 1] {
                self.say(index, 0);
            }
            self.pass(20 * MILLISECOND);
        }
    }

    /// A phone says its next 20 ms. `flags`: those of the first octet of a header, such as an extension.
    pub fn say(&mut self, index: usize, flags: u8) {
        let phone = &mut self.phones[index];
        phone.sequence = phone.sequence.wrapping_add(1);
        phone.timestamp = phone.timestamp.wrapping_add(160);
        let (sequence, timestamp) = (phone.sequence, phone.timestamp);
        let mut payload = vec![sequence as u8; 160];
        if flags & 0x10 != 0 {
            payload.splice(0..0, [0, 0, 0, 0]);
        }
        self.send(index, sequence, timestamp, 0, flags, &payload);
    }

    pub fn press(&mut self, index: usize, packets: u16) {
        let start = self.phones[index].timestamp;
        for number in 1..=packets + 2 {
            let phone = &mut self.phones[index];
            phone.sequence = phone.sequence.wrapping_add(1);
            let sequence = phone.sequence;
            let duration = 160 * number.min(packets);
            let end = if number >= packets { 0x80 } else { 0 };
            let body = [5, end | 10, (duration >> 8) as u8, duration as u8];
            self.send(index, sequence, start, EVENTS, 0, &body);
            self.say(1 - index, 0);
            self.pass(20 * MILLISECOND);
        }
        self.phones[index].timestamp += 160 * u32::from(packets + 2);
    }

    pub fn send(&mut self, index: usize, sequence: u16, timestamp: u32, payload_type: u8, flags: u8, payload: &[u8]) {
        let ssrc = self.phones[index].ssrc;
        let head = Stamp {
            marker: false,
            payload_type,
            sequence,
            timestamp,
            ssrc,
        };
        let mut datagram = vec![0; 12];
        rtp::write(datagram.first_chunk_mut().expect("room"), head);
        datagram[0] |= flags;
        datagram.extend_from_slice(payload);
        let Some(to) = self
            .stream(index)
            .map(|stream| stream.sockets.any.local_addr().expect("bound"))
        else {
            return;
        };
        let from = self.phones[index].socket.local_addr().expect("bound");
        let taken = self.forwarder.rules().into_iter().find(|rule| {
            (rule.peer, rule.local) == (v4(from), v4(to))
                && (rule.ssrc_in, rule.payload_type_in) == (ssrc, payload_type)
                && flags == 0
        });
        if taken.is_some_and(|rule| self.kernel(&rule, &head, payload)) {
            return;
        }
        let phone = &mut self.phones[index];
        phone.came_up += 1;
        phone.socket.send_to(&datagram, to).expect("sent");
        let sockets = &self.stream(index).expect("a stream").sockets;
        arrive(|| {
            [Some(&sockets.any), sockets.peer.as_ref()]
                .into_iter()
                .flatten()
                .any(|socket| socket.peek(&mut [0]).is_ok())
        });
    }

    /// What the program does with a packet of a flow. False: it lets it pass up.
    pub fn kernel(&mut self, rule: &Rule, head: &Stamp, payload: &[u8]) -> bool {
        let seen = self.forwarder.read(rule.flow()).expect("a flow");
        let step = head.sequence.wrapping_sub(seen.highest_sequence) as i16;
        let highest = i64::from(seen.cycles) << 16 | i64::from(seen.highest_sequence);
        let extended = highest + i64::from(step);
        let newer = extended > i64::from(rule.highest_sequence);
        if !newer || !(-99..3000).contains(&step) || payload.len() > usize::from(rule.max_octets) {
            return false;
        }
        let now = self.now + 5 * MILLISECOND; // as the worker would see it
        self.forwarder.carry(rule.flow(), |counters| {
            counters.packets += 1;
            counters.octets += payload.len() as u64;
            counters.last_at = now;
            if step > 0 {
                counters.cycles = (extended >> 16) as u32;
                counters.highest_sequence = head.sequence;
                counters.timestamp = head.timestamp;
            }
        });
        let hears = |phone: &&mut Phone| v4(phone.socket.local_addr().expect("bound")) == rule.out_peer;
        let phone = self.phones.iter_mut().find(hears).expect("a phone");
        phone.heard.push(Heard {
            marker: head.marker,
            payload_type: rule.payload_type_out,
            sequence: head.sequence.wrapping_add(rule.sequence_offset),
            timestamp: head.timestamp.wrapping_add(rule.timestamp_offset),
            ssrc: rule.ssrc_out,
            payload: measure(payload),
        });
        true
    }

    pub fn counters(&mut self, index: usize) -> Counters {
        let stream = self.phones[index].name;
        self.task(Task::Stats { stream: stream.into() });
        self.stream(index).expect("a stream").counters()
    }

    /// What a phone heard, as if each number had begun with 0.
    pub fn heard_from_zero(&self, index: usize) -> Vec<Heard> {
        let heard = &self.phones[index].heard;
        let Some(first) = heard.first() else {
            return Vec::new();
        };
        heard
            .iter()
            .map(|one| Heard {
                sequence: one.sequence.wrapping_sub(first.sequence),
                timestamp: one.timestamp.wrapping_sub(first.timestamp),
                ssrc: one.ssrc ^ first.ssrc,
                ..one.clone()
            })
            .collect()
    }
}

/// An address that nothing else has: what others send to a port that was theirs until now, and the RTCP that goes to the
/// port above a phone's, do not come here.
fn home() -> std::net::SocketAddr {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let place = (std::process::id() % 250 + 1) << 16 | count & 0xFFFF;
    std::net::SocketAddr::from((std::net::Ipv4Addr::from(127 << 24 | place), 0))
}

/// The kernel may deliver what was sent a moment later, and of that no virtual time knows.
fn arrive(there: impl Fn() -> bool) {
    let patience = Instant::now() + Duration::from_secs(2);
    while !there() && Instant::now() < patience {
        std::thread::yield_now();
    }
}

pub fn measure(payload: &[u8]) -> (usize, u64) {
    (payload.len(), payload.iter().map(|&octet| u64::from(octet)).sum())
}

pub fn v4(address: std::net::SocketAddr) -> std::net::SocketAddrV4 {
    match address {
        std::net::SocketAddr::V4(address) => address,
        std::net::SocketAddr::V6(_) => panic!("{address}"),
    }
}
