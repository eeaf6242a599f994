"""The structured header fields: values out of text, and text out of values.

Each parser raises `ParseError` naming its field. Parameter *names* are lower-cased, since they compare without case; parameter *values*
stay exactly as they came, quotes included (`unquote` opens them), because branch and tag are the peer's and must come back
to it octet for octet (docs/sip-rules.md 31).
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TypeVar

from sip.errors import ParseError
from sip.message.grammar import BLANK, HOST, QUOTED, TOKEN, quote, unquote

Params = Mapping[str, str | None]  # read-only by type: a parsed value may be shared, see `memo`

_T = TypeVar("_T")

MAX_PORT = 65535
MAX_CSEQ = 2**32 - 1  # RFC 3261 20.16 ("expressible as a 32-bit unsigned integer"); 8.1.1.5 wants 31 bits of who starts one
MAX_UINT_DIGITS = 64  # leading zeros are legal (RFC 4475 wsinv), a megabyte of them is not meant

# generic-param = token [ EQUAL gen-value ];  gen-value = token / host / quoted-string
# Wider than that on purpose: tags in base64 with "=" or "/", bare IPv6 in `received`, an empty value ("rport=").
_PARAM_RE = re.compile(rf'[ \t]*+;[ \t]*+({TOKEN})[ \t]*+(?:=[ \t]*+({QUOTED}|[^{BLANK};,"<>]*+)[ \t]*+)?+', re.DOTALL)

# via-parm = sent-protocol LWS sent-by *( SEMI via-params );  sent-protocol = protocol-name SLASH protocol-version SLASH transport
_VIA_RE = re.compile(
    rf"({TOKEN})[ \t]*+/[ \t]*+({TOKEN})[ \t]*+/[ \t]*+({TOKEN})[ \t]++({HOST})[ \t]*+(?::[ \t]*+([0-9]{{1,5}}))?+[ \t]*+(?=;|$)"
)

# name-addr = [ display-name ] LAQUOT addr-spec RAQUOT;  display-name = *( token LWS ) / quoted-string
# The unquoted display name is wider than tokens: phones leave the quotes away around "Müller (2. OG)". What would make the
# field ambiguous stays out: quotes, commas (baddn in RFC 4475 3.1.2.15), semicolons.
_NAME_ADDR_RE = re.compile(rf'(?:({QUOTED})|([^"<>,;]*+))[ \t]*+<([^<>"{BLANK}]++)>', re.DOTALL)
# addr-spec: "?" "," ";" would belong to the URI, so they may only stand between <> (20.10); what follows ";" is the header's.
_ADDR_SPEC_RE = re.compile(rf'[^<>"{BLANK};,?]++')

# CSeq = 1*DIGIT LWS Method
_CSEQ_RE = re.compile(rf"([0-9]++)[ \t]++({TOKEN})")

# One element of a comma-separated list; a quote or "<" that never closes swallows the rest, and its own parser then refuses it.
_LIST_ELEMENT_RE = re.compile(rf'(?:[^,"<]++|{QUOTED}|<[^>]*+>|".*+|<.*+)*+', re.DOTALL)

# challenge / credentials = auth-scheme LWS auth-param *( COMMA auth-param );  auth-param = token EQUAL ( token / quoted-string )
_AUTH_SCHEME_RE = re.compile(rf"({TOKEN})(?:[ \t]++|$)")
_AUTH_PARAM_RE = re.compile(rf'[ \t]*+({TOKEN})[ \t]*+=[ \t]*+({QUOTED}|[^{BLANK},"]*+)[ \t]*+(?:,[ \t,]*+|$)', re.DOTALL)
# Written without quotes (RFC 7616 3.3, 3.4); `qop` is quoted in a challenge only.
_UNQUOTED_AUTH_PARAMS = frozenset({"algorithm", "stale", "nc", "userhash"})


# One message asks for its Via, From, To and CSeq several times (checks, transaction, dialog, response), a dialog for the same
# Contact and Route in every request. The values are frozen, so they may be remembered; long texts are not, to keep the memory small.
MEMO_ENTRIES = 4096
MEMO_CHARACTERS = 512


def memo(parser: Callable[[str, str], _T]) -> Callable[[str, str], _T]:
    remembering = lru_cache(MEMO_ENTRIES)(parser)

    def parse(text: str, name: str) -> _T:
        return remembering(text, name) if len(text) <= MEMO_CHARACTERS else parser(text, name)

    return parse


def parse_uint(text: str, name: str = "", *, maximum: int = 2**32 - 1) -> int:
    """A decimal number as RFC 3261 writes them: ASCII digits only, no sign, leading zeros allowed.

    Args:
        name: the header field, for the error.
    """
    text = text.strip(" \t")
    if not text.isascii() or not text.isdigit() or len(text) > MAX_UINT_DIGITS:
        raise ParseError("not a number", field=name)
    value = int(text)
    if value > maximum:
        raise ParseError("number out of range", field=name)
    return value


def parse_list(text: str) -> list[str]:
    """Split at the commas that stand outside of quotes and <>; trimmed, empty elements left out. Never fails."""
    if '"' not in text and "<" not in text:
        return [element for part in text.split(",") if (element := part.strip(" \t"))]
    elements = []
    at, end = 0, len(text)
    while at <= end:
        match = _LIST_ELEMENT_RE.match(text, at)
        assert match is not None  # the pattern matches the empty string
        if element := match[0].strip(" \t"):
            elements.append(element)
        at = match.end() + 1
    return elements


def parse_params(text: str, name: str = "", at: int = 0) -> Params:
    """The `;name=value` parameters of a header field, from `at` to the end of `text`.

    A parameter that is repeated with the same value counts once; with another value it is refused (7.3.1).
    """
    params: dict[str, str | None] = {}
    end = len(text)
    while at < end:
        match = _PARAM_RE.match(text, at)
        if match is None:
            raise ParseError("malformed parameters", field=name, offset=at)
        key, value = match[1].lower(), match[2]
        if params.setdefault(key, value) != value:
            raise ParseError("parameter given twice", field=name, offset=at)
        at = match.end()
    return params


def parse_value(text: str, name: str) -> tuple[str, Params]:
    """A value and what stands behind it: `value *( SEMI generic-param )`. The value is trimmed and not looked at."""
    value = text.partition(";")[0]
    return value.strip(" \t"), parse_params(text, name, len(value))


def build_params(params: Params) -> str:
    """`;name=value` text; values are written as they are, so quote first what needs quotes."""
    return "".join([f";{name}" if value is None else f";{name}={value}" for name, value in params.items()])


def parse_host(text: str, name: str, offset: int) -> str:
    """A host as it stands in the grammar; IPv6 references come back without brackets."""
    if text[0] != "[":
        return text
    try:
        ipaddress.IPv6Address(text[1:-1])
    except ValueError:
        raise ParseError("malformed IPv6 address", field=name, offset=offset) from None
    return text[1:-1]


def parse_port(text: str, name: str, offset: int) -> int:
    port = int(text)
    if not 0 < port <= MAX_PORT:
        raise ParseError("port out of range", field=name, offset=offset)
    return port


def build_host_port(host: str, port: int | None) -> str:
    """`host[:port]`, an IPv6 address in brackets."""
    text = f"[{host}]" if ":" in host else host
    return text if port is None else f"{text}:{port}"


@dataclass(frozen=True, slots=True)
class Via:
    """One hop (RFC 3261 20.42). `transport` is upper case; `host` and `port` are the sent-by, IPv6 without brackets.

    `protocol` is "SIP/2.0"; the grammar allows others, and a request of another version has one that must be echoed in its 505.
    """

    transport: str
    host: str
    port: int | None = None
    params: Params = field(default_factory=dict)
    protocol: str = "SIP/2.0"

    @property
    def branch(self) -> str | None:
        return self.params.get("branch")

    @property
    def received(self) -> str | None:
        """The address that the next hop saw; IPv6 without brackets, which both forms are in use (RFC 5118 4.5)."""
        text = self.params.get("received")
        return text[1:-1] if text and text[0] == "[" and text[-1] == "]" else text

    @property
    def rport(self) -> int | None:
        """The port that the next hop saw; None also for a mere `;rport`: ask `"rport" in via.params` for that (RFC 3581)."""
        text = self.params.get("rport")
        if not text or not text.isascii() or not text.isdigit() or len(text) > 5:
            return None
        port = int(text)
        return port if 0 < port <= MAX_PORT else None

    def __str__(self) -> str:
        return f"{self.protocol}/{self.transport} {build_host_port(self.host, self.port)}{build_params(self.params)}"


def parse_via(text: str) -> Via:
    """One Via value (not a list). Source: RFC 3261 20.42, 25.1."""
    return _parse_via(text, "Via")


@memo
def _parse_via(text: str, name: str) -> Via:
    match = _VIA_RE.match(text)
    if match is None:
        raise ParseError("malformed", field=name)
    protocol, version, transport, host, port = match.groups()
    return Via(
        transport.upper(),
        parse_host(host, name, match.start(4)) if host[0] == "[" else host,
        None if port is None else parse_port(port, name, match.start(5)),
        parse_params(text, name, match.end()),
        f"{protocol}/{version}".upper(),
    )


@dataclass(frozen=True, slots=True)
class NameAddr:
    """From, To, Contact, Route, Record-Route, Refer-To, Diversion ... `display` is unquoted; `uri` is raw text, without <>."""

    display: str | None
    uri: str
    params: Params = field(default_factory=dict)

    @property
    def tag(self) -> str | None:
        return self.params.get("tag") or None

    def __str__(self) -> str:
        display = "" if self.display is None else f"{quote(self.display)} "
        return f"{display}<{self.uri}>{build_params(self.params)}"


def parse_name_addr(text: str, name: str = "name-addr") -> NameAddr:
    """One name-addr or addr-spec with its header parameters.

    Without <> the `;` parameters belong to the header field (RFC 3261 20), and a URI with `?` or `,` is refused (20.10).

    Args:
        name: the header field, for the error.
    """
    return _parse_name_addr(text, name)


@memo
def _parse_name_addr(text: str, name: str) -> NameAddr:
    text = text.strip(" \t")
    match = _NAME_ADDR_RE.match(text)
    if match is not None:
        quoted, plain, uri = match.groups()
        display = unquote(quoted) if quoted else plain.strip(" \t") or None
    else:
        match = _ADDR_SPEC_RE.match(text)
        if match is None:
            raise ParseError("malformed", field=name)
        display, uri = None, match[0]
    if ":" not in uri:
        raise ParseError("not a URI", field=name, offset=text.find(uri))
    return NameAddr(display, uri, parse_params(text, name, match.end()))


@dataclass(frozen=True, slots=True)
class CSeq:
    number: int
    method: str

    def __str__(self) -> str:
        return f"{self.number} {self.method}"


def parse_cseq(text: str) -> CSeq:
    """Source: RFC 3261 20.16."""
    return _parse_cseq(text, "CSeq")


@memo
def _parse_cseq(text: str, name: str) -> CSeq:
    match = _CSEQ_RE.fullmatch(text.strip(" \t"))
    if match is None:
        raise ParseError("malformed", field=name)
    return CSeq(parse_uint(match[1], name, maximum=MAX_CSEQ), match[2])


def parse_auth(text: str, name: str = "Authorization") -> tuple[str, dict[str, str]]:
    """A challenge or credentials: the scheme as written, and the parameters with lower-case names and unquoted values.

    A scheme that is not made of parameters (`Basic dXNlcg==`) gives its token under the empty name.
    Source: RFC 3261 20.7, 20.27, 20.28, 20.44; RFC 7616 3.3, 3.4.
    """
    match = _AUTH_SCHEME_RE.match(text)
    if match is None:
        raise ParseError("malformed", field=name)
    scheme, at, end = match[1], match.end(), len(text)
    params: dict[str, str] = {}
    if at < end and scheme.lower() == "basic":
        return scheme, {"": text[at:].strip(" \t")}
    while at < end:
        match = _AUTH_PARAM_RE.match(text, at)
        if match is None:
            raise ParseError("malformed parameters", field=name, offset=at)
        key = match[1].lower()
        if key in params:
            raise ParseError("parameter given twice", field=name, offset=at)
        params[key] = unquote(match[2])
        at = match.end()
    return scheme, params


def build_auth(scheme: str, params: dict[str, str]) -> str:
    """The text of a challenge or of credentials (those have a `response`); quotes stand where RFC 7616 wants them."""
    unquoted = _UNQUOTED_AUTH_PARAMS | {"qop"} if "response" in params else _UNQUOTED_AUTH_PARAMS
    return f"{scheme} " + ", ".join([f"{name}={value if name in unquoted else quote(value)}" for name, value in params.items()])


# RFC 3261 21, 3262, 3326, 3903, 4028, 4412, 5393, 5626, 6086, 6442, 6665, 8197, 8599, 8688 (IANA: SIP Response Codes)
REASON_PHRASES: dict[int, str] = {
    100: "Trying", 180: "Ringing", 181: "Call Is Being Forwarded", 182: "Queued", 183: "Session Progress", 199: "Early Dialog Terminated",
    200: "OK", 202: "Accepted", 204: "No Notification",
    300: "Multiple Choices", 301: "Moved Permanently", 302: "Moved Temporarily", 305: "Use Proxy", 380: "Alternative Service",
    400: "Bad Request", 401: "Unauthorized", 402: "Payment Required", 403: "Forbidden", 404: "Not Found", 405: "Method Not Allowed",
    406: "Not Acceptable", 407: "Proxy Authentication Required", 408: "Request Timeout", 410: "Gone", 412: "Conditional Request Failed",
    413: "Request Entity Too Large", 414: "Request-URI Too Long", 415: "Unsupported Media Type", 416: "Unsupported URI Scheme",
    417: "Unknown Resource-Priority", 420: "Bad Extension", 421: "Extension Required", 422: "Session Interval Too Small",
    423: "Interval Too Brief", 424: "Bad Location Information", 425: "Bad Alert Message", 428: "Use Identity Header",
    429: "Provide Referrer Identity", 430: "Flow Failed", 433: "Anonymity Disallowed", 436: "Bad Identity-Info",
    437: "Unsupported Certificate", 438: "Invalid Identity Header", 439: "First Hop Lacks Outbound Support", 440: "Max-Breadth Exceeded",
    469: "Bad Info Package", 470: "Consent Needed", 480: "Temporarily Unavailable", 481: "Call/Transaction Does Not Exist",
    482: "Loop Detected", 483: "Too Many Hops", 484: "Address Incomplete", 485: "Ambiguous", 486: "Busy Here", 487: "Request Terminated",
    488: "Not Acceptable Here", 489: "Bad Event", 491: "Request Pending", 493: "Undecipherable", 494: "Security Agreement Required",
    500: "Server Internal Error", 501: "Not Implemented", 502: "Bad Gateway", 503: "Service Unavailable", 504: "Server Time-out",
    505: "Version Not Supported", 513: "Message Too Large", 555: "Push Notification Service Not Supported", 580: "Precondition Failure",
    600: "Busy Everywhere", 603: "Decline", 604: "Does Not Exist Anywhere", 606: "Not Acceptable", 607: "Unwanted", 608: "Rejected",
}  # fmt: skip
