//! Keys as telephone-events: told once per press on the way in, spelt out in packets on the way out. Source: RFC 4733 2.
//!
//! A press is many packets with one RTP timestamp and a growing duration; the last is sent three times with the end bit.
//! Any of them may be lost, doubled or late. So a press is known by its timestamp, is told when the first end packet is
//! seen, or when another press begins, or when nothing more came for `GIVEN_UP`. That a key went down is told at its first
//! packet, so that it can be pressed anew elsewhere while it is still held.

use crate::clock::{samples, Nanos, MILLISECOND};

/// A press of which nothing more came for so long has ended.
pub const GIVEN_UP: Nanos = 200 * MILLISECOND;
/// What comes so soon after the newest packet, and belongs so little before it, is a late copy of an earlier press. Beyond
/// that, the peer has begun to count anew.
const LATE: Nanos = 3000 * MILLISECOND;
const LATE_S: u32 = 10;
/// A press that takes longer than its duration can say goes on in a segment of its own (RFC 4733 2.5.1.3).
const SEGMENT: u32 = 0xFFFF;
const KEYS: &[u8; 16] = b"0123456789*#ABCD";

/// The body of a telephone-event packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Body {
    pub event: u8,
    pub end: bool,
    /// In units of the RTP clock, since the timestamp of the packet.
    pub duration: u16,
}

impl Body {
    /// Read the first four octets; redundant copies behind them are left alone.
    pub fn parse(payload: &[u8]) -> Option<Self> {
        let body = payload.first_chunk::<4>()?;
        Some(Self {
            event: body[0],
            end: body[1] & 0x80 != 0,
            duration: u16::from_be_bytes([body[2], body[3]]),
        })
    }

    /// As sent, with the volume at -10 dBm0.
    pub fn octets(self) -> [u8; 4] {
        let [high, low] = self.duration.to_be_bytes();
        [self.event, (u8::from(self.end) << 7) | 10, high, low]
    }
}

/// The key of an event number; None for the events that are none (a hook flash, a modem).
pub fn key_of(event: u8) -> Option<char> {
    KEYS.get(usize::from(event)).map(|&key| char::from(key))
}

/// The event number of a key.
pub fn event_of(key: char) -> Option<u8> {
    let key = key.to_ascii_uppercase();
    KEYS.iter()
        .position(|&known| char::from(known) == key)
        .map(|index| index as u8)
}

/// A key and how long it was held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Press {
    pub key: char,
    pub duration_ms: u32,
}

/// What is heard of a key, in events or in audio.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard {
    /// It is held.
    Down(char),
    /// It was let go.
    Up(Press),
}

#[derive(Debug, Clone, Copy)]
struct Current {
    event: u8,
    ssrc: u32,
    /// Of the newest segment.
    timestamp: u32,
    before: u32,
    duration: u16,
    told: bool,
    heard_at: Nanos,
    rate_hz: u32,
}

impl Current {
    fn press(&self) -> Option<Press> {
        let units = u64::from(self.before) + u64::from(self.duration);
        Some(Press {
            key: key_of(self.event)?,
            duration_ms: (units * 1000 / u64::from(self.rate_hz.max(1))).min(u64::from(u32::MAX)) as u32,
        })
    }

    fn is_late(&self, timestamp: u32, now: Nanos) -> bool {
        let back = self.timestamp.wrapping_sub(timestamp);
        back <= LATE_S * self.rate_hz.min(u32::MAX / 2 / LATE_S) && now.saturating_sub(self.heard_at) < LATE
    }
}

/// Where and when a packet belongs.
#[derive(Debug, Clone, Copy)]
pub struct Place {
    pub ssrc: u32,
    pub timestamp: u32,
    pub rate_hz: u32,
    pub now: Nanos,
}

/// Finds the presses in what a peer sends.
#[derive(Debug, Default)]
pub struct Receiver {
    current: Option<Current>,
}

