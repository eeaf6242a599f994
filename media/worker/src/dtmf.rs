//! Keys as telephone-events: told once per press on the way in, spelt out in packets on the way out. Source: RFC 4733 2.
//!
//! A press is many packets with one RTP timestamp and a growing duration; the last is sent three times with the end bit.
//! Any of them may be lost, doubled or late. So a press is known by its timestamp, is told when the first end packet is
//! seen, or when another press begins, or when nothing more came for `GIVEN_UP`.

use crate::clock::{samples, Nanos, MILLISECOND};

const GIVEN_UP: Nanos = 200 * MILLISECOND;
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

#[derive(Debug, Clone, Copy)]
struct Current {
    event: u8,
    /// Of the newest segment; a key held for more than 8 s is sent in several (RFC 4733 2.5.1.3).
    timestamp: u32,
    before: u32,
    duration: u16,
    told: bool,
    heard_at: Nanos,
    rate_hz: u32,
}

impl Current {
    fn press(&self) -> Option<Press> {
        let key = *KEYS.get(usize::from(self.event))?;
        let units = u64::from(self.before) + u64::from(self.duration);
        Some(Press {
            key: char::from(key),
            duration_ms: (units * 1000 / u64::from(self.rate_hz.max(1))).min(u64::from(u32::MAX)) as u32,
        })
    }
}

/// Finds the presses in what a peer sends.
#[derive(Debug, Default)]
pub struct Receiver {
    current: Option<Current>,
}

impl Receiver {
    /// Take note of one packet. Tells up to two presses: one whose end was lost, and one that this packet ends.
    pub fn note(&mut self, body: Body, timestamp: u32, now: Nanos, rate_hz: u32) -> [Option<Press>; 2] {
        let Some(current) = self.current.as_mut() else {
            return [None, self.begin(body, timestamp, now, rate_hz)];
        };
        let step = timestamp.wrapping_sub(current.timestamp);
        if step == 0 && body.event == current.event {
            current.heard_at = now;
            current.duration = current.duration.max(body.duration);
            return [None, Self::tell_if(body.end, current)];
        }
        if step > u32::MAX / 2 {
            return [None, None]; // a late copy of an earlier press
        }
        // A further segment of a long press begins where the one before ran out of numbers. Some senders move the
        // timestamp within a press; then the duration goes on growing and the packets come at their usual pace.
        let segment = step == 0xFFFF || step == u32::from(current.duration);
        if body.event == current.event && !current.told && segment && current.duration >= 0xFF00 {
            current.before = current.before.saturating_add(step);
            current.timestamp = timestamp;
            current.duration = body.duration;
            current.heard_at = now;
            return [None, Self::tell_if(body.end, current)];
        }
        let moving = samples(now.saturating_sub(current.heard_at), rate_hz) < u64::from(rate_hz / 20);
        if body.event == current.event
            && !current.told
            && moving
            && body.duration > current.duration
            && current.duration > 0
        {
            current.timestamp = timestamp;
            current.duration = body.duration;
            current.heard_at = now;
            return [None, Self::tell_if(body.end, current)];
        }
        let lost_end = Self::tell_if(true, current);
        [lost_end, self.begin(body, timestamp, now, rate_hz)]
    }

    /// Tell a press whose end never came.
    pub fn expire(&mut self, now: Nanos) -> Option<Press> {
        let current = self.current.as_mut()?;
        Self::tell_if(now.saturating_sub(current.heard_at) >= GIVEN_UP, current)
    }

    /// Whether a press goes on, so that `expire` has something to do.
    pub fn is_pressed(&self) -> bool {
        self.current.is_some_and(|current| !current.told)
    }

    fn begin(&mut self, body: Body, timestamp: u32, now: Nanos, rate_hz: u32) -> Option<Press> {
        let current = self.current.insert(Current {
            event: body.event,
            timestamp,
            before: 0,
            duration: body.duration,
            told: false,
            heard_at: now,
            rate_hz,
        });
        Self::tell_if(body.end, current)
    }

    fn tell_if(ended: bool, current: &mut Current) -> Option<Press> {
        if !ended || current.told {
            return None;
        }
        current.told = true;
        current.press()
    }
}

/// What the sender does at one step of 20 ms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Send this; `first` of its press.
    Send { body: Body, first: bool },
    /// Say nothing, neither digit nor audio (the gap after a press).
    Hold,
    /// Let audio through (a `w` or `W`).
    Pass,
}

/// One thing that is still to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Press { event: u8, tone_ms: u32, gap_ms: u32 },
    Pause { ms: u32 },
}

/// Spells out a string of keys, a step every `STEP_MS`.
#[derive(Debug, Default)]
pub struct Sender {
    parts: std::collections::VecDeque<Part>,
    elapsed_ms: u32,
}

/// The pace of packets within a press (RFC 4733 2.5.1.2 suggests the packet time of the audio).
pub const STEP_MS: u32 = 20;
/// The longest press: a duration is 16 bits of an 8 kHz clock.
const MAX_TONE_MS: u32 = 8000;
/// How much may wait to be sent.
const MAX_WAITING: usize = 256;

