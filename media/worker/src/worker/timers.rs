//! What happens because time passes: housekeeping ten times a second, and the wheel.

use super::{turn, Worker, HOUSEKEEPING};

impl Worker {
    /// Do all that is due.
    pub(super) fn tick(&mut self) {
        if self.now >= self.housekeeping_at && !self.streams.is_empty() {
            self.housekeeping_at = self.now + HOUSEKEEPING;
            let turn = turn!(self);
            for (key, stream) in self.streams.iter_mut() {
                self.current = Some(key);
                stream.housekeeping(&mut self.random, turn);
            }
        }
    }
}
