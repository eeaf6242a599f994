"""The door: phones that may come from anywhere prove by digest who they are, before anything is kept of what they ask for.

    REGISTER, or an INVITE that says it is from a client ─▶ budget of its address ─▶ credentials? ─┬─ right ─▶ the core, with its user
                                                                 └─ used up ─▶ silence            ├─ none, stale ─▶ 407 (401), stateless
                                                                                                  └─ wrong ─▶ 403; many of them: a ban

Addresses of the trunks (`Gate.admits`) have no budget here and are never banned: a proxy in front of us speaks for many phones, and
keeps them in bounds itself. An INVITE from such an address that says it is from nobody of ours is the trunk's affair.
A ban needs guesses under nonces that this very address was given (`sip.core.digest_server`), so a forged source bans nobody.
Source: RFC 3261 22, 26.1.5; RFC 7616 5.7.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Protocol, assert_never

from sip.core.commands import HeaderList
from sip.core.digest_server import DigestServer, Judgement, Secrets
from sip.core.incoming import Incoming
from sip.core.sources import Budget, Sources
from sip.core.tokens import Tokens
from sip.message import ParseError, Uri, parse_name_addr, parse_uri, subscriber
from sip.settings import RegistrarSettings

SERVED = ("REGISTER", "INVITE")
_STARTS = (b"REGISTER ", b"INVITE ")
MINUTE_S = 60.0


@dataclass(frozen=True, slots=True)
class Account:
    """A client that may register and call. active: False refuses it with 403 whatever it proves."""

    secrets: Secrets
    active: bool = True


class Accounts(Protocol):
    """Who may prove what: the user's table."""

    def any(self) -> bool:
        """Whether there is anybody at all."""

    def find(self, name: str) -> Account | None: ...

    def is_ours(self, host: str) -> bool:
        """Whether a domain or address is one that our clients write behind their name."""


@dataclass(frozen=True, slots=True)
class Admitted:
    """user: who has proved to be that."""

    user: str


@dataclass(frozen=True, slots=True)
class Denied:
    """One stateless answer. why: for the log; empty for a challenge, which is nothing to tell.

    banned: from now on the gate lets nothing of that address in.
    """

    status: int
    reason: str
    headers: HeaderList = ()
    why: str = ""
    banned: bool = False


