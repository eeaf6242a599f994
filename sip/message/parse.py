"""Octets to messages.

    parse_message ── one datagram ──┐
                                    ├─▶ read_head ─▶ Head ─▶ body ─▶ Request | Response
    StreamParser ── octets of TCP ──┘

`read_head` reads the start line, splits the fields and checks what every message must have (RFC 3261 8.1.1, 8.2, 20): a
topmost Via, From, To, Call-ID and CSeq that parse, the CSeq's method, single fields that are single, Max-Forwards and
Content-Length. All else stays text until somebody asks for it: a UAS ignores what is malformed but not needed (8.2).

A defect does not stop the reading: the fields after it may be those that a 400 needs (`MessageError.partial`). The first defect
is the one that is told.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from sip.errors import ParseError
from sip.message.fields import parse_cseq, parse_name_addr, parse_uint, parse_via
from sip.message.grammar import BLANK, CONTROL_OCTETS, TOKEN, unquoted_control_re
from sip.message.headers import Headers, name_of
from sip.message.model import Message, Request, Response
from sip.message.uri import parse_uri

MAX_FIELDS = 256
MAX_FORWARDS = 255  # RFC 3261 20.22
MAX_BODY_BYTES = 2**31 - 1  # of a Content-Length that may be believed at all; who reads a stream has a limit of its own

# Request-Line = Method SP Request-URI SP SIP-Version CRLF;  SIP-Version = "SIP" "/" 1*DIGIT "." 1*DIGIT
_REQUEST_LINE_RE = re.compile(rf"({TOKEN}) ([^{BLANK}<>\"]++) (SIP/[0-9]++\.[0-9]++)", re.IGNORECASE)
# Status-Line = SIP-Version SP Status-Code SP Reason-Phrase CRLF; the last SP is forgotten by some when the phrase is empty
_STATUS_LINE_RE = re.compile(r"SIP/2\.0 ([1-6][0-9]{2})(?: (.*))?", re.IGNORECASE)
# What a request line with blanks in the wrong places still shows: enough for a 400.
_LOOSE_REQUEST_LINE_RE = re.compile(rf"[ \t]*+({TOKEN})[ \t]++(.*)[ \t]SIP/[0-9.]++[ \t]*+", re.IGNORECASE)
_FOLD_RE = re.compile(r"\r\n[ \t]+")
_LEADING_CRLF_RE = re.compile(rb"[\r\n]*+")

# No message may have two of these (RFC 3261 7.3.1 allows it for lists only; RFC 4475 3.3.8 multi01, 3.3.9 mcl01).
_SINGLE = ("From", "To", "Call-ID", "CSeq", "Max-Forwards", "Content-Length", "Content-Type")


class MessageError(ParseError):
    """What was read is no valid message.

    Attributes:
        partial: start line and header fields of a request as far as they could be read, so that a response can be
            built when Via, From, To, Call-ID and CSeq are among them. None for a response and for what is no SIP.
        fatal: the boundary of the next message is lost; a stream connection must be closed (RFC 3261 18.3).
    """

    def __init__(
        self, reason: str, *, status: int = 400, field: str = "", offset: int = 0, partial: Request | None = None, fatal: bool = False
    ) -> None:
        super().__init__(reason, status=status, field=field, offset=offset)
        self.partial = partial
        self.fatal = fatal


@dataclass(slots=True)
class Head:
    """Start line and fields, read.

    message: without its body; None when the start line is of no SIP request or response.
    error: the first defect; `partial` and `fatal` are set.
    content_length: None when there is none, or none that can be believed.
    """

    message: Message | None
    error: MessageError | None
    content_length: int | None


def parse_message(data: bytes, *, stream: bool = False) -> Message:
    """Parse one message.

    Args:
        data: a datagram (CRLFs before the message are ignored), or one message cut out of a stream.
        stream: the transport is a stream, where exactly one valid Content-Length must stand (RFC 3261 18.3).
    Raises:
        MessageError: data is no valid message; `partial` is None when no answer is due (a response, or no SIP at all).
    """
    match = _LEADING_CRLF_RE.match(data)
    start = match.end() if match is not None else 0
    if start == len(data):
        raise MessageError("no message", field="start-line", offset=start)
    end, body_at = _find_empty_line(data, start, stream)
    head = read_head(data[start:end], start, stream=stream)
    error = head.error
    if error is None and body_at < 0:
        error = _defect(head, "no empty line after the header fields", "head", end, fatal=stream)
    if error is not None:
        raise error
    message = head.message
    assert message is not None  # else read_head had told an error
    length = head.content_length
    available = len(data) - body_at
    if length is None:
        message.body = data[body_at:]
    elif length <= available:
        message.body = data[body_at : body_at + length]
    else:
        raise _defect(head, "body shorter than Content-Length", "Content-Length", len(data), fatal=stream)
    return message


def _find_empty_line(data: bytes, start: int, stream: bool) -> tuple[int, int]:
    """Where the head ends and where the body begins; (len(data), -1) when the head does not end."""
    if stream:
        end = data.find(b"\r\n\r\n", start)
        return (end, end + 4) if end >= 0 else (len(data), -1)
    # Lines may end in LF alone in a datagram: typed by hand, or by a phone that never met a strict parser.
    end, body_at = data.find(b"\n\r\n", start), 3
    short = data.find(b"\n\n", start, end if end >= 0 else len(data))
    if short >= 0:
        end, body_at = short, 2
    if end < 0:
        return len(data), -1
    return end - (data[end - 1 : end] == b"\r"), end + body_at


def read_head(data: bytes, offset: int = 0, *, stream: bool = False) -> Head:
    """Read everything before the empty line.

    Args:
        data: without leading CRLFs, without the CRLF of the last line and the empty line.
        offset: of `data` in what was received, for the errors.
        stream: Content-Length must be there, and a defect that hides where the body ends is fatal.
    """
    text = _decode(data)
    defects: list[tuple[int, str, str]] = []  # (line number, field, reason)
    if "\n" in text or "\r" in text:
        text = _undo_line_ends(text, defects, stream)
    if _has_forbidden_control(data):
        defects.append((0, "head", "control character"))
    lines = text.split("\r\n")
    headers = _read_fields(lines, defects)
    message, status = _read_start_line(lines[0], headers, defects)
    _check_fields(message, headers, defects)
    length, length_defect = _content_length(headers, stream)
    fatal = stream and (length_defect is not None or message is None or any(field == "head" for _, field, _ in defects))
    if length_defect is not None and message is not None:
        defects.insert(0, (0, "Content-Length", length_defect))
        status = 400
    if not defects:
        return Head(message, None, length)
    line, field, reason = defects[0]
    at = offset + _offset_of_line(data, line or _line_of_field(lines, field))
    partial = message if isinstance(message, Request) else None
    return Head(message, MessageError(reason, status=status, field=field, offset=at, partial=partial, fatal=fatal), length)


def _line_of_field(lines: list[str], field: str) -> int:
    """The first line that holds this field; 0 when there is none."""
    key = field.lower()
    return next((number for number, line in enumerate(lines) if number and name_of(line.partition(":")[0].rstrip(" \t"))[0] == key), 0)


def _offset_of_line(data: bytes, number: int) -> int:
    """Where a line begins, folded lines counted as one."""
    at = 0
    while number and (end := data.find(b"\n", at)) >= 0:
        at = end + 1
        if data[at : at + 1] not in (b" ", b"\t"):
            number -= 1
    return at


def _decode(data: bytes) -> str:
    """UTF-8, and Latin-1 for the lines that are not: old gateways send names so, and a name is no reason to lose a call."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return "\n".join([_decode_line(line) for line in data.split(b"\n")])


