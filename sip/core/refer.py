"""REFER (RFC 3515) inside the dialog of a session, in both directions: what is checked, who answers, and how it goes on.

    REFER of the peer ─▶ ReferPart ─ ReferReceived ─▶ user ─ AnswerRequest 2xx ─▶ Notifier ─ NotifyRefer ─▶ NOTIFY ... the last
                             └─ malformed, during a re-INVITE, too many: refused here
    SendRefer ─▶ REFER ─▶ Referrer ─ ReferAnswered, ReferNotified ... the last (`over`)

A subscription is a usage of its own (`sip.core.subscriptions`): it outlives a BYE, and its end is not the call's (RFC 5057 5).
REFER outside of dialogs is no matter of this extension.
Source: RFC 3515, RFC 3892 (Referred-By), RFC 4488 (norefersub), RFC 6665.
"""

from __future__ import annotations

from sip.core.capabilities import Capabilities
from sip.core.checks import check_headers, check_text
from sip.core.commands import AnswerRequest, ExtensionCommand, HeaderList, TransactionId
from sip.core.parts import SessionPart
from sip.core.referring import NotifyRefer, ReferAnswered, ReferId, ReferReceived, SendRefer
from sip.core.responses import send_response
from sip.core.subscriptions import Notifier, Referrer
from sip.core.transactions import ServerTransaction
from sip.core.usage import Extension, SessionHost
from sip.message import ParseError, Response, UsageError, parse_name_addr, parse_uri, refer_sub_of, refer_to_of

MAX_REFERS = 8  # of one session that are undecided or told about at a time
EARLY_PATIENCE_S = 2.0  # a REFER may overtake the 2xx that its sender sent before it, and its loss
NO_SUBSCRIPTION = (("Refer-Sub", "false"),)
_REFER = (("Event", "refer"),)  # with refusals, as with what is accepted


class Refer(Extension):
    """`by_session`: the parts of the sessions that live."""

    capabilities = Capabilities(inside=("REFER", "NOTIFY"), option_tags=("norefersub",))
    commands = (NotifyRefer, SendRefer)

    def __init__(self) -> None:
        self.by_session: dict[str, ReferPart] = {}
        self.notifiers: dict[ReferId, Notifier] = {}

    def session_part(self, session: SessionHost) -> ReferPart:
        part = self.by_session[session.id] = ReferPart(self, session)
        return part

    def command(self, command: ExtensionCommand, now: float) -> None:
        match command:
            case NotifyRefer():
                check_text(command.reason)
                if not 100 <= command.status <= 699:
                    raise UsageError(f"status {command.status} in NotifyRefer")
                notifier = self.notifiers.get(command.refer)
                if notifier is not None:
                    notifier.tell(command.status, command.reason, now, final=command.final)
            case SendRefer():
                self._send(command, now)
            case _:
                raise UsageError(f"no command of REFER: {type(command).__name__}")

    def _send(self, command: SendRefer, now: float) -> None:
        check_headers(command.headers)
        check_text(command.refer_to)
        try:
            parse_uri(command.refer_to)
        except ParseError as error:
            raise UsageError(f"not a URI to refer to: {command.refer_to!r} ({error.reason})") from None
        part = self.by_session.get(command.session)
        if part is None or not part.send(command, now):
            self.core.context.emit(ReferAnswered(command.session, command.refer, None))


