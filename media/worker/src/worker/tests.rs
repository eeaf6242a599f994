//! A panic, which is a bug of ours, costs what was in hand and no more.

use super::*;
use crate::stream::Sockets;
use crate::tasks::Parcel;
use crate::writer;

fn stream(name: &str) -> Task {
    let socket = || sys::udp_exclusive("127.0.0.1:0".parse().expect("an address"), 0).expect("a port");
    let sockets = Sockets {
        any: socket(),
        rtcp: socket(),
        dscp: 0,
    };
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
    let (tasks, receiver) = mpsc::channel();
    let waker = Arc::new(Waker::new().expect("a waker"));
    let mut worker = Worker::new(Io::Epoll, Clock::new(), receiver, waker, outbox, desk).expect("a worker");
    for name in ["good", "bad"] {
        tasks.send(stream(name)).expect("sent");
    }
    worker.take_tasks();
    let bad = worker.stream_keys["bad"];
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        worker.current = Some(bad);
        std::panic::panic_any("a bug");
    }));
    assert!(panicked.is_err());
    worker.give_up(bad);
    assert_eq!(
        worker.stream_keys.keys().map(|name| &**name).collect::<Vec<_>>(),
        ["good"]
    );
    let told: Vec<String> = events.try_iter().map(|up| format!("{up:?}")).collect();
    assert!(told[0].contains("Failed") && told[0].contains("internal"), "{told:?}");
    assert!(told[1].contains("Closed") && told[1].contains("bad"), "{told:?}");
    tasks.send(Task::Stop).expect("sent");
    worker.waker.wake();
    worker.run_to_the_end();
    let told: Vec<String> = events.try_iter().map(|up| format!("{up:?}")).collect();
    assert!(told[0].contains("Closed") && told[0].contains("good"), "{told:?}");
    assert_eq!(told[1], "Stopped");
}

#[test]
fn a_panic_in_one_s_turn_leaves_the_others_of_that_tick_theirs() {
    let (up, _events) = mpsc::channel();
    let outbox = Outbox::new(up, Arc::new(Waker::new().expect("a waker")));
    let (desk, _) = writer::start(0, outbox.clone()).expect("a thread");
    let (tasks, receiver) = mpsc::channel();
    let waker = Arc::new(Waker::new().expect("a waker"));
    let mut worker = Worker::new(Io::Epoll, Clock::new(), receiver, waker, outbox, desk).expect("a worker");
    tasks.send(stream("other")).expect("sent");
    worker.take_tasks();
    worker.play("other", "p".into());
    worker.begin_play("other", "p", Ok(crate::play::Programme::new(Vec::new(), 0, 0)));
    let key = worker.stream_keys["other"];
    let before = worker
        .streams
        .get(key)
        .map(|stream| stream.voice_due)
        .expect("a stream");
    // The tick was begun and the turn of someone else, who came first, ended the loop.
    worker.now = (before + 1) * crate::wheel::STEP;
    while let Some((tick, due)) = worker.wheel.take_due(worker.now) {
        if !due.is_empty() {
            (worker.due, worker.due_tick) = (due, tick);
            break;
        }
    }
    worker.tick();
    let stream = worker.streams.get(key).expect("a stream");
    assert!(stream.play.is_none(), "its play had ended, and was looked at");
}
