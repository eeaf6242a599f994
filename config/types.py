"""Field types of the settings, with messages that name the remedy. Values stay what TOML can say: text, numbers, lists."""

from __future__ import annotations

import base64
import binascii
import ipaddress
import re
from dataclasses import dataclass
from typing import Annotated, Literal, NamedTuple
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, SecretStr

from sip.settings import SPOKEN

_HOST_PORT = re.compile(r"(?:\[(?P<v6>[0-9A-Fa-f:.]+)\]|(?P<host>[^:\[\]\s]+)):(?P<port>\d{1,5})")
# RFC 3261 25.1: token
_TOKEN = re.compile(r"[A-Za-z0-9\-.!%*_+`'~]+")
_CONTROL = re.compile(r"[\x00-\x20\x7f]")
_LABEL = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?")
_PRINTABLE = re.compile(r"[\x20-\x7e]*")


@dataclass(frozen=True, slots=True)
class HostPort:
    """A host (IP literal without brackets, or a name) and a port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def address_of(host: str) -> Address | None:
    """An IP literal, without its zone; None for anything else."""
    try:
        return ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return None


def is_host_name(text: str) -> bool:
    """RFC 3261 25.1, hostname, with the underscores that are met in private networks; no IP literal."""
    labels = text.removesuffix(".").split(".")
    return len(text) <= 253 and all(map(_LABEL.fullmatch, labels)) and not labels[-1].isdigit()


def _host(text: str) -> str:
    """Empty, a host name, or an IP literal that names one machine."""
    bare = text.removeprefix("[").removesuffix("]") if text.startswith("[") else text
    if not bare:
        return bare
    try:
        address = ipaddress.ip_address(bare)
    except ValueError:
        if not is_host_name(bare):
            with_port = re.fullmatch(r"(.+):\d+", text)
            hint = f'; write "{with_port[1]}", without a port' if with_port and is_host_name(with_port[1]) else ""
            raise ValueError(f'"{text}" is neither a host name nor an IP address{hint}') from None
        return bare
    if address.is_unspecified or address.is_multicast:
        raise ValueError(f'"{text}" is an address that nobody can be reached at; write the one that peers send to')
    return bare


def _is_ipv6(text: str) -> bool:
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return "%" not in text


def parse_host_port(text: str) -> HostPort:
    """`127.0.0.1:8080`, `[::1]:8080` or `name:8080`.

    Raises:
        ValueError: not of that form, or a port beyond 65535; the text of the error is for the operator.
    """
    found = _HOST_PORT.fullmatch(text)
    if found is None:
        raise ValueError(f'"{text}" is not host:port; write for example "0.0.0.0:5060" or "[::]:5060"')
    port = int(found["port"])
    if port > 65535:
        raise ValueError(f"port {port} is beyond 65535")
    if found["v6"] is not None:
        try:
            ipaddress.IPv6Address(found["v6"])
        except ValueError as problem:
            raise ValueError(f'"{found["v6"]}" is not an IPv6 address: {problem}') from None
    return HostPort(found["v6"] or found["host"], port)


class ListenAddress(NamedTuple):
    """Where SIP is received. host: an IP literal without brackets; port 0: one that is free."""

    transport: str
    host: str
    port: int


def parse_listen(text: str) -> ListenAddress:
    """`udp:0.0.0.0:5060` or `tcp:[::]:5060`. ValueError says what is wrong, for the operator."""
    transport, colon, rest = text.partition(":")
    if not colon or transport.lower() not in SPOKEN:
        raise ValueError(f'"{text}" does not begin with a transport; write for example "udp:0.0.0.0:5060" or "tcp:[::]:5060"')
    place = parse_host_port(rest)
    try:
        address = ipaddress.ip_address(place.host)
    except ValueError:
        raise ValueError(f'"{place.host}" is not an IP address: listen on an address, and put a name into sip.advertise') from None
    if address.is_multicast or place.host == "255.255.255.255":
        raise ValueError(f'"{place.host}" is an address of many machines; listen on one of this machine, or on "0.0.0.0"')
    return ListenAddress(transport.lower(), place.host, place.port)


def _listen(text: str) -> str:
    place = parse_listen(text)
    return f"{place.transport}:{HostPort(place.host, place.port)}"


def _host_port(text: str) -> str:
    return str(parse_host_port(text))


def _network(value: object) -> str:
    text = str(value).strip()
    try:
        return str(ipaddress.ip_network(text, strict=True))
    except ValueError as problem:
        try:
            whole = ipaddress.ip_network(text, strict=False)
        except ValueError:
            raise ValueError(f'"{text}" is not an address range; write for example "203.0.113.0/24" or "2001:db8::/32"') from None
        raise ValueError(f'{problem}; write "{whole}" for the whole range or "{text.partition("/")[0]}" for the one address') from None


def check_http_url(text: str) -> str:
    """An absolute http(s) URL without blanks; ValueError says what is wrong with it."""
    if _CONTROL.search(text):
        raise ValueError(f'"{text}" holds a blank or control character; write %20 for a blank')
    try:
        parts = urlsplit(text)
        parts.port  # noqa: B018  raises on a port that is none
    except ValueError as problem:
        raise ValueError(f'"{text}" is not a URL: {problem}') from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f'"{text}" is not an http or https URL; write for example "https://app.example.com/voice"')
    return text


def _base_url(text: str) -> str:
    """A URL that paths are added to."""
    if not text:
        return text
    parts = urlsplit(check_http_url(text))
    if parts.query or parts.fragment or parts.username is not None:
        raise ValueError(f'"{text}" is more than a base; write "{parts.scheme}://{parts.netloc.rpartition("@")[2]}{parts.path}"')
    if parts.hostname in ("0.0.0.0", "::"):
        raise ValueError(f'"{text}" is an address that nobody can be reached at; write the host that applications use')
    return text


def _application_url(text: str) -> str:
    """Absolute, or a path on the server's own base URL (behaviour 1.5)."""
    return text if text.startswith("/") and not text.startswith("//") and not _CONTROL.search(text) else check_http_url(text)


