"""Session timers: a session that is not refreshed in its time is ended by both sides, so that no call outlives a peer that vanished.

    2xx with Session-Expires ─▶ running ─┬─ half of the interval, we refresh ─▶ UPDATE, or RefreshDue: the user's re-INVITE
          ▲                              └─ min(32 s, a third) before the end ─▶ BYE, SessionEnded(EXPIRED)
          └───────── 2xx to an UPDATE or re-INVITE of either side ──┘

`uac` and `uas` are the roles in the transaction that carries the header field, and not those of the call: who refreshes now may be either
with the next. An INVITE whose interval is too small for us gets 422; ours goes out again with the Min-SE of a 422.
A peer that does not know the timer (no `timer` in Supported) has one only when a proxy between asks for it.

Source: RFC 4028.
"""

from __future__ import annotations

from dataclasses import dataclass

from sip.core.capabilities import Capabilities
from sip.core.commands import HeaderList
from sip.core.delivery import Failure
from sip.core.dialog import lenient_contact
from sip.core.events import ExtensionEvent
from sip.core.exchange import Exchange
from sip.core.machine import Packet
from sip.core.parts import SessionPart
from sip.core.transactions import ServerTransaction
from sip.core.usage import Extension, Refusal, SessionHost
from sip.message import Headers, ParseError, Request, Response, parse_uint, parse_value

REFRESHES = ("INVITE", "UPDATE")
LONGEST_S = 86400  # more than a day says as much as never
MAX_AMENDED = 3  # a peer that wants ever more is not followed
BEFORE_END_S = 32.0  # RFC 4028 10


@dataclass(frozen=True, slots=True)
class RefreshDue(ExtensionEvent):
    """The peer does not take UPDATE: the user owes a SendReinvite with the description in force, unchanged (RFC 4028 7.4)."""


@dataclass(frozen=True, slots=True)
class SessionExpires:
    """seconds: the interval. refresher: "uac" or "uas", empty when nothing is said."""

    seconds: int
    refresher: str = ""

    def __str__(self) -> str:
        return f"{self.seconds};refresher={self.refresher}" if self.refresher else str(self.seconds)


def session_expires(headers: Headers) -> SessionExpires | None:
    """Raises ParseError.

    Session-Expires = delta-seconds *( SEMI se-params );  se-params = "refresher" EQUAL ( "uas" / "uac" ) / generic-param
    """
    text = headers.get("Session-Expires")
    if text is None:
        return None
    seconds, params = parse_value(text, "Session-Expires")
    refresher = (params.get("refresher") or "").lower()
    if refresher not in ("", "uac", "uas"):
        raise ParseError("not a refresher", field="Session-Expires")
    return SessionExpires(min(parse_uint(seconds, "Session-Expires"), LONGEST_S), refresher)


def min_se(headers: Headers) -> int:
    """Min-SE = delta-seconds *( SEMI generic-param ); 0 for none. Raises ParseError."""
    text = headers.get("Min-SE")
    return 0 if text is None else min(parse_uint(text.partition(";")[0], "Min-SE"), LONGEST_S)


class SessionTimers(Extension):
    """By `SipSettings.session_timers`."""

    capabilities = Capabilities(inside=("UPDATE",), option_tags=("timer",))

    def refuse_invite(self, request: Request) -> Refusal | None:
        return refusal_of(request, self.core.context.settings.session_timers.min_s)

    def session_part(self, session: SessionHost) -> SessionPart:
        return SessionTimer(session)


def refusal_of(request: Request, least_s: int) -> Refusal | None:
    try:
        asked, _ = session_expires(request.headers), min_se(request.headers)
    except ParseError as error:
        return Refusal(400, f"Bad {error.field}")
    if asked is not None and asked.seconds < least_s and _knows_timers(request.headers):
        return Refusal(422, headers=(("Min-SE", str(least_s)),))
    return None


def _knows_timers(headers: Headers) -> bool:
    return headers.lists("Supported", "timer") or headers.lists("Require", "timer")


