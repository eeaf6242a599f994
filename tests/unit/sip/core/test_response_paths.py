"""Sessions that arrive: header fields of our responses, where they go, and misuse by the user (RFC 3261 18.2.2, RFC 3581)."""

from __future__ import annotations

import pytest

from sip.core.commands import SendAnswer, SendBye, SendCancel, SendProvisional, SendReject, SetSessionHeaders
from sip.core.flows import Address, Flow, Transmit
from sip.message import Response, UsageError
from sip.settings import SipSettings
from tests.support.core import (
    ANSWER,
    OVER_TCP,
    TCP,
    UDP,
    Core,
    ack,
    be_called,
    be_called_and_answer,
    invite,
    request,
    to_tag,
)

# --- headers, misuse --------------------------------------------------------------------------------------------------


def test_session_headers_stand_in_all_that_we_originate__behaviour_1_1() -> None:
    core = Core()
    be_called(core)
    core.do(SetSessionHeaders(core.session, (("X-Call", "CA1"),)))
    core.do(SendProvisional(core.session, 180))
    core.do(SendAnswer(core.session, ANSWER, headers=(("X-Once", "1"),)))
    ringing, answer = (one.message for one in core.sent())
    assert isinstance(answer, Response)
    core.give(ack(answer))
    core.do(SendBye(core.session))
    bye = core.sent_request("BYE")
    assert [one.headers.get("X-Call") for one in (ringing, answer, bye)] == ["CA1"] * 3
    assert [one.headers.get("X-Once") for one in (ringing, answer, bye)] == [None, "1", None]


@pytest.mark.parametrize("headers", [(("X-A", "1\r\nVia: evil"),), (("Bad Name", "1"),), (("Call-ID", "x"),), (("contact", "x"),)])
def test_headers_that_would_break_the_message_are_the_callers_fault(headers: tuple[tuple[str, str], ...]) -> None:
    core = Core()
    be_called(core)
    with pytest.raises(UsageError):
        core.do(SendAnswer(core.session, ANSWER, headers=headers))
    core.do(SendAnswer(core.session, ANSWER))
    assert core.statuses() == [200]


def test_commands_of_the_wrong_kind_are_the_callers_fault() -> None:
    core = Core()
    be_called(core)
    with pytest.raises(UsageError):
        core.do(SendCancel(core.session))
    with pytest.raises(UsageError):
        core.do(SendReject(core.session, 200))
    with pytest.raises(UsageError):
        core.do(SendProvisional(core.session, 200))


def test_commands_for_a_session_that_is_over_are_ignored() -> None:
    core = Core()
    answer = be_called_and_answer(core)
    core.give(request("BYE", branch="z9hG4bKbye", cseq=2, to_tag=to_tag(answer)))
    core.sent()
    assert core.do(SendBye(core.session)) == []
    assert core.do(SendAnswer(core.session, ANSWER)) == []


# --- where responses go -------------------------------------------------------------------------------------------


def test_responses_return_on_the_connection_of_the_request__rfc3261_18_2_2__trap25() -> None:
    core = Core()
    core.give(invite(via="SIP/2.0/TCP 192.0.2.77:9999;branch=z9hG4bKt"), TCP)
    assert {one.flow for one in core.all(Transmit)} == {TCP}


def test_responses_open_a_connection_when_theirs_is_gone__rfc3261_18_2_2__trap25() -> None:
    core = Core()
    core.give(invite(via="SIP/2.0/TCP 192.0.2.77:9999;branch=z9hG4bKt"), TCP)
    core.lose(TCP)
    core.sent()
    core.do(SendReject(core.session, 486))
    flow = core.sent()[0].flow
    assert (flow.connection, str(flow.remote)) == (0, "192.0.2.77:9999")


def test_responses_do_not_use_a_connection_that_is_closing() -> None:
    core = Core()
    core.give(invite(via=OVER_TCP), TCP)
    core.give(b"rubbish\r\n\r\n", TCP)
    core.sent()
    core.do(SendReject(core.session, 486))
    assert core.sent()[0].flow.connection == 0


@pytest.mark.parametrize(
    ("via", "expected"),
    [
        ("UDP 10.0.0.5:5099;rport;branch=z9hG4bKa", "UDP 10.0.0.5:5099;rport=1024;branch=z9hG4bKa"),
        ("UDP 192.0.2.77:1024;branch=z9hG4bKa;rport", "UDP 192.0.2.77:1024;branch=z9hG4bKa;rport=1024"),
        ("UDP 10.0.0.5 ; rport ;branch=z9hG4bKa", "UDP 10.0.0.5 ;rport=1024;branch=z9hG4bKa"),
        ("UDP 10.0.0.5;rport=7;received=1.2.3.4;branch=z9hG4bKa", "UDP 10.0.0.5;branch=z9hG4bKa;rport=1024"),
    ],
)
def test_rport_answers_to_the_source_from_the_receiving_socket__rfc3581_4__trap26(via: str, expected: str) -> None:
    core = Core()
    flow = Flow("udp", UDP.local, Address("192.0.2.77", 1024))
    core.give(invite(via=f"SIP/2.0/{via}"), flow)
    sent = core.sent()[0]
    assert sent.flow == flow
    assert sent.message.headers.get("Via") == f"SIP/2.0/{expected};received=192.0.2.77"


@pytest.mark.parametrize(
    ("via", "remote", "expected"),
    [
        ("SIP/2.0/UDP 192.0.2.77:5099;branch=z9hG4bKa", "192.0.2.77:5099", None),
        ("SIP/2.0/UDP phone.example:5099;branch=z9hG4bKa", "192.0.2.77:5099", "192.0.2.77"),
        ("SIP/2.0/UDP 10.0.0.5;branch=z9hG4bKa", "192.0.2.77:5060", "192.0.2.77"),
    ],
)
def test_without_rport_the_sent_by_port_and_received_rule__rfc3261_18_2_2(via: str, remote: str, expected: str | None) -> None:
    core = Core()
    core.give(invite(via=via), Flow("udp", UDP.local, Address("192.0.2.77", 33333)))
    sent = core.sent()[0]
    assert str(sent.flow.remote) == remote
    received = (sent.message.headers.get("Via") or "").partition(";received=")[2]
    assert (received or None) == expected


def test_force_rport_answers_to_the_source_port_anyway() -> None:
    core = Core(SipSettings(force_rport=True))
    flow = Flow("udp", UDP.local, Address("192.0.2.77", 33333))
    core.give(invite(via="SIP/2.0/UDP 10.0.0.5;branch=z9hG4bKa"), flow)
    assert core.sent()[0].flow == flow
