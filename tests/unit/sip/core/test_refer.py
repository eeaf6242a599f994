"""REFER in the dialog of a session, from the peer and to it: who answers, and what is refused."""

from __future__ import annotations

import pytest

from sip.core.commands import AnswerRequest, SendAnswer, SendBye, SendReinvite
from sip.core.events import EndCause, InviteAnswered, SessionEnded
from sip.core.refer import EARLY_PATIENCE_S, MAX_REFERS, Refer
from sip.core.referring import NotifyRefer, ReferAnswered, ReferId, ReferReceived, SendRefer
from sip.message import UsageError
from tests.support.core import (
    ANSWER,
    CALL,
    Core,
    ack,
    be_called,
    dial_and_answer,
    dial_and_ring,
    invite,
    reply,
    request,
    to_tag,
)
from tests.unit.sip.core.referring import MINE, TARGET, accepted, as_callee, asked, called, fields, refer, referring

# --- the peer refers ----------------------------------------------------------------------------------------------


def test_a_refer_is_followed_by_a_notify_at_once__rfc3515_2_4_4_trap_37() -> None:
    _, _, event, notify = accepted()
    assert str(event.refer_to.uri) == "sip:dave@example.com"
    assert fields(notify) == ("refer", "active;expires=180", b"SIP/2.0 100 Trying\r\n")
    assert notify.headers.get("Content-Type") == "message/sipfrag"
    assert notify.headers.get("Contact")


def test_who_wants_to_hear_nothing_is_told_nothing__rfc4488_4() -> None:
    core, _, event = asked(("Refer-Sub", "false"), ("Require", "norefersub"))
    core.do(AnswerRequest(event.transaction, 202))
    response = core.sent_response()
    assert (response.status, response.headers.get("Refer-Sub")) == (202, "false")
    core.do(NotifyRefer(event.refer, 200, final=True))
    assert core.sent() == []


def test_a_refusal_says_what_it_refuses_and_nobody_is_subscribed__rfc3515_2_4_4() -> None:
    core, _, event = asked()
    core.do(AnswerRequest(event.transaction, 404, headers=(("Event", "refer"),)))
    response = core.sent_response()
    assert (response.status, response.headers.get_all("Event")) == (404, ["refer"])
    core.do(AnswerRequest(event.transaction, 202))
    assert core.sent() == []


@pytest.mark.parametrize(
    ("target", "status"),
    [
        (("X-Nothing", "1"), 400),
        (("Refer-To", "<sip:dave@example.com;method=SUBSCRIBE>"), 403),
        (("Refer-To", "<mailto:dave@example.com>"), 416),
        (("Refer-To", "<sip:dave@example.com?Replaces=broken>"), 400),
    ],
)
def test_a_target_that_cannot_be_called_is_refused_at_once__rfc3515_2_4_2(target: tuple[str, str], status: int) -> None:
    core, tag = called()
    core.give(refer(tag, target=target))
    assert core.statuses() == [status]
    assert core.events() == []


def test_two_targets_are_refused__rfc3515_2_4_2() -> None:
    core, tag = called()
    core.give(refer(tag, 2, TARGET))
    assert core.statuses() == [400]


def test_a_refer_during_a_reinvite_comes_too_early__rfc3261_14() -> None:
    core, tag = called()
    core.do(SendReinvite(core.session, ANSWER))
    core.sent()
    core.give(refer(tag))
    assert core.statuses() == [491]
    assert core.events() == []


def test_a_refer_that_overtakes_the_2xx_of_its_call_waits_for_it__rfc3261_12_2_2() -> None:
    core = Core(extensions=[Refer()])
    sent = dial_and_ring(core)
    tag = (sent.headers.get("From") or "").partition(";tag=")[2]
    early = as_callee(refer(tag, 1), sent)
    core.give(early)
    assert core.events() == []
    core.give(reply(sent, 200, body=ANSWER))
    core.pass_time(0)
    answered, referred = core.events()
    assert isinstance(answered, InviteAnswered)
    assert isinstance(referred, ReferReceived)


