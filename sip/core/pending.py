"""The peer's requests inside a session that wait for its user: re-INVITE, UPDATE, INFO ...

    received ─┬─ an offer of ours is open ────────────▶ 491
              ├─ another offer of the peer is open, too many wait ─▶ 500, later please
              └─▶ the user ─ answer ─▶ response (a 2xx to INVITE is repeated until its ACK)
                       └─ CANCEL, or the session ends ─▶ 487

Source: RFC 3261 9.2, 12.2.2, 14.2, 15.1.2; RFC 3311 5.2 (UPDATE).
"""

from __future__ import annotations

from typing import Protocol

from sip.core.commands import AnswerRequest, HeaderList, SessionId, TransactionId
from sip.core.context import Context
from sip.core.dialog import Dialog, lenient_contact
from sip.core.events import ReinviteReceived, RequestReceived
from sip.core.machine import Packet
from sip.core.transactions import ServerTransaction


class PendingHost(Protocol):
    """The session, as far as the requests of its peer need it."""

    context: Context
    id: SessionId

    @property
    def opening(self) -> bool:
        """The INVITE that makes the session has no final response."""

    @property
    def offer_open(self) -> bool:
        """The offer of the INVITE that makes the session is not answered yet, as far as both sides can be sure."""

    @property
    def inviting(self) -> bool:
        """An INVITE of ours has no final response, the first one or a later."""

    @property
    def offer_unanswered(self) -> bool:
        """A 2xx of ours carries the offer, and its ACK, with the answer, is still to come."""

    def respond(
        self,
        transaction: ServerTransaction,
        status: int,
        now: float,
        reason: str = "",
        headers: HeaderList = (),
        body: bytes = b"",
        content_type: str = "",
    ) -> Packet: ...

    def await_ack(self, transaction: ServerTransaction, packet: Packet, now: float) -> None: ...

    def reinvite_next(self, now: float) -> None:
        """One obstacle less for a re-INVITE of ours."""


class PendingRequests:
    """A `Responder`."""

    __slots__ = ("_session", "_waiting")

    def __init__(self, session: PendingHost) -> None:
        self._session = session
        self._waiting: dict[TransactionId, tuple[ServerTransaction, Dialog]] = {}

    def waits_for(self, *methods: str) -> bool:
        """Whether the user owes an answer to one of these. What it did not answer in time is over with its transaction (RFC 4320 4.2)."""
        return any(one.open and one.request.method in methods for one, _ in self._waiting.values())

    def reinvite_received(self, transaction: ServerTransaction, dialog: Dialog, now: float) -> None:
        session = self._session
        if session.inviting or session.offer_unanswered:
            session.respond(transaction, 491, now)  # our offer is open: in our INVITE, or in a 2xx whose ACK answers it
        elif session.opening or self.waits_for("INVITE", "UPDATE"):
            self._refuse_for_now(transaction, now)
        else:
            session.respond(transaction, 100, now)
            self._ask(transaction, dialog)
            session.context.emit(ReinviteReceived(session.id, transaction.id, transaction.request))

    def request_received(self, transaction: ServerTransaction, dialog: Dialog, now: float) -> None:
        """Any other method."""
        session = self._session
        self._waiting = {key: one for key, one in self._waiting.items() if one[0].open}
        offers = transaction.request.method in ("UPDATE", "PRACK") and bool(transaction.request.body)
        if offers and session.inviting:
            session.respond(transaction, 491, now)  # RFC 3311 5.2
        elif offers and session.offer_open:
            self._refuse_for_now(transaction, now)  # the offer of the INVITE is unanswered
        elif len(self._waiting) >= session.context.settings.max_pending_requests or (
            offers and self.waits_for("INVITE", "UPDATE", "PRACK")
        ):
            self._refuse_for_now(transaction, now)
        else:
            self._ask(transaction, dialog)
            session.context.emit(RequestReceived(session.id, transaction.id, transaction.request))

    def answer(self, transaction: ServerTransaction, command: AnswerRequest, now: float) -> None:
        found = self._waiting.get(transaction.id)
        if found is None:
            return
        session, dialog = self._session, found[1]
        if command.status >= 200:
            del self._waiting[transaction.id]
        accepted = 200 <= command.status < 300
        packet = session.respond(transaction, command.status, now, command.reason, command.headers, command.body, command.content_type)
        method = transaction.request.method
        if accepted and method in ("INVITE", "UPDATE"):
            dialog.refresh(lenient_contact(transaction.request.headers), transaction.incoming.flow)
        if accepted and method == "INVITE":
            session.await_ack(transaction, packet, now)
        elif command.status >= 200:
            session.reinvite_next(now)

    def cancelled(self, invite: ServerTransaction, now: float) -> None:
        """A CANCEL for a re-INVITE: the session stays as it was (9.2, 14.2)."""
        if self._waiting.pop(invite.id, None) is not None:
            self._session.respond(invite, 487, now)
            self._session.reinvite_next(now)

    def finish(self, now: float) -> None:
        """The session ends: what waits for the user gets its answer from us (15.1.2)."""
        waiting, self._waiting = self._waiting, {}
        for transaction, _ in waiting.values():
            if transaction.open:
                self._session.respond(transaction, 487, now)

    def _ask(self, transaction: ServerTransaction, dialog: Dialog) -> None:
        self._waiting[transaction.id] = (transaction, dialog)
        transaction.ask(self)

    def _refuse_for_now(self, transaction: ServerTransaction, now: float) -> None:
        seconds = int(self._session.context.tokens.uniform(0, 10))
        self._session.respond(transaction, 500, now, headers=(("Retry-After", str(seconds)),))
