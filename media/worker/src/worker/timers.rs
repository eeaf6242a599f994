//! What happens because time passes: the wheel, and housekeeping ten times a second.

use super::{turn, Worker, HOUSEKEEPING};

impl Worker {
    /// Do all that is due.
    pub(super) fn tick(&mut self) {
        while let Some((tick, due)) = self.wheel.take_due(self.now) {
            for key in &due {
                if Self::is_mix(*key) {
                    self.step_mix(*key, tick);
                } else {
                    self.play_out(*key, tick);
                }
            }
            self.wheel.recycle(due);
        }
        if self.now >= self.housekeeping_at && !self.streams.is_empty() {
            self.housekeeping_at = self.now + HOUSEKEEPING;
            let turn = turn!(self);
            let mut pressed = Vec::new(); // takes memory only when a press was given up
            for (key, stream) in self.streams.iter_mut() {
                self.current = Some(key);
                stream.housekeeping(&mut self.random, turn);
                if stream.keys.has_moves() {
                    pressed.push(key);
                }
            }
            for key in pressed {
                self.carry_keys(key);
            }
            self.look_after_recordings();
        }
    }
}
