"""A session that the peer opened, for tests of what happens inside its dialog."""

from __future__ import annotations

from sip.core.events import ReinviteReceived, SessionEnded
from sip.core.flows import Flow
from sip.message import Request
from tests.support.core import (
    OFFER,
    OURS,
    PEER,
    Core,
    be_called_and_answer,
    request,
    to_tag,
)


class Called:
    """A confirmed session that the peer opened, and the peer's requests in it."""

    def __init__(self, core: Core, flow: Flow | None = None, **given: object) -> None:
        self.core = core
        self.flow = flow or Flow("udp", OURS, PEER)
        self.tag = to_tag(be_called_and_answer(core, self.flow, **given))
        self.session = core.session

    def give(self, method: str, cseq: int, **given: object) -> Request:
        given.setdefault("branch", f"z9hG4bK{method}{cseq}")
        message = request(method, cseq=cseq, to_tag=self.tag, **given)  # type: ignore[arg-type]
        self.core.give(message, self.flow)
        return message

    def reinvite(self, cseq: int, **given: object) -> ReinviteReceived:
        given.setdefault("body", OFFER)
        self.give("INVITE", cseq, **given)
        event = self.core.event()
        assert isinstance(event, ReinviteReceived)
        assert self.core.statuses() == [100]
        return event

    def ack(self, cseq: int, body: bytes = b"") -> None:
        self.core.give(request("ACK", branch=f"z9hG4bKack{cseq}", cseq=cseq, to_tag=self.tag, body=body), self.flow)


def ended(core: Core) -> SessionEnded:
    event = core.event()
    assert isinstance(event, SessionEnded)
    return event
