//! A panic, which is a bug of ours, costs what was in hand and no more.

use super::*;
use crate::record::writer;
use crate::stream::Sockets;
use crate::sys::Waker;
use crate::testing;
use crate::thread::tasks::{Parcel, Task};
use std::net::UdpSocket;
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

fn stream(name: &str) -> Task {
    let socket = || sys::udp_exclusive("127.0.0.1:0".parse().expect("an address"), 0).expect("a port");
    let sockets = Sockets::new(socket(), socket(), 0);
    Task::Attach(Box::new(Parcel {
        stream: Box::new(Stream::new(name.into(), sockets, 0)),
        recordings: Vec::new(),
    }))
}

#[test]
fn a_panic_costs_the_stream_in_hand_and_no_other() {
    let (up, events) = mpsc::channel();
    let outbox = Outbox::new(up, Arc::new(Waker::new().expect("a waker")));
    let (desk, _) = writer::start(0, outbox.clone()).expect("a thread");
    let (tasks, inbox) = tasks::channel().expect("a channel");
    let mut thread = MediaThread::new(Io::Epoll, Clock::new(), inbox, outbox, desk).expect("a thread");
    for name in ["good", "bad"] {
        tasks.send(stream(name));
    }
    thread.take_tasks();
    let bad = thread.streams.handle("bad").expect("a handle");
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        thread.current = Some(bad);
        std::panic::panic_any("a bug");
    }));
    assert!(panicked.is_err());
    thread.give_up(bad);
    assert_eq!(thread.streams.names().map(|name| &**name).collect::<Vec<_>>(), ["good"]);
    let told: Vec<String> = events.try_iter().map(|up| format!("{up:?}")).collect();
    assert!(told[0].contains("Failed") && told[0].contains("internal"), "{told:?}");
    assert!(told[1].contains("Closed") && told[1].contains("bad"), "{told:?}");
    tasks.send(Task::Stop);
    thread.inbox.waker.wake();
    thread.run_to_the_end();
    let told: Vec<String> = events.try_iter().map(|up| format!("{up:?}")).collect();
    assert!(told[0].contains("Closed") && told[0].contains("good"), "{told:?}");
    assert_eq!(told[1], "Stopped");
}

#[test]
fn a_panic_in_one_s_turn_leaves_the_others_of_that_tick_theirs() {
    let (up, _events) = mpsc::channel();
    let outbox = Outbox::new(up, Arc::new(Waker::new().expect("a waker")));
    let (desk, _) = writer::start(0, outbox.clone()).expect("a thread");
    let (tasks, inbox) = tasks::channel().expect("a channel");
    let mut thread = MediaThread::new(Io::Epoll, Clock::new(), inbox, outbox, desk).expect("a thread");
    tasks.send(stream("other"));
    thread.take_tasks();
    thread.play("other", "p".into());
    thread.begin_play("other", "p", Ok(crate::playback::Programme::new(Vec::new(), 0, 0)));
    let handle = thread.streams.handle("other").expect("a handle");
    let before = thread
        .streams
        .get(handle)
        .map(|stream| stream.outbound.voice_due)
        .expect("a stream");
    // The tick was begun and the turn of someone else, who came first, ended the loop.
    thread.turn.now = (before + 1) * crate::thread::wheel::STEP;
    while let Some((tick, due)) = thread.agenda.wheel.take_due(thread.turn.now) {
        if !due.is_empty() {
            (thread.agenda.due, thread.agenda.tick) = (due, tick);
            break;
        }
    }
    thread.tick();
    let stream = thread.streams.get(handle).expect("a stream");
    assert!(stream.outbound.play.is_none(), "its play had ended, and was looked at");
}

/// Streams on one thread, each with a peer that says a packet every 20 ms.
struct Scene {
    thread: MediaThread,
    tasks: Inlet,
    events: Receiver<Up>,
    peers: Vec<(Handle, UdpSocket)>,
    sequence: u16,
}

impl Scene {
    fn new(names: &[&str]) -> Self {
        Self::on(Io::Epoll, names)
    }

