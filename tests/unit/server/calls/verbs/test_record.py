"""Record in a call: what ends it, and what its action and callbacks are told (behaviour 7; docs/rcml.md, Record)."""

from __future__ import annotations

import pytest

from media import engine
from media.settings import KNOWN_CODECS, MediaSettings
from server.calls.policy import Application
from sip.core import commands, events
from sip.message import Headers, Request
from tests.support.descriptions import sdp
from tests.unit.server.calls.bench import ACTION, IN, VOICE, Bench, clean

CALLBACK = "http://app/told"
AFTER = "<Pause length='1'/><Hangup/>"


def recording(attributes: str = f"action='{ACTION}'", after: str = AFTER, speech_ms: int = 3000, **changes: object) -> Bench:
    def speak(bench: Bench) -> None:
        bench.engine.speech_ms = lambda stream: speech_ms

    document = f"<Response><Record {attributes}/>{after}</Response>"
    return Bench(document, action="<Response><Hangup/></Response>", before=speak, **changes)  # type: ignore[arg-type]  # each has its type


def told(bench: Bench) -> list[tuple[str, str | None]]:
    return [(one["RecordingStatus"], one.get("RecordingDuration")) for one in bench.web.of("recording-status")]


def test_record_answers_and_asks_the_engine_for_all_that_it_says__behaviour_7() -> None:
    bench = recording("timeout='4' maxLength='60' finishOnKey='#1' playBeep='true'")
    assert bench.order() == ["180", "200"]
    (command,) = bench.engine.records
    assert (command.stream, command.bridge, command.channels) == (bench.sid, "", 1)
    assert (command.silence_ms, command.max_ms, command.finish_keys, command.beep) == (4000, 60_000, "#1", True)
    assert command.path == f"/rec/{command.recording}.wav"


def test_nothing_is_sent_over_the_beep_and_silence_again_behind_it__behaviour_10_2() -> None:
    """Whoever hears nothing is sent silence; a play of it would take the beep away."""
    bench = recording("playBeep='true'")
    (name,) = bench.engine.streams
    assert (bench.engine.silences, bench.engine.streams[name].play, bench.engine.complaints) == ([], "", [])
    bench.run(0.6)
    assert len(bench.engine.silences) == 1 and bench.engine.streams[name].play == bench.engine.silences[0].play


def test_silence_ends_it_and_the_action_is_told__behaviour_7() -> None:
    bench = recording()
    bench.run(8.9)
    assert (bench.action["RecordingDuration"], "Digits" in bench.action) == ("8", False)  # the silence is in it
    assert bench.action["RecordingUrl"] == bench.action["PublicRecordingUrl"]
    assert bench.action["RecordingUrl"].endswith(f"/Recordings/{bench.engine.records[0].recording}.wav")
    (kept,) = bench.recordings
    assert (kept.duration_ms, kept.call_sid, bench.discarded) == (8000, bench.action["CallSid"], [])
    clean(bench)


def test_who_says_nothing_leaves_no_recording_and_the_next_verb_runs__behaviour_7() -> None:
    bench = recording(speech_ms=0)
    bench.run(5.9)
    assert (bench.web.of("action"), bench.recordings, bench.verbs()) == ([], [], ["Record", "Pause"])
    assert bench.discarded == [bench.engine.records[0].path]
    clean(bench)


def test_a_key_ends_it_and_is_told__behaviour_7() -> None:
    bench = recording()
    bench.run(2.0)
    bench.engine.press(bench.sid, "5", bench.now)
    bench.run(0.5)
    assert (bench.action["Digits"], bench.action["RecordingDuration"]) == ("5", "2")
    clean(bench)


def test_a_key_by_info_ends_it_too__behaviour_7() -> None:
    bench = recording(f"action='{ACTION}' finishOnKey='#'")
    for key in ("5", "11"):
        request = Request("INFO", "sip:x", Headers([("Content-Type", "application/dtmf-relay")]), f"Signal={key}".encode())
        bench.run(1.0)
        bench.give(events.RequestReceived(IN, commands.TransactionId("t"), request))
    bench.run(0.5)
    assert bench.action["Digits"] == "#"
    assert len(bench.recordings) == 1


def test_no_other_key_ends_it__behaviour_7() -> None:
    bench = recording(f"action='{ACTION}' finishOnKey='-1'")
    for key in "1*#":
        bench.engine.press(bench.sid, key, bench.now)
    bench.run(2.0)
    assert bench.web.of("action") == []
    clean(bench)


def test_the_key_that_ended_it_is_no_entry_of_the_next_gather__rcml_gather() -> None:
    """The engine may tell of the key after the recording's end."""
    bench = recording(f"action='{ACTION}'")
    bench.web.pages[ACTION] = "<Response><Gather action='http://app/two' timeout='1'/></Response>"
    bench.run(2.0)
    (name,) = bench.engine.recordings
    bench.engine._end_recording(name, "key", bench.now, "#")
    bench.run(0.005)
    bench.give_engine(engine.Digit(stream=bench.sid, digit="#", duration_ms=100))
    bench.run(0.5)
    bench.give_engine(engine.Digit(stream=bench.sid, digit="7", duration_ms=100))
    bench.run(1.5)
    assert [one.get("Digits") for one in bench.web.of("action")] == ["#", "7"]


def test_max_length_ends_it__behaviour_7() -> None:
    bench = recording(f"action='{ACTION}' maxLength='4'", speech_ms=60_000)
    bench.run(5.0)
    assert bench.action["RecordingDuration"] == "4"


