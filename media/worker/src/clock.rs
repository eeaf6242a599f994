//! Time as the worker sees it: nanoseconds since the process began, never going back.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Nanoseconds since the clock was made. All pure parts take this as `now`.
pub type Nanos = u64;

pub const MILLISECOND: Nanos = 1_000_000;
pub const SECOND: Nanos = 1_000_000_000;

/// The one place that asks the machine for the time.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    begin: Instant,
    /// The wall clock at `begin`, as an NTP timestamp: seconds since 1900 in the upper 32 bits.
    ntp_at_begin: u64,
}

impl Default for Clock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock {
    pub fn new() -> Self {
        const FROM_1900_TO_1970_S: u64 = 2_208_988_800;
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let fraction = (u64::from(wall.subsec_nanos()) << 32) / SECOND;
        Self {
            begin: Instant::now(),
            ntp_at_begin: ((wall.as_secs() + FROM_1900_TO_1970_S) << 32) | fraction,
        }
    }

    pub fn now(&self) -> Nanos {
        self.begin.elapsed().as_nanos() as Nanos
    }

    /// `now` as NTP sees it (RFC 3550 4). Steps of the wall clock after the start are not followed: round trips are
    /// measured with this, so it must run evenly.
    pub fn ntp(&self, now: Nanos) -> u64 {
        self.ntp_at_begin.wrapping_add(ntp_span(now))
    }
}

/// A duration in units of 2^-32 s.
pub fn ntp_span(span: Nanos) -> u64 {
    ((u128::from(span) << 32) / u128::from(SECOND)) as u64
}

/// Sampling periods in a span, rounded down.
pub fn samples(span: Nanos, rate_hz: u32) -> u64 {
    // Whole seconds apart from the rest, so that nothing overflows and nothing is lost.
    (span / SECOND) * u64::from(rate_hz) + (span % SECOND) * u64::from(rate_hz) / SECOND
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_become_samples() {
        assert_eq!(samples(20 * MILLISECOND, 8000), 160);
        assert_eq!(samples(124_999, 8000), 0);
        assert_eq!(samples(36_000 * SECOND + 125_000, 48_000), 36_000 * 48_000 + 6);
    }

    #[test]
    fn ntp_time_runs_with_the_clock() {
        let clock = Clock::new();
        assert_eq!(clock.ntp(3 * SECOND / 2).wrapping_sub(clock.ntp(0)), 3 << 31);
    }
}