    fn on(io: Io, names: &[&str]) -> Self {
        let (up, events) = mpsc::channel();
        let outbox = Outbox::new(up, Arc::new(Waker::new().expect("a waker")));
        let (desk, _) = writer::start(0, outbox.clone()).expect("a thread");
        let (tasks, inbox) = tasks::channel().expect("a channel");
        let mut thread = MediaThread::new(io, Clock::new(), inbox, outbox, desk).expect("a thread");
        thread.start_net().expect("a net");
        let mut scene = Self {
            thread,
            tasks,
            events,
            peers: Vec::new(),
            sequence: 0,
        };
        scene.thread.turn.limit = Limit::new(1000);
        for name in names {
            let peer = UdpSocket::bind("127.0.0.2:0").expect("a port");
            peer.set_nonblocking(true).expect("a mode");
            let mut connect = testing::connect(vec![testing::codec(0, "PCMU", 8000, 1)]);
            connect.remote_port = peer.local_addr().expect("bound").port();
            scene.carry_out(stream(name));
            scene.carry_out(Task::Connect {
                stream: (*name).into(),
                session: Box::new(testing::session(&connect)),
            });
            let handle = scene.thread.streams.handle(name).expect("a handle");
            scene.peers.push((handle, peer));
        }
        scene
    }

    fn carry_out(&mut self, task: Task) {
        self.tasks.send(task);
        self.thread.take_tasks();
    }

    fn join(&mut self, names: &[&str]) {
        for name in names {
            self.carry_out(Task::Join {
                mix: "m".into(),
                stream: (*name).into(),
                beep: false,
            });
        }
    }

    fn mix(&mut self) -> Option<&mut mix::Mix> {
        let handle = self.thread.mixes.handle("m")?;
        self.thread.mixes.get_mut(handle)
    }

    /// Have each peer say so many packets; how many each was sent, and what was told.
    fn pass(&mut self, packets: u32) -> (Vec<usize>, Vec<String>) {
        let mut counts = vec![0; self.peers.len()];
        for _ in 0..packets {
            self.say();
            let until = self.thread.turn.clock.now() + 20 * MILLISECOND;
            while self.thread.turn.clock.now() < until {
                self.thread.guarded(MediaThread::wait_and_take_turn);
            }
            for (count, (_, peer)) in counts.iter_mut().zip(&self.peers) {
                while peer.recv(&mut [0; 2000]).is_ok() {
                    *count += 1;
                }
            }
        }
        (counts, self.events.try_iter().map(|up| format!("{up:?}")).collect())
    }

    fn say(&mut self) {
        self.sequence += 1;
        let mut packet = [0x55; 172];
        packet[..12].copy_from_slice(&[0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7]);
        packet[2..4].copy_from_slice(&self.sequence.to_be_bytes());
        packet[4..8].copy_from_slice(&(u32::from(self.sequence) * 160).to_be_bytes());
        for (handle, peer) in &self.peers {
            if let Some(stream) = self.thread.streams.get(*handle) {
                let at = stream.sockets.any.local_addr().expect("bound");
                peer.send_to(&packet, at).expect("sent");
            }
        }
    }
}

#[test]
fn nothing_that_comes_is_lost_while_a_stream_turns_to_another_peer() {
    const TURNS: u16 = 300;
    const BURST: u64 = 50; // far from what fills a socket
    let mut scene = Scene::new(&["a"]);
    scene.thread.turn.limit = Limit::new(0);
    let handle = scene.thread.streams.handle("a").expect("a handle");
    let stream = scene.thread.streams.get(handle).expect("a stream");
    let to = stream.sockets.any.local_addr().expect("bound");
    let turn_to = |scene: &mut Scene, port: u16| {
        let mut connect = testing::connect(vec![testing::codec(0, "PCMU", 8000, 1)]);
        (connect.latch, connect.remote_port) = (false, port);
        scene.carry_out(Task::Connect {
            stream: "a".into(),
            session: Box::new(testing::session(&connect)),
        });
    };
    turn_to(&mut scene, 4001);
    // Someone who is not the peer speaks when it is asked to.
    let (asked, asks) = mpsc::channel::<()>();
    let speaker = std::thread::spawn(move || {
        let socket = UdpSocket::bind("127.0.0.3:0").expect("a port");
        for () in asks {
            for _ in 0..BURST {
                socket.send_to(&[0x80; 172], to).expect("sent");
            }
        }
    });
    let heard = |scene: &mut Scene| {
        let counts = scene.thread.streams.get(handle).expect("a stream").counts;
        // The kernel may have chosen the new socket for a packet before it was connected, and put it there afterwards.
        counts.strangers + counts.packets_in
    };
    for turn in 0..TURNS {
        let all = heard(&mut scene) + BURST;
        asked.send(()).expect("it listens");
        // At whatever packet of its burst.
        while heard(&mut scene) == all - BURST {
            scene.thread.guarded(MediaThread::wait_and_take_turn);
        }
        turn_to(&mut scene, 4000 + turn % 2);
        let patience = Instant::now() + Duration::from_secs(5);
        while heard(&mut scene) < all {
            assert!(Instant::now() < patience, "{turn}: {} of {all}", heard(&mut scene));
            scene.thread.guarded(MediaThread::wait_and_take_turn);
        }
    }
    drop(asked);
    speaker.join().expect("ended");
}

