"""Resume as it is read (docs/rcml.md, Resume; behaviour 9)."""

from __future__ import annotations

from rcml.verbs import Resume
from tests.unit.rcml.reading import codes, give_verb


def test_resume_reads_its_action__behaviour_9() -> None:
    verb, told = give_verb("<Resume action='/on' method='GET'/>", Resume)
    assert (verb, told) == (Resume(2, "http://app.example.com/on", "GET"), ())


def test_bad_attributes_of_resume_are_told__behaviour_0_11() -> None:
    verb, told = give_verb("<Resume action='not a url' method='PUT'/>", Resume)
    assert (verb.action_invalid, sorted(code for code, _, _ in codes(told))) == (True, [11100, 12200])
