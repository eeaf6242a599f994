//! What the peer of a stream is sent: one unbroken stream of packets, and the audio among them that we make.

use super::{Stream, Tap, Turn, Wire};
use crate::audio::speaking::{packet_ms, Said, Speaking, PROMPT_HZ};
use crate::clock::Nanos;
use crate::codec::g711::Law;
use crate::dtmf::sender::Sender;
use crate::net::MAX_DATAGRAM;
use crate::playback::Play;
use crate::rtp::sending::{Feed, Sending};
use crate::rtp::{self, Stamp, HEADER};
use crate::session::Session;

/// See the module.
#[derive(Debug)]
pub struct Outbound {
    pub sending: Sending,
    /// The encoder of what we make ourselves.
    pub speaking: Option<Box<Speaking>>,
    /// The peer is sent audio that we make of what others say, and how long those have been silent.
    pub spoken_to: bool,
    pub quiet_ms: u32,
    /// The tick of the wheel at which the next packet of our own goes.
    pub voice_due: u64,
    pub play: Option<Box<Play>>,
    /// How many plays there were.
    pub plays: u32,
    pub digits: Digits,
    pub taps: Vec<Tap>,
}

/// Digits that are being sent.
#[derive(Debug, Default)]
pub struct Digits {
    pub sender: Sender,
    /// One is being sent, so audio is not.
    pub busy: bool,
    /// Its timestamp.
    pub start: u32,
    /// The tick of the wheel at which they go on.
    pub due: u64,
}

impl Outbound {
    pub fn new(sending: Sending) -> Self {
        Self {
            sending,
            speaking: None,
            spoken_to: false,
            quiet_ms: 0,
            voice_due: 0,
            play: None,
            plays: 0,
            digits: Digits::default(),
            taps: Vec::new(),
        }
    }

    /// Whether a play is heard; one whose files are still being read is not.
    pub fn is_playing(&self) -> bool {
        self.play.as_ref().is_some_and(|play| play.programme.is_some())
    }
}

impl Stream {
    /// The length of the packets that we make for the peer.
    pub fn packet_ms(&self) -> u32 {
        let session = self.session.as_ref();
        session
            .and_then(|session| Some(packet_ms(session.spoken()?.1, session.ptime_ms)))
            .unwrap_or(20)
    }

    /// Have an encoder for audio of `wanted_hz`.
    pub fn speak_at(&mut self, wanted_hz: u32) -> Option<&mut Speaking> {
        let terms = self.session.as_ref()?.terms();
        let fits = |it: &Speaking| terms.is_some_and(|terms| it.is_for(terms, wanted_hz));
        if !self.outbound.speaking.as_deref().is_some_and(fits) {
            self.outbound.speaking = terms.and_then(|terms| Speaking::new(terms, wanted_hz)).map(Box::new);
        }
        self.outbound.speaking.as_deref_mut()
    }

    /// Have an encoder for audio of the rate that it has already, if others speak through it too; else for that of prompts.
    pub fn speak(&mut self) -> Option<&mut Speaking> {
        let speaking = self.outbound.speaking.as_ref();
        let rate_hz = speaking.map_or(PROMPT_HZ, |speaking| speaking.rate_hz());
        self.speak_at(rate_hz)
    }

    /// Encode what stands in the frame of `speaking`, and send it. Gives the header and the payload's length of a packet of
    /// audio: what tells of noise holds no samples, and is silence to those who record.
    pub fn send_frame(
        &mut self,
        feed: Feed,
        units: u32,
        may_pause: bool,
        wire: &mut Wire,
        turn: &Turn,
    ) -> Option<(Stamp, usize)> {
        let speaking = self.outbound.speaking.as_mut()?;
        let audio = speaking.payload_type();
        match speaking.encode(may_pause, &mut wire.packet[HEADER..MAX_DATAGRAM]) {
            Said::Pause => {
                self.outbound.sending.pause(feed, units, turn.now);
                None
            }
            Said::Packet { payload_type, octets } => {
                let stamp = self.send_own(feed, payload_type, units, octets, wire, turn);
                (payload_type == audio).then_some((stamp, octets))
            }
        }
    }

    /// Send the payload in `outgoing`, behind the room for its header.
    pub fn send_own(
        &mut self,
        feed: Feed,
        payload_type: u8,
        units: u32,
        octets: usize,
        wire: &mut Wire,
        turn: &Turn,
    ) -> Stamp {
        let rate_hz = self
            .session
            .as_ref()
            .and_then(Session::spoken)
            .map_or(PROMPT_HZ, |(format, _)| format.clock_rate_hz);
        let stamp = self
            .outbound
            .sending
            .own(feed, payload_type, octets, units, turn.now, rate_hz);
        if let Some(head) = wire.packet.first_chunk_mut::<HEADER>() {
            rtp::write(head, stamp);
        }
        self.transmit(&mut wire.packet[..], HEADER + octets, &mut wire.net);
        stamp
    }

    /// Send the next packet of a play as it lies encoded in the prompt: what one more listener costs.
    pub fn send_prompt(
        &mut self,
        law: Law,
        payload_type: u8,
        length_ms: u32,
        wire: &mut Wire,
        turn: &Turn,
    ) -> Option<Stamp> {
        let count = (PROMPT_HZ / 1000 * length_ms) as usize;
        let play = self.outbound.play.as_mut()?;
        let feed = Feed::Play(play.number);
        play.programme
            .as_mut()?
            .fill(law, &mut wire.packet[HEADER..HEADER + count]);
        Some(self.send_own(feed, payload_type, count as u32, count, wire, turn))
    }

    /// Send the next packet of a play in a codec that is encoded for this peer alone.
    pub fn send_play(&mut self, wire: &mut Wire, turn: &Turn) -> Option<(Stamp, usize)> {
        self.speak()?;
        let (speaking, play) = (self.outbound.speaking.as_mut()?, self.outbound.play.as_mut()?);
        let (feed, units) = (Feed::Play(play.number), speaking.packet_units());
        let programme = play.programme.as_mut()?;
        speaking.fill_from_prompt(|samples| programme.fill_samples(samples));
        self.send_frame(feed, units, false, wire, turn)
    }

    pub fn skip_play(&mut self, count: usize) {
        if let Some(programme) = self.outbound.play.as_mut().and_then(|play| play.programme.as_mut()) {
            programme.skip(count);
        }
    }

    /// Let time pass toward the peer without a packet of the mix.
    pub fn pause_voice(&mut self, samples: usize, now: Nanos) {
        if let Some(speaking) = self.outbound.speaking.as_ref() {
            let units = speaking.units(samples);
            self.outbound.sending.pause(Feed::Voice, units, now);
        }
    }
}
