//! Whether somebody has been silent for so long.

use super::RATE_HZ;

/// Samples of a block.
const BLOCK: u32 = 160;
/// The mean square of a block at -40 dBFS: comfort noise and the noise of a line lie below, speech above.
const LOUD: u64 = 327 * 327;

/// Counts in samples of the file. Blocks need not begin where stretches of the time line do.
#[derive(Debug)]
pub(super) struct Quiet {
    limit: i64,
    /// Samples so far, and how many there were when something was last said.
    count: i64,
    said: i64,
    energy: u64,
    filled: u32,
    /// The block before was loud. One alone is a click, not a word.
    loud: bool,
    end: Option<i64>,
}

impl Quiet {
    pub fn new(silence_ms: u64) -> Self {
        let limit = silence_ms.saturating_mul(u64::from(RATE_HZ / 1000));
        Self {
            limit: i64::try_from(limit).unwrap_or(i64::MAX),
            count: 0,
            said: 0,
            energy: 0,
            filled: 0,
            loud: false,
            end: None,
        }
    }

    /// Where the silence had lasted for so long first.
    pub fn end(&self) -> Option<i64> {
        self.end
    }

    pub fn hear(&mut self, samples: &[i16]) {
        for &sample in samples {
            self.energy += u64::from(sample.unsigned_abs()).pow(2);
            self.filled += 1;
            self.count += 1;
            if self.filled == BLOCK {
                self.judge();
            }
        }
    }

    fn judge(&mut self) {
        let loud = self.energy >= LOUD * u64::from(BLOCK);
        if loud && self.loud {
            self.said = self.count;
        }
        self.loud = loud;
        (self.energy, self.filled) = (0, 0);
        if self.end.is_none() && self.count.saturating_sub(self.said) >= self.limit {
            self.end = Some(self.said + self.limit);
        }
    }

    /// So many samples of a pause go by: they are no silence of the peer's.
    pub fn pass(&mut self, count: usize) {
        self.count += count as i64;
        self.said += count as i64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{noise, sine};

    /// -43 dBFS, evenly spread.
    fn murmur(count: usize) -> Vec<i16> {
        noise(3, count, 400)
    }

    #[test]
    fn line_noise_is_silence_and_is_counted_from_the_beginning() {
        let mut quiet = Quiet::new(1000);
        quiet.hear(&murmur(7999));
        assert_eq!(quiet.end(), None);
        quiet.hear(&murmur(161));
        assert_eq!(quiet.end(), Some(8000));
    }

    #[test]
    fn a_soft_voice_is_no_silence_and_a_click_is() {
        // -37 dBFS.
        let voice = sine(300.0, 8000, 1600, 654.0);
        for cut in [1600, 160, 77] {
            let mut quiet = Quiet::new(500);
            let said = [murmur(3000), voice.clone(), murmur(3700)].concat();
            said.chunks(cut).for_each(|part| quiet.hear(part));
            assert_eq!(quiet.end(), None);
            quiet.hear(&murmur(500));
            assert!(quiet.end().is_some_and(|end| (8440..=8760).contains(&end)), "{quiet:?}");
        }
        let mut quiet = Quiet::new(500);
        quiet.hear(&murmur(2000));
        quiet.hear(&[20_000; 40]);
        quiet.hear(&murmur(2120));
        assert_eq!(quiet.end(), Some(4000));
    }

    #[test]
    fn a_pause_is_no_silence() {
        let mut quiet = Quiet::new(1000);
        quiet.hear(&murmur(4000));
        quiet.pass(80_000);
        quiet.hear(&murmur(3000));
        assert_eq!(quiet.end(), None);
        quiet.hear(&murmur(1200));
        assert_eq!(quiet.end(), Some(88_000));
    }
}
