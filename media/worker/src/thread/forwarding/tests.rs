//! When a direction goes down, why it may not, and what brings it back.

use super::call::Call;
use crate::clock::{Nanos, MILLISECOND, SECOND};
use crate::playback::Programme;
use crate::protocol::{Connect, Event, SrtpKeys};
use crate::rtp::flood::Limit;
use crate::stream::Tap;
use crate::thread::tasks::{RecordTask, Task};

/// A call in which both directions are in the kernel.
fn plain_call() -> Call {
    let mut call = Call::new(true);
    call.talk(3 * SECOND);
    assert_eq!(call.is_down(), [true, true]);
    call
}

#[test]
fn a_plain_call_goes_down_after_two_seconds_and_no_packet_comes_up_then() {
    let mut call = Call::new(true);
    call.talk(1900 * MILLISECOND);
    assert_eq!((call.is_down(), call.forwarder.rules().len()), ([false, false], 0));
    call.talk(1100 * MILLISECOND);
    assert_eq!((call.is_down(), call.forwarder.rules().len()), ([true, true], 2));
    let came_up = call.phones[0].came_up;
    call.talk(2 * SECOND);
    assert_eq!((call.phones[0].came_up, call.phones[0].heard.len()), (came_up, 250));
    let counters = call.counters(1);
    assert_eq!((counters.packets_in, counters.packets_out), (250, 250));
    assert_eq!((counters.bytes_in, counters.bytes_out), (250 * 172, 250 * 172));
}

fn keys() -> SrtpKeys {
    SrtpKeys {
        suite: "AES_CM_128_HMAC_SHA1_80".into(),
        local_key: "PS1uQCVeeCFCanVmcjkpPywjNWhcYD0mXXtxaVBR".into(),
        remote_key: "WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz".into(),
        remote_mki: String::new(),
    }
}

// Of one piece: a table with a row for each reason.
#[test]
fn each_reason_keeps_a_direction_up() {
    let tap = |call: &Call| Tap {
        recording: call.handle(0),
        track: 0,
    };
    let reason = |change: &dyn Fn(&mut Call)| {
        let mut call = plain_call();
        change(&mut call);
        let [a, b] = [call.handle(0), call.handle(1)];
        let limit = call.thread.turn.limit;
        let (Some(from), Some(to)) = call.thread.streams.pair(a, b) else {
            panic!("two streams");
        };
        from.rule(a, to, limit, call.now).map(|_| ()).err()
    };
    assert_eq!(reason(&|_| ()), None);
    type Change<'a> = &'a dyn Fn(&mut Call);
    let held = |connect: &mut Connect| connect.direction = "sendonly".into();
    let cases: [(&str, Change); 23] = [
        ("no limit of packets", &|call| call.thread.turn.limit = Limit::new(0)),
        ("on hold", &|call| call.connect(0, held)),
        ("on hold", &|call| {
            call.connect(1, |it| it.direction = "recvonly".into())
        }),
        ("encrypted", &|call| call.connect(0, |it| it.srtp = Some(keys()))),
        ("encrypted", &|call| call.connect(1, |it| it.srtp = Some(keys()))),
        ("muted", &|call| call.mute(0, true, false)),
        ("muted", &|call| call.mute(1, false, true)),
        ("digits are listened for in the audio", &|call| {
            call.connect(0, |it| it.inband_digits = true)
        }),
        ("recorded", &|call| {
            let tap = tap(call);
            call.stream(0).expect("a").inbound.taps.push(tap);
        }),
        ("recorded", &|call| {
            let tap = tap(call);
            call.stream(1).expect("b").outbound.taps.push(tap);
        }),
        ("a play", &|call| call.play(1, 0)),
        ("digits are sent", &|call| call.send_digits(1)),
        ("no packets yet", &|call| {
            call.connect(0, |it| it.codecs[0].payload_type = 96)
        }),
        ("the audio is made anew", &|call| {
            call.connect(0, |it| it.codecs[0].name = "PCMA".into());
        }),
        ("the audio is made anew", &|call| {
            call.connect(1, |it| it.max_ptime_ms = 10)
        }),
        ("the audio is made anew", &|call| {
            call.task(Task::Unbridge { bridge: "ab".into() });
        }),
        ("no audio at the moment", &|call| {
            call.press(0, 1);
        }),
        ("who the peer is may still change", &|call| {
            call.connect(0, |it| it.remote_port += 2)
        }),
        ("who the peer is may still change", &|call| {
            call.connect(1, |it| it.remote_port += 2)
        }),
        ("the numbers begin anew", &|call| {
            call.stream(1).expect("b").outbound.sending.withhold()
        }),
        ("the numbers begin anew", &|call| {
            call.phones[0].ssrc += 1;
            call.mute(0, true, false);
            call.talk(20 * MILLISECOND);
            call.mute(0, false, false);
        }),
        ("no IPv4, or no route", &|call| {
            call.stream(0).expect("a").sockets.peer = None
        }),
        ("no IPv4, or no route", &|call| {
            call.stream(1).expect("b").sockets.peer = None
        }),
    ];
    for (number, (expected, change)) in cases.into_iter().enumerate() {
        let found = reason(&|call| {
            change(call);
            if expected == "the audio is made anew" {
                call.say(0, 0);
                call.pass(10 * MILLISECOND);
            }
        });
        assert_eq!(found, Some(expected), "case {number}");
    }
}

