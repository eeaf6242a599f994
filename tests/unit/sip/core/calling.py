"""What a test asks of a session that we open, requests of its peer, and places that it may go to."""

from __future__ import annotations

from sip.core.events import InviteFailed
from sip.core.flows import Address, Target
from sip.message import Request, parse_name_addr
from tests.support.core import Core, request

T1, T2, T3 = (Target("udp", Address(f"192.0.2.{host}", 5060)) for host in (101, 102, 103))


def branch(request: Request) -> str:
    return (request.headers.get("Via") or "").partition("branch=")[2].partition(";")[0]


def failed(core: Core) -> InviteFailed:
    event = core.event()
    assert isinstance(event, InviteFailed)
    return event


def sent_methods(core: Core) -> list[str]:
    return [one.message.method for one in core.sent() if isinstance(one.message, Request)]


def from_peer(sent: Request, method: str, cseq: int = 1, tag: str = "bobtag", **given: object) -> Request:
    """A request of the callee in the dialog that `sent` opened."""
    ours = parse_name_addr(sent.headers.get("From") or "").tag
    return request(
        method,
        uri=(sent.headers.get("Contact") or "").strip("<>"),
        branch=f"z9hG4bK{method}{cseq}",
        cseq=cseq,
        from_tag=tag,
        to_tag=ours,
        call_id=sent.headers.get("Call-ID") or "",
        **given,  # type: ignore[arg-type]
    )
