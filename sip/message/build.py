"""Messages to octets.

The one gate through which text reaches the wire: whatever a user of the package put into a header value, it cannot end a line
and so cannot become a header field, a body or a message of its own.
"""

from __future__ import annotations

import re

from sip.errors import UsageError
from sip.message.fields import REASON_PHRASES
from sip.message.grammar import BLANK, is_token
from sip.message.headers import is_known_name
from sip.message.model import Message, Request

_LINE_BREAKERS_RE = re.compile(r"[\r\n]|(?<!\\)\x00")  # NUL may stand in a quoted-pair only (RFC 4475 intmeth)
_NO_URI_RE = re.compile(rf'[{BLANK}<>"]')


def build_message(message: Message) -> bytes:
    """The message as it goes out. Content-Length is counted here and written last; one that stands in the headers is ignored.

    Raises:
        UsageError: method, Request-URI, status, a name or a value that must not be put on the wire.
    """
    body = message.body
    lines = [_start_line(message)]
    for name, value in message.headers:
        if name == "Content-Length":
            continue
        if not is_known_name(name) and not is_token(name):
            raise UsageError(f"not a header name: {name!r}")
        lines.append(f"{name}: {value}")
    lines.append(f"Content-Length: {len(body)}")
    text = "\n".join(lines)
    if text.count("\n") != len(lines) - 1 or "\r" in text or "\x00" in text:
        _refuse_line_breakers(message)
    try:
        return text.replace("\n", "\r\n").encode("utf-8") + b"\r\n\r\n" + body
    except UnicodeEncodeError:
        raise UsageError("text that UTF-8 cannot express") from None


def _start_line(message: Message) -> str:
    if isinstance(message, Request):
        if not is_token(message.method):
            raise UsageError(f"not a method: {message.method!r}")
        if not message.uri or _NO_URI_RE.search(message.uri):
            raise UsageError(f"not a Request-URI: {message.uri!r}")
        return f"{message.method} {message.uri} SIP/2.0"
    if not 100 <= message.status <= 699:
        raise UsageError(f"not a status: {message.status!r}")
    if _LINE_BREAKERS_RE.search(message.reason):
        raise UsageError("CR, LF or NUL in a Reason-Phrase")
    return f"SIP/2.0 {message.status} {message.reason}"


def _refuse_line_breakers(message: Message) -> None:
    for name, value in message.headers:
        if _LINE_BREAKERS_RE.search(value):
            raise UsageError(f"CR, LF or NUL in the value of {name}")


def reason_phrase(status: int) -> str:
    """The RFC's phrase; for a code that nobody registered that of its class (RFC 3261 8.1.3.2 treats it so too)."""
    return REASON_PHRASES.get(status) or REASON_PHRASES.get(status // 100 * 100) or "Unknown"
