"""recordingStatusCallback and its siblings (docs/rcml.md, Record)."""

from __future__ import annotations

import pytest

from rcml.verbs import Record
from rcml.verbs.recording_callback import RecordingCallback
from tests.unit.rcml.reading import codes, give_verb

URL = "http://app.example.com/told"


@pytest.mark.parametrize(
    ("value", "events"),
    [
        ("", {"completed"}),
        ("absent", {"absent"}),
        ("In-Progress, completed absent", {"in-progress", "completed", "absent"}),
    ],
)
def test_events_are_divided_by_commas_or_blanks__rcml_record(value: str, events: set[str]) -> None:
    verb, told = give_verb(f"<Record recordingStatusCallback='/told' recordingStatusCallbackEvent='{value}'/>", Record)
    assert (verb.callback, told) == (RecordingCallback(URL, "POST", frozenset(events)), ())


def test_what_is_no_event_is_named_and_left_out__rcml_record() -> None:
    verb, told = give_verb("<Record recordingStatusCallback='/told' recordingStatusCallbackEvent='begun'/>", Record)
    assert (verb.callback, codes(told)) == (RecordingCallback(URL), [(12200, "warning", 2)])


def test_a_callback_that_is_no_url_is_left_out__rcml_record() -> None:
    verb, told = give_verb("<Record recordingStatusCallback='no url'/>", Record)
    assert (verb.callback, codes(told)) == (None, [(11100, "warning", 2)])