def _decode_line(line: bytes) -> str:
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError:
        return line.decode("latin-1")


def _undo_line_ends(text: str, defects: list[tuple[int, str, str]], stream: bool) -> str:
    """Make every line end a CRLF and undo folding."""
    ends = text.count("\r\n")
    if text.count("\n") != ends:
        if stream:
            # Where a line ends must not be a matter of taste on a connection: a proxy that sees it otherwise sees other messages.
            defects.append((0, "head", "bare LF"))
        text = text.replace("\r\n", "\n").replace("\n", "\r\n")
        ends = text.count("\r\n")
    if text.count("\r") != ends:
        defects.append((0, "head", "bare CR"))
    if "\r\n " in text or "\r\n\t" in text:
        text = _FOLD_RE.sub(" ", text)
    return text


def _has_forbidden_control(data: bytes) -> bool:
    # Deleting octets is ten times faster than a search with a look-behind, and nearly all messages have none of them.
    return len(data.translate(None, CONTROL_OCTETS)) != len(data) and unquoted_control_re.search(data) is not None


def _read_fields(lines: list[str], defects: list[tuple[int, str, str]]) -> Headers:
    if len(lines) > MAX_FIELDS + 1:
        defects.append((MAX_FIELDS + 1, "head", "too many header fields"))
    headers, bad = Headers.from_lines(lines[1 : MAX_FIELDS + 1])
    if bad is not None:
        defects.append((bad + 1, "head", "not a header field"))
    return headers


