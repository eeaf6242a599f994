"""The subscription that a REFER makes (RFC 3515 2.4.4), from both of its ends. Each is a usage of the dialog that the REFER came in.

    Notifier   we were asked:    TOLD ──tell──▶ NOTIFY ... ──final, expiry──▶ NOTIFY terminated ──answer──▶ over
                                   └── a NOTIFY answered 481, or not at all ──────────────────────────────▶ over
    Referrer   we have asked:    REFER ──2xx──▶ NOTIFY of the peer ... ──terminated, expiry, silence──▶ over
                                   └── refused: over

A subscription is never the reason for the end of a session; only a REFER of ours whose answer says that the dialog is gone is one.
Source: RFC 3515 2.4, RFC 5057 5, RFC 6665 4.1.2, 4.1.3, 4.2.2.
"""

from __future__ import annotations

from sip.core.commands import HeaderList
from sip.core.delivery import Failure
from sip.core.dialog import Dialog
from sip.core.dialog_usage import DialogUsage
from sip.core.exchange import Exchange
from sip.core.referring import ReferAnswered, ReferId, ReferNotified
from sip.core.transactions import ServerTransaction
from sip.core.usage import Core, SessionHost
from sip.message import ParseError, Request, Response, parse_event, parse_sipfrag, parse_subscription_state, reason_phrase, refer_sub_of

SIPFRAG = "message/sipfrag"
# Answers to a NOTIFY after which nobody is subscribed (RFC 6665 4.2.2); others are about this one NOTIFY.
_GONE = frozenset((404, 405, 408, 410, 416, *range(480, 486), 489, 501, 604))
DEFAULT_EXPIRES_S = 180  # what the peer is taken to mean when it does not say
MAX_EXPIRES_S = 3600


class Notifier(DialogUsage):
    """table: of those that live, by name; what it enters at `start` and leaves at its end.

    number: the id of the Event, the CSeq of the REFER; the first in a dialog may go without (RFC 3515 2.4.6).
    """

    def __init__(
        self, core: Core, table: dict[ReferId, Notifier], session: SessionHost, dialog: Dialog, refer: ReferId, number: int | None
    ) -> None:
        super().__init__(core, session.id, session.headers, session.digest)
        self.dialog = dialog
        self.armed_at: float | None = None
        self._refer = refer
        self._table = table
        self._event = "refer" if number is None else f"refer;id={number}"
        self._last = (100, "")
        self._later: tuple[int, str] | None = None  # told when the NOTIFY that is on its way has its answer
        self._waits = 0  # NOTIFYs without an answer
        self._expires_at: float | None = None
        self._over = False

    def start(self, now: float) -> None:
        self._expires_at = now + self.context.settings.refer_expires_s
        self._table[self._refer] = self
        self.core.join(self._dialog, self)
        self.context.agenda.arm(self)
        self.tell(100, "", now, final=False)

    @property
    def _dialog(self) -> Dialog:
        assert self.dialog is not None
        return self.dialog

    def tell(self, status: int, reason: str, now: float, *, final: bool) -> None:
        if self._over:
            return
        if self._waits and not final:
            self._later = (status, reason)
            return
        self._last, self._later = (status, reason), None
        if final:
            self._over = True
            self._table.pop(self._refer, None)
        assert self._expires_at is not None
        state = "terminated;reason=noresource" if final else f"active;expires={max(1, round(self._expires_at - now))}"
        self._send(status, reason, state, now)

    def deadline(self) -> float | None:
        return None if self._over else self._expires_at

    def expire(self, now: float) -> None:
        self._over = True
        self._table.pop(self._refer, None)
        self._send(*self._last, "terminated;reason=timeout", now)

    def takes(self, request: Request) -> bool:
        return False  # whoever wants to renew it by SUBSCRIBE is told that nobody here serves that

    def request_received(self, transaction: ServerTransaction, dialog: Dialog, now: float) -> None:
        raise AssertionError("a notifier takes no requests")

    def exchange_done(self, exchange: Exchange, response: Response | None, failure: Failure | None, now: float) -> None:
        self._waits -= 1
        if response is None or response.status in _GONE:
            self._over = True
            self._table.pop(self._refer, None)
        if self._over:
            if not self._waits:
                self.core.leave(self._dialog, self)
        elif self._later is not None:
            self.tell(*self._later, now, final=False)

    def _send(self, status: int, reason: str, state: str, now: float) -> None:
        body = f"SIP/2.0 {status} {reason or reason_phrase(status)}\r\n".encode()
        headers: HeaderList = (("Event", self._event), ("Subscription-State", state))
        self._waits += 1
        self.exchange(self, self._dialog, self.build(self._dialog, "NOTIFY", headers, body, SIPFRAG), now)


