"""Who may have how many requests under way, and what hangs: in virtual time."""

from __future__ import annotations

import asyncio

import pytest

from server.applications.budget import FORGOTTEN_S, HANGS_AFTER, HOST_HANGS_AFTER, HOST_SILENT_S, MAX_REMEMBERED, PROBES, Budget, Place
from server.applications.failures import Failure
from server.applications.pool import Patience, Pool


def fill(budget: Budget, place: Place) -> int:
    """Take all that one can have."""
    taken = 0
    while budget.admits(place):
        budget.take(place)
        taken += 1
    return taken


def on(host: int, application: int = 0) -> Place:
    return Place(f"http://host{host}", f"/{application}")


@pytest.mark.parametrize(("limit", "per_host", "most"), [(1024, 512, 147), (512, 600, 73), (1, 1, 1), (2, 1, 1), (64, 256, 9), (512, 4, 2)])
def test_one_alone_has_a_seventh_of_what_there_is(limit: int, per_host: int, most: int) -> None:
    assert fill(Budget(limit, per_host), on(1)) == most


@pytest.mark.parametrize("hanging", [1, 5, 10])
def test_hanging_hosts_leave_a_share_to_another(hanging: int) -> None:
    budget = Budget(512, 512)
    for host in range(hanging):
        fill(budget, on(host))
    assert fill(budget, on(-1)) >= (10 if hanging > 5 else 20)


def test_hanging_applications_of_one_host_leave_a_share_to_another() -> None:
    for budget in (Budget(512, 128), Budget(64, 64), Budget(1024, 512), Budget(256, 512)):
        for application in range(5):
            fill(budget, on(1, application))
        assert fill(budget, on(1, 6)) >= 1
        assert fill(budget, on(2)) >= 2, "nor does another host lack any"


def test_every_application_has_one_slot_as_long_as_there_is_room() -> None:
    budget = Budget(400, 400)
    assert [fill(budget, on(1, application)) >= 1 for application in range(150)] == [True] * 150
    assert 4 * (400 - budget.in_flight) >= 400


def test_slots_come_back() -> None:
    budget = Budget(4, 4)
    for _ in range(1000):
        assert budget.admits(on(1))
        budget.take(on(1))
        budget.give(on(1))
    assert budget.in_flight == 0


def test_application_that_hangs_gets_probes_only_until_it_answers() -> None:
    budget = Budget(512, 256)
    for number in range(HANGS_AFTER):
        assert not budget.hangs(on(1), now=5.0)
        assert budget.timed_out(on(1), now=5.0) is (number == HANGS_AFTER - 1)
    for _ in range(PROBES):
        assert not budget.hangs(on(1), now=5.0)
        budget.take(on(1))
    assert budget.hangs(on(1), now=5.0)
    assert not budget.hangs(on(1, 2), now=5.0), "another one of the same host"
    assert not budget.hangs(on(2), now=5.0)
    budget.give(on(1))
    assert budget.answered(on(1), now=6.0)
    budget.take(on(1))
    assert not budget.hangs(on(1), now=6.0)
    assert not budget.answered(on(1), now=6.0)


def test_answer_between_time_outs_means_that_it_does_not_hang() -> None:
    budget = Budget(512, 256)
    for _ in range(10):
        budget.timed_out(on(1), now=1.0)
        budget.timed_out(on(1), now=1.0)
        budget.answered(on(1), now=1.0)
        for _ in range(PROBES):
            budget.take(on(1))
        assert not budget.hangs(on(1), now=1.0)


def test_host_hangs_only_when_nothing_at_all_comes_from_it() -> None:
    budget = Budget(512, 256)
    budget.answered(on(1, 99), now=0.0)
    for number in range(HOST_HANGS_AFTER):
        budget.timed_out(on(1, number), now=5.0)
    for number in range(PROBES):
        budget.take(on(1, number))
    assert not budget.hangs(on(1, 99), now=HOST_SILENT_S)
    assert budget.hangs(on(1, 99), now=HOST_SILENT_S + 0.1)
    budget.answered(on(1, 0), now=HOST_SILENT_S + 0.1)
    assert not budget.hangs(on(1, 99), now=HOST_SILENT_S + 0.1)