class SessionTimer(SessionPart):
    """The timer of one session, and an `ExchangeUser` of its UPDATEs. interval 0: it does not run."""

    __slots__ = ("_amended", "_closed", "_end_at", "_interval", "_least", "_ours", "_refresh_at", "_sending", "_session", "_update")

    def __init__(self, session: SessionHost) -> None:
        super().__init__()
        self._session = session
        self._interval = 0
        self._ours = False  # we refresh
        self._least = 0  # what the peer, or a proxy, has asked for by 422
        self._update = False  # the peer takes UPDATE
        self._amended = 0
        self._sending = False
        self._refresh_at: float | None = None
        self._end_at: float | None = None
        self._closed = False

    # --- what is written ------------------------------------------------------------------------------------------

    def request_headers(self, method: str) -> HeaderList:
        settings = self._session.context.settings.session_timers
        if method not in REFRESHES:
            return ()
        if self._interval:
            told = SessionExpires(max(self._interval, self._least), "uac" if self._ours else "uas")
        elif self._session.opening and settings.expires_s and method == "INVITE":
            wanted = {"auto": "", "us": "uac", "peer": "uas"}[settings.refresher]
            told = SessionExpires(max(settings.expires_s, settings.min_s), wanted)
        else:
            return ()
        least = max(settings.min_s, self._least)
        return (("Session-Expires", str(told)), *((("Min-SE", str(least)),) if least > 90 else ()))  # what everybody assumes is not said

    def response_headers(self, transaction: ServerTransaction, status: int) -> HeaderList:
        told = self._answer(transaction.request) if 200 <= status < 300 else None
        if told is None:
            return ()
        require = (("Require", "timer"),) if told.refresher == "uac" else ()  # RFC 4028 9
        return (("Session-Expires", str(told)), *require)

    def response_sent(self, transaction: ServerTransaction, packet: Packet, status: int, now: float) -> None:
        if transaction.request.method in REFRESHES and 200 <= status < 300:
            told = self._answer(transaction.request)
            self._run(told, ours=told is not None and told.refresher == "uas", now=now)

    def _answer(self, request: Request) -> SessionExpires | None:
        """What our 2xx says (RFC 4028 9, table 2); None: there is no timer."""
        settings, headers = self._session.context.settings.session_timers, request.headers
        if request.method not in REFRESHES or (request.method == "UPDATE" and self._session.opening):
            return None
        try:
            asked, least = session_expires(headers), max(min_se(headers), settings.min_s)
        except ParseError:
            return None
        knows = _knows_timers(headers)
        if asked is None:
            seconds = max(settings.expires_s, least) if settings.expires_s and knows else 0
        elif asked.seconds < settings.min_s:
            seconds = 0  # of a proxy: the peer would not understand a 422
        else:
            seconds = min(asked.seconds, max(settings.expires_s, least)) if settings.expires_s else asked.seconds
        if not seconds:
            return None
        if not knows:
            return SessionExpires(seconds, "uas")
        chosen = {"auto": "uac", "us": "uas", "peer": "uac"}[settings.refresher]
        return SessionExpires(seconds, (asked.refresher if asked is not None else "") or chosen)

    # --- what comes in --------------------------------------------------------------------------------------------

    def request_received(self, transaction: ServerTransaction, now: float) -> bool:
        request = transaction.request
        if request.method not in REFRESHES:
            return False
        self._learn(request.headers)
        refusal = refusal_of(request, self._session.context.settings.session_timers.min_s)
        if refusal is None or self._session.opening:  # the first INVITE has been looked at
            return False
        self._session.respond(transaction, refusal.status, now, refusal.reason, refusal.headers)
        return True

    def response_received(self, method: str, response: Response, now: float) -> None:
        if method not in REFRESHES or not 200 <= response.status < 300 or self._session.opening:
            return
        self._learn(response.headers)
        try:
            told = session_expires(response.headers)
        except ParseError:
            told = None
        self._run(told, ours=told is not None and told.refresher != "uas", now=now)

    def amended(self, request: Request, refusal: Response) -> Request | None:
        if refusal.status != 422 or request.method not in REFRESHES or self._amended >= MAX_AMENDED:
            return None
        try:
            least, asked = min_se(refusal.headers), session_expires(request.headers)
        except ParseError:
            return None
        if asked is None or least <= asked.seconds:
            return None
        self._amended += 1
        self._least = least
        headers = Headers([(name, value) for name, value in request.headers if name not in ("Session-Expires", "Min-SE")])
        headers.add("Session-Expires", str(SessionExpires(least, asked.refresher)))
        headers.add("Min-SE", str(least))
        return Request(request.method, request.uri, headers, request.body)

    # --- time -----------------------------------------------------------------------------------------------------

    def deadline(self) -> float | None:
        return min((at for at in (self._refresh_at, self._end_at) if at is not None), default=None)

    def expire(self, now: float) -> None:
        if self._end_at is not None and now >= self._end_at:
            self._stop()
            self._session.expired(now)
        elif self._refresh_at is not None and now >= self._refresh_at:
            self._refresh_at = now + self._interval / 8  # should nothing come of this one
            self._refresh(now)

    def close(self, now: float) -> None:
        self._closed = True
        self._stop()

    def exchange_done(self, exchange: Exchange, response: Response | None, failure: Failure | None, now: float) -> None:
        """Of our UPDATE (RFC 4028 10)."""
        self._sending = False
        session = self._session
        if self._closed:
            return
        if response is not None and 200 <= response.status < 300:
            if session.dialog is not None:
                session.dialog.refresh(lenient_contact(response.headers), session.dialog.observed)
            session.heard("UPDATE", response, now)
        elif response is not None and response.status in (405, 501):
            self._update = False
            self._refresh(now)
        elif response is not None and response.status == 422 and self._amended < MAX_AMENDED:
            self._amended += 1
            self._wants_more(response)
            self._refresh(now)
        else:
            session.check_dialog(response, now)

    # --- inside ---------------------------------------------------------------------------------------------------

    def _run(self, told: SessionExpires | None, *, ours: bool, now: float) -> None:
        self._stop()
        if told is None or self._closed:
            return
        self._interval = max(told.seconds, self._session.context.settings.session_timers.min_s)
        self._ours = ours
        self._amended = 0
        self._end_at = now + self._interval - min(BEFORE_END_S, self._interval / 3)
        self._refresh_at = now + self._interval / 2 if ours else None
        self._session.context.agenda.arm(self)

    def _stop(self) -> None:
        self._interval = 0
        self._refresh_at = self._end_at = None

    def _refresh(self, now: float) -> None:
        session = self._session
        wanted = session.context.settings.session_timers.method
        if self._sending or session.dialog is None:
            return
        if wanted == "update" or (wanted == "auto" and self._update):
            self._sending = True
            session.exchange(self, session.dialog, session.build(session.dialog, "UPDATE"), now)
        else:
            session.context.emit(RefreshDue(session.id))

    def _learn(self, headers: Headers) -> None:
        """Whether the peer takes UPDATE. One that says nothing of what it allows has not changed."""
        allowed = headers.values("Allow")
        if allowed:
            self._update = any(method.upper() == "UPDATE" for method in allowed)

    def _wants_more(self, refusal: Response) -> None:
        try:
            self._least = max(self._least, min_se(refusal.headers))
        except ParseError:
            return
