"""A session from the side of its dialog: what both ends of an INVITE can do once there is one.

    OPENING ──2xx──▶ CONFIRMED ──BYE sent──▶ CLOSING ──its answer──▶ OVER
       │                 └── BYE received, no ACK, dialog gone ────▶ OVER
       └── refused, cancelled, failed (see the two kinds of session) ▶ OVER

`IncomingSession` and `OutgoingSession` add how it opens. OVER is entered once, with the one event that nothing follows; what may
still arrive then (a 2xx again, the answer to our BYE) is met by the transactions that live on for at most 64*T1.

Source: RFC 3261 12.2, 13.2.2.4, 13.3.1.4, 14, 15; RFC 3311 5.2 (UPDATE); RFC 5057 (what ends a dialog).
"""

from __future__ import annotations

import enum

from sip.core.commands import HeaderList, SendBye, SendReinvite, SendRequest, SessionId
from sip.core.delivery import NOBODY, Failure
from sip.core.dialog import Dialog, lenient_contact
from sip.core.dialog_usage import DialogUsage
from sip.core.digest import DigestClient
from sip.core.events import EndCause, ReinviteAcked, RequestAnswered, SessionEnded
from sip.core.exchange import Exchange
from sip.core.incoming import Incoming
from sip.core.machine import Packet
from sip.core.parts import SessionPart
from sip.core.pending import PendingRequests
from sip.core.reinvite import Reinviter
from sip.core.responses import capability_headers, merge
from sip.core.transactions import ClientTransaction, ServerTransaction
from sip.core.unacked import Unacked
from sip.core.usage import Core
from sip.message import Request, Response, parse_cseq

NOT_REFRESHED = 'SIP;cause=408;text="Session not refreshed"'


class State(enum.Enum):
    OPENING = "opening"
    REFUSED = "refused"  # incoming only: waits for the ACK of its refusal
    CONFIRMED = "confirmed"
    CLOSING = "closing"  # our BYE is out
    OVER = "over"


