"""The nouns of a Dial: whom to call (behaviour 2.4, 2.10)."""

from __future__ import annotations

import enum
import re
import unicodedata
from dataclasses import dataclass, field
from typing import TypedDict
from urllib.parse import unquote

from rcml import notices
from rcml.dialect import EVENTS
from rcml.numbers import telephone_number, trimmed, visible
from rcml.parameters import is_extension
from rcml.reader import Element, Reader, shown

Headers = tuple[tuple[str, str], ...]

ROOM_EVENTS = ("start", "end", "join", "leave", "mute", "hold", "modify", "announcement")
MAX_URI = 255  # characters, the documented limits of a Sip
MAX_HEADERS = 1024
MAX_PARTICIPANTS = 40
MAX_ROOM = 255  # characters of a room's name
MAX_KEYS = 250  # of sendDigits: what the media worker keeps waiting

# RFC 3261 §25.1: token, as a header's name must be
_TOKEN = re.compile(r"[A-Za-z0-9.!%*_+`'~-]+")
# A value never holds a line end or another control character: it would become a header of its own on the wire.
_UNSAFE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
# What the server writes into its messages itself. All names of documents begin with X-, so these are the ones to keep free.
RESERVED_HEADERS = ("x-restcomm-", "x-dialplane-")
_SIP_URI = re.compile(r"sips?:(?:[^@\s<>\"]+@)?[^@\s<>\"]+", re.IGNORECASE)
_NOT_DIGITS = re.compile(r"[^0-9*#A-DwW]")


@dataclass(frozen=True, slots=True)
class CallNoun:
    """What Number, Client and Sip have in common.

    headers: for the INVITE, names start with X-. url: screening document, run on the called side before the bridge.
    screening_timeout_s: how long that may take.
    """

    line: int
    headers: Headers = field(default=(), kw_only=True)
    url: str | None = field(default=None, kw_only=True)
    method: str = field(default="POST", kw_only=True)
    status_callback: str | None = field(default=None, kw_only=True)
    status_callback_method: str = field(default="POST", kw_only=True)
    status_callback_events: tuple[str, ...] = field(default=EVENTS, kw_only=True)
    screening_timeout_s: int = field(default=60, kw_only=True)


@dataclass(frozen=True, slots=True)
class Number(CallNoun):
    """A telephone number. text: without separators and invisible characters (`rcml.numbers`).

    send_digits: keys to press after the answer, w and W are pauses.
    """

    text: str
    send_digits: str | None = field(default=None, kw_only=True)


@dataclass(frozen=True, slots=True)
class Client(CallNoun):
    """A registered phone. name: its login."""

    name: str


@dataclass(frozen=True, slots=True)
class Sip(CallNoun):
    """A SIP URI with its scheme, without headers. username, password: answer to a challenge."""

    uri: str
    username: str | None = field(default=None, kw_only=True)
    password: str | None = field(default=None, kw_only=True, repr=False)


class Beep(enum.Enum):
    """When a tone tells the others of somebody. Values as documents have them."""

    BOTH = "true"
    NEITHER = "false"
    ON_ENTER = "onenter"
    ON_EXIT = "onexit"


@dataclass(frozen=True, slots=True)
class Conference:
    """A room. wait_url: None for the built-in music, "" for silence. beep_url: None for the built-in tone.

    record: the participant's stay is recorded. status_callback: of the room, which takes the first that it is given. label: as the
    application is told of this participant.
    """

    line: int
    room: str
    muted: bool = field(default=False, kw_only=True)
    beep: Beep = field(default=Beep.BOTH, kw_only=True)
    beep_url: str | None = field(default=None, kw_only=True)
    start_conference_on_enter: bool = field(default=True, kw_only=True)
    end_conference_on_exit: bool = field(default=False, kw_only=True)
    wait_url: str | None = field(default=None, kw_only=True)
    wait_method: str = field(default="POST", kw_only=True)
    max_participants: int = field(default=MAX_PARTICIPANTS, kw_only=True)
    record: bool = field(default=False, kw_only=True)
    status_callback: str | None = field(default=None, kw_only=True)
    status_callback_method: str = field(default="POST", kw_only=True)
    status_callback_events: tuple[str, ...] = field(default=ROOM_EVENTS, kw_only=True)
    label: str | None = field(default=None, kw_only=True)


Noun = Number | Client | Sip | Conference

