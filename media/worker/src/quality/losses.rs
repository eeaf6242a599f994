//! Which packets of a source never came, and how they cluster.
//!
//! A number that is missing may still come, late. So the last 32 numbers are kept open, and only what leaves them unseen
//! is lost: 640 ms after its time at 20 ms a packet, later than any jitter buffer would wait.

use crate::rtp::{MAX_DROPOUT, MAX_MISORDER};

const OPEN: u32 = 32;

/// Counts of what is settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Losses {
    pub expected: u32,
    pub lost: u32,
    /// Gaps: runs of lost packets.
    pub gaps: u32,
}

impl Losses {
    pub fn fraction(&self) -> f32 {
        if self.expected == 0 {
            0.0
        } else {
            self.lost as f32 / self.expected as f32
        }
    }

    /// The mean length of a gap over what it would be if every packet were lost with the same chance (G.107 7.5). 1 when
    /// nothing was lost.
    pub fn burst_ratio(&self) -> f32 {
        if self.gaps == 0 {
            return 1.0;
        }
        self.lost as f32 / self.gaps as f32 * (1.0 - self.fraction())
    }
}

/// Watches the sequence numbers of one stream.
#[derive(Debug, Default)]
pub struct Watch {
    highest: Option<u16>,
    /// Bit n: `highest - n` came.
    came: u32,
    /// How many of the open numbers lie after the first one.
    open: u32,
    in_gap: bool,
    counted: Losses,
}

impl Watch {
    /// A packet came.
    pub fn note(&mut self, sequence: u16) {
        let Some(highest) = self.highest else {
            return self.begin(sequence);
        };
        let step = sequence.wrapping_sub(highest);
        if step < MAX_DROPOUT {
            for _ in 0..u32::from(step).min(OPEN) {
                self.step();
            }
            // Now all that is open is missing: what is left of the step settles as one gap.
            let beyond = u32::from(step).saturating_sub(OPEN);
            if beyond > 0 {
                self.counted.expected += beyond;
                self.counted.lost += beyond;
                self.counted.gaps += u32::from(!self.in_gap);
                self.in_gap = true;
            }
            self.came |= 1;
            self.highest = Some(sequence);
        } else if step > u16::MAX - MAX_MISORDER {
            let behind = u32::from(highest.wrapping_sub(sequence));
            if behind < self.open {
                self.came |= 1 << behind;
            }
        } else {
            self.begin(sequence);
        }
    }

    /// `packets` came by which the highest number went on by `steps`. Which of them are missing nobody knows, so they lie
    /// evenly between the others; more packets than steps are late ones, and fill the newest gaps.
    pub fn note_many(&mut self, packets: u64, steps: u64) {
        let Some(highest) = self.highest else {
            return;
        };
        let came = packets.min(steps);
        for number in 1..=came {
            let step = (number * steps).div_ceil(came);
            self.note(highest.wrapping_add(step as u16));
        }
        for _ in steps..packets.min(steps + u64::from(OPEN)) {
            let newest_gap = self.came.trailing_ones();
            if newest_gap < self.open {
                self.came |= 1 << newest_gap;
            }
        }
    }

    /// The numbers begin anew with the next packet.
    pub fn forget(&mut self) {
        self.highest = None;
        self.in_gap = false;
    }

    fn begin(&mut self, sequence: u16) {
        self.highest = Some(sequence);
        self.came = 1;
        self.open = 1;
    }

    /// Open the next number, and settle the one that leaves.
    fn step(&mut self) {
        if self.open == OPEN {
            let lost = self.came >> (OPEN - 1) == 0;
            self.counted.expected += 1;
            self.counted.lost += u32::from(lost);
            self.counted.gaps += u32::from(lost && !self.in_gap);
            self.in_gap = lost;
        } else {
            self.open += 1;
        }
        self.came <<= 1;
    }

