"""The port to the media plane: commands, events, units. `media/worker/src/protocol.rs` states the same messages.

Both sides speak over a Unix stream socket. A frame is a big-endian u32 length and that many octets of msgpack: a map
with the key `t` (the message's name, snake_case) and the fields below under their own names. Unknown keys are ignored,
absent keys take the default: so either side may be a little older. At most 1 MiB a frame.

Identifiers are ours (strings of 1-64 printable ASCII octets): a *stream* is one RTP/RTCP socket pair and what is known
of its peer; a *bridge* joins two streams, a *mix* any number; a *play* and a *recording* are acts on those. Every command may be
sent twice: the second does no harm. What cannot be done is answered by `Failed`; what was done is silent unless an
event is named. Events of one stream arrive in order.

Durations are milliseconds (`_ms`), audio levels dBm0, counters since the opening of the stream.

The file is longer than others: it is the one page that both sides are held to, and every message stands on it once.
"""

from __future__ import annotations

from typing import Protocol

import msgspec

PROTOCOL_VERSION = 2


class _Message(msgspec.Struct, frozen=True, tag_field="t", kw_only=True):
    """Base of all messages; the tag of each is given with the class."""


# --- commands -----------------------------------------------------------------------------------------------------


class Hello(_Message, tag="hello", frozen=True, kw_only=True):
    """First frame of a controller. Answered by Welcome, or Failed(code="version") and a closed socket."""

    version: int = PROTOCOL_VERSION
    controller: str = ""  # its instance id, for logs


class Open(_Message, tag="open", frozen=True, kw_only=True):
    """Open a stream's sockets. Answered by Opened. Opening an open stream repeats its Opened.

    address: local IP literal to bind. expires_ms: 0, or how long the stream lives when no controller is connected
    (the dead man's rule). signalling_address: the IP address that the peer's signalling comes from, "" = not told: packets from there are
    likelier its own than others.
    """

    stream: str
    call: str = ""
    address: str
    expires_ms: int = 0
    signalling_address: str = ""


class Codec(msgspec.Struct, frozen=True, kw_only=True):
    """One RTP payload format, by its SDP names. `fmtp` as in the SDP, verbatim."""

    payload_type: int
    name: str  # "PCMU", "G722", "opus", "telephone-event" ..., compared without case
    clock_rate_hz: int = 8000
    channels: int = 1
    fmtp: str = ""


class SrtpKeys(msgspec.Struct, frozen=True, kw_only=True):
    """Encryption of a stream's RTP and RTCP (RFC 3711), as signalling agreed on it. Never shown, in logs or elsewhere.

    suite: AES_CM_128_HMAC_SHA1_80, AES_CM_128_HMAC_SHA1_32, AES_256_CM_HMAC_SHA1_80, AES_256_CM_HMAC_SHA1_32,
    AEAD_AES_128_GCM or AEAD_AES_256_GCM. local_key, remote_key: base64 of master key and salt, one behind the other, of
    what we send and of what the peer sends. remote_mki: hexadecimal octets of the key identifier in the peer's packets.
    """

    suite: str
    local_key: str
    remote_key: str
    remote_mki: str = ""

    def __repr__(self) -> str:
        return f"SrtpKeys(suite={self.suite!r})"

    __str__ = __repr__

    def __rich_repr__(self) -> list[tuple[str, str]]:
        return [("suite", self.suite)]


class Connect(_Message, tag="connect", frozen=True, kw_only=True):
    """Where the peer is and what was agreed. Sent again after each offer/answer, also after one that changes nothing: the peer is looked
    for anew then (RFC 3264 8), while what is sent goes where it went until there is evidence that it is elsewhere.

    codecs: those both sides agreed on, ours to send being the first that is not telephone-event or CN.
    direction: ours: sendrecv, sendonly, recvonly, inactive. `recvonly`/`inactive`: we send no audio.
    latch: accept another source as the peer than the SDP's address (symmetric RTP), by its packets; seconds later it is locked to it.
    media_timeout_ms: 0 = off; else MediaTimeout after so much silence while direction lets the peer send.
    srtp: absent = in the clear. With it nothing in the clear is sent or taken; keys that the worker cannot use are answered
    by Failed(code="srtp"). The same keys once more change nothing; other keys are a change of keys in mid-stream.
    inband_digits: listen for keys as tones in the peer's audio (for a peer that sends no telephone-events).
    stats_interval_ms: 0 = off; else StreamStats so often by itself, at least 1000.
    max_ptime_ms: 0 = any; else longer packets of the other side of a bridge are cut into such of `ptime_ms`.
    """

    stream: str
    remote_address: str
    remote_port: int
    remote_rtcp_port: int = 0  # 0 = remote_port + 1
    codecs: list[Codec]
    direction: str = "sendrecv"
    rtcp_mux: bool = False
    latch: bool = True
    ptime_ms: int = 20
    media_timeout_ms: int = 0
    srtp: SrtpKeys | msgspec.UnsetType = msgspec.UNSET
    inband_digits: bool = False
    stats_interval_ms: int = 0
    max_ptime_ms: int = 0