def test_hanging_is_forgotten_when_nobody_asked_for_a_while() -> None:
    budget = Budget(512, 256)
    for _ in range(HANGS_AFTER):
        budget.timed_out(on(1), now=0.0)
    for _ in range(PROBES):
        budget.take(on(1))
    assert budget.hangs(on(1), now=FORGOTTEN_S - 1)
    assert not budget.hangs(on(1), now=FORGOTTEN_S)
    assert not budget.timed_out(on(1), now=FORGOTTEN_S), "counted from the beginning"


def test_what_is_remembered_is_bounded() -> None:
    budget = Budget(512, 256)
    budget.take(on(-1))
    for number in range(2 * MAX_REMEMBERED):
        budget.timed_out(on(number), now=0.0)
    assert len(budget._standings) <= MAX_REMEMBERED
    budget.give(on(-1))
    assert budget.in_flight == 0


# --- waiting ------------------------------------------------------------------------------------------------------


async def test_waiting_request_gets_the_slot_that_comes_free() -> None:
    pool = Pool("documents", Budget(1, 1), Patience(5, "http.queue_s"))
    await pool.enter(on(1))
    waiting = [asyncio.ensure_future(pool.enter(on(number))) for number in (2, 3)]
    await asyncio.sleep(0)
    assert not any(one.done() for one in waiting)
    pool.leave(on(1))
    await asyncio.sleep(0)
    assert [one.done() for one in waiting] == [True, False], "in their order"
    pool.leave(on(2))
    await waiting[1]
    pool.leave(on(3))
    assert pool.in_flight == 0


async def test_waiting_has_an_end_that_names_the_setting() -> None:
    pool = Pool("documents", Budget(1, 1), Patience(0.01, "http.queue_s"))
    await pool.enter(on(1))
    with pytest.raises(Failure, match=r"http\.queue_s"):
        await pool.enter(on(2))
    pool.leave(on(1))
    await pool.enter(on(2))


@pytest.mark.parametrize(("turn", "answer"), [(0.01, 5), (5, 0.01)])
async def test_who_got_no_turn_is_told_the_limit_that_it_met(turn: float, answer: float) -> None:
    """An event waits by http.timeout_s, and nobody waits longer than its answer may take."""
    pool = Pool("documents", Budget(1, 1), Patience(turn, "http.queue_s"))
    answer_in = Patience(answer, "http.timeout_s")
    await pool.enter(on(1), answer_in)
    with pytest.raises(Failure) as failed:
        await pool.enter(on(2), answer_in)
    met = "http.queue_s" if turn < answer else "http.timeout_s"
    assert failed.value.detail.startswith(f"no turn in 0.01 s ({met}): ")


async def test_waiting_request_of_a_call_that_is_over_takes_no_slot() -> None:
    pool = Pool("documents", Budget(1, 1), Patience(5, "http.queue_s"))
    await pool.enter(on(1))
    gone = [asyncio.ensure_future(pool.enter(on(2))) for _ in range(2)]
    await asyncio.sleep(0)
    gone[0].cancel()
    pool.leave(on(1))
    gone[1].cancel()  # whose turn it is in this very moment
    await asyncio.gather(*gone, return_exceptions=True)
    assert pool.in_flight == 0
    await pool.enter(on(1))


async def test_those_who_wait_for_what_hangs_are_told_at_once() -> None:
    pool = Pool("documents", Budget(22, 22), Patience(60, "http.queue_s"))
    entered = 0
    waiting = []
    for _ in range(6):
        one = asyncio.ensure_future(pool.enter(on(1)))
        await asyncio.sleep(0)
        entered += one.done()
        waiting.append(one)
    assert entered == 3
    for _ in range(HANGS_AFTER):
        pool.timed_out(on(1))
    pool.leave(on(1))
    results = await asyncio.gather(*waiting, return_exceptions=True)
    assert [isinstance(result, Failure) for result in results] == [False] * 4 + [True] * 2, "one is a probe"
    with pytest.raises(Failure, match="hangs"):
        await pool.enter(on(1))
    await pool.enter(on(2))
