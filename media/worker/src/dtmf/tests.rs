use super::events::*;
use super::sender::*;
use super::*;
use crate::clock::{samples, Nanos, MILLISECOND};
use crate::rtp::event::{Body, GIVEN_UP};

fn place(timestamp: u32, now: Nanos) -> EventAt {
    EventAt {
        ssrc: 1,
        sequence: (now / MILLISECOND) as u16,
        timestamp,
        rate_hz: 8000,
        now,
    }
}

/// The presses that are told; each goes down once before it comes up.
fn hear(packets: &[(u8, u32, u16, bool)]) -> String {
    let mut receiver = Receiver::default();
    let (mut told, mut held) = (String::new(), 0);
    let mut now = 0;
    for &(event, timestamp, duration, end) in packets {
        now += 20 * MILLISECOND;
        let body = Body { event, end, duration };
        for heard in receiver.note(body, place(timestamp, now)).into_iter().flatten() {
            match heard {
                Heard::Down(_) => held += 1,
                Heard::Up(press) => {
                    held -= 1;
                    told += &format!("{}:{} ", press.digit, press.duration_ms);
                }
            }
            assert!((0..=1).contains(&held), "down and up in turn");
        }
    }
    if let Some(Heard::Up(press)) = receiver.expire(now + GIVEN_UP) {
        held -= 1;
        told += &format!("{}:{} late", press.digit, press.duration_ms);
    }
    assert_eq!(held, 0, "what went down came up");
    told.trim_end().to_owned()
}

// Of one piece: a table of presses.
#[test]
fn a_press_is_told_once__rfc4733_2_5() {
    type Case<'a> = (&'a str, &'a [(u8, u32, u16, bool)], &'a str);
    let cases: [Case; 12] = [
        (
            "plain",
            &[
                (5, 0, 160, false),
                (5, 0, 320, false),
                (5, 0, 800, true),
                (5, 0, 800, true),
                (5, 0, 800, true),
            ],
            "5:100",
        ),
        ("only an end", &[(11, 0, 800, true)], "#:100"),
        ("no end", &[(5, 0, 160, false), (5, 0, 320, false)], "5:40 late"),
        (
            "no end, next digit",
            &[(5, 0, 320, false), (6, 4000, 160, false), (6, 4000, 320, true)],
            "5:40 6:40",
        ),
        (
            "no end, next is an end",
            &[(5, 0, 320, false), (6, 4000, 320, true)],
            "5:40 6:40",
        ),
        (
            "end before middle",
            &[
                (1, 0, 160, false),
                (1, 0, 640, true),
                (1, 0, 320, false),
                (1, 0, 480, false),
            ],
            "1:80",
        ),
        (
            "late copy of the one before",
            &[
                (1, 0, 640, true),
                (2, 4000, 160, false),
                (1, 0, 640, true),
                (2, 4000, 640, true),
            ],
            "1:80 2:80",
        ),
        (
            "same digit twice",
            &[(1, 0, 640, true), (1, 4000, 640, true)],
            "1:80 1:80",
        ),
        (
            "same digit twice, first end lost",
            &[(1, 0, 640, false), (1, 4000, 160, false), (1, 4000, 640, true)],
            "1:80 1:80",
        ),
        (
            "long press in segments",
            &[(3, 0, 0xFFFF, false), (3, 0xFFFF, 160, false), (3, 0xFFFF, 1600, true)],
            "3:8391",
        ),
        (
            "long press in segments, packets lost about the seam",
            &[(3, 0, 0xF000, false), (3, 0xFFFF, 960, false), (3, 0xFFFF, 1600, true)],
            "3:8391",
        ),
        (
            "timestamp moves within the press",
            &[(3, 0, 160, false), (3, 160, 320, false), (3, 320, 480, true)],
            "3:60",
        ),
    ];
    for (name, packets, told) in cases {
        assert_eq!(hear(packets), told, "{name}");
    }
}

