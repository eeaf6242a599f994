"""All rooms of the server: found by name, full, over, and forgotten (behaviour.md 2.10)."""

from __future__ import annotations

import itertools
import random

from server.calls.conferences.conferences import Conferences
from server.calls.conferences.room import Departure, Go, Terms
from server.calls.outbox import Outbox
from tests.support.shell import policy

COUNT = itertools.count()


def outbox(call: str, now: float = 0.0, account: str = "AC1") -> Outbox:
    return Outbox(policy(random.Random(call), "192.0.2.1", account_sid=account), call, lambda: next(COUNT), now)


def test_a_room_belongs_to_its_account_and_name_and_is_forgotten_when_empty__behaviour_2_10() -> None:
    rooms = Conferences()
    entries = [("CA1", "AC1", "blue"), ("CA2", "AC1", "blue"), ("CA3", "AC2", "blue"), ("CA4", "AC1", "red")]
    members = []
    for call, account, name in entries:
        box = outbox(call, account=account)
        member = rooms.enter(box, name, Terms(), 40)
        assert member is not None
        members.append((box, member))
    assert len(rooms.rooms) == 3 and members[0][1].room is members[1][1].room
    for box, member in members:
        rooms.leave(box, member)
        rooms.leave(box, member)
    assert rooms.rooms == {} and rooms.next_deadline() is None and vars(rooms)["_by_name"] == {}


def test_nobody_enters_a_full_room__behaviour_2_10() -> None:
    rooms = Conferences()
    assert rooms.enter(outbox("CA1"), "blue", Terms(), 1) is not None
    assert rooms.enter(outbox("CA2"), "blue", Terms(), 1) is None
    assert rooms.enter(outbox("CA3"), "blue", Terms(), 2) is not None


def test_a_room_ends_at_its_time_limit__behaviour_2_10() -> None:
    rooms = Conferences()
    box = outbox("CA1", now=5.0)
    member = rooms.enter(box, "blue", Terms(), 40)
    rooms.take_signals()
    assert rooms.next_deadline() == 5.0 + 14_400
    rooms.timeout(14_404.0)
    assert rooms.take_signals() == []
    rooms.timeout(14_405.0)
    assert rooms.take_signals() == [(member, Go(Departure.TIME_LIMIT))] and rooms.next_deadline() is None


def test_who_comes_while_a_room_stops_is_in_a_new_one__behaviour_2_10() -> None:
    rooms = Conferences()
    first = rooms.enter(outbox("CA1"), "blue", Terms(), 40)
    assert first is not None
    rooms.end_room(first.room.sid)
    second = rooms.enter(outbox("CA2"), "blue", Terms(), 40)
    assert second is not None and second.room is not first.room
    rooms.leave(outbox("CA1"), first)
    assert list(rooms.rooms) == [second.room.sid]
    third = rooms.enter(outbox("CA3"), "blue", Terms(), 40)
    assert third is not None and third.room is second.room


def test_when_the_engine_is_lost_nobody_is_told_of_the_others__behaviour_3_1() -> None:
    rooms = Conferences()
    box = outbox("CA1")
    member = rooms.enter(box, "blue", Terms(), 40)
    rooms.enter(outbox("CA2"), "blue", Terms(), 40)
    rooms.take_signals()
    rooms.lost()
    assert member is not None
    rooms.leave(box, member)
    assert rooms.take_signals() == []
