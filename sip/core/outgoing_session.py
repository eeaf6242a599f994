"""A session that we open: from our INVITE to the peer's answer.

    OPENING ── 2xx: ACK ──▶ CONFIRMED
       ├─ 3xx-6xx, Timer B, no way ──────────────────────▶ OVER (InviteFailed)
       └─ SendCancel ─ first 1xx: CANCEL ─ 487, 2xx, 64*T1 ▶ OVER (InviteFailed, cause CANCELED)

Forks: every To tag is a dialog of its own. The first 2xx makes the session; every other one is ACKed and BYEd, also after the
session is over: the INVITE's transaction keeps calling `answered` for 64*T1 after its first 2xx.
Source: RFC 3261 8.1.3.5, 9.1, 12.1.2, 13.2, 15, 22.2.
"""

from __future__ import annotations

from sip.core.cancelling import Cancelling
from sip.core.commands import Place, SendBye, SendCancel, SendInvite
from sip.core.delivery import CAUSES, Delivery, DeliveryUser, Failure
from sip.core.dialog import Dialog, calling_dialog, lenient_contact, lenient_record_route, lenient_to_tag
from sip.core.digest import DigestClient
from sip.core.events import EndCause, FailureCause, InviteAnswered, InviteFailed, InviteProgressed, SessionEnded
from sip.core.exchange import answer_challenge, send_amended
from sip.core.flows import Flow
from sip.core.hops import LOST, Hops
from sip.core.requests import new_request, to_place
from sip.core.responses import merge
from sip.core.routing import scope, wants
from sip.core.session import Session, State
from sip.core.transactions import ClientTransaction
from sip.core.usage import Core
from sip.message import Request, Response, parse_name_addr

# Forks beyond max_forks whose 2xx is still acknowledged and ended, else that callee listens to nobody. Who has more of them is no proxy.
SURPLUS_FORKS = 1000