impl Sender {
    /// Queue the keys; nothing is queued when one of them is no key.
    pub fn push(&mut self, digits: &str, tone_ms: u32, gap_ms: u32) -> Result<(), String> {
        if self.parts.len() + digits.len() > MAX_WAITING {
            return Err(format!("more than {MAX_WAITING} digits would wait"));
        }
        let tone_ms = tone_ms.clamp(2 * STEP_MS, MAX_TONE_MS);
        // The three end packets are sent within the gap.
        let gap_ms = gap_ms.clamp(3 * STEP_MS, MAX_TONE_MS);
        let parts: Result<Vec<Part>, String> = digits
            .chars()
            .map(|key| match key {
                'w' => Ok(Part::Pause { ms: 500 }),
                'W' => Ok(Part::Pause { ms: 1000 }),
                _ => match event_of(key) {
                    Some(event) => Ok(Part::Press { event, tone_ms, gap_ms }),
                    None => Err(format!("{key:?} is no key")),
                },
            })
            .collect();
        self.parts.extend(parts?);
        Ok(())
    }

    pub fn is_idle(&self) -> bool {
        self.parts.is_empty()
    }

    /// What to do in this step, `rate_hz` being the clock of the payload type. None when all is sent.
    pub fn step(&mut self, rate_hz: u32) -> Option<Step> {
        let part = *self.parts.front()?;
        self.elapsed_ms += STEP_MS;
        let at = self.elapsed_ms;
        let units = |ms: u32| (u64::from(ms) * u64::from(rate_hz) / 1000).min(0xFFFF) as u16;
        let (step, length_ms) = match part {
            Part::Pause { ms } => (Step::Pass, ms),
            Part::Press { event, tone_ms, gap_ms } => {
                let end = at > tone_ms;
                let body = Body {
                    event,
                    end,
                    duration: units(at.min(tone_ms)),
                };
                let step = if at <= tone_ms + 3 * STEP_MS {
                    let first = at == STEP_MS;
                    Step::Send { body, first }
                } else {
                    Step::Hold
                };
                (step, tone_ms + gap_ms)
            }
        };
        if at >= length_ms {
            self.parts.pop_front();
            self.elapsed_ms = 0;
        }
        Some(step)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hear(packets: &[(u8, u32, u16, bool)]) -> String {
        let mut receiver = Receiver::default();
        let mut told = String::new();
        let mut now = 0;
        for &(event, timestamp, duration, end) in packets {
            now += 20 * MILLISECOND;
            let body = Body { event, end, duration };
            for press in receiver.note(body, timestamp, now, 8000).into_iter().flatten() {
                told += &format!("{}:{} ", press.key, press.duration_ms);
            }
        }
        if let Some(press) = receiver.expire(now + GIVEN_UP) {
            told += &format!("{}:{} late", press.key, press.duration_ms);
        }
        told.trim_end().to_owned()
    }

    #[test]
    fn a_press_is_told_once__rfc4733_2_5() {
        type Case<'a> = (&'a str, &'a [(u8, u32, u16, bool)], &'a str);
        let cases: [Case; 11] = [
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
            told += receiver
                .note(body, timestamp, index * MILLISECOND, 8000)
                .into_iter()
                .flatten()
                .count();
        }
        assert!(told <= 100_000);
        assert_eq!(Body::parse(b"\x01\x02\x03"), None);
    }

    #[test]
    fn a_string_of_keys_is_spelt_out_in_steps() {
        let mut sender = Sender::default();
        sender.push("1w#", 60, 80).expect("keys");
        let mut script = String::new();
        while let Some(step) = sender.step(8000) {
            script += &match step {
                Step::Send { body, first } => {
                    format!(
                        "{}{}{}{} ",
                        if first { "!" } else { "" },
                        body.event,
                        if body.end { "E" } else { "" },
                        body.duration / 8
                    )
                }
                Step::Hold => "- ".to_owned(),
                Step::Pass => "p".to_owned(),
            };
        }
        let press = |event: u8| format!("!{event}20 {event}40 {event}60 {event}E60 {event}E60 {event}E60 - ");
        assert_eq!(script, press(1) + &"p".repeat(25) + &press(11));
    }

    #[test]
    fn what_is_sent_is_what_is_heard() {
        let mut sender = Sender::default();
        sender.push("159*0#abcd", 100, 100).expect("keys");
        let mut receiver = Receiver::default();
        let (mut now, mut timestamp, mut told) = (0, 0, String::new());
        while let Some(step) = sender.step(8000) {
            now += 20 * MILLISECOND;
            if let Step::Send { body, first } = step {
                if first {
                    timestamp = samples(now, 8000) as u32;
                }
                let body = Body::parse(&body.octets()).expect("four octets");
                told.extend(
                    receiver
                        .note(body, timestamp, now, 8000)
                        .into_iter()
                        .flatten()
                        .map(|press| press.key),
                );
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
