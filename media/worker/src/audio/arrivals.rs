//! How late a peer's packets come, and how long a jitter buffer should hold them for that.
//!
//! The transit of a packet is its arrival less its timestamp, both in nanoseconds from unknown beginnings, so only
//! differences mean anything. The least transit of the last seconds is the *base*: the network at its quickest, and with it
//! the drift between the peer's clock and ours. What a packet needed beyond it is its *lateness*. The buffer aims at a
//! lateness that all but a hundredth of the packets keep to; older packets count less and less.

use crate::clock::{Nanos, MILLISECOND, SECOND};

/// The base is the least of so many stretches, of so long each.
const STRETCHES: usize = 8;
const STRETCH: Nanos = 5 * SECOND / 4;
/// Latenesses are counted in classes of this width; the last class holds all that is later.
const CLASS: Nanos = 4 * MILLISECOND;
const CLASSES: usize = 128;
/// The part of the packets that may come too late.
const TOO_LATE: f32 = 0.01;
/// By how much a packet counts more than the one before: an age of 230 packets halves the weight.
const GROWTH: f32 = 1.003;
/// The same for the first packets: what held back the beginning of a call (a socket not read yet, a route being looked
/// up) tells little of what follows, so half its weight is gone after 23 packets.
const YOUNG: u32 = 250;
const YOUNG_GROWTH: f32 = 1.03;
/// Until this many packets were seen, the buffer does not go below where it started.
const SETTLED: u32 = 100;

/// See the module.
#[derive(Debug, Clone)]
pub struct Arrivals {
    clock_hz: u32,
    minima: [i64; STRETCHES],
    stretch_began: Nanos,
    counts: [f32; CLASSES],
    weight: f32,
    total: f32,
    seen: u32,
    /// The class that the quantile fell into when it was last looked for.
    late_class: usize,
}

impl Arrivals {
    pub fn new(clock_hz: u32) -> Self {
        Self {
            clock_hz: clock_hz.max(1),
            minima: [i64::MAX; STRETCHES],
            stretch_began: 0,
            counts: [0.0; CLASSES],
            weight: 1.0,
            total: 0.0,
            seen: 0,
            late_class: 0,
        }
    }

    /// Units of the RTP clock as nanoseconds.
    fn span(&self, units: i64) -> i64 {
        (i128::from(units) * i128::from(SECOND) / i128::from(self.clock_hz)) as i64
    }

    /// Take note of a packet that came `now`; `timestamp` without its wrap-arounds.
    pub fn note(&mut self, timestamp: i64, now: Nanos) {
        let transit = now as i64 - self.span(timestamp);
        self.turn_to(now);
        self.minima[0] = self.minima[0].min(transit);
        let lateness = transit.saturating_sub(self.base()).max(0) as u64;
        let class = ((lateness / CLASS) as usize).min(CLASSES - 1);
        self.weight *= if self.seen < YOUNG { YOUNG_GROWTH } else { GROWTH };
        self.counts[class] += self.weight;
        self.total += self.weight;
        if self.weight > 1e4 {
            for value in self.counts.iter_mut().chain([&mut self.total, &mut self.weight]) {
                *value *= 1e-4;
            }
        }
        self.seen = self.seen.saturating_add(1);
        // Something later than hoped is taken to heart at once, the rest from time to time.
        if class > self.late_class || self.seen.is_multiple_of(8) {
            self.late_class = self.quantile();
        }
    }

    /// Begin new stretches when the time has come.
    fn turn_to(&mut self, now: Nanos) {
        let passed = now.saturating_sub(self.stretch_began) / STRETCH;
        if passed == 0 {
            return;
        }
        self.stretch_began += passed * STRETCH;
        let shift = (passed as usize).min(STRETCHES);
        self.minima.rotate_right(shift);
        self.minima[..shift].fill(i64::MAX);
    }

    fn quantile(&self) -> usize {
        let mut left = self.total * TOO_LATE;
        for (class, &count) in self.counts.iter().enumerate().rev() {
            left -= count;
            if left < 0.0 {
                return class;
            }
        }
        0
    }

    fn base(&self) -> i64 {
        self.minima.iter().copied().min().unwrap_or(i64::MAX)
    }

    /// How long after the arrival of the quickest packets they should be played, within limits.
    pub fn target(&self, least: Nanos, start: Nanos, most: Nanos) -> Nanos {
        let wanted = (self.late_class as u64 + 1) * CLASS;
        let floor = if self.seen < SETTLED { start.max(least) } else { least };
        wanted.clamp(floor.min(most), most)
    }