class Session(DialogUsage):
    """dialog: None as long as an outgoing session is unanswered.

    parts: what has a timer of its own, but for the 2xx that wait for their ACK (`unacked`, by CSeq).
    added: those of them that extensions brought along.
    """

    def __init__(self, core: Core, session: SessionId, headers: HeaderList, digest: DigestClient | None) -> None:
        super().__init__(core, session, headers, digest)
        self.state = State.OPENING
        self.unacked: dict[int, Unacked] = {}
        self._pending = PendingRequests(self)
        self._held_bye: SendBye | None = None
        self.agreed_early: Dialog | None = None
        self._offering = False  # by an UPDATE of ours that has no answer
        self._registered: list[Dialog] = []
        self._reinviter = Reinviter(self)
        self.added = tuple(part for one in core.extensions if (part := one.session_part(self)) is not None) if core.extensions else ()
        self.parts: list[SessionPart] = [self._reinviter, *self.added]
        core.sessions[session] = self

    # --- commands -------------------------------------------------------------------------------------------------

    def send_bye(self, command: SendBye, now: float) -> None:
        if self.state is not State.CONFIRMED or self.dialog is None:
            return
        if self.unacked and not self.dialog.initiator:
            self._held_bye = self._held_bye or command  # not before the ACK (15)
            return
        self._close(command.reason, command.headers, now)

    def send_reinvite(self, command: SendReinvite, now: float) -> None:
        if self.state is State.CONFIRMED and self._held_bye is None:
            self._reinviter.add(command.body, command.content_type, now)

    def send_request(self, command: SendRequest, now: float) -> None:
        update = command.method == "UPDATE"
        dialog = self.agreed_early if self.opening and update else self.dialog if self.state is State.CONFIRMED else None
        offers = update and bool(command.body)
        if dialog is None or (offers and (self.inviting or self.invite_open() or self._pending.waits_for("UPDATE", "PRACK"))):
            self.context.emit(RequestAnswered(self.id, command.method, None))
            return
        self._offering = self._offering or offers
        request = self.build(dialog, command.method, command.headers, command.body, command.content_type)
        self.exchange(self, dialog, request, now)

    # --- requests that came in ------------------------------------------------------------------------------------

    def request_received(self, transaction: ServerTransaction, dialog: Dialog, now: float) -> None:
        """A request inside a dialog of this session; its form and its order have been checked."""
        request = transaction.request
        if self.added and any(part.request_received(transaction, now) for part in self.added):
            return
        match request.method:
            case "BYE":
                self.respond(transaction, 200, now)
                self._bye_received(dialog, request, now)
            case "OPTIONS":
                self.respond(transaction, 200, now, core_headers=capability_headers(self.context))
            case _ if self.state is State.CLOSING:
                self.respond(transaction, 481, now)
            case "INVITE":
                self._pending.reinvite_received(transaction, dialog, now)
            case _:
                self._pending.request_received(transaction, dialog, now)

    def ack_received(self, incoming: Incoming, now: float) -> bool:
        """An ACK for one of our 2xx; False when it acknowledges nothing new."""
        unacked = self.unacked.pop(incoming.cseq, None)
        if unacked is None:
            return False
        unacked.close(now)
        request = incoming.request
        self._acked(unacked, request.body, request.headers.get("Content-Type") or "", now)
        if self._held_bye is not None and not self.unacked:
            held, self._held_bye = self._held_bye, None
            self._close(held.reason, held.headers, now)
        else:
            self._reinviter.poke(now)
        return True

    def cancel_received(self, invite: ServerTransaction, cancel: Request, now: float) -> None:
        """A CANCEL for an INVITE of this session that has no final response; its own 200 has gone out."""
        self._pending.cancelled(invite, now)

    # --- what the parts report ------------------------------------------------------------------------------------

    def ack_missing(self, unacked: Unacked, now: float) -> None:
        """64*T1 have gone by without ACK: BYE (13.3.1.4)."""
        self.unacked.pop(unacked.cseq, None)
        if self.state is State.CONFIRMED and self.dialog is not None:
            held = self._held_bye or SendBye(self.id)
            self.hang_up(self.dialog, now, held.reason, held.headers)
            self.end(SessionEnded(self.id, EndCause.ACK_TIMEOUT), now)

    def expired(self, now: float) -> None:
        """The session was not refreshed in its time: BYE (RFC 4028 10)."""
        if self.state is State.CONFIRMED and self.dialog is not None:
            held = self._held_bye or SendBye(self.id, NOT_REFRESHED)
            self.hang_up(self.dialog, now, held.reason, held.headers)
            self.end(SessionEnded(self.id, EndCause.EXPIRED), now)

    def exchange_done(self, exchange: Exchange, response: Response | None, failure: Failure | None, now: float) -> None:
        if self.state is State.OVER or (exchange.method == "BYE" and exchange.numbers is not self.dialog):
            return
        if exchange.method == "UPDATE":
            self._offering = False
        if exchange.method == "BYE":
            self.end(SessionEnded(self.id, EndCause.BYE_ANSWERED, response=response), now)
            return
        if response is not None:
            if exchange.method == "UPDATE" and self.dialog and 200 <= response.status < 300:
                self.dialog.refresh(lenient_contact(response.headers), self.dialog.observed)  # RFC 3311 5.1
            self.heard(exchange.method, response, now)
        self.context.emit(RequestAnswered(self.id, exchange.method, response))
        if exchange.method == "OPTIONS" and (response is None or response.status == 408):
            return  # the user asked whether the peer is there, and may know better: its media can be heard
        self.check_dialog(response, now)

    def check_dialog(self, response: Response | None, now: float) -> None:
        """End the session when the answer to a request of ours tells that its dialog is gone (12.2.1.2, RFC 5057 5.1)."""
        if self.state is not State.CONFIRMED or self.dialog is None or (response is not None and response.status not in (408, 481)):
            return
        if response is None or response.status == 408:
            self.hang_up(self.dialog, now)  # the peer may live after all
        self.end(SessionEnded(self.id, EndCause.DIALOG_GONE, response=response), now)

    # --- sending --------------------------------------------------------------------------------------------------

    def send_ack(self, transaction: ClientTransaction, dialog: Dialog, tag: str, now: float) -> None:
        """The ACK for a 2xx: the dialog's route, the INVITE's CSeq and credentials (13.2.2.4)."""
        invite = transaction.request.headers
        request = dialog.request("ACK", cseq=parse_cseq(invite.get("CSeq") or "").number)
        credentials = [(name, value) for name in ("Authorization", "Proxy-Authorization") for value in invite.get_all(name)]
        request.headers = merge([*request.headers, *credentials], self.headers)
        ack = self.prepare(NOBODY, dialog, request)
        ack.start(now)
        transaction.acks[tag] = ack

    def hang_up(self, dialog: Dialog, now: float, reason: str | None = None, headers: HeaderList = ()) -> None:
        """Send a BYE."""
        extra = (*headers, ("Reason", reason)) if reason is not None else headers
        self.exchange(self, dialog, self.build(dialog, "BYE", extra), now)

    def heard(self, method: str, response: Response, now: float) -> None:
        """Let the parts of extensions see a response."""
        for part in self.added:
            part.response_received(method, response, now)

    def await_ack(self, transaction: ServerTransaction, packet: Packet, now: float) -> None:
        """Repeat this 2xx until its ACK comes."""
        unacked = Unacked(self, transaction, packet, now)
        self.unacked[unacked.cseq] = unacked

    @property
    def opening(self) -> bool:
        return self.state is State.OPENING

    @property
    def inviting(self) -> bool:
        opening = self.opening and self.agreed_early is None and (self.dialog is None or self.dialog.initiator)
        return self._reinviter.busy or self._offering or opening

    @property
    def offer_open(self) -> bool:
        return self.opening and self.agreed_early is None

    @property
    def reinviting(self) -> bool:
        return self._reinviter.busy or self._pending.waits_for("INVITE")

    @property
    def offer_unanswered(self) -> bool:
        return any(not one.had_offer for one in self.unacked.values())

    def reinvite_next(self, now: float) -> None:
        self._reinviter.poke(now)

    def release(self, now: float) -> None:
        """Nothing is held of what is ours to send."""

    def invite_open(self) -> bool:
        """Whether an INVITE of the peer is unfinished, so that ours has to wait (14.1)."""
        return bool(self.unacked) or self._offering or self._pending.waits_for("INVITE")

    def register(self, dialog: Dialog) -> None:
        """Let requests of the peer in this dialog find us."""
        self.core.join_session(dialog, self)
        self._registered.append(dialog)

    def unregister(self) -> None:
        for dialog in self._registered:
            self.core.leave(dialog, self)
        self._registered.clear()

    def end(self, event: SessionEnded, now: float) -> None:
        self._leave(now)
        self.context.emit(event)

    # --- inside ---------------------------------------------------------------------------------------------------

    def _acked(self, unacked: Unacked, body: bytes, content_type: str, now: float) -> None:
        self.context.emit(ReinviteAcked(self.id, body, content_type))

    def _bye_received(self, dialog: Dialog, request: Request, now: float) -> None:
        if self.state in (State.CONFIRMED, State.CLOSING):
            self.end(SessionEnded(self.id, EndCause.BYE_RECEIVED, request=request), now)

    def _close(self, reason: str | None, headers: HeaderList, now: float) -> None:
        assert self.dialog is not None  # CONFIRMED has one
        self.state = State.CLOSING
        self._pending.finish(now)
        for part in self.parts:
            part.close(now)
        self.hang_up(self.dialog, now, reason, headers)

    def _leave(self, now: float) -> None:
        """Enter OVER: give everything back that the session holds."""
        self.state = State.OVER
        self._held_bye = None
        for unacked in self.unacked.values():
            unacked.close(now)
        self.unacked.clear()
        self._pending.finish(now)
        for part in self.parts:
            part.close(now)
        self.core.sessions.pop(self.id, None)
        self.unregister()
        self._let_go()

    def _let_go(self) -> None:
        """Our parts hold us: without this nothing but the cyclic collector would free a session.

        What still comes finds its way without them: a part that has a request on the wire is held by that, and copies of a 2xx need
        no more than a dialog each.
        """
        self.parts.clear()
        self.added = ()
        del self._pending, self._reinviter
