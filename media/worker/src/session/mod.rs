//! What was agreed with a peer, checked and made ready for the packet path.

pub mod digits;

use std::net::{IpAddr, SocketAddr};

use crate::audio::speaking::{packet_ms, Terms};
use crate::clock::{Nanos, MILLISECOND};
use crate::codec::audio::Coding;
use crate::codec::g711::{self, Law};
use crate::codec::{Format, Kind};
use crate::protocol::{Connect, Failed};
use crate::session::digits::{digit_ways, Audio, DigitWay, DigitWays};
use crate::srtp::Agreed;

/// A session description, as far as packets are concerned.
#[derive(Debug, Clone)]
pub struct Session {
    /// None while the peer gave no usable address (port 0, or 0.0.0.0 as the old way to hold).
    pub remote: Option<SocketAddr>,
    pub remote_rtcp: Option<SocketAddr>,
    pub formats: Vec<Format>,
    /// We may send audio / the peer may send audio.
    pub sends: bool,
    pub hears: bool,
    pub rtcp_mux: bool,
    pub latch: bool,
    pub ptime_ms: u32,
    /// Longer packets are not to be sent to the peer.
    pub max_ptime_ms: Option<u32>,
    pub media_timeout: Option<Nanos>,
    /// Comfort noise was agreed, so a peer may send nothing while nobody speaks (RFC 3389 4).
    pub pauses: bool,
    /// Digits in the audio are listened for.
    pub inband_digits: bool,
    /// Keys: then nothing in the clear is sent or taken.
    pub srtp: Option<Agreed>,
    /// How often statistics are told without being asked for.
    pub stats_interval: Option<Nanos>,
}

impl Session {
    /// Check what the controller says; `local` is the address the stream is bound to.
    pub fn new(connect: &Connect, local: IpAddr) -> Result<Self, Failed> {
        let refuse = |code: &str, reason: String| Failed::new("connect", &connect.stream, code, reason);
        let address: IpAddr = connect
            .remote_address
            .parse()
            .map_err(|_| refuse("address", "remote_address is no IP address".into()))?;
        if address.is_ipv4() != local.is_ipv4() {
            return Err(refuse("address", format!("{address} cannot be reached from {local}")));
        }
        let (sends, hears) = match connect.direction.as_str() {
            "sendrecv" => (true, true),
            "sendonly" => (true, false),
            "recvonly" => (false, true),
            "inactive" => (false, false),
            other => return Err(refuse("codec", format!("direction {other:?} is not known"))),
        };
        let formats: Vec<Format> = connect.codecs.iter().map(Format::new).collect();
        if let Some(bad) = formats
            .iter()
            .find(|format| format.payload_type > 127 || format.clock_rate_hz == 0)
        {
            return Err(refuse(
                "codec",
                format!("payload type {} of {} cannot be", bad.payload_type, bad.name),
            ));
        }
        if !formats.iter().any(|format| format.kind.is_audio()) {
            return Err(refuse("codec", "no audio format".into()));
        }
        let srtp = connect.srtp.as_ref().map(Agreed::new).transpose();
        let srtp = srtp.map_err(|reason| refuse("srtp", reason))?;
        let remote = (connect.remote_port != 0 && !address.is_unspecified())
            .then(|| SocketAddr::new(address, connect.remote_port));
        let rtcp_port = match (connect.rtcp_mux, connect.remote_rtcp_port) {
            (true, _) => connect.remote_port,
            (false, 0) => connect.remote_port.checked_add(1).unwrap_or(0),
            (false, port) => port,
        };
        Ok(Self {
            remote,
            remote_rtcp: remote
                .filter(|_| rtcp_port != 0)
                .map(|_| SocketAddr::new(address, rtcp_port)),
            pauses: formats.iter().any(|format| format.kind == Kind::ComfortNoise),
            formats,
            sends,
            hears,
            rtcp_mux: connect.rtcp_mux,
            latch: connect.latch,
            // Steps of the timer wheel, 5 ms each, and a packet that fits into any network.
            ptime_ms: (connect.ptime_ms / 5 * 5).clamp(10, 100),
            max_ptime_ms: (connect.max_ptime_ms > 0).then_some(connect.max_ptime_ms.max(10)),
            inband_digits: connect.inband_digits,
            media_timeout: (connect.media_timeout_ms > 0).then(|| connect.media_timeout_ms.saturating_mul(MILLISECOND)),
            srtp,
            stats_interval: (connect.stats_interval_ms > 0)
                .then(|| connect.stats_interval_ms.max(1000).saturating_mul(MILLISECOND)),
        })
    }

    /// The format that we send by ourselves.
    pub fn own(&self) -> Option<&Format> {
        self.formats.iter().find(|format| format.kind.is_audio())
    }