def _read_start_line(line: str, headers: Headers, defects: list[tuple[int, str, str]]) -> tuple[Message | None, int]:
    """The message without a body and the status of the first defect; a defect of the start line goes before all others."""
    match = _REQUEST_LINE_RE.fullmatch(line)
    if match is not None:
        method, uri, version = match.groups()
        request = Request(method, uri, headers)
        if version.upper() != "SIP/2.0":
            defects.insert(0, (0, "start-line", "unsupported version"))
            return request, 505
        if (reason := _uri_defect(uri)) is not None:
            defects.insert(0, (0, "start-line", reason))
        return request, 400
    match = _STATUS_LINE_RE.fullmatch(line)
    if match is not None:
        return Response(int(match[1]), match[2] or "", headers), 400
    defects.insert(0, (0, "start-line", "malformed start line"))
    match = _LOOSE_REQUEST_LINE_RE.fullmatch(line)
    if match is not None:
        return Request(match[1], match[2].strip(" \t"), headers), 400
    return None, 400


def _uri_defect(uri: str) -> str | None:
    """What is wrong with a Request-URI. An unknown scheme is not: the core answers it with 416 (RFC 3261 8.2.2.1)."""
    try:
        parsed = parse_uri(uri)
    except ParseError as error:
        return None if error.status == 416 else "malformed Request-URI"
    return "header fields in the Request-URI" if parsed.headers else None  # 19.1.1, table 1


def _check_fields(message: Message | None, headers: Headers, defects: list[tuple[int, str, str]]) -> None:
    for name in headers.repeated(_SINGLE):
        defects.append((0, name, f"more than one {name}"))
    values = headers.by_key()
    for key, (name, check) in _REQUIRED.items():
        found = values.get(key)
        value = headers.first_value(name) if key == "via" else found[0] if found else None
        if value is None:
            defects.append((0, name, f"missing {name}"))
            continue
        try:
            check(value)
        except ParseError as error:
            defects.append((0, name, f"{name} {error.reason}"))
        else:
            if key == "cseq" and isinstance(message, Request) and parse_cseq(value).method != message.method:
                defects.append((0, name, "CSeq method does not match"))
    if "max-forwards" in values:
        try:
            parse_uint(values["max-forwards"][0], maximum=MAX_FORWARDS)
        except ParseError as error:
            defects.append((0, "Max-Forwards", f"Max-Forwards {error.reason}"))


def _check_call_id(value: str) -> None:
    # callid = word [ "@" word ]: what a word may hold is nearly everything but white space
    if not value or " " in value or "\t" in value:
        raise ParseError("malformed", field="Call-ID")


# A message without these, or with one that does not parse, belongs to no transaction or dialog (RFC 3261 8.1.1, 8.2.6.2).
_REQUIRED: dict[str, tuple[str, Callable[[str], object]]] = {
    "via": ("Via", parse_via),
    "from": ("From", lambda value: parse_name_addr(value, "From")),
    "to": ("To", lambda value: parse_name_addr(value, "To")),
    "call-id": ("Call-ID", _check_call_id),
    "cseq": ("CSeq", parse_cseq),
}


def _content_length(headers: Headers, stream: bool) -> tuple[int | None, str | None]:
    """The length, and what is wrong with it."""
    values = headers.by_key().get("content-length")
    if not values:
        return None, "missing Content-Length" if stream else None
    if len(values) > 1:
        return None, "more than one Content-Length"
    try:
        return parse_uint(values[0], maximum=MAX_BODY_BYTES), None
    except ParseError:
        return None, "invalid Content-Length"


def _defect(head: Head, reason: str, field: str, offset: int, *, fatal: bool) -> MessageError:
    partial = head.message if isinstance(head.message, Request) else None
    return MessageError(reason, field=field, offset=offset, partial=partial, fatal=fatal)
