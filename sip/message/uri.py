"""SIP, SIPS and tel URIs (RFC 3261 19.1, RFC 3966).

Parts keep their escapes: `%41` and `A` name the same user, yet a Request-URI that passes through must leave as it came.
`unescape_user` is for those who want to read the user part, `uri_equal` for those who compare.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from ipaddress import IPv6Address
from urllib.parse import unquote_to_bytes

from sip.errors import ParseError
from sip.message.fields import Params, build_host_port, build_params, memo, parse_host, parse_port
from sip.message.grammar import BLANK, HOST, is_token

# SIP-URI = "sip:" [ userinfo ] hostport uri-parameters [ headers ];  userinfo = ( user / telephone-subscriber ) [ ":" password ] "@"
# The user part is wider than the grammar: phones dial "#31#123" and names beyond ASCII without escaping them.
_SIP_RE = re.compile(
    rf"(sips?):(?:([^@:<>\"{BLANK}]*+)(?::([^@<>\"{BLANK}]*+))?+@)?({HOST})(?::([0-9]{{1,5}}))?+((?:;[^;?@<>\"{BLANK}]*+)*+)(?:\?([^@<>\"{BLANK}?]++))?+",
    re.IGNORECASE,
)
# uri-parameter = pname [ "=" pvalue ];  a repeated ";" is not one
_URI_PARAM_RE = re.compile(r";([^;=?@]++)(?:=([^;?@]*+))?+")
# telephone-uri = "tel:" ( global-number / local-number ) *par
_TEL_RE = re.compile(rf"(tel):([0-9A-Fa-f*#+\-.()]++)((?:;[^;?@<>\"{BLANK}]*+)*+)", re.IGNORECASE)
# absoluteURI = scheme ":" ( hier-part / opaque-part )
_SCHEME_RE = re.compile(rf"([A-Za-z][A-Za-z0-9+.\-]*+):[^<>\"{BLANK}]++")
_VISUAL_SEPARATORS = str.maketrans("", "", "-.()")
# user, ttl, method and maddr in one URI only never match (19.1.4)
_BINDING_PARAMS = ("user", "ttl", "method", "maddr")


@dataclass(frozen=True, slots=True)
class Uri:
    """`host` is an IPv6 address without brackets, or empty for tel (whose number is `user`).

    Parameter names are lower case and without escapes; their values, like all other parts, are as they came.
    """

    scheme: str
    user: str | None
    password: str | None
    host: str
    port: int | None = None
    params: Params = field(default_factory=dict)
    headers: tuple[tuple[str, str], ...] = ()

    @property
    def lr(self) -> bool:
        """A loose router (RFC 3261 19.1.1)."""
        return "lr" in self.params

    def for_request_line(self) -> Uri:
        """Without what may not stand in a Request-URI: header fields and `method` (RFC 3261 19.1.1, table 1)."""
        params = {name: value for name, value in self.params.items() if name != "method"}
        return replace(self, params=params, headers=())

    def __str__(self) -> str:
        if self.scheme == "tel":
            return f"tel:{self.user or ''}{build_params(self.params)}"
        user = ""
        if self.user is not None:
            user = f"{self.user}@" if self.password is None else f"{self.user}:{self.password}@"
        headers = "?" + "&".join([f"{name}={value}" for name, value in self.headers]) if self.headers else ""
        return f"{self.scheme}:{user}{build_host_port(self.host, self.port)}{build_params(self.params)}{headers}"


def parse_uri(text: str) -> Uri:
    """Take a URI apart.

    Raises:
        ParseError: status 416 when the scheme is none of sip, sips and tel; else 400.
    """
    return _parse_uri(text, "uri")


@memo
def _parse_uri(text: str, name: str) -> Uri:
    match = _SIP_RE.fullmatch(text)
    if match is not None:
        scheme, user, password, host, port, params, headers = match.groups()
        return Uri(
            scheme.lower(),
            user,
            password,
            parse_host(host, name, match.start(4)) if host[0] == "[" else host,
            None if port is None else parse_port(port, name, match.start(5)),
            _parse_uri_params(params, match.start(6)) if params else {},
            _parse_uri_headers(headers, match.start(7)) if headers else (),
        )
    match = _TEL_RE.fullmatch(text)
    if match is not None:
        return Uri("tel", match[2], None, "", params=_parse_uri_params(match[3], match.start(3)))
    match = _SCHEME_RE.fullmatch(text)
    if match is not None and match[1].lower() not in ("sip", "sips", "tel"):
        raise ParseError("unsupported URI scheme", status=416, field=name)
    raise ParseError("malformed URI", field=name)


def _parse_uri_params(text: str, offset: int) -> Params:
    params: dict[str, str | None] = {}
    at, end = 0, len(text)
    while at < end:
        match = _URI_PARAM_RE.match(text, at)
        if match is None:
            raise ParseError("malformed URI parameters", field="uri", offset=offset + at)
        key, value = match[1].lower(), match[2]
        if "%" in key and is_token(plain := unescape_user(key).lower()):
            key = plain  # %6C%72 is lr (RFC 3261 19.1.4; RFC 4475 esc01)
        if params.setdefault(key, value) != value:
            raise ParseError("URI parameter given twice", field="uri", offset=offset + at)
        at = match.end()
    return params


def _parse_uri_headers(text: str, offset: int) -> tuple[tuple[str, str], ...]:
    headers = []
    for part in text.split("&"):
        name, equals, value = part.partition("=")
        if not name or not equals:
            raise ParseError("malformed URI headers", field="uri", offset=offset)
        headers.append((name, value))
    return tuple(headers)


def unescape_user(text: str) -> str:
    """The user part as people know it: escapes undone, octets that are no UTF-8 replaced. `%23` is `#`."""
    return unquote_to_bytes(text).decode("utf-8", "replace") if "%" in text else text


# What a telephone-subscriber begins with (RFC 3966 3); its hexadecimal letters only where `;user=phone` says that it is one.
_SUBSCRIBER_RE = re.compile(r"\+?[.()\-]*+[0-9*#][0-9*#.()\-]*+")


def subscriber(uri: Uri) -> str:
    """Who a URI means, for people and look-ups: the user part with escapes undone, without the parameters of a number.

    The user part of `sip:+12025550143;npdi;rn=+12025550000@host` is a telephone-subscriber, parameters included (RFC 3261
    19.1.6): npdi and rn (RFC 4694), cpc, isub, ext, phone-context (RFC 3966 5), verstat. They belong to the URI and not to
    the number. Devices leave `;user=phone` out, so a part that reads as a number counts as one; a name such as
    `alice;day=tuesday` stays whole. An escaped semicolon is part of the user.
    """
    user = uri.user or ""
    if ";" in user:
        number = user.partition(";")[0]
        kind = uri.params.get("user") or ""
        if number and (kind.lower() == "phone" or _SUBSCRIBER_RE.fullmatch(unescape_user(number))):
            user = number
    return unescape_user(user)


def escape_user(text: str) -> str:
    """A user part that says `text`: everything but unreserved and user-unreserved characters escaped (RFC 3261 25.1)."""
    return "".join([chr(octet) if octet in _USER_OCTETS else f"%{octet:02X}" for octet in text.encode("utf-8", "replace")])


_USER_OCTETS = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.!~*'()&=+$,;?/")


def uri_equal(a: Uri, b: Uri) -> bool:
    """Whether two URIs are equivalent (RFC 3261 19.1.4; tel: RFC 3966 4). Stricter than DNS: an absent port is not 5060."""
    if a.scheme != b.scheme:
        return False
    if a.scheme == "tel":
        return _digits(a) == _digits(b) and _folded(a.params) == _folded(b.params)
    return (
        _unescaped(a.user) == _unescaped(b.user)
        and _unescaped(a.password) == _unescaped(b.password)
        and _comparable_host(a.host) == _comparable_host(b.host)
        and a.port == b.port
        and _params_equal(_folded(a.params), _folded(b.params))
        and _headers_folded(a) == _headers_folded(b)
    )


def _params_equal(a: Params, b: Params) -> bool:
    if any((name in a) != (name in b) for name in _BINDING_PARAMS):
        return False
    return all(b[name] == value for name, value in a.items() if name in b)


def _folded(params: Params) -> Params:
    return {name: None if value is None else unescape_user(value).lower() for name, value in params.items()}


def _headers_folded(uri: Uri) -> list[tuple[str, str]]:
    return sorted((unescape_user(name).lower(), unescape_user(value)) for name, value in uri.headers)


def _unescaped(text: str | None) -> bytes | None:
    return None if text is None else unquote_to_bytes(text)


def _comparable_host(host: str) -> str:
    if ":" not in host:
        return host.lower()
    return IPv6Address(host).compressed


def _digits(uri: Uri) -> str:
    return (uri.user or "").translate(_VISUAL_SEPARATORS).lower()