def _optional_application_url(text: str) -> str:
    return _application_url(text) if text else text


def _proxy_uri(text: str) -> str:
    if not text:
        return text
    scheme, colon, rest = text.partition(":")
    if not colon or scheme.lower() not in ("sip", "sips"):
        raise ValueError(f'"{text}" is not a SIP URI; write for example "sip:{text.split(";")[0]};transport=udp"')
    place, _, parameters = rest.partition("?")[0].partition(";")
    if "?" in rest:
        raise ValueError(f'"{text}" carries headers; put them into headers of the trunk')
    if "@" in place:
        raise ValueError(f'"{text}" has a user part; a proxy is a place: write "{scheme}:{rest.partition("@")[2]}" and use username')
    if not place or _CONTROL.search(rest):
        raise ValueError(f'"{text}" names no host; write for example "sip:proxy.example.com:5060;transport=udp"')
    with_port = re.fullmatch(r"(\[.*\]|[^\[\]:]*)(?::([^:]*))?", place)
    if with_port is None:
        raise ValueError(f'"{text}" is not host:port; an IPv6 address stands in brackets, as in "sip:[2001:db8::1]:5060"')
    if with_port[1].startswith("[") and not _is_ipv6(with_port[1][1:-1]):
        raise ValueError(f'"{text}" holds no IPv6 address in its brackets; write one such as "sip:[2001:db8::1]:5060"')
    parse_host_port(f"{with_port[1]}:{with_port[2] if with_port[2] is not None else 5060}")
    if with_port[2] is not None and int(with_port[2]) == 0:
        raise ValueError(f'"{text}" has port 0; leave the port out for the usual one')
    _host(with_port[1])
    transport = next((p.partition("=")[2].lower() for p in parameters.split(";") if p.partition("=")[0].lower() == "transport"), "")
    known = " or ".join(f"transport={name}" for name in SPOKEN)
    if transport and transport not in SPOKEN:
        raise ValueError(f'"{text}" wants transport "{transport}", which is not spoken here; write {known}, or leave it out')
    if scheme.lower() == "sips" and transport == "udp":
        raise ValueError(f'"{text}" wants TLS over UDP, which there is not; leave transport out')
    return text


# Header fields that the stack writes itself, or whose meaning is a promise that only it can make; a second one would break
# the message or lie about it. The single letters are their compact forms (RFC 3261 7.3.3 and its extensions).
_OWN_HEADERS = frozenset(
    {
        *("via", "v", "from", "f", "to", "t", "call-id", "i", "cseq", "contact", "m", "max-forwards", "route", "record-route", "path"),
        *("content-length", "l", "content-type", "c", "content-encoding", "e", "content-disposition", "content-language", "mime-version"),
        *("supported", "k", "require", "proxy-require", "unsupported", "allow", "allow-events", "u", "accept", "accept-encoding"),
        *("authorization", "proxy-authorization", "www-authenticate", "proxy-authenticate", "authentication-info"),
        *("session-expires", "x", "min-se", "rseq", "rack", "timestamp", "expires", "min-expires", "max-breadth"),
        *("event", "o", "refer-to", "r", "referred-by", "b", "replaces", "join", "identity", "y", "server", "warning", "reason"),
    }
)
_VISIBLE_BLANKS = {ord(" "): None, ord("\t"): None}
_OWN_PREFIXES = ("x-restcomm-", "x-dialplane-")


