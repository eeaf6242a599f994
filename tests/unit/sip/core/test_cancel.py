"""CANCEL of a session that we open (RFC 3261 9.1), and answers that cross it."""

from __future__ import annotations

from sip.core.commands import Credentials, SendBye, SendCancel
from sip.core.events import FailureCause, InviteFailed, SessionEnded
from sip.core.flows import Target
from sip.message import Request
from tests.support.core import CALL, PEER, Core, call, dial, dial_and_answer, dial_and_ring, reply
from tests.unit.sip.core.calling import failed, sent_methods


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
    sent = dial_and_ring(core)
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
    dial_and_ring(core)
    core.do(SendCancel(CALL))
    core.give(reply(core.sent_request("CANCEL"), 200))
    core.pass_time(31.9)
    assert core.events() == []
    core.pass_time(0.2)
    assert failed(core) == InviteFailed(CALL, FailureCause.CANCELED, None)
    core.settle()


def test_a_2xx_that_crosses_cancel_is_acked_then_byed__rfc3261_9_1__trap12() -> None:
    core = Core()
    sent = dial_and_ring(core)
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
