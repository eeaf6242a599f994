"""Resume: take the caller back from hold (docs/rcml.md, Resume)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from rcml import notices
from rcml.reader import Element, Reader
from rcml.verbs.verb import Verb


@dataclass(frozen=True, slots=True)
class Resume(Verb):
    """action: absolute URL; None: the next verb follows."""

    line: int
    action: str | None = None
    method: str = "POST"
    action_invalid: bool = False
    beside_a_call: ClassVar[bool] = False

    def answers(self, answer_delay: bool) -> bool:
        return True


def parse(element: Element, read: Reader) -> Resume:
    read.names(element, "action", "method")
    action, action_invalid = read.action(element)
    return Resume(
        line=element.line,
        action=action,
        method=read.method(element, "method", notices.NOT_CARRIED_OUT),
        action_invalid=action_invalid,
    )
