"""From a noun to the places its INVITE goes to: Request-URI, next hop, From, headers, credentials (behaviour.md 2.3, 2.4)."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from media.settings import SrtpPolicy
from rcml.verbs.dial import Client, Noun, Number, Sip
from server.calls.destination import Destination, Placed
from server.calls.history import NO_HISTORY, History, HistoryKind, history_headers
from server.calls.identity import ANONYMOUS_NAME, ANONYMOUS_URI, NO_PRIVACY, IdentityKind, Privacy, identity_headers
from server.calls.numbering import NO_PLAN, DenyList, NumberFormat, NumberPlan, written
from server.calls.outcome import CODE_OF_FORBIDDEN, CODE_OF_UNKNOWN_CLIENT, CODE_OF_UNREACHABLE, CODE_OF_UNREGISTERED_CLIENT, FORBIDDEN
from server.calls.phones import Locator, Nobody
from sip.core.commands import Credentials, HeaderList
from sip.core.routing import wants
from sip.core.transports import DEFAULT, DEFAULT_SECURE
from sip.errors import ParseError
from sip.message.uri import Uri, escape_user, parse_uri, subscriber

MAX_URI = 255  # characters, behaviour.md 2.4
MAX_HEADERS = 1024
_SEPARATORS = re.compile(r"[\s().-]")  # RFC 3966 3: visual-separator


@dataclass(frozen=True, slots=True)
class Outbound:
    """The trunk that Numbers go out by. proxies: SIP URIs, the fallback behind the first."""

    name: str
    proxies: tuple[str, ...]
    credentials: Credentials | None = None
    headers: HeaderList = ()
    from_host: str = ""
    trusted_identity: bool = False  # it is told who calls, also who does not want to be shown (RFC 3325)
    srtp: SrtpPolicy | None = None  # None: the server's setting
    plan: NumberPlan = NO_PLAN
    number_format: NumberFormat = "as_dialled"
    number_prefix: str = ""
    identity: IdentityKind = "pai"
    history: HistoryKind = "none"


@dataclass(frozen=True, slots=True)
class CallerIdentity:
    """Of the party on whose behalf is dialled. asserted: the URI that a trusted network vouches for, "" for none.

    forwarded_from: who had been called first, for the application. dialled: the number of ours that it called, "" for none.
    history: what was before.
    """

    user: str
    display: str | None
    privacy: Privacy = NO_PRIVACY
    asserted: str = ""
    forwarded_from: str | None = None
    dialled: str = ""
    history: History = NO_HISTORY


@dataclass(frozen=True, slots=True)
class _Shown:
    """How the callee sees the caller. user: for the records; name: for callbacks, None when it is withheld; privacy: what is withheld."""

    uri: str
    display: str | None
    user: str
    headers: HeaderList = ()
    name: str | None = None
    privacy: Privacy = NO_PRIVACY


@dataclass(frozen=True, slots=True)
class Unreachable:
    """A noun that no branch can be made of. code: our final to a caller who is still unanswered."""

    reason: str
    code: int
    remedy: str = ""


class Targets:
    """Sans-I/O; one for the server.

    domain: the host in From of Sip and Client legs. phones: where clients are. dead: why a proxy is passed over; None: it lives.
    denied: numbers that may not be dialled.
    """

    def __init__(
        self,
        outbound: Outbound | None,
        domain: str,
        phones: Locator | None = None,
        dead: Callable[[str], str | None] = lambda uri: None,
        denied: DenyList | None = None,
    ) -> None:
        self._denied = denied or DenyList()
        self._dead = dead
        self._outbound = outbound
        self._domain = domain
        self._phones = phones or Nobody()

    def places(
        self, noun: Noun, caller_id: str | None, caller: CallerIdentity, refusal: Callable[[str], str | None]
    ) -> list[Placed | Unreachable]:
        """A branch for each place that a noun means: for each phone of a Client, else one."""
        if isinstance(noun, Client):
            return self._client(noun, caller_id, caller)
        return [self.place(noun, caller_id, caller, refusal)]

    def place(
        self, noun: Noun, caller_id: str | None, caller: CallerIdentity, refusal: Callable[[str], str | None]
    ) -> Placed | Unreachable:
        """The first of `places`. refusal: why a document may not lead to a host, None when it may (`Policy.sip_refusal`)."""
        match noun:
            case Number():
                return self._number(noun, caller_id, caller)
            case Sip():
                return self._sip(noun, caller_id, caller, refusal)
            case Client():
                return self._client(noun, caller_id, caller)[0]
            case _:
                return Unreachable("A <Conference> is a room, and nobody to be called", CODE_OF_UNREACHABLE, "dial a <Number> or <Sip>")

    def _number(self, noun: Number, caller_id: str | None, caller: CallerIdentity) -> Placed | Unreachable:
        trunk = self._outbound
        if trunk is None or not trunk.proxies:
            remedy = "set `proxy` in a [[trunks]] table, and `trunk` in [outbound] when there are several"
            return Unreachable("No outbound proxy", CODE_OF_UNREACHABLE, remedy)
        if (rule := self._denied.rule_for(noun.text, trunk.plan)) is not None:
            return _denied_by(rule)
        living = [text for text in trunk.proxies if self._dead(text) is None]
        if not living:
            why = self._dead(trunk.proxies[0])
            return Unreachable(f"Trunk {trunk.name} is dead: {why}", CODE_OF_UNREACHABLE, "the log says since when (trunk_dead)")
        destinations = []
        shown = _Shown("", None, "")
        for text in living:
            try:
                proxy = parse_uri(text)
            except ParseError as error:
                return Unreachable(f"No outbound proxy: {error.reason}", CODE_OF_UNREACHABLE, f"mend `proxy` of trunk {trunk.name}")
            params = {name: value for name, value in proxy.params.items() if name in ("transport", "maddr")}
            host, transport = _hop(proxy)
            number = written(noun.text, trunk.plan, trunk.number_format, trunk.number_prefix)
            target = Uri(proxy.scheme, escape_user(number), None, proxy.host, proxy.port, params, ())
            shown = self._identity(caller_id, caller, trunk.from_host or proxy.host, trusted=trunk.trusted_identity)
            headers = trunk.headers + noun.headers
            own = identity_headers(shown.headers, trunk.identity, shown.privacy)
            own += history_headers(caller.history, caller.dialled, trunk.history, trunk.from_host or proxy.host, str(target))
            destinations.append(
                Destination(
                    request_uri=str(target),
                    host=host,
                    transport=transport,
                    from_uri=shown.uri,
                    from_display=shown.display,
                    next_hop=text if proxy.lr else None,
                    headers=headers + _besides(headers, own),
                    credentials=trunk.credentials,
                )
            )
        return Placed(destinations, shown.user, noun.text, trunk.srtp, shown.name, shown.privacy)

    def _sip(self, noun: Sip, caller_id: str | None, caller: CallerIdentity, refusal: Callable[[str], str | None]) -> Placed | Unreachable:
        if len(noun.uri) > MAX_URI or sum(len(name) + len(value) for name, value in noun.headers) > MAX_HEADERS:
            return Unreachable("SIP URI or its headers too long", 414, f"at most {MAX_URI} characters of URI, {MAX_HEADERS} of headers")
        try:
            uri = parse_uri(noun.uri)
        except ParseError as error:
            return Unreachable(f"Bad SIP URI: {error.reason}", 404, "write sip:user@host")
        if uri.scheme not in ("sip", "sips") or not uri.host:
            return Unreachable(f"Bad SIP URI: scheme {uri.scheme}", 404, "write sip:user@host")
        host, transport = _hop(uri)
        if (denied := refusal(host)) is not None:
            return Unreachable(FORBIDDEN, CODE_OF_FORBIDDEN, denied)
        if (rule := self._denied_number(uri, host)) is not None:
            return _denied_by(rule)
        shown = self._identity(caller_id, caller, self._domain, trusted=False)
        credentials = Credentials(noun.username, noun.password or "") if noun.username else None
        destination = Destination(
            request_uri=noun.uri,
            host=host,
            transport=transport,
            from_uri=shown.uri,
            from_display=shown.display,
            headers=noun.headers + _besides(noun.headers, shown.headers),
            credentials=credentials,
        )
        return Placed([destination], shown.user, subscriber(uri) or uri.host, None, shown.name, shown.privacy)

    def _client(self, noun: Client, caller_id: str | None, caller: CallerIdentity) -> list[Placed | Unreachable]:
        phones = self._phones.find(noun.name)
        if phones is None:
            return [Unreachable(f"Client {noun.name} is unknown", CODE_OF_UNKNOWN_CLIENT, "add it to the [[clients]]")]
        if not phones:
            return [
                Unreachable(f"Client {noun.name} is not registered", CODE_OF_UNREGISTERED_CLIENT, "`dialplane registrations` shows who is")
            ]
        shown = self._identity(caller_id, caller, self._domain, trusted=False)
        headers = noun.headers + _besides(noun.headers, shown.headers)
        return [
            Placed(
                [
                    Destination(
                        request_uri=way.uri,
                        host=way.host,
                        transport=way.transport,
                        from_uri=shown.uri,
                        from_display=shown.display,
                        headers=headers,
                        flow=way.flow,
                        phone=way.name,
                    )
                    for way in ways
                ],
                shown.user,
                noun.name,
                None,
                shown.name,
                shown.privacy,
            )
            for ways in phones
        ]

    def refer_to(self, text: str) -> str | None:
        """Whom a phone is asked to call, as a URI; a bare name or number is one at this server. None: it is no SIP URI."""
        if not text.lower().startswith(("sip:", "sips:")):
            text = f"sip:{text}" if "@" in text else f"sip:{escape_user(text)}@{self._domain}"
        try:
            uri = parse_uri(text)
        except ParseError:
            return None
        return str(uri) if uri.scheme in ("sip", "sips") and uri.host else None

    def _denied_number(self, uri: Uri, host: str) -> str | None:
        """The rule that a Sip breaks whose user is a number: by its address it may lead to a trunk that knows us by ours."""
        number = _SEPARATORS.sub("", subscriber(uri) or "")
        trunk = self._outbound
        ours = trunk is not None and host.lower() in {_hop(parse_uri(text))[0].lower() for text in trunk.proxies}
        return self._denied.rule_for(number, trunk.plan if trunk is not None and ours else NO_PLAN)

    def _identity(self, caller_id: str | None, caller: CallerIdentity, host: str, *, trusted: bool) -> _Shown:
        """What the callee is shown of the caller (behaviour.md 2.3); a caller ID of the document's own is meant to be shown.

        trusted: the next hop keeps to itself what may not be shown.
        """
        if caller_id is None:
            return self._own_identity(caller, host, trusted=trusted)
        text = caller_id.strip()
        if "@" in text:
            try:
                uri = parse_uri(text if text.startswith(("sip:", "sips:")) else f"sip:{text}")
            except ParseError:
                return _Shown(_from(text, host), None, text)
            return _Shown(str(uri), None, subscriber(uri) or text, _asserted(str(uri), trusted))
        user = text.removeprefix("client:")
        return _Shown(_from(user, host), None, user, _asserted(_from(user, host), trusted and bool(user)))

    def _own_identity(self, caller: CallerIdentity, host: str, *, trusted: bool) -> _Shown:
        """The caller's, unless it is withheld (RFC 3323 4.1, 5.1; RFC 3325 7)."""
        privacy, uri = caller.privacy, _from(caller.user, host)
        asserted = _asserted(caller.asserted or uri, trusted and bool(caller.asserted or (caller.user and not privacy.unknown)))
        headers = asserted + ((("Privacy", privacy.value),) if privacy.value else ())
        name = None if privacy.name else caller.display
        if privacy.number:
            return _Shown(ANONYMOUS_URI, ANONYMOUS_NAME, caller.user, headers, None, privacy)
        return _Shown(uri, name, caller.user, headers, name, privacy)


def _hop(uri: Uri) -> tuple[str, str]:
    """(host, transport) of the next hop, as the SIP core will take them: `maddr` goes before the host, `sips` means TLS."""
    host, _, transport, secure = wants(uri)
    return host, transport or (DEFAULT_SECURE if secure else DEFAULT)


def _denied_by(rule: str) -> Unreachable:
    remedy = f'dial.number_deny has "{rule}"; a longer rule in dial.number_allow excepts a number from it'
    return Unreachable("Number may not be dialled", CODE_OF_FORBIDDEN, remedy)


def _asserted(uri: str, told: bool) -> HeaderList:
    return (("P-Asserted-Identity", f"<{uri}>"),) if told else ()


def _besides(headers: HeaderList, more: HeaderList) -> HeaderList:
    """Those of `more` that are not set already: a document or a trunk that names one means it."""
    named = {name.lower() for name, _ in headers}
    return tuple(header for header in more if header[0].lower() not in named)


def _from(user: str, host: str) -> str:
    """The URI of a From; without a user for a caller that has none (RFC 3261 25.1: a userinfo is never empty)."""
    return str(Uri("sip", escape_user(user) or None, None, host, None, {}, ()))
