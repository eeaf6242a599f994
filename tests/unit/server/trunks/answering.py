"""What a trunk answers, for tests of what looks after it: virtual time, no SIP core."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import count

from server.calls.effects import Log
from server.trunks.account import Account, Action
from sip.core.commands import Credentials, ExchangeId, SendOutOfDialog
from sip.core.events import FailureCause, OutOfDialogAnswered
from sip.core.flows import Address, Flow
from sip.message import Headers, Response

GATEWAY, SECOND = "sip:gw.example.com;transport=tcp", "sip:gw2.example.com"
FLOW = Flow("tcp", Address("192.0.2.1", 40000), Address("192.0.2.7", 5060), 3)
OURS = "sip:dialplane@192.0.2.1:5060"


def account(**changes: object) -> Account:
    given = {"trunk": "carrier", "places": (GATEWAY,), "registrars": (GATEWAY,), "user": "line1", "domain": "carrier.example"}
    return Account(**{**given, "credentials": Credentials("line1", "secret"), **changes})  # type: ignore[arg-type]


def exchanges() -> Callable[[], ExchangeId]:
    serial = count(1)
    return lambda: ExchangeId(f"e{next(serial)}")


def sent(actions: Iterable[Action]) -> SendOutOfDialog:
    (command,) = [action for action in actions if isinstance(action, SendOutOfDialog)]
    return command


def told(actions: Iterable[Action]) -> list[str]:
    return [action.event for action in actions if isinstance(action, Log)]


def answer(to: SendOutOfDialog, status: int, *headers: tuple[str, str], cseq: int = 0, flow: Flow | None = FLOW) -> OutOfDialogAnswered:
    response = Response(status, "Because", Headers([("Via", "SIP/2.0/TCP 192.0.2.1:5060;branch=z9hG4bKx"), *headers]))
    return OutOfDialogAnswered(to.exchange, to.method, response, None, cseq or to.cseq, flow)


def silence(to: SendOutOfDialog, cause: FailureCause = FailureCause.NO_RESPONSE) -> OutOfDialogAnswered:
    return OutOfDialogAnswered(to.exchange, to.method, None, cause, to.cseq)
