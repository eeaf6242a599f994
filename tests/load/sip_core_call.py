"""What one call costs the SIP core: CPU time of INVITE-180-200-ACK-BYE-200 on one endpoint, as UAS and as UAC.

    python -m tests.load.sip_core_call [calls]

Prints milliseconds of CPU per call leg, the mean over `calls` (5000) calls that overlap 200 deep, timers included, and the
cost of a datagram that a flood would send. No sockets: the shell's part comes on top.
"""

from __future__ import annotations

import random
import sys
from collections import deque
from time import process_time

from sip.core.commands import SendAnswer, SendBye, SendInvite, SendProvisional, SessionId
from sip.core.endpoint import Endpoint
from sip.core.events import InviteReceived, Output
from sip.core.flows import Address, Flow, Listener, Transmit
from sip.message import Headers, Request, Response, build_message, parse_message
from sip.settings import SipSettings

OURS, PEER = Address("192.0.2.1", 5060), Address("192.0.2.77", 5060)
FLOW = Flow("udp", OURS, PEER)
SDP = b"v=0\r\no=- 1 1 IN IP4 192.0.2.77\r\ns=-\r\nc=IN IP4 192.0.2.77\r\nt=0 0\r\nm=audio 40000 RTP/AVP 0 8 101\r\n" + b"a=x:y\r\n" * 12
DEPTH = 200


def main() -> None:
    calls = int(sys.argv[1]) if len(sys.argv) > 1 else 5000
    print(f"UAS leg: {as_uas(calls) * 1000:.3f} ms of CPU per call")
    print(f"UAC leg: {as_uac(calls) * 1000:.3f} ms of CPU per call")
    print(f"refused request (stateless 405): {refused(calls) * 1e6:.0f} us each")


def endpoint() -> Endpoint:
    return Endpoint(SipSettings(), (Listener("udp", OURS, OURS),), random.Random(1).randbytes)


def message(method: str, number: int, cseq: int, tag: str = "", body: bytes = b"") -> bytes:
    items = [
        ("Via", f"SIP/2.0/UDP 192.0.2.77:5060;branch=z9hG4bK{number}-{method};rport"),
        ("Max-Forwards", "70"),
        ("From", f'"Caller {number}" <sip:{number}@192.0.2.77>;tag=caller{number}'),
        ("To", "<sip:bob@192.0.2.1>" + (f";tag={tag}" if tag else "")),
        ("Call-ID", f"{number}-load@192.0.2.77"),
        ("CSeq", f"{cseq} {method}"),
        ("Contact", f"<sip:{number}@192.0.2.77:5060>"),
        ("User-Agent", "load"),
        ("Allow", "INVITE, ACK, CANCEL, BYE, OPTIONS"),
    ]
    if body:
        items.append(("Content-Type", "application/sdp"))
    return build_message(Request(method, "sip:bob@192.0.2.1", Headers(items), body))


def as_uas(calls: int) -> float:
    """Seconds of CPU per incoming call; the peer's messages are made outside of the measurement."""
    core = endpoint()
    live: deque[tuple[int, str]] = deque()
    spent = 0.0
    for number in range(calls + DEPTH):
        now = number / 50  # 50 calls a second: the tables hold 32 s of lingering transactions
        if number < calls:
            data = message("INVITE", number, 1, body=SDP)
            start = process_time()
            outputs = core.receive(data, FLOW, now)
            session = next(output.session for output in outputs if isinstance(output, InviteReceived))
            core.command(SendProvisional(session, 180), now)
            outputs = core.command(SendAnswer(session, SDP), now)
            spent += process_time() - start
            answer = parse_message(next(output.data for output in outputs if isinstance(output, Transmit)))
            tag = (answer.headers.get("To") or "").partition(";tag=")[2]
            ack = message("ACK", number, 1, tag)
            start = process_time()
            core.receive(ack, FLOW, now)
            spent += process_time() - start
            live.append((number, tag))
        if len(live) > DEPTH or number >= calls:
            ended, tag = live.popleft()
            bye = message("BYE", ended, 2, tag)
            start = process_time()
            core.receive(bye, FLOW, now)
            spent += process_time() - start
        start = process_time()
        due = core.next_deadline()
        if due is not None and due <= now:
            core.timeout(now)
        spent += process_time() - start
    start = process_time()
    finish(core, (calls + DEPTH) / 50)
    return (spent + process_time() - start) / calls


def as_uac(calls: int) -> float:
    """Seconds of CPU per outgoing call."""
    core = endpoint()
    spent = 0.0
    for number in range(calls):
        now = number / 50
        session = SessionId(f"c{number}")
        start = process_time()
        outputs = core.command(SendInvite(session, f"sip:{number}@192.0.2.77", "sip:alice@192.0.2.1", SDP), now)
        spent += process_time() - start
        invite = sent(outputs)
        for status in (100, 180, 200):
            spent += feed(core, answer(invite, status), now)
        start = process_time()
        outputs = core.command(SendBye(session), now)
        spent += process_time() - start
        spent += feed(core, answer(sent(outputs), 200), now)
        start = process_time()
        due = core.next_deadline()
        if due is not None and due <= now:
            core.timeout(now)
        spent += process_time() - start
    start = process_time()
    finish(core, calls / 50)
    return (spent + process_time() - start) / calls


def refused(calls: int) -> float:
    core = endpoint()
    datagrams = [message("REGISTER", number, 1) for number in range(calls)]
    start = process_time()
    for data in datagrams:
        core.receive(data, FLOW, 0.0)
    return (process_time() - start) / calls


def feed(core: Endpoint, data: bytes, now: float) -> float:
    start = process_time()
    core.receive(data, FLOW, now)
    return process_time() - start


def sent(outputs: list[Output]) -> Request:
    request = parse_message(next(output.data for output in outputs if isinstance(output, Transmit)))
    assert isinstance(request, Request)
    return request


def answer(request: Request, status: int) -> bytes:
    to = (request.headers.get("To") or "") + (";tag=b" if status > 100 and ";tag=" not in (request.headers.get("To") or "") else "")
    items = [(name, request.headers.get(name) or "") for name in ("Via", "From", "Call-ID", "CSeq")]
    items += [("To", to), ("Contact", "<sip:bob@192.0.2.77:5060>")]
    body = SDP if status == 200 and request.method == "INVITE" else b""
    if body:
        items.append(("Content-Type", "application/sdp"))
    return build_message(Response(status, "OK", Headers(items), body))


def finish(core: Endpoint, now: float) -> None:
    """Run the lingering timers out; nothing may be left."""
    while (at := core.next_deadline()) is not None:
        now = max(now, at)
        core.timeout(now)
    assert not any(core.counts().values()), core.counts()


if __name__ == "__main__":
    main()
