"""What the user of the core may ask for: a command that could not be put on the wire is refused before anything is changed."""

from __future__ import annotations

import re
from typing import assert_never

from sip.core.capabilities import CORE_METHODS
from sip.core.commands import (
    AnswerRequest,
    Command,
    ExtensionCommand,
    HeaderList,
    SendAnswer,
    SendBye,
    SendCancel,
    SendInvite,
    SendOutOfDialog,
    SendProvisional,
    SendReinvite,
    SendReject,
    SendRequest,
    SetSessionHeaders,
)
from sip.message import ParseError, UsageError, is_token, parse_uri
from sip.message.headers import name_of

MAX_CSEQ = 2**31 - 1  # RFC 3261 8.1.1.5
_SAYABLE_RE = re.compile(r"[^\r\n\x00\ud800-\udfff]*+")
# callid = word [ "@" word ]: what stands in it is visible and not a blank (RFC 3261 25.1)
_CALL_ID_RE = re.compile(r"[!-~]++")
# Written by the core itself: a user's value would break the message or the dialog. As `name_of` has them, compact forms included.
_RESERVED = frozenset(
    ("via", "from", "to", "call-id", "cseq", "contact", "route", "record-route", "content-length", "content-type"),
)
_BINDINGS = frozenset(("contact",))


def check_command(command: Command) -> None:
    """Raises UsageError for a value that cannot be put on the wire."""
    match command:
        case SendInvite():
            check_headers(command.headers)
            check_headers(command.session_headers)
            check_text(command.from_display, command.from_uri, command.request_uri, command.to_uri, command.next_hop, command.content_type)
            for place in command.places:
                check_text(place.request_uri, place.next_hop)
        case SetSessionHeaders():
            check_headers(command.headers)
        case SendCancel():
            check_text(command.reason)
        case SendBye():
            check_text(command.reason)
            check_headers(command.headers)
        case SendProvisional():
            _check_response(command, 100, 199)
            check_text(command.content_type)
        case SendReject():
            _check_response(command, 300, 699)
        case AnswerRequest():
            _check_response(command, 100, 699, _BINDINGS)
            check_text(command.content_type)
        case SendAnswer():
            check_headers(command.headers)
            check_text(command.content_type)
        case SendRequest():
            check_headers(command.headers)
            check_text(command.content_type)
            if not is_token(command.method) or command.method in ("INVITE", "ACK", "CANCEL", "BYE"):
                raise UsageError(f"method {command.method!r} has its own command")
        case SendReinvite():
            check_text(command.content_type)
        case SendOutOfDialog():
            _check_out_of_dialog(command)
        case ExtensionCommand():
            pass  # the extension knows
        case _:
            assert_never(command)


def check_headers(headers: HeaderList, allowed: frozenset[str] = frozenset()) -> None:
    """Raises UsageError where a user's header fields cannot be put on the wire or belong to the core, but for those `allowed`."""
    for name, value in headers:
        key = name_of(name)[0]
        if not is_token(name) or (key in _RESERVED and key not in allowed):
            raise UsageError(f"not a header field for the user to set: {name!r}")
        check_text(value)


def check_text(*texts: str | None) -> None:
    """Raises UsageError for text that `build_message` would refuse later, when half of the work is done."""
    for text in texts:
        if text is not None and not _SAYABLE_RE.fullmatch(text):
            raise UsageError("text that cannot stand in a header field: CR, LF, NUL or half a character")


def _check_response(
    command: SendProvisional | SendReject | AnswerRequest, low: int, high: int, allowed: frozenset[str] = frozenset()
) -> None:
    check_text(command.reason)
    check_headers(command.headers, allowed)
    if not low <= command.status <= high:
        raise UsageError(f"status {command.status} in {type(command).__name__}")


def _check_out_of_dialog(command: SendOutOfDialog) -> None:
    check_headers(command.headers)
    check_text(command.from_display, command.from_uri, command.request_uri, command.to_uri, command.next_hop)
    check_text(command.content_type)
    if command.contact_user and not _is_user(command.contact_user):
        raise UsageError(f"not the user part of a URI: {command.contact_user!r}")
    if not is_token(command.method) or (command.method in CORE_METHODS and command.method != "OPTIONS"):
        raise UsageError(f"method {command.method!r} is not for requests outside of a dialog")
    if command.call_id is not None and not _CALL_ID_RE.fullmatch(command.call_id):
        raise UsageError(f"not a Call-ID: {command.call_id!r}")
    if not 0 < command.cseq < MAX_CSEQ:
        raise UsageError(f"not a CSeq number: {command.cseq}")


def _is_user(text: str) -> bool:
    try:
        return parse_uri(f"sip:{text}@host.invalid").user == text
    except ParseError:
        return False
