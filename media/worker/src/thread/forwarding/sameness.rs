//! User space is the reference: a call goes on twice, with forwarding and without, and what the peers hear and the worker
//! counts is to be the same.

use super::call::Call;
use crate::clock::MILLISECOND;
use crate::protocol::{Counters, Event};
use crate::random::Random;
use crate::thread::tasks::Task;

type Deed = fn(&mut Call);

/// What happens in calls.
const DEEDS: [(&str, Deed); 22] = [
    ("talk", |call| call.talk(300 * MILLISECOND)),
    ("silence", |call| call.pass(700 * MILLISECOND)),
    ("one speaks", |call| {
        for _ in 0..40 {
            call.say(0, 0);
            call.pass(20 * MILLISECOND);
        }
    }),
    ("loss", |call| {
        call.phones[1].sequence = call.phones[1].sequence.wrapping_add(3);
        call.phones[1].timestamp += 480;
    }),
    ("order", |call| {
        let phone = &mut call.phones[0];
        let (sequence, timestamp) = (phone.sequence.wrapping_add(1), phone.timestamp + 160);
        phone.sequence = sequence;
        phone.timestamp = timestamp;
        call.say(0, 0);
        call.pass(20 * MILLISECOND);
        call.send(0, sequence, timestamp, 0, 0, &[1; 160]);
        call.pass(20 * MILLISECOND);
    }),
    ("twice", |call| {
        let (sequence, timestamp) = (call.phones[1].sequence, call.phones[1].timestamp);
        call.send(1, sequence, timestamp, 0, 0, &[2; 160]);
        call.pass(5 * MILLISECOND);
    }),
    ("leap", |call| {
        call.phones[0].sequence = call.phones[0].sequence.wrapping_add(20_000)
    }),
    ("new ssrc", |call| {
        call.phones[1].ssrc += 1;
        call.phones[1].sequence = 9;
        call.phones[1].timestamp = 77;
    }),
    ("extension", |call| {
        call.say(0, 0x10);
        call.pass(20 * MILLISECOND);
    }),
    ("digit of a", |call| call.press(0, 4)),
    ("digit of b", |call| call.press(1, 2)),
    ("play to a", |call| call.play(0, 2)),
    ("play to b", |call| call.play(1, 1)),
    ("stop play", |call| {
        for stream in ["a", "b"] {
            call.task(Task::StopPlay {
                stream: stream.into(),
                play: "p".into(),
            });
        }
    }),
    ("mute", |call| call.mute(0, true, false)),
    ("deafen", |call| call.mute(0, false, true)),
    ("unmute", |call| call.mute(0, false, false)),
    ("digits", |call| call.send_digits(1)),
    ("hold", |call| {
        call.connect(1, |connect| connect.direction = "sendonly".into());
    }),
    ("resume", |call| call.connect(1, |_| ())),
    ("part", |call| call.task(Task::Unbridge { bridge: "ab".into() })),
    ("join", |call| {
        if call.thread.bridges.is_empty() {
            call.bridge();
        }
    }),
];

/// Have the same call with and without forwarding; both are the same to all who take part. Gives what came up.
fn compare(script: &[usize]) -> (usize, usize) {
    let mut calls = [true, false].map(Call::new);
    for call in &mut calls {
        for &number in script {
            DEEDS[number].1(call);
            call.talk(if number % 2 == 0 { 2600 } else { 40 } * MILLISECOND);
        }
    }
    let [mut call, mut reference] = calls;
    for index in [0, 1] {
        let (heard, expected) = (call.heard_from_zero(index), reference.heard_from_zero(index));
        let differs = heard.iter().zip(&expected).position(|(one, other)| one != other);
        let names: Vec<&str> = script.iter().map(|&number| DEEDS[number].0).collect();
        assert_eq!(
            differs.map(|place| (place, &heard[place], &expected[place])),
            None,
            "{names:?}, phone {index}"
        );
        assert_eq!(heard.len(), expected.len(), "{names:?}, phone {index}");
        let (counters, expected) = (call.counters(index), reference.counters(index));
        let exact = |it: &Counters| {
            (
                [it.packets_in, it.bytes_in, it.packets_out, it.bytes_out],
                [it.lost_in, it.strangers, it.malformed, it.flooded],
            )
        };
        assert_eq!(exact(&counters), exact(&expected), "{names:?}, phone {index}");
    }
    let told = |call: &Call| {
        let handles = |event: &&Event| matches!(event, Event::Digit { .. } | Event::PlayEnded { .. });
        let told: Vec<String> = call
            .events
            .iter()
            .filter(handles)
            .map(|event| format!("{event:?}"))
            .collect();
        told
    };
    assert_eq!(told(&call), told(&reference));
    let came_up = |call: &Call| call.phones[0].came_up + call.phones[1].came_up;
    (came_up(&call), came_up(&reference))
}

#[test]
fn whatever_happens_in_a_call_is_the_same_with_and_without_the_kernel() {
    for (number, (name, _)) in DEEDS.iter().enumerate() {
        let (came_up, all) = compare(&[0, number, 0]);
        assert!(came_up < all, "{name}: {came_up} of {all}");
    }
}

#[test]
fn whatever_happens_after_whatever_is_the_same_with_and_without_the_kernel() {
    let mut random = Random::new(24);
    for _ in 0..40 {
        let script: Vec<usize> = (0..12).map(|_| random.below(DEEDS.len() as u64) as usize).collect();
        compare(&script);
    }
}