    /// The clock of the format that we send by ourselves.
    pub fn clock_rate_hz(&self) -> u32 {
        self.own().map_or(8000, |own| own.clock_rate_hz)
    }

    /// The format and codec of what we make ourselves: plays, mixes, transcoded audio. None when we know none of the agreed.
    pub fn spoken(&self) -> Option<(&Format, Coding)> {
        self.formats.iter().find_map(|format| Some((format, format.coding?)))
    }

    /// The same as the encoder wants it.
    pub fn terms(&self) -> Option<Terms> {
        let (format, coding) = self.spoken()?;
        Some(Terms {
            payload_type: format.payload_type,
            coding,
            packet_ms: packet_ms(coding, self.ptime_ms),
            noise: self.comfort_noise(coding.clock_hz()).map(|noise| noise.payload_type),
        })
    }

    /// Comfort noise, if the peer takes it beside audio of that clock.
    fn comfort_noise(&self, clock_rate_hz: u32) -> Option<&Format> {
        self.formats
            .iter()
            .find(|format| format.kind == Kind::ComfortNoise && format.clock_rate_hz == clock_rate_hz)
    }

    /// The format of digits as events, if it was agreed: that of the audio's clock before others.
    pub fn digit_format(&self) -> Option<&Format> {
        let mut all = self.formats.iter().filter(|format| format.kind == Kind::TelephoneEvent);
        let same = all.clone().find(|format| format.clock_rate_hz == self.clock_rate_hz());
        same.or_else(|| all.next())
    }
}

/// The G.711 law of a format, if it is one.
pub fn law(kind: Kind) -> Option<Law> {
    match kind {
        Kind::Pcmu => Some(Law::Mu),
        Kind::Pcma => Some(Law::A),
        _ => None,
    }
}

/// What to do with a payload on its way to the other side of a bridge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Passage {
    Drop,
    Pass,
    Translate(&'static [u8; 256]),
    /// Into the stream's jitter buffer: what the other side hears is made anew, by our own clock.
    Hear,
}

/// All that the packet path must know of one payload type that a peer may send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lane {
    pub kind: Kind,
    pub coding: Option<Coding>,
    pub clock_rate_hz: u32,
    pub passage: Passage,
    /// The payload type on the other side.
    pub payload_type: u8,
    /// The longest packets that the other side takes, in units of the RTP clock.
    pub most_units: u32,
}

impl Lane {
    /// Whether a payload that would pass is longer than the other side takes.
    pub fn is_too_long(&self, payload: &[u8]) -> bool {
        self.most_units != u32::MAX
            && self
                .coding
                .and_then(|coding| coding.units(payload))
                .is_some_and(|units| units > self.most_units)
    }
}

/// Where the audio of a stream goes.
#[derive(Debug, Clone, Copy)]
pub enum Toward<'a> {
    Nobody,
    /// The other side of a bridge.
    Mate(&'a Session),
    /// The same, when its packets are longer than the other side takes: they are cut, which is to make them anew.
    Cut(&'a Session),
    /// The members of a mix.
    Mix,
}

/// The lanes of one stream, by payload type. A packet costs two loads.
#[derive(Debug)]
pub struct Plan {
    index: [u8; 128],
    lanes: Vec<Lane>,
    /// How digits get to the other side.
    pub digits: DigitWays,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            index: [0; 128],
            lanes: Vec::new(),
            digits: DigitWays::default(),
        }
    }
}

impl Plan {
    /// Lanes from a session to wherever its audio goes; toward nobody nothing passes, but all that was agreed is known.
    pub fn new(from: &Session, toward: Toward) -> Self {
        let mut plan = Self::default();
        // Noise between words goes the way of the words.
        let own_is_heard = from
            .own()
            .is_some_and(|own| passage(own, toward, false).0 == Passage::Hear);
        let mut most_ms = None;
        if let Toward::Mate(to) | Toward::Cut(to) = toward {
            most_ms = to.max_ptime_ms;
            let audio = if own_is_heard { Audio::Made } else { Audio::Passes };
            plan.digits = digit_ways(from, to, audio);
        }
        for format in &from.formats {
            let (passage, payload_type) = if format.kind == Kind::TelephoneEvent && plan.digits.events != DigitWay::Pass
            {
                (Passage::Drop, 0)
            } else {
                passage(format, toward, own_is_heard)
            };
            plan.lanes.push(Lane {
                kind: format.kind,
                coding: format.coding,
                clock_rate_hz: format.clock_rate_hz,
                passage,
                payload_type,
                most_units: match (most_ms, passage) {
                    (Some(most_ms), Passage::Pass | Passage::Translate(_)) => {
                        (u64::from(format.clock_rate_hz) * u64::from(most_ms) / 1000) as u32
                    }
                    _ => u32::MAX,
                },
            });
            // The first of several that claim one number keeps it.
            let place = &mut plan.index[usize::from(format.payload_type & 0x7F)];
            if *place == 0 && plan.lanes.len() < 256 {
                *place = plan.lanes.len() as u8;
            }
        }
        plan
    }

