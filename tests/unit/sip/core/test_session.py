"""Inside a dialog: BYE, other requests, sequence numbers, targets (RFC 3261 12.2, 15)."""

from __future__ import annotations

import pytest

from sip.core.commands import AnswerRequest, SendAnswer, SendBye, SendReinvite, SendRequest
from sip.core.events import EndCause, RequestAnswered, RequestReceived, SessionEnded
from sip.core.flows import Address, Flow
from sip.message import Request, Response
from sip.settings import SipSettings
from tests.support.core import (
    ANSWER,
    CALL,
    OFFER,
    OURS,
    OVER_TCP,
    PEER,
    TCP,
    Core,
    dial_and_answer,
    invite,
    reply,
)
from tests.unit.sip.core.called import Called, ended

# --- BYE ----------------------------------------------------------------------------------------------------------


def test_a_bye_is_answered_and_ends_the_session__rfc3261_15_1_2() -> None:
    core = Core()
    peer = Called(core)
    peer.give("BYE", 2, headers=[("Reason", "Q.850;cause=16")])
    assert core.sent_response().status == 200
    event = ended(core)
    assert (event.session, event.cause) == (peer.session, EndCause.BYE_RECEIVED)
    assert event.request is not None
    assert event.request.headers.get("Reason") == "Q.850;cause=16"
    core.settle()


def test_a_bye_again_gets_the_stored_200__rfc3261_17_2_2__trap7() -> None:
    core = Core()
    peer = Called(core)
    peer.give("BYE", 2)
    core.pass_time(20)
    peer.give("BYE", 2)
    first, second = core.sent()
    assert first.data == second.data
    assert len(core.events()) == 1
    core.pass_time(20)
    peer.give("BYE", 2)  # after timer J: nobody knows the dialog any more
    assert core.statuses() == [481]


@pytest.mark.parametrize("status", [200, 404, 481, 500])
def test_any_final_ends_our_bye__rfc3261_15_1_1(status: int) -> None:
    core = Core()
    dial_and_answer(core)
    core.do(SendBye(CALL))
    bye = core.sent_request("BYE")
    assert bye.headers.get("CSeq") == "2 BYE"
    assert core.events() == []
    core.give(reply(bye, status))
    event = ended(core)
    assert event.cause is EndCause.BYE_ANSWERED
    assert event.response is not None
    assert event.response.status == status
    core.settle()


def test_a_bye_without_answer_ends_by_timer_f__rfc3261_15_1_1() -> None:
    core = Core()
    dial_and_answer(core)
    core.do(SendBye(CALL))
    core.pass_time(33)
    assert ended(core) == SessionEnded(CALL, EndCause.BYE_ANSWERED)
    core.settle()


def test_requests_while_our_bye_is_out_get_481__rfc3261_15_1_1() -> None:
    core = Core()
    peer = Called(core)
    core.do(SendBye(peer.session))
    core.sent()
    peer.give("INFO", 2)
    peer.give("INVITE", 3, body=OFFER)
    assert core.statuses() == [481, 481]
    assert core.events() == []


def test_requests_that_wait_for_the_user_get_487_when_bye_comes__rfc3261_15_1_2() -> None:
    core = Core()
    peer = Called(core)
    peer.give("INFO", 2)
    peer.give("INVITE", 3, body=OFFER)
    core.sent()
    core.events()
    peer.give("BYE", 4)
    assert sorted(core.statuses(), key=str) == [200, 487, 487]
    core.pass_time(40)
    core.settle()


def test_bye_goes_by_its_own_transaction_even_with_a_reinvite_open__rfc3261_15() -> None:
    core = Core()
    dial_and_answer(core)
    core.do(SendReinvite(CALL, OFFER))
    reinvite = core.sent_request("INVITE")
    core.give(reply(reinvite, 100))
    core.do(SendBye(CALL))
    bye = core.sent_request("BYE")
    core.give(reply(bye, 200))
    assert ended(core).cause is EndCause.BYE_ANSWERED
    core.give(reply(reinvite, 200))  # it was under way: acked, and that is all
    assert core.statuses() == ["ACK"]
    assert core.events() == []
    core.settle()


