"""Our re-INVITEs of one session: one at a time, glare and challenges included.

    queued ──no INVITE open──▶ sent ──2xx: ACK──▶ reported
                                 ├─ 491: wait (2.1-4 s as owner of the Call-ID, else 0-2 s), then again
                                 ├─ 401/407: again with credentials
                                 ├─ other finals: reported; 408, 481 and silence end the dialog
                                 └─ provisional, then nothing: CANCEL, and 64*T1 later reported as unanswered

Source: RFC 3261 14.1.
"""

from __future__ import annotations

from collections import deque
from typing import Protocol

from sip.core.commands import HeaderList, SessionId
from sip.core.context import Context
from sip.core.delivery import Delivery, DeliveryUser, Failure
from sip.core.dialog import Dialog, lenient_contact
from sip.core.digest import DigestClient
from sip.core.events import ReinviteAnswered
from sip.core.exchange import answer_challenge, send_amended
from sip.core.parts import SessionPart
from sip.core.transactions import ClientTransaction
from sip.message import Request, Response


class Inviter(Protocol):
    """The session, as far as its re-INVITEs need it."""

    context: Context
    id: SessionId
    headers: HeaderList
    digest: DigestClient | None
    dialog: Dialog | None
    added: tuple[SessionPart, ...]

    def invite_open(self) -> bool:
        """An INVITE of the peer is unfinished."""

    def build(self, dialog: Dialog, method: str, headers: HeaderList = (), body: bytes = b"", content_type: str = "") -> Request: ...

    def prepare(self, user: DeliveryUser, dialog: Dialog, request: Request) -> Delivery: ...

    def send_ack(self, transaction: ClientTransaction, dialog: Dialog, tag: str, now: float) -> None: ...

    def heard(self, method: str, response: Response, now: float) -> None: ...

    def check_dialog(self, response: Response | None, now: float) -> None: ...


class Reinviter(SessionPart):
    """Its deadline: the retry after glare, or the patience with a peer that never answers finally."""

    __slots__ = ("_cancelled", "_closed", "_delivery", "_patience_at", "_queue", "_retries", "_retry_at", "_session")

    def __init__(self, session: Inviter) -> None:
        super().__init__()
        self._session = session
        self._queue: deque[tuple[bytes, str]] = deque()
        self._delivery: Delivery | None = None
        self._retry_at: float | None = None
        self._patience_at: float | None = None
        self._retries = 0
        self._cancelled = False
        self._closed = False

    @property
    def busy(self) -> bool:
        """An INVITE of ours is on the wire without a final response."""
        return self._delivery is not None

    def add(self, body: bytes, content_type: str, now: float) -> None:
        self._queue.append((body, content_type))
        self.poke(now)

    def poke(self, now: float) -> None:
        """Send the next one if nothing stands in its way."""
        session = self._session
        if self._closed or self.busy or self._retry_at is not None or not self._queue or session.dialog is None or session.invite_open():
            return
        body, content_type = self._queue[0]
        request = session.build(session.dialog, "INVITE", (), body, content_type)
        self._cancelled = False
        self._patience_at = None
        self._delivery = session.prepare(self, session.dialog, request)
        self._delivery.start(now)

    def close(self, now: float) -> None:
        """The session is ending: nothing new, and what is on the wire gets 64*T1 to come to an end."""
        if self._closed:
            return
        self._closed = True
        self._queue.clear()
        self._retry_at = None
        if self._delivery is not None:
            if self._delivery.stop():
                self._delivery = None
            else:
                self._cancelled = True
                self._patience_at = now + self._session.context.times.timeout
                self._session.context.agenda.arm(self)

    # --- what comes back ------------------------------------------------------------------------------------------

    def answered(self, delivery: Delivery, transaction: ClientTransaction, response: Response, now: float) -> None:
        session = self._session
        if response.status < 200:
            if delivery is self._delivery and self._patience_at is None:
                self._patience_at = now + session.context.settings.reinvite_timeout_s
                session.context.agenda.arm(self)
        elif response.status < 300:
            self._accepted(delivery, transaction, response, now)
        elif delivery is not self._delivery or session.dialog is None:
            return
        elif not self._closed and (
            answer_challenge(session.digest, delivery, session.dialog, response, now)
            or send_amended(session.added, delivery, session.dialog, response, now)
        ):
            self._patience_at = None
        elif response.status == 491 and self._retries < session.context.settings.max_reinvite_retries and not self._closed:
            self._retries += 1
            self._delivery = None
            low, high = (2.1, 4.0) if session.dialog.initiator else (0.0, 2.0)
            self._retry_at, self._patience_at = now + session.context.tokens.uniform(low, high), None
            session.context.agenda.arm(self)
        else:
            self._report(response)
            session.check_dialog(response, now)
            self.poke(now)

    def undelivered(self, delivery: Delivery, failure: Failure, now: float) -> None:
        if delivery is self._delivery:
            self._report(None)
            self._session.check_dialog(None, now)

    def deadline(self) -> float | None:
        return min((at for at in (self._retry_at, self._patience_at) if at is not None), default=None)

    def expire(self, now: float) -> None:
        if self._retry_at is not None and self._retry_at <= now:
            self._retry_at = None
            self.poke(now)
        delivery = self._delivery
        if self._patience_at is None or self._patience_at > now or delivery is None:
            return
        transaction = delivery.transaction
        if not self._cancelled and transaction is not None and transaction.provisional:
            self._cancelled = True
            self._patience_at = now + self._session.context.times.timeout
            delivery.stop()
            transaction.cancel(self._session.headers, now)
        else:
            delivery.abandon(now)
            self._report(None)
            self.poke(now)

    # --- inside ---------------------------------------------------------------------------------------------------

    def _accepted(self, delivery: Delivery, transaction: ClientTransaction, response: Response, now: float) -> None:
        """Each copy of a 2xx is owed an ACK, whatever has become of the session (13.2.2.4)."""
        session = self._session
        if session.dialog is None:
            return
        tag = session.dialog.remote_tag  # whatever stands in this 2xx: there is no other dialog that it could be of
        ack = transaction.acks.get(tag)
        if ack is not None:
            ack.send_ack_again(now)
            return
        if delivery is self._delivery and not self._closed:
            session.dialog.refresh(lenient_contact(response.headers), transaction.response_flow)
            session.heard("INVITE", response, now)
        session.send_ack(transaction, session.dialog, tag, now)
        if delivery is self._delivery:
            self._report(response)
            self.poke(now)

    def _report(self, response: Response | None) -> None:
        self._delivery = None
        self._patience_at = None
        self._retries = 0
        if self._closed:
            return
        self._queue.popleft()
        self._session.context.emit(ReinviteAnswered(self._session.id, response))
