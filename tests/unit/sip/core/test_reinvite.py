"""re-INVITE inside a dialog, received and sent, and glare (RFC 3261 14)."""

from __future__ import annotations

import pytest

from sip.core.commands import AnswerRequest, SendAnswer, SendBye, SendProvisional, SendReinvite
from sip.core.events import EndCause, ReinviteAcked, ReinviteAnswered, ReinviteReceived, RequestReceived, SessionEnded, Traced
from sip.message import Request
from sip.settings import SipSettings
from tests.support.core import (
    ANSWER,
    CALL,
    OFFER,
    Core,
    ack,
    be_called,
    dial,
    dial_and_answer,
    reply,
    request,
    to_tag,
)
from tests.unit.sip.core.called import Called, ended

# --- re-INVITE received -------------------------------------------------------------------------------------------


def test_a_reinvite_is_handed_up_answered_and_acked__rfc3261_14_2() -> None:
    core = Core()
    peer = Called(core)
    event = peer.reinvite(2, contact="<sip:alice@192.0.2.99:5062>")
    core.do(AnswerRequest(event.transaction, 200, body=ANSWER))
    answer = core.sent_response()
    assert (answer.status, answer.body, bool(answer.headers.get("Contact"))) == (200, ANSWER, True)
    core.pass_time(2)
    assert core.statuses() == [200, 200]  # until its ACK
    peer.ack(2)
    assert isinstance(core.event(), ReinviteAcked)
    core.pass_time(40)
    assert core.statuses() == []
    core.do(SendBye(peer.session))
    assert core.sent_request("BYE").uri == "sip:alice@192.0.2.99:5062"  # the target was refreshed (12.2)


def test_a_refused_reinvite_leaves_the_session_and_its_target__rfc3261_14_2() -> None:
    core = Core()
    peer = Called(core)
    event = peer.reinvite(2, contact="<sip:alice@192.0.2.99>")
    core.do(AnswerRequest(event.transaction, 488))
    refused = core.sent_response()
    assert refused.status == 488
    core.give(request("ACK", branch="z9hG4bKINVITE2", cseq=2, to_tag=peer.tag))
    core.pass_time(40)
    assert core.statuses() == []
    assert core.events() == []
    core.do(SendBye(peer.session))
    assert core.sent_request("BYE").uri == "sip:alice@192.0.2.77"


def test_a_reinvite_without_ack_ends_the_session__rfc3261_14_2() -> None:
    core = Core()
    peer = Called(core)
    event = peer.reinvite(2)
    core.do(AnswerRequest(event.transaction, 200, body=ANSWER))
    core.pass_time(32.1)
    assert ended(core).cause is EndCause.ACK_TIMEOUT
    assert "BYE" in core.statuses()
    core.settle()


def test_an_empty_reinvite_brings_the_answer_in_its_ack() -> None:
    core = Core()
    peer = Called(core)
    event = peer.reinvite(2, body=b"")
    core.do(AnswerRequest(event.transaction, 200, body=OFFER))
    peer.ack(2, ANSWER)
    assert core.event() == ReinviteAcked(peer.session, ANSWER, "application/sdp")


def test_a_second_invite_while_one_is_open_gets_500_with_retry_after__rfc3261_14_2__trap24() -> None:
    core = Core()
    peer = Called(core)
    peer.reinvite(2)
    peer.give("INVITE", 3, body=OFFER)
    response = core.sent_response()
    assert response.status == 500
    assert 0 <= int(response.headers.get("Retry-After") or "-1") <= 10


def test_an_invite_before_our_first_answer_gets_500__rfc3261_14_2__trap24() -> None:
    core = Core()
    be_called(core)
    core.do(SendProvisional(core.session, 183))
    tag = to_tag(core.sent_response())
    core.give(request("INVITE", branch="z9hG4bKre", cseq=2, to_tag=tag, body=OFFER))
    response = core.sent_response()
    assert (response.status, "Retry-After" in response.headers) == (500, True)
    core.give(request("UPDATE", branch="z9hG4bKup", cseq=3, to_tag=tag, body=OFFER))
    assert core.sent_response().status == 500  # RFC 3311 5.2
    core.do(SendAnswer(core.session, ANSWER))
    assert core.statuses() == [200]


