"""What the table of transports decides."""

from __future__ import annotations

import pytest

from sip.core.commands import SendReject
from sip.core.flows import Address, CloseConnection, Flow, Listener
from sip.core.routing import literal_target
from sip.core.transports import TRANSPORTS, default_port
from sip.message import build_message, parse_uri
from sip.settings import SPOKEN
from tests.support.core import OURS, PEER, Core, ack, invite


@pytest.mark.parametrize(
    ("uri", "transport", "port"),
    [
        ("sip:192.0.2.9", "udp", 5060),
        ("sips:192.0.2.9", "tls", 5061),
        ("sips:192.0.2.9;transport=tcp", "tls", 5061),
        ("sip:192.0.2.9;transport=ws", "ws", 80),
        ("sips:192.0.2.9;transport=ws", "wss", 443),
        ("sip:192.0.2.9:7000;transport=TCP", "tcp", 7000),
    ],
)
def test_a_uri_names_its_transport_and_port__rfc3263_4_1_4_2(uri: str, transport: str, port: int) -> None:
    target = literal_target(parse_uri(uri))
    assert target is not None
    assert (target.transport, target.address.port) == (transport, port)


def test_an_unknown_transport_has_the_port_of_sip__rfc3261_19_1_2() -> None:
    assert default_port("sctp") == 5060


def test_each_spoken_transport_has_a_line_and_a_service__rfc3263_4_1() -> None:
    assert all(TRANSPORTS[name].srv and TRANSPORTS[name].naptr for name in SPOKEN)


def test_a_websocket_is_reliable_and_framed__rfc7118_5() -> None:
    """Each message is whole as it is read, its end needs no Content-Length, nothing is repeated, and answers return on the connection."""
    flow = Flow("ws", OURS, Address(PEER.host, 50000), 3)
    core = Core(listeners=[Listener("ws", OURS, OURS)])
    request = invite(via="SIP/2.0/WS df7jal23ls0d.invalid;branch=z9hG4bKws")
    core.give(build_message(request).replace(b"Content-Length", b"X-Content-Length"), flow)
    core.do(SendReject(core.session, 486))
    trying, busy = core.sent()
    assert {trying.flow, busy.flow} == {flow}
    core.pass_time(3.0)
    assert core.sent() == []
    core.give(b"nonsense", flow)  # the next one has its own frame
    assert not core.all(CloseConnection)
    core.give(ack(busy.message, branch="z9hG4bKws", via="SIP/2.0/WS df7jal23ls0d.invalid;branch=z9hG4bKws"), flow)  # type: ignore[arg-type]
    core.lose(flow)
    core.settle()