#[test]
fn one_timestamp_for_each_press_leaves_them_presses__rfc4733_2_5_1_2() {
    let mut receiver = Receiver::default();
    let mut told = String::new();
    let mut note = |ms: u64, sequence: u16, event: u8, duration: u16, end: bool| {
        let at = EventAt {
            sequence,
            ..place(0, ms * MILLISECOND)
        };
        for heard in receiver.note(Body { event, end, duration }, at).into_iter().flatten() {
            if let Heard::Up(press) = heard {
                told.push(press.digit);
            }
        }
    };
    note(0, 1, 1, 160, false);
    // A burst of losses: the duration says that the digit was held meanwhile.
    note(400, 15, 1, 3360, false);
    note(420, 16, 1, 3520, true);
    note(440, 17, 1, 3520, true);
    // A copy of the end that took its time, and the digit anew.
    note(700, 17, 1, 3520, true);
    note(910, 30, 1, 160, false);
    note(930, 31, 1, 320, true);
    // Another digit at once, and a copy of the one before.
    note(950, 33, 2, 160, false);
    note(951, 32, 1, 320, true);
    note(970, 34, 2, 320, true);
    assert_eq!(told, "112");
}

#[test]
fn events_that_are_no_digit_are_not_told() {
    assert_eq!(hear(&[(16, 0, 800, true), (255, 4000, 800, true)]), "");
}

#[test]
fn any_packets_tell_no_more_presses_than_packets() {
    let mut random = crate::random::Random::new(3);
    let mut receiver = Receiver::default();
    let mut told = 0;
    for index in 0..100_000_u64 {
        let body = Body::parse(&random.next().to_be_bytes()).expect("eight octets");
        let timestamp = (random.next() as u32) & 0xFFF;
        for heard in receiver
            .note(body, place(timestamp, index * MILLISECOND))
            .into_iter()
            .flatten()
        {
            told += u32::from(matches!(heard, Heard::Up(_)));
        }
    }
    assert!(told <= 100_000);
    assert_eq!(Body::parse(b"\x01\x02\x03"), None);
}

#[test]
fn a_digit_is_down_with_its_first_packet() {
    let mut receiver = Receiver::default();
    let body = |end| Body {
        event: 5,
        end,
        duration: 160,
    };
    assert_eq!(
        receiver.note(body(false), place(0, 0)),
        [None, Some(Heard::Down('5')), None]
    );
    assert_eq!(receiver.note(body(false), place(0, 0)), [None; 3]);
    let press = Press {
        digit: '5',
        duration_ms: 20,
    };
    assert_eq!(
        receiver.note(body(true), place(0, 0)),
        [None, None, Some(Heard::Up(press))]
    );
    assert_eq!(receiver.expire(GIVEN_UP), None);
}

#[test]
fn a_peer_that_counts_anew_is_heard() {
    let body = Body {
        event: 5,
        end: true,
        duration: 800,
    };
    let ups = |receiver: &mut Receiver, at: EventAt| receiver.note(body, at)[2].is_some();
    let mut receiver = Receiver::default();
    assert!(ups(&mut receiver, place(1_000_000, 0)));
    assert!(!ups(&mut receiver, place(996_000, 100 * MILLISECOND)), "a late copy");
    let other_source = EventAt {
        ssrc: 2,
        ..place(990_000, 200 * MILLISECOND)
    };
    assert!(ups(&mut receiver, other_source));
    let much_later = EventAt {
        ssrc: 2,
        ..place(980_000, 300 * MILLISECOND + LATE)
    };
    assert!(ups(&mut receiver, much_later));
    let far_back = EventAt {
        ssrc: 2,
        ..place(800_000, 400 * MILLISECOND + LATE)
    };
    assert!(ups(&mut receiver, far_back));
}

/// All steps: a packet's event (`!` before the first), `E` for its end, and its duration in milliseconds.
fn script(sender: &mut Sender) -> String {
    let mut script = String::new();
    while let Some(step) = sender.step(STEP_MS) {
        script += &match step {
            Step::Press(moment) => {
                let (body, _) = moment.body(8000);
                let first = if moment.is_first() { "!" } else { "" };
                let end = if body.end { "E" } else { "" };
                format!("{first}{}{end}{} ", body.event, body.duration / 8)
            }
            Step::Hold => "- ".to_owned(),
            Step::Pass => "p".to_owned(),
        };
    }
    script
}