def test_a_reinvite_that_overtakes_its_ack_is_served__rfc5407_3_1_5() -> None:
    """The offer and answer of the first INVITE are complete; only its ACK is late."""
    core = Core()
    be_called(core)
    core.do(SendAnswer(core.session, ANSWER))
    first = core.sent_response()
    core.give(request("INVITE", branch="z9hG4bKre", cseq=2, to_tag=to_tag(first), body=OFFER))
    event = core.event()
    assert isinstance(event, ReinviteReceived)
    core.give(ack(first))
    core.do(AnswerRequest(event.transaction, 200, body=ANSWER))
    core.give(request("ACK", branch="z9hG4bKa2", cseq=2, to_tag=to_tag(first)))
    assert len(core.events()) == 2  # AnswerAcked, ReinviteAcked
    core.sent()
    core.pass_time(40)
    assert core.statuses() == []


def test_a_reinvite_before_the_answer_to_our_offer_is_glare__rfc5407_3_1_4() -> None:
    core = Core()
    be_called(core, body=b"")
    core.do(SendAnswer(core.session, OFFER))  # the answer will come in the ACK
    first = core.sent_response()
    core.give(request("INVITE", branch="z9hG4bKre", cseq=2, to_tag=to_tag(first), body=OFFER))
    assert core.statuses() == [491]


def test_cancel_of_a_reinvite_leaves_the_session__rfc3261_9_2() -> None:
    core = Core()
    peer = Called(core)
    event = peer.reinvite(2)
    core.give(request("CANCEL", branch="z9hG4bKINVITE2", cseq=2, to_tag=peer.tag))
    assert core.statuses() == [200, 487]
    assert core.events() == []
    core.do(AnswerRequest(event.transaction, 200, body=ANSWER))  # the user had not heard of it
    assert core.statuses() == []
    assert core.endpoint.counts()["sessions"] == 1


def test_an_update_that_nobody_answers_stands_in_the_way_until_its_transaction_ends__rfc3311_5_2() -> None:
    core = Core()
    peer = Called(core)
    peer.give("UPDATE", 2, body=OFFER)
    assert isinstance(core.event(), RequestReceived)
    peer.give("INVITE", 3, body=OFFER, branch="z9hG4bKearly")
    assert core.statuses() == [500]
    core.pass_time(32.1)  # timer F of RFC 4320: an answer would come too late
    core.sent()  # the 500 again, until its ACK
    peer.reinvite(4)


# --- re-INVITE sent -----------------------------------------------------------------------------------------------


def test_a_2xx_of_a_reinvite_that_comes_again_is_told_as_a_repetition__rfc3261_13_2_2_4() -> None:
    core = Core()
    dial_and_answer(core)
    core.do(SendReinvite(CALL, OFFER))
    answer = reply(core.sent_request("INVITE"), 200, body=ANSWER)
    core.give(answer)
    core.give(answer)
    assert core.statuses() == ["ACK", "ACK"]
    traces = [one.repeated for one in core.all(Traced) if one.summary == "200 Because (INVITE)"]
    assert traces == [False, False, True]  # of the INVITE, of the re-INVITE


