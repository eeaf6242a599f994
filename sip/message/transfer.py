"""What messages say of a transfer: whom to call (Refer-To), which dialog to take over (Replaces), and how it goes (sipfrag).

Source: RFC 3515 2.1, RFC 3420, RFC 3891 6.1, RFC 4488 4, RFC 6665 8.4.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from sip.errors import ParseError
from sip.message.fields import parse_name_addr, parse_params, parse_uint, parse_value
from sip.message.headers import Headers
from sip.message.uri import Uri, parse_uri

MAX_REFER_TO = 2048  # characters: a Call-ID with its tags, escaped, and room for a long target
MAX_REFER_TO_HEADERS = 16
MAX_SIPFRAG = 4096  # octets that are looked at

# Replaces = callid *( ";" ( "to-tag=" token / "from-tag=" token / "early-only" / generic-param ) );  callid = word [ "@" word ]
_CALL_ID_RE = re.compile(r"[!#-+\--:<-~]++")
# Status-Line = SIP-Version SP Status-Code SP Reason-Phrase CRLF
_STATUS_LINE_RE = re.compile(r"SIP/2\.0[ \t]+([1-6][0-9]{2})(?:[ \t]+([^\r\n]*))?(?:\r?\n|$)", re.IGNORECASE)
_SCHEMES = ("sip", "sips")


@dataclass(frozen=True, slots=True)
class Replaces:
    """A dialog, named from the side of the one who gets this: `to_tag` is its own tag, `from_tag` that of its peer."""

    call_id: str
    to_tag: str
    from_tag: str
    early_only: bool = False

    def __str__(self) -> str:
        return f"{self.call_id};to-tag={self.to_tag};from-tag={self.from_tag}{';early-only' if self.early_only else ''}"


@dataclass(frozen=True, slots=True)
class ReferTo:
    """Whom a REFER wants to be called. uri: without its `?` part, of which nothing but Replaces is kept."""

    uri: Uri
    replaces: Replaces | None = None


@dataclass(frozen=True, slots=True)
class SubscriptionState:
    """terminated: nothing follows. expires_s: None when it is not said."""

    terminated: bool
    expires_s: int | None = None
    reason: str = ""


def parse_replaces(text: str) -> Replaces:
    """Raises ParseError: exactly one of each tag must be there."""
    call_id, semicolon, _ = text.strip(" \t").partition(";")
    call_id = call_id.rstrip(" \t")
    if not semicolon or not _CALL_ID_RE.fullmatch(call_id):
        raise ParseError("malformed", field="Replaces")
    params = parse_params(text, "Replaces", text.index(";"))
    to_tag, from_tag = params.get("to-tag"), params.get("from-tag")
    if not to_tag or not from_tag:
        raise ParseError("a tag is missing", field="Replaces")
    return Replaces(call_id, to_tag, from_tag, "early-only" in params)


def replaces_of(headers: Headers) -> Replaces | None:
    """Of an INVITE; None without one. Raises ParseError, for two of them too (RFC 3891 3)."""
    values = headers.get_all("Replaces")
    if len(values) > 1:
        raise ParseError("more than one", field="Replaces")
    return parse_replaces(values[0]) if values else None


def refer_to_of(headers: Headers) -> ReferTo:
    """The Refer-To of a REFER.

    Header fields in it are for the INVITE that it asks for. None of them ever reaches a message of ours but Replaces.

    Raises:
        ParseError: 400 when it is missing, there twice, too long or malformed; 416 for another scheme than sip and sips; 403 when it asks
            for another method than INVITE.
    """
    values = headers.get_all("Refer-To")
    if len(values) != 1:
        raise ParseError("more than one" if values else "missing", field="Refer-To")  # RFC 3515 2.4.2
    if len(values[0]) > MAX_REFER_TO:
        raise ParseError("too long", field="Refer-To")
    uri = parse_uri(parse_name_addr(values[0], "Refer-To").uri)
    if uri.scheme not in _SCHEMES:
        raise ParseError("not a SIP URI", status=416, field="Refer-To")
    if (uri.params.get("method") or "INVITE").upper() != "INVITE":
        raise ParseError("only INVITE is carried out", status=403, field="Refer-To")
    if len(uri.headers) > MAX_REFER_TO_HEADERS:
        raise ParseError("too many header fields", field="Refer-To")
    found = [value for name, value in uri.headers if _unescaped(name).lower() == "replaces"]
    if len(found) > 1:
        raise ParseError("more than one Replaces", field="Refer-To")
    return ReferTo(uri.for_request_line(), parse_replaces(_unescaped(found[0])) if found else None)


def refer_sub_of(headers: Headers) -> bool:
    """Refer-Sub: whether a REFER wants to be told how it goes, and whether its 2xx says that it will be (RFC 4488 4)."""
    return (headers.get("Refer-Sub") or "").partition(";")[0].strip().lower() != "false"


def parse_event(text: str) -> tuple[str, str | None]:
    """Event: the package in lower case, and its id. Raises ParseError."""
    package, params = parse_value(text, "Event")
    return package.lower(), params.get("id")


def parse_subscription_state(text: str) -> SubscriptionState:
    """Raises ParseError when it is empty or malformed. A state that nobody knows is an active one (RFC 6665 8.4)."""
    state, params = parse_value(text, "Subscription-State")
    if not state:
        raise ParseError("missing", field="Subscription-State")
    expires = params.get("expires")
    expires_s = parse_uint(expires, "Subscription-State") if expires else None
    return SubscriptionState(state.lower() == "terminated", expires_s, params.get("reason") or "")


def parse_sipfrag(body: bytes) -> tuple[int, str] | None:
    """The status line that a NOTIFY of a REFER carries: (status, reason); None when there is none (RFC 3515 2.4.5)."""
    match = _STATUS_LINE_RE.match(body[:MAX_SIPFRAG].decode("utf-8", "replace").lstrip())
    return None if match is None else (int(match[1]), (match[2] or "").strip())


def _unescaped(text: str) -> str:
    return unquote_to_bytes(text).decode("utf-8", "replace")
