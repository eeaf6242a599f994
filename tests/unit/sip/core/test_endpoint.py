"""The rim of the core: datagrams, streams, broken octets, counts (RFC 3261 7.5, 18.3, RFC 5626 4.4.1)."""

from __future__ import annotations

import pytest

from sip.core.commands import SendAnswer, SendBye, SessionId
from sip.core.endpoint import Endpoint
from sip.core.events import Direction, Dropped, InviteReceived, Traced
from sip.core.flows import Address, CloseConnection, Flow, Listener, Transmit
from sip.message import build_message
from sip.settings import SipSettings
from tests.support.core import (
    ALL_ZERO,
    ANSWER,
    LISTENERS,
    OURS,
    TCP,
    UDP,
    Core,
    ack,
    be_called_and_answer,
    call,
    invite,
    request,
    to_tag,
)


def by_tcp(**given: object) -> bytes:
    return build_message(invite(via="SIP/2.0/TCP 192.0.2.77;branch=z9hG4bKt", **given))


# --- broken octets ------------------------------------------------------------------------------------------------


def test_a_broken_request_gets_400_built_from_what_could_be_read__rfc3261_8_2__trap29() -> None:
    core = Core()
    data = build_message(invite()).replace(b"Content-Length: ", b"Content-Length: 9")
    core.give(data)
    response = core.sent_response()
    assert (response.status, response.reason) == (400, "Body shorter than Content-Length")
    assert response.headers.get("Call-ID") == "call-1@192.0.2.77"
    assert to_tag(response)
    assert core.last(Dropped).status == 400
    assert [one.direction for one in core.all(Traced)] == [Direction.IN, Direction.OUT]
    assert core.endpoint.counts() == ALL_ZERO


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("From", "Bell, Alexander <sip:a.g.bell@example.com>;tag=43"),
        ("To", '"Mr. J. User <sip:j.user@example.com>'),
        ("CSeq", "36893488147419103232 INVITE"),
        ("Via", "SIP/2.0/UDP 192.0.2.15;;,;,,"),
    ],
)
def test_a_field_that_does_not_parse_is_repeated_as_it_came__rfc4475_3_1_2(field: str, value: str) -> None:
    core = Core()
    broken = invite()
    broken.headers.set(field, value)
    core.give(broken)
    data = core.last(Transmit).data
    assert data.startswith(b"SIP/2.0 400 ")
    assert f"{field}: {value}\r\n".encode() in data
    assert core.last(Transmit).flow == UDP


def test_another_version_gets_505__rfc3261_21_5_7() -> None:
    core = Core()
    core.give(build_message(invite()).replace(b" SIP/2.0\r\n", b" SIP/7.0\r\n", 1))
    assert core.sent_response().status == 505


def test_a_request_that_cannot_even_be_answered_is_dropped() -> None:
    core = Core()
    core.give(build_message(invite()).replace(b"Via:", b"Viva:"))
    assert core.statuses() == []
    assert (core.last(Dropped).reason, core.last(Dropped).status) == ("parse_error", 0)


@pytest.mark.parametrize(
    ("field", "value"), [("From", '"Mr. J. User <sip:j.user@example.com>;tag=x'), ("CSeq", "1 OPTIONS"), ("CSeq", "x INVITE")]
)
def test_a_400_finds_back_whatever_does_not_parse__rfc3261_8_2_6(field: str, value: str) -> None:
    core = Core()
    broken = invite(via="SIP/2.0/UDP 10.0.0.7:5066;branch=z9hG4bKx;rport")
    broken.headers.set(field, value)
    core.give(broken)
    lines = core.last(Transmit).data.decode().split("\r\n")  # it does not parse either
    assert lines[0].startswith("SIP/2.0 400 ")
    assert "Via: SIP/2.0/UDP 10.0.0.7:5066;branch=z9hG4bKx;rport=5060;received=192.0.2.77" in lines
    assert any(line.startswith("To: <sip:bob@example.org>;tag=") for line in lines)
    assert f"{field}: {value}" in lines, "a response says what the request said, not what it should have said"


def test_a_broken_ack_or_response_is_never_answered() -> None:
    core = Core()
    core.give(build_message(request("ACK")).replace(b"CSeq: 1 ACK", b"CSeq: x ACK"))
    core.give(b"SIP/2.0 200 OK\r\nVia: nonsense\r\n\r\n")
    assert core.statuses() == []
    assert len(core.all(Dropped)) == 2


@pytest.mark.parametrize("data", [b"", b"\r\n\r\n", b"\x00\x00\x00\x00", b"\r\n"])
def test_keepalive_datagrams_are_dropped_without_a_word(data: bytes) -> None:
    core = Core()
    core.give(data)
    assert [type(output) for _, output in core.out] == [Dropped]
    assert core.last(Dropped).reason == "keepalive"


def test_what_is_no_sip_is_dropped() -> None:
    core = Core()
    core.give(b"\x16\x03\x01\x02\x00\x01\x00")
    assert core.last(Dropped).reason == "parse_error"


def test_datagrams_over_the_limit_are_dropped() -> None:
    core = Core(SipSettings(max_message_bytes=1000))
    core.give(b"x" * 1001)
    assert core.last(Dropped).reason == "too_large"


def test_a_stray_response_is_dropped() -> None:
    core = Core()
    core.give(b"SIP/2.0 200 OK\r\n" + build_message(request("INVITE")).partition(b"\r\n")[2])
    assert core.last(Dropped).reason == "stray_response"


