"""The database: what is written is read back, nothing waits, nothing grows without bound."""

from __future__ import annotations

import asyncio
import datetime
import sqlite3
import time
from collections import deque
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import Connection, event, insert

from config.load import load
from config.settings import Settings, StorageSettings
from server.calls.effects import Kind
from server.storage import schema
from server.storage.backlog import Batch, Piece
from server.storage.database import MIGRATIONS, Database, StorageError, check_version, migrate, open_database
from server.storage.housekeeping import clean_up
from server.storage.reader import Reader
from server.storage.rows import CallRow, CallStarted, Entry, EventRow, NotificationRow, RecordingRow, short_sid
from server.storage.schema import metadata
from server.storage.writer import Item, Writer

T0 = datetime.datetime(2026, 5, 26, 17, 59, 16, 555000, datetime.UTC)
CALL, LEG = "CA" + "1" * 32, "CA" + "2" * 32


def after(seconds: float) -> datetime.datetime:
    return T0 + datetime.timedelta(seconds=seconds)


def settings(tmp_path: Path, **storage: object) -> Settings:
    made = load(environ={"DIALPLANE_STATE": str(tmp_path), "DIALPLANE_SERVER__INSTANCE_ID": "ID" + "0" * 32})
    return made.model_copy(
        update={"storage": StorageSettings.model_validate({"url": made.storage.url, "batch_s": 0.0, "retention_days": 0, **storage})}
    )


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    made = Database(settings(tmp_path))
    await made.start()
    yield made
    await made.stop()


def call(sid: str = CALL, parent: str = "", at: float = 0.0, **more: object) -> CallRow:
    fields: dict[str, object] = {"answered_at": after(at + 2), "ended_at": after(at + 5), "duration_s": 5, "ring_duration_s": 2}
    fields |= {"cause": "completed", "ended_by": "caller", "sip_status": 200, "detail": "", "sip_call_id": f"{sid}@host", **more}
    return CallRow(sid, parent, "AC1", "inbound", "+1555", "+1666", after(at), **fields)  # type: ignore[arg-type]


def entry(at: float = 0.0, sid: str = CALL, **data: object) -> Entry:
    return Entry(sid, after(at), Kind.VERB, data, LEG)  # type: ignore[arg-type]


async def write_as_before(database: Database, entries: list[Entry]) -> None:
    """As version 0001 of the tables had it: a row an entry."""
    rows = [{"call_sid": e.call_sid, "at": e.at, "kind": e.kind.value, "leg": e.leg, "data": dict(e.data)} for e in entries]
    async with database.engine.begin() as connection:
        await connection.execute(insert(schema.timeline), rows)


# --- round trips


async def test_everything_written_is_read_back(database: Database) -> None:
    rows = call(), call(LEG, CALL, 1, answered_at=None)
    notification = NotificationRow("NO1", CALL, after(1), 13212, "warning", "ü", "http://x/", 3)
    recording = RecordingRow("RE1", CALL, "AC1", "/tmp/RE1.wav", 3000, after(5))
    entries = [entry(0, verb="Dial", line=3), entry(1.5, verb="Hangup", nested={"a": [1, None, "é"]})]
    items: list[Item] = [*rows, notification, recording, *entries]
    for item in items:
        database.writer.put(item)
    await database.writer.flush()
    reader = database.reader
    assert await reader.call(CALL) == rows[0]
    assert await reader.legs(CALL) == [rows[1]]
    assert await reader.recent_calls() == [rows[0]]
    assert await reader.timeline(CALL) == entries
    assert await reader.notifications(CALL) == [notification]
    assert await reader.recording("RE1") == recording
    assert await reader.recordings(CALL) == [recording]
    assert (database.writer.written, database.writer.dropped, database.writer.waiting) == (6, 0, 0)


async def test_times_are_kept_as_utc(database: Database, tmp_path: Path) -> None:
    """behaviour of the file itself: other programs read it too."""
    east = datetime.timezone(datetime.timedelta(hours=3))
    database.writer.put(call(answered_at=T0.astimezone(east)))
    await database.writer.flush()
    with sqlite3.connect(tmp_path / "dialplane.db") as file:
        assert file.execute("SELECT answered_at FROM calls").fetchone() == ("2026-05-26 17:59:16.555000",)
    row = await database.reader.call(CALL)
    assert row is not None
    assert row.answered_at == T0


async def test_long_form_of_a_sid_is_understood__behaviour_1_6(database: Database) -> None:
    long = "ID" + "f" * 32 + "-" + CALL
    assert short_sid(long) == CALL
    database.writer.put(call())
    database.writer.put(entry())
    await database.writer.flush()
    assert await database.reader.call(long) is not None
    assert len(await database.reader.timeline(long)) == 1


