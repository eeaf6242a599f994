"""Requests outside of any dialog, REGISTER or MESSAGE for example: those of peers that the user serves, and our own.

    OutOfDialogReceived ─▶ user ─ AnswerRequest ─▶ response
    SendOutOfDialog ─▶ Delivery (fail-over) ─▶ Exchange (digest) ─▶ OutOfDialogAnswered

Source: RFC 3261 8.1, 8.2, 10.
"""

from __future__ import annotations

from sip.core.commands import AnswerRequest, SendOutOfDialog
from sip.core.delivery import CAUSES, Delivery, Failure
from sip.core.digest import DigestClient
from sip.core.events import OutOfDialogAnswered, OutOfDialogReceived
from sip.core.exchange import Exchange
from sip.core.requests import new_request
from sip.core.responses import send_response
from sip.core.transactions import ServerTransaction
from sip.core.usage import Core
from sip.message import Response, UsageError


class OutOfDialog:
    """Serves, for the user, the methods that it takes (`Capabilities.outside`); an `OutsideUser` and `Responder`."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._sent: dict[str, SentRequest] = {}

    def request_received(self, transaction: ServerTransaction, now: float) -> None:
        transaction.ask(self)
        self._core.context.emit(OutOfDialogReceived(transaction.id, transaction.request, transaction.incoming.flow))

    def answer(self, transaction: ServerTransaction, command: AnswerRequest, now: float) -> None:
        send_response(
            self._core.context,
            transaction,
            command.status,
            now,
            reason=command.reason,
            headers=command.headers,
            body=command.body,
            content_type=command.content_type,
        )

    def send(self, command: SendOutOfDialog, now: float) -> None:
        if command.exchange in self._sent:
            raise UsageError(f"exchange name in use: {command.exchange}")
        SentRequest(self._core, command, self._sent).start(now)


class SentRequest:
    """One request of ours: an `ExchangeUser`, and what its numbers are taken from. It stands in `table` until its answer."""

    def __init__(self, core: Core, command: SendOutOfDialog, table: dict[str, SentRequest]) -> None:
        context = core.context
        new = new_request(context, command.method, command, ())
        self._context = context
        self._command = command
        self._cseq = command.cseq
        self._table = table
        digest = None if command.credentials is None else DigestClient(command.credentials, context.tokens.token)
        contact = None if command.contact_user is None else (command.contact_user, new.contact[1])
        exchange = Exchange(self, command.method, self, digest)
        self._delivery = Delivery(core.deliveries, exchange, new.request, new.next_hop, None, contact=contact)
        table[command.exchange] = self

    def start(self, now: float) -> None:
        self._delivery.start(now)

    def next_cseq(self) -> int:
        self._cseq += 1
        return self._cseq

    def exchange_done(self, exchange: Exchange, response: Response | None, failure: Failure | None, now: float) -> None:
        del self._table[self._command.exchange]
        cause = None if failure is None else CAUSES[failure]
        self._context.emit(OutOfDialogAnswered(self._command.exchange, exchange.method, response, cause, self._cseq, self._delivery.flow))
