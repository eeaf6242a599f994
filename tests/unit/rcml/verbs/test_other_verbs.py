"""Say, Play, Pause, Redirect, Reject (behaviour 9; docs/rcml.md)."""

from __future__ import annotations

import pytest

from rcml.verbs import Hangup, Invalid, Pause, Play, Redirect, Reject, Say
from tests.unit.rcml.reading import codes, give, give_verb


def test_say_reads_its_text_and_attributes__behaviour_9() -> None:
    verb, told = give_verb("<Say voice='Woman' language='fr' loop='0'>\n Bonjour\n  à tous </Say>", Say)
    assert (verb, told) == (Say(2, "Bonjour à tous", "woman", "fr", 0), ())


@pytest.mark.parametrize(
    ("asked", "taken"),
    [("EN-GB", "en-gb"), ("en-US", "en"), ("de_AT", "de"), ("da", "dan"), ("pt-BR", "bp"), ("pt-PT", "pt"), ("fr-CA", "cf")],
)
def test_languages_by_the_names_everybody_uses__rcml_say(asked: str, taken: str) -> None:
    verb, told = give_verb(f"<Say language='{asked}'>x</Say>", Say)
    assert (verb.language, told) == (taken, ())


@pytest.mark.parametrize(
    ("attribute", "code"), [("language='tlh'", 13511), ("loop='-1'", 13510), ("loop='x'", 13510), ("voice='nobody'", 12200)]
)
def test_bad_attributes_of_say_fall_back__behaviour_9(attribute: str, code: int) -> None:
    verb, told = give_verb(f"<Say {attribute}>x</Say>", Say)
    assert (verb, codes(told)) == (Say(2, "x"), [(code, "warning", 2)])


def test_speech_markup_is_kept_for_the_engine__rcml_say() -> None:
    verb, told = give_verb("<Say><speak>Hello <break time='1s'/><s>world</s></speak></Say>", Say)
    assert (verb.text, told) == ('<speak>Hello <break time="1000ms"/><s>world</s></speak>', ())


@pytest.mark.parametrize("xml", ["<Say/>", "<Say> </Say>", "<Play/>", "<Play>\n</Play>"])
def test_empty_say_and_play_are_skipped__behaviour_9(xml: str) -> None:
    document = give(f"<Response>{xml}</Response>")
    assert (document.verbs, codes(document.notices)) == ((), [(12200, "warning", 1)])


def test_play_is_a_url_relative_to_the_document__behaviour_1_7() -> None:
    verb, told = give_verb("<Play loop='3'> ../hello.wav?x=1&y=2 </Play>", Play)
    assert (verb, told) == (Play(2, "http://app.example.com/hello.wav?x=1&y=2", 3), ())


def test_play_presses_digits_instead_of_a_file__rcml_play() -> None:
    assert give_verb("<Play digits='ww12#' loop='2'/>", Play) == (Play(2, "", 2, "ww12#"), ())
    verb, told = give_verb("<Play digits='1x2'/>", Play)
    assert (verb.digits, codes(told)) == ("12", [(12200, "warning", 2)])
    verb, told = give_verb("<Play digits='1'>a.wav</Play>", Play)
    assert (verb.url, verb.digits, codes(told)) == ("http://app.example.com/calls/a.wav", "", [(12200, "warning", 2)])


@pytest.mark.parametrize("verb", ["Say", "Play", "Pause", "Redirect", "Reject", "Hangup", "Gather", "Record"])
def test_an_attribute_that_no_verb_knows_is_told_with_its_line__rcml_the_answer(verb: str) -> None:
    document = give(f"<Response>\n<{verb} nonsense='1'>/x</{verb}></Response>")
    assert (12200, "warning", 2) in codes(document.notices)
    assert any("nonsense" in notice.message for notice in document.notices)


def test_a_bad_loop_of_play_is_13410__behaviour_9() -> None:
    verb, told = give_verb("<Play loop='often'>a.wav</Play>", Play)
    assert (verb.loop, codes(told)) == (1, [(13410, "warning", 2)])


@pytest.mark.parametrize("name", ["Play", "Redirect"])
def test_a_url_that_is_none_is_11100_and_the_verb_cannot_be_run__behaviour_9(name: str) -> None:
    verb, told = give_verb(f"<{name}>not a url</{name}>", Invalid)
    assert (verb, codes(told)) == (Invalid(2, name), [(11100, "error", 2)])


@pytest.mark.parametrize(("attribute", "length", "told"), [("", 1, []), ("length='7'", 7, [])] + [
    (f"length='{bad}'", 1, [(13910, "warning", 2)]) for bad in ("0", "-1", "x", "1.5")
])  # fmt: skip
def test_pause__behaviour_9(attribute: str, length: int, told: list[tuple[int, str, int]]) -> None:
    verb, notices = give_verb(f"<Pause {attribute}/>", Pause)
    assert (verb, codes(notices)) == (Pause(2, length), told)


def test_redirect__behaviour_9() -> None:
    verb, told = give_verb("<Redirect method='get'>?step=2</Redirect>", Redirect)
    assert (verb, told) == (Redirect(2, "http://app.example.com/calls/voice.xml?step=2", "GET"), ())


def test_an_empty_redirect_or_a_bad_method_is_13710__behaviour_9() -> None:
    document = give("<Response><Redirect/>\n<Redirect method='PUT'>/x</Redirect></Response>")
    assert document.verbs == (Redirect(2, "http://app.example.com/x", "POST"),)
    assert codes(document.notices) == [(13710, "warning", 1), (13710, "warning", 2)]


@pytest.mark.parametrize(
    ("reason", "status", "phrase"),
    [
        ("rejected", 603, "Decline"),
        ("busy", 486, "Busy Here"),
        ("forbidden", 403, "Forbidden"),
        ("anonymity_disallowed", 433, "Anonymity Disallowed"),
        ("address_incomplete", 484, "Address Incomplete"),
        ("no_route", 404, "No Route"),
        ("service_unavailable", 503, "Service Unavailable"),
        ("unwanted", 607, "Unwanted"),
    ],
)
def test_reject_has_eight_reasons__rcml_reject(reason: str, status: int, phrase: str) -> None:
    assert give_verb(f"<Reject reason='{reason}'/>", Reject) == (Reject(2, status, phrase, reason), ())


@pytest.mark.parametrize(("attribute", "told"), [("", 0), ("reason=''", 0), ("reason='whatever'", 1)])
def test_any_other_reason_is_rejected__behaviour_1_8(attribute: str, told: int) -> None:
    verb, notices = give_verb(f"<Reject {attribute}/>", Reject)
    assert (verb, len(notices)) == (Reject(2, 603, "Decline", "rejected"), told)


def test_hangup() -> None:
    assert give_verb("<Hangup/>", Hangup) == (Hangup(2), ())