class Referrer(DialogUsage):
    """It is in the dialog before the REFER goes out, for a NOTIFY may be faster than the 2xx (RFC 6665 4.1.2.4)."""

    def __init__(self, core: Core, session: SessionHost, dialog: Dialog, refer: ReferId) -> None:
        super().__init__(core, session.id, session.headers, session.digest)
        self.dialog = dialog
        self.armed_at: float | None = None
        self._session = session
        self._refer = refer
        self._first_cseq = 0
        self._patience_at: float | None = None  # until the next NOTIFY, or for the whole subscription
        self._answered = self._notified = self._over = False

    def start(self, headers: HeaderList, now: float) -> None:
        assert self.dialog is not None
        self.core.join(self.dialog, self)
        request = self.build(self.dialog, "REFER", headers)
        self._first_cseq = self.dialog.local_cseq
        self.exchange(self, self.dialog, request, now)

    def takes(self, request: Request) -> bool:
        """A NOTIFY of refer without id, or with the number of our REFER, which credentials have made higher."""
        if request.method != "NOTIFY" or self._over or self.dialog is None:
            return False
        try:
            package, name = parse_event(request.headers.get("Event") or "")
        except ParseError:
            return False
        if package != "refer":
            return False
        return name is None or (name.isascii() and name.isdigit() and len(name) < 11 and self._first_cseq <= int(name))

    def request_received(self, transaction: ServerTransaction, dialog: Dialog, now: float) -> None:
        request = transaction.request
        try:
            state = parse_subscription_state(request.headers.get("Subscription-State") or "")
        except ParseError:
            self.respond(transaction, 400, now, "Bad Subscription-State")
            return
        self.respond(transaction, 200, now)
        self._notified = True
        status, reason = parse_sipfrag(request.body) or (0, "")
        over = state.terminated or state.expires_s == 0
        if over:
            self._end()
        else:
            seconds = DEFAULT_EXPIRES_S if state.expires_s is None else min(state.expires_s, MAX_EXPIRES_S)
            self._wait(now + seconds)
        self.context.emit(ReferNotified(self.id, self._refer, status, reason, over))

    def exchange_done(self, exchange: Exchange, response: Response | None, failure: Failure | None, now: float) -> None:
        over = self._over
        if response is not None and response.status < 300:
            told = refer_sub_of(response.headers)
            self.context.emit(ReferAnswered(self.id, self._refer, response))
            if not told and not over:
                self._end()
                self.context.emit(ReferNotified(self.id, self._refer, 0, "", True))
            elif not over and not self._notified:
                self._wait(now + self.context.times.timeout)  # timer N
            return
        if not over:
            self._end()
        self.context.emit(ReferAnswered(self.id, self._refer, response))
        self._session.check_dialog(response, now)

    def deadline(self) -> float | None:
        return self._patience_at

    def expire(self, now: float) -> None:
        self._end()
        self.context.emit(ReferNotified(self.id, self._refer, 0, "", True))

    def _wait(self, until: float) -> None:
        self._patience_at = until
        self.context.agenda.arm(self)

    def _end(self) -> None:
        self._over = True
        self._patience_at = None
        assert self.dialog is not None
        self.core.leave(self.dialog, self)