#[test]
fn each_task_on_a_stream_brings_both_directions_back_before_it_is_done() {
    let record = |bridge: Option<&str>, stream: Option<&str>| {
        Task::Record(RecordTask {
            recording: "r".into(),
            path: "/nowhere/at/all.wav".into(),
            bridge: bridge.map(Into::into),
            stream: stream.map(Into::into),
            channels: 1,
            max_ms: 0,
            beep: None,
            silence_ms: 0,
            finish_digits: String::new(),
        })
    };
    type Made<'a> = Box<dyn Fn(&'a str) -> Task + 'a>;
    let tasks: Vec<Made> = vec![
        Box::new(|stream| Task::Play {
            stream: stream.into(),
            play: "p".into(),
        }),
        Box::new(|stream| Task::BeginPlay {
            stream: stream.into(),
            play: "p".into(),
            programme: Ok(Programme::new(Vec::new(), 0, 0)),
        }),
        Box::new(|stream| Task::StopPlay {
            stream: stream.into(),
            play: "p".into(),
        }),
        Box::new(|stream| Task::Mute {
            stream: stream.into(),
            muted: false,
            deaf: false,
        }),
        Box::new(|stream| Task::SendDigits {
            stream: stream.into(),
            digits: "w".into(),
            tone_ms: 100,
            gap_ms: 50,
        }),
        Box::new(move |stream| record(None, Some(stream))),
        Box::new(move |_| record(Some("ab"), None)),
        Box::new(|_| Task::Unbridge { bridge: "ab".into() }),
        Box::new(|stream| Task::Close { stream: stream.into() }),
    ];
    for (number, task) in tasks.iter().enumerate() {
        for stream in ["a", "b"] {
            let mut call = plain_call();
            call.task(task(stream));
            assert_eq!(call.forwarder.rules().len(), 0, "task {number} on {stream}");
        }
    }
    for index in [0, 1] {
        let mut call = plain_call();
        call.connect(index, |_| ());
        assert_eq!(call.is_down(), [false, false]);
        call.talk(3 * SECOND);
        assert_eq!(call.is_down(), [true, true], "and down they go again");
    }
}

#[test]
fn statistics_are_up_to_date_and_bring_nothing_back() {
    let mut call = plain_call();
    call.say(0, 0);
    call.task(Task::Stats { stream: "a".into() });
    call.task(Task::Stats { stream: "b".into() });
    call.pass(10 * MILLISECOND);
    let told: Vec<(u64, u64, bool)> = call
        .events
        .iter()
        .filter_map(|event| match event {
            Event::StreamStats {
                counters, forwarded, ..
            } => Some((counters.packets_in, counters.packets_out, *forwarded)),
            _ => None,
        })
        .collect();
    assert_eq!(told, [(151, 150, true), (150, 151, true)]);
    assert_eq!(call.is_down(), [true, true]);
}

#[test]
fn losses_in_the_kernel_spoil_the_quality_of_their_second() {
    let mut call = plain_call();
    for _ in 0..10 {
        call.phones[0].sequence = call.phones[0].sequence.wrapping_add(1);
        call.phones[0].timestamp += 160;
        call.talk(100 * MILLISECOND);
    }
    call.talk(3 * SECOND);
    for stream in ["a", "b"] {
        call.task(Task::Stats { stream: stream.into() });
    }
    call.pass(10 * MILLISECOND);
    let told = call.events.iter().filter_map(|event| match event {
        Event::StreamStats { seconds, quality, .. } => {
            let lost: u32 = seconds.iter().map(|second| second.lost).sum();
            Some((lost, quality.worst_in < 4.1))
        }
        _ => None,
    });
    assert_eq!(told.collect::<Vec<_>>(), [(10, true), (0, false)]);
    assert_eq!(call.is_down(), [true, true]);
}

