"""Sessions that we open: answers, refusals, CANCEL and its races, forks (RFC 3261 9.1, 12.1.2, 13.2, 17.1.1)."""

from __future__ import annotations

import pytest

from sip.core.commands import AnswerRequest, Credentials, SendBye, SendCancel, SessionId
from sip.core.events import EndCause, FailureCause, InviteAnswered, InviteFailed, InviteProgressed, RequestReceived, SessionEnded, Traced
from sip.core.flows import Target
from sip.message import Request, Response, UsageError, parse_name_addr
from sip.settings import SipSettings
from tests.support.core import ANSWER, CALL, OFFER, PEER, Core, call, dial, dial_and_answer, reply, request


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
    sent = dial(core)
    core.give(reply(sent, 180))
    core.events()
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
    sent = dial(core)
    core.give(reply(sent, 180))
    core.events()
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


# --- CANCEL -------------------------------------------------------------------------------------------------------


def test_cancel_waits_for_the_first_provisional__rfc3261_9_1__trap11() -> None:
    core = Core()
    sent = dial(core, session_headers=(("X-Call", "CA1"),))
    core.do(SendCancel(CALL, reason="SIP;cause=200"))
    assert core.statuses() == []
    core.give(reply(sent, 100))
    cancel = core.sent_request("CANCEL")
    assert cancel.uri == sent.uri
    assert cancel.headers.get("Via") == sent.headers.get("Via")
    assert (cancel.headers.get("To"), cancel.headers.get("CSeq")) == (sent.headers.get("To"), "1 CANCEL")
    assert (cancel.headers.get("Reason"), cancel.headers.get("X-Call")) == ("SIP;cause=200", "CA1")
    core.give(reply(cancel, 200))
    assert core.events() == []
    core.give(reply(sent, 487))
    core.sent_request("ACK")
    event = failed(core)
    assert event.cause is FailureCause.CANCELED
    assert event.response is not None
    core.settle()


def test_cancel_goes_at_once_when_it_rings__rfc3261_9_1() -> None:
    core = Core()
    sent = dial(core)
    core.give(reply(sent, 180))
    core.events()
    core.do(SendCancel(CALL))
    core.do(SendCancel(CALL))  # asked twice, sent once
    core.sent_request("CANCEL")
    core.give(reply(sent, 180))
    assert core.events() == []  # nothing is reported any more but the end
    core.give(reply(sent, 487))
    assert failed(core).cause is FailureCause.CANCELED
    core.settle()


def test_an_invite_that_never_gets_a_provisional_is_ended_by_timer_b__rfc3261_9_1() -> None:
    core = Core()
    dial(core)
    core.do(SendCancel(CALL))
    core.pass_time(40)
    assert "CANCEL" not in sent_methods(core)
    assert failed(core).cause is FailureCause.CANCELED
    core.settle()


def test_a_cancelled_invite_is_given_up_after_64_t1__rfc3261_9_1__trap11() -> None:
    core = Core()
    sent = dial(core)
    core.give(reply(sent, 180))
    core.events()
    core.do(SendCancel(CALL))
    core.give(reply(core.sent_request("CANCEL"), 200))
    core.pass_time(31.9)
    assert core.events() == []
    core.pass_time(0.2)
    assert failed(core) == InviteFailed(CALL, FailureCause.CANCELED, None)
    core.settle()


def test_a_2xx_that_crosses_cancel_is_acked_then_byed__rfc3261_9_1__trap12() -> None:
    core = Core()
    sent = dial(core)
    core.give(reply(sent, 180))
    core.events()
    core.do(SendCancel(CALL, reason="SIP;cause=200"))
    core.sent()
    core.give(reply(sent, 200))
    ack, bye = (one.message for one in core.sent())
    assert isinstance(bye, Request)
    assert isinstance(ack, Request)
    assert (ack.method, bye.method, bye.headers.get("CSeq"), bye.headers.get("Reason")) == ("ACK", "BYE", "2 BYE", "SIP;cause=200")
    assert failed(core).cause is FailureCause.CANCELED
    core.give(reply(sent, 200))
    core.sent_request("ACK")
    core.give(reply(bye, 200))
    core.settle()
    assert core.events() == []


def test_a_2xx_without_any_provisional_after_cancel_is_acked_then_byed__rfc3261_9_1__trap12() -> None:
    core = Core()
    sent = dial(core)
    core.do(SendCancel(CALL))
    core.give(reply(sent, 200))
    assert core.statuses() == ["ACK", "BYE"]
    assert failed(core).cause is FailureCause.CANCELED


def test_cancel_before_the_name_is_resolved_sends_nothing() -> None:
    core = Core()
    core.do(call(request_uri="sip:bob@example.org"))
    core.do(SendCancel(CALL))
    assert failed(core).cause is FailureCause.CANCELED
    core.resolve(Target("udp", PEER))
    assert core.statuses() == []
    core.settle()


def test_a_challenge_after_cancel_is_not_met() -> None:
    core = Core()
    sent = dial(core, credentials=Credentials("u", "p"))
    core.give(reply(sent, 100))
    core.do(SendCancel(CALL))
    core.sent()
    core.give(reply(sent, 407, headers=[("Proxy-Authenticate", 'Digest realm="r", nonce="n"')]))
    assert sent_methods(core) == ["ACK"]
    assert failed(core).cause is FailureCause.CANCELED