#[test]
fn a_string_of_digits_is_spelt_out_in_steps() {
    let mut sender = Sender::default();
    sender.push("1w#", 60, 80).expect("digits");
    let press = |event: u8| format!("!{event}20 {event}40 {event}60 {event}E60 {event}E60 {event}E60 - ");
    assert_eq!(script(&mut sender), press(1) + &"p".repeat(25) + &press(11));
}

#[test]
fn a_held_digit_ends_when_it_is_let_go_and_not_before_what_was_held() {
    for (steps, held_ms, expected) in [
        (3, 30, "5E60 5E60 5E60 "),
        (3, 90, "580 5E90 5E90 5E90 - "),
        (1, 10, "540 5E40 5E40 5E40 "),
    ] {
        let mut sender = Sender::default();
        sender.hold(5);
        for _ in 0..steps {
            assert!(matches!(sender.step(STEP_MS), Some(Step::Press(_))));
        }
        sender.release(6, 1000); // of another digit
        sender.release(5, held_ms);
        assert_eq!(script(&mut sender), expected);
    }
}

#[test]
fn held_digits_wait_for_those_before_them_and_for_eight_seconds_at_the_longest() {
    let mut sender = Sender::default();
    sender.hold(1);
    sender.step(STEP_MS);
    sender.hold(2); // lets go of the other one
    sender.release(2, 50);
    assert_eq!(script(&mut sender), "140 1E40 1E40 1E40 !220 240 2E50 2E50 2E50 - ");
    sender.hold(3);
    let script = script(&mut sender);
    assert!(script.ends_with("37980 38000 3E8000 3E8000 3E8000 "), "{script}");
    for _ in 0..2 * MAX_WAITING {
        sender.hold(4);
    }
    assert_eq!(sender.waiting(), MAX_WAITING);
    assert!(sender.push("1", 100, 100).is_err());
}

#[test]
fn a_long_press_of_a_fast_clock_goes_on_in_segments__rfc4733_2_5_1_3() {
    for tone_ms in [1364, 1365, 1366, 1380, 2000, 2730, 2731, 8000] {
        let mut sender = Sender::default();
        sender.push("7", tone_ms, 100).expect("a digit");
        let mut receiver = Receiver::default();
        let (mut now, mut told, mut before) = (0, Vec::new(), (0, 0));
        while let Some(Step::Press(moment)) = sender.step(STEP_MS) {
            now += 20 * MILLISECOND;
            let (body, segment) = moment.body(48_000);
            if segment != before.0 && !body.end {
                assert_eq!(
                    (segment - before.0, before.1),
                    (0xFFFF, 0xFFFF),
                    "a full segment before the next"
                );
            }
            before = (segment, body.duration);
            let at = EventAt {
                rate_hz: 48_000,
                ..place(500_000 + segment, now)
            };
            told.extend(receiver.note(body, at).into_iter().flatten());
        }
        let [Heard::Down('7'), Heard::Up(Press {
            digit: '7',
            duration_ms,
        })] = told[..]
        else {
            panic!("{tone_ms}: {told:?}");
        };
        assert_eq!(duration_ms, tone_ms);
    }
}

#[test]
fn what_is_sent_is_what_is_heard() {
    let mut sender = Sender::default();
    sender.push("159*0#abcd", 100, 100).expect("digits");
    let mut receiver = Receiver::default();
    let (mut now, mut timestamp, mut told) = (0, 0, String::new());
    while let Some(step) = sender.step(STEP_MS) {
        now += 20 * MILLISECOND;
        if let Step::Press(moment) = step {
            if moment.is_first() {
                timestamp = samples(now, 8000) as u32;
            }
            let body = Body::parse(&moment.body(8000).0.octets()).expect("four octets");
            for heard in receiver.note(body, place(timestamp, now)).into_iter().flatten() {
                if let Heard::Up(press) = heard {
                    told.push(press.digit);
                }
            }
        }
    }
    assert_eq!(told, "159*0#ABCD");
}

#[test]
fn one_bad_digit_refuses_all() {
    let mut sender = Sender::default();
    assert!(sender.push("12x", 100, 100).is_err());
    assert!(sender.push(&"1".repeat(MAX_WAITING + 1), 100, 100).is_err());
    assert!(sender.is_idle());
}
