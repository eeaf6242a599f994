"""Admission by lag, in virtual time: a server that can do so much a second, and callers who want more."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import pytest

from server.calls.effects import Log
from server.overload import HOPELESS, MAX_REMEMBERED, QUIET_S, REMEMBERED_S, TICK_S, WINDOW, Overload

CAPACITY = 200  # calls a second
CALL_S = 1 / CAPACITY  # of one core, in four pieces that follow each other
PIECES = 4
PIECE_AFTER_S = 0.2
REFUSAL_S = CALL_S / 40
STEP_S = 0.005


@dataclass
class Server:
    """One core that does what waits for it in its order. Each piece of a call has to wait in the same line."""

    overload: Overload
    now: float = 100.0
    line: deque[tuple[float, int, int]] = field(default_factory=deque)  # (came at, call, piece)
    later: deque[tuple[float, int]] = field(default_factory=deque)  # (comes at, piece): all wait equally long, so they stay in order
    owed_s: float = 0.0  # work that was done beyond the step
    calls: int = 0
    done: list[float] = field(default_factory=list)
    refused: list[float] = field(default_factory=list)
    told: list[tuple[float, Log]] = field(default_factory=list)
    lags: list[tuple[float, float]] = field(default_factory=list)

    def run(self, seconds: float, rate: float) -> None:
        end, due, next_tick = self.now + seconds, 0.0, self.now + TICK_S
        while self.now < end:
            self.now += STEP_S
            due += rate * STEP_S
            while due >= 1:
                due -= 1
                self.calls += 1
                self.line.append((self.now, self.calls, 0))
            while self.later and self.later[0][0] <= self.now:
                at, piece = self.later.popleft()
                self.line.append((at, 0, piece))
            self._work()
            if self.now >= next_tick:
                next_tick += TICK_S
                lag_s = self.now - self.line[0][0] if self.line else 0.0
                self.lags.append((self.now, lag_s))
                told = self.overload.measured(lag_s, self.now)
                if told is not None:
                    self.told.append((self.now, told))

    def _work(self) -> None:
        left = STEP_S - self.owed_s
        while left > 0 and self.line:
            _, call, piece = self.line.popleft()
            if piece == 0 and not self.overload.admits(call, self.now):
                self.refused.append(self.now)
                left -= REFUSAL_S
                continue
            left -= CALL_S / PIECES
            if piece + 1 == PIECES:
                self.done.append(self.now)
            else:
                self.later.append((self.now + PIECE_AFTER_S, piece + 1))
        self.owed_s = max(0.0, -left)

    def goodput(self, since: float) -> float:
        return sum(at > since for at in self.done) / (self.now - since)


@pytest.mark.parametrize("times", [0.5, 0.9, 1, 1.5, 2, 3, 5])
def test_goodput_stays_at_90_percent_whatever_is_offered(times: float) -> None:
    server = Server(Overload(0.1))
    server.run(20, times * CAPACITY)
    assert server.goodput(since=105) >= 0.9 * min(times, 1) * CAPACITY
    if times < 1:
        assert server.refused == [] and server.told == []


@pytest.mark.parametrize("times", [2, 5])
def test_without_it_the_line_grows_for_ever(times: float) -> None:
    """What the test above is worth: the same server without admission."""
    server = Server(Overload(0.0))
    server.run(20, times * CAPACITY)
    assert server.lags[-1][1] > 5


@pytest.mark.parametrize("times", [1.5, 2, 3, 5])
def test_the_lag_stays_small_enough_that_nobody_asks_again(times: float) -> None:
    """T1 is half a second: who waits for longer repeats its INVITE (RFC 3261 17.1.1.2)."""
    server = Server(Overload(0.1))
    server.run(20, times * CAPACITY)
    after_a_while = sorted(lag for at, lag in server.lags if at > 103)
    assert after_a_while[int(0.99 * len(after_a_while))] < 0.5


@pytest.mark.parametrize("times", [2, 5])
def test_it_is_quiet_again_within_5_s(times: float) -> None:
    server = Server(Overload(0.1))
    server.run(20, times * CAPACITY)
    server.refused.clear()
    server.run(10, 0.5 * CAPACITY)
    assert not [at for at in server.refused if at > 125]
    assert not server.overload.active
    assert max(lag for at, lag in server.lags if at > 122) < 0.1


def test_overload_is_told_once_when_it_begins_and_once_when_it_is_over() -> None:
    server = Server(Overload(0.1))
    server.run(20, 3 * CAPACITY)
    server.run(10, 0.5 * CAPACITY)
    (began, first), (over, last) = server.told
    assert (first.level, first.event, last.level, last.event) == ("warning", "overloaded", "info", "overload_over")
    assert 100 < began < 102 and 120 < over < 125 + QUIET_S
    assert first.facts["max_lag_ms"] == 100
    assert last.facts["refused"] == len(server.refused) == server.overload.refused


def fed(*lags: float, max_lag_s: float = 0.1) -> tuple[Overload, float]:
    overload, now = Overload(max_lag_s), 100.0
    for lag in lags:
        now += TICK_S
        overload.measured(lag, now)
    return overload, now


def test_a_burst_or_a_machine_that_stood_still_is_no_overload() -> None:
    """The lag is gone with the next measurement: nothing stands in line."""
    for lags in ([3.0], [0.3, 0.3, 0.3, 0.3, 0.0] * 20):
        overload, now = fed(*lags)
        assert not overload.active and overload.admits("call", now)


def test_a_hopeless_lag_lets_nobody_in() -> None:
    overload, now = fed(*[HOPELESS * 0.1] * WINDOW)
    assert overload.admission == 0
    assert not any(overload.admits(f"call{number}", now) for number in range(1000))


def test_a_copy_of_a_refused_invite_is_refused_too__rfc3261_8_2_7() -> None:
    """Else a phone would ring for a caller who was told to come later."""
    overload, now = fed(*[1.0] * WINDOW)
    assert not overload.admits("a", now)
    for _ in range(400):
        now += TICK_S
        overload.measured(0.0, now)
    assert not overload.active and overload.admits("b", now)
    assert not overload.admits("a", now)
    assert overload.refused == 1
    for _ in range(int(2 * REMEMBERED_S / TICK_S)):
        now += TICK_S
        overload.measured(0.0, now)
    assert overload.admits("a", now)


def test_what_is_remembered_is_bounded() -> None:
    overload, now = fed(*[1.0] * WINDOW)
    for number in range(3 * MAX_REMEMBERED):
        overload.admits(number, now)
    assert len(overload._told) + len(overload._told_before) <= 2 * MAX_REMEMBERED


def test_by_setting_nobody_is_refused_for_that_and_a_reload_ends_it() -> None:
    overload, now = fed(*[1.0] * 100, max_lag_s=0.0)
    assert not overload.active and overload.admits("a", now)
    overload, now = fed(*[1.0] * WINDOW)
    overload.max_lag_s = 0.0
    assert overload.admission > 0
    for _ in range(200):
        now += TICK_S
        overload.measured(1.0, now)
    assert not overload.active
