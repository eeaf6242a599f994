"""One SIP endpoint on the bench, in virtual time, and the messages of a peer that does what it is told.

core = Core()
core.give(invite())                          # octets in
assert core.statuses() == [100]              # what went out since the last look
core.do(SendAnswer(core.session, b"v=0"))
core.pass_time(32)                           # every deadline on the way fires at its own time
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeVar

from sip.core.admission import Admission
from sip.core.capabilities import Capabilities
from sip.core.commands import Command, SendAnswer, SendInvite, SessionId
from sip.core.door import Door
from sip.core.endpoint import Endpoint
from sip.core.events import Dropped, InviteReceived, Output, Traced
from sip.core.flows import Address, CloseConnection, Flow, Listener, Resolve, Target, Transmit
from sip.core.gate import Screen
from sip.core.usage import Extension
from sip.message import Headers, Request, Response, build_message, parse_message
from sip.settings import SipSettings

OURS = Address("192.0.2.1", 5060)
PEER = Address("192.0.2.77", 5060)
UDP = Flow("udp", OURS, PEER)
TCP = Flow("tcp", OURS, Address(PEER.host, 40000), 7)
OVER_TCP = "SIP/2.0/TCP 192.0.2.77;branch=z9hG4bKpeer1"  # the Via of what comes by it
LISTENERS = (Listener("udp", OURS, OURS), Listener("tcp", OURS, OURS))
OFFER, ANSWER = b"v=0\r\no=offer\r\n", b"v=0\r\no=answer\r\n"
ALL_ZERO = dict.fromkeys(("transactions", "dialogs", "sessions", "timers", "connections", "resolves", "deliveries"), 0)

E = TypeVar("E")


@dataclass(frozen=True, slots=True)
class Sent:
    at: float
    flow: Flow
    message: Request | Response
    data: bytes


class Core:
    """`session` is the latest incoming session; `out` everything since the start."""

    def __init__(
        self,
        settings: SipSettings | None = None,
        listeners: Iterable[Listener] = LISTENERS,
        seed: int = 7,
        capabilities: Capabilities | None = None,
        extensions: Iterable[Extension] = (),
        screen: Screen | None = None,
        door: Door | None = None,
        admission: Admission | None = None,
    ) -> None:
        randomness = random.Random(seed).randbytes
        self.endpoint = Endpoint(settings or SipSettings(), tuple(listeners), randomness, capabilities, extensions, screen, door, admission)
        self.now = 1000.0
        self.out: list[tuple[float, Output]] = []
        self.session = SessionId("")
        self._sent_seen = self._events_seen = 0

    # --- input ----------------------------------------------------------------------------------------------------

    def give(self, message: bytes | Request | Response, flow: Flow = UDP) -> list[Output]:
        data = message if isinstance(message, bytes) else build_message(message)
        return self._take(self.endpoint.receive(data, flow, self.now))

    def do(self, command: Command) -> list[Output]:
        return self._take(self.endpoint.command(command, self.now))

    def resolve(self, *targets: Target) -> list[Output]:
        """Answer the latest Resolve."""
        query = self.last(Resolve)
        return self._take(self.endpoint.resolved(query.query, targets, self.now))

    def fail(self, flow: Flow, error: str = "refused") -> list[Output]:
        return self._take(self.endpoint.transmit_failed(flow, error, self.now))

    def lose(self, flow: Flow) -> list[Output]:
        return self._take(self.endpoint.connection_lost(flow, self.now))

    def pass_time(self, seconds: float) -> list[Output]:
        end, outputs = self.now + seconds, []
        while (at := self.endpoint.next_deadline()) is not None and at <= end:
            assert at >= self.now, "a deadline in the past"
            self.now = at
            outputs += self._take(self.endpoint.timeout(at))
        self.now = end
        return outputs

    # --- output ---------------------------------------------------------------------------------------------------

    def sent(self) -> list[Sent]:
        """What has been transmitted since the last look."""
        found = [
            Sent(at, output.flow, parse_message(output.data), output.data)
            for at, output in self.out[self._sent_seen :]
            if isinstance(output, Transmit) and output.data != b"\r\n"
        ]
        self._sent_seen = len(self.out)
        return found

    def statuses(self) -> list[int | str]:
        """The same in short: a status for a response, a method for a request."""
        return [one.message.status if isinstance(one.message, Response) else one.message.method for one in self.sent()]

    def sent_request(self, method: str) -> Request:
        """The one request since the last look, of this method."""
        found = [one.message for one in self.sent()]
        assert len(found) == 1, found
        assert isinstance(found[0], Request)
        assert found[0].method == method
        return found[0]

    def sent_response(self) -> Response:
        found = [one.message for one in self.sent()]
        assert len(found) == 1, found
        assert isinstance(found[0], Response)
        return found[0]

    def events(self) -> list[Output]:
        """Events since the last look."""
        below = (Transmit, Traced, Dropped, Resolve, CloseConnection)
        found: list[Output] = [output for _, output in self.out[self._events_seen :] if not isinstance(output, below)]
        self._events_seen = len(self.out)
        return found

    def event(self) -> Output:
        """The one event since the last look."""
        found = self.events()
        assert len(found) == 1, found
        return found[0]

    def all(self, kind: type[E]) -> list[E]:
        return [output for _, output in self.out if isinstance(output, kind)]

    def last(self, kind: type[E]) -> E:
        return self.all(kind)[-1]

    def settle(self) -> None:
        """Let all that still lives run out; nothing may be left."""
        self.pass_time(200)
        assert self.endpoint.counts() == ALL_ZERO
        assert self.endpoint.next_deadline() is None

    def _take(self, outputs: list[Output]) -> list[Output]:
        for output in outputs:
            self.out.append((self.now, output))
            if isinstance(output, InviteReceived):
                self.session = output.session
        return outputs


# --- the peer's messages -----------------------------------------------------------------------------------------


def request(
    method: str,
    *,
    uri: str = "sip:bob@192.0.2.1",
    branch: str | None = "z9hG4bKpeer1",
    cseq: int = 1,
    from_tag: str | None = "alicetag",
    to_tag: str | None = None,
    call_id: str = "call-1@192.0.2.77",
    contact: str | None = "<sip:alice@192.0.2.77>",
    via: str | None = None,
    body: bytes = b"",
    content_type: str | None = None,
    headers: Iterable[tuple[str, str]] = (),
) -> Request:
    top = via or "SIP/2.0/UDP 192.0.2.77;rport" + (f";branch={branch}" if branch else "")
    items = [
        ("Via", top),
        ("Max-Forwards", "70"),
        ("From", "Alice <sip:alice@example.net>" + (f";tag={from_tag}" if from_tag else "")),
        ("To", "<sip:bob@example.org>" + (f";tag={to_tag}" if to_tag else "")),
        ("Call-ID", call_id),
        ("CSeq", f"{cseq} {method}"),
    ]
    if contact is not None and method in ("INVITE", "UPDATE"):
        items.append(("Contact", contact))
    if body:
        items.append(("Content-Type", content_type or "application/sdp"))
    given = {name.lower() for name, _ in headers}
    return Request(method, uri, Headers([*(item for item in items if item[0].lower() not in given), *headers]), body)


def invite(**given: object) -> Request:
    given.setdefault("body", OFFER)
    return request("INVITE", **given)  # type: ignore[arg-type]


def without(message: Request, *names: str) -> Request:
    copy = Request(message.method, message.uri, message.headers.copy(), message.body)
    for name in names:
        copy.headers.remove(name)
    return copy


def ack(response: Response, branch: str | None = "z9hG4bKpeerack", cseq: int = 1, body: bytes = b"", **given: object) -> Request:
    """For a 2xx (a new branch), or for a refusal (give the INVITE's)."""
    tag = to_tag(response)
    return request("ACK", branch=branch, cseq=cseq, to_tag=tag, body=body, **given)  # type: ignore[arg-type]


def to_tag(response: Response) -> str:
    return (response.headers.get("To") or "").partition(";tag=")[2]


def reply(
    to: Request,
    status: int,
    *,
    tag: str | None = "bobtag",
    contact: str | None = "<sip:bob@192.0.2.77>",
    body: bytes = b"",
    headers: Iterable[tuple[str, str]] = (),
    reason: str = "Because",
) -> Response:
    """The peer's answer to a request of ours."""
    items = [("Via", value) for value in to.headers.get_all("Via")]
    items.append(("From", to.headers.get("From") or ""))
    text = to.headers.get("To") or ""
    items.append(("To", text if tag is None or ";tag=" in text or status == 100 else f"{text};tag={tag}"))
    items += [(name, to.headers.get(name) or "") for name in ("Call-ID", "CSeq")]
    if contact is not None and 100 < status < 300 and to.method in ("INVITE", "UPDATE"):
        items.append(("Contact", contact))
    if body:
        items.append(("Content-Type", "application/sdp"))
    return Response(status, reason, Headers([*items, *headers]), body)


# --- whole openings ----------------------------------------------------------------------------------------------

CALL = SessionId("out-1")


def call(session: object = CALL, **given: object) -> SendInvite:
    given.setdefault("request_uri", "sip:bob@192.0.2.77")
    given.setdefault("from_uri", "sip:alice@192.0.2.1")
    given.setdefault("body", OFFER)
    return SendInvite(session=session, **given)  # type: ignore[arg-type]


def dial(core: Core, **given: object) -> Request:
    """Open a session; its INVITE."""
    core.do(call(**given))
    return core.sent_request("INVITE")


def dial_and_answer(core: Core, **given: object) -> Request:
    """Open a session and have it answered; the INVITE."""
    sent = dial(core, **given)
    core.give(reply(sent, 200, body=ANSWER))
    core.sent_request("ACK")
    core.events()
    return sent


def dial_and_ring(core: Core, **given: object) -> Request:
    """Open a session and have its peer ring; the INVITE."""
    sent = dial(core, **given)
    core.give(reply(sent, 180))
    core.events()
    return sent


def be_called(core: Core, flow: Flow = UDP, **given: object) -> Request:
    """An INVITE that waits for our answer."""
    received = invite(**given)
    core.give(received, flow)
    core.sent()
    core.events()
    return received


def be_called_and_answer(core: Core, flow: Flow = UDP, **given: object) -> Response:
    """A confirmed session that the peer opened; our 200."""
    be_called(core, flow, **given)
    core.do(SendAnswer(core.session, ANSWER))
    answer = core.sent_response()
    core.give(ack(answer), flow)
    core.sent()
    core.events()
    return answer
