"""The room as a machine: who is told what when somebody comes, goes, or is held (behaviour.md 2.10)."""

from __future__ import annotations

import random

from server.calls.conferences.room import Announce, Departure, Go, Hold, Member, Mute, Place, Room, RoomSignal, Talk, Terms, Wait


def room() -> Room:
    return Room("CF1", "AC1", "blue", 0.0)


def told(room: Room) -> list[tuple[str, RoomSignal]]:
    return [(member.call, signal) for member, signal in room.take_signals()]


def test_a_room_is_open_with_two_of_whom_one_begins_it__behaviour_2_10() -> None:
    blue = room()
    blue.enter("a", Terms(starts=False))
    assert (told(blue), blue.state.value) == ([("a", Wait())], "RUNNING_MODERATOR_ABSENT")
    blue.enter("b", Terms(starts=False))
    assert told(blue) == [("b", Wait())]
    blue.enter("c", Terms())
    assert told(blue) == [("a", Talk("CF1-1")), ("b", Talk("CF1-1")), ("c", Talk("CF1-1", beep=True))]
    assert blue.state.value == "RUNNING_MODERATOR_PRESENT"


def test_each_opening_has_a_mix_of_its_own__media_md() -> None:
    blue = room()
    first, second = blue.enter("a", Terms()), blue.enter("b", Terms())
    blue.leave(second)
    told(blue)
    blue.enter("c", Terms(beeps_in=False))
    assert told(blue) == [("a", Talk("CF1-2")), ("c", Talk("CF1-2"))]
    assert blue.leave(second) is False and blue.leave(first) is True


def test_one_left_alone_hears_of_the_going_only_if_it_was_to_be_told__behaviour_2_10() -> None:
    for beeps in (False, True):
        blue = room()
        blue.enter("a", Terms())
        second = blue.enter("b", Terms(beeps_out=beeps))
        told(blue)
        blue.leave(second)
        assert told(blue) == [("a", Wait(beep=beeps))]


def test_a_room_that_stops_sends_all_out_and_takes_nothing_more_in__behaviour_2_10() -> None:
    blue = room()
    first, second = blue.enter("a", Terms(ends=True)), blue.enter("b", Terms(ends=True))
    told(blue)
    blue.leave(first)
    assert told(blue) == [("b", Go(Departure.MODERATOR_LEFT))] and blue.state.value == "STOPPING"
    blue.announce(Announce("u", "POST", to_all=True))
    assert told(blue) == []
    blue.leave(second)
    assert blue.state.value == "COMPLETED" and blue.ended_by == "a"


def test_the_same_again_is_no_news() -> None:
    blue = room()
    first = blue.enter("a", Terms(muted=True))
    told(blue)
    blue.mute(first, True)
    blue.hold(first, None)
    blue.modify(first, False)
    assert told(blue) == []
    blue.mute(first, False)
    blue.hold(first, Hold("u"))
    blue.hold(first, Hold("u"))
    blue.hold(first, Hold("v"))
    assert told(blue) == [("a", Mute(False)), ("a", Hold("u")), ("a", Hold("v"))]


def test_whatever_happens_all_know_where_they_are__behaviour_2_10() -> None:
    """Any order of inputs: what each was told last is what the rule says, and who has left is told nothing."""
    for seed in range(300):
        rng = random.Random(seed)
        blue, present, last = room(), list[Member](), dict[Member, RoomSignal]()
        for step in range(40):
            one = rng.choice(present) if present else None
            what = rng.choice(("enter", "enter", "leave", "hold", "resume"))
            if what == "enter" or one is None:
                present.append(blue.enter(f"{step}", Terms(starts=rng.random() < 0.4)))
            elif what == "leave":
                blue.leave(one)
                present.remove(one)
            else:
                blue.hold(one, Hold("") if what == "hold" else None)
            for member, signal in blue.take_signals():
                assert member in present
                last[member] = signal
            open_ = blue.begun and len(present) > 1
            for member in present:
                wanted = Place.HELD if member.hold else Place.TALKING if open_ else Place.WAITING
                kind = {Place.HELD: Hold, Place.TALKING: Talk, Place.WAITING: Wait}[wanted]
                assert member.place is wanted and isinstance(last[member], kind), seed
            mixes = {signal.mix for member, signal in last.items() if member in present and isinstance(signal, Talk)}
            assert mixes <= {blue.mix}, seed
