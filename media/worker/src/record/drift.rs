//! How the clock of a sender runs against ours, from the fastest packets of many spans.
//!
//! One span's fastest packet was delayed a little too, and tells of the middle of the span. A line through those of the
//! last spans tells where the fastest would be now. A network that changes its delay breaks the line: it begins anew.

use crate::clock::{Nanos, SECOND};

/// How long the fastest packet is looked for.
pub(super) const SPAN: Nanos = 4 * SECOND;
const POINTS: usize = 12;
/// From so many on the line is believed.
const ENOUGH: usize = 3;
/// A point so far from the line (in samples, 2 ms) lies on another one.
pub(super) const STEP: i64 = 16;
/// Clocks that differ by more than this (500 ppm) are none.
const MOST: f64 = 500e-6 * 8000.0 / SECOND as f64;

/// See the module. Delays count in samples.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Drift {
    points: [(Nanos, i64); POINTS],
    count: usize,
    /// Through (`middle`, `height`), rising by so many samples per nanosecond.
    middle: f64,
    height: f64,
    slope: f64,
}

impl Drift {
    /// What the delay of the fastest packet would be `at`; None while that is not known.
    pub fn expected(&self, at: Nanos) -> Option<i64> {
        let delay = self.height + self.slope * (at as f64 - self.middle);
        (self.count >= ENOUGH).then_some(delay.round() as i64)
    }

    pub fn forget(&mut self) {
        self.count = 0;
    }

    /// The fastest packet of a span came `at`.
    pub fn note(&mut self, at: Nanos, delay: i64) {
        let stale = self.count > 0 && at.saturating_sub(self.points[self.count - 1].0) > POINTS as Nanos * SPAN;
        if stale
            || self
                .expected(at)
                .is_some_and(|expected| (expected - delay).abs() > STEP)
        {
            self.forget();
        }
        if self.count == POINTS {
            self.points.copy_within(1.., 0);
            self.count -= 1;
        }
        self.points[self.count] = (at, delay);
        self.count += 1;
        self.draw();
    }

    /// The line of least squares.
    fn draw(&mut self) {
        let points = &self.points[..self.count];
        let count = points.len() as f64;
        self.middle = points.iter().map(|point| point.0 as f64).sum::<f64>() / count;
        self.height = points.iter().map(|point| point.1 as f64).sum::<f64>() / count;
        let (mut cross, mut square) = (0.0, 0.0);
        for &(at, delay) in points {
            let along = at as f64 - self.middle;
            cross += along * (delay as f64 - self.height);
            square += along * along;
        }
        self.slope = if square > 0.0 {
            (cross / square).clamp(-MOST, MOST)
        } else {
            0.0
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(span: u64) -> Nanos {
        span * SPAN + SPAN / 2
    }

    #[test]
    fn a_slow_clock_is_followed_between_the_points() {
        let mut drift = Drift::default();
        // 100 ppm: 3.2 samples in a span.
        for span in 0..40 {
            drift.note(at(span), (span as i64 * 32 + 5) / 10);
            let expected = drift.expected(at(span + 1));
            let right = ((span + 1) as i64 * 32 + 5) / 10;
            assert!(
                span < 2 || expected.is_some_and(|it| it.abs_diff(right) <= 1),
                "{span} {expected:?}"
            );
            assert_eq!(expected.is_none(), span < 2);
        }
    }

    #[test]
    fn another_way_through_the_network_begins_anew() {
        let mut drift = Drift::default();
        (0..20).for_each(|span| drift.note(at(span), 0));
        drift.note(at(20), 400);
        assert_eq!(drift.expected(at(21)), None);
        drift.note(at(21), 400);
        drift.note(at(22), 400);
        assert_eq!(drift.expected(at(23)), Some(400));
        drift.note(at(60), 401);
        assert_eq!(drift.expected(at(60)), None);
    }
}
