"""Record: record what the caller says (behaviour 7; docs/rcml.md, Record)."""

from __future__ import annotations

import re
from dataclasses import dataclass

from rcml import notices
from rcml.reader import Element, Reader, shown
from rcml.verbs.recording_callback import ATTRIBUTES as CALLBACK_ATTRIBUTES
from rcml.verbs.recording_callback import RecordingCallback, parse_callback
from rcml.verbs.verb import Verb

SILENCE_S = 5
MAX_LENGTH_S = 3600
LONGEST_S = 14_400
ALL_KEYS = "1234567890*#"

_ATTRIBUTES = ("action", "method", "timeout", "finishOnKey", "maxLength", "playBeep")
# Of the page of old and of others: known by name, and not done.
_WITHOUT_EFFECT = ("transcribe", "transcribeCallback", "transcribeLanguage", "media", "trim")
_KEYS = re.compile(r"[0-9*#]+")


@dataclass(frozen=True, slots=True)
class Record(Verb):
    """What ends it, besides the caller.

    action: absolute URL, asked when something was recorded; None: the next verb. silence_s: seconds of silence. finish_on_keys: any of
    these, "" for none. callback: where its progress is reported.
    """

    line: int
    action: str | None = None
    method: str = "POST"
    silence_s: int = SILENCE_S
    finish_on_keys: str = ALL_KEYS
    max_length_s: int = MAX_LENGTH_S
    play_beep: bool = True
    callback: RecordingCallback | None = None
    action_invalid: bool = False

    def answers(self, answer_delay: bool) -> bool:
        return True


def parse(element: Element, read: Reader) -> Record:
    """Read a Record; whatever is wrong with an attribute, it can be run."""
    read.names(element, *_ATTRIBUTES, *CALLBACK_ATTRIBUTES, *_WITHOUT_EFFECT)
    for name in _WITHOUT_EFFECT:
        if (element.get(name) or "false").lower() not in ("false", "do-not-trim", "audio"):
            read.warning(notices.NOT_CARRIED_OUT, element.line, f"{name} of <Record> has no effect here")
    action, action_invalid = read.action(element)
    return Record(
        line=element.line,
        action=action,
        method=read.method(element, "method", notices.RECORD_METHOD),
        silence_s=read.whole(element, "timeout", SILENCE_S, notices.RECORD_NUMBER),
        finish_on_keys=_finish_on_keys(element, read),
        max_length_s=read.whole(element, "maxLength", MAX_LENGTH_S, notices.RECORD_NUMBER, most=LONGEST_S),
        play_beep=bool(read.truth(element, "playBeep", True, True)),
        callback=parse_callback(element, read),
        action_invalid=action_invalid,
    )


def _finish_on_keys(element: Element, read: Reader) -> str:
    value = element.attributes.get("finishOnKey", ALL_KEYS).strip()
    if value in ("", "-1"):
        return ""
    if _KEYS.fullmatch(value):
        return "".join(dict.fromkeys(value))
    message = f"finishOnKey of <Record> must be of 0-9, * and #, or -1 for none, not {shown(value)}; any key ends it"
    read.warning(notices.RECORD_FINISH_ON_KEY, element.line, message)
    return ALL_KEYS
