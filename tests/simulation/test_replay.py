"""Call control is a function of its inputs, its clock and its random octets: fed with the same, it does the same.

Calls of all endings are recorded over a bad wire, and what was recorded is fed to a fresh registry. So a call can be taken up again
from its inputs, and a fault from the field can be played again on a desk.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from server.calls.call import Call
from server.calls.effects import Fetch, Fetched, Prepare, Prepared, Synthesize
from server.calls.outbox import Action
from server.calls.registry import Registry
from tests.simulation.test_races import ENDINGS, tell
from tests.simulation.world import VOICE_URL, Script, World

pytestmark = pytest.mark.simulation

INPUTS = ("sip_event", "media_event", "fetched", "prepared", "timeout", "operator_end", "redirect", "join", "shutdown")
SEEDS = 260
ALONE = range(60)


@dataclass
class Step:
    """One input, what it led to, and what each call had to do with it."""

    name: str
    arguments: tuple[Any, ...]
    octets: list[bytes] = field(default_factory=list)
    actions: list[Action] = field(default_factory=list)
    of: list[tuple[str, list[bytes], list[Action]]] = field(default_factory=list)  # call, octets that it drew, its actions


class Recorder:
    """Sits between a registry and whoever feeds it, and writes down what goes in and out."""

    def __init__(self, registry: Registry) -> None:
        self.steps: list[Step] = []
        self._drawn: list[bytes] = []
        self._depth = 0
        draw, collect = registry.policy.random_bytes, registry._collect
        registry.policy = replace(registry.policy, random_bytes=lambda size: self._draw(draw, size))

        def collected(call: Call, actions: list[Action]) -> list[Action]:
            done = collect(call, actions)
            self.steps[-1].of.append((call.sid, self._drawn, list(done)))
            self._drawn = []
            return done

        registry._collect = collected  # type: ignore[method-assign]
        for name in INPUTS:
            setattr(registry, name, self._watched(name, getattr(registry, name)))

    def _watched(self, name: str, method: Callable[..., list[Action]]) -> Callable[..., list[Action]]:
        def call(*arguments: Any) -> list[Action]:
            assert self._depth == 0, "the shell never enters call control twice"
            self._depth, self._drawn = 1, []
            self.steps.append(Step(name, arguments))
            actions = method(*arguments)
            self.steps[-1].actions = list(actions)
            self._depth = 0
            return actions

        return call

    def _draw(self, draw: Callable[[int], bytes], size: int) -> bytes:
        octets = draw(size)
        self._drawn.append(octets)
        self.steps[-1].octets.append(octets)
        return octets


def fresh(world: World, octets: Iterator[bytes]) -> Registry:
    def drawn(size: int) -> bytes:
        found = next(octets)
        assert len(found) == size
        return found

    registry = world.registry
    return Registry(replace(registry.policy, random_bytes=drawn), registry.targets, registry.router)


@pytest.mark.parametrize("first", range(0, SEEDS, len(ENDINGS) * 5))
def test_the_same_inputs_and_octets_give_the_same_actions__design_idea_2(first: int) -> None:
    seen: Counter[str] = Counter()
    for seed in range(first, first + len(ENDINGS) * 5):
        world, story = tell(seed)
        recorder = Recorder(world.registry)
        world.run()
        again = fresh(world, iter([octets for step in recorder.steps for octets in step.octets]))
        for number, step in enumerate(recorder.steps):
            actions = getattr(again, step.name)(*step.arguments)
            assert actions == step.actions, f"seed {seed}, input {number}: {step.name}{step.arguments}"
        assert not any(again.counts().values()), seed
        seen[story.ending] += len(recorder.steps)
    assert seen.keys() == set(ENDINGS) and min(seen.values()) > 20, seen


def busy(seed: int) -> World:
    """Four callers, whose calls cross: each with a Dial of its own, ended by whoever comes first."""
    rng = random.Random(f"busy {seed}")
    world = World(seed, loss=rng.choice((0.0, 0.2)), duplicate=0.1, delay=rng.choice((0.005, 0.2)), reorder=0.1)
    for n in range(3):
        world.phone(f"10.0.1.{n + 1}", Script(answer_after=rng.uniform(0.5, 4.0), hang_up_after=rng.choice((None, 2.0, 6.0))))
    verbs = "<Say>one moment</Say>", "<Play>/a.wav</Play>", "<Pause/>", ""
    nouns = [f"<Sip>sip:x@10.0.1.{n + 1}</Sip>" for n in range(3)]

    def page() -> str:
        some = "".join(rng.sample(nouns, rng.choice((1, 2))))
        return f"<Response>{rng.choice(verbs)}<Dial action='http://app/action' timeout='5' record='true'>{some}</Dial></Response>"

    world.web.pages[VOICE_URL] = lambda request: world.web.answer(request, page())
    callers = [world.caller, *(world.phone(f"10.0.2.{n}") for n in range(3))]
    for caller in callers:
        world.at(world.now + rng.uniform(0.0, 3.0), lambda caller=caller: caller.call("2222"))  # type: ignore[misc]
        world.at(world.now + rng.uniform(2.0, 12.0), rng.choice((caller.cancel, caller.hang_up)))
    if rng.random() < 0.3:
        world.at(world.now + 6.0, lambda: world.engine.die(world.now))
    world.at(world.now + 30.0, lambda: world.act(world.registry.shutdown(world.now)))
    return world


@pytest.mark.parametrize("first", range(ALONE.start, ALONE.stop, 15))
def test_a_call_alone_does_what_it_did_among_others__design_idea_2(first: int) -> None:
    compared = 0
    for seed in range(first, first + 15):
        world = busy(seed)
        recorder = Recorder(world.registry)
        world.run()
        for sid in dict.fromkeys(sid for step in recorder.steps for sid, _, _ in step.of):
            mine = [step for step in recorder.steps if any(one == sid for one, _, _ in step.of)]
            parts = [part for step in mine for part in step.of if part[0] == sid]
            again = fresh(world, iter([octets for _, drawn, _ in parts for octets in drawn]))
            alone = Recorder(again)
            numbers: dict[int, int] = {}  # of requests and prompts: among others, and alone
            done = []
            for step in mine:
                getattr(again, step.name)(*(renumbered(argument, numbers) for argument in step.arguments))
                done += [actions for one, _, actions in alone.steps[-1].of if one == sid]
                learn(numbers, [actions for one, _, actions in step.of if one == sid], done)
            assert [told(actions) for actions in done] == [told(actions) for _, _, actions in parts], f"seed {seed}, {sid}"
            assert not any(again.counts().values())
            compared += len(parts)
    assert compared > 500


def renumbered(argument: Any, numbers: dict[int, int]) -> Any:
    """An answer, for the request that asks for it when the call is alone."""
    match argument:
        case Fetched():
            return replace(argument, request=numbers[argument.request])
        case Prepared():
            return replace(argument, prompt=numbers[argument.prompt])
        case _:
            return argument


def learn(numbers: dict[int, int], among: list[list[Action]], alone: list[list[Action]]) -> None:
    here = [number for actions in among for number in asked(actions)]
    there = [number for actions in alone[-len(among) :] for number in asked(actions)]
    numbers.update(zip(here, there, strict=True))


def asked(actions: list[Action]) -> Iterator[int]:
    for action in actions:
        match action:
            case Fetch():
                yield action.request
            case Prepare() | Synthesize():
                yield action.prompt
            case _:
                pass


def told(actions: list[Action]) -> list[str]:
    """Without the numbers of requests and prompts, and the paths of prompts, which have them too."""
    return [re.sub(r"(request|prompt)=\d+", r"\1", repr(action)) for action in actions]
