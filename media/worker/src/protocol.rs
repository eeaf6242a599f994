//! The messages of the controller, as `media/engine.py` states them: names, fields, defaults, units.
//!
//! A frame is a big-endian u32 length and that many octets of msgpack, a map whose key `t` names the message. Unknown
//! keys are ignored, absent ones take their default. `tests/vectors/media/frames.json` holds one frame of each message;
//! the tests of both sides read it, so the two statements cannot drift apart.
//!
//! The file is longer than others: it is one page, like `media/engine.py`, and every message stands on it once.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// The number both sides exchange in `Hello` and `Welcome`.
pub const PROTOCOL_VERSION: u32 = 2;
/// The largest frame body either side may send, in octets.
pub const MAX_FRAME: usize = 1 << 20;

/// A stream's, bridge's, mix's, play's or recording's name, as the threads share it.
pub type Name = Arc<str>;

/// One RTP payload format by its SDP names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Codec {
    pub payload_type: u8,
    pub name: String,
    #[serde(default = "clock_rate_hz")]
    pub clock_rate_hz: u32,
    #[serde(default = "one")]
    pub channels: u8,
    #[serde(default)]
    pub fmtp: String,
}

/// What the controller asks for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "t", rename_all = "snake_case")]
pub enum Command {
    Hello {
        #[serde(default = "version")]
        version: u32,
        #[serde(default)]
        controller: String,
    },
    Open {
        stream: String,
        #[serde(default)]
        call: String,
        address: String,
        #[serde(default)]
        expires_ms: u64,
        #[serde(default)]
        signalling_address: String,
    },
    Connect(Connect),
    Bridge {
        bridge: String,
        first: String,
        second: String,
    },
    Unbridge {
        bridge: String,
    },
    Join {
        mix: String,
        stream: String,
        #[serde(default)]
        beep: bool,
    },
    Leave {
        mix: String,
        stream: String,
        #[serde(default)]
        beep: bool,
    },
    Mute {
        stream: String,
        #[serde(default)]
        muted: bool,
        #[serde(default)]
        deaf: bool,
    },
    Play(Play),
    StopPlay {
        #[serde(default)]
        stream: String,
        play: String,
        #[serde(default)]
        mix: String,
    },
    Record(Record),
    PauseRecord {
        recording: String,
        #[serde(default)]
        keep_time: bool,
    },
    ResumeRecord {
        recording: String,
    },
    StopRecord {
        recording: String,
    },
    SendDigits {
        stream: String,
        digits: String,
        #[serde(default = "hundred")]
        tone_ms: u32,
        #[serde(default = "hundred")]
        gap_ms: u32,
    },
    Stats {
        stream: String,
    },
    Deadline {
        stream: String,
        in_ms: u64,
    },
    Close {
        stream: String,
    },
    List {},
    Ping {},
    Shutdown {},
}

/// Where a stream's peer is and what was agreed with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Connect {
    pub stream: String,
    pub remote_address: String,
    pub remote_port: u16,
    #[serde(default)]
    pub remote_rtcp_port: u16,
    pub codecs: Vec<Codec>,
    #[serde(default = "sendrecv")]
    pub direction: String,
    #[serde(default)]
    pub rtcp_mux: bool,
    #[serde(default = "yes")]
    pub latch: bool,
    #[serde(default = "twenty")]
    pub ptime_ms: u32,
    #[serde(default)]
    pub media_timeout_ms: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub srtp: Option<SrtpKeys>,
    #[serde(default)]
    pub inband_digits: bool,
    #[serde(default)]
    pub stats_interval_ms: u64,
    #[serde(default)]
    pub max_ptime_ms: u32,
}

/// The keys of an encrypted stream: base64, and the identifier in hexadecimal digits. They are never printed.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SrtpKeys {
    pub suite: String,
    pub local_key: String,
    pub remote_key: String,
    #[serde(default)]
    pub remote_mki: String,
}

impl std::fmt::Debug for SrtpKeys {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(to, "SrtpKeys({})", self.suite)
    }
}

