"""Gather: take keys from the caller, and ask an application what to do with them (behaviour 9; docs/rcml.md, Gather)."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from rcml import notices
from rcml.errors import DocumentError
from rcml.reader import Element, Reader, shown
from rcml.verbs import pause, play, say
from rcml.verbs.invalid import Invalid
from rcml.verbs.pause import Pause
from rcml.verbs.play import Play
from rcml.verbs.say import Say
from rcml.verbs.verb import Verb

TIMEOUT_S = 5
FINISH_ON_KEY = "#"

_ATTRIBUTES = (
    "action", "method", "timeout", "preTimeout", "postTimeout", "finishOnKey", "numDigits", "actionOnEmptyResult", "bargeIn", "input",
    "language", "hints", "partialResultCallback", "partialResultCallbackMethod",
)  # fmt: skip
_PROMPTS: dict[str, Callable[[Element, Reader], Say | Play | Pause | Invalid | None]] = {
    "Say": say.parse,
    "Play": play.parse,
    "Pause": pause.parse,
}
_KEY = re.compile(r"[0-9*#]")
_INPUTS = {"dtmf", "speech"}

Prompt = Say | Play | Pause | Invalid


@dataclass(frozen=True, slots=True)
class Gather(Verb):
    """What to take, and what to say meanwhile.

    action: absolute URL; None: the next verb follows whatever was pressed. first_timeout_s, next_timeout_s: how long the first key,
    counted from the end of the prompts, and each further one is waited for. finish_on_key: one key, "" for none. max_keys: how many end
    it, also without numDigits. keys: False when the document wants to hear nothing but speech. barge_in: a key ends the prompts.
    """

    line: int
    action: str | None = None
    method: str = "POST"
    first_timeout_s: int = TIMEOUT_S
    next_timeout_s: int = TIMEOUT_S
    finish_on_key: str = FINISH_ON_KEY
    max_keys: int = 128
    action_on_empty_result: bool = False
    keys: bool = True
    barge_in: bool = True
    prompts: tuple[Prompt, ...] = ()
    action_invalid: bool = False

    def answers(self, answer_delay: bool) -> bool:
        return True


def parse(element: Element, read: Reader) -> Gather:
    """Read a Gather; whatever is wrong with an attribute, it can be run."""
    read.names(element, *_ATTRIBUTES)
    action, action_invalid = read.action(element)
    timeout_s = read.whole(element, "timeout", TIMEOUT_S, notices.GATHER_TIMEOUT)
    inputs = _inputs(element, read)
    most = read.settings.max_digits
    return Gather(
        line=element.line,
        action=action,
        method=read.method(element, "method", notices.GATHER_METHOD),
        first_timeout_s=read.whole(element, "preTimeout", timeout_s, notices.GATHER_TIMEOUT),
        next_timeout_s=read.whole(element, "postTimeout", timeout_s, notices.GATHER_TIMEOUT),
        finish_on_key=_finish_on_key(element, read),
        max_keys=read.whole(element, "numDigits", most, notices.GATHER_NUM_DIGITS, most=most),
        action_on_empty_result=bool(read.truth(element, "actionOnEmptyResult", False, False)),
        keys="dtmf" in inputs,
        barge_in=bool(read.truth(element, "bargeIn", True, True)),
        prompts=tuple(_prompts(element, read)),
        action_invalid=action_invalid,
    )


def _finish_on_key(element: Element, read: Reader) -> str:
    """One key; an attribute that is there and empty means none."""
    value = element.attributes.get("finishOnKey", FINISH_ON_KEY).strip()
    if not value or _KEY.fullmatch(value):
        return value
    message = f"finishOnKey of <Gather> must be one of 0-9, * and #, or empty, not {shown(value)}; {FINISH_ON_KEY} is used"
    read.warning(notices.GATHER_FINISH_ON_KEY, element.line, message)
    return FINISH_ON_KEY


def _inputs(element: Element, read: Reader) -> set[str]:
    """What is listened to: dtmf, speech, or both, with blanks, commas or an underscore between."""
    value = (element.get("input") or "dtmf").lower()
    words = set(re.split(r"[\s,_]+", value))
    if not words <= _INPUTS:
        message = f"input of <Gather> must be dtmf, speech, or both, not {shown(value)}; dtmf is used"
        read.warning(notices.NOT_CARRIED_OUT, element.line, message)
        return {"dtmf"}
    if "speech" in words:
        rest = "keys are taken all the same" if "dtmf" in words else "it takes nothing, as from a caller who is silent"
        read.error(notices.NOT_CARRIED_OUT, element.line, f"input of <Gather>: no engine that understands speech is configured; {rest}")
    return words


def _prompts(element: Element, read: Reader) -> list[Prompt]:
    if element.text:
        message = f"text in <Gather> is ignored: {shown(element.text)}; a <Say> around it would speak it"
        read.warning(notices.NOT_CARRIED_OUT, element.line, message)
    most = read.settings.max_nouns
    if len(element.children) > most:
        raise DocumentError(f"a <Gather> may hold {most} prompts, this one has {len(element.children)}", element.children[most].line)
    prompts: list[Prompt] = []
    for child in element.children:
        parse_prompt = _PROMPTS.get(child.name)
        if parse_prompt is None:
            message = f"<{child.name}> cannot stand in <Gather> and is ignored: only Say, Play and Pause can"
            read.warning(notices.GATHER_NESTED, child.line, message)
        elif (prompt := parse_prompt(child, read)) is not None:
            prompts.append(prompt)
    return prompts
