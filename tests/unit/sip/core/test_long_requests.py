"""Requests too long for a datagram (RFC 3261 18.1.1)."""

from __future__ import annotations

from sip.core.commands import Credentials
from sip.core.events import InviteAnswered
from sip.core.flows import Address, CloseConnection, Flow, Transmit
from sip.message import Request
from tests.support.core import ANSWER, LISTENERS, OURS, PEER, UDP, Core, call, reply
from tests.unit.sip.core.calling import branch

LONG = b"v=0\r\n" + b"a=x\r\n" * 300


def test_transport_udp_in_the_uri_is_obeyed_whatever_the_size__rfc3263_4_1() -> None:
    core = Core()
    core.do(call(request_uri="sip:bob@192.0.2.77;transport=udp", body=LONG))
    assert [one.flow.transport for one in core.sent()] == ["udp"]


def test_a_long_request_waits_a_second_for_tcp_and_then_goes_by_udp__rfc3261_18_1_1() -> None:
    core = Core()
    core.do(call(body=LONG))
    assert [one.flow.transport for one in core.sent()] == ["tcp"]
    core.pass_time(0.9)
    assert core.sent() == []
    core.pass_time(0.2)
    (sent,) = core.sent()
    assert (sent.flow.transport, sent.at) == ("udp", 1001.0)
    tcp = Flow("tcp", Address(OURS.host, 0), PEER)
    assert core.all(CloseConnection) == [CloseConnection(tcp)]  # nor shall it arrive by TCP later on
    # ... and the next one does not wait at all, for some minutes
    core.do(call("out-2", body=LONG))
    assert [one.flow.transport for one in core.sent()][-1] == "udp"
    core.pass_time(700)
    core.sent()
    core.do(call("out-3", body=LONG))
    assert [one.flow.transport for one in core.sent()] == ["tcp"]


def test_a_long_request_stays_on_tcp_once_there_is_a_connection() -> None:
    core = Core()
    core.do(call(body=LONG))
    core.endpoint.connection_opened(Flow("tcp", OURS, PEER, 5), core.now)
    core.pass_time(5)
    assert [one.flow.transport for one in core.sent()] == ["tcp"]


def test_a_request_that_just_fits_without_what_is_for_information_goes_by_udp__rfc3261_18_1_1() -> None:
    """The credentials of a plain call must not drive it to TCP."""
    core = Core()
    body = b"v=0\r\n" + b"a=" + b"x" * 600 + b"\r\n"
    core.do(call(body=body, credentials=Credentials("acme-trunk", "x")))
    sent = core.sent_request("INVITE")
    filler = 1340 - len(core.last(Transmit).data) - 230
    challenge = f'Digest realm="sip.carrier.example.net", nonce="{"n" * filler}", algorithm=MD5, qop="auth"'
    core.give(reply(sent, 407, headers=[("Proxy-Authenticate", challenge)]))
    again = [one for one in core.sent() if isinstance(one.message, Request) and one.message.method == "INVITE"]
    assert [one.flow.transport for one in again] == ["udp"]
    assert len(again[0].data) <= 1300
    assert "User-Agent" not in again[0].message.headers
    core.give(reply(again[0].message, 200, body=ANSWER))  # type: ignore[arg-type]
    assert isinstance(core.event(), InviteAnswered)


def test_to_names_somebody_and_not_the_way_there__rfc3261_19_1_1() -> None:
    core = Core()
    core.do(call(request_uri="sip:bob@192.0.2.77:5070;transport=tcp;user=phone"))
    sent = core.sent_request("INVITE")
    assert sent.uri == "sip:bob@192.0.2.77:5070;transport=tcp;user=phone"
    assert sent.headers.get("To") == "<sip:bob@192.0.2.77;user=phone>"


def test_a_request_over_1300_octets_goes_by_tcp__rfc3261_18_1_1__trap29() -> None:
    core = Core()
    core.do(call(body=LONG))
    sent = core.sent()[0]
    assert sent.flow == Flow("tcp", Address(OURS.host, 0), PEER)
    assert (sent.message.headers.get("Via") or "").startswith("SIP/2.0/TCP ")
    assert sent.message.headers.get("Contact") == "<sip:alice@192.0.2.1:5060;transport=tcp>"


def test_it_falls_back_to_udp_when_tcp_is_refused__rfc3261_18_1_1__trap29() -> None:
    core = Core()
    core.do(call(body=LONG))
    first = core.sent()[0]
    core.fail(first.flow)
    second = core.sent()[0]
    assert isinstance(first.message, Request)
    assert isinstance(second.message, Request)
    assert second.flow == UDP
    assert (second.message.headers.get("Via") or "").startswith("SIP/2.0/UDP ")
    assert second.message.headers.get("Contact") == "<sip:alice@192.0.2.1:5060>"
    assert branch(second.message) != branch(first.message)
    core.give(reply(second.message, 200))
    assert isinstance(core.event(), InviteAnswered)


def test_without_a_tcp_listener_it_goes_by_udp() -> None:
    core = Core(listeners=LISTENERS[:1])
    core.do(call(body=LONG))
    assert core.sent()[0].flow == UDP


def test_a_short_request_goes_by_udp__rfc3261_18_1_1() -> None:
    core = Core()
    core.do(call())
    assert core.sent()[0].flow == UDP
