//! Which packet is this, and was it seen: indices and the window that remembers them. Source: RFC 3711 3.3.1, 3.3.2.

/// How far behind the newest index a packet may come. At 50 packets a second this is 2.5 s; RFC 3711 asks for 64 at least.
const WINDOW: u64 = 128;
/// Indices of RTP have 48 bits.
pub const LAST_INDEX: u64 = (1 << 48) - 1;
/// Indices of RTCP have 31 bits.
pub const LAST_RTCP_INDEX: u64 = (1 << 31) - 1;

/// What is known of an index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    Never,
    Before,
    /// Too far behind to tell.
    Unknown,
}

/// The indices of one source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Window {
    /// None before the first packet.
    highest: Option<u64>,
    /// Bit n: `highest - n` was seen.
    seen: u128,
}

impl Window {
    pub fn has_begun(&self) -> bool {
        self.highest.is_some()
    }

    pub fn highest(&self) -> Option<u64> {
        self.highest
    }

    pub fn look(&self, index: u64) -> Seen {
        let Some(behind) = self.highest.and_then(|highest| highest.checked_sub(index)) else {
            return Seen::Never;
        };
        if behind >= WINDOW {
            Seen::Unknown
        } else if self.seen >> behind & 1 == 1 {
            Seen::Before
        } else {
            Seen::Never
        }
    }

    /// Remember an index; only of what proved authentic, or of what we send.
    pub fn note(&mut self, index: u64) {
        match self.highest {
            Some(highest) if index <= highest => {
                let behind = highest - index;
                if behind < WINDOW {
                    self.seen |= 1 << behind;
                }
            }
            highest => {
                let ahead = index - highest.unwrap_or(index);
                self.seen = if ahead < WINDOW { self.seen << ahead } else { 0 };
                self.seen |= 1;
                self.highest = Some(index);
            }
        }
    }

    /// The index that a sequence number most likely stands for: the one nearest to the highest so far. None when that
    /// would lie before the first packet that can be.
    pub fn guess(&self, sequence: u16) -> Option<u64> {
        let Some(highest) = self.highest else {
            return Some(u64::from(sequence));
        };
        let step = i64::from(sequence.wrapping_sub(highest as u16) as i16);
        highest.checked_add_signed(step)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(indices: &[u64]) -> Window {
        let mut window = Window::default();
        for &index in indices {
            window.note(index);
        }
        window
    }

    #[test]
    fn the_index_nearest_to_the_highest_is_meant__rfc3711_3_3_1() {
        let roc = |roc: u64, sequence: u64| roc << 16 | sequence;
        let cases = [
            ("first", None, 7, Some(roc(0, 7))),
            ("next", Some(roc(3, 7)), 8, Some(roc(3, 8))),
            ("late", Some(roc(3, 7)), 5, Some(roc(3, 5))),
            ("wrapped", Some(roc(3, 65535)), 0, Some(roc(4, 0))),
            ("wrapped, some lost", Some(roc(3, 65500)), 32_000, Some(roc(4, 32_000))),
            (
                "late, from before the wrap",
                Some(roc(4, 2)),
                65_534,
                Some(roc(3, 65_534)),
            ),
            ("half ahead", Some(roc(3, 0)), 32_767, Some(roc(3, 32_767))),
            (
                "more than half ahead is behind",
                Some(roc(3, 0)),
                32_769,
                Some(roc(2, 32_769)),
            ),
            ("before the beginning", Some(roc(0, 2)), 65_534, None),
        ];
        for (name, highest, sequence, expected) in cases {
            let window = highest.map_or_else(Window::default, |highest| window(&[highest]));
            assert_eq!(window.guess(sequence), expected, "{name}");
        }
    }

    #[test]
    fn an_index_counts_once__rfc3711_3_3_2() {
        let mut window = Window::default();
        for index in [100, 102, 101, 400, 280] {
            assert_eq!(window.look(index), Seen::Never, "{index}");
            window.note(index);
            assert_eq!(window.look(index), Seen::Before, "{index}");
        }
        assert_eq!(window.look(273), Seen::Never);
        assert_eq!(window.look(272), Seen::Unknown);
        assert_eq!(window.look(100), Seen::Unknown);
        assert_eq!(window.highest(), Some(400));
    }

    #[test]
    fn the_window_agrees_with_a_list_of_all_that_was_seen() {
        let mut random = crate::random::Random::new(3);
        let (mut window, mut all, mut highest) = (Window::default(), std::collections::HashSet::new(), 0);
        for _ in 0..20_000 {
            let index = (highest + random.below(40)).saturating_sub(random.below(180));
            let expected = if all.contains(&index) {
                Seen::Before
            } else {
                Seen::Never
            };
            let looked = window.look(index);
            if looked == Seen::Unknown {
                assert!(highest - index >= WINDOW);
                continue;
            }
            assert_eq!(looked, expected, "{index} of {highest}");
            window.note(index);
            all.insert(index);
            highest = highest.max(index);
        }
        assert!(all.len() > 5_000);
    }
}