def test_a_reinvite_that_is_never_answered_does_not_outlive_its_session_for_long() -> None:
    core = Core()
    dial_and_answer(core)
    core.do(SendReinvite(CALL, OFFER))
    core.give(reply(core.sent_request("INVITE"), 100))
    core.do(SendBye(CALL))
    core.give(reply(core.sent_request("BYE"), 200))
    core.pass_time(33)
    assert core.endpoint.counts()["transactions"] == 0


# --- sequence numbers ---------------------------------------------------------------------------------------------


def test_a_lower_cseq_gets_500_and_gaps_are_legal__rfc3261_12_2_2__trap21() -> None:
    core = Core()
    peer = Called(core)
    peer.give("INFO", 50)
    assert isinstance(core.event(), RequestReceived)
    peer.give("INFO", 49)
    assert core.statuses() == [500]
    assert core.events() == []
    peer.give("OPTIONS", 51)
    assert core.statuses() == [200]


def test_our_cseq_rises_by_one__rfc3261_12_2_1_1() -> None:
    core = Core()
    dial_and_answer(core)
    numbers = []
    for method in ("INFO", "OPTIONS", "NOTIFY"):
        core.do(SendRequest(CALL, method))
        numbers.append(core.sent_request(method).headers.get("CSeq"))
    assert numbers == ["2 INFO", "3 OPTIONS", "4 NOTIFY"]


# --- other requests -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["INFO", "NOTIFY", "UPDATE"])
def test_requests_inside_a_dialog_are_handed_up_and_answered(method: str) -> None:
    core = Core()
    peer = Called(core)
    peer.give(method, 2, body=b"Signal=5\r\n", content_type="application/dtmf-relay")
    event = core.event()
    assert isinstance(event, RequestReceived)
    assert event.request.body == b"Signal=5\r\n"
    core.do(AnswerRequest(event.transaction, 200, headers=(("X-A", "1"),)))
    response = core.sent_response()
    assert (response.status, response.headers.get("X-A"), response.headers.get("Content-Type")) == (200, "1", None)
    core.do(AnswerRequest(event.transaction, 200))
    assert core.statuses() == []  # once only


def test_options_inside_a_dialog_is_answered_by_the_core__rfc3261_11() -> None:
    core = Core()
    Called(core).give("OPTIONS", 2)
    response = core.sent_response()
    assert response.status == 200
    assert response.headers.get("Allow")
    assert core.events() == []


def test_unknown_methods_and_extensions_are_refused_inside_a_dialog_too__rfc3261_8_2() -> None:
    core = Core()
    peer = Called(core)
    peer.give("SUBSCRIBE", 2)
    peer.give("FOO", 3)
    peer.give("INFO", 4, headers=[("Require", "foo")])
    peer.give("INVITE", 5, body=b"x", content_type="text/plain")
    assert core.statuses() == [405, 501, 420, 415]
    assert core.events() == []
    peer.give("OPTIONS", 4, branch="z9hG4bKlate")
    assert core.statuses() == [500]  # their numbers count all the same


def test_a_request_that_the_user_never_answers_leaks_nothing() -> None:
    core = Core()
    peer = Called(core)
    peer.give("INFO", 2)
    core.pass_time(40)
    assert core.statuses() == []
    assert core.endpoint.counts()["transactions"] == 0


def test_unanswered_requests_are_bounded() -> None:
    core = Core(SipSettings(max_pending_requests=3))
    peer = Called(core)
    for number in range(2, 7):
        peer.give("INFO", number)
    assert core.statuses() == [500, 500]
    core.pass_time(33)  # the transactions of the first three have ended in silence
    core.events()
    peer.give("INFO", 10)
    assert isinstance(core.event(), RequestReceived)


