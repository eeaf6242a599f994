"""Sessions that a peer opens: answering, refusing, CANCEL, early BYE, the ACK (RFC 3261 9.2, 13.3.1, 15)."""

from __future__ import annotations

import pytest

from sip.core.commands import SendAnswer, SendBye, SendProvisional, SendReinvite, SendReject
from sip.core.events import AnswerAcked, CancelReceived, EndCause, SessionEnded
from sip.core.flows import Flow
from sip.message import Request
from tests.support.core import (
    ANSWER,
    OFFER,
    OVER_TCP,
    TCP,
    UDP,
    Core,
    ack,
    be_called,
    be_called_and_answer,
    invite,
    reply,
    request,
    to_tag,
)
from tests.unit.sip.core.called import ended

# --- answering ----------------------------------------------------------------------------------------------------


def test_provisionals_make_the_early_dialog__rfc3261_12_1_1__trap17() -> None:
    core = Core()
    be_called(core, headers=[("Record-Route", "<sip:p2.example;lr>, <sip:p1.example;lr>")])
    core.do(SendProvisional(core.session, 180))
    ringing = core.sent_response()
    assert (ringing.status, ringing.reason, ringing.body) == (180, "Ringing", b"")
    assert ringing.headers.get_all("Record-Route") == ["<sip:p2.example;lr>, <sip:p1.example;lr>"]
    assert ringing.headers.get("Contact") == "<sip:bob@192.0.2.1:5060>"
    core.do(SendAnswer(core.session, ANSWER))
    answer = core.sent_response()
    assert to_tag(answer) == to_tag(ringing) != ""
    assert answer.headers.get_all("Record-Route") == ringing.headers.get_all("Record-Route")
    assert answer.headers.get("Content-Type") == "application/sdp"
    assert answer.headers.get("Allow")
    assert answer.body == ANSWER


def test_a_provisional_after_the_final_is_ignored() -> None:
    core = Core()
    be_called(core)
    core.do(SendAnswer(core.session, ANSWER))
    core.sent()
    core.do(SendProvisional(core.session, 180))
    assert core.statuses() == []


def test_the_last_provisional_is_repeated_each_minute__rfc3261_13_3_1_1() -> None:
    core = Core()
    be_called(core)
    core.do(SendProvisional(core.session, 180))
    core.sent()
    core.pass_time(59)
    assert core.statuses() == []
    core.pass_time(62)
    assert core.statuses() == [180, 180]
    core.do(SendReject(core.session, 486))
    core.sent()
    core.give(request("ACK", to_tag="any"))
    core.pass_time(200)
    assert 180 not in core.statuses()


@pytest.mark.parametrize(("flow", "via"), [(UDP, None), (TCP, OVER_TCP)])
def test_2xx_is_repeated_until_its_ack_over_every_transport__rfc3261_13_3_1_4__trap3(flow: Flow, via: str | None) -> None:
    core = Core()
    be_called(core, flow, via=via)
    start = core.now
    core.do(SendAnswer(core.session, ANSWER))
    core.pass_time(16)
    sent = core.sent()
    assert [one.at - start for one in sent] == [0, 0.5, 1.5, 3.5, 7.5, 11.5, 15.5]
    assert len({one.data for one in sent}) == 1
    core.give(ack(sent[0].message), flow)  # type: ignore[arg-type]
    assert isinstance(core.event(), AnswerAcked)
    core.pass_time(60)
    assert core.statuses() == []


@pytest.mark.parametrize(("flow", "via"), [(UDP, None), (TCP, OVER_TCP)])
def test_2xx_without_ack_ends_in_bye_after_64_t1__rfc3261_13_3_1_4__trap3(flow: Flow, via: str | None) -> None:
    core = Core()
    be_called(core, flow, via=via)
    core.do(SendAnswer(core.session, ANSWER))
    core.pass_time(31.9)
    assert core.events() == []
    core.sent()
    core.pass_time(0.2)
    assert core.sent_request("BYE").headers.get("CSeq") == "1 BYE"
    assert ended(core).cause is EndCause.ACK_TIMEOUT
    if flow.reliable:
        core.lose(flow)
    core.settle()
    assert core.events() == []


