"""Reliable provisional responses on the bench: ours, the peer's, and the PRACK of each."""

from __future__ import annotations

from sip.core.commands import SendProvisional
from sip.core.reliable import ReliableProvisionals, When
from sip.message import Request, Response
from tests.support.core import Core, reply, request, to_tag

REQUIRED = ("Require", "100rel")
SUPPORTED = ("Supported", "100rel")


def reliable(when: When = "required") -> Core:
    return Core(extensions=[ReliableProvisionals(when)])


def ringing(core: Core, body: bytes = b"", status: int = 180) -> Response:
    core.do(SendProvisional(core.session, status, body=body))
    return core.sent_response()


def prack(response: Response, cseq: int = 2, number: int | None = None, body: bytes = b"", **given: object) -> Request:
    value = f"{number or response.headers.get('RSeq')} 1 INVITE"
    given.setdefault("headers", [("RAck", value)])
    given.setdefault("branch", f"z9hG4bKprack{cseq}")
    return request("PRACK", cseq=cseq, to_tag=to_tag(response), body=body, **given)  # type: ignore[arg-type]


def heard(sent: Request, rseq: int, status: int = 180, tag: str = "bobtag", body: bytes = b"") -> Response:
    return reply(sent, status, tag=tag, body=body, headers=[REQUIRED, ("RSeq", str(rseq))])
