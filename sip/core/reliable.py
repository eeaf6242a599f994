"""Reliable provisional responses: a 1xx with RSeq is repeated until its PRACK comes, so that the answer in it is known to have arrived.

    as UAS   SendProvisional ─▶ 1xx with RSeq, after T1, 2 T1, 4 T1 ... again ─┬─ PRACK: 200, and what was held back goes out
                                                                               └─ 64*T1: NotAcknowledged; the user owes a 5xx
    as UAC   1xx with RSeq ─▶ PRACK; the next number of its early dialog only, copies are absorbed

One of ours is on its way at a time; provisional responses wait behind it, and so does a 2xx when it carries a description. A final refusal
waits for nothing. A caller who requires reliability and offers nothing gets no provisional response at all: the first reliable one would
have to carry our offer (RFC 3262 5), and the 2xx does that.

Source: RFC 3262; RFC 3261 13.2.1, 13.3.1.1; RFC 6337 2.2.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from sip.core.capabilities import Capabilities
from sip.core.commands import HeaderList, SendAnswer, SendProvisional
from sip.core.delivery import Failure
from sip.core.dialog import Dialog
from sip.core.events import ExtensionEvent
from sip.core.exchange import Exchange
from sip.core.machine import Packet
from sip.core.parts import SessionPart
from sip.core.transactions import ServerTransaction
from sip.core.usage import Extension, SessionHost
from sip.message import Headers, ParseError, Response, parse_cseq, parse_uint

TAG = "100rel"
MAX_RSEQ = 2**31 - 1  # RFC 3262 3: the first one is below it, so that they never wrap
MAX_EARLY_DIALOGS = 32  # of one INVITE whose numbers are remembered; more are not acknowledged, and their peers give up

When = Literal["required", "media", "supported"]


@dataclass(frozen=True, slots=True)
class NotAcknowledged(ExtensionEvent):
    """A reliable response of ours had no PRACK for 64*T1: the user owes SendReject(504) (RFC 3262 3)."""


@dataclass(frozen=True, slots=True)
class RAck:
    """Which response a PRACK is for."""

    rseq: int
    cseq: int
    method: str


def rack(headers: Headers) -> RAck:
    """Raises ParseError.

    RAck = response-num LWS CSeq-num LWS Method
    """
    number, _, rest = (headers.get("RAck") or "").strip().partition(" ")
    cseq = parse_cseq(rest.strip())
    return RAck(parse_uint(number, "RAck"), cseq.number, cseq.method)


def rseq(response: Response) -> int | None:
    """The number of a reliable 1xx; None when it is not one."""
    if not 100 < response.status < 200 or not response.headers.lists("Require", TAG):
        return None
    try:
        return parse_uint(response.headers.get("RSeq") or "", "RSeq")
    except ParseError:
        return None


@dataclass(frozen=True, slots=True)
class _Open:
    """A response of ours without PRACK. described: it carries a session description."""

    rseq: int
    status: int
    packet: Packet
    described: bool


class ReliableProvisionals(Extension):
    """when: which provisional responses are reliable beside those of callers that require it. Of callers that support it: with `media`
    those that carry a description, with `supported` all."""

    capabilities = Capabilities(inside=("PRACK",), option_tags=(TAG,))

    def __init__(self, when: When = "required") -> None:
        self._when = when

    def session_part(self, session: SessionHost) -> SessionPart:
        return Reliable(session, self._when)


class Reliable(SessionPart):
    """Of one session, on either side. An `ExchangeUser` of our PRACKs."""

    __slots__ = (
        "_described",
        "_give_up_at",
        "_heard",
        "_interval",
        "_invite",
        "_next",
        "_open",
        "_resend_at",
        "_session",
        "_told",
        "_when",
    )

    def __init__(self, session: SessionHost, when: When) -> None:
        super().__init__()
        self._session = session
        self._when = when
        self._invite: ServerTransaction | None = None
        self._next = 0
        self._described = False  # of the response that is being sent
        self._told = False  # it is reliable
        self._open: _Open | None = None
        self._interval = 0.0
        self._resend_at: float | None = None
        self._give_up_at = 0.0
        self._heard: dict[str, int] = {}  # UAC: the last number of each early dialog

    # --- as UAS ---------------------------------------------------------------------------------------------------

    def holds(self, command: SendProvisional | SendAnswer) -> bool:
        invite = self._invite
        if invite is None or invite.incoming.to_tag is not None:
            return False
        if isinstance(command, SendAnswer):
            return self._open is not None and self._open.described
        if command.status == 100:
            return False
        if not invite.request.body and invite.request.headers.lists("Require", TAG):
            return True  # see the top of the file
        self._described = bool(command.body)
        return self._open is not None

    def response_headers(self, transaction: ServerTransaction, status: int) -> HeaderList:
        self._told = False
        if transaction is not self._invite or not 100 < status < 200 or not self._session.opening:
            return ()
        headers = transaction.request.headers
        wanted = headers.lists("Require", TAG)
        if not wanted and self._when != "required" and headers.lists("Supported", TAG):
            wanted = bool(transaction.request.body) and (self._when == "supported" or self._described)
        if not wanted:
            return ()
        self._told = True
        return (("Require", TAG), ("RSeq", str(self._next)))

    def response_sent(self, transaction: ServerTransaction, packet: Packet, status: int, now: float) -> None:
        if transaction is not self._invite:
            return
        if status >= 200:
            self._resend_at = None  # a PRACK may still come, and gets its 200
        elif self._told:
            times = self._session.context.times
            self._told = False
            self._open = _Open(self._next, status, packet, self._described)
            self._next += 1
            self._interval = times.t1
            self._resend_at, self._give_up_at = now + times.t1, now + times.timeout
            self._session.context.agenda.arm(self)

    def request_received(self, transaction: ServerTransaction, now: float) -> bool:
        request = transaction.request
        if request.method == "INVITE" and self._invite is None and transaction.incoming.to_tag is None:
            self._invite = transaction
            self._next = int(self._session.context.tokens.uniform(1, MAX_RSEQ // 2))
        return request.method == "PRACK" and self._acknowledged(transaction, now)

    def _acknowledged(self, transaction: ServerTransaction, now: float) -> bool:
        """True unless the PRACK brings an offer, which is the user's to answer (RFC 3262 5)."""
        session, invite, waits = self._session, self._invite, self._open
        try:
            named = rack(transaction.request.headers)
        except ParseError as error:
            session.respond(transaction, 400, now, f"Bad {error.field or 'RAck'}")
            return True
        if waits is None or invite is None or named != RAck(waits.rseq, invite.incoming.cseq, "INVITE"):
            session.respond(transaction, 481, now)
            return True
        self._open, self._resend_at = None, None
        if waits.described:
            session.agreed_early = session.dialog
        if transaction.request.body:
            return False
        session.respond(transaction, 200, now)
        session.release(now)
        return True

    def deadline(self) -> float | None:
        return None if self._resend_at is None else min(self._resend_at, self._give_up_at)

    def expire(self, now: float) -> None:
        waits, invite = self._open, self._invite
        if self._resend_at is None or waits is None or invite is None:
            return
        if now >= self._give_up_at:
            self._resend_at = None
            self._session.context.emit(NotAcknowledged(self._session.id))
        else:
            self._interval *= 2  # without T2: RFC 3262 3 names no limit
            self._resend_at = now + self._interval
            invite.respond(waits.status, waits.packet, now)

    def close(self, now: float) -> None:
        self._resend_at = self._invite = None

    # --- as UAC ---------------------------------------------------------------------------------------------------

    def provisional_received(self, response: Response, dialog: Dialog | None, now: float) -> bool:
        number = rseq(response)
        if number is None:
            return False
        if dialog is None:
            return True  # it cannot be acknowledged
        last = self._heard.get(dialog.remote_tag)
        if (last is not None and number != last + 1) or (last is None and len(self._heard) >= MAX_EARLY_DIALOGS):
            return True  # a copy, whose PRACK repeats itself, or one that has overtaken another (RFC 3262 4)
        self._heard[dialog.remote_tag] = number
        if response.body:
            self._session.agreed_early = dialog
        cseq = parse_cseq(response.headers.get("CSeq") or "").number
        prack = self._session.build(dialog, "PRACK", (("RAck", f"{number} {cseq} INVITE"),))
        self._session.exchange(self, dialog, prack, now)
        return False

    def exchange_done(self, exchange: Exchange, response: Response | None, failure: Failure | None, now: float) -> None:
        """What becomes of the call, the INVITE will tell."""