def test_an_invite_again_after_the_2xx_is_absorbed__rfc6026__trap4() -> None:
    core = Core()
    be_called_and_answer(core)
    for _ in range(3):
        core.pass_time(9)
        core.give(invite())
        assert core.statuses() == []
        assert core.events() == []
    assert core.endpoint.counts()["sessions"] == 1


def test_ack_brings_the_answer_to_our_late_offer__rfc3261_13_2_1__trap38() -> None:
    core = Core()
    be_called(core, body=b"")
    core.do(SendAnswer(core.session, OFFER))
    core.give(ack(core.sent_response(), body=ANSWER))
    assert core.event() == AnswerAcked(core.session, ANSWER, "application/sdp")


def test_an_ack_again_is_absorbed__rfc3261_13_3_1_4() -> None:
    core = Core()
    answer = be_called_and_answer(core)
    core.give(ack(answer))
    assert core.events() == []
    assert core.statuses() == []


# --- refusing -----------------------------------------------------------------------------------------------------


def test_reject_waits_for_its_ack__rfc3261_17_2_1__trap6() -> None:
    core = Core()
    be_called(core)
    core.do(SendReject(core.session, 486, headers=(("Reason", "Q.850;cause=17"),)))
    refused = core.sent_response()
    assert (refused.status, refused.reason, refused.headers.get("Reason")) == (486, "Busy Here", "Q.850;cause=17")
    core.pass_time(4)
    assert core.statuses() == [486, 486, 486]
    assert core.events() == []
    core.give(ack(refused, branch="z9hG4bKpeer1"))
    assert ended(core).cause is EndCause.REJECTED
    core.settle()
    assert core.statuses() == []


def test_reject_without_ack_ends_by_timer_h__rfc3261_17_2_1__trap6() -> None:
    core = Core()
    be_called(core)
    core.do(SendReject(core.session, 600, "Go away"))
    core.pass_time(33)
    assert ended(core).cause is EndCause.REJECTED
    assert core.sent()[0].message.reason == "Go away"  # type: ignore[union-attr]
    core.settle()


def test_the_early_dialog_ends_with_the_refusal__rfc3261_12_3() -> None:
    core = Core()
    be_called(core)
    core.do(SendProvisional(core.session, 183))
    tag = to_tag(core.sent_response())
    core.do(SendReject(core.session, 486))
    core.sent()
    core.give(request("INFO", branch="z9hG4bKinfo", cseq=2, to_tag=tag))
    assert core.statuses() == [481]
    assert core.events() == []


def test_the_user_may_answer_once_only() -> None:
    core = Core()
    be_called(core)
    core.do(SendReject(core.session, 486))
    core.do(SendAnswer(core.session, ANSWER))
    core.do(SendProvisional(core.session, 180))
    assert core.statuses() == [486]


def test_reject_of_an_answered_session_hangs_up() -> None:
    """The user's refusal and its answer crossed: the call must end all the same."""
    core = Core()
    be_called_and_answer(core)
    core.do(SendReject(core.session, 486))
    core.sent_request("BYE")


# --- CANCEL and BYE before the answer -----------------------------------------------------------------------------


def test_cancel_gets_its_own_200_with_the_invites_tag_then_487__rfc3261_9_2__trap13() -> None:
    core = Core()
    be_called(core)
    core.do(SendProvisional(core.session, 180))
    tag = to_tag(core.sent_response())
    cancel = request("CANCEL", headers=[("Reason", "SIP;cause=200")])
    core.give(cancel)
    answer = core.sent_response()
    assert (answer.status, to_tag(answer), answer.headers.get("CSeq")) == (200, tag, "1 CANCEL")
    event = core.event()
    assert isinstance(event, CancelReceived)
    assert event.request.headers.get("Reason") == "SIP;cause=200"
    core.do(SendReject(core.session, 487))
    refused = core.sent_response()
    assert (refused.status, to_tag(refused)) == (487, tag)
    core.give(ack(refused, branch="z9hG4bKpeer1"))
    assert ended(core).cause is EndCause.REJECTED
    core.settle()


def test_cancel_again_gets_the_same_200__rfc3261_17_2_2__trap7() -> None:
    core = Core()
    be_called(core)
    core.give(request("CANCEL"))
    core.give(request("CANCEL"))
    first, second = core.sent()
    assert first.data == second.data
    assert len(core.events()) == 1