class ReferPart(SessionPart):
    """The REFERs of one session. Its deadline: what came before the 2xx is not kept for ever."""

    __slots__ = ("_accepted", "_closed", "_early", "_extension", "_looked_at", "_session", "_undecided")

    def __init__(self, extension: Refer, session: SessionHost) -> None:
        super().__init__()
        self._extension = extension
        self._session = session
        self._early: list[ServerTransaction] = []
        self._looked_at: float | None = None  # when those are looked at
        self._undecided: dict[TransactionId, ServerTransaction] = {}
        self._accepted = 0
        self._closed = False

    # --- from the peer --------------------------------------------------------------------------------------------

    def request_received(self, transaction: ServerTransaction, now: float) -> bool:
        if transaction.request.method != "REFER" or self._closed:
            return False
        session = self._session
        if self._count() >= MAX_REFERS:
            self._refuse(transaction, 503, now, headers=(("Retry-After", "10"),))
        elif session.dialog is None:
            self._early.append(transaction)
            if self._looked_at is None:
                self._looked_at = now + EARLY_PATIENCE_S
                session.core.context.agenda.arm(self)
        else:
            self._decide(transaction, now)
        return True

    def response_received(self, method: str, response: Response, now: float) -> None:
        if method == "INVITE" and response.status >= 200 and self._early:
            self._looked_at = now  # once the user has heard of the 2xx itself
            self._session.core.context.agenda.arm(self)

    def deadline(self) -> float | None:
        return self._looked_at

    def expire(self, now: float) -> None:
        self._looked_at = None
        early, self._early = self._early, []
        for transaction in early:
            if transaction.open:
                self._decide(transaction, now)

    def close(self, now: float) -> None:
        self._closed = True
        self._looked_at = None
        waiting = [*self._early, *self._undecided.values()]
        self._early, self._undecided = [], {}
        for transaction in waiting:
            if transaction.open:
                self._refuse(transaction, 487, now)
        self._extension.by_session.pop(self._session.id, None)

    def _decide(self, transaction: ServerTransaction, now: float) -> None:
        session, request = self._session, transaction.request
        if session.reinviting:
            self._refuse(transaction, 491, now)
            return
        try:
            refer_to = refer_to_of(request.headers)
        except ParseError as error:
            self._refuse(transaction, error.status, now, reason=f"Refer-To {error.reason}")
            return
        replaced = None
        if refer_to.replaces is not None:
            named = refer_to.replaces
            found = session.core.dialogs.get((named.call_id, named.to_tag, named.from_tag))
            replaced = found.session.id if found is not None and found.session is not None else None
        self._undecided = {key: one for key, one in self._undecided.items() if one.open}
        self._undecided[transaction.id] = transaction
        transaction.ask(self)
        name = ReferId(f"{session.id}#{transaction.incoming.cseq}")
        session.core.context.emit(ReferReceived(session.id, name, transaction.id, request, refer_to, replaced))

    def answer(self, transaction: ServerTransaction, command: AnswerRequest, now: float) -> None:
        """A `Responder`: the user has decided."""
        if self._undecided.pop(transaction.id, None) is None:
            return
        session, cseq = self._session, transaction.incoming.cseq
        if command.status >= 300 or session.dialog is None:
            self._refuse(transaction, command.status, now, command.reason, command.headers)
            return
        told = refer_sub_of(transaction.request.headers)
        number = cseq if self._accepted else None
        self._accepted += 1
        name = ReferId(f"{session.id}#{cseq}")
        notifier = Notifier(self._extension.core, self._extension.notifiers, session, session.dialog, name, number)
        headers = (*command.headers, *_REFER, *(() if told else NO_SUBSCRIPTION))
        notifier.respond(transaction, command.status, now, command.reason, headers)
        if told:
            notifier.start(now)

    def _refuse(self, transaction: ServerTransaction, status: int, now: float, reason: str = "", headers: HeaderList = ()) -> None:
        session = self._session
        told = any(name.lower() == "event" for name, _ in headers)
        more = (*session.headers, *headers, *(() if told else _REFER))
        send_response(session.core.context, transaction, status, now, reason=reason, headers=more)

    def _count(self) -> int:
        live = sum(one.id == self._session.id for one in self._extension.notifiers.values())
        return len(self._early) + sum(one.open for one in self._undecided.values()) + live

    # --- to the peer ----------------------------------------------------------------------------------------------

    def send(self, command: SendRefer, now: float) -> bool:
        """False when there is no dialog for it."""
        session = self._session
        if self._closed or session.dialog is None or session.opening:
            return False
        caller = parse_name_addr(session.dialog.local, "From").uri
        headers = (("Refer-To", f"<{command.refer_to}>"), ("Referred-By", f"<{caller}>"), *command.headers)
        Referrer(self._extension.core, session, session.dialog, command.refer).start(headers, now)
        return True
