"""A call that is over is gone at once: it leaves no cycle of objects to be found by the cyclic collector, whose rounds stop all calls.

The count is of objects, after 1,000 calls through the whole server in virtual time (and its phones, which stand on the same SIP core).
A failure names the smallest cycles by their types and attributes.
"""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from server.calls.policy import Application
from tests.simulation.world import VOICE_URL, Script, World

pytestmark = pytest.mark.simulation

CALLS = 1000


@contextmanager
def collector_off() -> Iterator[list[object]]:
    """What only the collector would have found, at the end of the block."""
    gc.collect()
    gc.disable()
    found: list[object] = []
    try:
        yield found
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        found += gc.garbage
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()


def cycles(objects: list[object]) -> Counter[frozenset[str]]:
    """The strongly connected parts among them (Tarjan), by the names of their types."""
    by_id = {id(found): found for found in objects}
    referents = {key: [id(other) for other in gc.get_referents(found) if id(other) in by_id] for key, found in by_id.items()}
    order: dict[int, int] = {}
    lowest: dict[int, int] = {}
    path: list[int] = []
    on_path: set[int] = set()
    parts: Counter[frozenset[str]] = Counter()
    for root in referents:
        if root in order:
            continue
        stack = [(root, iter(referents[root]))]
        order[root] = lowest[root] = len(order)
        path.append(root)
        on_path.add(root)
        while stack:
            node, rest = stack[-1]
            for other in rest:
                if other not in order:
                    order[other] = lowest[other] = len(order)
                    path.append(other)
                    on_path.add(other)
                    stack.append((other, iter(referents[other])))
                    break
                if other in on_path:
                    lowest[node] = min(lowest[node], order[other])
            else:
                stack.pop()
                if stack:
                    above = stack[-1][0]
                    lowest[above] = min(lowest[above], lowest[node])
                if lowest[node] == order[node]:
                    part = set()
                    while node not in part:
                        part.add(path[-1])
                        on_path.discard(path.pop())
                    if len(part) > 1 or node in referents[node]:
                        parts[frozenset(type(by_id[key]).__name__ for key in part)] += 1
    return parts


def test_cycles_are_found() -> None:
    class Thing:
        other: object

    with collector_off() as found:
        first, second = Thing(), Thing()
        first.other, second.other = second, first
        del first, second
    assert cycles(found)[frozenset({"Thing"})] == 1 or cycles(found)[frozenset({"Thing", "dict"})] == 1


@pytest.mark.parametrize("noun", ["<Sip>sip:leg@10.0.1.1</Sip>", '<Sip url="http://app/screen">sip:leg@10.0.1.1</Sip>'])
def test_calls_leave_no_cycles_behind(noun: str) -> None:
    world = World(1, application=Application("2222", VOICE_URL))
    world.web.pages[VOICE_URL] = f'<Response><Dial action="http://app/done">{noun}</Dial></Response>'
    world.web.pages["http://app/screen"] = "<Response><Say>x</Say></Response>"
    world.phone("10.0.1.1", Script(ring_after=0.1, answer_after=0.3))

    def call() -> None:
        world.caller.call("2222")
        world.after_answer(1.0, world.caller.hang_up)
        world.run(100)  # its last timer is through

    call()
    with collector_off() as found:
        for _ in range(CALLS):
            call()
    assert len(world.records) == 2 * (CALLS + 1)
    assert world.leaks() == []
    assert {tuple(sorted(part)): count for part, count in cycles(found).items()} == {}
    assert found == [], "objects that are in no cycle and were not freed"


def test_conferences_leave_no_cycles_behind() -> None:
    """Two in a room, one after the other, with all that is heard in it."""
    world = World(1, application=Application("2222", VOICE_URL))
    room = '<Conference waitUrl="http://app/wait" beepUrl="http://app/bell.wav" record="true" statusCallback="http://app/room">blue</Conference>'
    world.web.pages[VOICE_URL] = f'<Response><Dial action="http://app/done">{room}</Dial></Response>'
    world.web.pages["http://app/wait"] = "<Response><Play>/a.wav</Play><Say>x</Say></Response>"
    second = world.phone("10.0.0.3")

    def call() -> None:
        world.caller.call("2222")
        world.run(2)
        second.call("2222")
        world.run(2)
        world.caller.hang_up()
        world.run(2)
        second.hang_up()
        world.run(100)

    call()
    with collector_off() as found:
        for _ in range(CALLS):
            call()
    assert len(world.web.of("action")) == 2 * (CALLS + 1)
    assert world.leaks() == [] and world.registry.conferences.rooms == {}
    assert {tuple(sorted(part)): count for part, count in cycles(found).items()} == {}
    assert found == [], "objects that are in no cycle and were not freed"
