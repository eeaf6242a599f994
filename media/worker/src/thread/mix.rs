//! One conference: who takes part, and what is announced to all.

use std::sync::{Arc, OnceLock};

use crate::audio::mix::{Mixer, Seat};
use crate::audio::resample::Resampler;
use crate::audio::speaking::PROMPT_HZ;
use crate::codec::g711::Law;
use crate::outbox::Outbox;
use crate::playback::{tones, Play, Programme, Prompt};
use crate::protocol::{Event, Name};
use crate::slab::Handle;

pub(super) const TICK_MS: u32 = 20;
pub(super) const PROMPT_TICK: usize = (PROMPT_HZ / 1000 * TICK_MS) as usize;
/// The longest frame: 48 kHz.
const MAX_FRAME: usize = 48 * TICK_MS as usize;
/// How long the tone at the door is.
const BEEP_MS: u64 = 200;
/// Someone in a mix; without a seat until their session is known.
#[derive(Debug)]
pub(super) struct Member {
    pub stream: Handle,
    pub seat: Option<(Seat, u32)>,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Mix {
    pub name: Name,
    pub mixer: Mixer,
    pub members: Vec<Member>,
    pub due: u64,
    pub play: Option<Play>,
    pub beep: Option<Programme>,
    /// From the rate of prompts to those of the members.
    announcers: Vec<Resampler>,
    pub frame: Box<[i16; MAX_FRAME]>,
    /// How often its sums went wrong.
    pub bugs: u32,
    /// Whose turn is to go wrong; None: that of nobody in particular.
    #[cfg(test)]
    pub trap: Option<Option<Handle>>,
}

/// What all who listen in a law hear in this tick.
#[derive(Default)]
pub(super) struct Shared {
    mu: Option<[u8; PROMPT_TICK]>,
    a: Option<[u8; PROMPT_TICK]>,
}

impl Shared {
    pub fn octets(&mut self, law: Law, frame: &[i16]) -> &[u8; PROMPT_TICK] {
        let place = match law {
            Law::Mu => &mut self.mu,
            Law::A => &mut self.a,
        };
        place.get_or_insert_with(|| {
            let mut octets = [law.silence(); PROMPT_TICK];
            octets
                .iter_mut()
                .zip(frame)
                .for_each(|(octet, &sample)| *octet = law.encode(sample));
            octets
        })
    }
}

impl Mix {
    pub fn new(name: Name) -> Self {
        Self {
            name,
            mixer: Mixer::new(TICK_MS),
            members: Vec::new(),
            due: 0,
            play: None,
            beep: None,
            announcers: Vec::new(),
            frame: Box::new([0; MAX_FRAME]),
            bugs: 0,
            #[cfg(test)]
            trap: None,
        }
    }

    #[cfg(test)]
    pub fn trip(&self, at: Option<Handle>) {
        if self.trap == Some(at) {
            std::panic::panic_any("a bug");
        }
    }

    pub fn end_play(&mut self, reason: &str, detail: String, outbox: &Outbox) {
        if let Some(play) = self.play.take() {
            outbox.tell(Event::PlayEnded {
                stream: String::new(),
                play: play.name.to_string(),
                reason: reason.to_owned(),
                position_ms: play.position_ms(),
                detail,
                mix: self.name.to_string(),
            });
        }
    }

    /// Add what is played to all.
    pub fn announce(&mut self, outbox: &Outbox) {
        let mut samples = [0_i16; PROMPT_TICK];
        let mut any = false;
        if let Some(programme) = self.play.as_mut().and_then(|play| play.programme.as_mut()) {
            if programme.is_over() {
                self.end_play("finished", String::new(), outbox);
            } else {
                programme.fill_samples(&mut samples);
                any = true;
            }
        }
        if let Some(beep) = self.beep.as_mut() {
            let mut tone = [0_i16; PROMPT_TICK];
            beep.fill_samples(&mut tone);
            let over = beep.is_over();
            samples
                .iter_mut()
                .zip(tone)
                .for_each(|(sample, tone)| *sample = sample.saturating_add(tone));
            any = true;
            if over {
                self.beep = None;
            }
        }
        if !any {
            return;
        }
        let rates: [Option<u32>; 8] = {
            let mut rates = self.mixer.rates();
            std::array::from_fn(|_| rates.next())
        };
        for rate_hz in rates.into_iter().flatten() {
            if rate_hz == PROMPT_HZ {
                self.mixer.announce(rate_hz, &samples);
                continue;
            }
            if !self.announcers.iter().any(|known| known.to_hz() == rate_hz) {
                self.announcers.extend(Resampler::new(PROMPT_HZ, rate_hz));
            }
            let resampler = self.announcers.iter_mut().find(|known| known.to_hz() == rate_hz);
            if let Some(resampler) = resampler {
                let count = resampler.process(&samples, &mut self.frame[..]);
                self.mixer.announce(rate_hz, &self.frame[..count]);
            }
        }
    }
}

/// The tone that tells of someone who comes or goes.
pub(super) fn door() -> Programme {
    static TONE: OnceLock<Arc<Prompt>> = OnceLock::new();
    let tone = TONE.get_or_init(|| {
        // The tone is one of the table's, so there is nothing that can be unknown.
        Arc::new(tones::prompt("beep", "us").unwrap_or_else(|_| Prompt::new(vec![0; PROMPT_TICK])))
    });
    Programme::new(vec![tone.clone()], 1, BEEP_MS)
}
