"""A session that we open: from our INVITE to the peer's answer.

    OPENING ── 2xx: ACK ──▶ CONFIRMED
       ├─ 3xx-6xx, Timer B, no way ──────────────────────▶ OVER (InviteFailed)
       └─ SendCancel ─ first 1xx: CANCEL ─ 487, 2xx, 64*T1 ▶ OVER (InviteFailed, cause CANCELED)

Forks: every To tag is a dialog of its own. The first 2xx makes the session; every other one is ACKed and BYEd, also after the
session is over: the INVITE's transaction keeps calling `answered` for 64*T1 after its first 2xx.
Source: RFC 3261 8.1.3.5, 9.1, 12.1.2, 13.2, 15, 22.2.
"""

from __future__ import annotations

from sip.core.commands import SendBye, SendCancel, SendInvite
from sip.core.context import Context
from sip.core.delivery import Delivery, Failure
from sip.core.dialog import Dialog, calling_dialog, lenient_contact, lenient_record_route
from sip.core.digest import DigestClient, with_credentials
from sip.core.events import EndCause, FailureCause, InviteAnswered, InviteFailed, InviteProgressed, SessionEnded
from sip.core.responses import merge
from sip.core.routing import parse_next_hop
from sip.core.session import Phase, Session
from sip.core.transactions import ClientTransaction, send_cancel
from sip.message import Headers, NameAddr, ParseError, Request, Response, Uri, UsageError, parse_name_addr, parse_uri

_LOST_FORK = 'SIP;cause=200;text="Call completed elsewhere"'  # RFC 3326 2
_CAUSES = {
    Failure.TIMEOUT: FailureCause.NO_RESPONSE,
    Failure.TRANSPORT: FailureCause.TRANSPORT,
    Failure.UNRESOLVED: FailureCause.UNRESOLVED,
}


class OutgoingSession(Session):
    """Timed by itself: the patience after CANCEL."""

    def __init__(self, context: Context, command: SendInvite) -> None:
        request, next_hop, caller = _invite(context, command)
        digest = None if command.credentials is None else DigestClient(command.credentials, context.tokens.token)
        super().__init__(context, command.session, command.session_headers, digest)
        self._local_tag = parse_name_addr(request.headers.get("From") or "").tag or ""
        self._cseq = 1
        self._early: dict[str, Dialog] = {}
        self._byes: dict[str, Request] = {}  # by To tag: the callee hung up before its 2xx got here
        self._cancelling = False
        self._cancel_reason: str | None = None
        self._cancel_sent = False
        self._give_up_at: float | None = None
        self.armed_at: float | None = None
        secure = request.uri.lower().startswith("sips:")
        self._delivery = Delivery(
            context, self, request, next_hop, self.id, contact=(caller.user, secure), ack_headers=command.session_headers
        )

    def open(self, now: float) -> None:
        self._delivery.start(now)

    # --- commands -------------------------------------------------------------------------------------------------

    def send_cancel(self, command: SendCancel, now: float) -> None:
        if self.phase is Phase.CONFIRMED:
            self.send_bye(SendBye(self.id, command.reason), now)  # the answer was faster
            return
        if self.phase is not Phase.OPENING or self._cancelling:
            return
        self._cancelling = True
        self._cancel_reason = command.reason
        if self._delivery.stop():
            self._fail(FailureCause.CANCELED, None, now)  # nothing has gone out
        elif self._delivery.transaction is not None and self._delivery.transaction.provisional:
            self._cancel(self._delivery.transaction, now)

    def send_bye(self, command: SendBye, now: float) -> None:
        if self.phase is Phase.OPENING:
            self.send_cancel(SendCancel(self.id, command.reason), now)
        else:
            super().send_bye(command, now)

    # --- what comes back ------------------------------------------------------------------------------------------

    def answered(self, delivery: Delivery, transaction: ClientTransaction, response: Response, now: float) -> None:
        tag = _to_tag(response)
        if 200 <= response.status < 300:
            self._accepted(transaction, response, tag or "", now)
        elif self.phase is not Phase.OPENING:
            return
        elif response.status < 200:
            self._progressed(transaction, response, tag, now)
        elif self._cancelling:
            self._fail(FailureCause.CANCELED, response, now)
        elif response.status in (401, 407) and self.digest is not None and self.digest.learn(response, delivery.challenged):
            self._cseq += 1
            delivery.retry(with_credentials(delivery.request, self.digest, self._cseq), now)
        else:
            self._fail(FailureCause.RESPONSE, response, now)

    def undelivered(self, delivery: Delivery, failure: Failure, now: float) -> None:
        if self.phase is Phase.OPENING:
            detail = delivery.host if failure is Failure.UNRESOLVED else failure.value
            self._fail(FailureCause.CANCELED if self._cancelling else _CAUSES[failure], None, now, detail)

    def deadline(self) -> float | None:
        return self._give_up_at

    def expire(self, now: float) -> None:
        """64*T1 after the CANCEL the INVITE counts as cancelled, answered or not (9.1)."""
        if self._give_up_at is not None and self._give_up_at <= now:
            self._give_up_at = None
            self._delivery.abandon(now)
            self._fail(FailureCause.CANCELED, None, now)

    # --- inside ---------------------------------------------------------------------------------------------------

    def _progressed(self, transaction: ClientTransaction, response: Response, tag: str | None, now: float) -> None:
        if self._cancelling:
            self._cancel(transaction, now)
            return
        if response.status == 100:
            return
        if tag is not None:
            self._early_dialog(transaction, response, tag)
        self.context.emit(InviteProgressed(self.id, response, tag))

    def _early_dialog(self, transaction: ClientTransaction, response: Response, tag: str) -> None:
        known = self._early.get(tag)
        if known is not None:
            known.refresh(lenient_contact(response.headers), transaction.response_flow)
        elif len(self._early) < self.context.settings.max_forks:
            self._early[tag] = self._dialog(transaction, response, tag)
            self.register(self._early[tag])

    def _dialog(self, transaction: ClientTransaction, response: Response, tag: str) -> Dialog:
        cseq = int((transaction.request.headers.get("CSeq") or "1").split()[0])
        return calling_dialog(transaction.request, response, self._local_tag, tag, cseq, transaction.response_flow)

    def _accepted(self, transaction: ClientTransaction, response: Response, tag: str, now: float) -> None:
        ack = transaction.acks.get(tag)
        if ack is not None:
            ack.send_ack_again(now)
            return
        if len(transaction.acks) >= self.context.settings.max_forks:
            return
        dialog = self._early.get(tag) if self.phase is Phase.OPENING else None
        if dialog is None:
            dialog = self._dialog(transaction, response, tag)
        else:
            # The 2xx rules: target, and route set (13.2.2.4).
            dialog.refresh(lenient_contact(response.headers), transaction.response_flow)
            dialog.route_set = lenient_record_route(response.headers)[::-1]
            dialog.remote = response.headers.get("To") or dialog.remote
        self.send_ack(transaction, dialog, tag, now)
        if self.phase is Phase.OPENING and not self._cancelling:
            self._confirm(dialog, tag, response, now)
            return
        self.hang_up(dialog, now, self._cancel_reason if self._cancelling else _LOST_FORK)
        if self.phase is Phase.OPENING:
            self._fail(FailureCause.CANCELED, response, now)

    def _confirm(self, dialog: Dialog, tag: str, response: Response, now: float) -> None:
        self.phase = Phase.CONFIRMED
        self.dialog = dialog
        for other, early in self._early.items():
            if other != tag:
                self.context.dialogs.pop(early.key, None)
        if tag not in self._early:
            self.register(dialog)
        self._early.clear()
        self.context.emit(InviteAnswered(self.id, response, tag))
        bye = self._byes.pop(tag, None)
        if bye is not None:
            self.end(SessionEnded(self.id, EndCause.BYE_RECEIVED, request=bye), now)

    def _bye_received(self, dialog: Dialog, request: Request, now: float) -> None:
        if self.phase is Phase.OPENING:
            self._byes.setdefault(dialog.remote_tag, request)  # it has overtaken the 2xx
        else:
            super()._bye_received(dialog, request, now)

    def _cancel(self, transaction: ClientTransaction, now: float) -> None:
        if self._cancel_sent:
            return
        self._cancel_sent = True
        self._give_up_at = now + self.context.times.timeout
        self.context.agenda.arm(self)
        reason = () if self._cancel_reason is None else (("Reason", self._cancel_reason),)
        send_cancel(self.context, transaction, (*self.headers, *reason), now)

    def _fail(self, cause: FailureCause, response: Response | None, now: float, detail: str = "") -> None:
        self._give_up_at = None
        self._leave(now)
        self.context.emit(InviteFailed(self.id, cause, response, detail))


