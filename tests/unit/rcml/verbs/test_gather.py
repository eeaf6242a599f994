"""Gather as it is read (docs/rcml.md, Gather; behaviour 9)."""

from __future__ import annotations

import pytest

from rcml.errors import DocumentError
from rcml.verbs import Gather, Invalid, Pause, Play, Say
from tests.unit.rcml.reading import codes, give, give_verb


def test_gather_reads_its_attributes_and_prompts__behaviour_9() -> None:
    verb, told = give_verb(
        "<Gather action='next' method='get' timeout='7' finishOnKey='*' numDigits='4' actionOnEmptyResult='TRUE' bargeIn='false'>"
        "<Say>Your PIN</Say><Pause length='2'/><Play>a.wav</Play></Gather>",
        Gather,
    )
    expected = Gather(
        2,
        "http://app.example.com/calls/next",
        "GET",
        7,
        7,
        "*",
        4,
        action_on_empty_result=True,
        barge_in=False,
        prompts=(Say(2, "Your PIN"), Pause(2, 2), Play(2, "http://app.example.com/calls/a.wav")),
    )
    assert (verb, told) == (expected, ())


def test_defaults_of_gather__behaviour_9() -> None:
    assert give_verb("<Gather/>", Gather) == (Gather(2), ())


@pytest.mark.parametrize(
    ("attributes", "first", "further"),
    [("preTimeout='9'", 9, 5), ("postTimeout='2'", 5, 2), ("timeout='3' postTimeout='1'", 3, 1), ("timeout='3' preTimeout='8'", 8, 3)],
)
def test_pre_and_post_timeout_rule_over_timeout__behaviour_9(attributes: str, first: int, further: int) -> None:
    verb, told = give_verb(f"<Gather {attributes}/>", Gather)
    assert (verb.first_timeout_s, verb.next_timeout_s, told) == (first, further, ())


@pytest.mark.parametrize(("value", "taken"), [("", ""), (" ", ""), ("5", "5"), ("*", "*"), ("#", "#")])
def test_an_empty_finish_on_key_is_none__behaviour_9(value: str, taken: str) -> None:
    verb, told = give_verb(f"<Gather finishOnKey='{value}'/>", Gather)
    assert (verb.finish_on_key, told) == (taken, ())


@pytest.mark.parametrize(
    ("attribute", "code"),
    [
        ("finishOnKey='12'", 13310),
        ("finishOnKey='x'", 13310),
        ("method='PUT'", 13312),
        ("timeout='0'", 13313),
        ("timeout='soon'", 13313),
        ("preTimeout='-1'", 13313),
        ("postTimeout='1.5'", 13313),
        ("numDigits='0'", 13314),
        ("numDigits='many'", 13314),
        ("numDigits='129'", 13314),
        ("actionOnEmptyResult='yes'", 12200),
        ("bargeIn='no'", 12200),
        ("input='voice'", 12200),
    ],
)
def test_bad_attributes_of_gather_fall_back__behaviour_9(attribute: str, code: int) -> None:
    verb, told = give_verb(f"<Gather {attribute}/>", Gather)
    assert (verb, codes(told)) == (Gather(2), [(code, "warning", 2)])


def test_an_action_that_is_no_url_is_11100_and_the_gather_runs__behaviour_0_11() -> None:
    verb, told = give_verb("<Gather action='not a url'/>", Gather)
    assert (verb.action, verb.action_invalid, codes(told)) == (None, True, [(11100, "error", 2)])


def test_what_cannot_stand_in_gather_is_left_out__behaviour_9() -> None:
    verb, told = give_verb("<Gather>hello<Dial>1</Dial><Say>x</Say>\n<Gather/></Gather>", Gather)
    assert verb.prompts == (Say(2, "x"),)
    assert codes(told) == [(12200, "warning", 2), (13320, "warning", 2), (13320, "warning", 3)]


def test_a_play_of_no_url_stays_where_it_is__behaviour_9() -> None:
    verb, told = give_verb("<Gather><Play>not a url</Play></Gather>", Gather)
    assert (verb.prompts, codes(told)) == ((Invalid(2, "Play"),), [(11100, "error", 2)])


@pytest.mark.parametrize(("value", "keys"), [("speech", False), ("dtmf speech", True), ("speech,dtmf", True), ("DTMF_SPEECH", True)])
def test_speech_without_an_engine_is_told_with_its_line__behaviour_9(value: str, keys: bool) -> None:
    verb, told = give_verb(f"<Gather input='{value}'/>", Gather)
    assert (verb.keys, codes(told)) == (keys, [(12200, "error", 2)])


def test_the_number_of_prompts_is_bounded__behaviour_9() -> None:
    assert len(give("<Gather>" + "<Pause/>" * 3 + "</Gather>", max_nouns=3).verbs) == 1
    with pytest.raises(DocumentError):
        give("<Gather>" + "<Pause/>" * 4 + "</Gather>", max_nouns=3)
