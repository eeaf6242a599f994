"""A call on the bench in which somebody refers."""

from __future__ import annotations

from sip.core.commands import AnswerRequest
from sip.core.refer import Refer
from sip.core.referring import ReferId, ReferReceived, SendRefer
from sip.message import Headers, Request, Response
from tests.support.core import (
    Core,
    be_called_and_answer,
    reply,
    request,
    to_tag,
)

TARGET = ("Refer-To", "<sip:dave@example.com>")
CONTACT = ("Contact", "<sip:alice@192.0.2.77>")
MINE = ReferId("refer-1")


def refer(tag: str, cseq: int = 2, *more: tuple[str, str], target: tuple[str, str] = TARGET) -> Request:
    return request("REFER", branch=f"z9hG4bKrefer{cseq}", cseq=cseq, to_tag=tag, headers=[target, CONTACT, *more])


def as_callee(message: Request, sent: Request) -> Request:
    """The same from whom we call."""
    changed = {"Call-ID": sent.headers.get("Call-ID") or "", "From": "<sip:bob@192.0.2.77>;tag=bobtag"}
    return Request(message.method, message.uri, Headers([(name, changed.get(name, value)) for name, value in message.headers]), b"")


def called() -> tuple[Core, str]:
    core = Core(extensions=[Refer()])
    return core, to_tag(be_called_and_answer(core))


def asked(*more: tuple[str, str]) -> tuple[Core, str, ReferReceived]:
    """The peer's REFER waits for the user."""
    core, tag = called()
    core.give(refer(tag, 2, *more))
    event = core.event()
    assert isinstance(event, ReferReceived)
    return core, tag, event


def accepted(*more: tuple[str, str]) -> tuple[Core, str, ReferReceived, Request]:
    """The first NOTIFY is answered."""
    core, tag, event = asked(*more)
    core.do(AnswerRequest(event.transaction, 202))
    response, notify = (one.message for one in core.sent())
    assert isinstance(response, Response)
    assert isinstance(notify, Request)
    assert response.status == 202
    core.give(reply(notify, 200))
    return core, tag, event, notify


def fields(notify: Request) -> tuple[str | None, str | None, bytes]:
    return notify.headers.get("Event"), notify.headers.get("Subscription-State"), notify.body


def referring() -> tuple[Core, str, Request]:
    core, tag = called()
    core.do(SendRefer(MINE, core.session, "sip:dave@example.com"))
    return core, tag, core.sent_request("REFER")


def notify(tag: str, cseq: int, body: bytes, state: str = "active;expires=60", event: str = "refer") -> Request:
    headers = [("Event", event), ("Subscription-State", state), CONTACT]
    return request(
        "NOTIFY", branch=f"z9hG4bKn{cseq}", cseq=cseq, to_tag=tag, headers=headers, body=body, content_type="message/sipfrag;version=2.0"
    )
