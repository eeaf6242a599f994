"""What we know of each RTP payload format: enough to offer it, to find it in a peer's description, and to answer it.

A setting names a codec (`media.settings.KNOWN_CODECS`); it stands for one descriptor or several, which differ in clock rate or
channels. A new codec is one more line in `DESCRIPTORS`; nothing else in `media.sdp` knows a codec by name.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from media.engine import Codec


@dataclass(frozen=True, slots=True)
class Encoding:
    """The right side of an rtpmap: `name/clock_rate_hz[/channels]`, the name as written."""

    name: str
    clock_rate_hz: int
    channels: int = 1

    @property
    def key(self) -> str:
        """What two spellings of the same format have in common: names compare without case (RFC 8866 6.6)."""
        return str(self).lower()

    def __str__(self) -> str:
        return f"{self.name}/{self.clock_rate_hz}" + (f"/{self.channels}" if self.channels > 1 else "")


# What we write as fmtp. offered: the peer's, None when we make the offer. other: that of the leg which this one is to be
# joined with, None when it is not known or has another codec. far_hz: the sampling rate that is of use to that leg, 0 any.
Fmtp = Callable[[str | None, str | None, int], str]


def _echo(offered: str | None, other: str | None, far_hz: int) -> str:
    return offered or ""


def _any(_: str) -> bool:
    return True


def _tens(ptime_ms: int) -> int:
    return ptime_ms


@dataclass(frozen=True, slots=True)
class Descriptor:
    """One payload format.

    payload_type: the static number, or (96-127) the one we like to use. fmtp: see `Fmtp`. accepts: whether an offered fmtp
    describes something we can do. voice: False for what travels beside a voice codec. relayed: we neither speak nor hear
    it, packets can only pass to a leg with the same. on_request: offered only when the other leg has it. any_channels: a
    peer may write another number of channels and mean this. packet_ms: the packet length to send for an agreed ptime.
    """

    encoding: Encoding
    payload_type: int
    fmtp: Fmtp = _echo
    voice: bool = True
    relayed: bool = False
    on_request: bool = False
    any_channels: bool = False
    accepts: Callable[[str], bool] = _any
    packet_ms: Callable[[int], int] = _tens

    @property
    def name(self) -> str:
        return self.encoding.name

    @property
    def clock_rate_hz(self) -> int:
        return self.encoding.clock_rate_hz

    @property
    def key(self) -> str:
        return self.encoding.key

    def matches(self, encoding: Encoding) -> bool:
        same_channels = self.any_channels or encoding.channels == self.encoding.channels
        return same_channels and (encoding.name.lower(), encoding.clock_rate_hz) == (self.name.lower(), self.clock_rate_hz)

    def codec(self, payload_type: int, fmtp: str) -> Codec:
        """As the engine wants it."""
        name, rate, channels = self.name, self.clock_rate_hz, self.encoding.channels
        return Codec(payload_type=payload_type, name=name, clock_rate_hz=rate, channels=channels, fmtp=fmtp)

    def wish(self, codecs: Iterable[Codec]) -> Codec | None:
        """This format among another leg's."""
        return next((codec for codec in codecs if self.matches(Encoding(codec.name, codec.clock_rate_hz, codec.channels))), None)


# --- telephone-event ----------------------------------------------------------------------------------------------

_OUR_EVENTS = range(17)  # 0-9 * # A-D and flash
_DEFAULT_EVENTS = "0-15"  # what a missing fmtp means (RFC 4733 2.4.1)
# events = event / event "-" event, comma-separated (RFC 4733 2.4.1)
_EVENTS = re.compile(r"\d{1,3}(?:-\d{1,3})?(?:\s*,\s*\d{1,3}(?:-\d{1,3})?)*")


MAX_EVENTS_TEXT = 200


def parse_events(fmtp: str) -> frozenset[int]:
    """Event numbers of a telephone-event fmtp; an absent, unreadable or endless one means the DTMF keys.

    Source: RFC 4733 2.4.1.
    """
    return _parse_events(fmtp if len(fmtp) <= MAX_EVENTS_TEXT else "")


@lru_cache(maxsize=256)  # the same few texts in nearly every description
def _parse_events(fmtp: str) -> frozenset[int]:
    text = fmtp.strip()
    if text.lower().startswith("events="):  # the registered parameter's name, written by some
        text = text[len("events=") :].strip()
    if not _EVENTS.fullmatch(text):
        text = _DEFAULT_EVENTS
    events: set[int] = set()
    for part in text.split(","):
        first, _, last = part.strip().partition("-")
        events.update(range(int(first), min(int(last or first), 255) + 1))
    return frozenset(events)