/// Audio for one stream's peer: files or a tone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Play {
    #[serde(default)]
    pub stream: String,
    pub play: String,
    #[serde(default)]
    pub mix: String,
    #[serde(default)]
    pub files: Vec<String>,
    #[serde(default)]
    pub tone: String,
    #[serde(default = "us")]
    pub tone_country: String,
    #[serde(default = "one_u32", rename = "loop")]
    pub loops: u32,
    #[serde(default)]
    pub duration_ms: u64,
}

/// A recording of a bridge or of a stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    pub recording: String,
    pub path: String,
    #[serde(default)]
    pub bridge: String,
    #[serde(default)]
    pub stream: String,
    #[serde(default = "one")]
    pub channels: u8,
    #[serde(default = "four_hours_ms")]
    pub max_ms: u64,
    #[serde(default)]
    pub beep: bool,
    #[serde(default)]
    pub silence_ms: u64,
    #[serde(default)]
    pub finish_keys: String,
}

/// What happened to one stream's packets since it was opened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Counters {
    pub packets_in: u64,
    pub bytes_in: u64,
    pub packets_out: u64,
    pub bytes_out: u64,
    pub lost_in: u64,
    pub strangers: u64,
    pub malformed: u64,
    pub unauthentic: u64,
    pub flooded: u64,
    pub jitter_ms: f64,
    pub round_trip_ms: f64,
    pub remote_lost: i64,
}

impl Default for Counters {
    fn default() -> Self {
        Self {
            packets_in: 0,
            bytes_in: 0,
            packets_out: 0,
            bytes_out: 0,
            lost_in: 0,
            strangers: 0,
            malformed: 0,
            unauthentic: 0,
            flooded: 0,
            jitter_ms: 0.0,
            round_trip_ms: -1.0,
            remote_lost: -1,
        }
    }
}

/// What one second of a stream was like; negative figures are not known.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Second {
    pub number: u32,
    pub received: u32,
    pub lost: u32,
    pub late: u32,
    pub jitter_ms: f64,
    pub round_trip_ms: f64,
    pub remote_loss: f64,
    pub remote_jitter_ms: f64,
    pub mos_in: f64,
    pub mos_out: f64,
}

/// A stream since its beginning; negative scores are not known.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Quality {
    pub seconds: u32,
    pub mos_in: f64,
    pub mos_out: f64,
    pub worst_in: f64,
    pub worst_out: f64,
}

impl Default for Quality {
    fn default() -> Self {
        Self {
            seconds: 0,
            mos_in: -1.0,
            mos_out: -1.0,
            worst_in: -1.0,
            worst_out: -1.0,
        }
    }
}

/// One line of `Listing`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListedStream {
    pub stream: String,
    #[serde(default)]
    pub call: String,
    #[serde(default)]
    pub port: u16,
    #[serde(default)]
    pub forwarded: bool,
}

/// What the worker tells its controller.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "t", rename_all = "snake_case")]
pub enum Event {
    Welcome {
        version: u32,
        pid: u32,
        #[serde(default)]
        worker: String,
        #[serde(default = "one_u32")]
        threads: u32,
        #[serde(default)]
        io: String,
    },
    Failed(Failed),
    Opened {
        stream: String,
        address: String,
        port: u16,
        rtcp_port: u16,
    },
    StreamStats {
        stream: String,
        counters: Counters,
        #[serde(default)]
        quality: Quality,
        #[serde(default)]
        seconds: Vec<Second>,
        #[serde(default)]
        play: String,
        #[serde(default)]
        position_ms: u64,
        #[serde(default)]
        forwarded: bool,
    },
    Closed {
        stream: String,
        #[serde(default)]
        counters: Counters,
        #[serde(default)]
        quality: Quality,
    },
    Joined {
        mix: String,
        stream: String,
        members: u32,
    },
    Left {
        mix: String,
        stream: String,
        members: u32,
    },
    Latched {
        stream: String,
        address: String,
        port: u16,
    },
    Stranger {
        stream: String,
        address: String,
        port: u16,
    },
    MediaTimeout {
        stream: String,
        silent_ms: u64,
    },
    Digit {
        stream: String,
        digit: String,
        duration_ms: u32,
        #[serde(default = "rfc4733")]
        source: String,
    },
    PlayEnded {
        #[serde(default)]
        stream: String,
        play: String,
        reason: String,
        #[serde(default)]
        position_ms: u64,
        #[serde(default)]
        detail: String,
        #[serde(default)]
        mix: String,
    },
    RecordingStarted {
        recording: String,
    },
    RecordingEnded {
        recording: String,
        path: String,
        duration_ms: u64,
        size_bytes: u64,
        reason: String,
        #[serde(default)]
        detail: String,
        #[serde(default)]
        lost_ms: u64,
    },
    Listing {
        #[serde(default)]
        streams: Vec<ListedStream>,
        #[serde(default)]
        bridges: Vec<String>,
        #[serde(default)]
        recordings: Vec<String>,
        #[serde(default)]
        mixes: Vec<String>,
    },
    Pong {},
}