class OutgoingSession(Session):
    """The UAC's side of an INVITE."""

    def __init__(self, core: Core, command: SendInvite) -> None:
        context = core.context
        new = new_request(context, "INVITE", command, context.abilities)
        for place in command.places:
            to_place(new.request, place)  # raises what is wrong with it before anything is kept
        digest = None if command.credentials is None else DigestClient(command.credentials, context.tokens.token)
        super().__init__(core, command.session, command.session_headers, digest)
        for part in self.added:
            new.request.headers = merge(list(new.request.headers), part.request_headers("INVITE"))
        self._local_tag = parse_name_addr(new.request.headers.get("From") or "").tag or ""
        self._cseq = 1
        self._early: dict[str, Dialog] = {}
        self._byes: dict[str, Request] = {}  # by To tag: the callee hung up before its 2xx got here
        self._cancelling = Cancelling(self)
        self.parts.append(self._cancelling)
        self._new = new
        self._flow = command.flow
        self.keeps_connection = command.flow is not None
        self._tried = 1
        self._hops: Hops | None = None
        if context.settings.silent_hop_s and (command.places or (new.next_hop is not None and scope(wants(new.next_hop)[0]) is None)):
            self._hops = Hops(self, command.places)
            self.parts.append(self._hops)
            self._delivery = self._hops.first()
        else:
            self._delivery = self.deliver(self, None, None)

    def open(self, now: float) -> None:
        self._delivery.start(now)
        if self._hops is not None:
            self._hops.started(now)

    def deliver(self, user: DeliveryUser, place: Place | None, only: Flow | None) -> Delivery:
        new = self._new
        request, next_hop = (new.request, new.next_hop) if place is None else to_place(new.request, place)
        only = only or (self._flow if place is None else place.flow)
        headers = self.headers
        return Delivery(self.core.deliveries, user, request, next_hop, self.id, contact=new.contact, only=only, ack_headers=headers)

    def chosen(self, delivery: Delivery) -> None:
        if self._hops is not None:
            self._tried = self._hops.tried
        self._delivery, self._hops = delivery, None

    # --- commands -------------------------------------------------------------------------------------------------

    def send_cancel(self, command: SendCancel, now: float) -> None:
        if self.state is State.CONFIRMED:
            self.send_bye(SendBye(self.id, command.reason), now)  # the answer was faster
            return
        if self.state is not State.OPENING or self._cancelling.wanted:
            return
        self._cancelling.want(command.reason)
        if self._hops.stop() if self._hops is not None else self._delivery.stop():
            self._fail(FailureCause.CANCELED, None, now)  # nothing has gone out
        elif self._delivery.transaction is not None and self._delivery.transaction.provisional:
            self._cancelling.send(self._delivery.transaction, now)

    def send_bye(self, command: SendBye, now: float) -> None:
        if self.state is State.OPENING:
            self.send_cancel(SendCancel(self.id, command.reason), now)
        else:
            super().send_bye(command, now)

    # --- what comes back ------------------------------------------------------------------------------------------

    def answered(self, delivery: Delivery, transaction: ClientTransaction, response: Response, now: float) -> None:
        tag = lenient_to_tag(response.headers)
        if 200 <= response.status < 300:
            self._accepted(transaction, response, tag or "", now)
        elif self.state is not State.OPENING:
            return
        elif response.status < 200:
            self._progressed(transaction, response, tag, now)
        elif self._cancelling.wanted:
            self._fail(FailureCause.CANCELED, response, now)
        elif not (answer_challenge(self.digest, delivery, self, response, now) or send_amended(self.added, delivery, self, response, now)):
            self._fail(FailureCause.RESPONSE, response, now)

    def undelivered(self, delivery: Delivery, failure: Failure, now: float) -> None:
        if self.state is State.OPENING:
            detail = delivery.host if failure is Failure.UNRESOLVED else failure.value
            self._fail(FailureCause.CANCELED if self._cancelling.wanted else CAUSES[failure], None, now, detail)

    def lost_answered(self, transaction: ClientTransaction, response: Response, now: float) -> None:
        self._accepted(transaction, response, lenient_to_tag(response.headers) or "", now, lost=True)

    def next_cseq(self) -> int:
        """Of the first INVITE with credentials; requests in the dialog count on from its number."""
        self._cseq += 1
        return self._cseq

    # --- inside ---------------------------------------------------------------------------------------------------

    def _let_go(self) -> None:
        super()._let_go()
        self._hops = None
        del self._delivery  # whose user we are; its transaction holds it as long as forks may answer

    def _progressed(self, transaction: ClientTransaction, response: Response, tag: str | None, now: float) -> None:
        if self._cancelling.wanted:
            self._cancelling.send(transaction, now)
            return
        if response.status == 100:
            return
        if tag is not None:
            self._early_dialog(transaction, response, tag)
        dialog = self._early.get(tag or "")
        if any(part.provisional_received(response, dialog, now) for part in self.added):
            return
        self.heard("INVITE", response, now)
        self.context.emit(InviteProgressed(self.id, response, tag))

    def _early_dialog(self, transaction: ClientTransaction, response: Response, tag: str) -> None:
        known = self._early.get(tag)
        if known is not None:
            known.refresh(lenient_contact(response.headers), transaction.response_flow)
        elif len(self._early) < self.context.settings.max_forks:
            self._early[tag] = self._dialog(transaction, response, tag)
            self.register(self._early[tag])

    def _dialog(self, transaction: ClientTransaction, response: Response, tag: str) -> Dialog:
        return calling_dialog(transaction.request, response, self._local_tag, tag, transaction.response_flow)

    def _accepted(self, transaction: ClientTransaction, response: Response, tag: str, now: float, *, lost: bool = False) -> None:
        """lost: by a hop that was left for another."""
        ack = transaction.acks.get(tag)
        if ack is not None:
            ack.send_ack_again(now)
            return
        if len(transaction.acks) >= self.context.settings.max_forks + SURPLUS_FORKS:
            return
        dialog = self._early.get(tag) if self.state is State.OPENING else None
        if dialog is None:
            dialog = self._dialog(transaction, response, tag)
        else:
            # The 2xx rules: target, and route set (13.2.2.4).
            dialog.refresh(lenient_contact(response.headers), transaction.response_flow)
            dialog.route_set = lenient_record_route(response.headers)[::-1]
            dialog.remote = response.headers.get("To") or dialog.remote
        self.send_ack(transaction, dialog, tag, now)
        if self.state is State.OPENING and not self._cancelling.wanted and not lost:
            self._confirm(dialog, tag, response, now)
            return
        self.hang_up(dialog, now, self._cancelling.reason if self._cancelling.wanted else LOST)
        if self.state is State.OPENING and not lost:
            self._fail(FailureCause.CANCELED, response, now)

    def _confirm(self, dialog: Dialog, tag: str, response: Response, now: float) -> None:
        self.state = State.CONFIRMED
        self.dialog = dialog
        for other, early in self._early.items():
            if other != tag:
                self.core.leave(early, self)
        if tag not in self._early:
            self.register(dialog)
        self._early.clear()
        self.heard("INVITE", response, now)
        self.context.emit(InviteAnswered(self.id, response, tag))
        bye = self._byes.pop(tag, None)
        if bye is not None:
            self.end(SessionEnded(self.id, EndCause.BYE_RECEIVED, request=bye), now)

    def _bye_received(self, dialog: Dialog, request: Request, now: float) -> None:
        if self.state is State.OPENING:
            self._byes.setdefault(dialog.remote_tag, request)  # it has overtaken the 2xx
        else:
            super()._bye_received(dialog, request, now)

    def cancel_unanswered(self, now: float) -> None:
        self._delivery.abandon(now)
        self._fail(FailureCause.CANCELED, None, now)

    def _fail(self, cause: FailureCause, response: Response | None, now: float, detail: str = "") -> None:
        tried = self._tried if self._hops is None else self._hops.tried
        self._leave(now)
        self.context.emit(InviteFailed(self.id, cause, response, detail, tried))