def test_a_refer_in_an_early_dialog_is_not_kept_for_ever__rfc3261_12_2_2() -> None:
    core = Core(extensions=[Refer()])
    sent = dial_and_ring(core)
    tag = (sent.headers.get("From") or "").partition(";tag=")[2]
    early = as_callee(refer(tag, 1), sent)
    core.give(early)
    core.pass_time(EARLY_PATIENCE_S)
    assert isinstance(core.event(), ReferReceived), "the user knows that its call is not answered"


def test_a_flood_of_refers_is_bounded__rfc3261_21_5_4() -> None:
    core, tag = called()
    for number in range(MAX_REFERS + 3):
        core.give(refer(tag, 2 + number))
    assert core.statuses() == [503] * 3
    assert len(core.events()) == MAX_REFERS


def test_a_refer_that_nobody_answers_leaves_nothing__rfc4320_4_2() -> None:
    core, tag = called()
    core.give(refer(tag))
    core.give(request("BYE", branch="z9hG4bKbye", cseq=3, to_tag=tag))
    assert core.statuses() == [200, 487]
    core.settle()


# --- we refer --------------------------------------------------------------------------------------------------------


def test_our_refer_says_whom_to_call_and_who_asks__rfc3892_2_1() -> None:
    _, _, sent = referring()
    assert sent.headers.get("Refer-To") == "<sip:dave@example.com>"
    assert sent.headers.get("Referred-By") == "<sip:bob@example.org>"
    assert sent.headers.get("Contact")


def test_a_refused_refer_is_over__rfc3515_2_4_2() -> None:
    core, tag, sent = referring()
    core.give(reply(sent, 603))
    assert isinstance(core.event(), ReferAnswered)
    core.give(request("BYE", branch="z9hG4bKbye", cseq=2, to_tag=tag))
    core.settle()


def test_a_refer_that_tells_of_a_dead_dialog_ends_the_call__rfc5057_5_1() -> None:
    core, _, sent = referring()
    core.give(reply(sent, 481))
    answered, ended = core.events()
    assert isinstance(answered, ReferAnswered)
    assert isinstance(ended, SessionEnded)
    assert ended.cause is EndCause.DIALOG_GONE
    core.settle()


def test_a_call_that_is_over_cannot_be_referred() -> None:
    core, _, _ = referring()
    other = ReferId("refer-2")
    core.do(SendBye(core.session))
    core.do(SendRefer(other, core.session, "sip:dave@example.com"))
    assert core.events() == [ReferAnswered(core.session, other, None)]
    core.do(SendRefer(other, CALL, "sip:dave@example.com"))
    assert core.events() == [ReferAnswered(CALL, other, None)]


def test_an_unanswered_call_cannot_be_referred() -> None:
    core = Core(extensions=[Refer()])
    be_called(core)
    core.do(SendRefer(MINE, core.session, "sip:dave@example.com"))
    assert core.events() == [ReferAnswered(core.session, MINE, None)]


@pytest.mark.parametrize("uri", ["sip:", "x\r\ny", "nobody"])
def test_a_target_that_cannot_be_written_is_a_bug_of_the_caller(uri: str) -> None:
    core, _ = called()
    with pytest.raises(UsageError):
        core.do(SendRefer(MINE, core.session, uri))


def test_a_status_that_is_none_is_a_bug_of_the_caller() -> None:
    core, _ = called()
    with pytest.raises(UsageError):
        core.do(NotifyRefer(MINE, 42))


def test_a_called_peer_can_be_referred_too__rfc3515_2_4_1() -> None:
    core = Core(extensions=[Refer()])
    dial_and_answer(core)
    core.do(SendRefer(MINE, CALL, "sip:dave@example.com"))
    assert core.sent_request("REFER").headers.get("Referred-By") == "<sip:alice@192.0.2.1>"


def test_a_refer_after_the_answer_needs_no_ack__rfc3261_13_3_1_4() -> None:
    core = Core(extensions=[Refer()])
    core.give(invite())
    core.sent()
    core.events()
    core.do(SendAnswer(core.session, ANSWER))
    answer = core.sent_response()
    core.give(refer(to_tag(answer)))
    assert isinstance(core.event(), ReferReceived)
    core.give(ack(answer))
