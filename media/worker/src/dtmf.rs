//! Keys as telephone-events: told once per press on the way in, spelt out in packets on the way out. Source: RFC 4733 2.
//!
//! A press is many packets with one RTP timestamp and a growing duration; the last is sent three times with the end bit.
//! Any of them may be lost, doubled or late. So a press is known by its timestamp, is told when the first end packet is
//! seen, or when another press begins, or when nothing more came for `GIVEN_UP`. That a key went down is told at its first
//! packet, so that it can be pressed anew elsewhere while it is still held.

use crate::clock::{samples, Nanos, MILLISECOND};
use crate::rtp::MAX_MISORDER;

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

/// Whether a packet with the timestamp of the press before, but newer than all of it, belongs to another press: some peers
/// write the same timestamp for each. Within one, the time between two packets is that by which its duration grew, but for
/// the repetitions of the end.
/// `before`: the newest packet, which came at `heard_at`.
pub fn is_pressed_again(before: Body, heard_at: Nanos, body: Body, now: Nanos, rate_hz: u32) -> bool {
    let grown = u64::from(body.duration.saturating_sub(before.duration));
    samples(now.saturating_sub(heard_at), rate_hz) > samples(GIVEN_UP, rate_hz) + grown
}

/// Whether a sequence number is none of a late copy or a late packet, seen from the newest (as RFC 3550 A.1).
pub fn is_newer(sequence: u16, newest: u16) -> bool {
    newest.wrapping_sub(sequence) > MAX_MISORDER
}

#[derive(Debug, Clone, Copy)]
struct Current {
    event: u8,
    ssrc: u32,
    /// Of the newest segment.
    timestamp: u32,
    before: u32,
    duration: u16,
    /// Of the newest packet.
    sequence: u16,
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
    pub sequence: u16,
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
        let newer = is_newer(at.sequence, current.sequence);
        if newer {
            current.sequence = at.sequence;
        }
        if step == 0 && body.event == current.event {
            let before = Body {
                duration: current.duration,
                ..body
            };
            if newer && is_pressed_again(before, current.heard_at, body, at.now, at.rate_hz) {
                let lost_end = Self::tell_if(true, current);
                return self.begin(body, at, lost_end);
            }
            current.heard_at = at.now;
            current.duration = current.duration.max(body.duration);
            return [None, None, Self::tell_if(body.end, current)];
        }
        // Of an earlier press, which may have had the same timestamp.
        let late = step == 0 && !newer || step > u32::MAX / 2 && current.is_late(at.timestamp, at.now);
        if late {
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
            sequence: at.sequence,
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
mod tests;
