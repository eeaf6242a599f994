"""The media worker's events: late ones, failures, recordings, silence."""

from __future__ import annotations

import msgspec
import pytest

from media import engine
from server.calls.effects import Prepare, Prepared, Synthesize
from server.calls.records import Cause
from sip.core import commands, events
from tests.support.descriptions import sdp
from tests.unit.server.calls.bench import ACTION, IN, ONE, Bench, dial

NEXT = "<Dial><Sip>sip:dave@192.0.2.11</Sip></Dial>"
RECORDED = f'action="{ACTION}" record="true"'


def call_sid(bench: Bench) -> str:
    return bench.sid


def record(bench: Bench) -> str:
    return next(str(note.data["recording"]) for note in bench.notes if note.data.get("event") == "record")


def ended(name: str, duration_ms: int = 3000, reason: str = "stopped", detail: str = "") -> engine.RecordingEnded:
    return engine.RecordingEnded(
        recording=name, path=f"/rec/{name}.wav", duration_ms=duration_ms, size_bytes=1, reason=reason, detail=detail
    )


def _streams(bench: Bench, most: int) -> None:
    bench.engine.fail_open = lambda stream: bench.engine.opened >= most


def _deaf(bench: Bench) -> None:
    bench.engine.deaf = True


def _slow_disk(bench: Bench) -> None:
    bench.engine.slow_disk = True


# --- streams ------------------------------------------------------------------------------------------------------


def test_no_stream_for_the_callee__failed_with_media_failure_and_503__behaviour_3_1() -> None:
    bench = Bench(dial(ONE), before=lambda bench: _streams(bench, 1))
    bench.run(1.0)
    assert bench.action["DialCallStatus"] == "failed" and bench.action["FailureReason"] == "Media failure"
    assert bench.order() == ["180", "503"]


def test_no_stream_for_the_caller__503_with_a_reason__behaviour_1_1() -> None:
    bench = Bench(dial(ONE), before=lambda bench: _streams(bench, 0))
    (reject,) = bench.of(commands.SendReject)
    assert reject.status == 503 and reject.headers == (("Reason", 'SIP;cause=503;text="No media: no free ports"'),)
    assert not bench.web.requests and bench.records[0].ended.cause is Cause.FAILED


def test_stream_that_is_never_opened__503_in_time__behaviour_1_1() -> None:
    bench = Bench(dial(ONE), before=_deaf)
    bench.run(6.0)
    (reject,) = bench.of(commands.SendReject)
    assert reject.status == 503 and reject.headers[0][0] == "Reason"


def test_worker_dies_while_ringing__both_sides_are_told__behaviour_3_1() -> None:
    bench = Bench(dial(ONE))
    bench.progress(0)
    bench.engine.die(bench.now)
    bench.run(0.1)
    assert bench.order() == ["180", "INVITE", "CANCEL", "503"]
    assert bench.action["DialCallStatus"] == "failed" and bench.action["FailureReason"] == "Media failure"


@pytest.mark.parametrize("verb", ["<Say>hi</Say>", "<Play>/a.wav</Play>", "<Pause length='30'/>"])
def test_worker_dies_during_a_verb__the_call_is_ended__behaviour_3_1(verb: str) -> None:
    bench = Bench(f"<Response>{verb}{NEXT}</Response>")
    bench.run(0.2)
    bench.engine.die(bench.now)
    bench.run(60.0)
    assert bench.order()[-1] in ("BYE", "503") and not bench.of(commands.SendInvite)
    assert bench.records[-1].ended.cause is Cause.FAILED


def test_worker_dies_while_the_action_is_asked__its_answer_is_not_run__behaviour_2_8() -> None:
    bench = Bench(dial(ONE), action=f"<Response>{NEXT}</Response>")
    bench.fail(0, 486)
    bench.engine.die(bench.now)
    bench.run(1.0)
    assert bench.order() == ["180", "INVITE", "503"] and len(bench.web.of("action")) == 1


@pytest.mark.parametrize("answered", [False, True])
def test_peer_address_that_the_worker_refuses_ends_the_call__behaviour_3_1(answered: bool) -> None:
    """Better an end with a reason than a call in which nothing is heard."""
    bench = Bench(dial(ONE))
    if answered:
        bench.answer(0)
    bench.give_engine(engine.Failed(op="connect", subject=call_sid(bench), code="address", reason="cannot be reached"))
    bench.run(2.0)
    assert bench.order()[-2:] == (["BYE", "BYE"] if answered else ["CANCEL", "503"])
    assert bench.action["DialCallStatus"] == "failed" and bench.action["FailureReason"] == "Media failure"


# --- what the caller hears ----------------------------------------------------------------------------------------


