"""Sessions that we open: answers, refusals, CANCEL and its races, forks (RFC 3261 9.1, 12.1.2, 13.2, 17.1.1)."""

from __future__ import annotations

import pytest

from sip.core.commands import Place, SendBye, SessionId
from sip.core.events import FailureCause, InviteAnswered, InviteFailed, InviteProgressed, SessionEnded, Traced
from sip.core.flows import Address, Flow
from sip.message import Request, Response, UsageError, parse_name_addr
from tests.support.core import ANSWER, CALL, OFFER, OURS, PEER, TCP, Core, call, dial, dial_and_answer, dial_and_ring, reply
from tests.unit.sip.core.calling import failed, from_peer

# --- the INVITE ---------------------------------------------------------------------------------------------------


def test_the_invite_has_all_that_rfc3261_8_1_1_asks_for() -> None:
    core = Core()
    sent = dial(core, from_display='Al "x" Ice', headers=(("X-Once", "1"),), session_headers=(("X-Call", "CA1"),))
    assert (sent.method, sent.uri, sent.body) == ("INVITE", "sip:bob@192.0.2.77", OFFER)
    via = sent.headers.get("Via") or ""
    assert via.startswith("SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK")
    assert via.endswith(";rport")
    sender = parse_name_addr(sent.headers.get("From") or "")
    assert (sender.display, sender.uri) == ('Al "x" Ice', "sip:alice@192.0.2.1")
    assert sender.tag
    assert sent.headers.get("To") == "<sip:bob@192.0.2.77>"
    assert sent.headers.get("Contact") == "<sip:alice@192.0.2.1:5060>"
    assert sent.headers.get("Max-Forwards") == "70"
    assert sent.headers.get("CSeq") == "1 INVITE"
    assert sent.headers.get("Content-Type") == "application/sdp"
    assert sent.headers.get("Allow")
    assert sent.headers.get("User-Agent") == "dialplane"
    assert (sent.headers.get("X-Once"), sent.headers.get("X-Call")) == ("1", "CA1")


def test_max_forwards_may_be_handed_on__rfc7332_4() -> None:
    assert dial(Core(), headers=(("Max-Forwards", "9"),)).headers.get_all("Max-Forwards") == ["9"]


def test_a_loose_next_hop_is_a_preloaded_route__rfc3261_8_1_2() -> None:
    core = Core()
    core.do(call(request_uri="sip:bob@example.org", next_hop="sip:192.0.2.50:5080;lr"))
    sent = core.sent()[0]
    assert (str(sent.flow.remote), sent.message.headers.get("Route")) == ("192.0.2.50:5080", "<sip:192.0.2.50:5080;lr>")
    assert isinstance(sent.message, Request)
    assert sent.message.uri == "sip:bob@example.org"


def test_a_next_hop_without_lr_only_says_where_to_send() -> None:
    core = Core()
    core.do(call(request_uri="sip:bob@example.org", next_hop="sip:192.0.2.50:5080"))
    sent = core.sent()[0]
    assert str(sent.flow.remote) == "192.0.2.50:5080"
    assert "Route" not in sent.message.headers


def test_to_may_differ_from_the_request_uri() -> None:
    assert dial(Core(), to_uri="sip:sales@example.org").headers.get("To") == "<sip:sales@example.org>"


def test_tags_branches_and_call_ids_are_never_used_twice__rfc3261_19_3() -> None:
    core = Core()
    seen: set[str] = set()
    for number in range(50):
        core.do(call(SessionId(f"c{number}")))
        sent = core.sent()[0].message
        found = {sent.headers.get("Via") or "", sent.headers.get("From") or "", sent.headers.get("Call-ID") or ""}
        assert not found & seen
        seen |= found


@pytest.mark.parametrize(
    "given",
    [
        {"request_uri": "http://x"},
        {"request_uri": "bob"},
        {"from_uri": ""},
        {"from_display": "a\r\nb"},
        {"from_display": "\ud800"},
        {"request_uri": "sip:\ud800@b"},
    ],
)
def test_what_is_no_uri_is_the_callers_fault(given: dict[str, str]) -> None:
    core = Core()
    with pytest.raises(UsageError):
        core.do(call(**given))
    assert sum(core.endpoint.counts().values()) == 0


def test_a_session_name_in_use_is_the_callers_fault() -> None:
    core = Core()
    dial(core)
    with pytest.raises(UsageError):
        core.do(call())


# --- answers ------------------------------------------------------------------------------------------------------


def test_progress_is_reported_with_its_early_dialog__rfc3261_12_1__trap15() -> None:
    core = Core()
    sent = dial(core)
    core.give(reply(sent, 100))
    assert core.events() == []
    core.give(reply(sent, 180, tag=None))
    core.give(reply(sent, 183, tag="one", body=ANSWER))
    core.give(reply(sent, 180, tag="two"))
    events = core.events()
    assert [(type(one), one.early_dialog, one.response.status) for one in events if isinstance(one, InviteProgressed)] == [
        (InviteProgressed, None, 180),
        (InviteProgressed, "one", 183),
        (InviteProgressed, "two", 180),
    ]
    assert core.endpoint.counts()["dialogs"] == 2