_COMMON = ("url", "method", "timeout", "statusCallback", "statusCallbackMethod", "statusCallbackEvent")


def parse_number(element: Element, read: Reader, text: str) -> Number | None:
    read.names(element, *_COMMON, "sendDigits")
    number, headers = _split(element, read, text)
    number, strange = telephone_number(number)
    if not number:
        _nobody(element, read)
        return None
    if strange:
        codes = ", ".join(f"U+{ord(char):04X}" for char in strange[:8])
        read.warning(
            notices.NOT_CARRIED_OUT, element.line, f"{shown(number)} holds {codes}, which no telephone number has; it is dialled so"
        )
    common = _common(element, read)
    return Number(element.line, number, headers=headers, send_digits=keys_to_press(element, read, "sendDigits") or None, **common)


def parse_client(element: Element, read: Reader, text: str) -> Client | None:
    read.names(element, *_COMMON, "name")
    name, headers = _split(element, read, text or element.get("name") or "")
    name = trimmed(name)
    name = trimmed(name[len("client:") :]) if name.lower().startswith("client:") else name
    if not name:
        _nobody(element, read)
        return None
    return Client(element.line, name, headers=headers, **_common(element, read))


def parse_sip(element: Element, read: Reader, text: str) -> Sip | None:
    """Sip and its old name Uri. A URI that cannot be called is kept: its branch fails, and the action is told (3.1)."""
    read.names(element, *_COMMON, "username", "password")
    uri, headers = _split(element, read, "".join(line.strip() for line in text.split("\n")))
    uri = visible(uri).strip()
    if not uri:
        _nobody(element, read)
        return None
    if not uri.lower().startswith(("sip:", "sips:")):
        uri = f"sip:{uri}"
    if not _SIP_URI.fullmatch(uri):
        read.warning(notices.BAD_URL, element.line, f"{shown(uri)} is no SIP URI")
    elif len(uri) > MAX_URI:
        read.error(notices.BAD_URL, element.line, f"a SIP URI may have {MAX_URI} characters, this one has {len(uri)} and is not called")
    username, password = element.get("username"), element.get("password")
    return Sip(element.line, uri, headers=headers, username=username, password=password, **_common(element, read))


_OF_A_ROOM = (
    "muted", "beep", "beepUrl", "startConferenceOnEnter", "endConferenceOnExit", "waitUrl", "waitMethod", "maxParticipants", "record",
    "statusCallback", "statusCallbackMethod", "statusCallbackEvent", "participantLabel",
)  # fmt: skip
# Of the other family, and known to authors: they must not believe that these work.
_NOT_OF_A_ROOM = (
    "coach", "trim", "region", "jitterBufferSize", "eventCallbackUrl",
    "recordingStatusCallback", "recordingStatusCallbackMethod", "recordingStatusCallbackEvent",
)  # fmt: skip


def parse_conference(element: Element, read: Reader, text: str) -> Conference | None:
    read.names(element, *_OF_A_ROOM, *_NOT_OF_A_ROOM)
    if not text:
        _nobody(element, read)
        return None
    if len(text) > MAX_ROOM:
        read.error(
            notices.NOT_CARRIED_OUT,
            element.line,
            f"a room's name may have {MAX_ROOM} characters, this one has {len(text)}: nobody is dialled",
        )
        return None
    for name in _NOT_OF_A_ROOM:
        if name in element.attributes:
            read.warning(notices.NOT_CARRIED_OUT, element.line, f"{name} of <Conference> is not carried out here")
    silent = "waitUrl" in element.attributes and element.get("waitUrl") is None
    recorded = read.choice(element, "record", ("do-not-record", "record-from-start", "false", "true"), notices.NOT_CARRIED_OUT)
    return Conference(
        element.line,
        text,
        muted=bool(read.truth(element, "muted", False, False)),
        beep=Beep(read.choice(element, "beep", tuple(beep.value for beep in Beep), notices.NOT_CARRIED_OUT)),
        beep_url=read.url_of(element, "beepUrl"),
        start_conference_on_enter=bool(read.truth(element, "startConferenceOnEnter", True, True)),
        end_conference_on_exit=bool(read.truth(element, "endConferenceOnExit", False, False)),
        wait_url="" if silent else read.url_of(element, "waitUrl"),
        wait_method=read.method(element, "waitMethod", notices.CONFERENCE_WAIT_METHOD),
        max_participants=read.whole(element, "maxParticipants", MAX_PARTICIPANTS, notices.NOT_CARRIED_OUT, most=MAX_PARTICIPANTS),
        record=recorded in ("record-from-start", "true"),
        status_callback=read.url_of(element, "statusCallback"),
        status_callback_method=read.method(element, "statusCallbackMethod", notices.DIAL_METHOD),
        status_callback_events=_events(element, read, ROOM_EVENTS),
        label=element.get("participantLabel"),
    )