    /// What was settled since this was asked last.
    pub fn take(&mut self) -> Losses {
        std::mem::take(&mut self.counted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    fn settled(sequences: impl IntoIterator<Item = u16>) -> Losses {
        let mut watch = Watch::default();
        let mut last = 0;
        for sequence in sequences {
            watch.note(sequence);
            last = sequence;
        }
        // Enough that follows, so that all before is settled.
        for step in 1..=OPEN as u16 {
            watch.note(last.wrapping_add(step));
        }
        watch.take()
    }

    #[test]
    fn another_source_is_no_gap() {
        let mut watch = Watch::default();
        (0..100).for_each(|number| watch.note(number));
        watch.forget();
        (2000..2100).for_each(|number| watch.note(number));
        assert_eq!(watch.take().lost, 0);
    }

    fn losses(expected: u32, lost: u32, gaps: u32) -> Losses {
        Losses { expected, lost, gaps }
    }

    #[test]
    fn what_never_came_is_lost() {
        assert_eq!(settled(0..100), losses(100, 0, 0));
        assert_eq!(settled((0..50).chain(2000..2050)), losses(2050, 1950, 1));
        assert_eq!(settled([0, 40, 41, 80, 81]), losses(82, 77, 2));
        assert_eq!(settled((0..100).filter(|n| n % 10 != 5)), losses(100, 10, 10));
        assert_eq!(settled((0..100).filter(|n| !(40..50).contains(n))), losses(100, 10, 1));
        assert_eq!(
            settled((0..100).map(|n: u16| n.wrapping_sub(50)).filter(|n| *n != 3)),
            losses(100, 1, 1)
        );
    }

    #[test]
    fn late_and_doubled_packets_are_not_lost() {
        let mut random = Random::new(4);
        let mut sequences: Vec<u16> = (0..500).collect();
        for block in sequences.chunks_mut(20) {
            for index in 0..block.len() {
                block.swap(index, random.below(20) as usize);
            }
        }
        sequences.retain(|n| *n != 77);
        let doubled = sequences.iter().flat_map(|n| [*n, *n]);
        let counted = settled(doubled.chain([500]));
        assert_eq!((counted.lost, counted.gaps), (1, 1));
        let late_by_40 = (10..60).chain([5]).chain(60..100);
        assert_eq!(settled(late_by_40).lost, 0, "before the first one is nothing");
    }

    #[test]
    fn a_source_that_begins_anew_loses_nothing() {
        assert_eq!(settled((0..50).chain(40_000..40_050)).lost, 0);
        assert_eq!(settled((1000..1050).chain(0..50)).lost, 0);
    }

    #[test]
    fn gaps_longer_than_chance_are_bursts() {
        let mut random = Random::new(9);
        let one_by_one = settled((0..20_000).filter(|_| random.below(10) != 0));
        assert!((one_by_one.fraction() - 0.1).abs() < 0.01);
        assert!(
            (one_by_one.burst_ratio() - 1.0).abs() < 0.05,
            "{}",
            one_by_one.burst_ratio()
        );
        let in_blocks = settled((0..20_000).filter(|n| n % 100 >= 10));
        assert!(
            (in_blocks.burst_ratio() - 9.0).abs() < 0.1,
            "{}",
            in_blocks.burst_ratio()
        );
        assert_eq!(Losses::default().burst_ratio(), 1.0);
    }

    #[test]
    fn of_many_packets_as_many_are_lost_as_are_missing_one_by_one() {
        let mut watch = Watch::default();
        watch.note(65_000);
        watch.note_many(0, 0);
        watch.note_many(1, 3);
        watch.note_many(2, 0);
        watch.note_many(900, 1000);
        watch.note_many(50, 50);
        watch.note_many(1, 2000);
        (1..=32).for_each(|step| watch.note(65_000_u16.wrapping_add(3053 + step)));
        assert_eq!(watch.take(), losses(3054, 2099, 101));
    }

    #[test]
    fn what_was_taken_is_not_told_again() {
        let mut watch = Watch::default();
        (0..100).filter(|n| n % 10 != 5).for_each(|n| watch.note(n));
        let first = watch.take();
        (100..200).for_each(|n| watch.note(n));
        let second = watch.take();
        assert_eq!(first.expected + second.expected, 200 - OPEN);
        assert_eq!(first.lost + second.lost, 10);
    }
}