/// A command that could not be done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failed {
    pub op: String,
    #[serde(default)]
    pub subject: String,
    pub code: String,
    #[serde(default)]
    pub reason: String,
}

impl Failed {
    /// A refusal of `op` on `subject`; `code` is one of those that `media/engine.py` lists.
    pub fn new(op: &str, subject: &str, code: &str, reason: impl Into<String>) -> Self {
        Self {
            op: op.to_owned(),
            subject: subject.to_owned(),
            code: code.to_owned(),
            reason: reason.into(),
        }
    }
}

impl Command {
    /// The tag and the identifier that an answer by `Failed` names; None for commands that are about nothing by name.
    pub fn op_and_subject(&self) -> (&'static str, Option<&str>) {
        let (op, subject) = match self {
            Command::Hello { .. } => return ("hello", None),
            Command::Open { stream, .. } => ("open", stream),
            Command::Connect(connect) => ("connect", &connect.stream),
            Command::Bridge { bridge, .. } => ("bridge", bridge),
            Command::Unbridge { bridge } => ("unbridge", bridge),
            Command::Join { mix, .. } => ("join", mix),
            Command::Leave { mix, .. } => ("leave", mix),
            Command::Mute { stream, .. } => ("mute", stream),
            Command::Play(play) => ("play", &play.play),
            Command::StopPlay { play, .. } => ("stop_play", play),
            Command::Record(record) => ("record", &record.recording),
            Command::PauseRecord { recording, .. } => ("pause_record", recording),
            Command::ResumeRecord { recording } => ("resume_record", recording),
            Command::StopRecord { recording } => ("stop_record", recording),
            Command::SendDigits { stream, .. } => ("send_digits", stream),
            Command::Stats { stream } => ("stats", stream),
            Command::Deadline { stream, .. } => ("deadline", stream),
            Command::Close { stream } => ("close", stream),
            Command::List {} => return ("list", None),
            Command::Ping {} => return ("ping", None),
            Command::Shutdown {} => return ("shutdown", None),
        };
        (op, Some(subject))
    }
}

/// Whether `id` may name something here: 1 to 64 printable ASCII octets.
pub fn is_identifier(id: &str) -> bool {
    (1..=64).contains(&id.len()) && id.bytes().all(|octet| octet.is_ascii_graphic())
}

/// Read a command; the error says what the frame lacks and is fit for `Failed(code="frame")`.
pub fn decode_command(body: &[u8]) -> Result<Command, Failed> {
    rmp_serde::from_slice(body).map_err(|error| {
        #[derive(Deserialize)]
        struct Tag {
            #[serde(default)]
            t: String,
        }
        let tag = rmp_serde::from_slice::<Tag>(body).map_or(String::new(), |tag| tag.t);
        let op: String = tag.chars().filter(char::is_ascii_graphic).take(64).collect();
        Failed::new(&op, "", "frame", error.to_string())
    })
}

/// A message as a whole frame, length included.
pub fn encode<T: Serialize>(message: &T) -> Vec<u8> {
    let mut frame = vec![0; 4];
    // Writing to memory fails only for types that msgpack cannot hold, and the messages above have none.
    if message
        .serialize(&mut rmp_serde::Serializer::new(&mut frame).with_struct_map())
        .is_err()
    {
        frame.truncate(4);
    }
    let length = (frame.len() - 4) as u32;
    frame[..4].copy_from_slice(&length.to_be_bytes());
    frame
}

/// Cuts a stream of octets into frame bodies.
#[derive(Debug, Default)]
pub struct FrameReader {
    buffer: Vec<u8>,
    taken: usize,
}

