"""Dial: connect the caller to someone else (docs/rcml.md; behaviour 2)."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import ClassVar

from rcml import notices
from rcml.errors import DocumentError
from rcml.numbers import is_number, telephone_number, trimmed
from rcml.reader import Element, Reader, shown
from rcml.verbs.dial_extras import ATTRIBUTES as MORE_ATTRIBUTES
from rcml.verbs.dial_extras import DialRecord, record_of, ring_tone_of
from rcml.verbs.nouns import (
    Client,
    Conference,
    Noun,
    Number,
    Sip,
    parse_client,
    parse_conference,
    parse_number,
    parse_sip,
)
from rcml.verbs.verb import Verb

__all__ = ["Client", "Conference", "Dial", "Noun", "Number", "Sip", "parse"]

TIMEOUT_S = 30
TIME_LIMIT_S = 14_400

_ATTRIBUTES = (
    "action", "method", "timeout", "timelimit", "timeLimit", "callerId", "record", "dialMusic", "answerOnBridge", *MORE_ATTRIBUTES,
)  # fmt: skip
_NOUNS: dict[str, Callable[[Element, Reader, str], Noun | None]] = {
    "Number": parse_number,
    "Client": parse_client,
    "Sip": parse_sip,
    "Uri": parse_sip,  # its name of old
    "Conference": parse_conference,
}
_NOT_IN_A_CALLER_ID = re.compile(r'[\x00-\x20\x7f-\x9f<>"\\]')


@dataclass(frozen=True, slots=True)
class Dial(Verb):
    """Whom to call, and how.

    action: absolute URL, asked once when the Dial is over; None without one. action_invalid: one was given, and it is no
    URL, so that the call ends with the Dial (behaviour 0.11). dial_music: absolute URL of a WAV; dial_music_disabled: no
    sound at all. answer_on_bridge: None leaves it to the server's setting. nouns: all called at once, in the order of the
    document, or one after another when `sequential`; a Conference stands alone; none at all makes the Dial a no-op.
    record: None records nothing. hangup_on_star: the caller's * hangs up on the called party. ring_tone: a country of ITU-T E.180
    whose ringback is heard, None for the server's. refer_url: asked when one of the two hands the call over (REFER).
    """

    line: int
    action: str | None = None
    method: str = "POST"
    timeout_s: int = TIMEOUT_S
    time_limit_s: int = TIME_LIMIT_S
    caller_id: str | None = None
    record: DialRecord | None = None
    dial_music: str | None = None
    dial_music_disabled: bool = False
    answer_on_bridge: bool | None = None
    nouns: tuple[Noun, ...] = ()
    action_invalid: bool = False
    hangup_on_star: bool = False
    ring_tone: str | None = None
    sequential: bool = False
    refer_url: str | None = None
    refer_method: str = "POST"

    connects: ClassVar[bool] = True
    beside_a_call: ClassVar[bool] = False

    @property
    def does_nothing(self) -> str | None:
        return None if self.nouns else "<Dial> names nobody: it does nothing, and no action is asked"

    @property
    def conference(self) -> Conference | None:
        """The room, if that is what is dialled."""
        return next((noun for noun in self.nouns if isinstance(noun, Conference)), None)

    def answers(self, answer_delay: bool) -> bool:
        if self.conference is not None:
            return True
        return not (answer_delay if self.answer_on_bridge is None else self.answer_on_bridge)


def parse(element: Element, read: Reader) -> Dial:
    """Read a Dial; whatever is wrong with an attribute, it can be run."""
    read.names(element, *_ATTRIBUTES)
    limit = "timelimit" if "timeLimit" not in element.attributes else "timeLimit"
    disabled = (element.get("dialMusic") or "").lower() == "disabled"
    action, action_invalid = read.action(element)
    dial = Dial(
        line=element.line,
        action=action,
        method=read.method(element, "method", notices.DIAL_METHOD),
        timeout_s=read.whole(element, "timeout", TIMEOUT_S, notices.DIAL_TIMEOUT),
        time_limit_s=read.whole(element, limit, TIME_LIMIT_S, notices.DIAL_TIME_LIMIT),
        caller_id=_caller_id(element, read),
        record=record_of(element, read),
        dial_music=None if disabled else read.url_of(element, "dialMusic"),
        dial_music_disabled=disabled,
        answer_on_bridge=read.truth(element, "answerOnBridge", None, None),
        nouns=_nouns(element, read),
        action_invalid=action_invalid,
        hangup_on_star=bool(read.truth(element, "hangupOnStar", False, False)),
        ring_tone=ring_tone_of(element, read),
        sequential=bool(read.truth(element, "sequential", False, False)),
        refer_url=read.url_of(element, "referUrl"),
        refer_method=read.method(element, "referMethod", notices.NOT_CARRIED_OUT),
    )
    return _for_conference(dial, read) if dial.conference is not None else dial


def _for_conference(dial: Dial, read: Reader) -> Dial:
    """What has no meaning in a conference (behaviour 2.10, 10.2)."""
    recorded = dial.record if read.settings.record_conferences else None
    if dial.record is not None and recorded is None:
        text = "record of <Dial>: conferences are not recorded by it unless `rcml.record_conferences` says so"
        read.warning(notices.NOT_CARRIED_OUT, dial.line, text)
    if dial.dial_music or dial.dial_music_disabled:
        read.warning(notices.NOT_CARRIED_OUT, dial.line, "dialMusic of <Dial> has no effect on a conference, which has its waitUrl")
    return replace(dial, record=recorded, dial_music=None, dial_music_disabled=False)


def _caller_id(element: Element, read: Reader) -> str | None:
    """A number without its separators, `client:name` or `user@host`; what names nobody or could not stand in a From is refused."""
    value = element.get("callerId")
    if value is None:
        return None
    caller = _caller(trimmed(value))
    if caller is None or _NOT_IN_A_CALLER_ID.search(caller):
        read.warning(notices.DIAL_CALLER_ID, element.line, f"callerId of <Dial> cannot be {shown(value)}; the caller's own is used")
        return None
    return caller


def _caller(text: str) -> str | None:
    """What a callerId means; None when it names nobody, so that no From goes out without a user (RFC 3261 25.1)."""
    number, _ = telephone_number(text)
    if is_number(number):
        return number
    scheme, colon, rest = text.partition(":")
    kind = scheme.lower() if colon else ""
    if kind == "client":
        return f"client:{name}" if (name := trimmed(rest)) else None
    if kind in ("sip", "sips", "tel"):
        text = trimmed(rest)
    user, at, host = text.rpartition("@")
    if not at:
        user = host
    shown_user = _cleaned(user)
    if shown_user is None or (at and not host):
        return None
    address = f"{shown_user}@{host}" if at else shown_user
    return f"{kind}:{address}" if at and kind in ("sip", "sips") else address


def _cleaned(user: str) -> str | None:
    """A number without its separators, a name as it is; None for nothing but separators."""
    number, _ = telephone_number(user)
    if is_number(number):
        return number
    return user if any(char.isalnum() for char in number) else None


def _nouns(element: Element, read: Reader) -> tuple[Noun, ...]:
    """Whom the content of a Dial means (behaviour 2.1, 2.11)."""
    text = element.text
    if text:
        if element.children:
            read.warning(
                notices.NOT_CARRIED_OUT, element.line, "<Dial> holds text and elements: the text is dialled, the elements are ignored"
            )
        noun = _from_text(Element(element.name, element.line), read, text)
        return () if noun is None else (noun,)
    if len(element.children) > read.settings.max_nouns:
        line = element.children[read.settings.max_nouns].line
        raise DocumentError(f"a <Dial> may hold {read.settings.max_nouns} nouns, this one has {len(element.children)}", line)
    nouns: list[Noun] = []
    for child in element.children:
        parse_noun = _NOUNS.get(child.name)
        if parse_noun is None:
            read.warning(notices.NOT_CARRIED_OUT, child.line, f"<{child.name}> is nothing that can be dialled and is ignored")
        elif (noun := parse_noun(child, read, child.text)) is not None:
            nouns.append(noun)
    rooms = [noun for noun in nouns if isinstance(noun, Conference)]
    if rooms and len(nouns) > 1:
        read.warning(notices.NOT_CARRIED_OUT, element.line, f"<Dial> holds a <Conference>: only {shown(rooms[0].room)} is dialled")
        return (rooms[0],)
    return tuple(nouns)


def _from_text(element: Element, read: Reader, text: str) -> Noun | None:
    """Text alone: a client by its prefix, a SIP URI by its scheme or its @, else a number. Headers after `?` do not count."""
    who = trimmed(text.partition("?")[0]).lower()
    if who.startswith("client:"):
        return parse_client(element, read, text)
    if "@" in who or who.startswith(("sip:", "sips:")):
        return parse_sip(element, read, text)
    return parse_number(element, read, text)
