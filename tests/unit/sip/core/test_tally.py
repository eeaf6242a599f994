"""What is held by several is known until the last has released it."""

from __future__ import annotations

import pytest

from sip.core.tally import Tally


def test_a_text_is_known_until_its_last_holder_releases_it() -> None:
    tally = Tally()
    for text in ("a", "b", "a"):
        tally.hold(text)
    tally.release("a")
    assert (list(tally), len(tally), "a" in tally) == (["a", "b"], 2, True)
    tally.release("a")
    assert ("a" in tally, list(tally)) == (False, ["b"])


def test_what_nobody_holds_cannot_be_released() -> None:
    with pytest.raises(KeyError):
        Tally().release("a")