def test_cancel_of_an_answered_session_is_a_bye() -> None:
    """The 200 was faster than the user: the call must end all the same."""
    core = Core()
    dial_and_answer(core)
    core.do(SendCancel(CALL, reason="SIP;cause=200"))
    bye = core.sent_request("BYE")
    assert bye.headers.get("Reason") == "SIP;cause=200"
    core.give(reply(bye, 200))
    assert isinstance(core.event(), SessionEnded)


def test_bye_of_an_unanswered_session_is_a_cancel() -> None:
    core = Core()
    sent = dial(core)
    core.give(reply(sent, 180))
    core.do(SendBye(CALL))
    core.sent_request("CANCEL")


# --- forks --------------------------------------------------------------------------------------------------------


def test_every_further_2xx_is_acked_then_byed__rfc3261_13_2_2_4__trap15() -> None:
    core = Core()
    sent = dial(core)
    core.give(reply(sent, 200, tag="one"))
    core.sent()
    core.give(reply(sent, 200, tag="two", contact="<sip:two@192.0.2.78>"))
    ack, bye = (one.message for one in core.sent())
    assert isinstance(ack, Request)
    assert isinstance(bye, Request)
    assert [(one.method, one.uri) for one in (ack, bye)] == [("ACK", "sip:two@192.0.2.78"), ("BYE", "sip:two@192.0.2.78")]
    assert (bye.headers.get("To") or "").endswith(";tag=two")
    core.give(reply(sent, 200, tag="two"))
    core.sent_request("ACK")
    assert len(core.events()) == 1
    assert core.endpoint.counts()["dialogs"] == 1
    core.give(reply(bye, 200))
    assert core.events() == []  # the lost fork is nobody's business


def test_forks_that_answer_after_the_end_are_acked_and_byed_too__rfc3261_13_2_2_4() -> None:
    core = Core()
    sent = dial_and_answer(core)
    core.give(from_peer(sent, "BYE"))
    core.sent()
    core.give(reply(sent, 200, tag="late"))
    assert core.statuses() == ["ACK", "BYE"]
    core.settle()


def test_early_dialogs_and_forks_are_bounded() -> None:
    core = Core(SipSettings(max_forks=3))
    sent = dial(core)
    for number in range(10):
        core.give(reply(sent, 180, tag=f"t{number}"))
    assert core.endpoint.counts()["dialogs"] == 3
    assert len(core.events()) == 10
    for number in range(10):
        core.give(reply(sent, 200, tag=f"t{number}"))
    methods = sent_methods(core)
    assert (methods.count("ACK"), methods.count("BYE")) == (10, 9), "each callee that answered is told, the one we keep and the others"


def test_a_2xx_of_one_fork_too_many_is_acked_and_ended_once__rfc3261_13_2_2_4() -> None:
    core = Core(SipSettings(max_forks=1))
    sent = dial(core)
    core.give(reply(sent, 200, tag="kept"))
    core.give(reply(sent, 200, tag="surplus"))
    core.sent()
    core.give(reply(sent, 200, tag="surplus"))  # again: its ACK was lost
    assert core.statuses() == ["ACK"]
    core.pass_time(0.5)
    assert core.statuses() == ["BYE"]  # unanswered so far
    core.do(SendBye(CALL))
    core.settle()


def test_a_bye_that_overtakes_the_2xx_ends_the_session_after_it__rfc3261_15() -> None:
    core = Core()
    sent = dial(core)
    core.give(reply(sent, 180))
    core.events()
    core.give(from_peer(sent, "BYE"))
    assert core.statuses() == [200]
    assert core.events() == []
    core.give(reply(sent, 200))
    assert core.statuses() == ["ACK"]
    answered, ended = core.events()
    assert isinstance(answered, InviteAnswered)
    assert isinstance(ended, SessionEnded)
    assert ended.cause is EndCause.BYE_RECEIVED
    core.settle()


def test_the_early_dialog_that_answers_lives_on_and_the_others_do_not__rfc3261_13_2_2_4() -> None:
    core = Core()
    sent = dial(core)
    core.give(reply(sent, 180, tag="one"))
    core.give(reply(sent, 180, tag="two"))
    core.give(reply(sent, 200, tag="two"))
    core.sent()
    core.events()
    core.give(from_peer(sent, "BYE", tag="one"))
    assert core.statuses() == [481]
    core.give(from_peer(sent, "BYE", tag="two"))
    assert core.statuses() == [200]
    assert isinstance(core.event(), SessionEnded)


def test_a_request_in_an_early_dialog_is_answered_there() -> None:
    core = Core()
    sent = dial(core)
    core.give(reply(sent, 183))
    core.events()
    core.give(from_peer(sent, "INFO"))
    event = core.event()
    assert isinstance(event, RequestReceived)
    core.do(AnswerRequest(event.transaction, 200))
    assert core.sent_response().status == 200


def test_a_reinvite_before_our_answer_is_glare__rfc3261_14_2__trap24() -> None:
    core = Core()
    sent = dial(core)
    core.give(reply(sent, 183))
    core.give(from_peer(sent, "INVITE", body=OFFER))
    assert core.statuses() == [491]


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