def test_dial_music_that_the_worker_cannot_play_gives_13233_and_the_ringback__behaviour_10_2() -> None:
    bench = Bench(dial(ONE, 'dialMusic="/music.wav" answerOnBridge="false"'))
    (music,) = bench.engine.played
    bench.give_engine(engine.Failed(op="play", subject=music.play, code="file", reason="it is gone"))
    assert [play.tone for play in bench.engine.played] == ["", "ringback"]
    assert [item.code for item in bench.notifications] == [13233]


def test_play_that_the_worker_cannot_play_ends_the_call__behaviour_9() -> None:
    bench = Bench(f"<Response><Play>/a.wav</Play>{NEXT}</Response>")
    bench.run(0.1)
    (play,) = bench.engine.played
    bench.give_engine(engine.PlayEnded(stream=play.stream, play=play.play, reason="failed", detail="no WAV"))
    assert bench.order() == ["180", "200", "BYE"]
    assert [item.code for item in bench.notifications] == [13233]


def test_say_that_cannot_be_played_is_left_out__behaviour_9() -> None:
    bench = Bench(f"<Response><Say>hi</Say>{NEXT}</Response>")
    bench.run(0.1)
    (play,) = bench.engine.played
    bench.give_engine(engine.PlayEnded(stream=play.stream, play=play.play, reason="failed", detail="no WAV"))
    assert bench.order() == ["180", "200", "INVITE"]
    assert [item.code for item in bench.notifications] == [13511]


def test_late_end_of_an_old_play_does_not_end_the_new_one__behaviour_9() -> None:
    bench = Bench("<Response><Play>/a.wav</Play><Play>/b.wav</Play></Response>")
    bench.run(1.1)
    first, _ = bench.engine.played
    bench.give_engine(engine.PlayEnded(stream=first.stream, play=first.play, reason="finished"))
    assert bench.order() == ["180", "200"]


def test_music_that_comes_after_the_answer_is_not_played__behaviour_10_2() -> None:
    held: list[Prepare | Synthesize] = []
    bench = Bench(
        dial(ONE, 'dialMusic="/music.wav"'), before=lambda bench: setattr(bench.web, "prepare", lambda ask, now: held.append(ask))
    )
    bench.answer(0)
    bench.act(bench.registry.prepared(Prepared(held[0].prompt, "/music.wav"), bench.now))
    assert not bench.engine.played and bench.engine.bridges


# --- recordings ---------------------------------------------------------------------------------------------------


def test_recording_that_ends_late_is_kept_and_its_url_was_sent__behaviour_7() -> None:
    """The writer has a thread of its own and may need longer than the action waits: the page allows a URL not yet served."""
    bench = Bench(dial(ONE, RECORDED), before=_slow_disk)
    bench.answer(0)
    name = record(bench)
    bench.give_engine(engine.RecordingStarted(recording=name))
    bench.run(3.0)
    bench.bye_from(bench.leg(0))
    bench.run(4.0)
    assert bench.action["RecordingUrl"].endswith(f"/Recordings/{name}.wav")
    bench.give(events.SessionEnded(IN, events.EndCause.BYE_ANSWERED))
    bench.run(1.0)
    assert bench.registry.counts()["recordings"] == 1  # the call is over, and waits for its recording
    bench.give_engine(ended(name))
    assert [(item.sid, item.duration_ms) for item in bench.recordings] == [(name, 3000)]
    assert not any(bench.registry.counts().values())


def test_late_recording_that_never_began_has_no_url__behaviour_7() -> None:
    bench = Bench(dial(ONE, RECORDED), before=_slow_disk)
    bench.answer(0)
    bench.bye_from(bench.leg(0))
    bench.run(4.0)
    assert "RecordingUrl" not in bench.action
    bench.give_engine(ended(record(bench), 0))
    assert not bench.recordings


def test_late_recording_does_not_hold_a_call_whose_worker_died__behaviour_7() -> None:
    bench = Bench(dial(ONE, RECORDED), before=_slow_disk)
    bench.answer(0)
    bench.bye_from(IN)
    bench.bye_answered(0)
    bench.run(4.0)
    bench.give_engine(engine.EngineLost("killed"))
    bench.run(6.0)
    assert not any(bench.registry.counts().values())


def test_recording_of_a_worker_that_died_is_kept__call_control_md() -> None:
    """A WAV is valid after the worker was killed: it must not lie about without an owner."""
    bench = Bench(dial(ONE, RECORDED))
    bench.answer(0)
    bench.run(5.0)
    bench.engine.die(bench.now)
    bench.run(2.0)
    (recording,) = bench.recordings
    assert recording.duration_ms == 5000 and recording.path == f"/rec/{recording.sid}.wav"
    assert bench.action["DialCallStatus"] == "failed" and bench.action["RecordingUrl"].endswith(f"/{recording.sid}.wav")
    assert [item.code for item in bench.notifications] == [13610]


