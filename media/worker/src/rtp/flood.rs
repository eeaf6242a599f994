//! How many packets of its peer a stream takes: a rate, and a second's worth at once (token bucket, as GCRA).
//!
//! One number a stream: the time at which the bucket would be full again. Each packet moves it on by its share of a second.

use crate::clock::{Nanos, SECOND};

/// What every stream of a worker may receive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// The time that one packet takes up. 0 = no limit.
    share: Nanos,
}

impl Limit {
    /// 0 = none.
    pub fn new(packets_per_second: u32) -> Self {
        Self {
            share: SECOND.checked_div(Nanos::from(packets_per_second)).unwrap_or(0),
        }
    }

    /// 0 = no limit.
    pub fn packets_per_second(self) -> u32 {
        SECOND.checked_div(self.share).unwrap_or(0) as u32
    }
}

/// One stream's bucket.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Allowance {
    full_at: Nanos,
}

impl Allowance {
    /// Whether one more packet is within the limit. `sparing`: half of what there is is left for others, so that those who
    /// may not be the peer do not take what is the peer's.
    pub fn take(&mut self, now: Nanos, limit: Limit, sparing: bool) -> bool {
        if limit.share == 0 {
            return true;
        }
        let full_at = self.full_at.max(now) + limit.share;
        let room = if sparing { SECOND / 2 } else { SECOND };
        let within = full_at - now <= room.max(limit.share);
        if within {
            self.full_at = full_at;
        }
        within
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::MILLISECOND;

    fn taken(allowance: &mut Allowance, limit: Limit, now: Nanos, offered: u32, sparing: bool) -> u32 {
        (0..offered)
            .map(|_| u32::from(allowance.take(now, limit, sparing)))
            .sum()
    }

    #[test]
    fn a_second_s_worth_may_come_at_once_then_it_is_the_rate() {
        let (limit, mut allowance) = (Limit::new(100), Allowance::default());
        assert_eq!(taken(&mut allowance, limit, 0, 500, false), 100);
        assert_eq!(taken(&mut allowance, limit, 500 * MILLISECOND, 500, false), 50);
        assert_eq!(taken(&mut allowance, limit, 60 * SECOND, 500, false), 100);
    }

    #[test]
    fn a_steady_rate_below_the_limit_never_meets_it() {
        let (limit, mut allowance) = (Limit::new(50), Allowance::default());
        for step in 0..1000 {
            assert!(allowance.take(step * 20 * MILLISECOND, limit, false));
        }
    }

    #[test]
    fn who_may_not_be_the_peer_leaves_half_to_the_peer() {
        let (limit, mut allowance) = (Limit::new(100), Allowance::default());
        assert_eq!(taken(&mut allowance, limit, 0, 500, true), 50);
        assert_eq!(taken(&mut allowance, limit, 0, 500, false), 50);
    }

    #[test]
    fn no_limit_is_none_and_one_a_second_is_one() {
        let mut allowance = Allowance::default();
        assert_eq!(taken(&mut allowance, Limit::new(0), 0, 5000, true), 5000);
        assert_eq!(taken(&mut allowance, Limit::new(1), 0, 5, true), 1);
    }
}
