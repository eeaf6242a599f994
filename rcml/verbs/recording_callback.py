"""Where the progress of a recording is reported: attributes that every verb with a recording has alike."""

from __future__ import annotations

import re
from dataclasses import dataclass

from rcml import notices
from rcml.reader import Element, Reader, shown

EVENTS = ("in-progress", "completed", "absent")
ATTRIBUTES = ("recordingStatusCallback", "recordingStatusCallbackMethod", "recordingStatusCallbackEvent")


@dataclass(frozen=True, slots=True)
class RecordingCallback:
    """url: absolute. events: some of EVENTS. absent: it is over, and there is nothing to be heard."""

    url: str
    method: str = "POST"
    events: frozenset[str] = frozenset({"completed"})


def parse_callback(element: Element, read: Reader) -> RecordingCallback | None:
    """None without a URL, or with one that is none (a notice says so)."""
    url = read.url_of(element, "recordingStatusCallback")
    method = read.method(element, "recordingStatusCallbackMethod", notices.NOT_CARRIED_OUT)
    events = _events(element, read)
    return None if url is None else RecordingCallback(url, method, events)


def _events(element: Element, read: Reader) -> frozenset[str]:
    """Divided by commas or blanks; what is no event is named and left out, and nothing at all means `completed`."""
    asked = [word for word in re.split(r"[\s,]+", (element.get("recordingStatusCallbackEvent") or "").lower()) if word]
    for word in asked:
        if word not in EVENTS:
            message = f"recordingStatusCallbackEvent of <{element.name}>: {shown(word)} is no event; known are {', '.join(EVENTS)}"
            read.warning(notices.NOT_CARRIED_OUT, element.line, message)
    return frozenset(asked) & frozenset(EVENTS) or frozenset({"completed"})
