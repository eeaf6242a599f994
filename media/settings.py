"""Knobs of the media package. Paths left empty are derived from the server's state directory by whoever loads this."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationInfo, field_validator, model_validator

# whose tones the worker knows, as in ITU-T E.180; eu is what the recommendation itself gives
ToneCountry = Literal["au", "br", "cn", "de", "es", "eu", "fr", "in", "it", "jp", "uk", "us"]
SrtpPolicy = Literal["forbidden", "optional", "mandatory"]
# what media.sdp.crypto describes; the suite that every implementation has comes first
SRTP_SUITES = (
    "AES_CM_128_HMAC_SHA1_80",
    "AES_256_CM_HMAC_SHA1_80",
    "AEAD_AES_128_GCM",
    "AEAD_AES_256_GCM",
    "AES_CM_128_HMAC_SHA1_32",
    "AES_256_CM_HMAC_SHA1_32",
)
KNOWN_CODECS = ("PCMU", "PCMA", "G722", "opus", "L16", "G729", "CN", "telephone-event")  # what media.sdp.codecs describes
# First what costs nothing toward a trunk; the wideband codecs are there for whoever has them.
CODECS = ("PCMU", "PCMA", "G722", "opus", "telephone-event", "CN")


class _Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class PromptSettings(_Settings):
    """Audio files that the application names: fetched, decoded once, and cached."""

    cache_dir: str = Field(default="", description="Directory of decoded prompts; empty means `prompts` in the state directory.")
    cache_max_bytes: int = Field(
        default=512 * 1024 * 1024, ge=0, description="Octets that cached prompts may fill; the least recently used go first."
    )
    cache_max_age_s: float = Field(default=7 * 86400.0, ge=0, description="Seconds after its last use that a cached prompt is deleted.")
    fresh_s: float = Field(default=60.0, ge=0, description="Seconds that a fetched prompt is played without asking its server again.")
    stale_if_error_s: float = Field(
        default=3600.0, ge=0, description="Seconds that a prompt is still played when its server does not answer or fails; 0 means never."
    )
    negative_s: float = Field(
        default=5.0, ge=0, description="Seconds that a failed fetch or decode is remembered, so that a busy call does not hammer it."
    )
    max_download_bytes: int = Field(default=32 * 1024 * 1024, gt=0, description="Octets that one audio file may have on the wire.")
    max_duration_s: float = Field(default=1800.0, gt=0, description="Seconds of audio that one file may hold; longer files are refused.")
    decode_timeout_s: float = Field(default=30.0, gt=0, description="Seconds that the decoding of one file may take.")
    decoders: int = Field(default=2, ge=1, le=64, description="Files that are decoded at the same time.")


class SpeechSettings(_Settings):
    """Text to speech for `<Say>`."""

    command: tuple[str, ...] = Field(
        default=(),
        description="External engine as an argument list with {language} {voice} {output}; the text comes on its standard input "
        "(SSML when it begins with <speak), and it writes a WAV to {output}; empty means the built-in engine.",
    )
    url: str = Field(
        default="",
        description="External engine behind HTTP: it is sent a POST with JSON (text, ssml, voice, language), and answers 200 with audio; "
        "empty means none.",
    )
    token: SecretStr = Field(default=SecretStr(""), description="Bearer token for that engine; empty sends none.")
    max_answer_bytes: int = Field(default=16 * 1024 * 1024, gt=0, description="Octets that the audio of that engine may have.")
    cache_dir: str = Field(default="", description="Directory of spoken texts; empty means `speech` in the state directory.")
    cache_max_bytes: int = Field(
        default=256 * 1024 * 1024, ge=0, description="Octets that spoken texts may fill; the least recently used go first."
    )
    cache_max_age_s: float = Field(default=30 * 86400.0, ge=0, description="Seconds after its last use that a spoken text is deleted.")
    max_characters: int = Field(default=4096, gt=0, description="Characters that one text may have.")
    max_duration_s: float = Field(default=600.0, gt=0, description="Seconds of speech that one text may give.")
    timeout_s: float = Field(default=20.0, gt=0, description="Seconds that speaking one text may take.")
    processes: int = Field(default=2, ge=1, le=16, description="Texts that are spoken at the same time.")
    words_per_minute: int = Field(default=165, ge=80, le=450, description="Speaking rate of the built-in engine, in words per minute.")


class MediaSettings(_Settings):
    """The media worker, what is offered in SDP, recordings, prompts and speech."""

    # the worker
    socket_path: str = Field(default="", description="Unix socket of the media worker; empty means `media.sock` in the state directory.")
    worker_binary: str = Field(
        default="",
        description="Path of the media worker's program; empty means: look beside the Python interpreter, on PATH, and in a source tree.",
    )
    worker_threads: int = Field(default=1, ge=1, le=256, description="Threads of the worker that carry RTP.")
    worker_io: Literal["auto", "uring", "epoll"] = Field(
        default="auto",
        description="How the worker waits for its sockets: by io_uring, by epoll, or `auto`, by io_uring where the kernel allows it.",
    )
    worker_start_timeout_s: float = Field(default=10.0, gt=0, description="Seconds that a started worker may take to listen on its socket.")
    worker_stop_timeout_s: float = Field(default=5.0, gt=0, description="Seconds that a worker may take to finish its recordings and exit.")
    worker_hung_s: float = Field(
        default=10.0,
        ge=2,
        description="Seconds without an answer after which a worker is killed and replaced; from 2 s on, new calls are refused.",
    )
    worker_restart_max_s: float = Field(
        default=10.0, gt=0, description="Longest pause, in seconds, between attempts to restart a dead worker."
    )
    worker_idle_exit_s: int = Field(
        default=300, ge=0, description="Seconds after which a worker without control process and calls exits by itself; 0 means never."
    )
    worker_prompt_cache_mib: int = Field(default=64, ge=0, description="Mebibytes of prompts that the worker keeps when nobody hears them.")
    worker_record_buffer_mib: int = Field(
        default=32, ge=1, description="Mebibytes of recordings that may wait for a slow disk before they get gaps."
    )
    worker_mix_members: int = Field(default=40, ge=2, le=100, description="Members that one conference may have in the worker.")
    worker_max_packets_per_second: int = Field(
        default=1000,
        ge=0,
        le=1_000_000,
        description="Packets a second of one stream's peer beyond which they are dropped; 0 means no limit.",
    )
    worker_forward: str = Field(
        default="",
        description="Directory in which `dialplane-media forward` has prepared the kernel to forward plain bridges; empty means that the "
        "worker relays all packets itself.",
    )
    worker_log_level: Literal["debug", "info", "warning", "error"] = Field(default="info", description="What the worker writes to the log.")
    send_buffer_bytes: int = Field(
        default=8 * 1024 * 1024,
        ge=65536,
        description="Octets of commands that may wait for a worker that does not read; more is treated as a dead worker.",
    )

    # addresses and ports
    port_min: int = Field(default=20000, ge=1024, le=65534, description="First UDP port for RTP and RTCP.")
    port_max: int = Field(default=29999, ge=1025, le=65535, description="Last UDP port for RTP and RTCP.")
    bind_address: str = Field(
        default="", description="IPv4 address that RTP sockets bind; empty means the address on which the call's SIP arrived or leaves."
    )
    bind_address_v6: str = Field(
        default="", description="IPv6 address that RTP sockets bind; empty means the address on which the call's SIP arrived or leaves."
    )
    advertised_address: str = Field(default="", description="IPv4 address written into SDP, as behind NAT; empty means the bound address.")
    advertised_address_v6: str = Field(default="", description="IPv6 address written into SDP; empty means the bound address.")
    dscp: int = Field(default=46, ge=0, le=63, description="DSCP of RTP and RTCP packets; 46 is expedited forwarding (RFC 3246).")

    # what is agreed
    codecs: tuple[str, ...] = Field(
        default=CODECS,
        description="Codecs offered and accepted, the most wanted first: "
        + ", ".join(KNOWN_CODECS)
        + "; G729 only passes between two legs that both have it.",
    )
    answer_single_codec: bool = Field(
        default=True,
        description="Answer an offer with one voice codec (and telephone-event), so that the peer cannot change it in mid-call.",
    )
    ptime_ms: Literal[10, 20, 30, 40, 60] = Field(
        default=20, description="Milliseconds of audio per packet that we ask for and send by default."
    )
    inband_digits: Literal["auto", "off"] = Field(
        default="auto",
        description="Listen for keys as tones in the audio of a peer with which no telephone-event was agreed (`auto`), or never (`off`).",
    )
    offer_rtcp_mux: bool = Field(
        default=False, description="Offer RTCP on the RTP port (RFC 5761); it is always accepted when the peer offers it."
    )
    srtp: SrtpPolicy = Field(
        default="forbidden",
        description="Encrypted media with keys in the SDP (use SIP over TLS with it): `forbidden`, `optional` (offered beside plain media "
        "and taken when offered), or `mandatory` (calls without it are refused).",
    )
    srtp_suites: tuple[str, ...] = Field(
        default=SRTP_SUITES, description="Crypto suites offered and accepted, the most wanted first: " + ", ".join(SRTP_SUITES) + "."
    )
    latch: bool = Field(
        default=True,
        description="Send RTP to where the peer's RTP really comes from when that differs from its SDP (symmetric RTP behind NAT).",
    )
    media_timeout_s: float = Field(
        default=60.0, ge=0, description="Seconds of silence on the wire after which media counts as lost; 0 turns it off."
    )
    orphan_s: float = Field(
        default=60.0,
        ge=0,
        description="Seconds that a call's media goes on in the worker while no control process is connected; 0 means for ever.",
    )

    # recordings
    recordings_dir: str = Field(default="", description="Directory of recordings; empty means `recordings` in the state directory.")
    recording_channels: Literal["mono", "stereo"] = Field(
        default="mono", description="`mono` mixes both parties into one channel, `stereo` puts the caller left and the callee right."
    )

    prompts: PromptSettings = Field(default=PromptSettings(), description="Audio files for `<Play>` and dialMusic.")
    speech: SpeechSettings = Field(default=SpeechSettings(), description="Text to speech for `<Say>`.")

    @field_validator("bind_address", "bind_address_v6", "advertised_address", "advertised_address_v6")
    @classmethod
    def _literals(cls, text: str, info: ValidationInfo) -> str:
        kind = IPv6Address if str(info.field_name).endswith("_v6") else IPv4Address
        try:
            usable = not text or (kind(text) and "%" not in text)
        except ValueError:
            usable = False
        if not usable:
            raise ValueError(f"{text} is no {kind.__name__[:4]} address; names are not looked up")
        return text

    @field_validator("codecs")
    @classmethod
    def _known_codecs(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        known = {name.lower(): name for name in KNOWN_CODECS}
        unknown = [name for name in names if name.lower() not in known]
        if unknown:
            raise ValueError(f"unknown codec {', '.join(unknown)}; known are {', '.join(KNOWN_CODECS)}")
        spelled = tuple(dict.fromkeys(known[name.lower()] for name in names))
        if set(spelled) <= {"telephone-event", "CN", "G729"}:
            raise ValueError("at least one voice codec is needed that can be spoken here (not G729 alone)")
        return spelled

    @field_validator("srtp_suites")
    @classmethod
    def _known_suites(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        spelled = tuple(dict.fromkeys(name.upper() for name in names))
        unknown = [name for name in spelled if name not in SRTP_SUITES]
        if unknown or not spelled:
            raise ValueError(f"unknown crypto suite {', '.join(unknown) or '(none)'}; known are {', '.join(SRTP_SUITES)}")
        return spelled

    @model_validator(mode="after")
    def _port_range(self) -> MediaSettings:
        first_even = self.port_min + self.port_min % 2
        if first_even + 1 > self.port_max:
            raise ValueError("port_min to port_max must hold an even port and the odd one after it")
        return self