    /// Make the plan one for audio that is not to be heard: events do not fit between the silence that is sent instead.
    pub fn hush(&mut self, from: &Session, to: &Session) {
        self.digits = digit_ways(from, to, Audio::Hushed);
        for lane in &mut self.lanes {
            if lane.kind == Kind::TelephoneEvent {
                lane.passage = Passage::Drop;
            }
        }
    }

    pub fn lane(&self, payload_type: u8) -> Option<&Lane> {
        let number = self.index[usize::from(payload_type & 0x7F)];
        self.lanes.get(usize::from(number).wrapping_sub(1))
    }

    /// See `Stream::prefetch_parts`.
    pub fn prefetch(&self) {
        if let Some(lane) = self.lanes.first() {
            crate::sys::prefetch(lane);
        }
    }

    /// Whether some payload goes through the jitter buffer.
    pub fn hears(&self) -> bool {
        self.lanes.iter().any(|lane| lane.passage == Passage::Hear)
    }
}

/// The way of one format: as it is when the other side agreed on it too; by a table between the laws; decoded and encoded
/// anew; or none.
fn passage(format: &Format, toward: Toward, own_is_heard: bool) -> (Passage, u8) {
    let hear = |able: bool| if able { (Passage::Hear, 0) } else { (Passage::Drop, 0) };
    let noise = format.kind == Kind::ComfortNoise;
    let to = match toward {
        Toward::Nobody => return (Passage::Drop, 0),
        Toward::Mix => return hear(format.coding.is_some() || noise),
        Toward::Cut(to) if format.coding.is_some() && to.spoken().is_some() => return hear(true),
        Toward::Mate(to) | Toward::Cut(to) => to,
    };
    if noise && own_is_heard {
        return (Passage::Hear, 0);
    }
    if let Some(same) = to.formats.iter().find(|other| other.same_as(format)) {
        return (Passage::Pass, same.payload_type);
    }
    let translated = to.formats.iter().find_map(|other| {
        let table = g711::transcoder(law(format.kind)?, law(other.kind)?)?;
        Some((Passage::Translate(table), other.payload_type))
    });
    translated.unwrap_or_else(|| hear(format.coding.is_some() && to.spoken().is_some()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{Codec, SrtpKeys};
    use crate::testing::{self, connect};

    fn codec(payload_type: u8, name: &str, clock_rate_hz: u32) -> Codec {
        testing::codec(payload_type, name, clock_rate_hz, 1)
    }

    fn session(codecs: Vec<Codec>) -> Session {
        testing::session(&connect(codecs))
    }

    fn refused(change: impl Fn(&mut Connect)) -> String {
        let mut connect = connect(vec![codec(0, "PCMU", 8000)]);
        change(&mut connect);
        match Session::new(&connect, IpAddr::from([127, 0, 0, 1])) {
            Ok(_) => "accepted".into(),
            Err(failed) => failed.code,
        }
    }

    #[test]
    fn what_cannot_be_is_refused_with_its_code() {
        assert_eq!(refused(|_| ()), "accepted");
        assert_eq!(refused(|it| it.remote_address = "host.example".into()), "address");
        assert_eq!(refused(|it| it.remote_address = "::1".into()), "address");
        assert_eq!(refused(|it| it.direction = "both".into()), "codec");
        assert_eq!(refused(|it| it.codecs.clear()), "codec");
        assert_eq!(
            refused(|it| it.codecs = vec![codec(101, "telephone-event", 8000)]),
            "codec"
        );
        assert_eq!(refused(|it| it.codecs = vec![codec(128, "PCMU", 8000)]), "codec");
        assert_eq!(refused(|it| it.codecs = vec![codec(0, "PCMU", 0)]), "codec");
        assert_eq!(refused(|it| it.remote_port = 65535), "accepted");
        let keys = SrtpKeys {
            suite: "AEAD_AES_128_GCM".into(),
            local_key: String::new(),
            remote_key: String::new(),
            remote_mki: String::new(),
        };
        assert_eq!(refused(|it| it.srtp = Some(keys.clone())), "srtp");
        assert_eq!(refused(|it| it.media_timeout_ms = u64::MAX), "accepted");
        assert_eq!(refused(|it| it.stats_interval_ms = u64::MAX), "accepted");
    }

    #[test]
    fn an_address_of_nobody_is_a_hold__rfc3264_8_4() {
        let mut held = connect(vec![codec(0, "PCMU", 8000)]);
        held.remote_address = "0.0.0.0".into();
        let local = IpAddr::from([127, 0, 0, 1]);
        assert_eq!(Session::new(&held, local).expect("held").remote, None);
        held.remote_address = "127.0.0.2".into();
        held.remote_port = 0;
        assert_eq!(Session::new(&held, local).expect("held").remote, None);
    }

    #[test]
    fn the_other_side_keeps_its_own_payload_types() {
        let from = session(vec![
            codec(0, "PCMU", 8000),
            codec(96, "telephone-event", 8000),
            codec(18, "G729", 8000),
        ]);
        let to = session(vec![
            codec(8, "PCMA", 8000),
            codec(101, "telephone-event", 8000),
            codec(97, "G729", 8000),
        ]);
        let plan = Plan::new(&from, Toward::Mate(&to));
        let way = |payload_type| plan.lane(payload_type).map(|lane| (lane.passage, lane.payload_type));
        let table = g711::transcoder(Law::Mu, Law::A).expect("two laws");
        assert_eq!(way(0), Some((Passage::Translate(table), 8)));
        assert_eq!(way(96), Some((Passage::Pass, 101)));
        assert_eq!(way(18), Some((Passage::Pass, 97)));
        assert_eq!(way(13), None);
    }

    #[test]
    fn what_cannot_pass_is_made_anew_and_noise_goes_with_it() {
        let from = session(vec![
            codec(9, "G722", 8000),
            codec(13, "CN", 8000),
            codec(18, "G729", 8000),
        ]);
        let to = session(vec![codec(0, "PCMU", 8000), codec(13, "CN", 8000)]);
        let plan = Plan::new(&from, Toward::Mate(&to));
        let ways = [9, 13, 18].map(|number| plan.lane(number).map(|lane| lane.passage));
        assert_eq!(ways, [Some(Passage::Hear), Some(Passage::Hear), Some(Passage::Drop)]);
        assert!(plan.hears());
        let back = Plan::new(&to, Toward::Mate(&from));
        assert_eq!(back.lane(0).map(|lane| lane.passage), Some(Passage::Hear));
        let unknown = session(vec![codec(18, "G729", 8000)]);
        assert!(!Plan::new(&from, Toward::Mate(&unknown)).hears());
        let mixed = Plan::new(&from, Toward::Mix);
        let ways = [9, 13, 18].map(|number| mixed.lane(number).map(|lane| lane.passage));
        assert_eq!(ways, [Some(Passage::Hear), Some(Passage::Hear), Some(Passage::Drop)]);
    }

    #[test]
    fn packets_longer_than_the_peer_takes_are_known__rfc4566_6_maxptime() {
        let from = session(vec![codec(0, "PCMU", 8000)]);
        let mut to = from.clone();
        to.max_ptime_ms = Some(20);
        let lane = *Plan::new(&from, Toward::Mate(&to)).lane(0).expect("agreed");
        assert_eq!(lane.passage, Passage::Pass);
        assert!(!lane.is_too_long(&[0; 160]) && lane.is_too_long(&[0; 161]));
        let cut = *Plan::new(&from, Toward::Cut(&to)).lane(0).expect("agreed");
        assert!(cut.passage == Passage::Hear && !cut.is_too_long(&[0; 480]));
        let any = *Plan::new(&to, Toward::Mate(&from)).lane(0).expect("agreed");
        assert!(!any.is_too_long(&[0; 1400]));
    }

    #[test]
    fn a_common_format_passes_even_when_it_is_not_the_first() {
        let from = session(vec![codec(8, "PCMA", 8000)]);
        let to = session(vec![codec(0, "PCMU", 8000), codec(8, "PCMA", 8000)]);
        let lane = *Plan::new(&from, Toward::Mate(&to)).lane(8).expect("agreed");
        assert_eq!((lane.passage, lane.payload_type), (Passage::Pass, 8));
    }

    #[test]
    fn what_the_other_side_lacks_is_dropped() {
        let from = session(vec![codec(0, "PCMU", 8000), codec(101, "telephone-event", 8000)]);
        let to = session(vec![codec(0, "PCMU", 8000)]);
        assert_eq!(
            Plan::new(&from, Toward::Mate(&to)).lane(101).map(|lane| lane.passage),
            Some(Passage::Drop)
        );
        assert_eq!(
            Plan::new(&from, Toward::Nobody).lane(0).map(|lane| lane.passage),
            Some(Passage::Drop)
        );
    }
}
