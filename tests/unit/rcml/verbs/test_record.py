"""Record as it is read (docs/rcml.md, Record; behaviour 7)."""

from __future__ import annotations

import pytest

from rcml.verbs import Record
from rcml.verbs.recording_callback import RecordingCallback
from tests.unit.rcml.reading import codes, give_verb


def test_record_reads_its_attributes__behaviour_7() -> None:
    verb, told = give_verb(
        "<Record action='/said' method='GET' timeout='2' finishOnKey='1#1' maxLength='30' playBeep='false' recordingStatusCallback='/told' "
        "recordingStatusCallbackEvent='in-progress completed'/>",
        Record,
    )
    callback = RecordingCallback("http://app.example.com/told", "POST", frozenset({"in-progress", "completed"}))
    assert (verb, told) == (Record(2, "http://app.example.com/said", "GET", 2, "1#", 30, False, callback), ())


def test_defaults_of_record__behaviour_7() -> None:
    verb, told = give_verb("<Record/>", Record)
    assert (verb, told) == (Record(2), ())
    assert (verb.silence_s, verb.finish_on_keys, verb.max_length_s, verb.play_beep) == (5, "1234567890*#", 3600, True)


@pytest.mark.parametrize("value", ["", "-1"])
def test_no_key_ends_it_when_the_document_says_so__behaviour_7(value: str) -> None:
    verb, told = give_verb(f"<Record finishOnKey='{value}'/>", Record)
    assert (verb.finish_on_keys, told) == ("", ())


@pytest.mark.parametrize(
    ("attribute", "code"),
    [
        ("finishOnKey='x'", 13613),
        ("finishOnKey='-2'", 13613),
        ("method='PUT'", 13611),
        ("timeout='0'", 13612),
        ("maxLength='long'", 13612),
        ("playBeep='loud'", 12200),
        ("transcribe='true'", 12200),
        ("transcribeCallback='/x'", 12200),
        ("trim='trim-silence'", 12200),
        ("recordingStatusCallbackMethod='PUT'", 12200),
    ],
)
def test_bad_attributes_of_record_fall_back__behaviour_7(attribute: str, code: int) -> None:
    verb, told = give_verb(f"<Record {attribute}/>", Record)
    assert (verb, codes(told)) == (Record(2), [(code, "warning", 2)])


def test_a_recording_is_four_hours_at_most__behaviour_7() -> None:
    verb, told = give_verb("<Record maxLength='999999'/>", Record)
    assert (verb.max_length_s, codes(told)) == (14_400, [(13612, "warning", 2)])


def test_an_action_that_is_no_url_is_11100_and_the_record_runs__behaviour_0_11() -> None:
    verb, told = give_verb("<Record action='not a url'/>", Record)
    assert (verb.action, verb.action_invalid, codes(told)) == (None, True, [(11100, "error", 2)])
