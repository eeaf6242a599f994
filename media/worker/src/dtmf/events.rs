//! Digits as telephone-events: told once per press on the way in, spelt out in packets on the way out. Source: RFC 4733 2.
//!
//! A press is many packets with one RTP timestamp and a growing duration; the last is sent three times with the end bit.
//! Any of them may be lost, doubled or late. So a press is known by its timestamp, is told when the first end packet is
//! seen, or when another press begins, or when nothing more came for `GIVEN_UP`. That a digit went down is told at its first
//! packet, so that it can be pressed anew elsewhere while it is still held.

use super::{digit_of, Heard, Press};
use crate::clock::{samples, Nanos, MILLISECOND};
use crate::rtp::event::{follows, is_newer, is_pressed_again, Body, GIVEN_UP, SEGMENT};

/// What comes so soon after the newest packet, and belongs so little before it, is a late copy of an earlier press. Beyond
/// that, the peer has begun to count anew.
pub(super) const LATE: Nanos = 3000 * MILLISECOND;
const LATE_S: u32 = 10;

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
            digit: digit_of(self.event)?,
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
pub struct EventAt {
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
    pub fn note(&mut self, body: Body, at: EventAt) -> [Option<Heard>; 3] {
        let Some(current) = self.current.as_mut() else {
            return self.begin(body, at, None);
        };
        if at.ssrc != current.ssrc {
            let lost_end = Self::tell_if(true, current);
            return self.begin(body, at, lost_end);
        }
        let step = at.timestamp.wrapping_sub(current.timestamp);
        let newer = is_newer(at.sequence, current.sequence);
        let next = follows(at.sequence, current.sequence);
        if newer {
            current.sequence = at.sequence;
        }
        if step == 0 && body.event == current.event {
            let before = Body {
                duration: current.duration,
                ..body
            };
            if newer && is_pressed_again(before, current.heard_at, body, next, at.now, at.rate_hz) {
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

    fn begin(&mut self, body: Body, at: EventAt, lost_end: Option<Heard>) -> [Option<Heard>; 3] {
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
        let down = digit_of(body.event).map(Heard::Down);
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
