"""Refer: ask the phone of the caller to call somebody else (REFER, sent by us; docs/rcml.md, Refer)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from rcml import notices
from rcml.reader import Element, Reader, shown
from rcml.verbs.verb import Verb

MAX_TARGET = 255  # characters


@dataclass(frozen=True, slots=True)
class Refer(Verb):
    """target: a SIP URI, or a name or number that is one at this server. action: absolute URL; None: the next verb follows."""

    line: int
    target: str
    action: str | None = None
    method: str = "POST"
    action_invalid: bool = False
    beside_a_call: ClassVar[bool] = False

    def answers(self, answer_delay: bool) -> bool:
        return True

    @property
    def does_nothing(self) -> str | None:
        return None if self.target else ""


def parse(element: Element, read: Reader) -> Refer:
    """The target stands in the verb or in a <Sip> within it. Without one that can be used the verb is skipped, with an error."""
    read.names(element, "action", "method")
    action, action_invalid = read.action(element)
    nested = next((child.text for child in element.children if child.name == "Sip" and child.text), "")
    target = nested or element.text
    if not target or len(target) > MAX_TARGET or any(sign in '<>"\r\n\x00 ' or not sign.isprintable() for sign in target):
        read.error(
            notices.NOT_CARRIED_OUT, element.line, f"<Refer> needs a SIP URI of at most {MAX_TARGET} characters, not {shown(target)}"
        )
        target = ""
    return Refer(
        line=element.line,
        target=target,
        action=action,
        method=read.method(element, "method", notices.NOT_CARRIED_OUT),
        action_invalid=action_invalid,
    )