def test_recording_that_stopped_early_is_kept_and_noted__call_control_md() -> None:
    bench = Bench(dial(ONE, RECORDED))
    bench.answer(0)
    bench.run(2.0)
    bench.give_engine(ended(record(bench), 1500, "disk", "no space left"))
    bench.bye_from(bench.leg(0))
    bench.run(1.0)
    assert [item.code for item in bench.notifications] == [13610]
    assert bench.recordings[0].duration_ms == 1500 and "RecordingUrl" in bench.action


def test_recording_with_gaps_is_kept_and_noted__behaviour_7() -> None:
    bench = Bench(dial(ONE, RECORDED))
    bench.answer(0)
    bench.run(2.0)
    bench.give_engine(msgspec.structs.replace(ended(record(bench), 2000), lost_ms=640))
    bench.bye_from(bench.leg(0))
    bench.run(1.0)
    (noted,) = bench.notifications
    assert (noted.code, noted.level) == (13610, "warning") and "640 ms" in noted.message
    assert bench.recordings[0].duration_ms == 2000 and "RecordingUrl" in bench.action


def test_recording_refused_by_the_worker_does_not_delay_the_action__behaviour_7() -> None:
    bench = Bench(dial(ONE, RECORDED), before=_slow_disk)
    bench.answer(0)
    bench.give_engine(engine.Failed(op="record", subject=record(bench), code="file", reason="no such directory"))
    bench.bye_from(bench.leg(0))
    bench.run(0.1)
    assert "RecordingUrl" not in bench.action and [item.code for item in bench.notifications] == [13610]


# --- silence ------------------------------------------------------------------------------------------------------


def test_silence_of_the_caller_before_the_answer_counts__call_control_md() -> None:
    """The worker tells of a silence once; a caller who was dead while it rang is still dead in the bridge."""
    bench = Bench(dial(ONE, f'action="{ACTION}" timeout="200" answerOnBridge="false"'))
    bench.run(70.0)
    bench.give_engine(engine.MediaTimeout(stream=call_sid(bench), silent_ms=60000))
    bench.answer(0)
    bench.run(60.0)
    assert not bench.of(commands.SendBye)
    bench.give_engine(engine.MediaTimeout(stream=bench.leg(0), silent_ms=60000))
    assert {bye.session for bye in bench.of(commands.SendBye)} == {IN, bench.leg(0)}


def test_when_both_sides_are_dead_no_further_verb_is_run__call_control_md() -> None:
    bench = Bench(dial(ONE, "", "<Play loop='0'>/forever.wav</Play>"))
    bench.answer(0)
    for stream in (call_sid(bench), bench.leg(0)):
        bench.give_engine(engine.MediaTimeout(stream=stream, silent_ms=60000))
    bench.bye_answered(0)
    bench.run(2.0)
    assert bench.verbs() == ["Dial"]
    assert {bye.session for bye in bench.of(commands.SendBye)} == {IN, bench.leg(0)}
    assert bench.records[-1].ended.cause is Cause.COMPLETED


def test_silence_is_only_noted_when_it_shall_not_end_calls__call_control_md() -> None:
    bench = Bench(dial(ONE), media_timeout_ends_call=False)
    bench.answer(0)
    for stream in (call_sid(bench), bench.leg(0)):
        bench.give_engine(engine.MediaTimeout(stream=stream, silent_ms=60000))
    assert not bench.of(commands.SendBye)
    assert sum(note.data.get("event") == "media-timeout" for note in bench.notes) == 2


def test_description_that_is_repeated_changes_nothing__trap_38() -> None:
    bench = Bench(dial(ONE))
    for _ in range(3):
        bench.progress(0, 183, sdp("192.0.2.8"))
    bench.answer(0, sdp("192.0.2.8"))
    assert [note.leg for note in bench.notes if note.data.get("event") == "connected"] == [bench.leg(0), call_sid(bench)]


def test_early_media_and_answer_with_other_descriptions_use_the_last__rfc3264_8() -> None:
    bench = Bench(dial(ONE))
    bench.progress(0, 183, sdp("192.0.2.8"))
    bench.answer(0, sdp("192.0.2.9"))
    assert len(bench.engine.bridged_pairs) == 1
    peers = [note.data["peer"] for note in bench.notes if note.data.get("event") == "connected" and note.leg == bench.leg(0)]
    assert [str(peer).partition(":")[0] for peer in peers] == ["192.0.2.8", "192.0.2.9"]
