"""Inputs in their turn: one after the other, whatever one of them breaks; orders; deadlines."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

import pytest

from server.calls.effects import Log
from server.calls.outbox import Action
from server.turns import Turns


def action(name: str) -> Action:
    return Log("info", name, {})


class Alarm:
    """A machine with one deadline, in seconds of the event loop."""

    def __init__(self) -> None:
        self.at: float | None = None

    def next_deadline(self) -> float | None:
        return self.at

    def timeout(self, now: float) -> list[Action]:
        if self.at is None or now < self.at:
            return []
        self.at = None
        return [action("alarm")]


class Stage:
    """Carries out by writing down. then: what an action causes at once, by its name."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.failures = 0
        self.alarm = Alarm()
        self.then: dict[str, Callable[[], None]] = {}
        self.turns = Turns(self.carry_out, lambda: (self.alarm,), self.failed)

    def carry_out(self, action: Action) -> None:
        event = cast(Log, action).event
        if event == "broken":
            raise RuntimeError("a bug of ours")
        self.done.append(event)
        self.then.pop(event, lambda: None)()

    def failed(self) -> None:
        self.failures += 1

    def give(self, *names: str) -> None:
        self.turns.give(lambda now: [action(name) for name in names])


async def test_what_an_action_causes_at_once_waits_until_all_actions_are_carried_out() -> None:
    stage = Stage()
    stage.turns.begin()
    stage.then["a"] = lambda: stage.give("c")
    stage.give("a", "b")
    assert stage.done == ["a", "b", "c"]


async def test_inputs_wait_for_the_machines_in_the_order_in_which_they_came() -> None:
    stage = Stage()
    stage.give("a")
    stage.give("b")
    assert stage.done == []
    stage.turns.begin()
    assert stage.done == ["a", "b"]


async def test_a_bug_takes_nothing_else_with_it() -> None:
    stage = Stage()
    stage.turns.begin()
    stage.give("a", "broken", "b")

    def broken(now: float) -> list[Action]:
        raise RuntimeError("a bug of ours")

    stage.turns.give(broken)
    stage.give("c")
    assert stage.done == ["a", "b", "c"]
    assert stage.failures == 2


async def test_an_order_hears_what_came_of_it__and_of_a_bug() -> None:
    stage = Stage()
    stage.turns.begin()
    assert await stage.turns.order(lambda now: (7, [action("a")])) == 7
    assert stage.done == ["a"]

    def broken(now: float) -> tuple[int, list[Action]]:
        raise RuntimeError("a bug of ours")

    with pytest.raises(RuntimeError):
        await stage.turns.order(broken)
    assert stage.failures == 1


async def test_a_deadline_is_an_input() -> None:
    stage = Stage()
    stage.alarm.at = asyncio.get_running_loop().time()
    stage.turns.begin()
    await stage.turns.until(lambda: "alarm" in stage.done)
    assert stage.done == ["alarm"]


async def test_who_waits_for_what_does_not_come_goes_on_in_time() -> None:
    stage = Stage()
    stage.turns.begin()
    await stage.turns.until(lambda: False, asyncio.get_running_loop().time())
    assert stage.done == []