class Door:
    """counts: by what happened, for metrics."""

    def __init__(self, settings: RegistrarSettings, accounts: Accounts, tokens: Tokens) -> None:
        self._settings = settings
        self._accounts = accounts
        self._digest = DigestServer(settings.realm, settings.algorithms, settings.nonce_s, tokens)
        self._sources = Sources(settings.max_sources, partial(_Source, settings.max_per_source))
        self._all = Budget(settings.max_per_second, 0.0)
        self.counts = {"challenged": 0, "denied": 0, "silenced": 0}

    @property
    def ban_s(self) -> float:
        return self._settings.ban_s

    def __len__(self) -> int:
        """Addresses that are remembered."""
        return len(self._sources)

    def replace(self, accounts: Accounts) -> None:
        """Other clients from now on."""
        self._accounts = accounts

    # --- before it is parsed --------------------------------------------------------------------------------------

    def may_concern(self, data: bytes) -> bool:
        """Whether octets may be for the door: judged by how they begin."""
        return data.startswith(_STARTS) and self._accounts.any()

    def admits(self, host: str, known: bool, now: float) -> bool:
        """Charge an address outside the trunks for one request. known: a phone is registered from there."""
        settings = self._settings
        spent = self._sources.of(host, now).budget.spend(settings.max_per_source, now)
        if not spent or not (known or self._all.spend(settings.max_per_second, now)):
            self.counts["silenced"] += 1
            return False
        return True

    # --- afterwards -----------------------------------------------------------------------------------------------

    def concerns(self, incoming: Incoming, *, listed: bool) -> bool:
        """Whether a request opens something that wants a proof of who asks. listed: it comes from the address of a trunk."""
        request = incoming.request
        if incoming.to_tag is not None or request.method not in SERVED or not self._accounts.any():
            return False
        if request.method == "REGISTER" or not listed:
            return True
        return self._claims(incoming)

    def _claims(self, incoming: Incoming) -> bool:
        """Whether the From of a trunk's INVITE is one of our clients', in one of our domains or that of its Request-URI."""
        uri = _address(incoming, "From")
        if uri is None or self._accounts.find(subscriber(uri)) is None:
            return False
        if self._accounts.is_ours(uri.host):
            return True
        try:
            return parse_uri(incoming.request.uri).host.lower() == uri.host.lower()
        except ParseError:
            return False

    def judge(self, incoming: Incoming, now: float, *, listed: bool) -> Admitted | Denied:
        """What is said to a request that `concerns` us."""
        request, host = incoming.request, incoming.flow.remote.host
        uri = _address(incoming, "To" if request.method == "REGISTER" else "From")
        claimed = "" if uri is None else subscriber(uri)
        headers = request.headers
        answer = self._digest.read([*headers.get_all("Proxy-Authorization"), *headers.get_all("Authorization")])
        if answer is None:
            account = self._accounts.find(claimed)
            return self._challenge(incoming, account, now)
        account = self._accounts.find(answer.user)
        secrets = None if account is None else account.secrets
        match self._digest.judge(answer, secrets, request.method, request.uri, host, now):
            case Judgement.RIGHT if account is not None and not account.active:
                return self._deny(403, f"{answer.user}: the client is switched off (active = false)", "Account is not ACTIVE")
            case Judgement.RIGHT if answer.user != claimed:
                return self._deny(403, f"{answer.user} says it is {claimed or 'nobody'}")  # the user owns its own address only (10.3)
            case Judgement.RIGHT:
                return Admitted(answer.user)
            case Judgement.BROKEN:
                return self._deny(400, f"{answer.user}: credentials that do not belong to the request", "Bad Credentials")
            case Judgement.WRONG:
                what = "wrong password" if account is not None else "no such client"
                return self._deny(403, f"{answer.user}: {what}", banned=not listed and self._failed(host, now))
            case Judgement.STALE:
                return self._challenge(incoming, account, now, stale=True)
            case judgement:
                assert_never(judgement)

    def _challenge(self, incoming: Incoming, account: Account | None, now: float, *, stale: bool = False) -> Denied:
        self.counts["challenged"] += 1
        secrets = None if account is None else account.secrets
        by_proxy = incoming.request.method != "REGISTER" or self._settings.challenge == "407"
        status, name = (407, "Proxy-Authenticate") if by_proxy else (401, "WWW-Authenticate")
        values = self._digest.challenges(secrets, incoming.flow.remote.host, now, stale=stale)
        return Denied(status, "", tuple((name, value) for value in values))

    def _deny(self, status: int, why: str, reason: str = "", *, banned: bool = False) -> Denied:
        self.counts["denied"] += 1
        return Denied(status, reason, why=why, banned=banned)

    def _failed(self, host: str, now: float) -> bool:
        """A guess more; whether that was one too many."""
        settings = self._settings
        source = self._sources.of(host, now)
        source.failures = max(0.0, source.failures - (now - source.failed_at) * settings.max_failures / MINUTE_S) + 1
        source.failed_at = now
        if source.failures <= settings.max_failures or not settings.ban_s:
            return False
        source.failures = 0.0
        return True


class _Source:
    """One address."""

    __slots__ = ("budget", "failed_at", "failures")

    def __init__(self, per_second: float, now: float) -> None:
        self.budget = Budget(per_second, now)
        self.failures = 0.0
        self.failed_at = now


def _address(incoming: Incoming, name: str) -> Uri | None:
    try:
        return parse_uri(parse_name_addr(incoming.request.headers.get(name) or "", name).uri)
    except ParseError:
        return None