def _to_tag(response: Response) -> str | None:
    try:
        return parse_name_addr(response.headers.get("To") or "", "To").tag
    except ParseError:
        return None


def _invite(context: Context, command: SendInvite) -> tuple[Request, Uri | None, Uri]:
    """The INVITE without Via and Contact, its next hop, and the caller's URI. Raises UsageError for URIs that are none."""
    target = _user_uri(command.request_uri)
    caller = _user_uri(command.from_uri)
    callee = _user_uri(command.to_uri or command.request_uri)
    items: list[tuple[str, str]] = []
    next_hop = parse_next_hop(str(_bare(target)))
    if command.next_hop is not None:
        proxy = _user_uri(command.next_hop)
        next_hop = parse_next_hop(str(proxy))
        if proxy.lr:
            items.append(("Route", f"<{proxy}>"))
    tag = context.tokens.token()
    items += [
        ("Max-Forwards", "70"),
        ("From", str(NameAddr(command.from_display, str(_bare(caller)), {"tag": tag}))),
        ("To", str(NameAddr(None, str(_bare(callee))))),
        ("Call-ID", context.tokens.token(16)),
        ("CSeq", "1 INVITE"),
        ("User-Agent", context.settings.user_agent),
        *context.capabilities,
    ]
    if command.body:
        items.append(("Content-Type", command.content_type))
    headers: Headers = merge(items, (*command.session_headers, *command.headers))
    return Request("INVITE", str(_bare(target)), headers, command.body), next_hop, caller


def _bare(uri: Uri) -> Uri:
    """Without the `?header=value` part, which no message line may hold (19.1.1)."""
    return Uri(uri.scheme, uri.user, uri.password, uri.host, uri.port, uri.params)


def _user_uri(text: str) -> Uri:
    try:
        return parse_uri(text)
    except ParseError as error:
        raise UsageError(f"not a URI to call: {text!r} ({error.reason})") from None