async def test_timeline_of_a_leg_is_its_calls(database: Database) -> None:
    for item in (call(), call(LEG, CALL), entry()):
        database.writer.put(item)
    await database.writer.flush()
    assert await database.reader.timeline(LEG) == [entry()]


async def test_timeline_is_in_the_order_of_time(database: Database) -> None:
    for at in (3.0, 1.0, 2.0, 1.0):
        database.writer.put(entry(at, n=at))
    await database.writer.flush()
    assert [found.at for found in await database.reader.timeline(CALL)] == [after(1), after(1), after(2), after(3)]


async def test_call_is_found_by_its_beginning_or_its_sip_call_id(database: Database) -> None:
    for item in (call(), call(LEG, CALL), call("CA" + "19" * 16)):
        database.writer.put(item)
    await database.writer.flush()
    find = database.reader.find_calls
    assert [row.sid for row in await find("CA11")] == [CALL]
    assert {row.sid for row in await find("CA1")} == {CALL, "CA" + "19" * 16}
    assert [row.sid for row in await find(f"{LEG}@host")] == [LEG]
    assert await find("%") == []  # no wild card


async def test_start_of_a_call_is_replaced_by_its_end_and_never_the_other_way(database: Database) -> None:
    started = CallStarted(CALL, T0, "a", "b")
    database.writer.put(started)
    await database.writer.flush()
    live = await database.reader.call(CALL)
    assert live is not None
    assert live.live
    database.writer.put(call())
    database.writer.put(started)  # in the same batch, or late
    await database.writer.flush()
    assert await database.reader.call(CALL) == call()


# --- bounds and failures


async def test_full_queue_drops_and_counts_and_put_never_waits(tmp_path: Path) -> None:
    database = Database(settings(tmp_path, queue_max=100))
    for n in range(130):  # not started: nothing takes them away
        database.writer.put(entry(n))
    assert (database.writer.waiting, database.writer.dropped) == (100, 30)
    await database.start()
    await database.stop()