def _nobody(element: Element, read: Reader) -> None:
    read.warning(notices.NOT_CARRIED_OUT, element.line, f"<{element.name}> names nobody and is ignored")


def _split(element: Element, read: Reader, text: str) -> tuple[str, Headers]:
    """Divide `who?name=value&name=value` (behaviour 2.4, custom headers)."""
    who, mark, rest = text.partition("?")
    return who.strip(), _headers(element, read, rest) if mark else ()


def _headers(element: Element, read: Reader, text: str) -> Headers:
    headers: list[tuple[str, str]] = []
    size = 0
    for pair in text.replace("&amp;", "&").split("&"):
        raw_name, equals, raw_value = pair.strip().partition("=")
        # percent escapes only: a plus is far more often the start of a number than a space (RFC 3261 §19.1.1)
        name, value = unquote(raw_name.strip()), unquote(raw_value)
        if not pair.strip():
            continue
        if not equals or not _TOKEN.fullmatch(name) or _UNSAFE.search(value):
            read.warning(notices.NOT_CARRIED_OUT, element.line, f"{shown(pair)} is no header of the form name=value and is dropped")
            continue
        name = name if is_extension(name) else f"X-{name}"
        if name.lower().startswith(RESERVED_HEADERS):
            read.warning(notices.NOT_CARRIED_OUT, element.line, f"header {shown(name)} is written by the server itself and is dropped")
            continue
        size += len(name) + len(value)
        if size > MAX_HEADERS:
            read.warning(notices.NOT_CARRIED_OUT, element.line, f"headers past {MAX_HEADERS} characters are dropped, from {shown(name)} on")
            break
        headers.append((name, value.strip()))
    return tuple(headers)


def keys_to_press(element: Element, read: Reader, name: str) -> str:
    """Keys that are sent: 0-9 * # A-D, w and W for pauses; what else there is, or is too much, is left out with a notice."""
    value = visible(unicodedata.normalize("NFKC", element.get(name) or ""))
    keys = _NOT_DIGITS.sub("", value)
    if keys != value:
        message = f"{name} of <{element.name}> knows 0-9 * # A-D w W; the rest of {shown(value)} is left out"
        read.warning(notices.NOT_CARRIED_OUT, element.line, message)
    if len(keys) > MAX_KEYS:
        message = f"{name} of <{element.name}> may have {MAX_KEYS} keys and pauses; those behind them are left out"
        read.warning(notices.NOT_CARRIED_OUT, element.line, message)
    return keys[:MAX_KEYS]


def _events(element: Element, read: Reader, known: tuple[str, ...] = EVENTS, otherwise: tuple[str, ...] = ()) -> tuple[str, ...]:
    """Commas, white space or both divide the names (behaviour 2.6); none that is known means `otherwise`, or all."""
    asked = {name.lower() for name in re.split(r"[,\s]+", element.get("statusCallbackEvent") or "") if name}
    if unknown := asked - set(known):
        read.warning(
            notices.NOT_CARRIED_OUT,
            element.line,
            f"statusCallbackEvent of <{element.name}> does not know {shown(', '.join(sorted(unknown)))}",
        )
    return tuple(event for event in known if event in asked) or otherwise or known


class _Common(TypedDict):
    url: str | None
    method: str
    status_callback: str | None
    status_callback_method: str
    status_callback_events: tuple[str, ...]
    screening_timeout_s: int


def _common(element: Element, read: Reader) -> _Common:
    return {
        "url": read.url_of(element, "url"),
        "method": read.method(element, "method", notices.DIAL_METHOD),
        "status_callback": read.url_of(element, "statusCallback"),
        "status_callback_method": read.method(element, "statusCallbackMethod", notices.DIAL_METHOD),
        "status_callback_events": _events(element, read, otherwise=read.dialect.noun_events),
        "screening_timeout_s": read.whole(element, "timeout", 60, notices.DIAL_TIMEOUT),
    }
