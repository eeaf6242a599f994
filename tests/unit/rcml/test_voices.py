"""Names of voices and languages (docs/rcml.md, Say)."""

from __future__ import annotations

import pytest

from media.prompts import speech
from rcml.verbs import Say
from rcml.voices import LANGUAGES, VOICES, find_language, find_voice
from tests.unit.rcml.reading import codes, give_verb


@pytest.mark.parametrize(
    ("name", "taken"),
    [("man", "man"), ("Woman", "woman"), ("alice", "woman"), ("Polly.Joanna-Neural", "woman"), ("polly.matthew", "man"), ("Robot", None)],
)
def test_voices_of_other_platforms_are_those_that_come_nearest__rcml_say(name: str, taken: str | None) -> None:
    assert find_voice(name) == taken


def test_a_voice_that_is_mapped_is_told__rcml_say() -> None:
    verb, told = give_verb("<Say voice='Polly.Emma'>x</Say>", Say)
    assert (verb.voice, codes(told)) == ("woman", [(12200, "warning", 2)])
    assert "woman is used" in told[0].message


@pytest.mark.parametrize(
    ("name", "taken"),
    [("hu-HU", "hu"), ("zh_CN", "zh"), ("es-MX", "es-mx"), ("fr-CH", "fr-ch"), ("en-us", "en"), ("en-AU", "en"), ("tlh", None), ("", None)],
)
def test_more_languages_by_their_tags__rcml_say(name: str, taken: str | None) -> None:
    assert find_language(name) == taken


def test_the_engine_speaks_all_that_is_read_here() -> None:
    for name in ("en-gb", *LANGUAGES, *speech.LANGUAGES):
        language = find_language(name)
        assert language is not None and speech.find_language(language) is not None, name
    assert set(VOICES) == set(speech.VOICES)
