"""Who may call in, which application answers, where Numbers go out. Pure: the settings in, answers and reasons out.

Numbers are matched in the order of behaviour.md 1.4, the first hit winning:

1. the dialled text as it is (its escapes undone: behaviour 0.14);
2. its E.164 form: visual separators dropped, and `011` (the international prefix of the home region, the USA) or a bare
   country code turned into `+`. Skipped when it holds `*` or `#`. A country code is never guessed: ten digits get one only
   when `server.country_code` is set (behaviour.md 1.4 wants 2349876543 not to match +12349876543);
3. with the leading `+` added or removed;
4. the regular expressions, longest pattern first, searched for and not anchored, when the text is made of digits, `*`, `#` and `+`
   (`server.patterns`). One that cannot be read is left out and reported, never fatal;
5. the catch-all `*`.

Two texts may be dialled: the To header's and the Request-URI's, which a proxy may have changed on the way. With `server.use_to` a number
that is To's (1 to 4) answers, else one that is the Request-URI's, else the catch-all; without it only the Request-URI counts.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, replace
from typing import Literal
from urllib.parse import unquote, urljoin

from config.peers import NumberSettings, TrunkSettings
from config.settings import Settings, networks
from config.types import Address, address_of
from rcml.dialect import DIALECTS
from server.calls.policy import Application, Refusal
from server.patterns import Pattern, PatternError

NOTIFICATION_NO_APPLICATION = 11005
LONGEST_DIALLED = 128  # characters that patterns are tried on; a longer text is no telephone number
_DIALLABLE = re.compile(r"[0-9*#+]+")
_SEPARATORS = re.compile(r"[\s\-.()/]")


_NO_TRUNK = TrunkSettings(name="clients")  # by which clients call


@dataclass(frozen=True, slots=True)
class BadPattern:
    """A regular expression among the numbers that cannot be used, and why."""

    pattern: str
    error: str


@dataclass(frozen=True, slots=True)
class Unmatched:
    """Why a dialled text found no number. tried: the forms that were looked up."""

    dialled: str
    tried: tuple[str, ...]
    bad_patterns: tuple[BadPattern, ...]

    def __str__(self) -> str:
        text = (
            f'no [[numbers]] is {" or ".join(self.tried)}, and there is no catch-all: add [[numbers]] with number = "{self.dialled}" or "*"'
        )
        if self.bad_patterns:
            text += "; left out as unreadable: " + ", ".join(f"{bad.pattern} ({bad.error})" for bad in self.bad_patterns)
        return text


@dataclass(frozen=True, slots=True)
class Stranger:
    """Why a source belongs to no trunk. range: what `allow` would have to hold."""

    source: str
    range: str
    trunks: tuple[str, ...]

    def __str__(self) -> str:
        if not self.trunks:
            return f'{self.source} may not call, as there are no [[trunks]]: add one with allow = ["{self.range}"]'
        names = ", ".join(f'"{name}"' for name in self.trunks)
        return f'{self.source} belongs to no trunk: add "{self.range}" to allow of one of the [[trunks]] ({names})'


class Routing:
    """The tables of one configuration. Implements `server.calls.policy.Router` and `sip.core.gate.Screen`."""

    def __init__(self, settings: Settings) -> None:
        self._trunks = settings.trunks
        self._outbound = settings.outbound.trunk
        self._clients = {client.name: client for client in settings.clients}
        self._base_url = settings.server.base_url
        self._country_code = settings.server.country_code
        # Most specific range first; of equal ones the first trunk's.
        self._ranges = sorted(
            ((network, trunk) for trunk in settings.trunks for network in networks(trunk.allow)), key=lambda pair: -pair[0].prefixlen
        )
        numbers = [_absolute(number, settings.server.base_url) for number in settings.numbers]
        self._literal = {number.number: number for number in numbers if not number.regex}
        self._patterns: list[tuple[Pattern, NumberSettings]] = []
        bad = []
        for number in sorted((number for number in numbers if number.regex), key=lambda number: -len(number.number)):
            try:
                self._patterns.append((Pattern(number.number), number))
            except PatternError as error:
                bad.append(BadPattern(number.number, str(error)))
        self.bad_patterns = tuple(bad)

    # --- callers

    def trunk_for(self, source_ip: str) -> TrunkSettings | None:
        """The trunk that a caller at an address belongs to, or None."""
        address = _address(source_ip)
        if address is None:
            return None
        return next((trunk for network, trunk in self._ranges if address.version == network.version and address in network), None)

    def stranger(self, source_ip: str) -> Stranger:
        """Why `trunk_for` said None."""
        address = _address(source_ip)
        whole = f"{address}/{address.max_prefixlen}" if address is not None else source_ip
        return Stranger(source_ip, whole, tuple(trunk.name for trunk in self._trunks))

    def admits(self, host: str) -> bool:
        return self.trunk_for(host) is not None

    def contact_policy(self, host: str) -> Literal["auto", "observed", "contact"]:
        trunk = self.trunk_for(host)
        return "auto" if trunk is None else trunk.contact

    def explain(self, host: str) -> str:
        return str(self.stranger(host))

    # --- numbers

    def find_number(self, dialled: str, otherwise: str = "") -> tuple[NumberSettings | None, bool]:
        """The number that answers (its URLs are absolute; None: see `unmatched`), and whether `otherwise` found it."""
        number = self._own_number(dialled)
        if number is None and otherwise and (number := self._own_number(otherwise)) is not None:
            return number, True
        return number or self._literal.get("*"), False

    def _own_number(self, dialled: str) -> NumberSettings | None:
        """The same without the catch-all."""
        forms = self.forms(dialled)
        for form in forms:
            if form in self._literal:
                return self._literal[form]
        if _patterns_apply(forms[0]):
            for pattern, number in self._patterns:
                if pattern.search(forms[0]):
                    return number
        return None

    def unmatched(self, dialled: str) -> Unmatched:
        """Why `find_number` said None."""
        forms = self.forms(dialled)
        return Unmatched(forms[0], forms, self.bad_patterns)

    def forms(self, dialled: str) -> tuple[str, ...]:
        """The texts that a dialled one is looked up as, in order, each once."""
        text = unescape(dialled)
        number = text.partition(";")[0]  # `+15551234;npdi=yes`: parameters of a telephone-subscriber (RFC 3261 19.1.6)
        forms = [text, number]
        full = e164(number, self._country_code)
        if full is not None:
            forms.append(full)
        forms.append(number[1:] if number.startswith("+") else f"+{number}")
        if full is not None:
            forms.append(full[1:])
        return tuple(dict.fromkeys(form for form in forms if form))

    # --- out

    def outbound_trunk(self) -> TrunkSettings | None:
        """Where Numbers are dialled, or None when there is no such place (then `no_outbound` says why)."""
        if self._outbound:
            return next((trunk for trunk in self._trunks if trunk.name == self._outbound and trunk.proxy), None)
        return next((trunk for trunk in self._trunks if trunk.proxy), None)

    def no_outbound(self) -> str:
        names = ", ".join(f'"{trunk.name}"' for trunk in self._trunks)
        where = f"one of the [[trunks]] ({names})" if names else "a [[trunks]]"
        return f'No outbound proxy: set proxy = "sip:host:port" in {where}'

    # --- both

    def admit(self, source: str, dialled: str, otherwise: str = "", client: str = "") -> Application | Refusal:
        """The application that answers a call, or the refusal with the setting that would have let it in."""
        if client:
            return self._admit_client(client, dialled, otherwise)
        trunk = self.trunk_for(source)
        if trunk is None:
            return Refusal(403, "Forbidden", str(self.stranger(source)), stranger=True)
        called = self._call_of_client(dialled, otherwise)
        if isinstance(called, Application):
            return replace(called, srtp=trunk.srtp, trusted_identity=trunk.trusted_identity)
        return called or self._admit_to_number(dialled, otherwise, trunk)

    def _admit_client(self, name: str, dialled: str, otherwise: str) -> Application | Refusal:
        """A call of a client (behaviour.md 1.3): its own application, another client, a number, the way out."""
        client = self._clients.get(name)
        if client is None or not client.active:
            return _inactive(name)
        if client.voice_url:
            return Application(
                number=f"client:{name}",
                voice_url=_resolved(client.voice_url, self._base_url),
                voice_method=client.voice_method,
                fallback_url=_resolved(client.fallback_url, self._base_url),
                fallback_method=client.fallback_method,
                answer_delay=client.answer_delay,
            )
        called = self._call_of_client(dialled, otherwise)
        if called is None:
            found = self._admit_to_number(dialled, otherwise, _NO_TRUNK)
            text = unescape(dialled)
            if isinstance(found, Application) or not (text and text.isprintable()) or self.outbound_trunk() is None:
                return found
            called = Application(number=text, voice_url="", dials=text)
        return replace(called, answer_delay=client.answer_delay) if isinstance(called, Application) else called

    def _call_of_client(self, dialled: str, otherwise: str) -> Application | Refusal | None:
        """A call to a client, by what To says or by the Request-URI; None when it is to nobody of ours."""
        for text, used in ((unescape(dialled), ""), (unescape(otherwise), otherwise)):
            client = self._clients.get(text)
            if client is not None and not client.active:
                return _inactive(text)
            if client is not None:
                return Application(number=f"client:{text}", voice_url="", dialled=used, dials=f"client:{text}")
        return None

    def _admit_to_number(self, dialled: str, otherwise: str, trunk: TrunkSettings) -> Application | Refusal:
        """trunk: by which the call came."""
        number, by_other = self.find_number(dialled, otherwise)
        if number is None:
            explain = str(self.unmatched(dialled)) + (f'; nor is the Request-URI\'s "{unescape(otherwise)}" a number' if otherwise else "")
            return Refusal(404, "Not Found", explain, notification=NOTIFICATION_NO_APPLICATION)
        return Application(
            number=number.number,
            voice_url=number.voice_url,
            voice_method=number.voice_method,
            fallback_url=number.fallback_url,
            fallback_method=number.fallback_method,
            status_callback=number.status_callback,
            status_callback_method=number.status_callback_method,
            refer_url=number.refer_url,
            refer_method=number.refer_method,
            answer_delay=number.answer_delay,
            dialect=DIALECTS[number.dialect],
            srtp=trunk.srtp,
            trusted_identity=trunk.trusted_identity,
            dialled=otherwise if by_other else "",
        )


def _inactive(client: str) -> Refusal:
    return Refusal(403, "Account is not ACTIVE", f"the client {client} is not in the [[clients]], or is switched off (active = false)")


def unescape(user: str) -> str:
    """A user part with its escapes undone (`%23` is `#`); what is no valid escape stays as it is."""
    return unquote(user, errors="replace") if "%" in user else user


def _patterns_apply(text: str) -> bool:
    return len(text) <= LONGEST_DIALLED and _DIALLABLE.fullmatch(text) is not None


def _address(text: str) -> Address | None:
    address = address_of(text)
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None  # a dual-stack socket says ::ffff:192.0.2.1
    return mapped or address


def _absolute(number: NumberSettings, base_url: str) -> NumberSettings:
    urls = ("voice_url", "fallback_url", "status_callback", "refer_url")
    return number.model_copy(update={name: _resolved(getattr(number, name), base_url) for name in urls})


def _resolved(url: str, base_url: str) -> str:
    """A relative one is on the server's own base URL (behaviour.md 1.5)."""
    return urljoin(base_url + "/", url) if url.startswith("/") else url


def e164(text: str, country_code: str) -> str | None:
    """`+` and up to 15 digits (ITU-T E.164 6), or None when the text is no international number.

    country_code: what ten digits lack, "" for none.
    """
    digits = _SEPARATORS.sub("", text)
    plus = digits.startswith("+")
    digits = digits.removeprefix("+")
    if not digits.isascii() or not digits.isdigit():
        return None
    if not plus and digits.startswith("011"):
        digits = digits.removeprefix("011")
    elif not plus and len(digits) == 10:
        if not country_code:
            return None
        digits = country_code + digits
    elif not plus and not (len(digits) == 11 and digits.startswith("1")):
        return None
    return f"+{digits}" if 7 <= len(digits) <= 15 else None
