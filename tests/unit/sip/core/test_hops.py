"""A silent next hop is not waited for alone (RFC 3261 16.6, 16.7, 17.1.1.2; RFC 3263 4.3)."""

from __future__ import annotations

import pytest

from sip.core.commands import Credentials, Place, SendBye, SendCancel
from sip.core.events import EndCause, FailureCause, InviteAnswered, InviteFailed, InviteProgressed, SessionEnded
from sip.core.flows import Address, Flow, Target
from sip.message import Request, UsageError
from sip.settings import SipSettings
from tests.support.core import ALL_ZERO, ANSWER, CALL, OURS, PEER, Core, call, reply

SECOND = Address("192.0.2.88", 5060)
PLACES = (Place("sip:bob@192.0.2.88"),)
FROM_SECOND = Flow("udp", OURS, SECOND)


def requests_to(core: Core, host: str) -> list[Request]:
    return [one.message for one in core.sent() if isinstance(one.message, Request) and one.flow.remote.host == host]


def dial_two(core: Core, **given: object) -> tuple[Request, Request]:
    """The INVITEs to a silent hop and to the one beside it."""
    core.do(call(places=PLACES, **given))
    first = core.sent_request("INVITE")
    core.pass_time(3.9)
    assert requests_to(core, SECOND.host) == []
    core.pass_time(0.2)
    (second,) = requests_to(core, SECOND.host)
    return first, second


def test_a_hop_that_says_nothing_for_four_seconds_gets_a_neighbour() -> None:
    core = Core()
    first, second = dial_two(core)
    for name in ("From", "To", "Call-ID", "CSeq"):
        assert second.headers.get(name) == first.headers.get(name)
    assert second.headers.get("Via") != first.headers.get("Via")
    assert second.uri == "sip:bob@192.0.2.88"
    core.give(reply(second, 180, tag="second"), FROM_SECOND)
    assert isinstance(core.event(), InviteProgressed)
    core.give(reply(second, 200, tag="second", contact="<sip:bob@192.0.2.88>", body=ANSWER), FROM_SECOND)
    assert isinstance(core.event(), InviteAnswered)
    core.pass_time(40)  # Timer B of the first one ends nothing
    assert core.events() == []
    core.do(SendBye(CALL))
    assert [one.uri for one in requests_to(core, SECOND.host) if one.method == "BYE"] == ["sip:bob@192.0.2.88"]
    core.settle()


@pytest.mark.parametrize("status", [100, 180, 183])
def test_a_hop_that_said_something_is_not_left(status: int) -> None:
    core = Core()
    core.do(call(places=PLACES))
    sent = core.sent_request("INVITE")
    core.give(reply(sent, status))
    core.pass_time(60)
    assert requests_to(core, SECOND.host) == []


def test_the_other_is_cancelled_as_soon_as_it_may_be__rfc3261_9_1() -> None:
    core = Core()
    first, second = dial_two(core)
    core.give(reply(second, 100), FROM_SECOND)
    core.sent()
    core.give(reply(first, 180, tag="first"))
    (cancel,) = requests_to(core, PEER.host)
    assert cancel.method == "CANCEL"
    assert core.events() == []  # of a hop that is not ours any more nothing is told
    core.give(reply(cancel, 200))
    core.give(reply(first, 487, tag="first"))
    assert core.events() == []
    core.give(reply(second, 486, tag="second"), FROM_SECOND)
    event = core.event()
    assert isinstance(event, InviteFailed)
    assert (event.cause, event.tried) == (FailureCause.RESPONSE, 2)
    core.settle()


def test_a_200_of_both_is_one_call__rfc3261_13_2_2_4() -> None:
    core = Core()
    first, second = dial_two(core)
    core.give(reply(second, 200, tag="second", contact="<sip:bob@192.0.2.88>", body=ANSWER), FROM_SECOND)
    core.give(reply(first, 200, tag="first", body=ANSWER))
    answered = [event for event in core.events() if isinstance(event, InviteAnswered)]
    assert [one.dialog for one in answered] == ["second"]
    assert [one.message.method for one in core.sent() if isinstance(one.message, Request)] == ["ACK", "ACK", "BYE"]
    core.give(reply(first, 200, tag="first", body=ANSWER))
    assert core.statuses() == ["ACK"]
    core.do(SendBye(CALL))
    core.settle()
    assert [event.cause for event in core.events() if isinstance(event, SessionEnded)] == [EndCause.BYE_ANSWERED]


