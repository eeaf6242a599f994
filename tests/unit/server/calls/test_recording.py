"""One recording, from asked to ended (docs/call-control.md; behaviour 7)."""

from __future__ import annotations

import pytest

from media import engine
from server.calls.effects import Notification
from server.calls.outbox import Outbox
from server.calls.recording import Recording, RecordingState
from server.calls.records import RecordingRecord
from tests.unit.server.calls.legs.legs import Legs


def asked() -> tuple[Outbox, Recording]:
    outbox = Legs(recordings_dir="/rec").outbox()
    recording = Recording(outbox, line=7)
    recording.start("CA1-bridge")
    return outbox, recording


def ended(recording: Recording, duration_ms: int, reason: str = "stopped", **more: object) -> engine.RecordingEnded:
    path = f"/rec/{recording.sid}.wav"
    fields: dict[str, object] = {"recording": recording.sid, "path": path, "duration_ms": duration_ms, "size_bytes": 44, "reason": reason}
    return engine.RecordingEnded(**{**fields, **more})  # type: ignore[arg-type]


def kept(outbox: Outbox) -> tuple[list[RecordingRecord], list[Notification]]:
    actions = outbox.drain()
    return [a for a in actions if isinstance(a, RecordingRecord)], [a for a in actions if isinstance(a, Notification)]


def test_a_recording_is_kept_with_its_length_and_url() -> None:
    outbox, recording = asked()
    (command,) = [action for action in outbox.drain() if isinstance(action, engine.Record)]
    assert (command.recording, command.bridge, command.path) == (recording.sid, "CA1-bridge", f"/rec/{recording.sid}.wav")
    assert (recording.state, recording.url) == (RecordingState.ASKED, None)
    recording.started()
    assert recording.url is not None  # soon to be had
    recording.stop()
    recording.stop()
    assert [type(action) for action in outbox.drain()] == [engine.StopRecord]
    recording.ended(ended(recording, 3000))
    (record,), told = kept(outbox)
    assert (record.duration_ms, record.sid, told) == (3000, recording.sid, [])
    assert str(recording.url).endswith(f"{recording.sid}.wav")
    assert recording.over


def test_a_recording_of_nothing_is_not_kept_and_has_no_url() -> None:
    outbox, recording = asked()
    recording.ended(ended(recording, 0))
    assert kept(outbox) == ([], []) and recording.over and recording.url is None


@pytest.mark.parametrize(("duration_ms", "kept_ones"), [(3, 0), (99, 0), (100, 1)])
def test_some_milliseconds_are_nothing_to_hear__behaviour_7(duration_ms: int, kept_ones: int) -> None:
    outbox, recording = asked()
    recording.started()
    outbox.now += duration_ms / 1000 + 0.0001
    recording.stop()
    assert bool(recording.url) is bool(kept_ones)
    outbox.now += 2.0
    assert bool(recording.url) is bool(kept_ones), "its length is that until it was stopped"
    recording.ended(ended(recording, duration_ms))
    records, told = kept(outbox)
    assert (len(records), bool(recording.url), told) == (kept_ones, bool(kept_ones), [])


def test_a_recording_ends_once() -> None:
    outbox, recording = asked()
    recording.started()
    recording.ended(ended(recording, 3000))
    kept(outbox)
    recording.ended(ended(recording, 9000))
    recording.refused("too late")
    recording.engine_lost()
    recording.stop()
    assert outbox.drain() == []


@pytest.mark.parametrize(
    ("what", "level"), [({"reason": "disk", "detail": "disk full"}, "error"), ({"lost_ms": 40}, "warning"), ({}, None)], ids=str
)
def test_what_went_wrong_on_the_disk_is_told_with_the_verbs_line(what: dict[str, object], level: str | None) -> None:
    outbox, recording = asked()
    recording.started()
    recording.ended(ended(recording, 3000, **what))  # type: ignore[arg-type]
    records, told = kept(outbox)
    assert len(records) == 1 and [(one.level, one.line, one.code) for one in told] == ([(level, 7, 13610)] if level else [])


def test_an_engine_that_refuses_leaves_a_notification_and_no_recording() -> None:
    outbox, recording = asked()
    recording.refused("no such directory")
    records, (told,) = kept(outbox)
    assert records == [] and "no such directory" in told.message and recording.over


@pytest.mark.parametrize("began", [True, False])
def test_what_a_worker_that_died_had_recorded_is_kept_by_the_clock(began: bool) -> None:
    outbox, recording = asked()
    if began:
        recording.started()
    outbox.now += 2.5
    recording.engine_lost()
    records, told = kept(outbox)
    assert [record.duration_ms for record in records] == ([2500] if began else [])
    assert bool(told) is began and recording.over