async def test_a_loss_is_said_at_once_and_then_in_sums(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    database = Database(settings(tmp_path, queue_max=100))
    for n in range(130):
        database.writer.put(entry(n))
    database.writer.put(NotificationRow("NO1", CALL, T0, 1, "error", "x"))
    told = [vars(record) for record in caplog.records if record.getMessage() == "storage_queue_full"]
    assert [(line["queue_max"], line["lost"], line["timeline_entry"]) for line in told] == [(100, 1, 1)]
    database.writer._tell_at = 0.0  # some seconds later
    database.writer.put(entry(200))
    told = [vars(record) for record in caplog.records if record.getMessage() == "storage_queue_full"]
    assert [(line["lost"], line["timeline_entry"]) for line in told[1:]] == [(32, 31)]
    await database.start()
    await database.stop()
    assert database.writer.written == 101  # one tells of the gap


async def test_a_call_that_lost_entries_says_so_in_its_timeline(tmp_path: Path) -> None:
    database = Database(settings(tmp_path, queue_max=100))
    for n in range(130):
        database.writer.put(entry(n))
    await database.start()
    await database.writer.flush()
    first, *rest = await database.reader.timeline(CALL)
    await database.stop()
    assert (first.kind, first.data["left_out"], first.at) == (Kind.NOTICE, 30, after(30))
    assert rest == [entry(n) for n in range(30, 130)]


async def test_calls_that_end_one_after_the_other_share_a_transaction(tmp_path: Path) -> None:
    database = Database(settings(tmp_path, batch_s=0.1))
    transactions = 0

    def begun(connection: object) -> None:
        nonlocal transactions
        transactions += 1

    await database.start()
    database.writer.put(call("CA"))
    await database.writer.flush()  # with it the cleaning up at the start is over, which has transactions of its own
    event.listen(database.engine.sync_engine, "commit", begun)
    began = time.monotonic()
    for n in range(60):
        database.writer.put(entry(n, sid=f"CA{n}"))
        database.writer.put(call(f"CA{n}"))
        await asyncio.sleep(0.005)
    await database.writer.flush()
    seconds = time.monotonic() - began
    assert transactions <= seconds / 0.1 + 3 or seconds > 0.42  # where writing takes its time, the next batch is due at its end
    assert transactions < 30  # and not one for each of 60 calls, however slow the machine is
    assert database.writer.written == 121
    await database.stop()


async def test_writing_twice_is_writing_once(database: Database) -> None:
    """The answer to a commit may be lost with the connection; then everything is written again."""
    prepared = [*database.writer._pieces(Piece(CALL, 0.0, deque([entry(0), entry(1)]))), *database.writer._prepare(Batch([call()], []))]
    for _ in range(2):
        async with database.engine.begin() as connection:
            await database.writer._insert(connection, prepared)
    assert await database.reader.timeline(CALL) == [entry(0), entry(1)]
    assert await database.reader.call(CALL) == call()


async def test_stop_writes_what_waits(tmp_path: Path) -> None:
    database = Database(settings(tmp_path, batch_max=7))
    await database.start()
    for n in range(100):
        database.writer.put(entry(n))
    await database.stop()
    with sqlite3.connect(tmp_path / "dialplane.db") as file:
        assert file.execute("SELECT sum(entries) FROM timeline_pieces").fetchone() == (100,)


async def test_item_that_cannot_be_written_does_not_take_others_with_it(database: Database) -> None:
    for item in (entry(0), entry(1, bad=object()), entry(2)):
        database.writer.put(item)
    await database.writer.flush()
    assert [found.at for found in await database.reader.timeline(CALL)] == [after(0), after(2)]
    assert database.writer.dropped == 1


async def test_locked_database_is_tried_again(database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server.storage.writer.RETRY_FIRST_S", 0.05)
    async with database.engine.connect() as connection:
        await connection.exec_driver_sql("PRAGMA busy_timeout=0")  # the pool hands the same connection to the writer
    blocker = sqlite3.connect(tmp_path / "dialplane.db", isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    database.writer.put(call())
    await asyncio.sleep(0.15)
    assert database.writer.waiting == 1
    blocker.execute("ROLLBACK")
    blocker.close()
    await asyncio.wait_for(database.writer.flush(), 5)
    assert (database.writer.written, database.writer.dropped) == (1, 0)


async def test_calls_of_a_run_that_died_are_ended(tmp_path: Path) -> None:
    first = Database(settings(tmp_path))
    await first.start()
    first.writer.put(CallStarted(CALL, T0, "a", "b"))
    first.writer.put(entry(42))
    other = Writer(first.engine, first.writer._settings, "ID" + "9" * 32)
    await other.start()
    other.put(CallStarted(LEG, T0, "a", "b"))  # lives in another instance
    await other.stop()
    await first.stop()
    second = Database(settings(tmp_path))
    await second.start()
    mine, others = await second.reader.call(CALL), await second.reader.call(LEG)
    await second.stop()
    assert mine is not None
    assert others is not None
    assert (mine.cause, mine.ended_by, mine.ended_at) == ("failed", "server", after(42))
    assert others.live


# --- versions


async def test_migrations_lead_to_the_schema(tmp_path: Path) -> None:
    engine = open_database(f"sqlite+aiosqlite:///{tmp_path}/x.db")
    await migrate(engine)
    await migrate(engine)  # twice does no harm

    def differences(connection: Connection) -> list[object]:
        return list(compare_metadata(MigrationContext.configure(connection), metadata))

    async with engine.connect() as connection:
        assert await connection.run_sync(differences) == []
    await engine.dispose()


async def test_timelines_of_an_older_program_are_read_beside_the_new_ones(tmp_path: Path) -> None:
    """0001 had a row an entry; its rows stay where they are."""
    engine = open_database(f"sqlite+aiosqlite:///{tmp_path}/dialplane.db")

    def as_before(connection: Connection) -> None:
        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS))
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")

    async with engine.begin() as connection:
        await connection.run_sync(as_before)
    await engine.dispose()
    old = [entry(at, n=at) for at in (1.0, 2.0, 5.0)]
    database = Database(settings(tmp_path))
    async with database.engine.begin() as connection:
        rows = [{"call_sid": e.call_sid, "at": e.at, "kind": e.kind.value, "leg": e.leg, "data": dict(e.data)} for e in old]
        await connection.execute(insert(schema.timeline), rows)
    await database.start()
    database.writer.put(entry(3.0, n=3.0))
    await database.writer.flush()
    assert [found.data["n"] for found in await database.reader.timeline(CALL)] == [1.0, 2.0, 3.0, 5.0]
    assert await database.reader.timeline(CALL) == [old[0], old[1], entry(3.0, n=3.0), old[2]]
    await database.stop()


async def test_a_piece_that_cannot_be_read_says_so_in_the_timeline(database: Database) -> None:
    database.writer.put(entry(0))
    await database.writer.flush()
    piece = {"call_sid": CALL, "number": 1, "last_at": after(1), "entries": 3, "encoding": "of the future", "data": b"x"}
    async with database.engine.begin() as connection:
        await connection.execute(insert(schema.timeline_pieces), [piece])
    first, second = await database.reader.timeline(CALL)
    assert first == entry(0)
    assert (second.kind, second.at) == (Kind.NOTICE, after(1))
    assert 'written as "of the future"' in str(second.data["message"])


async def test_database_of_a_newer_program_is_refused(tmp_path: Path) -> None:
    engine = open_database(f"sqlite+aiosqlite:///{tmp_path}/x.db")
    await migrate(engine)
    async with engine.begin() as connection:
        await connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(StorageError, match="newer"):
        await migrate(engine)
    with pytest.raises(StorageError, match="9999"):
        await check_version(engine)
    await engine.dispose()


async def test_reading_beside_the_running_server(database: Database, tmp_path: Path) -> None:
    database.writer.put(call())
    await database.writer.flush()
    engine = open_database(f"sqlite+aiosqlite:///{tmp_path}/dialplane.db", read_only=True)
    await check_version(engine)
    assert await Reader(engine).call(CALL) == call()
    with pytest.raises(Exception, match="readonly"):
        async with engine.begin() as connection:
            await connection.exec_driver_sql("DELETE FROM calls")
    await engine.dispose()


def test_reading_never_makes_a_database(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="there is no database"):
        open_database(f"sqlite+aiosqlite:///{tmp_path}/none.db", read_only=True)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("url", ["nonsense", "oracle+nothing://x"])
def test_url_that_is_none_is_told(url: str) -> None:
    with pytest.raises(StorageError, match=r"storage\.url"):
        open_database(url)


async def test_file_that_is_no_database_is_told(tmp_path: Path) -> None:
    (tmp_path / "x.db").write_bytes(b"not a database at all" * 100)
    engine = open_database(f"sqlite+aiosqlite:///{tmp_path}/x.db")
    with pytest.raises(StorageError, match="not a database"):
        await migrate(engine)
    await engine.dispose()


# --- retention


async def test_old_calls_go_and_live_ones_stay(database: Database) -> None:
    day = 86400.0
    for item in (call(), call(LEG, at=20 * day), CallStarted("CA3", T0), entry(0)):
        database.writer.put(item)
    await database.writer.flush()  # entries that come so long after each other are no one piece
    database.writer.put(entry(20 * day))
    database.writer.put(NotificationRow("NO1", CALL, T0, 1, "error", "x"))
    database.writer.put(EventRow("EV1", CALL, T0, "status", "http://a/", "POST", "[]", "delivered", 1, None, 200, ""))
    await database.writer.flush()
    removed = await clean_up(database.engine, StorageSettings(retention_days=15), after(30 * day))
    assert removed == {"timeline": 0, "timeline_pieces": 1, "notifications": 1, "events": 1, "calls": 1}
    assert {row.sid for row in await database.reader.recent_calls()} == {LEG, "CA3"}
    assert await database.reader.timeline(CALL) == [entry(20 * day)]


async def test_nothing_goes_when_nothing_is_to_go(database: Database) -> None:
    database.writer.put(call())
    await database.writer.flush()
    forever = StorageSettings(retention_days=0, recording_retention_days=0)
    assert await clean_up(database.engine, forever, after(1e9)) == {}


async def test_old_recordings_go_with_their_files(database: Database, tmp_path: Path) -> None:
    old, young, missing = tmp_path / "old.wav", tmp_path / "young.wav", tmp_path / "missing.wav"
    old.write_bytes(b"x")
    young.write_bytes(b"x")
    for sid, path, at in (("RE1", old, 0.0), ("RE2", young, 86400.0), ("RE3", missing, 0.0)):
        database.writer.put(RecordingRow(sid, CALL, "AC1", str(path), 1, after(at)))
    await database.writer.flush()
    await clean_up(database.engine, StorageSettings(recording_retention_days=1), after(86400 * 1.5))
    assert not old.exists()
    assert young.exists()
    assert [row.sid for row in await database.reader.recordings(CALL)] == ["RE2"]


async def test_retention_deletes_in_small_steps(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server.storage.housekeeping.CHUNK", 10)
    for n in range(25):
        database.writer.put(entry(n, sid=f"CA{n}"))
    await database.writer.flush()
    await write_as_before(database, [entry(n) for n in range(25)])
    removed = await clean_up(database.engine, StorageSettings(retention_days=1), after(86400 * 9))
    assert (removed["timeline_pieces"], removed["timeline"]) == (25, 25)
