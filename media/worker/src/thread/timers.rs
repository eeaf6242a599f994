//! What happens because time passes: the wheel, and housekeeping ten times a second.

use super::wheel::Wheel;
use super::MediaThread;
use crate::clock::{Nanos, MILLISECOND};
use crate::slab::Handle;

/// How often streams are looked after without a packet.
const HOUSEKEEPING: Nanos = 100 * MILLISECOND;

/// What is to be done without a packet, and when.
#[derive(Debug)]
pub(super) struct Agenda {
    pub wheel: Wheel,
    /// Whose turn at this tick of the wheel is still to come, the next at the end.
    pub due: Vec<Handle>,
    pub tick: u64,
    pub housekeeping_at: Nanos,
}

impl Agenda {
    pub fn new(now: Nanos) -> Self {
        Self {
            wheel: Wheel::new(now),
            due: Vec::new(),
            tick: 0,
            housekeeping_at: now,
        }
    }

    pub fn next_at(&self) -> Nanos {
        let tick = self.wheel.next_at();
        tick.map_or(self.housekeeping_at, |at| at.min(self.housekeeping_at))
    }
}

impl MediaThread {
    /// Do all that is due.
    pub(super) fn tick(&mut self) {
        self.take_turns(); // of a tick that a panic has cut off
        while let Some((tick, mut due)) = self.agenda.wheel.take_due(self.turn.now) {
            due.reverse();
            (self.agenda.due, self.agenda.tick) = (due, tick);
            self.take_turns();
            self.agenda.wheel.recycle(std::mem::take(&mut self.agenda.due));
        }
        if self.turn.now >= self.agenda.housekeeping_at && !self.streams.is_empty() {
            self.agenda.housekeeping_at = self.turn.now + HOUSEKEEPING;
            self.look_after_directions();
            let turn = &self.turn;
            let mut pressed = Vec::new(); // takes memory only when a press was given up
            for (handle, stream) in self.streams.iter_mut() {
                self.current = Some(handle);
                stream.housekeeping(&mut self.random, turn);
                if stream.inbound.presses.has_moves() {
                    pressed.push(handle);
                }
            }
            for handle in pressed {
                self.carry_digits(handle);
            }
            self.look_after_recordings();
        }
    }

    /// The turns of a tick. Each leaves the list before it is taken, so that a panic in one costs no other.
    fn take_turns(&mut self) {
        while let Some(handle) = self.agenda.due.pop() {
            if Self::is_mix(handle) {
                self.step_mix(handle, self.agenda.tick);
            } else {
                self.play_out(handle, self.agenda.tick);
            }
        }
    }
}
