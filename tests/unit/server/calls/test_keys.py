"""Each press once, and what is typed ahead (docs/rcml.md, Gather)."""

from __future__ import annotations

from media import engine
from server.calls.keys import MOST_EARLY, Keys


def key(digit: str, source: str = "rfc4733") -> engine.Digit:
    return engine.Digit(stream="CA1", digit=digit, duration_ms=100, source=source)


def test_a_press_that_comes_in_two_ways_counts_once__rcml_gather() -> None:
    keys = Keys()
    assert keys.is_new(key("1"), 10.0)
    assert not keys.is_new(key("1", "info"), 10.1)
    assert keys.is_new(key("1"), 10.3)  # pressed again
    assert not keys.is_new(key("1", "info"), 10.35)
    assert keys.is_new(key("2", "info"), 10.4)
    assert not keys.is_new(key("2", "inband"), 10.5)
    assert keys.is_new(key("3"), 11.0)
    assert not keys.is_new(key("3", "info"), 14.6)  # its INFO was lost three times
    assert keys.is_new(key("1", "info"), 30.0)  # long after: the phone has changed its mind


def test_the_same_way_twice_is_two_presses__rcml_gather() -> None:
    keys = Keys()
    assert all(keys.is_new(key("5", "info"), 10.0) for _ in range(5))


def test_the_finishing_key_of_who_needed_none_is_swallowed_once_and_for_a_moment__rcml_gather() -> None:
    keys = Keys()
    keys.swallow("#", 10.0)
    assert not keys.is_new(key("#"), 11.0)
    assert keys.is_new(key("#"), 11.2)
    keys.swallow("#", 20.0)
    assert keys.is_new(key("1"), 20.1)  # another one comes: that entry is over
    assert keys.is_new(key("#"), 20.2)
    keys.swallow("#", 30.0)
    assert keys.is_new(key("#"), 33.0)


def test_what_is_typed_ahead_is_kept_in_order_and_bounded__rcml_gather() -> None:
    keys = Keys()
    for n in range(MOST_EARLY + 5):
        keys.keep(str(n % 10))
    taken = []
    while (one := keys.take()) is not None:
        taken.append(one)
    assert len(taken) == MOST_EARLY and taken[-1] == str((MOST_EARLY + 4) % 10)
    keys.keep("1")
    keys.drop()
    assert keys.take() is None