#[test]
fn what_had_come_from_a_peer_whose_stream_leaves_the_thread_is_heard() {
    let uring = crate::net::choose(None) == Ok(Io::Uring);
    for io in [Some(Io::Epoll), uring.then_some(Io::Uring)].into_iter().flatten() {
        let mut scene = Scene::on(io, &["a"]);
        scene.thread.wire.net.wait(0); // what was armed is handed over
        scene.say();
        scene.thread.wire.net.wait(500);
        let parcel = scene.thread.detach("a").expect("a parcel");
        let waits = parcel.stream.sockets.peer.expect("connected").peek(&mut [0]).is_ok();
        assert_eq!(parcel.stream.counts.packets_in + u64::from(waits), 1, "{io:?}");
    }
}

#[test]
fn what_the_peer_says_while_its_socket_is_made_is_heard() {
    let mut scene = Scene::new(&["a"]);
    let (handle, peer) = (scene.peers[0].0, scene.peers[0].1.local_addr().expect("bound"));
    let stream = scene.thread.streams.get_mut(handle).expect("a stream");
    let packet = |ssrc: u8| [&[0x80, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, ssrc][..], &[0x55; 160]].concat();
    stream.sockets.early.push((peer, packet(7)));
    stream
        .sockets
        .early
        .push(("127.0.0.9:9".parse().expect("an address"), packet(8)));
    scene.thread.hear_early(handle);
    let counts = scene.thread.streams.get(handle).expect("a stream").counts;
    assert_eq!((counts.packets_in, counts.strangers), (1, 1));
}

fn bridge(first: &str, second: &str) -> Task {
    Task::Bridge {
        bridge: "other call".into(),
        first: first.into(),
        second: second.into(),
    }
}

fn told(events: &[String], words: &[&str]) -> usize {
    let fits = |event: &&String| words.iter().all(|word| event.contains(word));
    events.iter().filter(fits).count()
}

#[test]
fn a_panic_in_a_member_s_part_of_a_mix_costs_that_member_and_no_other() {
    let mut scene = Scene::new(&["a", "b", "c", "d", "e"]);
    scene.join(&["a", "b", "c"]);
    scene.carry_out(bridge("d", "e"));
    let (before, _) = scene.pass(10);
    assert!(before.iter().all(|&count| count >= 6), "{before:?}");
    let victim = scene.thread.streams.handle("b").expect("a handle");
    scene.mix().expect("a mix").trap = Some(Some(victim));
    let (after, events) = scene.pass(15);
    assert_eq!(told(&events, &["Failed", "internal", "\"b\""]), 1, "{events:?}");
    assert_eq!(told(&events, &["Closed", "\"b\""]), 1, "{events:?}");
    assert_eq!(told(&events, &["Left", "members: 2"]), 1, "{events:?}");
    assert!(after[1] <= 1, "{after:?}");
    for place in [0, 2, 3, 4] {
        assert!(after[place] >= 10, "{after:?}");
    }
}

#[test]
fn a_mix_whose_sums_go_wrong_ends_with_an_event_and_its_members_go_on_as_streams() {
    let mut scene = Scene::new(&["a", "b", "c", "d", "e"]);
    scene.join(&["a", "b", "c"]);
    scene.carry_out(bridge("d", "e"));
    scene.carry_out(Task::PlayMix {
        mix: "m".into(),
        play: "p".into(),
    });
    scene.pass(5);
    scene.mix().expect("a mix").trap = Some(None);
    let (counts, events) = scene.pass(15);
    // What was announced goes first, then the mix.
    assert_eq!(told(&events, &["PlayEnded", "\"p\"", "failed"]), 1, "{events:?}");
    assert_eq!(told(&events, &["Failed", "join", "\"m\"", "internal"]), 1, "{events:?}");
    assert_eq!(told(&events, &["Dissolved", "\"a\", \"b\", \"c\""]), 1, "{events:?}");
    assert_eq!(told(&events, &["Left"]), 3, "{events:?}");
    assert!(scene.mix().is_none());
    assert!(counts[3] >= 10 && counts[4] >= 10, "the other call: {counts:?}");
    // The members take part in something else, and in a mix of that name.
    scene.carry_out(Task::Unbridge {
        bridge: "other call".into(),
    });
    scene.carry_out(bridge("a", "b"));
    scene.join(&["c", "d"]);
    let (counts, events) = scene.pass(15);
    assert!(counts[..4].iter().all(|&count| count >= 10), "{counts:?}");
    assert_eq!(told(&events, &["Failed"]), 0, "{events:?}");
}
