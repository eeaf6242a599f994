"""A session that we open and that is forked: one 200 counts, the others are ended (RFC 3261 13.2.2.4)."""

from __future__ import annotations

from sip.core.commands import AnswerRequest, SendBye
from sip.core.events import EndCause, InviteAnswered, RequestReceived, SessionEnded
from sip.message import Request
from sip.settings import SipSettings
from tests.support.core import CALL, OFFER, Core, dial, dial_and_answer, dial_and_ring, reply
from tests.unit.sip.core.calling import from_peer, sent_methods


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
    sent = dial_and_ring(core)
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