/// A frame says that it is longer than `MAX_FRAME`; the stream cannot be followed any further.
#[derive(Debug, PartialEq, Eq)]
pub struct Oversize(pub usize);

impl FrameReader {
    /// Add what the socket gave.
    pub fn push(&mut self, octets: &[u8]) {
        self.buffer.drain(..self.taken);
        self.taken = 0;
        self.buffer.extend_from_slice(octets);
    }

    /// The next whole frame body, if there is one.
    pub fn next_frame(&mut self) -> Result<Option<&[u8]>, Oversize> {
        let rest = &self.buffer[self.taken..];
        let Some(head) = rest.first_chunk::<4>() else {
            return Ok(None);
        };
        let length = u32::from_be_bytes(*head) as usize;
        if length > MAX_FRAME {
            return Err(Oversize(length));
        }
        if rest.len() < 4 + length {
            return Ok(None);
        }
        let start = self.taken + 4;
        self.taken = start + length;
        Ok(Some(&self.buffer[start..start + length]))
    }
}

fn version() -> u32 {
    PROTOCOL_VERSION
}
fn clock_rate_hz() -> u32 {
    8000
}
fn one() -> u8 {
    1
}
fn one_u32() -> u32 {
    1
}
fn yes() -> bool {
    true
}
fn twenty() -> u32 {
    20
}
fn hundred() -> u32 {
    100
}
fn sendrecv() -> String {
    "sendrecv".to_owned()
}
fn rfc4733() -> String {
    "rfc4733".to_owned()
}
fn us() -> String {
    "us".to_owned()
}
fn four_hours_ms() -> u64 {
    14_400_000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absent_keys_take_their_default_and_unknown_keys_are_ignored() {
        let body =
            rmp_serde::to_vec_named(&serde_json::json!({"t": "open", "stream": "s", "address": "::1", "new": [1]}))
                .expect("a map");
        let expected = Command::Open {
            stream: "s".into(),
            call: String::new(),
            address: "::1".into(),
            expires_ms: 0,
            signalling_address: String::new(),
        };
        assert_eq!(decode_command(&body), Ok(expected));
    }

    #[test]
    fn a_known_tag_with_bad_fields_is_refused_by_its_name() {
        let body = rmp_serde::to_vec_named(&serde_json::json!({"t": "open", "stream": 7})).expect("a map");
        let failed = decode_command(&body).expect_err("stream is no string");
        assert_eq!((failed.op.as_str(), failed.code.as_str()), ("open", "frame"));
    }

    #[test]
    fn any_bytes_give_a_command_or_a_refusal() {
        let mut random = crate::random::Random::new(7);
        for _ in 0..20_000 {
            let length = random.below(64) as usize;
            let body: Vec<u8> = (0..length).map(|_| random.next() as u8).collect();
            let _ = decode_command(&body);
        }
    }

    #[test]
    fn frames_are_cut_wherever_the_socket_cuts_them() {
        let stream: Vec<u8> = [&b"\0\0\0\x03abc"[..], b"\0\0\0\0", b"\0\0\0\x01z"].concat();
        for step in 1..stream.len() {
            let mut reader = FrameReader::default();
            let mut frames = Vec::new();
            for part in stream.chunks(step) {
                reader.push(part);
                while let Ok(Some(body)) = reader.next_frame() {
                    frames.push(body.to_vec());
                }
            }
            assert_eq!(
                frames,
                [b"abc".to_vec(), b"".to_vec(), b"z".to_vec()],
                "cut every {step}"
            );
        }
    }

    #[test]
    fn a_frame_over_the_limit_is_told_before_its_body_comes() {
        let mut reader = FrameReader::default();
        reader.push(&(MAX_FRAME as u32 + 1).to_be_bytes());
        assert_eq!(reader.next_frame(), Err(Oversize(MAX_FRAME + 1)));
    }

    #[test]
    fn identifiers_are_short_and_printable() {
        let cases = [("a", true), ("", false), ("a b", false), ("é", false), ("a\n", false)];
        for (id, good) in cases {
            assert_eq!(is_identifier(id), good, "{id:?}");
        }
        assert!(is_identifier(&"x".repeat(64)));
        assert!(!is_identifier(&"x".repeat(65)));
    }
}
