"""Whether one place of a trunk lives, in virtual time."""

from __future__ import annotations

import pytest

from server.trunks.liveness import DOUBT_S, Liveness, State
from sip.core.events import FailureCause
from tests.unit.server.trunks.answering import GATEWAY, OURS, answer, exchanges, sent, silence, told


def place(uri: str = GATEWAY, interval_s: float = 60.0) -> Liveness:
    one = Liveness("carrier", uri, interval_s, OURS, exchanges(), lambda low, high: high)
    assert one.start(0.0) == []
    assert one.deadline == 2.0
    return one


def test_it_is_asked_by_options_and_counts_as_alive_until_then__behaviour_8() -> None:
    one = place()
    assert not one.dead
    command = sent(one.timeout(2.0))
    assert (command.method, command.request_uri, command.next_hop) == ("OPTIONS", "sip:gw.example.com;transport=tcp", None)
    assert one.deadline is None, "one question at a time"


def test_a_proxy_with_lr_is_routed_to() -> None:
    command = sent(place("sip:gw.example.com:5080;lr").timeout(2.0))
    assert (command.request_uri, command.next_hop) == ("sip:gw.example.com:5080", "sip:gw.example.com:5080;lr")


@pytest.mark.parametrize("status", [200, 403, 404, 405, 486, 500, 501, 600])
def test_any_answer_is_a_sign_of_life__behaviour_8(status: int) -> None:
    one = place()
    assert told(one.answered(answer(sent(one.timeout(2.0)), status), 2.5)) == ["trunk_alive"]
    assert one.deadline == 62.5
    assert told(one.answered(answer(sent(one.timeout(62.5)), status), 63.0)) == [], "no news"


@pytest.mark.parametrize("status", [408, 503, 504])
def test_twice_out_of_service_is_dead(status: int) -> None:
    one = place()
    assert one.answered(answer(sent(one.timeout(2.0)), status), 2.0) == []
    assert one.deadline == 2.0 + DOUBT_S
    assert told(one.answered(answer(sent(one.timeout(7.0)), status), 7.0)) == ["trunk_dead"]
    assert one.dead


def test_no_answer_for_32_seconds_is_dead_at_once() -> None:
    one = place()
    assert told(one.answered(silence(sent(one.timeout(2.0))), 34.0)) == ["trunk_dead"]
    assert one.why == "no answer to OPTIONS"


def test_one_refused_connection_is_forgiven() -> None:
    one = place()
    assert one.answered(silence(sent(one.timeout(2.0)), FailureCause.TRANSPORT), 2.0) == []
    assert told(one.answered(answer(sent(one.timeout(7.0)), 200), 7.0)) == ["trunk_alive"]


def test_the_dead_are_asked_more_often_and_come_back() -> None:
    one = place(interval_s=600.0)
    one.answered(silence(sent(one.timeout(2.0))), 34.0)
    assert one.deadline == 49.0
    assert one.answered(silence(sent(one.timeout(49.0))), 81.0) == [], "told once"
    assert told(one.answered(answer(sent(one.timeout(96.0)), 200), 96.0)) == ["trunk_alive"]
    assert (one.state, one.deadline) == (State.ALIVE, 696.0)


def test_the_answer_to_another_question_says_nothing() -> None:
    one, other = place(), place()
    stray = answer(sent(other.timeout(2.0)), 200)
    assert one.answered(stray, 3.0) == []
    assert one.state is State.UNKNOWN
