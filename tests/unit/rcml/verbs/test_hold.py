"""Hold as it is read (docs/rcml.md, Hold; behaviour 9)."""

from __future__ import annotations

from rcml.verbs import Hold
from tests.unit.rcml.reading import codes, give_verb


def test_hold_reads_its_music_and_its_action__behaviour_9() -> None:
    verb, told = give_verb("<Hold action='/held' method='GET' holdMusic='/music.wav'/>", Hold)
    assert (verb, told) == (Hold(2, "http://app.example.com/music.wav", "http://app.example.com/held", "GET"), ())


def test_hold_is_silent_when_nothing_is_said__behaviour_9() -> None:
    assert give_verb("<Hold/>", Hold) == (Hold(2), ())


def test_bad_attributes_of_hold_are_told__behaviour_9() -> None:
    verb, told = give_verb("<Hold action='not a url' holdMusic='nor this' method='PUT'/>", Hold)
    assert (verb.music, verb.action_invalid, verb.method) == (None, True, "POST")
    assert sorted(code for code, _, _ in codes(told)) == [11100, 11100, 12200]