@pytest.mark.parametrize("status", [200, 404, 500])
def test_our_request_is_reported_with_its_answer(status: int) -> None:
    core = Core()
    dial_and_answer(core)
    core.do(SendRequest(CALL, "INFO", b"Signal=1", "application/dtmf-relay", (("X-A", "1"),)))
    sent = core.sent_request("INFO")
    assert (sent.body, sent.headers.get("Content-Type"), sent.headers.get("X-A")) == (b"Signal=1", "application/dtmf-relay", "1")
    core.give(reply(sent, status))
    event = core.event()
    assert isinstance(event, RequestAnswered)
    assert event.response is not None
    assert (event.method, event.response.status) == ("INFO", status)


@pytest.mark.parametrize(("status", "byes"), [(481, 0), (408, 1)])
def test_481_and_408_end_the_dialog__rfc3261_12_2_1_2(status: int, byes: int) -> None:
    core = Core()
    dial_and_answer(core)
    core.do(SendRequest(CALL, "INFO"))
    core.give(reply(core.sent_request("INFO"), status))
    answered, over = core.events()
    assert isinstance(answered, RequestAnswered)
    assert isinstance(over, SessionEnded)
    assert over.cause is EndCause.DIALOG_GONE
    assert core.statuses() == ["BYE"] * byes
    core.settle()


def test_silence_ends_the_dialog__rfc3261_12_2_1_2() -> None:
    core = Core()
    dial_and_answer(core)
    core.do(SendRequest(CALL, "INFO"))
    core.pass_time(32.1)
    answered, over = core.events()
    assert answered == RequestAnswered(CALL, "INFO", None)
    assert isinstance(over, SessionEnded)
    assert over.cause is EndCause.DIALOG_GONE
    core.settle()


def test_an_options_without_an_answer_ends_nothing__its_user_judges() -> None:
    """It asks whether the peer is there; the user may know better, by the peer's media."""
    core = Core()
    dial_and_answer(core)
    core.do(SendRequest(CALL, "OPTIONS"))
    core.pass_time(32.1)
    assert core.event() == RequestAnswered(CALL, "OPTIONS", None) and len(core.sent()) == 11
    core.do(SendRequest(CALL, "OPTIONS"))
    core.give(reply(core.sent_request("OPTIONS"), 408))
    answered = core.event()
    assert isinstance(answered, RequestAnswered) and core.endpoint.counts()["sessions"] == 1
    core.do(SendRequest(CALL, "OPTIONS"))
    core.give(reply(core.sent_request("OPTIONS"), 481))
    _, over = core.events()
    assert isinstance(over, SessionEnded) and over.cause is EndCause.DIALOG_GONE


# --- where requests go --------------------------------------------------------------------------------------------


def bye_of(contact: str, source: Address, settings: SipSettings | None = None, **given: object) -> tuple[str, str]:
    """(Request-URI, where it went) of our BYE to a caller with this Contact, seen at this source."""
    core = Core(settings)
    Called(core, Flow("udp", OURS, source), contact=contact, **given)
    core.do(SendBye(core.session))
    sent = core.sent()[0]
    assert isinstance(sent.message, Request)
    return sent.message.uri, str(sent.flow.remote)


PUBLIC = Address("198.51.100.9", 31000)
LAN = Address("192.168.1.7", 31000)


def test_in_dialog_requests_go_to_the_contact__rfc3261_8_1_2__trap20() -> None:
    assert bye_of("<sip:a@203.0.113.5:5070>", PUBLIC) == ("sip:a@203.0.113.5:5070", "203.0.113.5:5070")


@pytest.mark.parametrize("contact", ["10.0.0.5:5062", "192.168.1.5", "100.64.0.9", "127.0.0.1", "169.254.3.3", "[fd00::1]"])
def test_a_contact_behind_a_nat_is_reached_at_its_source__behaviour_8(contact: str) -> None:
    assert bye_of(f"<sip:a@{contact}>", PUBLIC) == (f"sip:a@{contact}", "198.51.100.9:31000")