impl Receiver {
    /// Take note of one packet. In order: the end of a press whose own end was lost, the beginning and the end of a press.
    pub fn note(&mut self, body: Body, at: Place) -> [Option<Heard>; 3] {
        let Some(current) = self.current.as_mut() else {
            return self.begin(body, at, None);
        };
        if at.ssrc != current.ssrc {
            let lost_end = Self::tell_if(true, current);
            return self.begin(body, at, lost_end);
        }
        let step = at.timestamp.wrapping_sub(current.timestamp);
        if step == 0 && body.event == current.event {
            current.heard_at = at.now;
            current.duration = current.duration.max(body.duration);
            return [None, None, Self::tell_if(body.end, current)];
        }
        if step > u32::MAX / 2 && current.is_late(at.timestamp, at.now) {
            return [None; 3];
        }
        if body.event == current.event && !current.told {
            // A further segment begins where the one before ran out of numbers.
            let segment = step == SEGMENT || (step == u32::from(current.duration) && current.duration >= 0xFF00);
            // Some senders move the timestamp within a press; then the duration goes on growing and the packets come at
            // their usual pace.
            let soon = samples(at.now.saturating_sub(current.heard_at), at.rate_hz) < u64::from(at.rate_hz / 20);
            let moved = soon && current.duration > 0 && body.duration > current.duration;
            if segment || moved {
                if segment {
                    current.before = current.before.saturating_add(step);
                }
                current.timestamp = at.timestamp;
                current.duration = body.duration;
                current.heard_at = at.now;
                return [None, None, Self::tell_if(body.end, current)];
            }
        }
        let lost_end = Self::tell_if(true, current);
        self.begin(body, at, lost_end)
    }

    /// Tell a press whose end never came.
    pub fn expire(&mut self, now: Nanos) -> Option<Heard> {
        let current = self.current.as_mut()?;
        Self::tell_if(now.saturating_sub(current.heard_at) >= GIVEN_UP, current)
    }

    fn begin(&mut self, body: Body, at: Place, lost_end: Option<Heard>) -> [Option<Heard>; 3] {
        let current = self.current.insert(Current {
            event: body.event,
            ssrc: at.ssrc,
            timestamp: at.timestamp,
            before: 0,
            duration: body.duration,
            told: false,
            heard_at: at.now,
            rate_hz: at.rate_hz,
        });
        let down = key_of(body.event).map(Heard::Down);
        [lost_end, down, Self::tell_if(body.end, current)]
    }

    fn tell_if(ended: bool, current: &mut Current) -> Option<Heard> {
        if !ended || current.told {
            return None;
        }
        current.told = true;
        current.press().map(Heard::Up)
    }
}

/// What the sender does in one step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Send this part of a press.
    Key(Moment),
    /// Say nothing, neither key nor audio (the gap after a press).
    Hold,
    /// Let audio through (a `w` or `W`).
    Pass,
}

/// A part of a press, counted in milliseconds since the key went down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    pub event: u8,
    pub from_ms: u32,
    pub to_ms: u32,
    /// When the key is let go, as far as that is known.
    pub tone_ms: u32,
}

impl Moment {
    pub fn is_first(self) -> bool {
        self.from_ms == 0
    }

    /// The packet to send, and how far behind the press its timestamp lies (RFC 4733 2.5.1.3): `rate_hz` is the clock of the
    /// payload type.
    pub fn body(self, rate_hz: u32) -> (Body, u32) {
        let units = |ms: u32| (u64::from(ms.min(self.tone_ms)) * u64::from(rate_hz) / 1000) as u32;
        let end = self.to_ms > self.tone_ms;
        let total = units(self.to_ms);
        // A segment that is full within this step is said to be full first, and the next step begins the next one.
        let reached = if end { total } else { units(self.from_ms) };
        let segment = reached.saturating_sub(1) / SEGMENT * SEGMENT;
        let body = Body {
            event: self.event,
            end,
            duration: (total - segment).min(SEGMENT) as u16,
        };
        (body, segment)
    }
}

/// One thing that is still to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Press {
        event: u8,
        tone_ms: u32,
        gap_ms: u32,
        /// Held until `release`, for `tone_ms` at the longest.
        open: bool,
    },
    Pause {
        ms: u32,
    },
}

/// Spells out keys step by step: those of a string, and those that somebody else holds.
#[derive(Debug, Default)]
pub struct Sender {
    parts: std::collections::VecDeque<Part>,
    elapsed_ms: u32,
}

/// The pace of packets within a press (RFC 4733 2.5.1.2 suggests the packet time of the audio).
pub const STEP_MS: u32 = 20;
/// The longest press.
const MAX_TONE_MS: u32 = 8000;
/// The shortest press and the shortest gap, in which the three end packets are sent.
const MIN_TONE_MS: u32 = 2 * STEP_MS;
const MIN_GAP_MS: u32 = 3 * STEP_MS;
/// How much may wait to be sent.
const MAX_WAITING: usize = 256;