@pytest.mark.parametrize("final", [SendAnswer, SendReject])
def test_cancel_after_a_final_changes_nothing__rfc3261_9_2__trap13(final: type) -> None:
    core = Core()
    be_called(core)
    core.do(final(core.session, ANSWER) if final is SendAnswer else final(core.session, 486))
    final_response = core.sent_response()
    core.give(request("CANCEL"))
    assert core.statuses() == [200]
    assert core.events() == []
    core.give(ack(final_response, branch="z9hG4bKpeer1" if final is SendReject else "z9hG4bKn"))
    assert isinstance(core.event(), AnswerAcked if final is SendAnswer else SessionEnded)


def test_an_answer_that_crosses_cancel_is_487__rfc3261_9_2() -> None:
    core = Core()
    be_called(core)
    core.give(request("CANCEL"))
    core.sent()
    core.do(SendAnswer(core.session, ANSWER))
    assert core.statuses() == [487]


def test_a_provisional_that_crosses_cancel_is_not_sent() -> None:
    core = Core()
    be_called(core)
    core.give(request("CANCEL"))
    core.sent()
    core.do(SendProvisional(core.session, 180))
    assert core.statuses() == []


def test_bye_in_the_early_dialog_is_a_cancel__rfc3261_15() -> None:
    core = Core()
    be_called(core)
    core.do(SendProvisional(core.session, 180))
    ringing = core.sent_response()
    bye = request("BYE", branch="z9hG4bKbye", cseq=2, to_tag=to_tag(ringing))
    core.give(bye)
    assert core.sent_response().headers.get("CSeq") == "2 BYE"
    event = core.events()[-1]
    assert isinstance(event, CancelReceived)
    assert event.request.method == "BYE"
    core.do(SendReject(core.session, 487))
    core.give(ack(core.sent_response(), branch="z9hG4bKpeer1"))
    assert ended(core).cause is EndCause.REJECTED
    core.settle()


# --- BYE of a session that waits for its ACK ------------------------------------------------------------------------


def test_our_bye_waits_for_the_ack__rfc3261_15() -> None:
    core = Core()
    be_called(core)
    core.do(SendAnswer(core.session, ANSWER))
    answer = core.sent_response()
    core.do(SendBye(core.session, reason='Q.850;cause=16;text="Bye"', headers=(("X-A", "1"),)))
    assert core.statuses() == []
    core.give(ack(answer))
    bye = core.sent_request("BYE")
    assert (bye.headers.get("Reason"), bye.headers.get("X-A")) == ('Q.850;cause=16;text="Bye"', "1")
    assert isinstance(core.event(), AnswerAcked)
    core.give(reply(bye, 200))
    assert ended(core).cause is EndCause.BYE_ANSWERED
    core.settle()


def test_our_bye_goes_out_when_the_ack_never_comes__rfc3261_15() -> None:
    core = Core()
    be_called(core)
    core.do(SendAnswer(core.session, ANSWER))
    core.do(SendBye(core.session, reason="Q.850;cause=16"))
    core.sent()
    core.pass_time(32.1)
    byes = [one.message for one in core.sent() if isinstance(one.message, Request)]
    assert [one.headers.get("Reason") for one in byes] == ["Q.850;cause=16"]
    assert ended(core).cause is EndCause.ACK_TIMEOUT
    core.settle()


def test_the_peers_bye_before_its_ack_ends_the_session__rfc3261_15_1_2() -> None:
    core = Core()
    be_called(core)
    core.do(SendAnswer(core.session, ANSWER))
    answer = core.sent_response()
    core.give(request("BYE", branch="z9hG4bKbye", cseq=2, to_tag=to_tag(answer)))
    assert core.sent_response().status == 200
    event = ended(core)
    assert event.cause is EndCause.BYE_RECEIVED
    assert event.request is not None
    core.give(ack(answer))
    core.settle()
    assert core.statuses() == []
    assert core.events() == []


def test_reinvite_waits_for_the_ack_of_the_first__rfc3261_14_1() -> None:
    core = Core()
    be_called(core)
    core.do(SendAnswer(core.session, ANSWER))
    answer = core.sent_response()
    core.do(SendReinvite(core.session, OFFER))
    assert core.statuses() == []
    core.give(ack(answer))
    core.sent_request("INVITE")
