"""Events on their way, in virtual time: order, schedule, bounds, and what receivers ask for (docs/callbacks.md)."""

from __future__ import annotations

import random

import pytest

from server.applications.deliveries import Deliveries, Event, Outcome, State

RETRIES = (5.0, 300.0)


def event(number: int, call: str = "CA1", url: str = "http://app/told", due: float = 0.0) -> Event:
    return Event(f"EV{number}", call, "status", url, "POST", (("N", str(number)),), due=due)


def desk(limit: int = 100, chance: float = 0.0) -> Deliveries:
    return Deliveries(RETRIES, limit, lambda: chance)


def tried(deliveries: Deliveries, now: float) -> list[str]:
    return [one.sid for one in deliveries.due(now)]


def test_what_was_acknowledged_is_delivered_and_not_tried_again__callbacks_md() -> None:
    deliveries = desk()
    deliveries.put(event(1))
    assert tried(deliveries, 0.0) == ["EV1"] and tried(deliveries, 0.0) == []
    (done,) = deliveries.answered("EV1", Outcome(204), 1.0)
    assert (done.state, done.attempts, done.status) == (State.DELIVERED, 1, 204)
    assert deliveries.waiting == 0 and deliveries.next_deadline() is None
    assert deliveries.answered("EV1", Outcome(204), 1.0) == []


@pytest.mark.parametrize("status", [0, 199, 301, 400, 404, 500])
def test_what_is_not_2xx_is_tried_on_the_schedule_and_then_given_up__callbacks_md(status: int) -> None:
    deliveries = desk(chance=1.0)
    deliveries.put(event(1))
    assert tried(deliveries, 0.0) == ["EV1"]
    (waits,) = deliveries.answered("EV1", Outcome(status, "why"), 10.0)
    assert (waits.state, waits.due, waits.status, waits.detail) == (State.WAITS, 15.5, status, "why")  # with a tenth of jitter at most
    assert tried(deliveries, 15.4) == [] and tried(deliveries, 15.5) == ["EV1"]
    (waits,) = deliveries.answered("EV1", Outcome(status), 20.0)
    assert waits.due == pytest.approx(20.0 + 330.0)
    assert tried(deliveries, 400.0) == ["EV1"]
    (lost,) = deliveries.answered("EV1", Outcome(status), 401.0)
    assert (lost.state, lost.attempts) == (State.FAILED, 3)
    assert deliveries.waiting == 0


def test_the_events_of_a_call_keep_their_order_and_hold_up_no_other_call__callbacks_md() -> None:
    deliveries = desk()
    for number, call in enumerate(["CA1", "CA1", "CA2", "CA1"]):
        deliveries.put(event(number, call))
    assert tried(deliveries, 0.0) == ["EV0", "EV2"]
    deliveries.answered("EV0", Outcome(500), 0.0)
    deliveries.answered("EV2", Outcome(200), 0.0)
    assert tried(deliveries, 4.9) == []
    assert tried(deliveries, 5.0) == ["EV0"]
    deliveries.answered("EV0", Outcome(200), 5.0)
    assert tried(deliveries, 5.0) == ["EV1"]
    deliveries.answered("EV1", Outcome(200), 5.0)
    assert tried(deliveries, 5.0) == ["EV3"]


@pytest.mark.parametrize(("status", "asked", "due"), [(429, 60.0, 60.0), (503, 1.0, 5.0), (500, 60.0, 60.0), (503, 1e9, 86400.0)])
def test_a_receiver_may_ask_for_time__callbacks_md(status: int, asked: float, due: float) -> None:
    deliveries = desk()
    deliveries.put(event(1))
    deliveries.due(0.0)
    (waits,) = deliveries.answered("EV1", Outcome(status, retry_after_s=asked), 0.0)
    assert waits.due == due == deliveries.next_deadline()


def test_410_stops_all_events_to_that_url_and_no_others__callbacks_md() -> None:
    deliveries = desk()
    for number, (call, url) in enumerate([("CA1", "a"), ("CA1", "b"), ("CA2", "c"), ("CA2", "a"), ("CA3", "a")]):
        deliveries.put(event(number, call, url))
    assert tried(deliveries, 0.0) == ["EV0", "EV2", "EV4"]
    stopped = deliveries.answered("EV0", Outcome(410), 0.0)
    assert {one.sid: one.state for one in stopped} == {"EV0": State.STOPPED, "EV3": State.STOPPED}
    assert tried(deliveries, 0.0) == ["EV1"]
    assert deliveries.put(event(9, "CA9", "a")).state is State.STOPPED
    (late,) = deliveries.answered("EV4", Outcome(200), 0.0)  # it was under way
    assert late.state is State.DELIVERED
    deliveries.answered("EV1", Outcome(200), 0.0)
    deliveries.answered("EV2", Outcome(200), 0.0)
    assert deliveries.waiting == 0 and deliveries.next_deadline() is None
    deliveries.forgive("a")
    assert deliveries.put(event(10, "CA9", "a")).state is State.WAITS


def test_a_full_queue_gives_up_what_comes_and_keeps_what_waits__callbacks_md() -> None:
    deliveries = desk(limit=2)
    assert [deliveries.put(event(number)).state for number in range(3)] == [State.WAITS, State.WAITS, State.FAILED]
    assert tried(deliveries, 0.0) == ["EV0"]


def test_an_attempt_that_was_broken_off_does_not_count__callbacks_md() -> None:
    deliveries = desk()
    deliveries.put(event(1))
    deliveries.due(0.0)
    deliveries.abandoned("EV1")
    (again,) = deliveries.due(0.0)
    assert again.attempts == 0


@pytest.mark.parametrize("seed", range(30))
def test_whatever_receivers_do_each_event_ends_once_and_in_order__callbacks_md(seed: int) -> None:
    rng = random.Random(seed)
    deliveries = Deliveries((1.0, 2.0), 1000, rng.random)
    made, under_way, ended = 0, [], []
    now = 0.0
    while made < 200 or deliveries.waiting:
        now += rng.random()
        if made < 200 and rng.random() < 0.6:
            deliveries.put(event(made, f"CA{rng.randrange(8)}", f"http://app/{rng.randrange(5)}", now))
            made += 1
        under_way += deliveries.due(now)
        rng.shuffle(under_way)
        while under_way and rng.random() < 0.7:
            sid = under_way.pop().sid
            answer = Outcome(
                rng.choice((200, 200, 500, 0, 429) + ((410,) if rng.random() < 0.02 else ())), retry_after_s=rng.choice((0.0, 3.0))
            )
            ended += [one for one in deliveries.answered(sid, answer, now) if one.state is not State.WAITS]
    sids = [one.sid for one in ended]
    assert len(set(sids)) == len(sids) <= 200
    for call in {one.call_sid for one in ended}:
        numbers = [int(one.sid[2:]) for one in ended if one.call_sid == call and one.state in (State.DELIVERED, State.FAILED)]
        assert numbers == sorted(numbers)
