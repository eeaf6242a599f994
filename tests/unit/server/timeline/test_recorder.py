"""The recorder: what call control says reaches the timeline, the database and the metrics; and the metrics' few labels."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from config.load import load
from media.engine import Quality
from server.calls.effects import Fetch, Fetched, Kind, Note, Notification
from server.calls.records import By, CallEnded, CallRecord, Cause, RecordingRecord
from server.observability.clock import WallClock
from server.observability.metrics import Metrics
from server.storage.database import Database
from server.timeline.recorder import Recorder
from sip.core.events import Direction, Dropped, Traced
from sip.core.flows import Address, Flow

CALL, LEG = "CA" + "1" * 32, "CA" + "2" * 32
WALL = 1_780_000_000.0


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    made = Database(load(environ={"DIALPLANE_STATE": str(tmp_path), "DIALPLANE_STORAGE__RETENTION_DAYS": "0"}))
    await made.start()
    yield made
    await made.stop()


@pytest.fixture
def metrics() -> Metrics:
    return Metrics("1.2.3")


@pytest.fixture
def recorder(database: Database, metrics: Metrics) -> Recorder:
    settings = load(environ={}).storage
    return Recorder(settings, database.writer, metrics, WallClock(0.0, WALL))


def record(sid: str = CALL, parent: str = "", cause: Cause = Cause.COMPLETED) -> CallRecord:
    ended = CallEnded(cause, By.CALLEE, 486 if cause is Cause.BUSY else 0, "words")
    return CallRecord(sid, parent, "AC1", "outbound-dial" if parent else "inbound", "a", "b", 1.0, 3.0, 8.5, 7, 2, ended, "id@h")


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(name, labels)


def test_the_opinion_scores_of_ended_streams_are_counted_when_there_are_any(metrics: Metrics) -> None:
    metrics.heard(Quality(seconds=5, mos_in=4.3, worst_in=4.0))
    metrics.heard(Quality(seconds=5, mos_in=3.1, mos_out=2.2, worst_in=1.0, worst_out=2.0))
    assert value(metrics, "dialplane_leg_mos_count", media="in") == 2
    assert value(metrics, "dialplane_leg_mos_bucket", media="in", le="3.3") == 1
    assert value(metrics, "dialplane_leg_mos_sum", media="out") == 2.2


async def test_call_is_live_from_its_first_word_to_its_record(database: Database, recorder: Recorder) -> None:
    recorder.note(Note(CALL, 1.0, Kind.STATE, {"status": "ringing", "from": "a", "to": "b"}))
    recorder.note(Note(CALL, 2.0, Kind.VERB, {"verb": "Dial"}))
    await database.writer.flush()
    row = await database.reader.call(CALL)
    assert row is not None
    assert (row.live, row.from_user, row.to_user, row.created_at.timestamp()) == (True, "a", "b", WALL + 1)
    assert len(recorder.timeline(CALL) or []) == 2

    recorder.keep(record())
    recorder.note(Note(CALL, 9.0, Kind.OUTCOME, {"cause": "completed"}))  # a late entry
    await database.writer.flush()
    row = await database.reader.call(CALL)
    assert row is not None
    assert (row.cause, row.ended_by, row.detail, row.duration_s, row.sip_call_id) == ("completed", "callee", "words", 7, "id@h")
    assert row.ended_at is not None
    assert row.ended_at.timestamp() == WALL + 8.5
    assert recorder.timeline(CALL) is None
    assert [entry.kind for entry in await database.reader.timeline(CALL)] == [Kind.STATE, Kind.VERB, Kind.OUTCOME]


async def test_record_of_a_dialled_leg_does_not_end_the_call(recorder: Recorder) -> None:
    recorder.note(Note(CALL, 1.0, Kind.VERB, {}))
    recorder.keep(record(LEG, CALL, Cause.BUSY))
    assert recorder.timeline(CALL) is not None


async def test_notification_and_recording_are_kept(database: Database, recorder: Recorder) -> None:
    recorder.keep(Notification(CALL, 1.0, 11205, "error", "http://u:secret@h/ failed", "http://u:secret@h/", 4))
    recorder.keep(Notification(CALL, 1.5, 11205, "error", "again"))
    recorder.keep(RecordingRecord("RE1", CALL, "AC1", "/r/RE1.wav", 3000, 2.0))
    await database.writer.flush()
    first, second = await database.reader.notifications(CALL)
    assert (first.code, first.line, first.url, second.message) == (11205, 4, "http://u:***@h/", "again")
    assert "secret" not in first.message
    assert first.sid.startswith("NO")
    assert first.sid != second.sid
    assert (await database.reader.recording("RE1")) is not None


async def test_recorder_never_waits_for_the_database(tmp_path: Path, metrics: Metrics) -> None:
    """Nobody writes: everything returns at once all the same, and what is too much is counted."""
    database = Database(load(environ={"DIALPLANE_STATE": str(tmp_path), "DIALPLANE_STORAGE__QUEUE_MAX": "100"}))
    metrics.watch_storage(database.writer)
    recorder = Recorder(load(environ={}).storage, database.writer, metrics)
    for n in range(500):
        recorder.note(Note(CALL, float(n), Kind.VERB, {}))
    assert (database.writer.waiting, database.writer.dropped) == (100, 400)
    assert value(metrics, "dialplane_storage_lost_total", what="timeline entry") == 400
    await database.engine.dispose()


async def test_metrics_of_calls(recorder: Recorder, metrics: Metrics) -> None:
    recorder.keep(record())
    recorder.keep(record(LEG, CALL, Cause.BUSY))
    assert value(metrics, "dialplane_legs_ended_total", direction="outbound-dial", cause="busy", by="callee") == 1
    assert value(metrics, "dialplane_leg_talk_seconds_sum", direction="inbound") == 5.5
    recorder.keep(RecordingRecord("RE1", CALL, "AC1", "/x", 2500, 1.0))
    assert value(metrics, "dialplane_recording_seconds_total") == 2.5


def test_metrics_of_http(metrics: Metrics) -> None:
    ask = Fetch(1, CALL, "voice", "http://x/", "POST", ())
    for answer in (Fetched(1, 200, elapsed_ms=30), Fetched(1, 404), Fetched(1, 0, error="timeout", elapsed_ms=5000)):
        metrics.fetched(ask, answer)
    for result in ("200", "4xx", "timeout"):
        assert value(metrics, "dialplane_http_requests_total", purpose="voice", result=result) == 1
    assert value(metrics, "dialplane_http_seconds_bucket", purpose="voice", le="0.05") == 2


def test_metrics_of_sip_have_few_labels_whatever_peers_send(metrics: Metrics) -> None:
    flow = Flow("udp", Address("127.0.0.1", 5060), Address("127.0.0.1", 5061))
    for summary in ("INVITE sip:x", "180 Ringing (INVITE)", "486 Busy Here (INVITE)", *(f"X{n} sip:x" for n in range(50)), "²²² x", ""):
        metrics.sip(Traced(None, "id", Direction.IN, flow, b"", summary))
    metrics.sip(Traced(None, "id", Direction.OUT, flow, b"", "INVITE sip:x", repeated=True))
    metrics.sip(Dropped(flow, "parse_error"))
    families = [family for family in metrics.registry.collect() if family.name == "dialplane_sip_messages"]
    names = {sample.labels["message"] for sample in families[0].samples}
    assert names == {"INVITE", "1xx", "4xx", "other"}
    assert value(metrics, "dialplane_sip_retransmissions_total", direction="out") == 1
    assert value(metrics, "dialplane_sip_dropped_total", reason="parse_error") == 1


@dataclass
class Storage:
    waiting: int = 7
    written: int = 8
    dropped: int = 9
    lost: dict[str, int] = field(default_factory=lambda: {"end of a call": 9})


async def test_what_lives_is_asked_when_it_is_read(metrics: Metrics) -> None:
    counts = {"calls": 1}
    metrics.watch_live(lambda: counts)
    metrics.watch_calls(lambda: {"begun": 3, "refused": 4})
    metrics.watch_requests(lambda: {"documents": 5})
    metrics.watch_strangers(lambda: {"banned": 6})
    metrics.watch_storage(Storage())
    counts["calls"] = 2
    await asyncio.sleep(0)
    text = metrics.text().decode()
    assert 'dialplane_live{what="calls"} 2.0' in text
    for line in (
        *('dialplane_calls_total{what="refused"} 4.0', 'dialplane_http_in_flight{what="documents"} 5.0'),
        *('dialplane_sip_strangers_total{what="banned"} 6.0', 'dialplane_storage_lost_total{what="end of a call"} 9.0'),
        *("dialplane_storage_waiting 7.0", "dialplane_storage_written 8.0", "dialplane_storage_dropped 9.0"),
    ):
        assert f"\n{line}\n" in text
    assert 'dialplane_build_info{version="1.2.3"} 1.0' in text
