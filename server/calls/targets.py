"""From a noun to the places its INVITE goes to: Request-URI, next hop, From, headers, credentials (behaviour.md 2.3, 2.4)."""

from __future__ import annotations

from dataclasses import dataclass

from media.settings import SrtpPolicy
from rcml.verbs.dial import Client, Noun, Number, Sip
from server.calls.destination import Destination, Placed
from server.calls.outcome import CODE_OF_UNKNOWN_CLIENT, CODE_OF_UNREACHABLE
from sip.core.commands import Credentials, HeaderList
from sip.errors import ParseError
from sip.message.uri import Uri, escape_user, parse_uri, subscriber

MAX_URI = 255  # characters, behaviour.md 2.4
MAX_HEADERS = 1024


@dataclass(frozen=True, slots=True)
class Outbound:
    """The trunk that Numbers go out by. proxies: SIP URIs, the fallback behind the first."""

    name: str
    proxies: tuple[str, ...]
    credentials: Credentials | None = None
    headers: HeaderList = ()
    from_host: str = ""
    srtp: SrtpPolicy | None = None  # None: the server's setting


@dataclass(frozen=True, slots=True)
class CallerIdentity:
    user: str
    display: str | None


@dataclass(frozen=True, slots=True)
class Unreachable:
    """A noun that no branch can be made of. code: our final to a caller who is still unanswered."""

    reason: str
    code: int
    remedy: str = ""


class Targets:
    """Sans-I/O; one for the server. domain: the host in From of Sip legs."""

    def __init__(self, outbound: Outbound | None, domain: str) -> None:
        self._outbound = outbound
        self._domain = domain

    def place(self, noun: Noun, caller_id: str | None, caller: CallerIdentity) -> Placed | Unreachable:
        match noun:
            case Number():
                return self._number(noun, caller_id, caller)
            case Sip():
                return self._sip(noun, caller_id, caller)
            case Client():
                remedy = "dial the phone by <Sip> for now"
                return Unreachable(f"Client {noun.name}: <Client> is not supported in this release", CODE_OF_UNKNOWN_CLIENT, remedy)
            case _:
                return Unreachable("<Conference> is not supported in this release", CODE_OF_UNREACHABLE, "dial a <Number> or <Sip>")

    def _number(self, noun: Number, caller_id: str | None, caller: CallerIdentity) -> Placed | Unreachable:
        trunk = self._outbound
        if trunk is None or not trunk.proxies:
            remedy = "set `proxy` in a [[trunks]] table, and `trunk` in [outbound] when there are several"
            return Unreachable("No outbound proxy", CODE_OF_UNREACHABLE, remedy)
        destinations = []
        from_user = ""
        for text in trunk.proxies:
            try:
                proxy = parse_uri(text)
            except ParseError as error:
                return Unreachable(f"No outbound proxy: {error.reason}", CODE_OF_UNREACHABLE, f"mend `proxy` of trunk {trunk.name}")
            params = {name: value for name, value in proxy.params.items() if name == "transport"}
            target = Uri(proxy.scheme, escape_user(noun.text), None, proxy.host, proxy.port, params, ())
            from_uri, display, from_user = self._identity(caller_id, caller, trunk.from_host or proxy.host)
            destinations.append(
                Destination(
                    request_uri=str(target),
                    host=proxy.host,
                    transport=(proxy.params.get("transport") or "udp").lower(),
                    from_uri=from_uri,
                    from_display=display,
                    next_hop=text if proxy.lr else None,
                    headers=trunk.headers + noun.headers,
                    credentials=trunk.credentials,
                )
            )
        return Placed(destinations, from_user, noun.text, trunk.srtp)

    def _sip(self, noun: Sip, caller_id: str | None, caller: CallerIdentity) -> Placed | Unreachable:
        if len(noun.uri) > MAX_URI or sum(len(name) + len(value) for name, value in noun.headers) > MAX_HEADERS:
            return Unreachable("SIP URI or its headers too long", 414, f"at most {MAX_URI} characters of URI, {MAX_HEADERS} of headers")
        try:
            uri = parse_uri(noun.uri)
        except ParseError as error:
            return Unreachable(f"Bad SIP URI: {error.reason}", 404, "write sip:user@host")
        if uri.scheme not in ("sip", "sips") or not uri.host:
            return Unreachable(f"Bad SIP URI: scheme {uri.scheme}", 404, "write sip:user@host")
        from_uri, display, from_user = self._identity(caller_id, caller, self._domain)
        credentials = Credentials(noun.username, noun.password or "") if noun.username else None
        destination = Destination(
            request_uri=noun.uri,
            host=uri.host,
            transport=(uri.params.get("transport") or "udp").lower(),
            from_uri=from_uri,
            from_display=display,
            headers=noun.headers,
            credentials=credentials,
        )
        return Placed([destination], from_user, subscriber(uri) or uri.host)

    def _identity(self, caller_id: str | None, caller: CallerIdentity, host: str) -> tuple[str, str | None, str]:
        """From URI, display name, and the user part for the records (behaviour.md 2.3)."""
        if caller_id is None:
            return _from(caller.user, host), caller.display, caller.user
        text = caller_id.strip()
        if "@" in text:
            try:
                uri = parse_uri(text if text.startswith(("sip:", "sips:")) else f"sip:{text}")
            except ParseError:
                return _from(text, host), None, text
            return str(uri), None, subscriber(uri) or text
        user = text.removeprefix("client:")
        return _from(user, host), None, user


def _from(user: str, host: str) -> str:
    """The URI of a From; without a user for a caller that has none (RFC 3261 25.1: a userinfo is never empty)."""
    return str(Uri("sip", escape_user(user) or None, None, host, None, {}, ()))
