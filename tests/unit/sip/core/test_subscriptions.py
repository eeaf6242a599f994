"""The subscription that a REFER makes, from both of its ends."""

from __future__ import annotations

from sip.core.commands import AnswerRequest
from sip.core.events import RequestReceived, SessionEnded
from sip.core.referring import NotifyRefer, ReferAnswered, ReferNotified, ReferReceived
from sip.message import Request
from tests.support.core import (
    reply,
    request,
)
from tests.unit.sip.core.referring import MINE, accepted, asked, fields, notify, refer, referring


def test_progress_and_the_end_are_told__rfc3515_2_4_5() -> None:
    core, _, event, _ = accepted()
    core.do(NotifyRefer(event.refer, 180))
    notify = core.sent_request("NOTIFY")
    assert fields(notify) == ("refer", "active;expires=180", b"SIP/2.0 180 Ringing\r\n")
    core.give(reply(notify, 200))
    core.do(NotifyRefer(event.refer, 486, "Busy", final=True))
    last = core.sent_request("NOTIFY")
    assert fields(last) == ("refer", "terminated;reason=noresource", b"SIP/2.0 486 Busy\r\n")
    core.give(reply(last, 200))
    core.do(NotifyRefer(event.refer, 200, final=True))
    assert core.sent() == [], "it ends once"
    assert core.events() == []


def test_progress_does_not_overtake_a_notify_without_an_answer__rfc6665_4_2_2() -> None:
    core, _, event = asked()
    core.do(AnswerRequest(event.transaction, 202))
    first = core.sent()[1].message
    assert isinstance(first, Request)
    core.do(NotifyRefer(event.refer, 180))
    core.do(NotifyRefer(event.refer, 183))
    assert core.sent() == []
    core.give(reply(first, 200))
    assert core.sent_request("NOTIFY").body.startswith(b"SIP/2.0 183")


def test_a_subscription_outlives_the_call__rfc5057_4_1() -> None:
    core, tag, event, _ = accepted()
    core.give(request("BYE", branch="z9hG4bKbye", cseq=3, to_tag=tag))
    assert isinstance(core.event(), SessionEnded)
    assert core.statuses() == [200]
    core.do(NotifyRefer(event.refer, 200, final=True))
    core.give(reply(core.sent_request("NOTIFY"), 481))
    core.settle()


def test_a_notify_that_is_refused_ends_the_subscription_and_not_the_call__rfc5057_5_1() -> None:
    core, tag, event, _ = accepted()
    core.do(NotifyRefer(event.refer, 180))
    core.give(reply(core.sent_request("NOTIFY"), 481))
    core.do(NotifyRefer(event.refer, 200, final=True))
    assert core.sent() == []
    core.give(request("INFO", branch="z9hG4bKi", cseq=3, to_tag=tag))
    assert isinstance(core.event(), RequestReceived), "the call goes on"


def test_a_notify_without_an_answer_ends_the_subscription_and_not_the_call__rfc5057_5_1() -> None:
    core, tag, event, _ = accepted()
    core.do(NotifyRefer(event.refer, 180))
    core.pass_time(40)
    core.sent()
    core.do(NotifyRefer(event.refer, 200, final=True))
    assert core.sent() == []
    assert core.events() == []
    core.give(request("BYE", branch="z9hG4bKbye", cseq=3, to_tag=tag))
    core.settle()


def test_a_subscription_expires_with_what_was_told_last__rfc6665_4_2_2() -> None:
    core, tag, event, _ = accepted()
    core.do(NotifyRefer(event.refer, 180))
    core.give(reply(core.sent_request("NOTIFY"), 200))
    core.pass_time(181)
    notify = core.sent()[0].message
    assert isinstance(notify, Request)
    assert fields(notify) == ("refer", "terminated;reason=timeout", b"SIP/2.0 180 Ringing\r\n")
    core.give(request("BYE", branch="z9hG4bKbye", cseq=3, to_tag=tag))
    core.settle()


def test_the_second_refer_of_a_dialog_has_an_id__rfc3515_2_4_6() -> None:
    core, tag, _, _ = accepted()
    core.give(refer(tag, 7))
    event = core.event()
    assert isinstance(event, ReferReceived)
    core.do(AnswerRequest(event.transaction, 202))
    notify = core.sent()[1].message
    assert notify.headers.get("Event") == "refer;id=7"


def test_what_the_peer_tells_is_passed_on_until_it_ends__rfc3515_2_4_7() -> None:
    core, tag, sent = referring()
    core.give(reply(sent, 202))
    answered = core.event()
    assert isinstance(answered, ReferAnswered)
    assert answered.response is not None
    assert answered.response.status == 202
    core.give(notify(tag, 2, b"SIP/2.0 180 Ringing\r\n"))
    core.give(notify(tag, 3, b"SIP/2.0 200 OK\r\n", "terminated;reason=noresource"))
    assert core.statuses() == [200, 200]
    session = core.session
    assert core.events() == [ReferNotified(session, MINE, 180, "Ringing", False), ReferNotified(session, MINE, 200, "OK", True)]
    core.give(notify(tag, 4, b"SIP/2.0 200 OK\r\n"))
    assert isinstance(core.event(), RequestReceived), "nobody is subscribed any more"
    core.give(request("BYE", branch="z9hG4bKbye", cseq=5, to_tag=tag))
    core.settle()


def test_a_notify_may_be_faster_than_the_2xx__rfc6665_4_1_2_4() -> None:
    core, tag, sent = referring()
    core.give(notify(tag, 2, b"SIP/2.0 100 Trying\r\n", event=f"refer;id={(sent.headers.get('CSeq') or '').split()[0]}"))
    assert core.event() == ReferNotified(core.session, MINE, 100, "Trying", False)
    core.give(reply(sent, 202))
    assert isinstance(core.event(), ReferAnswered)


def test_a_peer_that_tells_nothing_is_not_waited_for__rfc6665_4_1_2_4() -> None:
    core, tag, sent = referring()
    core.give(reply(sent, 202))
    core.events()
    core.pass_time(32)
    assert core.event() == ReferNotified(core.session, MINE, 0, "", True)
    core.give(request("BYE", branch="z9hG4bKbye", cseq=2, to_tag=tag))
    core.settle()


def test_a_subscription_that_the_peer_lets_run_out_is_over__rfc6665_4_1_2_2() -> None:
    core, tag, sent = referring()
    core.give(reply(sent, 202))
    core.give(notify(tag, 2, b"SIP/2.0 100 Trying\r\n", "active;expires=5"))
    core.events()
    core.pass_time(5)
    assert core.event() == ReferNotified(core.session, MINE, 0, "", True)


def test_a_peer_without_subscriptions_tells_nothing__rfc4488_4() -> None:
    core, _, sent = referring()
    core.give(reply(sent, 202, headers=[("Refer-Sub", "false")]))
    answered, over = core.events()
    assert isinstance(answered, ReferAnswered)
    assert over == ReferNotified(core.session, MINE, 0, "", True)


def test_a_broken_state_is_refused__rfc6665_8_4() -> None:
    core, tag, sent = referring()
    core.give(reply(sent, 202))
    core.events()
    core.give(notify(tag, 2, b"", state=";"))
    assert core.statuses() == [400]
    assert core.events() == []
