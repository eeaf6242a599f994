"""What is otherwise for applications that were written for TwiML (docs/rcml.md, The other dialect): data, one field for each difference.

Attributes that do no harm are carried out in both; only what would contradict is here.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

EVENTS = ("initiated", "ringing", "answered", "completed")


@dataclass(frozen=True, slots=True)
class Dialect:
    """api_version: as requests say it. answer_delay, after_answer: None leaves it to the settings. noun_events: of `statusCallbackEvent`
    when a noun names none. tells_states: `CallStatus` of a leg's callback is the call's state, and `SequenceNumber` counts those that were
    sent; else it is the event and its fixed number. patience_s: for a document, 0 for the setting. tells_bridged: `DialBridged` in the
    action. joins_headers: a SIP header that comes twice is told once (RFC 3261 7.3.1). international: `From` and `To` with their `+`.
    """

    api_version: str = "2012-04-24"
    answer_delay: bool | None = None
    after_answer: Literal["next-verb"] | None = None
    noun_events: tuple[str, ...] = EVENTS
    tells_states: bool = False
    patience_s: float = 0.0
    tells_bridged: bool = False
    joins_headers: bool = False
    international: bool = False


RCML = Dialect()
TWIML = Dialect(
    api_version="2010-04-01",
    answer_delay=False,
    after_answer="next-verb",
    noun_events=("completed",),
    tells_states=True,
    patience_s=15.0,
    tells_bridged=True,
    joins_headers=True,
    international=True,
)
DIALECTS = {"rcml": RCML, "twiml": TWIML}


def joined(headers: Iterable[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    """Each name once, as it was written first; its values divided by commas."""
    values: dict[str, list[str]] = {}
    names: dict[str, str] = {}
    for name, value in headers:
        names.setdefault(name.lower(), name)
        values.setdefault(name.lower(), []).append(value)
    return tuple((names[key], ", ".join(several)) for key, several in values.items())
