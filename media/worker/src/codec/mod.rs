//! Payload formats: which we know, and how one becomes another.

pub mod audio;
pub mod cn;
pub mod g711;
pub mod g722;
pub mod l16;
pub mod opus;

use crate::protocol;
use audio::Coding;

/// To 16 bits, rounded, clipped at the ends.
pub fn to_i16(sample: f32) -> i16 {
    // The conversion saturates. Half away from zero, without a call of the mathematics library.
    (sample + 0.5_f32.copysign(sample)) as i16
}

/// What a negotiated payload type carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Pcmu,
    Pcma,
    TelephoneEvent,
    ComfortNoise,
    /// Any other codec. One that we do not know (G.729) can pass to a peer that agreed on the same format, and no more.
    Other,
}

impl Kind {
    /// Whether this is speech (not a digit or background noise), so that it can be a session's own codec.
    pub fn is_audio(self) -> bool {
        matches!(self, Kind::Pcmu | Kind::Pcma | Kind::Other)
    }
}

/// A payload format of a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Format {
    pub payload_type: u8,
    pub kind: Kind,
    pub name: String,
    pub clock_rate_hz: u32,
    pub channels: u8,
    /// How to hear and speak it, if we can.
    pub coding: Option<Coding>,
}

impl Format {
    pub fn new(codec: &protocol::Codec) -> Self {
        let name = codec.name.to_ascii_uppercase();
        let kind = match (name.as_str(), codec.clock_rate_hz, codec.channels) {
            ("PCMU", 8000, 1) => Kind::Pcmu,
            ("PCMA", 8000, 1) => Kind::Pcma,
            ("TELEPHONE-EVENT", ..) => Kind::TelephoneEvent,
            ("CN", ..) => Kind::ComfortNoise,
            _ => Kind::Other,
        };
        Self {
            payload_type: codec.payload_type,
            kind,
            coding: Coding::find(&name, codec.clock_rate_hz, codec.channels, &codec.fmtp),
            name,
            clock_rate_hz: codec.clock_rate_hz,
            channels: codec.channels,
        }
    }

    /// Whether a payload of one is a payload of the other, whatever their payload types.
    pub fn same_as(&self, other: &Format) -> bool {
        self.name == other.name && self.clock_rate_hz == other.clock_rate_hz && self.channels == other.channels
    }
}