# --- streams ------------------------------------------------------------------------------------------------------


def test_messages_arrive_however_the_stream_is_cut() -> None:
    core = Core()
    data = by_tcp() + build_message(request("OPTIONS", via="SIP/2.0/TCP 192.0.2.77;branch=z9hG4bKo"))
    for at in range(0, len(data), 7):
        core.give(data[at : at + 7], TCP)
    assert core.statuses() == [100, 200]
    assert isinstance(core.event(), InviteReceived)


def test_two_crlf_are_answered_with_one__rfc5626_4_4_1__trap28() -> None:
    core = Core()
    core.give(b"\r\n\r\n", TCP)
    assert core.all(Transmit) == [Transmit(TCP, b"\r\n")]


def test_a_body_is_never_executed_as_a_message__rfc3261_18_3__trap27() -> None:
    core = Core()
    core.give(by_tcp(body=build_message(request("OPTIONS", branch="z9hG4bKsmuggled"))), TCP)
    assert core.statuses() == [100]


@pytest.mark.parametrize("length", [b"-1", b"10, 20", b"ten", b"5\r\nContent-Length: 6"])
def test_a_lost_boundary_is_400_and_close__rfc3261_18_3__trap27(length: bytes) -> None:
    core = Core()
    data = by_tcp()
    at = data.index(b"Content-Length: ") + len(b"Content-Length: ")
    end = data.index(b"\r\n", at)
    core.give(data[:at] + length + data[end:], TCP)
    assert core.sent_response().status == 400
    assert core.all(CloseConnection) == [CloseConnection(TCP)]
    kinds = [type(output) for _, output in core.out]
    assert kinds.index(Transmit) < kinds.index(CloseConnection)
    core.give(by_tcp(), TCP)
    assert core.statuses() == []  # the connection is deaf
    core.lose(TCP)
    assert core.endpoint.counts() == ALL_ZERO


def test_two_connections_do_not_mix() -> None:
    core = Core()
    data = by_tcp()
    other = Flow("tcp", OURS, Address("192.0.2.78", 41000), 8)
    core.give(data[:50], TCP)
    core.give(by_tcp(call_id="second"), other)
    core.give(data[50:], TCP)
    flows = [one.flow for one in core.sent()]
    assert flows == [other, TCP]


def test_a_connection_that_never_speaks_is_counted_and_forgotten() -> None:
    core = Core()
    core.endpoint.connection_opened(TCP, core.now)
    assert core.endpoint.counts()["connections"] == 1
    core.lose(TCP)
    assert core.endpoint.counts() == ALL_ZERO


def test_a_call_by_tcp_from_end_to_end() -> None:
    core = Core()
    answer = be_called_and_answer(core, TCP, via="SIP/2.0/TCP 192.0.2.77;branch=z9hG4bKt")
    core.give(request("BYE", via="SIP/2.0/TCP 192.0.2.77;branch=z9hG4bKb", cseq=2, to_tag=to_tag(answer)), TCP)
    assert core.statuses() == [200]
    core.lose(TCP)
    core.settle()


# --- counts, listeners --------------------------------------------------------------------------------------------


def test_counts_tell_what_lives() -> None:
    core = Core()
    assert core.endpoint.counts() == ALL_ZERO
    core.do(call(SessionId("x"), request_uri="sip:bob@example.org"))
    counts = core.endpoint.counts()
    assert (counts["sessions"], counts["resolves"], counts["transactions"]) == (1, 1, 0)
    be_called_and_answer(core)
    counts = core.endpoint.counts()
    assert (counts["sessions"], counts["dialogs"], counts["transactions"], counts["timers"]) == (
        2,
        1,
        1,
        2,
    )  # the transaction's, and when the next hop counts as silent


def test_a_call_leaves_nothing_behind_after_64_t1() -> None:
    core = Core()
    answer = be_called_and_answer(core)
    core.give(request("BYE", branch="z9hG4bKb", cseq=2, to_tag=to_tag(answer)))
    core.pass_time(32.1)
    assert core.endpoint.counts() == ALL_ZERO
    assert core.endpoint.next_deadline() is None


def test_listeners_may_be_set_when_ports_are_known() -> None:
    core = Core()
    bound = Address("192.0.2.1", 40999)
    core.endpoint.set_listeners((Listener("udp", bound, bound),))
    core.do(call())
    assert "192.0.2.1:40999" in (core.sent()[0].message.headers.get("Via") or "")


def test_the_clock_may_jump() -> None:
    """A machine that slept: everything that was due happens at once, and in order."""
    core = Core()
    core.give(invite())
    core.do(SendAnswer(core.session, ANSWER))
    core.now += 1000
    core._take(core.endpoint.timeout(core.now))
    assert core.statuses()[-1] == "BYE"
    core.settle()


def test_two_endpoints_with_the_same_seed_say_the_same() -> None:
    def run() -> list[bytes]:
        core = Core(seed=5)
        answer = be_called_and_answer(core)
        core.give(ack(answer))
        core.do(SendBye(core.session))
        core.do(call())
        core.pass_time(5)
        return [output.data for output in core.all(Transmit)]

    assert run() == run()


def test_an_endpoint_needs_no_listener_to_be_made() -> None:
    endpoint = Endpoint(SipSettings(), (), bytes)
    assert endpoint.receive(b"\r\n\r\n", UDP, 0.0) == [Dropped(UDP, "keepalive")]
    endpoint.set_listeners(LISTENERS)
