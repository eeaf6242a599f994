//! Who is due when: a ring of slots `STEP` apart, for streams that send by our own clock.
//!
//! A stream that plays is put into the slot of its next packet and, when that is due, into the one after. Slots keep
//! their memory, so a running wheel allocates nothing. An entry may be outdated (its stream closed, or is scheduled
//! anew): the stream remembers its own due tick and the caller compares.

use crate::clock::{Nanos, MILLISECOND};
use crate::slab::Handle;

/// The time from slot to slot.
pub const STEP: Nanos = 5 * MILLISECOND;
pub const STEP_MS: u32 = 5;
const SLOTS: u64 = 64;

/// See the module.
#[derive(Debug)]
pub struct Wheel {
    slots: Vec<Vec<Handle>>,
    /// The last tick that was taken.
    tick: u64,
    waiting: usize,
    spare: Vec<Handle>,
}

impl Wheel {
    pub fn new(now: Nanos) -> Self {
        Self {
            slots: vec![Vec::new(); SLOTS as usize],
            tick: now / STEP,
            waiting: 0,
            spare: Vec::new(),
        }
    }

    /// Put `handle` into the slot of `tick`, or the nearest that is still to come. Returns the tick chosen.
    pub fn schedule(&mut self, handle: Handle, tick: u64) -> u64 {
        let tick = tick.clamp(self.tick + 1, self.tick + SLOTS - 1);
        self.slots[(tick % SLOTS) as usize].push(handle);
        self.waiting += 1;
        tick
    }

    /// The least crowded of the next `span_ms` worth of slots: so that streams which begin together do not send together.
    pub fn quiet_tick(&self, span_ms: u32) -> u64 {
        let span = u64::from(span_ms / STEP_MS).clamp(1, SLOTS - 1);
        let ticks = self.tick + 1..=self.tick + span;
        ticks
            .min_by_key(|tick| self.slots[(tick % SLOTS) as usize].len())
            .unwrap_or(self.tick + 1)
    }

    /// Let an empty wheel keep up with the clock, so that what is scheduled next is not in the past.
    pub fn follow(&mut self, now: Nanos) {
        if self.waiting == 0 {
            self.tick = self.tick.max(now / STEP);
        }
    }

    /// The entries of the next tick that is due, oldest first. The list must be given back with `recycle`.
    pub fn take_due(&mut self, now: Nanos) -> Option<(u64, Vec<Handle>)> {
        let current = now / STEP;
        if self.waiting == 0 || self.tick >= current {
            return None;
        }
        self.tick += 1;
        let slot = &mut self.slots[(self.tick % SLOTS) as usize];
        self.waiting -= slot.len();
        let due = std::mem::replace(slot, std::mem::take(&mut self.spare));
        Some((self.tick, due))
    }

    pub fn recycle(&mut self, mut list: Vec<Handle>) {
        list.clear();
        self.spare = list;
    }

    /// The last tick that was taken: what is due at it or before has had its turn.
    pub fn now(&self) -> u64 {
        self.tick
    }

    /// When `take_due` has something to do next; None while nobody waits.
    pub fn next_at(&self) -> Option<Nanos> {
        (self.waiting > 0).then_some((self.tick + 1) * STEP)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn handle(index: u32) -> Handle {
        Handle { index, generation: 0 }
    }

    #[test]
    fn entries_come_out_at_their_tick_and_not_before() {
        let mut wheel = Wheel::new(0);
        wheel.schedule(handle(1), 4);
        let mut seen = Vec::new();
        for now in (0..30).map(|ms| ms * MILLISECOND) {
            while let Some((tick, due)) = wheel.take_due(now) {
                seen.extend(due.iter().map(|handle| (now / MILLISECOND, tick, handle.index)));
                wheel.recycle(due);
            }
        }
        assert_eq!(seen, [(20, 4, 1)]);
        assert_eq!(wheel.next_at(), None);
    }

    #[test]
    fn a_late_loop_takes_every_tick_in_turn() {
        let mut wheel = Wheel::new(0);
        wheel.schedule(handle(2), 9);
        wheel.schedule(handle(1), 3);
        let mut seen = Vec::new();
        while let Some((tick, due)) = wheel.take_due(100 * MILLISECOND) {
            seen.extend(due.iter().map(|handle| (tick, handle.index)));
            wheel.recycle(due);
        }
        assert_eq!(seen, [(3, 1), (9, 2)]);
    }

    #[test]
    fn ticks_outside_the_ring_are_moved_into_it() {
        let mut wheel = Wheel::new(100 * STEP);
        assert_eq!(wheel.schedule(handle(1), 50), 101);
        assert_eq!(wheel.schedule(handle(2), 1000), 163);
    }

    #[test]
    fn streams_that_begin_together_are_spread() {
        let mut wheel = Wheel::new(0);
        let ticks: Vec<u64> = (0..8)
            .map(|index| {
                let tick = wheel.quiet_tick(20);
                wheel.schedule(handle(index), tick)
            })
            .collect();
        assert_eq!(ticks, [1, 2, 3, 4, 1, 2, 3, 4]);
    }

    #[test]
    fn an_idle_wheel_follows_the_clock() {
        let mut wheel = Wheel::new(0);
        wheel.follow(1000 * STEP);
        assert!(wheel.take_due(1000 * STEP).is_none());
        assert_eq!(wheel.schedule(handle(1), 0), 1001);
        assert_eq!(wheel.next_at(), Some(1001 * STEP));
    }
}
