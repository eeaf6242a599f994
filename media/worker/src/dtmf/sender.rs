//! Digits spelt out step by step, for telephone-events and tones alike. Source: RFC 4733 2.5.

use super::event_of;
use crate::rtp::event::{Body, SEGMENT};

/// What the sender does in one step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Send this part of a press.
    Press(Moment),
    /// Say nothing, neither digit nor audio (the gap after a press).
    Hold,
    /// Let audio through (a `w` or `W`).
    Pass,
}

/// A part of a press, counted in milliseconds since the digit went down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    pub event: u8,
    pub from_ms: u32,
    pub to_ms: u32,
    /// When the digit is let go, as far as that is known.
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

/// Spells out digits step by step: those of a string, and those that somebody else holds.
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
pub(super) const MAX_WAITING: usize = 256;

impl Sender {
    /// Queue the digits; nothing is queued when one of them is no digit.
    pub fn push(&mut self, digits: &str, tone_ms: u32, gap_ms: u32) -> Result<(), String> {
        if self.parts.len() + digits.len() > MAX_WAITING {
            return Err(format!("more than {MAX_WAITING} digits would wait"));
        }
        let tone_ms = tone_ms.clamp(MIN_TONE_MS, MAX_TONE_MS);
        let gap_ms = gap_ms.clamp(MIN_GAP_MS, MAX_TONE_MS);
        let parts: Result<Vec<Part>, String> = digits
            .chars()
            .map(|digit| match digit {
                'w' => Ok(Part::Pause { ms: 500 }),
                'W' => Ok(Part::Pause { ms: 1000 }),
                _ => match event_of(digit) {
                    Some(event) => Ok(Part::Press {
                        event,
                        tone_ms,
                        gap_ms,
                        open: false,
                    }),
                    None => Err(format!("{digit:?} is no digit")),
                },
            })
            .collect();
        self.parts.extend(parts?);
        Ok(())
    }

    /// Press a digit until `release`. What is held already is let go; beyond `MAX_WAITING` the press is dropped.
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

    /// Let go of a digit that was held for `held_ms` in all: if more is to be sent of it, that is sent yet.
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

    #[cfg(test)]
    pub(super) fn waiting(&self) -> usize {
        self.parts.len()
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
                (if over { Step::Hold } else { Step::Press(moment) }, tone_ms + gap_ms)
            }
        };
        if to_ms >= length_ms {
            self.parts.pop_front();
            self.elapsed_ms = 0;
        }
        Some(step)
    }
}
