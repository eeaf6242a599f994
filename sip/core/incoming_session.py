"""A session that a peer opened: from its INVITE to our answer.

    OPENING ──SendAnswer──▶ CONFIRMED (its ACK still to come)
       └─ SendReject ─────▶ REFUSED ──ACK, or timer H──▶ OVER

The caller's CANCEL, or its BYE in the early dialog, changes nothing by itself: it is reported, and the user's 487 ends the session.
Source: RFC 3261 9.2, 13.3.1, 15.1.2.
"""

from __future__ import annotations

from sip.core.commands import SendAnswer, SendBye, SendProvisional, SendReject, SessionId
from sip.core.dialog import Dialog
from sip.core.events import AnswerAcked, CancelReceived, EndCause, InviteReceived, SessionEnded, Traced
from sip.core.provisional import ProvisionalRefresh
from sip.core.session import Session, State
from sip.core.transactions import ServerTransaction
from sip.core.unacked import Unacked
from sip.core.usage import Core
from sip.message import Request


class IncomingSession(Session):
    """The UAS's side of an INVITE."""

    def __init__(self, core: Core, session: SessionId, transaction: ServerTransaction, dialog: Dialog) -> None:
        super().__init__(core, session, (), None)
        self.dialog = dialog
        self.register(dialog)
        self.keeps_connection = bool(transaction.incoming.user)
        self._invite = transaction
        self._cancelled = False
        self._held: list[SendProvisional | SendAnswer] = []  # responses that a part does not let go yet
        self._refresh = ProvisionalRefresh(self)
        self.parts.append(self._refresh)

    def open(self, now: float) -> None:
        self.respond(self._invite, 100, now)
        for part in self.added:
            part.request_received(self._invite, now)

    def announce(self, traces: tuple[Traced, ...]) -> None:
        incoming = self._invite.incoming
        request = incoming.request
        replaced = next((found for one in self.core.extensions if (found := one.replaced(request)) is not None), None)
        self.context.emit(InviteReceived(self.id, request, incoming.flow, traces, replaced, incoming.user))

    # --- commands -------------------------------------------------------------------------------------------------

    def send_provisional(self, command: SendProvisional, now: float) -> None:
        if self.state is not State.OPENING or self._cancelled or self._answering:
            return
        if self._held or self._holds(command):
            if command not in self._held:
                self._held.append(command)
            return
        self.respond(self._invite, command.status, now, command.reason, command.headers, command.body, command.content_type)
        if command.status > 100:
            self._refresh.sent(command, now)

    def send_answer(self, command: SendAnswer, now: float) -> None:
        if self.state is not State.OPENING or self._answering:
            return
        if self._cancelled:
            self._refuse(487, "", (), now)  # the user had not heard of it yet
            return
        self._held.clear()  # what was still to be said before it
        if self._holds(command):
            self._held.append(command)
            self._refresh.close(now)
            return
        packet = self.respond(self._invite, 200, now, headers=command.headers, body=command.body, content_type=command.content_type)
        self.state = State.CONFIRMED
        self._refresh.close(now)
        self.await_ack(self._invite, packet, now)

    def send_reject(self, command: SendReject, now: float) -> None:
        if self.state is State.CONFIRMED:
            super().send_bye(SendBye(self.id), now)  # too late for that
        elif self.state is State.OPENING:
            self._refuse(command.status, command.reason, command.headers, now)

    def send_bye(self, command: SendBye, now: float) -> None:
        if self.state is State.OPENING:
            # Nothing to say BYE to. An answer that is held waits for a PRACK that does not come (RFC 3262 3).
            self._refuse(487 if self._cancelled else 504 if self._answering else 480, "", command.headers, now)
        else:
            super().send_bye(command, now)

    # --- what comes in --------------------------------------------------------------------------------------------

    def cancel_received(self, invite: ServerTransaction, cancel: Request, now: float) -> None:
        if invite is not self._invite:
            super().cancel_received(invite, cancel, now)
        elif self.state is State.OPENING:
            self._give_up(cancel, now)

    def refusal_acked(self, transaction: ServerTransaction, now: float) -> None:
        if self.state is State.REFUSED:
            self.end(SessionEnded(self.id, EndCause.REJECTED), now)

    def reinvite_next(self, now: float) -> None:
        super().reinvite_next(now)
        self.release(now)

    def release(self, now: float) -> None:
        while self._held and self.state is State.OPENING and not self._cancelled and not self._holds(self._held[0]):
            held, command = self._held[1:], self._held[0]
            self._held = []
            if isinstance(command, SendAnswer):
                self.send_answer(command, now)
            else:
                self.send_provisional(command, now)
                self._held = held

    # --- inside ---------------------------------------------------------------------------------------------------

    @property
    def _answering(self) -> bool:
        """The answer is given, and waits."""
        return bool(self._held) and isinstance(self._held[-1], SendAnswer)

    def _holds(self, command: SendProvisional | SendAnswer) -> bool:
        """An offer in a PRACK or UPDATE is answered before the INVITE is (RFC 6337 2.2)."""
        if isinstance(command, SendAnswer) and self._pending.waits_for("UPDATE", "PRACK"):
            return True
        return any(part.holds(command) for part in self.added)

    def _let_go(self) -> None:
        super()._let_go()
        del self._refresh

    def _acked(self, unacked: Unacked, body: bytes, content_type: str, now: float) -> None:
        if unacked.cseq == self._invite.incoming.cseq:
            self.context.emit(AnswerAcked(self.id, body, content_type))
        else:
            super()._acked(unacked, body, content_type, now)

    def _bye_received(self, dialog: Dialog, request: Request, now: float) -> None:
        if self.state is State.OPENING:
            self._give_up(request, now)
        else:
            super()._bye_received(dialog, request, now)

    def _give_up(self, request: Request, now: float) -> None:
        if not self._cancelled:
            self._cancelled = True
            self._refresh.close(now)
            self.context.emit(CancelReceived(self.id, request))

    def _refuse(self, status: int, reason: str, headers: tuple[tuple[str, str], ...], now: float) -> None:
        self.state = State.REFUSED
        self._held.clear()
        self._refresh.close(now)
        self._pending.finish(now)
        self.unregister()  # the early dialog is over (12.3)
        self._invite.user = self
        self.respond(self._invite, status, now, reason, headers)
