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

from sip.core.commands import AnswerRequest, HeaderList, SendBye, SendReinvite, SendRequest, SessionId, TransactionId
from sip.core.context import Context
from sip.core.delivery import NOBODY, Delivery, DeliveryUser, Failure
from sip.core.dialog import Dialog, lenient_contact
from sip.core.digest import DigestClient, with_credentials
from sip.core.events import EndCause, ReinviteAcked, ReinviteReceived, RequestAnswered, RequestReceived, SessionEnded
from sip.core.flows import Flow
from sip.core.incoming import Incoming
from sip.core.machine import Packet
from sip.core.reinvite import Reinviter
from sip.core.responses import capability_headers, merge, send_response
from sip.core.routing import contact_uri, listener_of, parse_next_hop, unreachable_contact
from sip.core.transactions import ClientTransaction, ServerTransaction
from sip.core.unacked import Unacked
from sip.message import Request, Response

TARGET_REFRESHES = frozenset(("INVITE", "UPDATE", "NOTIFY", "SUBSCRIBE", "REFER"))  # requests that carry a Contact


class Phase(enum.Enum):
    OPENING = "opening"
    REFUSED = "refused"  # incoming only: waits for the ACK of its refusal
    CONFIRMED = "confirmed"
    CLOSING = "closing"  # our BYE is out
    OVER = "over"


class Exchange:
    """One request of ours inside a dialog, not an INVITE, with its repetition for a challenge."""

    def __init__(self, session: Session, dialog: Dialog, method: str) -> None:
        self._session = session
        self.dialog = dialog
        self.method = method

    def answered(self, delivery: Delivery, transaction: ClientTransaction, response: Response, now: float) -> None:
        if response.status >= 200 and not self._session.answer_challenge(delivery, self.dialog, response, now):
            self._session.exchange_done(self, response, now)

    def undelivered(self, delivery: Delivery, failure: Failure, now: float) -> None:
        self._session.exchange_done(self, None, now)