def test_a_late_200_of_the_first_is_ended_even_when_the_call_is_over() -> None:
    core = Core()
    first, second = dial_two(core)
    core.give(reply(second, 486, tag="second"), FROM_SECOND)
    assert isinstance(core.event(), InviteFailed)
    core.sent()
    core.give(reply(first, 200, tag="first", body=ANSWER))
    assert core.statuses() == ["ACK", "BYE"]
    assert core.events() == []
    core.settle()


@pytest.mark.parametrize("status", [503, 482, 408])
def test_a_hop_that_refuses_for_itself_is_dropped_while_another_is_asked(status: int) -> None:
    core = Core()
    first, second = dial_two(core)
    core.give(reply(second, status), FROM_SECOND)
    assert core.events() == []
    core.sent()
    core.give(reply(first, 200, body=ANSWER))
    assert isinstance(core.event(), InviteAnswered)
    core.do(SendBye(CALL))
    core.settle()


def test_when_all_are_silent_the_call_fails_once() -> None:
    core = Core()
    dial_two(core)
    core.pass_time(40)
    event = core.event()
    assert isinstance(event, InviteFailed)
    assert (event.cause, event.tried) == (FailureCause.NO_RESPONSE, 2)
    core.settle()


def test_a_cancel_meets_both() -> None:
    core = Core()
    first, second = dial_two(core)
    core.do(SendCancel(CALL))
    assert core.statuses() == []  # not before a 1xx
    core.give(reply(second, 180, tag="second"), FROM_SECOND)
    core.give(reply(first, 180, tag="first"))
    assert core.statuses() == ["CANCEL", "CANCEL"]
    core.give(reply(second, 487, tag="second"), FROM_SECOND)
    assert core.event().cause is FailureCause.CANCELED  # type: ignore[union-attr]
    core.give(reply(first, 487, tag="first"))
    core.settle()


def test_a_cancelled_call_asks_nobody_else() -> None:
    core = Core()
    core.do(call(places=PLACES))
    core.do(SendCancel(CALL))
    core.pass_time(50)
    assert requests_to(core, SECOND.host) == []
    assert isinstance(core.event(), InviteFailed)


def test_a_challenge_of_the_neighbour_is_answered() -> None:
    core = Core()
    _, second = dial_two(core, credentials=Credentials("u", "p"))
    core.give(reply(second, 407, headers=[("Proxy-Authenticate", 'Digest realm="r", nonce="n"')]), FROM_SECOND)
    (ack, again) = requests_to(core, SECOND.host)
    assert (ack.method, again.method) == ("ACK", "INVITE")
    assert "Proxy-Authorization" in again.headers


def test_the_addresses_of_one_name_are_asked_in_the_same_way__rfc3263_4_3() -> None:
    core = Core()
    core.do(call(request_uri="sip:bob@gw.example.com"))
    core.resolve(Target("udp", PEER), Target("udp", SECOND))
    core.sent_request("INVITE")
    core.pass_time(4.1)
    (second,) = requests_to(core, SECOND.host)
    core.give(reply(second, 200, body=ANSWER), FROM_SECOND)
    assert isinstance(core.event(), InviteAnswered)
    core.do(SendBye(CALL))
    core.settle()


def test_patience_without_end_by_setting() -> None:
    core = Core(SipSettings(silent_hop_s=0))
    core.do(call(places=PLACES))
    core.pass_time(31)
    assert requests_to(core, SECOND.host) == []


@pytest.mark.parametrize("place", [Place("http://x"), Place("sip:bob@192.0.2.88", "nowhere"), Place("sip:\ud800@192.0.2.88")])
def test_a_neighbour_that_is_no_uri_is_the_callers_fault_and_leaves_nothing(place: Place) -> None:
    core = Core()
    with pytest.raises(UsageError):
        core.do(call(places=(*PLACES, place)))
    assert core.endpoint.counts() == ALL_ZERO
    core.do(call(places=PLACES))  # the name of the session is free


def test_a_neighbour_with_lr_is_a_route__rfc3261_8_1_2() -> None:
    core = Core()
    core.do(call(places=(Place("sip:bob@example.org", "sip:192.0.2.88;lr"),)))
    core.sent()
    core.pass_time(4.1)
    (second,) = requests_to(core, SECOND.host)
    assert (second.uri, second.headers.get_all("Route")) == ("sip:bob@example.org", ["<sip:192.0.2.88;lr>"])