def test_2xx_is_acked_by_the_core_on_a_new_branch__rfc3261_13_2_2_4__trap2() -> None:
    core = Core()
    sent = dial(core, session_headers=(("X-Call", "CA1"),))
    core.give(reply(sent, 180))
    core.events()
    core.give(reply(sent, 200, contact="<sip:bob@192.0.2.88:5070>", body=ANSWER))
    acked = core.sent()[0]
    ack = acked.message
    assert isinstance(ack, Request)
    assert (ack.method, ack.uri, str(acked.flow.remote)) == ("ACK", "sip:bob@192.0.2.88:5070", "192.0.2.88:5070")
    assert ack.headers.get("Via") != sent.headers.get("Via")
    assert (ack.headers.get("CSeq"), ack.headers.get("X-Call")) == ("1 ACK", "CA1")
    assert ack.headers.get("To") == "<sip:bob@192.0.2.77>;tag=bobtag"
    event = core.event()
    assert isinstance(event, InviteAnswered)
    assert event.response.body == ANSWER


def test_each_copy_of_the_2xx_gets_the_same_ack__rfc3261_13_2_2_4__trap2() -> None:
    core = Core()
    sent = dial(core)
    for _ in range(3):
        core.give(reply(sent, 200))
    copies = core.sent()
    assert [one.message.method for one in copies] == ["ACK"] * 3  # type: ignore[union-attr]
    assert len({one.data for one in copies}) == 1
    assert len(core.events()) == 1
    assert [one.repeated for one in core.all(Traced) if one.summary.startswith("200")] == [False, True, True]


def test_a_2xx_again_is_acked_even_after_the_session_is_over__rfc6026__trap2() -> None:
    core = Core()
    sent = dial_and_answer(core)
    core.give(from_peer(sent, "BYE"))
    core.sent()
    core.events()
    core.give(reply(sent, 200))
    core.sent_request("ACK")
    assert core.events() == []
    core.settle()


def test_refusal_is_acked_and_ends_the_session__rfc3261_17_1_1_3() -> None:
    core = Core()
    sent = dial_and_ring(core)
    core.give(reply(sent, 486))
    core.sent_request("ACK")
    event = failed(core)
    assert event.cause is FailureCause.RESPONSE
    assert event.response is not None
    assert event.response.status == 486
    core.give(reply(sent, 486))
    core.sent_request("ACK")
    assert core.events() == []
    core.settle()


def test_no_response_at_all_is_timer_b__rfc3261_17_1_1_2() -> None:
    core = Core()
    dial(core)
    core.pass_time(31.9)
    assert core.events() == []
    core.pass_time(0.2)
    assert failed(core).cause is FailureCause.NO_RESPONSE
    core.settle()


def test_a_phone_may_ring_for_ever__rfc3261_17_1_1_2__trap9() -> None:
    core = Core()
    sent = dial_and_ring(core)
    core.pass_time(3600)
    assert core.events() == []
    assert core.statuses() == []
    core.give(reply(sent, 200))
    assert isinstance(core.event(), InviteAnswered)


def test_a_2xx_without_contact_keeps_the_request_uri__rfc3261_12_1_2() -> None:
    core = Core()
    core.give(reply(dial(core), 200, contact=None))
    assert core.sent_request("ACK").uri == "sip:bob@192.0.2.77"


def test_a_2xx_with_nonsense_in_contact_and_record_route_is_served_as_well_as_can_be() -> None:
    core = Core()
    core.give(reply(dial(core), 200, contact="<<<>>>", headers=[("Record-Route", "@@@")]))
    assert core.sent_request("ACK").uri == "sip:bob@192.0.2.77"


# --- routes -------------------------------------------------------------------------------------------------------


def test_the_uac_reverses_record_route__rfc3261_12_1_2__trap17() -> None:
    core = Core()
    sent = dial(core)
    core.give(reply(sent, 200, headers=[("Record-Route", "<sip:192.0.2.51;lr>, <sip:192.0.2.52;lr>")]))
    acked = core.sent()[0]
    assert acked.message.headers.get_all("Route") == ["<sip:192.0.2.52;lr>", "<sip:192.0.2.51;lr>"]
    assert str(acked.flow.remote) == "192.0.2.52:5060"  # the first Route, not where the 200 came from (trap 20)


def test_the_2xx_recomputes_the_early_route_set__rfc3261_13_2_2_4__trap18() -> None:
    core = Core()
    sent = dial(core)
    core.give(reply(sent, 180, headers=[("Record-Route", "<sip:192.0.2.51;lr>")]))
    core.give(reply(sent, 200, headers=[("Record-Route", "<sip:192.0.2.52;lr>")]))
    assert core.sent_request("ACK").headers.get_all("Route") == ["<sip:192.0.2.52;lr>"]


