"""What is recorded of a Dial (behaviour 4.6, 7)."""

from __future__ import annotations

import pytest

from media import engine
from tests.unit.server.calls.bench import ACTION, Bench, dial

SCREENED = '<Sip url="/screen">sip:alice@192.0.2.8</Sip>'
RECORD = f'record="true" action="{ACTION}"'


def test_what_a_screened_party_heard_is_not_in_the_recording__behaviour_2_5() -> None:
    bench = Bench(
        dial(SCREENED, RECORD), before=lambda bench: bench.web.pages.update({"http://app/screen": "<Response><Say>x</Say></Response>"})
    )
    bench.answer(0)
    bench.run(0.9)
    assert bench.engine.recordings == {}
    bench.run(0.5)
    (recording,) = bench.engine.recordings.values()
    assert recording.bridge in bench.engine.bridges
    bench.run(2.0)
    bench.bye_from(bench.leg(0))
    assert bench.action["RecordingUrl"].endswith(f"{bench.recordings[0].sid}.wav")


def test_a_declined_party_is_not_recorded__behaviour_7() -> None:
    bench = Bench(
        dial(SCREENED, RECORD), before=lambda bench: bench.web.pages.update({"http://app/screen": "<Response><Hangup/></Response>"})
    )
    bench.answer(0)
    bench.run(0.5)
    assert "RecordingUrl" not in bench.action and bench.recordings == []


def test_a_recording_that_never_ends_holds_the_action_for_a_moment_only__behaviour_7() -> None:
    bench = Bench(dial("<Sip>sip:alice@192.0.2.8</Sip>", RECORD), recording_wait_s=2.0)
    bench.engine.slow_disk = True
    bench.answer(0)
    bench.run(1.0)
    bench.bye_from(bench.leg(0))
    assert bench.web.of("action") == []
    bench.run(2.1)
    assert len(bench.web.of("action")) == 1
    (sid,) = [note.data["recording"] for note in bench.notes if note.data.get("event") == "record"]
    bench.give_engine(engine.RecordingEnded(recording=str(sid), path="/x", duration_ms=1000, size_bytes=44, reason="ended"))
    assert len(bench.web.of("action")) == 1


# --- how, and from when ---------------------------------------------------------------------------------------------

PLAIN = "<Sip>sip:alice@192.0.2.8</Sip>"
CALLBACK = 'recordingStatusCallback="/recorded" recordingStatusCallbackEvent="in-progress completed absent"'


def recorded(bench: Bench) -> list[engine.Record]:
    return bench.engine.records


@pytest.mark.parametrize(("mode", "channels"), [("record-from-answer", 1), ("record-from-answer-dual", 2), ("true", 1)])
def test_from_the_answer_the_bridge_is_recorded__rcml_dial(mode: str, channels: int) -> None:
    bench = Bench(dial(PLAIN, f'record="{mode}" action="{ACTION}"'))
    bench.run(1.0)
    assert recorded(bench) == []
    bench.answer(0)
    (record,) = recorded(bench)
    assert (record.bridge in bench.engine.bridges, record.stream, record.channels) == (True, "", channels)


@pytest.mark.parametrize(("mode", "channels"), [("record-from-ringing", 1), ("record-from-ringing-dual", 2)])
def test_from_ringing_the_answered_callers_stream_is_recorded__rcml_dial(mode: str, channels: int) -> None:
    bench = Bench(dial(PLAIN, f'answerOnBridge="false" record="{mode}" action="{ACTION}"'))
    (record,) = recorded(bench)
    assert (record.stream, record.bridge, record.channels) == (bench.sid, "", channels)
    bench.run(3.0)
    bench.answer(0)
    bench.run(2.0)
    bench.bye_from(bench.leg(0))
    bench.bye_answered(0)
    bench.run(0.1)
    assert len(recorded(bench)) == 1
    assert bench.recordings[0].duration_ms >= 5000
    assert bench.action["RecordingUrl"].endswith(f"{record.recording}.wav")


def test_from_ringing_an_unanswered_callers_stream_is_recorded_from_its_answer__rcml_dial() -> None:
    bench = Bench(dial(PLAIN, f'record="record-from-ringing" action="{ACTION}"'))
    bench.run(1.0)
    assert recorded(bench) == []
    bench.answer(0)
    (record,) = recorded(bench)
    assert record.stream == bench.sid


def test_ringing_alone_is_recorded_too__rcml_dial() -> None:
    bench = Bench(dial(PLAIN, f'answerOnBridge="false" record="record-from-ringing" action="{ACTION}"'))
    bench.run(2.0)
    bench.fail(0, 486)
    bench.run(0.1)
    assert bench.action["DialCallStatus"] == "busy" and "RecordingUrl" in bench.action
    assert bench.recordings[0].duration_ms >= 2000


def test_the_progress_of_the_recording_is_told__rcml_dial() -> None:
    bench = Bench(dial(PLAIN, f'record="record-from-answer-dual" {CALLBACK}'))
    bench.answer(0)
    bench.run(3.0)
    bench.bye_from(bench.leg(0))
    bench.run(0.1)
    told = bench.web.of("recording-status")
    assert [item["RecordingStatus"] for item in told] == ["in-progress", "completed"]
    assert (told[1]["RecordingSource"], told[1]["RecordingChannels"], told[1]["RecordingDuration"]) == ("DialVerb", "2", "3")
    assert told[1]["RecordingUrl"].endswith(f"{bench.recordings[0].sid}.wav")
