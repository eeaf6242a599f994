"""Our registration with a trunk: one binding, kept alive as long as the server runs. Sans-I/O.

    start ─▶ REGISTERING ─┬─ 2xx ──────────────▶ REGISTERED ── before it expires, connection lost, told to ──▶ REGISTERING
                  ▲       ├─ 423 ──────────────▶ again at once, with its Min-Expires
                  │       ├─ 5xx, no answer ───▶ the next registrar at once, when all were tried WAITING
                  └───────┴─ refused ──────────▶ WAITING: 30 s, 60 s, 2 min ... 30 min; five minutes at least for wrong credentials
    leave ─▶ LEAVING: Expires 0 ─▶ GONE

The calls of a trunk that does not take our registration still go out; that it is not registered is told in the log and the metrics.
Source: RFC 3261 10.2; RFC 5626 4.5 (waiting); behaviour of registrars with digest: RFC 3261 22.
"""

from __future__ import annotations

import enum
from collections.abc import Callable

from server.calls.effects import Json, Log
from server.trunks.account import Account, Action, place_uri, route_to
from sip.core.commands import ExchangeId, SendOutOfDialog
from sip.core.events import OutOfDialogAnswered
from sip.core.flows import Flow
from sip.errors import ParseError
from sip.message import Response
from sip.message.fields import parse_name_addr, parse_uint, parse_via
from sip.message.uri import escape_user, parse_uri

BASE_WAIT_S, LONGEST_WAIT_S = 30.0, 1800.0
WRONG_CREDENTIALS_S = 300.0  # whoever insists is locked out by many a registrar
LONGEST_S = 86400


class State(enum.Enum):
    IDLE = "idle"
    REGISTERING = "registering"
    REGISTERED = "registered"
    WAITING = "waiting"
    LEAVING = "leaving"
    GONE = "gone"