#[test]
fn a_packet_that_comes_up_brings_back_its_direction_alone() {
    let mut call = plain_call();
    call.say(0, 0x10);
    call.pass(10 * MILLISECOND);
    assert_eq!(call.is_down(), [false, true]);
}

#[test]
fn packets_of_strangers_and_reports_bring_nothing_back() {
    let mut call = plain_call();
    let stranger = std::net::UdpSocket::bind("127.0.0.3:0").expect("a port");
    let to = call.stream(0).expect("a").sockets.any.local_addr().expect("bound");
    let mut packet = [0x55; 172];
    packet[..2].copy_from_slice(&[0x80, 0]);
    stranger.send_to(&packet, to).expect("sent");
    call.phones[0]
        .socket
        .send_to(&[0x80, 201, 0, 1, 0, 0, 0, 7], to)
        .expect("sent");
    call.pass(10 * MILLISECOND);
    assert_eq!((call.counters(0).strangers, call.is_down()), (1, [true, true]));
}

#[test]
fn silence_is_told_in_time_and_no_earlier() {
    let mut call = Call::new(true);
    for index in [0, 1] {
        call.connect(index, |connect| connect.media_timeout_ms = 500);
    }
    call.talk(6 * SECOND);
    assert_eq!(call.is_down(), [true, true]);
    let silent = |call: &Call| {
        let told = |event: &&Event| matches!(event, Event::MediaTimeout { .. });
        call.events.iter().filter(told).count()
    };
    assert_eq!(silent(&call), 0);
    let last = call.now;
    while silent(&call) == 0 && call.now < last + SECOND {
        call.say(1, 0);
        call.pass(20 * MILLISECOND);
    }
    let after = (call.now - last) / MILLISECOND;
    assert!((480..=620).contains(&after), "{after} ms");
    assert_eq!(call.is_down(), [true, true]);
}

#[test]
fn whatever_becomes_of_a_stream_nobody_goes_on_for_it() {
    let mut call = plain_call();
    let handle = call.handle(0);
    call.thread.give_up(handle);
    assert_eq!(call.forwarder.rules().len(), 0);
    // Even when it is only dropped.
    let mut call = plain_call();
    let handle = call.handle(0);
    call.thread.streams.remove(handle);
    assert_eq!(call.forwarder.rules().len(), 1);
}

#[test]
fn when_flows_vanish_the_call_goes_on_and_no_number_is_used_twice() {
    let mut call = plain_call();
    call.talk(400 * MILLISECOND); // nobody has asked how many
    call.forwarder.set_open(false);
    call.talk(500 * MILLISECOND);
    call.play(1, 1);
    call.talk(3 * SECOND);
    assert_eq!(call.is_down(), [false, false]);
    let numbers: Vec<u16> = call.phones[1].heard.iter().map(|one| one.sequence).collect();
    for pair in numbers.windows(2) {
        let step = pair[1].wrapping_sub(pair[0]);
        assert!((1..1000).contains(&step), "{} after {}", pair[1], pair[0]);
    }
    let times: Vec<u32> = call.phones[1].heard.iter().map(|one| one.timestamp).collect();
    for pair in times.windows(2) {
        let step = pair[1].wrapping_sub(pair[0]);
        assert!((80..=480).contains(&step), "{} after {}", pair[1], pair[0]);
    }
    call.forwarder.set_open(true);
    call.talk(3 * SECOND);
    assert_eq!(call.is_down(), [true, true]);
}

#[test]
fn what_the_kernel_never_takes_is_offered_less_and_less_often() {
    let mut call = plain_call();
    let mut tries = 0;
    let mut before = true;
    for _ in 0..50 * 60 {
        call.say(0, 0x10);
        call.pass(20 * MILLISECOND);
        let down = call.is_down()[0];
        tries += u32::from(down && !before);
        before = down;
    }
    // After 2, 4, 8, 16 and 32 seconds.
    assert!((4..=5).contains(&tries), "{tries}");
    call.talk(70 * SECOND);
    assert!(call.is_down()[0]);
    call.say(0, 0x10);
    call.pass(20 * MILLISECOND);
    let least: Nanos = 2500 * MILLISECOND;
    call.talk(least);
    assert!(call.is_down()[0], "what was taken is offered as soon as ever");
}