    /// The timestamp that should be played `now`, for a delay of `target`. None before the first packet.
    pub fn due(&self, target: Nanos, now: Nanos) -> Option<i64> {
        let base = self.base();
        if base == i64::MAX {
            return None;
        }
        let span = i128::from(now) - i128::from(base) - i128::from(target);
        Some((span * i128::from(self.clock_hz)).div_euclid(i128::from(SECOND)) as i64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    const LEAST: Nanos = 10 * MILLISECOND;
    const START: Nanos = 40 * MILLISECOND;
    const MOST: Nanos = 400 * MILLISECOND;

    /// Packets of 20 ms from `first` on, late by what `lateness_us` says; the sender's clock runs `drift_ppm` too fast.
    fn feed(
        arrivals: &mut Arrivals,
        packets: std::ops::Range<u64>,
        drift_ppm: i64,
        mut lateness_us: impl FnMut(u64) -> u64,
    ) {
        for index in packets {
            let sent = 7 * SECOND as i64 + index as i64 * 20_000_000 * (1_000_000 - drift_ppm) / 1_000_000;
            arrivals.note(index as i64 * 160 - 5000, sent as u64 + lateness_us(index) * 1000);
        }
    }

    fn target_ms(arrivals: &Arrivals) -> u64 {
        arrivals.target(LEAST, START, MOST) / MILLISECOND
    }

    #[test]
    fn even_arrivals_need_the_least_once_it_is_certain() {
        let mut arrivals = Arrivals::new(8000);
        feed(&mut arrivals, 0..50, 0, |_| 0);
        assert_eq!(target_ms(&arrivals), 40);
        feed(&mut arrivals, 50..200, 0, |_| 0);
        assert_eq!(target_ms(&arrivals), 10);
    }

    #[test]
    fn the_target_covers_all_but_a_hundredth() {
        let mut random = Random::new(2);
        let mut arrivals = Arrivals::new(8000);
        feed(&mut arrivals, 0..3000, 0, |_| random.below(60_000));
        assert!((56..=64).contains(&target_ms(&arrivals)), "{}", target_ms(&arrivals));
        // Four in a hundred are far later than the rest.
        feed(
            &mut arrivals,
            3000..6000,
            0,
            |index| if index % 25 == 0 { 120_000 } else { 0 },
        );
        assert!((120..=128).contains(&target_ms(&arrivals)), "{}", target_ms(&arrivals));
        // It is forgotten within half a minute.
        feed(&mut arrivals, 6000..7500, 0, |_| 0);
        assert_eq!(target_ms(&arrivals), 10);
    }

    #[test]
    fn a_slower_network_is_followed_within_a_second() {
        let mut arrivals = Arrivals::new(8000);
        feed(&mut arrivals, 0..1000, 0, |_| 0);
        feed(&mut arrivals, 1000..1005, 0, |_| 150_000);
        assert!(target_ms(&arrivals) >= 150, "{}", target_ms(&arrivals));
    }

    #[test]
    fn drift_of_the_clocks_is_no_lateness() {
        for drift_ppm in [-300, 300] {
            let mut arrivals = Arrivals::new(8000);
            feed(&mut arrivals, 0..30_000, drift_ppm, |_| 0);
            assert_eq!(target_ms(&arrivals), 10, "{drift_ppm}");
            // Ten minutes on, what is due follows the peer's clock.
            let now = 7 * SECOND as i64 + 600 * SECOND as i64 * (1_000_000 - drift_ppm) / 1_000_000;
            let due = arrivals.due(0, now as u64).expect("packets came");
            assert!((due - (600 * 8000 - 5000)).abs() < 8 * 5, "{drift_ppm}: {due}");
        }
    }

    #[test]
    fn limits_hold_whatever_comes() {
        let mut random = Random::new(5);
        let mut arrivals = Arrivals::new(48_000);
        assert_eq!(arrivals.due(0, 5), None);
        for _ in 0..20_000 {
            arrivals.note(random.next() as i32 as i64, random.next() >> 12);
            let target = arrivals.target(LEAST, START, MOST);
            assert!((LEAST..=MOST).contains(&target));
            assert!(arrivals.counts.iter().all(|count| count.is_finite()));
        }
    }
}