@pytest.mark.parametrize(
    ("contact", "source"), [("192.168.77.5", LAN), ("192.168.1.7:5062", LAN), ("127.0.0.1:5099", Address("127.0.0.1", 31000))]
)
def test_a_contact_as_near_as_its_source_is_used_as_it_is(contact: str, source: Address) -> None:
    host, _, port = contact.partition(":")
    assert bye_of(f"<sip:a@{contact}>", source)[1] == f"{host}:{port or 5060}"


@pytest.mark.parametrize("contact", ["10.0.0.5", "172.17.0.2", "100.64.3.3", "169.254.3.3"])
def test_a_contact_of_another_private_network_is_reached_at_its_source__behaviour_8(contact: str) -> None:
    """A container, or a branch office behind a NAT of its own."""
    assert bye_of(f"<sip:a@{contact}>", LAN) == (f"sip:a@{contact}", "192.168.1.7:31000")


def test_a_loopback_contact_from_another_machine_is_reached_at_its_source() -> None:
    assert bye_of("<sip:a@127.0.0.1>", LAN)[1] == "192.168.1.7:31000"


def test_the_nat_policy_can_be_switched_off__trap20() -> None:
    assert bye_of("<sip:a@10.0.0.5>", PUBLIC, SipSettings(nat_fix_private_contact=False))[1] == "10.0.0.5:5060"


def test_with_record_route_the_proxy_cares_for_the_nat__behaviour_8() -> None:
    assert bye_of("<sip:a@10.0.0.5>", PUBLIC, headers=[("Record-Route", "<sip:203.0.113.1;lr>")]) == ("sip:a@10.0.0.5", "203.0.113.1:5060")


def test_a_caller_behind_a_nat_by_tcp_is_reached_on_its_connection() -> None:
    core = Core()
    flow = Flow("tcp", OURS, PUBLIC, 9)
    Called(core, flow, contact="<sip:a@10.0.0.5;transport=tcp>", via="SIP/2.0/TCP 10.0.0.5;branch=z9hG4bKpeer1")
    core.do(SendBye(core.session))
    assert core.sent()[0].flow == flow


def test_a_connection_that_is_gone_is_no_way_to_reach_anybody() -> None:
    core = Core()
    flow = Flow("tcp", OURS, PUBLIC, 9)
    Called(core, flow, contact="<sip:a@10.0.0.5;transport=tcp>", via="SIP/2.0/TCP 10.0.0.5;branch=z9hG4bKpeer1")
    core.lose(flow)
    core.do(SendBye(core.session))
    sent = core.sent()[0].flow
    assert (str(sent.remote), sent.connection) == ("10.0.0.5:5060", 0)


def test_a_contact_that_refuses_tcp_is_reached_on_the_callers_connection() -> None:
    """Phones that call by TCP often listen nowhere."""
    core = Core()
    Called(core, TCP, contact="<sip:a@192.0.2.77:5060;transport=tcp>", via=OVER_TCP)
    core.do(SendBye(core.session))
    first = core.sent()[0]
    assert (str(first.flow.remote), first.flow.connection) == ("192.0.2.77:5060", 0)
    core.fail(first.flow)
    assert core.sent()[0].flow == TCP


def test_a_contact_with_an_unknown_name_is_reached_at_its_source() -> None:
    core = Core()
    Called(core, contact="<sip:a@df7jal23ls0d.invalid>")
    core.do(SendBye(core.session))
    core.resolve()
    assert core.sent()[0].flow.remote == PEER


def test_the_contact_names_the_transport_and_the_advertised_address() -> None:
    core = Core()
    core.give(invite(via=OVER_TCP), TCP)
    core.sent()
    core.do(SendAnswer(core.session, ANSWER))
    answer = core.sent()[0].message
    assert isinstance(answer, Response)
    assert answer.headers.get("Contact") == "<sip:bob@192.0.2.1:5060;transport=tcp>"


def test_a_contact_with_headers_gives_a_clean_request_uri__rfc3261_19_1_1() -> None:
    assert bye_of("<sip:a@203.0.113.5;method=INVITE?Subject=x>", PUBLIC)[0] == "sip:a@203.0.113.5"
