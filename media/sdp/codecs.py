"""What we know of each RTP payload format: enough to offer it, to find it in a peer's description, and to answer it.

A new codec is one more `Descriptor` in `DESCRIPTORS` (and in `media.settings.CODECS`); nothing else in `media.sdp` knows a
codec by name.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache


@dataclass(frozen=True, slots=True)
class Encoding:
    """The right side of an rtpmap: `name/clock_rate_hz[/channels]`, the name as written."""

    name: str
    clock_rate_hz: int
    channels: int = 1


def _same(fmtp: str) -> str:
    return fmtp


def _any(_: str) -> bool:
    return True


@dataclass(frozen=True, slots=True)
class Descriptor:
    """One payload format.

    payload_type: the static number, or (96-127) the one we like to use. fmtp: what our offers say. answer_fmtp: makes our
    answer's fmtp from the offer's. accepts: whether an offered fmtp describes something we can do. voice: False for what
    travels beside a voice codec.
    """

    name: str
    clock_rate_hz: int
    payload_type: int
    channels: int = 1
    fmtp: str = ""
    voice: bool = True
    answer_fmtp: Callable[[str], str] = _same
    accepts: Callable[[str], bool] = _any

    def matches(self, encoding: Encoding) -> bool:
        """Names compare without case (RFC 8866 6.6)."""
        return (
            encoding.name.lower() == self.name.lower()
            and encoding.clock_rate_hz == self.clock_rate_hz
            and encoding.channels == self.channels
        )


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


def _answer_events(fmtp: str) -> str:
    return build_events(parse_events(fmtp).intersection(_OUR_EVENTS))


def _has_events(fmtp: str) -> bool:
    return not parse_events(fmtp).isdisjoint(_OUR_EVENTS)


# --- the tables ---------------------------------------------------------------------------------------------------

DESCRIPTORS: Mapping[str, Descriptor] = {
    descriptor.name: descriptor
    for descriptor in (
        Descriptor("PCMU", 8000, 0),
        Descriptor("PCMA", 8000, 8),
        Descriptor(
            "telephone-event",
            8000,
            101,
            fmtp=build_events(frozenset(_OUR_EVENTS)),
            voice=False,
            answer_fmtp=_answer_events,
            accepts=_has_events,
        ),
    )
}

# What a payload type means when no rtpmap says it (RFC 3551 table 4, audio only).
STATIC: Mapping[int, Encoding] = {
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
