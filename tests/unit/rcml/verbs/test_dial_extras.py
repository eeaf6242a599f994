"""Attributes of Dial that came with the other dialect (docs/rcml.md, Dial)."""

from __future__ import annotations

import pytest

from rcml.verbs import Dial
from rcml.verbs.dial_extras import RING_TONES, DialRecord
from rcml.verbs.recording_callback import RecordingCallback
from tests.unit.rcml.reading import codes, give_verb


def dial(attributes: str) -> tuple[Dial, list[tuple[int, str, int]]]:
    verb, notices = give_verb(f"<Dial {attributes}>123</Dial>", Dial)
    return verb, codes(notices)


@pytest.mark.parametrize(
    ("value", "record"),
    [
        ("true", DialRecord()),
        ("record-from-answer", DialRecord(channels=1)),
        ("Record-From-Answer-Dual", DialRecord(channels=2)),
        ("record-from-ringing", DialRecord(from_ringing=True, channels=1)),
        ("record-from-ringing-dual", DialRecord(from_ringing=True, channels=2)),
        ("false", None),
        ("do-not-record", None),
    ],
)
def test_record_says_from_when_and_with_how_many_channels__rcml_dial(value: str, record: DialRecord | None) -> None:
    verb, notices = dial(f'record="{value}"')
    assert (verb.record, notices) == (record, [])


def test_an_unknown_way_to_record_records_nothing_and_is_told__rcml_dial() -> None:
    verb, notices = dial('record="record-from-hangup"')
    assert (verb.record, notices) == (None, [(12200, "warning", 2)])


def test_progress_of_the_recording_is_reported_where_the_dial_says__rcml_dial() -> None:
    verb, notices = dial('record="true" recordingStatusCallback="/r" recordingStatusCallbackEvent="in-progress absent"')
    callback = RecordingCallback("http://app.example.com/r", events=frozenset({"in-progress", "absent"}))
    assert (verb.record, notices) == (DialRecord(callback=callback), [])


@pytest.mark.parametrize(
    ("attributes", "told"),
    [
        ('trim="do-not-trim" recordingTrack="both"', 0),
        ('trim="trim-silence"', 1),
        ('recordingTrack="inbound"', 1),
        ('trim="trim-silence" recordingTrack="outbound"', 2),
    ],
)
def test_trim_and_a_single_track_are_told_as_not_carried_out__rcml_dial(attributes: str, told: int) -> None:
    verb, notices = dial(f'record="true" {attributes}')
    assert (verb.record, notices) == (DialRecord(), [(12200, "warning", 2)] * told)


@pytest.mark.parametrize(("country", "tone"), [("de", "de"), ("AT", "eu"), ("us-old", "us"), ("za", "uk")])
def test_ring_tone_is_a_country_or_its_likest__rcml_dial(country: str, tone: str) -> None:
    verb, notices = dial(f'ringTone="{country}"')
    assert (verb.ring_tone, notices) == (tone, [])


def test_a_country_that_nobody_knows_leaves_the_servers_tone__rcml_dial() -> None:
    verb, notices = dial('ringTone="atlantis"')
    assert (verb.ring_tone, notices) == (None, [(12200, "warning", 2)])


def test_every_ring_tone_is_one_that_the_engine_has__media_md() -> None:
    from media import engine

    assert engine.Play.__doc__ is not None
    assert all(f'"{tone}"' in engine.Play.__doc__ for tone in RING_TONES.values())


@pytest.mark.parametrize(("name", "field"), [("hangupOnStar", "hangup_on_star"), ("sequential", "sequential")])
def test_switches_are_off_unless_true__rcml_dial(name: str, field: str) -> None:
    assert [getattr(dial(f'{name}="{value}"')[0], field) for value in ("true", "FALSE")] == [True, False]
    assert getattr(dial("")[0], field) is False
    assert dial(f'{name}="maybe"')[1] == [(12200, "warning", 2)]


def test_refer_url_is_the_document_for_a_transfer__rcml_dial() -> None:
    verb, notices = dial('referUrl="/refer" referMethod="get"')
    assert (verb.refer_url, verb.refer_method, notices) == ("http://app.example.com/refer", "GET", [])
    assert dial('referUrl="no url" referMethod="PUT"')[1] == [(11100, "warning", 2), (12200, "warning", 2)]