class Registration:
    """call_id: of the row of requests, never used by another. exchange: makes names for requests. uniform: a number between two."""

    def __init__(
        self, account: Account, call_id: str, exchange: Callable[[], ExchangeId], uniform: Callable[[float, float], float]
    ) -> None:
        self.account = account
        self.state = State.IDLE
        self.why = "not registered yet"
        self._call_id = call_id
        self._exchange = exchange
        self._uniform = uniform
        self._cseq = 0
        self._expires_s = account.expires_s
        self._place = 0
        self._tried = 0  # registrars in this round
        self._fails = 0
        self._too_brief = False
        self._asked: ExchangeId | None = None
        self._flow: Flow | None = None
        self.deadline: float | None = None
        self.registered = False  # as far as is known, also while it is refreshed

    @property
    def registrar(self) -> str:
        return self.account.registrars[self._place]

    # --- inputs ---------------------------------------------------------------------------------------------------

    def start(self, now: float) -> list[Action]:
        return self._send(self._expires_s) if self.state is State.IDLE else []

    def timeout(self, now: float) -> list[Action]:
        if self.deadline is None or now < self.deadline:
            return []
        self._tried = 0
        return self._send(self._expires_s)

    def renew(self, now: float) -> list[Action]:
        """The binding is perhaps worth nothing: its connection is lost, or the registrar was away."""
        if self.state is not State.REGISTERED:
            return []
        self._tried = 0
        return self._send(self._expires_s)

    def lost(self, flow: Flow, now: float) -> list[Action]:
        """A connection has ended (RFC 5626 4.4: a flow that failed is replaced at once)."""
        own = self._flow
        if own is None or not own.reliable or (own.transport, own.remote) != (flow.transport, flow.remote):
            return []
        return self.renew(now)

    def leave(self, now: float) -> list[Action]:
        """No binding any more (RFC 3261 10.2.2)."""
        if self.state in (State.LEAVING, State.GONE):
            return []
        if not self.registered and self._asked is None:
            self.state, self.deadline = State.GONE, None
            return []
        self.state = State.LEAVING
        return self._send(0)

    def answered(self, event: OutOfDialogAnswered, now: float) -> list[Action]:
        if event.exchange != self._asked:
            return []
        self._asked = None
        self._cseq = event.cseq
        response = event.response
        if self.state is State.LEAVING:
            self.state, self.registered, self.deadline = State.GONE, False, None
            return []
        if response is not None and 200 <= response.status < 300:
            return self._accepted(response, event.flow, now)
        if response is not None and response.status == 423 and not self._too_brief:
            least = _seconds(response.headers.get("Min-Expires"))
            if least is not None and self._expires_s < least <= LONGEST_S:
                self._too_brief = True
                self._expires_s = least
                return self._send(least)
        if response is None:
            return self._failed(f"no answer ({event.failure.value if event.failure is not None else 'unknown'})", now, elsewhere=True)
        why = f"{response.status} {response.reason}".strip()
        if response.status in (401, 403, 407):
            return self._failed(why, now, least_s=WRONG_CREDENTIALS_S)
        wait = _seconds((response.headers.get("Retry-After") or "").split("(")[0].split(";")[0])
        return self._failed(why, now, elsewhere=response.status >= 500 or response.status == 408, least_s=float(min(wait or 0, LONGEST_S)))

    # --- inside ---------------------------------------------------------------------------------------------------

    def _send(self, expires_s: int) -> list[Action]:
        account = self.account
        if self.state is not State.LEAVING:
            self.state = State.REGISTERING
        self.deadline = None
        self._asked = self._exchange()
        address = f"sip:{escape_user(account.user)}@{account.domain}"
        return [
            SendOutOfDialog(
                self._asked,
                "REGISTER",
                request_uri=place_uri(self.registrar),
                from_uri=address,
                to_uri=address,
                next_hop=route_to(self.registrar),
                headers=(("Expires", str(expires_s)),),
                contact_user=escape_user(account.user),
                call_id=self._call_id,
                cseq=self._cseq + 1,
                credentials=account.credentials,
            )
        ]

    def _accepted(self, response: Response, flow: Flow | None, now: float) -> list[Action]:
        seconds = granted(response, self.account.user)
        if seconds is None:
            seconds = self._expires_s
        if seconds <= 0:
            return self._failed("the registrar has dropped our binding", now)
        news = not self.registered
        self.state, self.registered, self.why = State.REGISTERED, True, ""
        self._flow, self._fails, self._tried, self._too_brief = flow, 0, 0, False
        # Early enough that a lost one can be sent again: a fifth of the time, a minute at most.
        self.deadline = now + max(1.0, seconds - min(60.0, seconds / 5))
        facts: dict[str, Json] = {"trunk": self.account.trunk, "registrar": self.registrar, "expires_s": seconds}
        return [Log("info", "trunk_registered", facts)] if news else []

    def _failed(self, why: str, now: float, *, elsewhere: bool = False, least_s: float = 0.0) -> list[Action]:
        """elsewhere: another registrar may do better."""
        self._tried += 1
        self._too_brief = False
        if elsewhere and self._tried < len(self.account.registrars):
            self._place = (self._place + 1) % len(self.account.registrars)
            return self._send(self._expires_s)
        self._fails += 1
        wait = min(LONGEST_WAIT_S, BASE_WAIT_S * 2 ** min(self._fails - 1, 10)) * self._uniform(0.5, 1.0)
        wait = min(LONGEST_WAIT_S, max(wait, least_s))
        news = self.registered or self._fails == 1
        self.state, self.registered, self.why = State.WAITING, False, why
        self.deadline = now + wait
        registrar = self.registrar
        self._place = (self._place + 1) % len(self.account.registrars) if elsewhere else self._place
        facts: dict[str, Json] = {"trunk": self.account.trunk, "registrar": registrar, "why": why, "again_s": round(wait)}
        return [Log("warning" if news else "info", "trunk_not_registered", facts)]


def granted(response: Response, user: str) -> int | None:
    """For how many seconds a 2xx has bound us (RFC 3261 10.2.4, 10.3): of our own Contact, which has the place that our Via names."""
    try:
        via = parse_via(response.headers.first_value("Via") or "")
        ours = (via.host.lower(), via.port)
    except ParseError:
        ours = ("", None)
    general = _seconds(response.headers.get("Expires"))
    of_user: list[int] = []
    for value in response.headers.values("Contact"):
        try:
            field = parse_name_addr(value, "Contact")
            uri = parse_uri(field.uri)
        except ParseError:
            continue
        seconds = _seconds(field.params.get("expires"))
        seconds = general if seconds is None else seconds
        if uri.user != escape_user(user) or seconds is None:
            continue
        if (uri.host.lower(), uri.port) == ours:
            return seconds
        of_user.append(seconds)
    return of_user[0] if len(of_user) == 1 else general


def _seconds(text: str | None) -> int | None:
    try:
        return None if text is None else min(parse_uint(text.strip().strip('"')), LONGEST_S)
    except ParseError:
        return None