def test_our_reinvite_is_acked_and_reported__rfc3261_14_1() -> None:
    core = Core()
    dial_and_answer(core)
    core.do(SendReinvite(CALL, OFFER))
    sent = core.sent_request("INVITE")
    assert (sent.uri, sent.headers.get("CSeq"), sent.body) == ("sip:bob@192.0.2.77", "2 INVITE", OFFER)
    answer = reply(sent, 200, contact="<sip:bob@192.0.2.88>", body=ANSWER)
    core.give(answer)
    ack_sent = core.sent_request("ACK")
    assert (ack_sent.uri, ack_sent.headers.get("CSeq")) == ("sip:bob@192.0.2.88", "2 ACK")  # target refreshed
    event = core.event()
    assert isinstance(event, ReinviteAnswered)
    assert event.response is not None
    assert event.response.body == ANSWER
    core.give(answer)
    core.sent_request("ACK")
    assert core.events() == []


def test_the_first_2xx_again_is_acked_even_after_a_reinvite__rfc3261_13_2_2_4__trap2() -> None:
    core = Core()
    first = dial_and_answer(core)
    core.do(SendReinvite(CALL, OFFER))
    core.give(reply(core.sent_request("INVITE"), 200, contact="<sip:bob@192.0.2.88>"))
    core.sent()
    core.give(reply(first, 200))
    assert core.sent_request("ACK").headers.get("CSeq") == "1 ACK"


def test_a_reinvite_changes_the_target_only__rfc3261_12_2__trap18() -> None:
    core = Core()
    core.give(reply(dial(core), 200, headers=[("Record-Route", "<sip:192.0.2.51;lr>")]))
    core.sent()
    core.do(SendReinvite(CALL, OFFER))
    sent = core.sent_request("INVITE")
    core.give(reply(sent, 200, contact="<sip:bob@192.0.2.88>", headers=[("Record-Route", "<sip:192.0.2.59;lr>")]))
    acked = core.sent_request("ACK")
    assert (acked.uri, acked.headers.get_all("Route")) == ("sip:bob@192.0.2.88", ["<sip:192.0.2.51;lr>"])


def test_reinvites_go_one_at_a_time__rfc3261_14_1() -> None:
    core = Core()
    dial_and_answer(core)
    core.do(SendReinvite(CALL, b"one"))
    core.do(SendReinvite(CALL, b"two"))
    first = core.sent_request("INVITE")
    core.give(reply(first, 200))
    acked, second = (one.message for one in core.sent())
    assert isinstance(acked, Request)
    assert isinstance(second, Request)
    assert (acked.method, second.body) == ("ACK", b"two")
    core.give(reply(second, 488))
    assert [one.response.status for one in core.events() if isinstance(one, ReinviteAnswered) and one.response] == [200, 488]


def test_our_reinvite_waits_for_the_peers__rfc3261_14_1() -> None:
    core = Core()
    peer = Called(core)
    event = peer.reinvite(2)
    core.do(SendReinvite(peer.session, OFFER))
    assert core.statuses() == []
    core.do(AnswerRequest(event.transaction, 200, body=ANSWER))
    assert core.statuses() == [200]
    peer.ack(2)
    core.sent_request("INVITE")


@pytest.mark.parametrize(("owner", "least", "most"), [(True, 2.1, 4.0), (False, 0.0, 2.0)])
def test_glare_is_tried_again_by_the_rules__rfc3261_14_1__trap24(owner: bool, least: float, most: float) -> None:
    waits = set()
    for seed in range(12):
        core = Core(seed=seed)
        if owner:
            dial_and_answer(core)
            session = CALL
        else:
            session = Called(core).session
        core.do(SendReinvite(session, OFFER))
        sent = core.sent_request("INVITE")
        start = core.now
        core.give(reply(sent, 491))
        assert core.statuses() == ["ACK"]
        assert core.events() == []
        core.pass_time(4.1)
        again = core.sent()[0]
        assert isinstance(again.message, Request)
        assert (again.message.method, again.message.body) == ("INVITE", OFFER)
        assert int((again.message.headers.get("CSeq") or "").split()[0]) == int((sent.headers.get("CSeq") or "").split()[0]) + 1
        waits.add(round(again.at - start, 6))
    assert all(least <= wait <= most for wait in waits)
    assert all(abs(wait * 100 - round(wait * 100)) < 1e-6 for wait in waits), "in units of 10 ms"
    assert len(waits) > 4


