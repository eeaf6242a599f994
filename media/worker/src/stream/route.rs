//! Who is on the other side of a stream, and how what it says gets there.

use super::Stream;
use crate::audio::hearing::{self, Hearing};
use crate::audio::jitter::Limits;
use crate::audio::speaking::PROMPT_HZ;
use crate::codec::Kind;
use crate::session::{Plan, Session, Toward};
use crate::slab::Handle;

/// Audio of codecs that have a choice (Opus) is transcoded at what the other side can take of this.
const FULL_HZ: u32 = 48_000;

/// See the module.
#[derive(Debug, Default)]
pub struct Route {
    /// The stream on the other side of the bridge, and the bridge.
    pub mate: Option<Handle>,
    pub bridge: Option<Handle>,
    /// The mix that it takes part in.
    pub mix: Option<Handle>,
    /// The others do not hear the peer; the peer does not hear the others.
    pub muted: bool,
    pub deaf: bool,
}

/// Lead what `from` says to `to`.
pub fn join(from: &mut Stream, to: &mut Stream, seed: u64) {
    let (Some(session), Some(toward)) = (&from.session, &to.session) else {
        from.inbound.plan = from.plan_for_nobody();
        return;
    };
    let way = if from.inbound.cut {
        Toward::Cut(toward)
    } else {
        Toward::Mate(toward)
    };
    from.inbound.plan = Plan::new(session, way);
    if from.route.muted || to.route.deaf {
        from.inbound.plan.hush(session, toward);
    }
    let hears = from.inbound.plan.hears();
    to.outbound.spoken_to = hears || from.route.muted || to.route.deaf;
    if to.outbound.spoken_to {
        let wanted_hz = session
            .spoken()
            .map_or(PROMPT_HZ, |(_, coding)| coding.rate_hz(FULL_HZ));
        to.speak_at(wanted_hz);
    }
    let rate_hz = to.outbound.speaking.as_ref().map(|speaking| speaking.rate_hz());
    from.listen_at(rate_hz.filter(|_| hears), seed);
}

impl Stream {
    pub fn codec_name(&self) -> String {
        let own = self.session.as_ref().and_then(Session::own);
        own.map_or_else(|| "nothing".to_owned(), |format| format.name.clone())
    }

    /// Whether the peer's own codec reaches the other side; nobody knows before both have agreed on something.
    pub fn has_way_to(&self, to: &Stream) -> bool {
        let (Some(session), Some(_)) = (&self.session, &to.session) else {
            return true;
        };
        let lane = session.own().and_then(|own| self.inbound.plan.lane(own.payload_type));
        lane.is_some_and(|lane| lane.passage != crate::session::Passage::Drop)
    }

    /// What was agreed is known, and nothing of it passes.
    fn plan_for_nobody(&self) -> Plan {
        let session = self.session.as_ref();
        session.map_or_else(Plan::default, |session| Plan::new(session, Toward::Nobody))
    }

    /// In no bridge and no mix: nobody hears the peer.
    pub fn keep_to_itself(&mut self) {
        self.inbound.plan = self.plan_for_nobody();
        self.outbound.spoken_to = false;
        self.listen_at(None, 0);
        if self.outbound.play.is_none() {
            self.outbound.speaking = None;
        }
    }

    /// Make what the peer says heard at `rate_hz`, or not at all.
    pub fn listen_at(&mut self, rate_hz: Option<u32>, seed: u64) {
        let (Some(session), Some(rate_hz)) = (&self.session, rate_hz) else {
            self.inbound.hearing = None;
            self.inbound.listens = false;
            return;
        };
        let lanes: Vec<(u8, hearing::Lane)> = session
            .formats
            .iter()
            .map(|format| {
                let lane = match (format.coding, format.kind) {
                    (Some(coding), _) => hearing::Lane::Audio(coding),
                    (None, Kind::ComfortNoise) => hearing::Lane::ComfortNoise,
                    (None, _) => hearing::Lane::Other,
                };
                (format.payload_type, lane)
            })
            .collect();
        if !self
            .inbound
            .hearing
            .as_ref()
            .is_some_and(|it| it.is_for(&lanes, rate_hz))
        {
            self.inbound.hearing = Hearing::new(lanes, rate_hz, Limits::default(), seed).map(Box::new);
        }
    }
}
