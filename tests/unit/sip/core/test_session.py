"""Inside a dialog: BYE, re-INVITE and glare, other requests, sequence numbers, targets (RFC 3261 12.2, 14, 15)."""

from __future__ import annotations

import pytest

from sip.core.commands import AnswerRequest, SendAnswer, SendBye, SendProvisional, SendReinvite, SendRequest
from sip.core.events import EndCause, ReinviteAcked, ReinviteAnswered, ReinviteReceived, RequestAnswered, RequestReceived, SessionEnded
from sip.core.flows import Address, Flow
from sip.message import Request, Response
from sip.settings import SipSettings
from tests.support.core import (
    ANSWER,
    CALL,
    OFFER,
    OURS,
    PEER,
    TCP,
    Core,
    ack,
    be_called,
    be_called_and_answer,
    dial,
    dial_and_answer,
    invite,
    reply,
    request,
    to_tag,
)


class Called:
    """A confirmed session that the peer opened, and the peer's requests in it."""

    def __init__(self, core: Core, flow: Flow | None = None, **given: object) -> None:
        self.core = core
        self.flow = flow or Flow("udp", OURS, PEER)
        self.tag = to_tag(be_called_and_answer(core, self.flow, **given))
        self.session = core.session

    def give(self, method: str, cseq: int, **given: object) -> Request:
        given.setdefault("branch", f"z9hG4bK{method}{cseq}")
        message = request(method, cseq=cseq, to_tag=self.tag, **given)  # type: ignore[arg-type]
        self.core.give(message, self.flow)
        return message

    def reinvite(self, cseq: int, **given: object) -> ReinviteReceived:
        given.setdefault("body", OFFER)
        self.give("INVITE", cseq, **given)
        event = self.core.event()
        assert isinstance(event, ReinviteReceived)
        assert self.core.statuses() == [100]
        return event

    def ack(self, cseq: int, body: bytes = b"") -> None:
        self.core.give(request("ACK", branch=f"z9hG4bKack{cseq}", cseq=cseq, to_tag=self.tag, body=body), self.flow)


def ended(core: Core) -> SessionEnded:
    event = core.event()
    assert isinstance(event, SessionEnded)
    return event


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


# --- re-INVITE sent -----------------------------------------------------------------------------------------------


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
    Called(core, TCP, contact="<sip:a@192.0.2.77:5060;transport=tcp>", via="SIP/2.0/TCP 192.0.2.77;branch=z9hG4bKpeer1")
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
    core.give(invite(via="SIP/2.0/TCP 192.0.2.77;branch=z9hG4bKpeer1"), TCP)
    core.sent()
    core.do(SendAnswer(core.session, ANSWER))
    answer = core.sent()[0].message
    assert isinstance(answer, Response)
    assert answer.headers.get("Contact") == "<sip:bob@192.0.2.1:5060;transport=tcp>"


def test_a_contact_with_headers_gives_a_clean_request_uri__rfc3261_19_1_1() -> None:
    assert bye_of("<sip:a@203.0.113.5;method=INVITE?Subject=x>", PUBLIC)[0] == "sip:a@203.0.113.5"