def test_a_strict_router_becomes_the_request_uri__rfc3261_12_2_1_1__trap19() -> None:
    core = Core()
    sent = dial(core)
    core.give(reply(sent, 200, headers=[("Record-Route", "<sip:192.0.2.51;lr>, <sip:192.0.2.52>")]))
    acked = core.sent()[0]
    assert isinstance(acked.message, Request)
    assert acked.message.uri == "sip:192.0.2.52"
    assert acked.message.headers.get_all("Route") == ["<sip:192.0.2.51;lr>", "<sip:bob@192.0.2.77>"]
    assert str(acked.flow.remote) == "192.0.2.52:5060"


# --- responses that are not ours ----------------------------------------------------------------------------------


def test_a_response_with_two_vias_is_dropped__rfc3261_8_1_3_3() -> None:
    core = Core()
    answer = reply(dial(core), 200)
    answer.headers.add("Via", "SIP/2.0/UDP 192.0.2.9;branch=z9hG4bKx")
    core.give(answer)
    assert core.events() == []


def test_a_response_with_another_sent_by_is_dropped__rfc3261_18_1_2() -> None:
    core = Core()
    answer = reply(dial(core), 200)
    answer.headers.set("Via", (answer.headers.get("Via") or "").replace("192.0.2.1:5060", "192.0.2.9:5060"))
    core.give(answer)
    assert core.events() == []


def test_a_response_of_another_method_is_dropped__rfc3261_17_1_3() -> None:
    core = Core()
    answer = reply(dial(core), 200)
    answer.headers.set("CSeq", "1 BYE")
    core.give(answer)
    assert core.events() == []


def test_a_response_after_the_transaction_is_absorbed() -> None:
    core = Core()
    sent = dial(core)
    core.give(reply(sent, 486))
    core.pass_time(60)
    core.sent()
    core.events()
    core.give(reply(sent, 200))
    assert core.statuses() == []
    assert core.events() == []


def test_the_peer_is_where_the_request_went() -> None:
    core = Core()
    core.do(call())
    assert core.sent()[0].flow.remote == PEER


def test_the_events_of_a_session_end_exactly_once() -> None:
    core = Core()
    sent = dial_and_answer(core)
    core.do(SendBye(CALL))
    core.give(from_peer(sent, "BYE"))  # both hang up at once
    assert isinstance(core.event(), SessionEnded)
    bye = next(one.message for one in core.sent() if isinstance(one.message, Request))
    core.give(Response(481, "Gone", reply(bye, 200).headers))
    core.settle()
    assert core.events() == []


def test_a_phone_is_called_by_the_flow_it_registered_by__rfc5626_5_3() -> None:
    """The INVITE goes there whatever its URI says; a long one as a datagram too, since a NAT lets in nothing else."""
    core = Core()
    flow = Flow("udp", OURS, Address("198.51.100.7", 40123))
    core.do(call(request_uri="sip:alice@10.0.0.5:5060", flow=flow, body=b"v" * 2000))
    (sent,) = core.sent()
    assert sent.flow == flow
    assert isinstance(sent.message, Request)
    assert sent.message.uri == "sip:alice@10.0.0.5:5060"


def test_all_requests_of_a_call_take_the_phones_connection__rfc5626_5_3() -> None:
    """Its Contact is an address that nobody can connect to, and not even a private one."""
    core = Core()
    core.endpoint.connection_opened(TCP, core.now)
    core.do(call(request_uri="sip:alice@192.0.2.77:5060;transport=tcp", flow=TCP))
    sent = core.sent_request("INVITE")
    core.give(reply(sent, 200, body=ANSWER, contact="<sip:alice@192.0.2.77:5060;transport=tcp>"), TCP)
    core.do(SendBye(CALL))
    assert [(one.flow, one.message.method) for one in core.sent() if isinstance(one.message, Request)] == [(TCP, "ACK"), (TCP, "BYE")]


def test_a_lost_flow_fails_and_the_next_one_is_tried_beside_a_silent_one__rfc5626_6() -> None:
    core = Core()
    core.endpoint.connection_opened(TCP, core.now)
    other = Flow("udp", OURS, Address("198.51.100.7", 40123))
    place = Place("sip:alice@10.0.0.5:5060", None, other)
    core.do(call(request_uri="sip:alice@10.0.0.5;transport=tcp", flow=TCP, places=(place,)))
    core.sent()
    core.pass_time(4.1)
    (sent,) = core.sent()
    assert sent.flow == other
    gone = Core()
    gone.do(call(request_uri="sip:alice@10.0.0.5;transport=tcp", flow=TCP))
    gone.fail(TCP)
    failed = gone.event()
    assert isinstance(failed, InviteFailed)
    assert failed.cause is FailureCause.TRANSPORT
