"""UPDATE before the answer (RFC 3311 5), which reliable provisional responses make possible, from both sides."""

from __future__ import annotations

import pytest

from sip.core.commands import AnswerRequest, SendAnswer, SendRequest
from sip.core.events import (
    RequestAnswered,
    RequestReceived,
)
from sip.message import Request
from tests.support.core import ANSWER, CALL, OFFER, Core, be_called, call, dial, reply, request, to_tag
from tests.unit.sip.core.calling import from_peer
from tests.unit.sip.core.provisionals import REQUIRED, heard, prack, reliable, ringing


def early(core: Core, body: bytes = ANSWER) -> Request:
    """We call, and the peer's description is agreed before it answers."""
    sent = dial(core)
    core.give(heard(sent, 1, 183, body=body))
    core.give(reply(core.sent_request("PRACK"), 200))
    core.events()
    return sent


def test_the_callee_may_offer_anew_before_it_answers__rfc3311_5_2() -> None:
    core = reliable()
    sent = early(core)
    core.give(from_peer(sent, "UPDATE", body=OFFER))
    event = core.event()
    assert isinstance(event, RequestReceived)
    core.do(AnswerRequest(event.transaction, 200, body=ANSWER))
    answer = core.sent_response()
    assert (answer.status, answer.body, bool(answer.headers.get("Contact"))) == (200, ANSWER, True)


def test_an_update_before_our_offer_is_answered_is_491__rfc3311_5_2() -> None:
    core = reliable()
    sent = early(core, body=b"")
    core.give(from_peer(sent, "UPDATE", body=OFFER))
    assert core.statuses() == [491]


def test_the_caller_may_offer_anew_once_our_answer_is_acknowledged__rfc3311_5_1() -> None:
    core = reliable()
    be_called(core, headers=[REQUIRED])
    first = ringing(core, ANSWER, 183)
    update = request("UPDATE", branch="z9hG4bKu1", cseq=2, to_tag=to_tag(first), body=OFFER)
    core.give(update)
    assert core.statuses() == [500], "not before its PRACK"
    core.give(prack(first, 3))
    core.sent()
    core.give(request("UPDATE", branch="z9hG4bKu2", cseq=4, to_tag=to_tag(first), body=OFFER))
    event = core.event()
    assert isinstance(event, RequestReceived)
    core.do(SendAnswer(core.session, b""))
    assert core.sent() == [], "what was offered last is answered first"
    core.do(AnswerRequest(event.transaction, 200, body=ANSWER))
    assert core.statuses() == [200, 200]


@pytest.mark.parametrize("side", ["caller", "callee"])
def test_we_may_send_an_update_before_the_answer__rfc3311_5_1(side: str) -> None:
    core = reliable()
    if side == "caller":
        early(core)
        session = CALL
    else:
        be_called(core, headers=[REQUIRED])
        core.give(prack(ringing(core, ANSWER, 183)))
        core.sent()
        session = core.session
    core.do(SendRequest(session, "UPDATE", OFFER, "application/sdp"))
    update = core.sent_request("UPDATE")
    assert update.headers.get("Contact")
    core.do(SendRequest(session, "UPDATE", OFFER, "application/sdp"))
    assert core.event() == RequestAnswered(session, "UPDATE", None), "one offer at a time"
    core.give(reply(update, 200, body=ANSWER))
    answered = core.event()
    assert isinstance(answered, RequestAnswered)
    assert answered.response is not None
    assert answered.response.body == ANSWER


def test_updates_that_cross_are_491__rfc3311_5_2() -> None:
    core = reliable()
    sent = early(core)
    core.do(SendRequest(CALL, "UPDATE", OFFER, "application/sdp"))
    core.sent()
    core.give(from_peer(sent, "UPDATE", body=OFFER))
    assert core.statuses() == [491]


def test_an_update_of_ours_without_an_early_agreement_is_not_sent__rfc3311_5_1() -> None:
    core = reliable()
    core.do(call())
    core.sent()
    core.do(SendRequest(CALL, "UPDATE", OFFER, "application/sdp"))
    assert core.sent() == []
    assert core.event() == RequestAnswered(CALL, "UPDATE", None)