def test_no_reinvite_is_tried_again_once_we_hang_up() -> None:
    core = Core()
    dial_and_answer(core)
    core.do(SendReinvite(CALL, OFFER))
    core.give(reply(core.sent_request("INVITE"), 491))
    core.sent()
    core.do(SendBye(CALL))
    core.pass_time(10)
    assert "INVITE" not in core.statuses()


def test_glare_that_never_ends_is_reported() -> None:
    core = Core(SipSettings(max_reinvite_retries=2))
    dial_and_answer(core)
    core.do(SendReinvite(CALL, OFFER))
    for _ in range(3):
        sent = next(one.message for one in core.sent() if isinstance(one.message, Request) and one.message.method == "INVITE")
        core.give(reply(sent, 491))
        core.pass_time(4.5)
    event = core.event()
    assert isinstance(event, ReinviteAnswered)
    assert event.response is not None
    assert event.response.status == 491
    assert core.endpoint.counts()["sessions"] == 1


def test_while_ours_is_out_a_reinvite_gets_491__rfc3261_14_2__trap24() -> None:
    core = Core()
    peer = Called(core)
    core.do(SendReinvite(peer.session, OFFER))
    core.sent()
    peer.give("INVITE", 2, body=OFFER)
    assert core.statuses() == [491]
    peer.give("UPDATE", 3, body=OFFER)  # RFC 3311 5.2
    assert core.statuses() == [491]
    peer.give("UPDATE", 4)
    assert isinstance(core.event(), RequestReceived)  # no offer, no glare


def test_while_waiting_after_glare_the_peers_reinvite_is_served__rfc3261_14_1() -> None:
    core = Core()
    peer = Called(core)
    core.do(SendReinvite(peer.session, OFFER))
    core.give(reply(core.sent_request("INVITE"), 491))
    core.sent()
    event = peer.reinvite(2)
    core.pass_time(2.1)
    assert core.statuses() == []  # ours waits until theirs is through
    core.do(AnswerRequest(event.transaction, 200, body=ANSWER))
    core.sent()
    peer.ack(2)
    core.sent_request("INVITE")


@pytest.mark.parametrize("status", [408, 481])
def test_a_reinvite_answered_408_or_481_ends_the_dialog__rfc3261_14_1(status: int) -> None:
    core = Core()
    dial_and_answer(core)
    core.do(SendReinvite(CALL, OFFER))
    core.give(reply(core.sent_request("INVITE"), status))
    answered, over = core.events()
    assert isinstance(answered, ReinviteAnswered)
    assert isinstance(over, SessionEnded)
    assert over.cause is EndCause.DIALOG_GONE
    core.settle()


def test_a_reinvite_that_stays_provisional_is_cancelled() -> None:
    core = Core(SipSettings(reinvite_timeout_s=20))
    dial_and_answer(core)
    core.do(SendReinvite(CALL, OFFER))
    sent = core.sent_request("INVITE")
    core.give(reply(sent, 100))
    core.pass_time(20)
    core.give(reply(core.sent_request("CANCEL"), 200))
    core.give(reply(sent, 487))
    event = core.event()
    assert isinstance(event, ReinviteAnswered)
    assert event.response is not None
    assert event.response.status == 487


def test_a_reinvite_whose_cancel_brings_nothing_is_given_up__rfc3261_9_1() -> None:
    core = Core(SipSettings(reinvite_timeout_s=20))
    dial_and_answer(core)
    core.do(SendReinvite(CALL, OFFER))
    core.give(reply(core.sent_request("INVITE"), 100))
    core.pass_time(20)
    core.give(reply(core.sent_request("CANCEL"), 200))
    core.pass_time(33)
    assert core.event() == ReinviteAnswered(CALL, None)
    assert core.endpoint.counts()["sessions"] == 1  # the call goes on as it was