def _headers(headers: dict[str, str]) -> dict[str, str]:
    seen: dict[str, str] = {}
    for name, value in headers.items():
        if name.lower() in seen:
            raise ValueError(f"{seen[name.lower()]} and {name} are the same header; write it once")
        seen[name.lower()] = name
        if not _TOKEN.fullmatch(name):
            raise ValueError(f'"{name}" is not a header name; letters, digits and "-" only')
        if name.lower() in _OWN_HEADERS:
            other = name if name.lower().startswith("x-") else f"X-{name}"
            hint = f", such as {other}" if other != name else ""
            raise ValueError(f"{name} is written by the server itself; choose another header{hint}")
        if name.lower().startswith(_OWN_PREFIXES):
            raise ValueError(f"{name} is written by the server itself; choose another header, such as X-My-{name[2:]}")
        if "\r" in value or "\n" in value:
            raise ValueError(f"the value of {name} holds a line break; a header is one line")
        if _CONTROL.search(value.translate(_VISIBLE_BLANKS)):
            raise ValueError(f"the value of {name} holds a control character; leave it out")
    return headers


def _header_text(text: str) -> str:
    if not _PRINTABLE.fullmatch(text):
        raise ValueError("it holds a line break, a control character or a letter beyond ASCII; a header takes plain printable ASCII")
    return text


def _number_rule(text: str) -> str:
    if not re.fullmatch(r"\+?[0-9?]+\*?", text):
        raise ValueError(f'"{text}" is no rule for numbers; write digits, ? for any digit, and * at the end for any rest: "+1900*"')
    return text


def _no_controls(text: str) -> str:
    if not text.isprintable():
        raise ValueError("it holds a line break or a control character; leave it out")
    return text


def _client_name(text: str) -> str:
    if not 1 <= len(text) <= 100 or re.search(r"[^\x21-\x7e]|[?=@<>\"'&:;/\\]", text):
        raise ValueError("a client's name is 1 to 100 visible signs of ASCII, without ? = @ < > & : ; / \\ and quotes")
    return text


def _ha1(secret: SecretStr) -> SecretStr:
    text = secret.get_secret_value()
    if text and not re.fullmatch(r"[0-9a-fA-F]{32}|[0-9a-fA-F]{64}", text):
        raise ValueError("not the digest of a password: 64 hexadecimal digits for SHA-256, 32 for MD5")
    return SecretStr(text.lower())


def _secret_token(secret: SecretStr) -> SecretStr:
    if re.search(r"[^\x21-\x7e]", secret.get_secret_value()):
        raise ValueError("it holds a blank or a letter beyond ASCII, which no header carries; `openssl rand -hex 32` makes a good one")
    return secret


def webhook_secret(secret: SecretStr) -> SecretStr:
    """As Standard Webhooks has it. Raises ValueError with the remedy."""
    text = secret.get_secret_value()
    try:
        octets = len(base64.b64decode(text.removeprefix("whsec_"), validate=True)) if text else 24
    except binascii.Error:
        octets = 0
    if (text and not text.startswith("whsec_")) or not 24 <= octets <= 64:
        raise ValueError("it is not whsec_ and the Base64 of 24 to 64 octets; `echo whsec_$(openssl rand -base64 32)` makes one")
    return secret


def _sid(prefix: str) -> AfterValidator:
    pattern = re.compile(prefix + "[0-9a-f]{32}")

    def check(text: str) -> str:
        if text and not pattern.fullmatch(text):
            raise ValueError(f'"{text}" is not {prefix} and 32 lower-case hexadecimal digits; leave it out to have one made')
        return text

    return AfterValidator(check)


def _upper(value: object) -> object:
    return value.upper() if isinstance(value, str) else value


def _lower(value: object) -> object:
    return value.lower() if isinstance(value, str) else value


Host = Annotated[str, AfterValidator(_host)]
HeaderText = Annotated[str, AfterValidator(_header_text)]
Printable = Annotated[str, AfterValidator(_no_controls)]
ClientName = Annotated[str, AfterValidator(_client_name)]
Ha1 = Annotated[SecretStr, AfterValidator(_ha1)]
WebhookSecret = Annotated[SecretStr, AfterValidator(webhook_secret)]
NumberRule = Annotated[str, AfterValidator(_number_rule)]
SecretToken = Annotated[SecretStr, AfterValidator(_secret_token)]
BaseUrl = Annotated[str, AfterValidator(_base_url)]
Listen = Annotated[str, AfterValidator(_listen)]
HostPortText = Annotated[str, AfterValidator(_host_port)]
Network = Annotated[str, BeforeValidator(_network)]
ApplicationUrl = Annotated[str, AfterValidator(_application_url)]
OptionalApplicationUrl = Annotated[str, AfterValidator(_optional_application_url)]
ProxyUri = Annotated[str, AfterValidator(_proxy_uri)]
SipHeaders = Annotated[dict[str, str], AfterValidator(_headers)]
Method = Annotated[Literal["GET", "POST"], BeforeValidator(_upper)]
LogLevel = Annotated[Literal["debug", "info", "warning", "error"], BeforeValidator(_lower)]
InstanceSid = Annotated[str, _sid("ID")]
AccountSid = Annotated[str, _sid("AC")]