def build_events(events: frozenset[int]) -> str:
    """The shortest fmtp for a set of event numbers, "" for none."""
    runs: list[list[int]] = []
    for event in sorted(events):
        if runs and runs[-1][1] == event - 1:
            runs[-1][1] = event
        else:
            runs.append([event, event])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in runs)


def _events_fmtp(offered: str | None, other: str | None, far_hz: int) -> str:
    ours = frozenset(_OUR_EVENTS)
    return build_events(ours if offered is None else parse_events(offered) & ours)


def _has_events(fmtp: str) -> bool:
    return not parse_events(fmtp).isdisjoint(_OUR_EVENTS)


# --- opus ---------------------------------------------------------------------------------------------------------

# What a receiver wants, and what a sender is likely to send: of use to the far end, since equal codecs pass as they are.
_OPUS_PASSED = ("maxplaybackrate", "sprop-maxcapturerate", "maxaveragebitrate", "stereo", "sprop-stereo", "cbr", "usedtx")
_OPUS_RATES = (8000, 12_000, 16_000, 24_000, 48_000)  # of its bandwidths (RFC 7587 6.1)
# parameter = name "=" value, parted by ";" (RFC 7587 6.1); all values are numbers
_PARAMETER = re.compile(r"\s*(?P<name>[A-Za-z-]{1,32})\s*=\s*(?P<value>\d{1,6})\s*", re.ASCII)


def parse_parameters(fmtp: str) -> dict[str, int]:
    """The numeric parameters of an fmtp, by lower-case name; what is not of that form is left out."""
    found = (_PARAMETER.fullmatch(part) for part in fmtp.split(";")[:32])
    return {match["name"].lower(): int(match["value"]) for match in found if match}


def _opus_fmtp(offered: str | None, other: str | None, far_hz: int) -> str:
    """What we want to get: copies against loss, and whatever the leg behind us wants of its sender.

    A leg of another codec gets no more than the sound that it can carry: the rest would cost the phone its bandwidth, and us
    a decoder that takes four times as long, to be thrown away.

    Each side states its own wishes, nothing is negotiated (RFC 7587 7.1). We hear stereo as mono, so it is wanted only
    where another leg does. A constant bit rate is wanted to hide what is said (RFC 6562), so it is of use both ways only.
    """
    wishes = {"useinbandfec": 1}
    far = parse_parameters(other or "")
    if other is None and far_hz:
        wishes["maxplaybackrate"] = next(rate for rate in _OPUS_RATES if rate >= min(far_hz, 48_000))
    wishes.update((name, far[name]) for name in _OPUS_PASSED if name in far)
    if parse_parameters(offered or "").get("cbr") == 1:
        wishes["cbr"] = 1
    return ";".join(f"{name}={value}" for name, value in wishes.items())


def _opus_packet_ms(ptime_ms: int) -> int:
    """Opus has no frames of 30 or 50 ms (RFC 6716 2.1.4)."""
    return max(length for length in (10, 20, 40, 60) if length <= max(ptime_ms, 10))


# --- the others ---------------------------------------------------------------------------------------------------

_MAX_PAYLOAD = 1400  # what a network carries in one piece


def _g729_fmtp(offered: str | None, other: str | None, far_hz: int) -> str:
    """No silence frames on either leg: whoever says `no` decides, and a missing word would mean `yes` (RFC 7261 3)."""
    return "annexb=no"


def _l16(payload_type: int, rate_hz: int, channels: int = 1, *, on_request: bool = False) -> Descriptor:
    octets_in_10_ms = rate_hz // 100 * 2 * channels
    longest_ms = _MAX_PAYLOAD // octets_in_10_ms * 10 or 10

    def packet_ms(ptime_ms: int) -> int:
        return min(ptime_ms, longest_ms)

    return Descriptor(Encoding("L16", rate_hz, channels), payload_type, on_request=on_request, packet_ms=packet_ms)


def _events(payload_type: int, rate_hz: int) -> Descriptor:
    return Descriptor(Encoding("telephone-event", rate_hz), payload_type, _events_fmtp, voice=False, accepts=_has_events)


# --- the tables ---------------------------------------------------------------------------------------------------

