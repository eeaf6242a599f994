//! Which RTP port comes next: even numbers of a range, each rested before it is used again.
//!
//! A port that was just given back may still be fired at by the peer that knew it; resting it keeps one call's audio out
//! of the next. The pool only chooses numbers; whether one can be bound is tried by who asks.

use std::collections::VecDeque;

use crate::clock::{Nanos, SECOND};

/// How long a port rests after its use.
pub const REST: Nanos = 5 * SECOND;

/// The free ports of one local address.
#[derive(Debug)]
pub struct Pool {
    /// In the order of use: the one that rested longest is in front, with the time from which it may be used.
    free: VecDeque<(u16, Nanos)>,
}

impl Pool {
    /// All even ports from `low` whose odd neighbour is not above `high`; `start` (any number) says where to begin.
    pub fn new(low: u16, high: u16, start: u64) -> Self {
        let mut free: VecDeque<_> = (first_of(low)..high).step_by(2).map(|port| (port, 0)).collect();
        let turn = if free.is_empty() {
            0
        } else {
            start as usize % free.len()
        };
        free.rotate_left(turn);
        Self { free }
    }

    /// The `start` with which `port` comes last, and those that were used just before it shortly before.
    pub fn start_behind(low: u16, port: u16) -> u64 {
        u64::from(port.saturating_sub(first_of(low)) / 2) + 1
    }

    /// The next port that has rested, if any.
    pub fn take(&mut self, now: Nanos) -> Option<u16> {
        match self.free.front() {
            Some(&(port, from)) if from <= now => {
                self.free.pop_front();
                Some(port)
            }
            _ => None,
        }
    }

    /// Give a port back after its use, or because it could not be bound.
    pub fn give(&mut self, port: u16, now: Nanos) {
        self.free.push_back((port, now + REST));
    }

    /// How many are not in use, rested or not.
    pub fn len(&self) -> usize {
        self.free.len()
    }
}

/// The lowest port of a range that begins with `low`.
fn first_of(low: u16) -> u16 {
    low.next_multiple_of(2).max(2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_even_and_have_their_odd_neighbour_in_the_range__rfc3550_11() {
        let cases = [
            (10, 15, vec![10, 12, 14]),
            (11, 15, vec![12, 14]),
            (10, 14, vec![10, 12]),
            (10, 10, vec![]),
        ];
        for (low, high, expected) in cases {
            let mut pool = Pool::new(low, high, 0);
            let taken: Vec<u16> = std::iter::from_fn(|| pool.take(0)).collect();
            assert_eq!(taken, expected, "{low}-{high}");
        }
        assert_eq!(Pool::new(0, u16::MAX, 9).len(), 32767);
    }

    #[test]
    fn a_pool_begins_behind_the_last_port_of_the_run_before() {
        for (last, expected) in [(12, [14, 16, 10, 12]), (16, [10, 12, 14, 16]), (11, [12, 14, 16, 10])] {
            let mut pool = Pool::new(10, 17, Pool::start_behind(10, last));
            let taken: Vec<u16> = std::iter::from_fn(|| pool.take(0)).collect();
            assert_eq!(taken, expected, "{last}");
        }
        assert_eq!(Pool::start_behind(10, 3), 1, "of another range");
    }

    #[test]
    fn a_port_rests_before_it_is_used_again() {
        let mut pool = Pool::new(10, 11, 0);
        let port = pool.take(0).expect("free");
        pool.give(port, 7);
        assert_eq!(pool.take(7 + REST - 1), None);
        assert_eq!(pool.take(7 + REST), Some(10));
    }

    #[test]
    fn all_others_are_used_before_one_is_used_again() {
        let mut pool = Pool::new(10, 19, 3);
        let first = pool.take(0).expect("free");
        pool.give(first, 0);
        let next: Vec<u16> = std::iter::from_fn(|| pool.take(REST)).collect();
        assert_eq!(next, [18, 10, 12, 14, 16]);
        assert_eq!(first, 16);
    }
}