impl Sender {
    /// Queue the keys; nothing is queued when one of them is no key.
    pub fn push(&mut self, digits: &str, tone_ms: u32, gap_ms: u32) -> Result<(), String> {
        if self.parts.len() + digits.len() > MAX_WAITING {
            return Err(format!("more than {MAX_WAITING} digits would wait"));
        }
        let tone_ms = tone_ms.clamp(MIN_TONE_MS, MAX_TONE_MS);
        let gap_ms = gap_ms.clamp(MIN_GAP_MS, MAX_TONE_MS);
        let parts: Result<Vec<Part>, String> = digits
            .chars()
            .map(|key| match key {
                'w' => Ok(Part::Pause { ms: 500 }),
                'W' => Ok(Part::Pause { ms: 1000 }),
                _ => match event_of(key) {
                    Some(event) => Ok(Part::Press {
                        event,
                        tone_ms,
                        gap_ms,
                        open: false,
                    }),
                    None => Err(format!("{key:?} is no key")),
                },
            })
            .collect();
        self.parts.extend(parts?);
        Ok(())
    }

    /// Press a key until `release`. What is held already is let go; beyond `MAX_WAITING` the press is dropped.
    pub fn hold(&mut self, event: u8) {
        self.let_go(|_| true, 0);
        if self.parts.len() < MAX_WAITING {
            self.parts.push_back(Part::Press {
                event,
                tone_ms: MAX_TONE_MS,
                gap_ms: MIN_GAP_MS,
                open: true,
            });
        }
    }

    /// Let go of a key that was held for `held_ms` in all: if more is to be sent of it, that is sent yet.
    pub fn release(&mut self, event: u8, held_ms: u32) {
        self.let_go(|held| held == event, held_ms);
    }

    /// Let go of whatever is held.
    pub fn release_all(&mut self) {
        self.let_go(|_| true, 0);
    }

    fn let_go(&mut self, which: impl Fn(u8) -> bool, held_ms: u32) {
        for (index, part) in self.parts.iter_mut().enumerate() {
            match part {
                Part::Press {
                    event, tone_ms, open, ..
                } if *open && which(*event) => {
                    let sent_ms = if index == 0 { self.elapsed_ms } else { 0 };
                    *tone_ms = held_ms.max(sent_ms).clamp(MIN_TONE_MS, MAX_TONE_MS);
                    *open = false;
                }
                _ => {}
            }
        }
    }

    pub fn is_idle(&self) -> bool {
        self.parts.is_empty()
    }

