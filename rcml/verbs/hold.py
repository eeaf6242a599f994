"""Hold: put the caller on hold by a re-INVITE, with music or silence, until Resume (docs/rcml.md, Hold)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from rcml import notices
from rcml.reader import Element, Reader
from rcml.verbs.verb import Verb


@dataclass(frozen=True, slots=True)
class Hold(Verb):
    """music: absolute URL of what is heard meanwhile, None for silence. action: absolute URL; None: the next verb follows."""

    line: int
    music: str | None = None
    action: str | None = None
    method: str = "POST"
    action_invalid: bool = False
    beside_a_call: ClassVar[bool] = False

    def answers(self, answer_delay: bool) -> bool:
        return True


def parse(element: Element, read: Reader) -> Hold:
    read.names(element, "action", "method", "holdMusic")
    action, action_invalid = read.action(element)
    return Hold(
        line=element.line,
        music=read.url_of(element, "holdMusic"),
        action=action,
        method=read.method(element, "method", notices.NOT_CARRIED_OUT),
        action_invalid=action_invalid,
    )