class Bridge(_Message, tag="bridge", frozen=True, kw_only=True):
    """Join the media of two streams both ways. Bridging again with other streams replaces.

    Codecs without a way between them are told by Failed(code="codec"), once as long as that lasts; the bridge stays.
    What both agreed on passes as it is; else audio is transcoded, and keys are converted: telephone-events, or tones in the
    audio for a peer without them. A stream is in one bridge or one mix at most.
    """

    bridge: str
    first: str
    second: str


class Unbridge(_Message, tag="unbridge", frozen=True, kw_only=True):
    bridge: str


class Join(_Message, tag="join", frozen=True, kw_only=True):
    """Have a stream take part in a mix (a conference), which begins with its first member: each hears all others.

    Answered by Joined; Failed(code="limit") when the mix is full (the worker's --mix-members). Joining again changes nothing.
    beep: all members hear a tone. A Play on a member's stream is heard instead of the mix.
    """

    mix: str
    stream: str
    beep: bool = False


class Leave(_Message, tag="leave", frozen=True, kw_only=True):
    """Take a stream out of a mix, which ends with its last member. Answered by Left; unknown ones are ignored.

    beep: those who stay hear a tone.
    """

    mix: str
    stream: str
    beep: bool = False


class Mute(_Message, tag="mute", frozen=True, kw_only=True):
    """What a stream's peer may say and hear, in bridges and mixes alike, from now on. Keys pass in any case.

    muted: the others do not hear this peer. deaf: this peer hears neither the others nor what is played to a mix (plays on the
    stream itself are heard).
    """

    stream: str
    muted: bool = False
    deaf: bool = False


class Play(_Message, tag="play", frozen=True, kw_only=True):
    """Play audio to the stream's peer, instead of bridged audio; replaces a running play (which ends as "replaced").

    Exactly one of `stream`, `mix`: in a mix it is heard by all members, beside what they say. Exactly one of `files`, `tone`.
    files: canonical WAV (PCM s16le, mono, 8000 Hz) played one after another. tone: "ringback", "busy", "congestion", "beep",
    "silence", with `tone_country` as in ITU-T E.180 Supplement 2: "au", "br", "cn", "de", "es", "eu", "fr", "in", "it", "jp", "uk",
    "us" ("eu" is what E.180 itself recommends; beep and silence are the same everywhere). loop: times to play the whole, 0 = for
    ever. duration_ms: 0 = unlimited; else it ends as "finished" after so long. The whole of a tone is one cadence (a ring and its
    pause); silence has none, only its duration ends it. A play waits for its stream to be connected, and goes on unheard while the
    direction forbids to send. A file that cannot be played ends it as "failed", with the file and the cause in `detail`.
    """

    stream: str = ""
    play: str
    mix: str = ""
    files: list[str] = []
    tone: str = ""
    tone_country: str = "us"
    loop: int = 1
    duration_ms: int = 0


class StopPlay(_Message, tag="stop_play", frozen=True, kw_only=True):
    """Stop; an unknown or ended play is ignored."""

    stream: str = ""
    play: str
    mix: str = ""


class Record(_Message, tag="record", frozen=True, kw_only=True):
    """Record to a WAV (PCM s16le, 8000 Hz). Exactly one of bridge/stream. Ends with its bridge or stream at the latest.

    A bridge's recording holds what both peers said, a stream's what its peer said and was sent (plays too). A path that
    exists is never overwritten: that is "disk", as is every other refusal by the file system.

    A name is free again with its RecordingEnded. Until then the same Record again is a repetition and changes nothing, another one,
    or any once the recording was stopped or its bridge or stream is gone, is answered by Failed(code="busy") and never begins.

    channels 1: both directions mixed; 2: first (or the stream's peer) left, second (or what we send) right.
    RecordingStarted at the first sample; RecordingEnded at the end (always, exactly once).

    For a stream only (`<Record>`): beep: the peer hears a tone first, which is not recorded. silence_ms: 0 = off; else it ends
    as "silence" when the peer has been silent for so long. finish_keys: it ends as "key" when the peer presses one of these.
    """

    recording: str
    path: str
    bridge: str = ""
    stream: str = ""
    channels: int = 1
    max_ms: int = 14_400_000
    beep: bool = False
    silence_ms: int = 0
    finish_keys: str = ""


