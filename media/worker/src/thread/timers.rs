//! What happens because time passes: the wheel, and housekeeping ten times a second.

use super::{turn, MediaThread, HOUSEKEEPING};

impl MediaThread {
    /// Do all that is due.
    pub(super) fn tick(&mut self) {
        self.take_turns(); // of a tick that a panic has cut off
        while let Some((tick, mut due)) = self.wheel.take_due(self.now) {
            due.reverse();
            (self.due, self.due_tick) = (due, tick);
            self.take_turns();
            self.wheel.recycle(std::mem::take(&mut self.due));
        }
        if self.now >= self.housekeeping_at && !self.streams.is_empty() {
            self.housekeeping_at = self.now + HOUSEKEEPING;
            self.look_after_lanes();
            let turn = turn!(self);
            let mut pressed = Vec::new(); // takes memory only when a press was given up
            for (handle, stream) in self.streams.iter_mut() {
                self.current = Some(handle);
                stream.housekeeping(&mut self.random, turn);
                if stream.presses.has_moves() {
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
        while let Some(handle) = self.due.pop() {
            if Self::is_mix(handle) {
                self.step_mix(handle, self.due_tick);
            } else {
                self.play_out(handle, self.due_tick);
            }
        }
    }
}
