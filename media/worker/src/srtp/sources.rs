//! What is remembered of each SSRC under one direction's keys.

use super::index::Window;

/// How many are kept apart. A peer has one or two at a time; one that changes its SSRC with every transfer has more in the
/// course of a call.
pub const MAX_SOURCES: usize = 64;

/// One SSRC. `*_epoch`: the change of keys after which it was last heard.
#[derive(Debug, Clone, Copy, Default)]
pub struct Source {
    pub ssrc: u32,
    pub rtp: Window,
    pub rtcp: Window,
    pub rtp_epoch: u32,
    pub control_epoch: u32,
    pub(super) heard: u64,
}

/// All of them; the one that was heard last is found at once.
#[derive(Debug, Default)]
pub struct Sources {
    all: Vec<Source>,
    newest: usize,
    count: u64,
}

impl Sources {
    /// A copy of what is known, or of nothing.
    pub fn get(&self, ssrc: u32) -> Source {
        let newest = self.all.get(self.newest).filter(|source| source.ssrc == ssrc);
        let known = newest.or_else(|| self.all.iter().find(|source| source.ssrc == ssrc));
        known.copied().unwrap_or(Source {
            ssrc,
            ..Source::default()
        })
    }

    pub fn is_full_for(&self, ssrc: u32) -> bool {
        self.all.len() == MAX_SOURCES && !self.all.iter().any(|source| source.ssrc == ssrc)
    }

    /// Keep what is known now. When all places are taken, the source that was silent for longest loses its own, and with
    /// it the memory of what of it was seen.
    pub fn put(&mut self, source: Source) {
        self.count += 1;
        let source = Source {
            heard: self.count,
            ..source
        };
        let place = match self.all.get(self.newest) {
            Some(newest) if newest.ssrc == source.ssrc => Some(self.newest),
            _ => self.all.iter().position(|known| known.ssrc == source.ssrc),
        };
        let place = place.or_else(|| {
            let oldest = self.all.iter().enumerate().min_by_key(|(_, known)| known.heard);
            oldest.filter(|_| self.all.len() == MAX_SOURCES).map(|(place, _)| place)
        });
        self.newest = place.unwrap_or(self.all.len());
        match place.and_then(|place| self.all.get_mut(place)) {
            Some(known) => *known = source,
            None => self.all.push(source),
        }
    }

    /// All that are known, to change them together.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Source> {
        self.all.iter_mut()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(ssrc: u32, index: u64) -> Source {
        let mut source = Source {
            ssrc,
            ..Source::default()
        };
        source.rtp.note(index);
        source
    }

    #[test]
    fn each_source_has_its_own_memory() {
        let mut sources = Sources::default();
        for (ssrc, index) in [(1, 10), (2, 20), (1, 11)] {
            sources.put(source(ssrc, index));
        }
        assert_eq!(sources.get(1).rtp.highest(), Some(11));
        assert_eq!(sources.get(2).rtp.highest(), Some(20));
        assert_eq!(sources.get(3).rtp.highest(), None);
    }

    #[test]
    fn the_longest_silent_source_makes_room() {
        let mut sources = Sources::default();
        for ssrc in 0..MAX_SOURCES as u32 {
            assert!(!sources.is_full_for(ssrc));
            sources.put(source(ssrc, 5));
        }
        sources.put(source(0, 6));
        assert!(sources.is_full_for(1000) && !sources.is_full_for(1));
        sources.put(source(1000, 7));
        assert_eq!(sources.get(0).rtp.highest(), Some(6));
        assert_eq!(sources.get(1).rtp.highest(), None);
        assert_eq!(sources.get(1000).rtp.highest(), Some(7));
        assert_eq!(sources.iter_mut().count(), MAX_SOURCES);
    }
}