DESCRIPTORS: Final[Mapping[str, tuple[Descriptor, ...]]] = {
    "PCMU": (Descriptor(Encoding("PCMU", 8000), 0),),
    "PCMA": (Descriptor(Encoding("PCMA", 8000), 8),),
    # The clock of G.722 is 8 kHz by an old mistake, its sound is 16 kHz (RFC 3551 4.5.2).
    "G722": (Descriptor(Encoding("G722", 8000), 9),),
    # Two channels in its rtpmap whatever is sent (RFC 7587 4.1); some devices leave them out.
    "opus": (Descriptor(Encoding("opus", 48_000, 2), 111, _opus_fmtp, any_channels=True, packet_ms=_opus_packet_ms),),
    "L16": (
        _l16(112, 16_000),
        _l16(113, 8000),
        _l16(114, 48_000),
        _l16(11, 44_100, on_request=True),
        _l16(10, 44_100, 2, on_request=True),
    ),
    "G729": (Descriptor(Encoding("G729", 8000), 18, _g729_fmtp, relayed=True, on_request=True),),
    "CN": (Descriptor(Encoding("CN", 8000), 13, voice=False),),
    # One for each clock of a voice codec (RFC 4733 2.3).
    "telephone-event": (_events(101, 8000), _events(110, 48_000), _events(115, 16_000), _events(116, 44_100)),
}
_BESIDE = frozenset(one.name.lower() for all_of_it in DESCRIPTORS.values() for one in all_of_it if not one.voice)
_RELAYED = frozenset(one.name.lower() for all_of_it in DESCRIPTORS.values() for one in all_of_it if one.relayed)


def is_voice(codec: Codec) -> bool:
    """Not one of those that travel beside a voice codec."""
    return codec.name.lower() not in _BESIDE


def is_relayed(codec: Codec) -> bool:
    """A voice codec that we neither speak nor hear: it can only pass."""
    return codec.name.lower() in _RELAYED


def sampling_hz(codec: Codec) -> int:
    """Of its sound, which is not always that of its clock: G.722 says 8 kHz there (RFC 3551 4.5.2)."""
    return 16_000 if codec.name.lower() == "g722" else codec.clock_rate_hz


# What a payload type means when no rtpmap says it (RFC 3551 table 4, audio only).
STATIC: Final[Mapping[int, Encoding]] = {
    0: Encoding("PCMU", 8000),
    3: Encoding("GSM", 8000),
    4: Encoding("G723", 8000),
    5: Encoding("DVI4", 8000),
    6: Encoding("DVI4", 16000),
    7: Encoding("LPC", 8000),
    8: Encoding("PCMA", 8000),
    9: Encoding("G722", 8000),
    10: Encoding("L16", 44100, 2),
    11: Encoding("L16", 44100),
    12: Encoding("QCELP", 8000),
    13: Encoding("CN", 8000),
    14: Encoding("MPA", 90000),
    15: Encoding("G728", 8000),
    16: Encoding("DVI4", 11025),
    17: Encoding("DVI4", 22050),
    18: Encoding("G729", 8000),
}
FIRST_DYNAMIC = 96
LAST_DYNAMIC = 127

# Other spellings of a name in the field: with the dot of its recommendation, or with the annexes, which its fmtp would tell.
_SPELLINGS: Final[Mapping[str, str]] = {
    "g.722": "G722",
    "g.729": "G729",
    "g729a": "G729",
    "g.729a": "G729",
    "g729b": "G729",
    "g729ab": "G729",
    "g.729ab": "G729",
    "g.711u": "PCMU",
    "g711u": "PCMU",
    "g.711a": "PCMA",
    "g711a": "PCMA",
}
# Codecs whose rtpmap can name one clock only; what else it says is a slip, mostly the sampling rate of the sound.
_ONE_CLOCK: Final[Mapping[str, int]] = {"g722": 8000, "g729": 8000, "opus": 48_000}
# Static numbers whose codec is named by others with other clocks: only there is a rate more than a slip.
_MANY_CLOCKS: Final = frozenset({"l16", "dvi4"})


def understood(payload_type: int, written: Encoding) -> Encoding:
    """What an rtpmap means, as the field writes it.

    A static number whose rtpmap names its own codec is what the static table says: `9 G722/16000` tells the rate of the
    sound where the RTP clock belongs, which is 8000 by an old mistake (RFC 3551 4.5.2, 6). A codec with a single clock
    has it under a dynamic number too. Another name is taken at its word.
    """
    name = _SPELLINGS.get(written.name.lower(), written.name)
    static = STATIC.get(payload_type)
    if static is not None and name.lower() == static.name.lower() and name.lower() not in _MANY_CLOCKS:
        return static
    return Encoding(name, _ONE_CLOCK.get(name.lower(), written.clock_rate_hz), written.channels)