class Session:
    """dialog: the one that the session lives in; None as long as an outgoing one is unanswered."""

    def __init__(self, context: Context, session: SessionId, headers: HeaderList, digest: DigestClient | None) -> None:
        self.context = context
        self.id = session
        self.headers = headers
        self.digest = digest
        self.phase = Phase.OPENING
        self.dialog: Dialog | None = None
        self.unacked: dict[int, Unacked] = {}  # our 2xx by CSeq
        self._pending: dict[TransactionId, tuple[ServerTransaction, Dialog]] = {}  # requests that the user has not answered
        self._held_bye: SendBye | None = None
        self._registered: list[Dialog] = []
        self._reinviter = Reinviter(self)
        context.sessions[session] = self

    # --- commands -------------------------------------------------------------------------------------------------

    def send_bye(self, command: SendBye, now: float) -> None:
        if self.phase is not Phase.CONFIRMED or self.dialog is None:
            return
        if self.unacked and not self.dialog.initiator:
            self._held_bye = self._held_bye or command  # not before the ACK (15)
            return
        self._close(command.reason, command.headers, now)

    def send_reinvite(self, command: SendReinvite, now: float) -> None:
        if self.phase is Phase.CONFIRMED and self._held_bye is None:
            self._reinviter.add(command.body, command.content_type, now)

    def send_request(self, command: SendRequest, now: float) -> None:
        if self.phase is not Phase.CONFIRMED or self.dialog is None:
            self.context.emit(RequestAnswered(self.id, command.method, None))
            return
        request = self.build(self.dialog, command.method, command.headers, command.body, command.content_type)
        self.deliver(Exchange(self, self.dialog, command.method), self.dialog, request, now)

    def answer_request(self, command: AnswerRequest, now: float) -> None:
        found = self._pending.get(command.transaction)
        if found is None:
            return
        transaction, dialog = found
        if command.status >= 200:
            del self._pending[command.transaction]
        accepted = 200 <= command.status < 300
        body = (command.body, command.content_type) if command.body else (b"", "")
        packet = self.respond(transaction, command.status, now, command.reason, command.headers, *body)
        method = transaction.request.method
        if accepted and method in ("INVITE", "UPDATE"):
            dialog.refresh(lenient_contact(transaction.request.headers), transaction.incoming.flow)
        if accepted and method == "INVITE":
            self.await_ack(transaction, packet, now)
        elif command.status >= 200:
            self._reinviter.poke(now)

    # --- requests that came in ------------------------------------------------------------------------------------

    def request_received(self, transaction: ServerTransaction, dialog: Dialog, now: float) -> None:
        """A request inside a dialog of this session; its form has been checked."""
        incoming, request = transaction.incoming, transaction.request
        if dialog.remote_cseq is not None and incoming.cseq < dialog.remote_cseq:
            self.respond(transaction, 500, now, "CSeq Out Of Order")  # 12.2.2; gaps are legal
            return
        dialog.remote_cseq = incoming.cseq
        match request.method:
            case "BYE":
                self.respond(transaction, 200, now)
                self._bye_received(dialog, request, now)
            case "OPTIONS":
                self.respond(transaction, 200, now, core_headers=capability_headers(self.context))
            case _ if self.phase is Phase.CLOSING:
                self.respond(transaction, 481, now)
            case "INVITE":
                self._reinvite_received(transaction, dialog, now)
            case _:
                self._request_received(transaction, dialog, now)

    def ack_received(self, incoming: Incoming, now: float) -> bool:
        """An ACK for one of our 2xx; False when it acknowledges nothing new."""
        unacked = self.unacked.pop(incoming.cseq, None)
        if unacked is None:
            return False
        unacked.stop()
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
        if self._pending.pop(invite.id, None) is not None:
            self.respond(invite, 487, now)  # of a re-INVITE: the session stays as it was (9.2, 14.2)
            self._reinviter.poke(now)

    # --- what the parts report ------------------------------------------------------------------------------------

    def ack_missing(self, unacked: Unacked, now: float) -> None:
        """64*T1 have gone by without ACK: BYE (13.3.1.4)."""
        self.unacked.pop(unacked.cseq, None)
        if self.phase is Phase.CONFIRMED and self.dialog is not None:
            held = self._held_bye or SendBye(self.id)
            self.hang_up(self.dialog, now, held.reason, held.headers)
            self.end(SessionEnded(self.id, EndCause.ACK_TIMEOUT), now)

    def exchange_done(self, exchange: Exchange, response: Response | None, now: float) -> None:
        if self.phase is Phase.OVER or exchange.dialog is not self.dialog:
            return
        if exchange.method == "BYE":
            self.end(SessionEnded(self.id, EndCause.BYE_ANSWERED, response=response), now)
            return
        self.context.emit(RequestAnswered(self.id, exchange.method, response))
        self.check_dialog(response, now)

    def check_dialog(self, response: Response | None, now: float) -> None:
        """End the session when the answer to a request of ours tells that its dialog is gone (12.2.1.2, RFC 5057 5.1)."""
        if self.phase is not Phase.CONFIRMED or self.dialog is None or (response is not None and response.status not in (408, 481)):
            return
        if response is None or response.status == 408:
            self.hang_up(self.dialog, now)  # the peer may live after all
        self.end(SessionEnded(self.id, EndCause.DIALOG_GONE, response=response), now)

    def answer_challenge(self, delivery: Delivery, dialog: Dialog, response: Response, now: float) -> bool:
        """Send the request again with credentials; False when this is no challenge, or none that we can meet."""
        if response.status not in (401, 407) or self.digest is None or not self.digest.learn(response, delivery.challenged):
            return False
        dialog.local_cseq += 1
        delivery.retry(with_credentials(delivery.request, self.digest, dialog.local_cseq), now)
        return True

    # --- building and sending -------------------------------------------------------------------------------------

    def build(self, dialog: Dialog, method: str, headers: HeaderList = (), body: bytes = b"", content_type: str = "") -> Request:
        request = dialog.request(method, body, content_type)
        items = [*request.headers, ("User-Agent", self.context.settings.user_agent)]
        if method in ("INVITE", "UPDATE"):
            items += self.context.capabilities
        if self.digest is not None:
            items += self.digest.headers(method, request.uri, body)
        request.headers = merge(items, (*self.headers, *headers))
        return request

    def deliver(self, user: DeliveryUser, dialog: Dialog, request: Request, now: float) -> Delivery:
        delivery = self.prepare(user, dialog, request)
        delivery.start(now)
        return delivery

    def prepare(self, user: DeliveryUser, dialog: Dialog, request: Request) -> Delivery:
        """A delivery that has not started yet: it may fail at once, and some want to know it by then."""
        only, fallback = self._way(dialog)
        contact = (dialog.contact_user, dialog.secure) if request.method in TARGET_REFRESHES else None
        return Delivery(
            self.context,
            user,
            request,
            dialog.next_hop(),
            self.id,
            contact=contact,
            preferred=dialog.observed.local,
            only=only,
            fallback=fallback,
            ack_headers=self.headers,
        )

    def send_ack(self, transaction: ClientTransaction, dialog: Dialog, tag: str, now: float) -> None:
        """The ACK for a 2xx: the dialog's route, the INVITE's CSeq and credentials (13.2.2.4)."""
        invite = transaction.request.headers
        request = dialog.request("ACK", cseq=int((invite.get("CSeq") or "1").split()[0]))
        credentials = [(name, value) for name in ("Authorization", "Proxy-Authorization") for value in invite.get_all(name)]
        request.headers = merge([*request.headers, *credentials], self.headers)
        transaction.acks[tag] = self.deliver(NOBODY, dialog, request, now)

    def hang_up(self, dialog: Dialog, now: float, reason: str | None = None, headers: HeaderList = ()) -> None:
        """Send a BYE."""
        extra = (*headers, ("Reason", reason)) if reason is not None else headers
        self.deliver(Exchange(self, dialog, "BYE"), dialog, self.build(dialog, "BYE", extra), now)

    def respond(
        self,
        transaction: ServerTransaction,
        status: int,
        now: float,
        reason: str = "",
        headers: HeaderList = (),
        body: bytes = b"",
        content_type: str = "",
        core_headers: HeaderList = (),
    ) -> Packet:
        """A response of this session. Those that make or keep a dialog carry Contact, Record-Route and what we can do."""
        method = transaction.request.method
        core = list(core_headers)
        if 100 < status < 300 and method in TARGET_REFRESHES:
            listener = listener_of(self.context.listeners, transaction.incoming.flow)
            if listener is not None:
                user, secure = (self.dialog.contact_user, self.dialog.secure) if self.dialog is not None else (None, False)
                core.append(("Contact", f"<{contact_uri(listener, user, secure)}>"))
        if method == "INVITE" and 100 < status < 300:
            core += [("Record-Route", value) for value in transaction.request.headers.get_all("Record-Route")]
            core += self.context.capabilities
        return send_response(
            self.context,
            transaction,
            status,
            now,
            reason=reason,
            headers=(*self.headers, *headers) if status > 100 else (),
            body=body,
            content_type=content_type,
            core_headers=tuple(core),
        )

    def await_ack(self, transaction: ServerTransaction, packet: Packet, now: float) -> None:
        """Repeat this 2xx until its ACK comes."""
        unacked = Unacked(self, transaction, packet, now)
        self.unacked[unacked.cseq] = unacked

    def invite_open(self) -> bool:
        """Whether an INVITE of the peer is unfinished, so that ours has to wait (14.1)."""
        return bool(self.unacked) or self._waits_for_user("INVITE")

    def register(self, dialog: Dialog) -> None:
        """Let requests of the peer in this dialog find us."""
        self.context.dialogs[dialog.key] = (self, dialog)
        self._registered.append(dialog)

    def unregister(self) -> None:
        for dialog in self._registered:
            self.context.dialogs.pop(dialog.key, None)
        self._registered.clear()

    def end(self, event: SessionEnded, now: float) -> None:
        self._leave(now)
        self.context.emit(event)

    # --- inside ---------------------------------------------------------------------------------------------------

    def _acked(self, unacked: Unacked, body: bytes, content_type: str, now: float) -> None:
        self.context.emit(ReinviteAcked(self.id, body, content_type))

    def _bye_received(self, dialog: Dialog, request: Request, now: float) -> None:
        if self.phase in (Phase.CONFIRMED, Phase.CLOSING):
            self.end(SessionEnded(self.id, EndCause.BYE_RECEIVED, request=request), now)

    def _reinvite_received(self, transaction: ServerTransaction, dialog: Dialog, now: float) -> None:
        """14.2: ours is on its way: 491; another of the peer is unfinished: 500, later please."""
        if self.phase is Phase.OPENING and (self.dialog is None or self.dialog.initiator):
            self.respond(transaction, 491, now)  # our first INVITE is unanswered
        elif self._reinviter.busy or any(not one.had_offer for one in self.unacked.values()):
            self.respond(transaction, 491, now)  # our offer is open: in our INVITE, or in a 2xx whose ACK answers it
        elif self.phase is Phase.OPENING or self._waits_for_user("INVITE", "UPDATE"):
            self._refuse_for_now(transaction, now)
        else:
            self.respond(transaction, 100, now)
            self._pending[transaction.id] = (transaction, dialog)
            self.context.emit(ReinviteReceived(self.id, transaction.id, transaction.request))

    def _request_received(self, transaction: ServerTransaction, dialog: Dialog, now: float) -> None:
        self._pending = {key: one for key, one in self._pending.items() if one[0].open}
        offers = transaction.request.method == "UPDATE" and bool(transaction.request.body)
        if offers and (self._reinviter.busy or (self.phase is Phase.OPENING and (self.dialog is None or self.dialog.initiator))):
            self.respond(transaction, 491, now)  # RFC 3311 5.2
        elif offers and self.phase is Phase.OPENING:
            self._refuse_for_now(transaction, now)  # the offer of the INVITE is unanswered
        elif len(self._pending) >= self.context.settings.max_pending_requests or (offers and self._waits_for_user("INVITE", "UPDATE")):
            self._refuse_for_now(transaction, now)
        else:
            self._pending[transaction.id] = (transaction, dialog)
            self.context.emit(RequestReceived(self.id, transaction.id, transaction.request))

    def _waits_for_user(self, *methods: str) -> bool:
        return any(one.request.method in methods for one, _ in self._pending.values())

    def _refuse_for_now(self, transaction: ServerTransaction, now: float) -> None:
        seconds = int(self.context.tokens.uniform(0, 10))
        self.respond(transaction, 500, now, headers=(("Retry-After", str(seconds)),))

    def _close(self, reason: str | None, headers: HeaderList, now: float) -> None:
        assert self.dialog is not None  # CONFIRMED has one
        self.phase = Phase.CLOSING
        self._finish_pending(now)
        self._reinviter.close(now)
        self.hang_up(self.dialog, now, reason, headers)

    def _leave(self, now: float) -> None:
        """Enter OVER: give everything back that the session holds."""
        self.phase = Phase.OVER
        self._held_bye = None
        for unacked in self.unacked.values():
            unacked.stop()
        self.unacked.clear()
        self._finish_pending(now)
        self._reinviter.close(now)
        self.context.sessions.pop(self.id, None)
        self.unregister()

    def _finish_pending(self, now: float) -> None:
        """Requests that wait for the user get their answer from us (15.1.2)."""
        pending, self._pending = self._pending, {}
        for transaction, _ in pending.values():
            if transaction.open:
                self.respond(transaction, 487, now)

    def _way(self, dialog: Dialog) -> tuple[Flow | None, Flow | None]:
        """(the flow to use instead of the next hop, the flow to use when that fails), see sip.core.routing."""
        if not self.context.settings.nat_fix_private_contact or dialog.route_set:
            return None, None
        observed = dialog.observed
        if observed.connection and not self.context.is_open(observed):
            return None, None
        target = parse_next_hop(dialog.remote_target)
        if target is not None and unreachable_contact(target, observed):
            return observed, None
        return None, observed
