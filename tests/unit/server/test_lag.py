"""The lag is measured every TICK_S: by a timer, by what waits in the sockets, and by what the media worker owes."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from media import engine
from server.lag import FORGOTTEN_S, LagMeter, Unanswered
from server.overload import TICK_S


class Loop:
    """Its one timer fires when the test says so."""

    def __init__(self) -> None:
        self.now = 100.0
        self.due: float | None = None
        self._callback: Callable[[], None] | None = None

    def time(self) -> float:
        return self.now

    def call_at(self, when: float, callback: Callable[[], None], /) -> Loop:
        self.due, self._callback = when, callback
        return self

    def cancel(self) -> None:
        self.due = self._callback = None

    def fire(self, late_s: float) -> None:
        assert self.due is not None and self._callback is not None
        self.now = self.due + late_s
        self._callback()


def opening(stream: str) -> engine.Open:
    return engine.Open(stream=stream, address="127.0.0.1")


@pytest.mark.parametrize(
    ("late_s", "waited_s", "owed_s", "lag_s"),
    [(0.0, 0.0, 0.0, 0.0), (-0.001, 0.0, 0.0, 0.0), (0.3, 0.0, 0.1, 0.3), (0.0, 0.4, 0.0, 0.4), (0.3, 0.2, 0.5, 0.5)],
)
def test_the_lag_is_what_is_latest(late_s: float, waited_s: float, owed_s: float, lag_s: float) -> None:
    loop, unanswered, told = Loop(), Unanswered(), []
    meter = LagMeter(loop, lambda: waited_s, unanswered, lambda lag, now: told.append((lag, now)))
    meter.start()
    for number in range(2):
        assert loop.due is not None
        unanswered.asked(opening(f"s{number}"), loop.due + late_s - owed_s)
        loop.fire(late_s)
        unanswered.heard(engine.Opened(stream=f"s{number}", address="127.0.0.1", port=4000, rtcp_port=4001))
    assert [lag for lag, _ in told] == pytest.approx([lag_s, lag_s])
    assert told[1][1] == loop.now
    assert loop.due == pytest.approx(loop.now + TICK_S)  # from now: a stall is measured once
    meter.stop()
    assert loop.due is None


def test_the_worker_owes_what_it_was_asked_first_until_it_says_anything_of_it() -> None:
    unanswered = Unanswered()
    assert unanswered.oldest_s(5.0) == 0
    for at, stream in enumerate("abcd"):
        unanswered.asked(opening(stream), float(at))
    assert unanswered.oldest_s(10.0) == 10
    unanswered.heard(engine.Opened(stream="a", address="127.0.0.1", port=4000, rtcp_port=4001))
    assert unanswered.oldest_s(10.0) == 9
    unanswered.heard(engine.Failed(op="open", subject="b", code="no_ports"))
    unanswered.heard(engine.Failed(op="play", subject="p1", code="file"))
    assert unanswered.oldest_s(10.0) == 8
    unanswered.heard(engine.EngineLost(reason="killed"))
    assert unanswered.oldest_s(10.0) == 0


def test_an_answer_that_was_lost_does_not_keep_all_callers_out_for_ever() -> None:
    unanswered = Unanswered()
    unanswered.asked(opening("a"), 0.0)
    unanswered.asked(opening("b"), 10.0)
    assert unanswered.oldest_s(FORGOTTEN_S - 1) == FORGOTTEN_S - 1
    assert unanswered.oldest_s(FORGOTTEN_S) == FORGOTTEN_S - 10
    assert unanswered.oldest_s(FORGOTTEN_S + 10) == 0
