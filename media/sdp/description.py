"""Session descriptions: parse, build, and find them in a message's body. Pure.

The parser keeps what offer/answer needs (o= s= c= m= a=) and drops the rest. It accepts what real phones send: LF-only line
ends, blank lines, unknown line types, lines out of order within their section, a missing s= or t=, user names with
spaces. It refuses what has no meaning: a line without a type, no v=0 or o=, an m= line that says no port.

Source: RFC 8866 (and 4566, which it replaces).
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, field
from functools import lru_cache

from media.errors import SdpError, SdpRefused
from media.sdp.codecs import STATIC, Encoding, understood

__all__ = [
    "Attributes",
    "Connection",
    "Description",
    "Media",
    "Origin",
    "SdpError",
    "build_description",
    "extract_sdp",
    "parse_description",
]

MAX_BYTES = 65_535
MAX_LINES = 2_000
MAX_MEDIA = 32

Attributes = tuple[tuple[str, str], ...]  # (name, value); a flag's value is ""

DIRECTIONS = ("sendrecv", "sendonly", "recvonly", "inactive")


@dataclass(frozen=True, slots=True)
class Origin:
    """o=: who made this description and which edition of it. Identifiers are kept as text, some devices write huge ones."""

    username: str
    session_id: str
    version: str
    address: str


@dataclass(frozen=True, slots=True)
class Connection:
    """c=: family 4 or 6 for an IP literal (in its canonical form), 0 for a host name or another network.

    network, address_type: as written, in upper case; "IN" and "IP4" or "IP6" are what we can reach.
    """

    address: str
    family: int
    network: str = field(default="IN", compare=False)
    address_type: str = field(default="", compare=False)

    @property
    def unspecified(self) -> bool:
        """No address at all: the old way to put on hold, or "not known yet" (RFC 3264 8.4, RFC 6157 5.1)."""
        if self.foreign:
            return False
        if self.family:
            return parse_literal(self.address).is_unspecified
        return self.address.lower().rstrip(".").endswith(".invalid")

    @property
    def foreign(self) -> bool:
        """Of another network than the Internet, or of a kind of address that is not known."""
        return self.network != "IN" or self.address_type not in ("", "IP4", "IP6")

    @property
    def multicast(self) -> bool:
        return bool(self.family) and parse_literal(self.address).is_multicast


@dataclass(frozen=True, slots=True)
class Media:
    """One m= section, its words as they were written; attributes in their order."""

    kind: str
    port: int
    protocol: str
    formats: tuple[str, ...]
    connection: Connection | None = None
    attributes: Attributes = ()

    @property
    def audio(self) -> bool:
        return self.kind.lower() == "audio"

    def attribute(self, name: str) -> str | None:
        """The first value of a media-level attribute; "" for a flag, None when it is not there."""
        return next((value for key, value in self.attributes if key == name), None)

    def encoding(self, payload_type: int) -> Encoding | None:
        """What a payload type stands for: its rtpmap, read as `codecs.understood` says, or the static table."""
        for key, value in self.attributes:
            if key == "rtpmap" and (found := _RTPMAP.fullmatch(value)) and int(found["pt"]) == payload_type:
                return understood(payload_type, Encoding(found["name"], int(found["rate"]), int(found["channels"] or 1)))
        return STATIC.get(payload_type)

    def fmtp(self, payload_type: int) -> str:
        """The format parameters of a payload type, "" for none."""
        for key, value in self.attributes:
            if key == "fmtp":
                number, _, parameters = value.partition(" ")
                if number == str(payload_type):
                    return parameters.strip()
        return ""

    def number(self, name: str) -> int | None:
        """A media-level attribute that holds a number, rounded down; None when absent or unreadable (`a=ptime:20.0` occurs)."""
        value = self.attribute(name)
        found = _NUMBER.match(value) if value else None
        return int(found[0]) if found else None


@dataclass(frozen=True, slots=True)
class Description:
    """A whole session description."""

    origin: Origin
    connection: Connection | None = None
    attributes: Attributes = ()
    media: tuple[Media, ...] = ()
    name: str = "-"

    def connection_of(self, media: Media) -> Connection | None:
        """A media section's own address, else the session's."""
        return media.connection or self.connection

    def direction_of(self, media: Media) -> str:
        """sendrecv, sendonly, recvonly or inactive, as its author sees it (RFC 8866 6.7: media level wins, default sendrecv)."""
        for attributes in (media.attributes, self.attributes):
            for name, _ in attributes:
                if name in DIRECTIONS:
                    return name
        return "sendrecv"


# rtpmap = payload-type SP encoding-name "/" clock-rate ["/" channels]      (RFC 8866 6.6); token characters only in the name
_RTPMAP = re.compile(
    r"(?P<pt>\d{1,3})\s+(?P<name>[!#$%&'*+\-.0-9A-Z^_`a-z{|}~]{1,64})\s*/\s*(?P<rate>\d{1,6})(?:\s*/\s*(?P<channels>\d{1,2}))?\s*", re.ASCII
)
# m=<media> SP <port>["/"<number>] SP <proto> 1*(SP <fmt>)                   (RFC 8866 5.14)
_PORT = re.compile(r"(?P<port>\d{1,5})(?:/\d{1,5})?", re.ASCII)
_NUMBER = re.compile(r"\d{1,6}", re.ASCII)
# FQDN, and never all digits at its end (that would be a broken IPv4 address)
_HOST = re.compile(r"(?=.{1,253}$)(?:[A-Za-z0-9_-]{1,63}\.)*[A-Za-z0-9_-]*[A-Za-z_-][A-Za-z0-9_-]*\.?", re.ASCII)


def parse_description(data: bytes) -> Description:
    """Read a session description.

    Raises:
        SdpError: what is wrong and in which line; any bytes give a Description or this.
    Source: RFC 8866 5, 9.
    """
    lines = _split_lines(data)
    if not lines:
        raise SdpError("empty session description")
    number, kind, value = lines[0]
    if kind != "v" or value != "0":
        raise SdpError("does not begin with v=0", number)
    origin: Origin | None = None
    name = "-"
    connection: Connection | None = None
    attributes: list[tuple[str, str]] = []
    sections: list[tuple[Media, list[tuple[str, str]]]] = []
    for number, kind, value in lines[1:]:
        match kind:
            case "v":
                raise SdpError("a second v= line", number)
            case "o" if origin is None and not sections:
                origin = _parse_origin(value, number)
            case "s" if not sections:
                name = value or "-"
            case "c":
                found = _parse_connection(value, number)
                if not sections:
                    connection = connection or found
                elif sections[-1][0].connection is None:
                    media, own = sections[-1]
                    sections[-1] = (_with_connection(media, found), own)
            case "m":
                if len(sections) == MAX_MEDIA:
                    raise SdpError(f"more than {MAX_MEDIA} media lines", number)
                sections.append((_parse_media(value, number), []))
            case "a":
                attribute, _, argument = value.partition(":")
                if attribute.strip():
                    (sections[-1][1] if sections else attributes).append((attribute.strip(), argument.strip()))
            case _:  # lines that say nothing of the media: t=, b=, i= and the like
                pass
    if origin is None:
        raise SdpError("no o= line")
    media_sections = tuple(
        Media(media.kind, media.port, media.protocol, media.formats, media.connection, tuple(own)) for media, own in sections
    )
    return Description(origin, connection, tuple(attributes), media_sections, name)


def build_description(description: Description) -> bytes:
    """Write a session description in the order of RFC 8866 5, lines ended by CRLF."""
    origin = description.origin
    lines = [
        "v=0",
        f"o={origin.username} {origin.session_id} {origin.version} IN {_address_type(origin.address)} {origin.address}",
        f"s={description.name}",
    ]
    if description.connection:
        lines.append(_build_connection(description.connection))
    lines.append("t=0 0")
    lines.extend(_build_attribute(*attribute) for attribute in description.attributes)
    for media in description.media:
        lines.append(f"m={media.kind} {media.port} {media.protocol} {' '.join(media.formats)}")
        if media.connection:
            lines.append(_build_connection(media.connection))
        lines.extend(_build_attribute(*attribute) for attribute in media.attributes)
    return "".join(f"{line}\r\n" for line in lines).encode()


@lru_cache(maxsize=4096)  # a handful of trunks send nearly all descriptions
def parse_literal(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """An IP literal. Raises ValueError when it is none."""
    return ipaddress.ip_address(address)


def connection_to(address: str) -> Connection:
    """The c= of an IP literal of ours. Raises ValueError when it is none."""
    literal = parse_literal(address)
    return Connection(str(literal), literal.version)


def _split_lines(data: bytes) -> list[tuple[int, str, str]]:
    """(line number, type, value) of every line that is not blank."""
    if len(data) > MAX_BYTES:
        raise SdpError(f"longer than {MAX_BYTES} octets")
    data = data.rstrip(b"\0\r\n\t ")  # some devices send the C string's end with it
    if b"\0" in data:
        raise SdpError("holds a NUL octet")
    texts = data.decode("utf-8", "replace").split("\n")
    if len(texts) > MAX_LINES:
        raise SdpError(f"more than {MAX_LINES} lines")
    lines = []
    for number, text in enumerate(texts, 1):
        line = text.strip()
        if not line:
            continue
        if len(line) < 2 or line[1] != "=" or not line[0].isascii() or not line[0].isalpha():
            raise SdpError("not of the form <type>=<value>", number)
        lines.append((number, line[0].lower(), line[2:].strip()))
    return lines


def _parse_origin(value: str, line: int) -> Origin:
    fields = value.split()
    if len(fields) < 6:
        raise SdpError("o= needs six fields", line)
    *username, session_id, version, _, _, address = fields
    return Origin(" ".join(username), session_id, version, address)


def _parse_connection(value: str, line: int) -> Connection:
    fields = value.split()
    if len(fields) != 3:
        raise SdpError("c= needs three fields", line)
    network, kind, text = fields[0].upper(), fields[1].upper(), fields[2]
    text = text.partition("/")[0]  # multicast: /ttl/count
    if (network, kind) not in {("IN", "IP4"), ("IN", "IP6")}:
        return Connection(text, 0, network, kind)
    try:
        literal = parse_literal(text)
    except ValueError:
        if _HOST.fullmatch(text):
            return Connection(text, 0)
        raise SdpError("c= holds no address", line) from None
    if "%" in text:
        raise SdpError("c= holds an address with a zone", line)
    return Connection(str(literal), literal.version)


def _parse_media(value: str, line: int) -> Media:
    fields = value.split()
    if len(fields) < 4:
        raise SdpError("m= needs a medium, a port, a protocol and a format", line)
    kind, port, protocol, *formats = fields
    found = _PORT.fullmatch(port)
    if not found or int(found["port"]) > 65535:
        raise SdpError("m= holds no port number", line)
    return Media(kind, int(found["port"]), protocol, tuple(formats))


def _with_connection(media: Media, connection: Connection) -> Media:
    return Media(media.kind, media.port, media.protocol, media.formats, connection, media.attributes)


def _address_type(address: str) -> str:
    return "IP6" if ":" in address else "IP4"


def _build_connection(connection: Connection) -> str:
    return f"c=IN {_address_type(connection.address)} {connection.address}"


def _build_attribute(name: str, value: str) -> str:
    return f"a={name}:{value}" if value else f"a={name}"


# --- bodies -------------------------------------------------------------------------------------------------------

MAX_NESTING = 3
_BOUNDARY = re.compile(r';\s*boundary\s*=\s*(?:"((?:[^"\\]|\\.){1,70})"|([^\s;"]{1,70}))', re.IGNORECASE | re.ASCII)


def extract_sdp(body: bytes, content_type: str) -> bytes | None:
    """Find the session description in a message's body.

    Args:
        body: the message's body.
        content_type: the Content-Type header's value, "" when there is none.
    Returns:
        The octets of the description (not parsed yet), or None when the body announces none. A body of no octets is none,
        whatever is announced: the Content-Type of such a message means nothing (RFC 3261 20.15 asks for it only with a body).
    Raises:
        SdpRefused: 400: a description is announced, but empty; or a multipart body cannot be taken apart.
    Source: RFC 2046 5.1, RFC 5621 3.1.
    """
    if not body:
        return None
    try:
        found = _find_sdp(body, content_type, 0)
        if found is not None and not found.strip():
            raise SdpError("empty session description")
    except SdpError as broken:
        raise SdpRefused(400, f"Broken body: {broken.reason}") from broken
    return found


def _find_sdp(body: bytes, content_type: str, depth: int) -> bytes | None:
    kind = content_type.partition(";")[0].strip().lower()
    if kind == "application/sdp":
        return body
    if not kind.startswith("multipart/"):
        return None
    if depth == MAX_NESTING:
        raise SdpError("multipart body nested too deep")
    boundary = _BOUNDARY.search(content_type)
    if not boundary:
        raise SdpError("multipart body without a boundary")
    quoted, token = boundary.groups()
    for headers, content in _parts(body, re.sub(r"\\(.)", r"\1", quoted) if quoted else token):
        if (found := _find_sdp(content, headers.get("content-type", "text/plain"), depth + 1)) is not None:
            return found
    return None


def _parts(body: bytes, boundary: str) -> list[tuple[dict[str, str], bytes]]:
    """The parts of a multipart body: (headers by lower-case name, content). The line end before a boundary belongs to it."""
    delimiter = re.compile(rb"(?:\A|\r?\n)--" + re.escape(boundary.encode("utf-8", "replace")) + rb"(--)?[ \t]*(?=\r?\n|\Z)")
    edges = list(delimiter.finditer(body))
    if not edges:
        raise SdpError("multipart body without its boundary")
    parts = []
    for index, edge in enumerate(edges):
        if edge[1]:  # the closing one: what follows is an epilogue
            break
        end = edges[index + 1].start() if index + 1 < len(edges) else len(body)
        parts.append(_split_part(body[edge.end() : end]))
    return parts


def _split_part(part: bytes) -> tuple[dict[str, str], bytes]:
    part = re.sub(rb"\A\r?\n", b"", part, count=1)  # the end of the boundary's own line
    head, separator, content = b"", b"", part
    if not re.match(rb"\r?\n", part):
        found = re.search(rb"\r?\n\r?\n", part)
        if not found:
            return {}, part
        head, separator, content = part[: found.start()], found[0], part[found.end() :]
    else:
        content = re.sub(rb"\A\r?\n", b"", part, count=1)
    headers: dict[str, str] = {}
    text = re.sub(r"\r?\n[ \t]+", " ", head.decode("utf-8", "replace")) if separator else ""
    for line in text.splitlines():
        name, colon, value = line.partition(":")
        if colon:
            headers.setdefault(name.strip().lower(), value.strip())
    return headers, content