class PauseRecord(_Message, tag="pause_record", frozen=True, kw_only=True):
    """Record nothing until ResumeRecord. The time is left out of the file; with keep_time it is in there as silence."""

    recording: str
    keep_time: bool = False


class ResumeRecord(_Message, tag="resume_record", frozen=True, kw_only=True):
    recording: str


class StopRecord(_Message, tag="stop_record", frozen=True, kw_only=True):
    recording: str


class SendDigits(_Message, tag="send_digits", frozen=True, kw_only=True):
    """Send keys to the peer: RFC 4733 events if they were agreed, else tones in the audio. 0-9*#A-D; `w` waits 500 ms, `W` 1000 ms."""

    stream: str
    digits: str
    tone_ms: int = 100
    gap_ms: int = 100


class Stats(_Message, tag="stats", frozen=True, kw_only=True):
    """Ask for StreamStats."""

    stream: str


class Deadline(_Message, tag="deadline", frozen=True, kw_only=True):
    """Close the stream in `in_ms` if no controller is connected then, whatever its expires_ms says; 0 takes that back.

    For limits such as timeLimit, which a connected controller keeps by itself.
    """

    stream: str
    in_ms: int


class Close(_Message, tag="close", frozen=True, kw_only=True):
    """Close a stream: its plays, recordings and bridges end with it. Answered by Closed, also when it is unknown."""

    stream: str


class List(_Message, tag="list", frozen=True, kw_only=True):
    """Ask for Listing: what lives here."""


class Ping(_Message, tag="ping", frozen=True, kw_only=True):
    """Ask for Pong: whether the worker still answers."""


class Shutdown(_Message, tag="shutdown", frozen=True, kw_only=True):
    """End politely: recordings are finished, then the process exits."""


Command = (
    Hello
    | Open
    | Connect
    | Bridge
    | Unbridge
    | Join
    | Leave
    | Mute
    | Play
    | StopPlay
    | Record
    | PauseRecord
    | ResumeRecord
    | StopRecord
    | SendDigits
    | Stats
    | Deadline
    | Close
    | List
    | Ping
    | Shutdown
)

# --- events -------------------------------------------------------------------------------------------------------


class Welcome(_Message, tag="welcome", frozen=True, kw_only=True):
    version: int
    pid: int
    worker: str = ""  # its program version
    threads: int = 1
    io: str = ""  # how it waits for its sockets: "uring" or "epoll"


class Failed(_Message, tag="failed", frozen=True, kw_only=True):
    """A command that could not be done. `subject` is the id it named (stream, bridge, play or recording).

    code: "version", "frame", "unknown_stream", "no_ports", "bind", "address", "codec", "srtp", "file", "busy", "limit", "internal",
    "unknown_bridge", "unknown_mix", "unknown_recording".
    """

    op: str
    subject: str = ""
    code: str
    reason: str = ""


class Opened(_Message, tag="opened", frozen=True, kw_only=True):
    stream: str
    address: str
    port: int  # RTP; even
    rtcp_port: int


class Counters(msgspec.Struct, frozen=True, kw_only=True):
    """RTP packets from and to the peer; `bytes` with their RTP headers. RTCP is not counted."""

    packets_in: int = 0
    bytes_in: int = 0
    packets_out: int = 0
    bytes_out: int = 0
    lost_in: int = 0  # by sequence numbers
    strangers: int = 0  # packets from other sources, dropped
    malformed: int = 0
    unauthentic: int = 0  # encrypted wrongly, or replayed; dropped
    flooded: int = 0  # over the limit of packets per second, dropped
    jitter_ms: float = 0.0  # RFC 3550 6.4.1
    round_trip_ms: float = -1.0  # -1 = not known
    remote_lost: int = -1  # from the peer's last report, -1 = none


class Second(msgspec.Struct, frozen=True, kw_only=True):
    """What one second of a stream was like: `in` is what the peer sent, `out` what it was sent, as its reports tell.

    number counts from 0. late: came, but after its time. Negative: not known; a second without packets has no MOS.
    """

    number: int
    received: int
    lost: int
    late: int
    jitter_ms: float
    round_trip_ms: float
    remote_loss: float  # 0 to 1
    remote_jitter_ms: float
    mos_in: float  # 1 to 4.5, ITU-T G.107
    mos_out: float


