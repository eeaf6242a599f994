"""Attributes of Dial that the other dialect brought along: how it is recorded, and which country's ringback is heard.

They are carried out in both dialects (docs/rcml.md).
"""

from __future__ import annotations

from dataclasses import dataclass

from rcml import notices
from rcml.reader import Element, Reader, shown
from rcml.verbs.recording_callback import ATTRIBUTES as CALLBACK_ATTRIBUTES
from rcml.verbs.recording_callback import RecordingCallback, parse_callback

ATTRIBUTES = (
    "hangupOnStar", "ringTone", "sequential", "referUrl", "referMethod", "trim", "recordingTrack", *CALLBACK_ATTRIBUTES,
)  # fmt: skip

# A country without a tone of its own here hears the likest one: most of Europe the tone that the ITU recommends.
_LIKE = {
    "eu": "at be bg ch cl cz dk ee fi gr hu il lt mx nl no pl pt ru se th ve",
    "uk": "my nz sg za",
    "us": "ph tw us-old",
}
_OWN = ("au", "br", "cn", "de", "es", "eu", "fr", "in", "it", "jp", "uk", "us")
RING_TONES = {own: own for own in _OWN} | {country: own for own, countries in _LIKE.items() for country in countries.split()}


@dataclass(frozen=True, slots=True)
class DialRecord:
    """How a Dial is recorded. from_ringing: what the caller says and hears, from the beginning; else the bridge.

    channels: 2 with the caller on the left, 1 with both in one; None: as the server's setting has it. callback: who is told of it.
    """

    from_ringing: bool = False
    channels: int | None = None
    callback: RecordingCallback | None = None


MODES = {
    "true": DialRecord(),
    "record-from-answer": DialRecord(channels=1),
    "record-from-answer-dual": DialRecord(channels=2),
    "record-from-ringing": DialRecord(from_ringing=True, channels=1),
    "record-from-ringing-dual": DialRecord(from_ringing=True, channels=2),
    "false": None,
    "do-not-record": None,
}


def record_of(element: Element, read: Reader) -> DialRecord | None:
    """None: nothing is recorded."""
    callback = parse_callback(element, read)
    value = element.get("record")
    if value is None:
        return None
    if value.lower() not in MODES:
        known = ", ".join(MODES)
        read.warning(
            notices.NOT_CARRIED_OUT, element.line, f"record of <Dial> cannot be {shown(value)}; nothing is recorded. Known are {known}"
        )
    mode = MODES.get(value.lower())
    if mode is None:
        return None
    _warn(element, read, "trim", "do-not-trim", "silence at its ends stays in the recording")
    _warn(element, read, "recordingTrack", "both", "both parties are recorded")
    return DialRecord(mode.from_ringing, mode.channels, callback)


def _warn(element: Element, read: Reader, name: str, done: str, instead: str) -> None:
    """What is known and not carried out."""
    value = element.get(name)
    if value is not None and value.lower() != done:
        read.warning(notices.NOT_CARRIED_OUT, element.line, f"{name} of <Dial> cannot be {shown(value)} yet: {instead}")


def ring_tone_of(element: Element, read: Reader) -> str | None:
    """Whose ringback the caller hears, None for the server's."""
    value = element.get("ringTone")
    if value is None:
        return None
    tone = RING_TONES.get(value.lower())
    if tone is None:
        text = f"ringTone of <Dial>: no country is known as {shown(value)}; the server's own is heard"
        read.warning(notices.NOT_CARRIED_OUT, element.line, text)
    return tone