def test_an_engine_that_does_not_end_it_is_made_to__behaviour_7() -> None:
    document = f"<Response><Record action='{ACTION}' maxLength='4'/>{AFTER}</Response>"
    bench = Bench(document, before=lambda bench: setattr(bench.engine, "slow_disk", True))
    bench.run(60.0)
    assert bench.web.of("action") == []  # not a sample was heard of
    name = bench.engine.records[0].recording
    bench.give_engine(engine.RecordingEnded(recording=name, path="/rec/x.wav", duration_ms=4000, size_bytes=64_000, reason="max"))
    clean(bench)


# --- the caller leaves ------------------------------------------------------------------------------------------------


def test_a_caller_who_hangs_up_has_left_a_message__behaviour_7() -> None:
    bench = recording()
    bench.run(2.5)
    bench.bye_from(IN)
    bench.run(1.0)
    assert (bench.action["Digits"], bench.action["CallStatus"], bench.action["RecordingDuration"]) == ("hangup", "completed", "2")
    assert len(bench.recordings) == 1
    clean(bench)


def test_a_caller_who_hangs_up_during_the_beep_has_said_nothing__behaviour_7() -> None:
    bench = recording(f"action='{ACTION}' recordingStatusCallback='{CALLBACK}' recordingStatusCallbackEvent='in-progress completed absent'")
    bench.run(0.2)
    bench.bye_from(IN)
    bench.run(1.0)
    assert (bench.web.of("action"), bench.recordings, told(bench)) == ([], [], [("absent", None)])
    clean(bench)


def test_what_the_action_answers_is_not_run_for_who_has_left__behaviour_2_8() -> None:
    bench = recording()
    bench.web.pages[ACTION] = "<Response><Say>too late</Say></Response>"
    bench.run(2.5)
    bench.bye_from(IN)
    clean(bench)
    assert bench.verbs() == ["Record"]


def test_without_an_action_nothing_is_asked_and_the_recording_is_kept__behaviour_7() -> None:
    bench = recording("")
    bench.run(2.5)
    bench.bye_from(IN)
    clean(bench)
    assert bench.web.of("action") == [] and len(bench.recordings) == 1


def test_another_document_takes_over_and_no_action_is_asked__behaviour_7() -> None:
    bench = recording()
    bench.run(2.5)
    bench.act(bench.registry.redirect(bench.sid, Application("2222", VOICE), bench.now))
    bench.run(1.0)
    assert (bench.web.of("action"), len(bench.recordings), bench.verbs()) == ([], 1, ["Record", "Record"])


def test_a_worker_that_dies_leaves_what_was_said__behaviour_3_1() -> None:
    bench = recording()
    bench.run(3.5)
    bench.engine.die(bench.now)
    bench.run(1.0)
    assert (bench.action["Digits"], bench.action["RecordingDuration"]) == ("hangup", "3")
    assert [note.code for note in bench.notifications] == [13610]
    clean(bench)


# --- trouble ----------------------------------------------------------------------------------------------------------


def test_a_disk_that_is_full_leaves_what_was_written__behaviour_7() -> None:
    bench = recording()
    bench.run(2.0)
    (name,) = bench.engine.recordings
    bench.engine._end_recording(name, "disk", bench.now, "no space left on device")
    bench.run(0.5)
    assert bench.action["RecordingDuration"] in ("1", "2")
    assert [note.code for note in bench.notifications] == [13610]


def test_what_the_engine_refuses_goes_on_with_the_next_verb__behaviour_7() -> None:
    bench = recording()
    (name,) = bench.engine.recordings
    bench.engine.recordings.clear()
    bench.give_engine(engine.Failed(op="record", subject=name, code="disk", reason="read-only file system"))
    bench.run(0.5)
    assert (bench.web.of("action"), bench.verbs()) == ([], ["Record", "Pause"])
    assert [note.code for note in bench.notifications] == [13610]


def test_a_codec_that_only_passes_cannot_be_recorded__behaviour_7() -> None:
    bench = recording(offer=sdp("192.0.2.7", 4000, "18"), media=MediaSettings(codecs=KNOWN_CODECS))
    assert bench.web.of("action") == [] and bench.engine.records == []


def test_a_record_that_cannot_be_is_a_loop_like_any_other__behaviour_1_7() -> None:
    bench = Bench("<Response><Record/><Redirect>http://app/voice</Redirect></Response>", recordings_dir="")
    bench.run(30.0)
    assert len(bench.web.requests) < 120
    assert "BYE" in bench.order()


# --- callbacks --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ("", [("completed", "8")]),
        ("in-progress", [("in-progress", None)]),
        ("in-progress,completed", [("in-progress", None), ("completed", "8")]),
    ],
)
def test_the_progress_is_told_as_the_document_asks__rcml_record(wanted: str, expected: list[tuple[str, str | None]]) -> None:
    bench = recording(f"recordingStatusCallback='{CALLBACK}' recordingStatusCallbackEvent='{wanted}'")
    call_sid = bench.sid
    bench.run(9.5)
    assert told(bench) == expected
    one = bench.web.of("recording-status")[-1]
    assert (one["AccountSid"], one["CallSid"], one["RecordingSource"], one["RecordingChannels"]) == ("AC1", call_sid, "RecordVerb", "1")
    assert one["RecordingSid"] in one["RecordingUrl"]
    clean(bench)