class Quality(msgspec.Struct, frozen=True, kw_only=True):
    """A stream since its beginning; means and minima of the seconds' opinion scores, negative when there was none."""

    seconds: int = 0
    mos_in: float = -1.0
    mos_out: float = -1.0
    worst_in: float = -1.0
    worst_out: float = -1.0


class StreamStats(_Message, tag="stream_stats", frozen=True, kw_only=True):
    """seconds: those that were not in a StreamStats yet, 64 at most. play, position_ms: what is being played, and how far.
    forwarded: the kernel passes on what the peer says, so that the worker sees none of it."""

    stream: str
    counters: Counters
    quality: Quality = Quality()
    seconds: list[Second] = []
    play: str = ""
    position_ms: int = 0
    forwarded: bool = False


class Closed(_Message, tag="closed", frozen=True, kw_only=True):
    stream: str
    counters: Counters = Counters()
    quality: Quality = Quality()


class Joined(_Message, tag="joined", frozen=True, kw_only=True):
    """members: how many the mix has now."""

    mix: str
    stream: str
    members: int


class Left(_Message, tag="left", frozen=True, kw_only=True):
    """A stream is out of a mix: because of Leave, of its end, or of the mix's by a bug, where Failed(op="join", code="internal")
    comes first."""

    mix: str
    stream: str
    members: int


class Latched(_Message, tag="latched", frozen=True, kw_only=True):
    """Where the peer is found to be, when that is not where it was looked for; again should a likelier one take its place."""

    stream: str
    address: str
    port: int


class Stranger(_Message, tag="stranger", frozen=True, kw_only=True):
    """The first packet from an address that is not the peer's (one event a stream; the counter goes on)."""

    stream: str
    address: str
    port: int


class MediaTimeout(_Message, tag="media_timeout", frozen=True, kw_only=True):
    """Nothing was heard for `silent_ms`. Once, until something is heard again.

    Where comfort noise (CN) was agreed a peer may pause, so its RTCP counts as heard too.
    """

    stream: str
    silent_ms: int


class Digit(_Message, tag="digit", frozen=True, kw_only=True):
    """A key, once per press. source: "rfc4733" or "inband". Which key is not shown in logs: it may be of a PIN."""

    stream: str
    digit: str
    duration_ms: int
    source: str = "rfc4733"

    def __repr__(self) -> str:
        return f"Digit(stream={self.stream!r}, duration_ms={self.duration_ms}, source={self.source!r})"


class PlayEnded(_Message, tag="play_ended", frozen=True, kw_only=True):
    """reason: "finished", "stopped", "replaced", "closed", "failed". `stream` or `mix` is empty, as in Play."""

    stream: str = ""
    play: str
    reason: str
    position_ms: int = 0
    detail: str = ""
    mix: str = ""


class RecordingStarted(_Message, tag="recording_started", frozen=True, kw_only=True):
    recording: str


class RecordingEnded(_Message, tag="recording_ended", frozen=True, kw_only=True):
    """reason: "stopped", "ended" (its bridge or stream went), "max", "silence", "key" (detail is the key), "disk" (detail says
    what; what was written stays). lost_ms: so much of it is silence because the disk could not keep up."""

    recording: str
    path: str
    duration_ms: int
    size_bytes: int
    reason: str
    detail: str = ""
    lost_ms: int = 0


class ListedStream(msgspec.Struct, frozen=True, kw_only=True):
    stream: str
    call: str = ""
    port: int = 0
    forwarded: bool = False


class Listing(_Message, tag="listing", frozen=True, kw_only=True):
    streams: list[ListedStream] = []
    bridges: list[str] = []
    recordings: list[str] = []
    mixes: list[str] = []


class Pong(_Message, tag="pong", frozen=True, kw_only=True):
    """The answer to Ping."""


Event = (
    Welcome
    | Failed
    | Opened
    | StreamStats
    | Closed
    | Joined
    | Left
    | Latched
    | Stranger
    | MediaTimeout
    | Digit
    | PlayEnded
    | RecordingStarted
    | RecordingEnded
    | Listing
    | Pong
)


class EngineLost(msgspec.Struct, frozen=True):
    """The worker is gone, and all streams with it. Made by the client, never on the wire."""

    reason: str = ""


class Engine(Protocol):
    """What call control needs of the media plane. `worker_client.WorkerClient` is the real one, tests have a fake."""

    def send(self, command: Command) -> None:
        """Queue a command. Never blocks, never raises; without a worker the commands are answered by Failed."""