    /// What to do in the next `step_ms`. None when all is sent.
    pub fn step(&mut self, step_ms: u32) -> Option<Step> {
        let part = *self.parts.front()?;
        let from_ms = self.elapsed_ms;
        self.elapsed_ms += step_ms;
        let to_ms = self.elapsed_ms;
        let (step, length_ms) = match part {
            Part::Pause { ms } => (Step::Pass, ms),
            Part::Press {
                event, tone_ms, gap_ms, ..
            } => {
                let moment = Moment {
                    event,
                    from_ms,
                    to_ms,
                    tone_ms,
                };
                let over = to_ms > tone_ms + 3 * step_ms;
                (if over { Step::Hold } else { Step::Key(moment) }, tone_ms + gap_ms)
            }
        };
        if to_ms >= length_ms {
            self.parts.pop_front();
            self.elapsed_ms = 0;
        }
        Some(step)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(timestamp: u32, now: Nanos) -> Place {
        Place {
            ssrc: 1,
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
                        told += &format!("{}:{} ", press.key, press.duration_ms);
                    }
                }
                assert!((0..=1).contains(&held), "down and up in turn");
            }
        }
        if let Some(Heard::Up(press)) = receiver.expire(now + GIVEN_UP) {
            held -= 1;
            told += &format!("{}:{} late", press.key, press.duration_ms);
        }
        assert_eq!(held, 0, "what went down came up");
        told.trim_end().to_owned()
    }

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
                "no end, next key",
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
                "same key twice",
                &[(1, 0, 640, true), (1, 4000, 640, true)],
                "1:80 1:80",
            ),
            (
                "same key twice, first end lost",
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
    fn events_that_are_no_key_are_not_told() {
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
    fn a_key_is_down_with_its_first_packet() {
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
            key: '5',
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
        let ups = |receiver: &mut Receiver, at: Place| receiver.note(body, at)[2].is_some();
        let mut receiver = Receiver::default();
        assert!(ups(&mut receiver, place(1_000_000, 0)));
        assert!(!ups(&mut receiver, place(996_000, 100 * MILLISECOND)), "a late copy");
        let other_source = Place {
            ssrc: 2,
            ..place(990_000, 200 * MILLISECOND)
        };
        assert!(ups(&mut receiver, other_source));
        let much_later = Place {
            ssrc: 2,
            ..place(980_000, 300 * MILLISECOND + LATE)
        };
        assert!(ups(&mut receiver, much_later));
        let far_back = Place {
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
                Step::Key(moment) => {
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
    fn a_string_of_keys_is_spelt_out_in_steps() {
        let mut sender = Sender::default();
        sender.push("1w#", 60, 80).expect("keys");
        let press = |event: u8| format!("!{event}20 {event}40 {event}60 {event}E60 {event}E60 {event}E60 - ");
        assert_eq!(script(&mut sender), press(1) + &"p".repeat(25) + &press(11));
    }

    #[test]
    fn a_held_key_ends_when_it_is_let_go_and_not_before_what_was_held() {
        for (steps, held_ms, expected) in [
            (3, 30, "5E60 5E60 5E60 "),
            (3, 90, "580 5E90 5E90 5E90 - "),
            (1, 10, "540 5E40 5E40 5E40 "),
        ] {
            let mut sender = Sender::default();
            sender.hold(5);
            for _ in 0..steps {
                assert!(matches!(sender.step(STEP_MS), Some(Step::Key(_))));
            }
            sender.release(6, 1000); // of another key
            sender.release(5, held_ms);
            assert_eq!(script(&mut sender), expected);
        }
    }

    #[test]
    fn held_keys_wait_for_those_before_them_and_for_eight_seconds_at_the_longest() {
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
        assert_eq!(sender.parts.len(), MAX_WAITING);
        assert!(sender.push("1", 100, 100).is_err());
    }

    #[test]
    fn a_long_press_of_a_fast_clock_goes_on_in_segments__rfc4733_2_5_1_3() {
        for tone_ms in [1364, 1365, 1366, 1380, 2000, 2730, 2731, 8000] {
            let mut sender = Sender::default();
            sender.push("7", tone_ms, 100).expect("a key");
            let mut receiver = Receiver::default();
            let (mut now, mut told, mut before) = (0, Vec::new(), (0, 0));
            while let Some(Step::Key(moment)) = sender.step(STEP_MS) {
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
                let at = Place {
                    ssrc: 1,
                    timestamp: 500_000 + segment,
                    rate_hz: 48_000,
                    now,
                };
                told.extend(receiver.note(body, at).into_iter().flatten());
            }
            let [Heard::Down('7'), Heard::Up(Press { key: '7', duration_ms })] = told[..] else {
                panic!("{tone_ms}: {told:?}");
            };
            assert_eq!(duration_ms, tone_ms);
        }
    }

    #[test]
    fn what_is_sent_is_what_is_heard() {
        let mut sender = Sender::default();
        sender.push("159*0#abcd", 100, 100).expect("keys");
        let mut receiver = Receiver::default();
        let (mut now, mut timestamp, mut told) = (0, 0, String::new());
        while let Some(step) = sender.step(STEP_MS) {
            now += 20 * MILLISECOND;
            if let Step::Key(moment) = step {
                if moment.is_first() {
                    timestamp = samples(now, 8000) as u32;
                }
                let body = Body::parse(&moment.body(8000).0.octets()).expect("four octets");
                for heard in receiver.note(body, place(timestamp, now)).into_iter().flatten() {
                    if let Heard::Up(press) = heard {
                        told.push(press.key);
                    }
                }
            }
        }
        assert_eq!(told, "159*0#ABCD");
    }

    #[test]
    fn one_bad_key_refuses_all() {
        let mut sender = Sender::default();
        assert!(sender.push("12x", 100, 100).is_err());
        assert!(sender.push(&"1".repeat(MAX_WAITING + 1), 100, 100).is_err());
        assert!(sender.is_idle());
    }
}
