"""The database on a real PostgreSQL that is killed, restarted, made read-only, filled up and failed over: nothing that the backlog can
hold is lost, and what is lost is said."""

from __future__ import annotations

import asyncio
import datetime
import itertools
import logging
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection

from config.load import load
from config.settings import Settings, StorageSettings
from server.calls.effects import Kind
from server.storage import writer as writing
from server.storage.database import Database
from server.storage.housekeeping import clean_up
from server.storage.rows import CallRow, CallStarted, Entry, NotificationRow, RecordingRow
from server.storage.schema import metadata
from tests.support.postgresql import CONNECTIONS, HOST, USER, Cluster, cluster

pytestmark = pytest.mark.interop

T0 = datetime.datetime(2026, 5, 26, 17, 59, 16, 555000, datetime.UTC)
ENTRIES = 12  # of a call
_names = (f"calls{n}" for n in itertools.count())


@pytest.fixture(scope="module")
def server() -> Iterator[Cluster]:
    with cluster() as made:
        yield made


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing, "RETRY_FIRST_S", 0.05)
    monkeypatch.setattr(writing, "RETRY_LONGEST_S", 0.3)


def settings(tmp_path: Path, url: str, **storage: object) -> Settings:
    made = load(environ={"DIALPLANE_STATE": str(tmp_path), "DIALPLANE_SERVER__INSTANCE_ID": "ID" + "0" * 32})
    wanted = {"url": url, "batch_s": 0.02, "retention_days": 0, **storage}
    return made.model_copy(update={"storage": StorageSettings.model_validate(wanted)})


@asynccontextmanager
async def opened(tmp_path: Path, url: str, **storage: object) -> AsyncIterator[Database]:
    database = Database(settings(tmp_path, url, **storage))
    await database.start()
    try:
        yield database
    finally:
        await database.stop()


def sid(n: int) -> str:
    return f"CA{n:032x}"


def at(n: float) -> datetime.datetime:
    return T0 + datetime.timedelta(seconds=n)


def row(n: int, **more: object) -> CallRow:
    ends: dict[str, object] = {"ended_at": at(n + 5), "cause": "completed", "ended_by": "caller", "sip_status": 200, **more}
    return CallRow(sid(n), "", "AC1", "inbound", "+1555", "+1666", at(n), **ends)  # type: ignore[arg-type]


def whole_call(database: Database, n: int) -> None:
    """Everything that a call puts: its beginning, a timeline, a notification, a recording, its end."""
    put = database.writer.put
    put(CallStarted(sid(n), at(n), "+1555", "+1666"))
    for k in range(ENTRIES):
        put(Entry(sid(n), at(n + k / 100), Kind.SIP if k % 2 else Kind.VERB, {"k": k, "raw": "x" * 300}))
    put(NotificationRow(f"NO{n}", sid(n), at(n), 11200, "error", "é", "http://x/", 3))
    put(RecordingRow(f"RE{n}", sid(n), "AC1", f"/r/{n}.wav", 3000, at(n)))
    put(row(n))


async def missing(database: Database, calls: int) -> list[str]:
    """What is not there, of that many whole calls."""
    reader, found = database.reader, []
    for n in range(calls):
        if await reader.call(sid(n)) != row(n):
            found.append(f"call {n}")
        entries = await reader.timeline(sid(n))
        if [entry.data.get("k") for entry in entries] != list(range(ENTRIES)):
            found.append(f"timeline {n}: {len(entries)}")
        if len(await reader.notifications(sid(n))) != 1 or len(await reader.recordings(sid(n))) != 1:
            found.append(f"notification or recording {n}")
    return found


async def until_retried(caplog: pytest.LogCaptureFixture) -> str:
    """Until the writer has met the trouble; what it says."""
    for _ in range(600):
        told = [record for record in caplog.records if record.getMessage() == "storage_unavailable"]
        if len(told) >= 2:
            return str(vars(told[-1])["error"])
        await asyncio.sleep(0.05)
    raise AssertionError("the writer has met no trouble")


async def flushed(database: Database) -> None:
    await asyncio.wait_for(database.writer.flush(), 30)


async def test_everything_written_is_read_back_and_the_tables_are_the_schema(server: Cluster, tmp_path: Path) -> None:
    async with opened(tmp_path, server.create(next(_names))) as database:
        for n in range(5):
            whole_call(database, n)
        await flushed(database)
        assert await missing(database, 5) == []
        assert database.writer.dropped == 0

        def differences(connection: Connection) -> list[object]:
            return list(compare_metadata(MigrationContext.configure(connection), metadata))

        async with database.engine.connect() as connection:
            assert await connection.run_sync(differences) == []
        removed = await clean_up(database.engine, StorageSettings(retention_days=1), at(86400 * 9))
        assert removed == {"timeline": 0, "timeline_pieces": 5, "notifications": 5, "events": 0, "calls": 5}


async def test_calls_of_a_run_that_died_are_ended(server: Cluster, tmp_path: Path) -> None:
    url = server.create(next(_names))
    async with opened(tmp_path, url) as database:
        database.writer.put(CallStarted(sid(1), T0, "a", "b"))
        database.writer.put(Entry(sid(1), at(42), Kind.VERB, {}))
    async with opened(tmp_path, url) as database:
        call = await database.reader.call(sid(1))
        assert call is not None
        assert (call.cause, call.ended_by, call.ended_at) == ("failed", "server", at(42))


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT], ids=["killed", "restarted"])
async def test_nothing_is_lost_when_it_goes_away_under_load(
    server: Cluster, tmp_path: Path, caplog: pytest.LogCaptureFixture, number: signal.Signals
) -> None:
    caplog.set_level(logging.INFO)
    async with opened(tmp_path, server.create(next(_names))) as database:
        for n in range(150):
            whole_call(database, n)
            await asyncio.sleep(0.01)
            if n == 50:
                await asyncio.to_thread(server.stop, number)
            if n == 100:
                await until_retried(caplog)
                await asyncio.to_thread(server.start, wait=False)  # "the database system is starting up"
        await flushed(database)
        assert await missing(database, 150) == []
        assert (database.writer.dropped, database.writer.waiting) == (0, 0)
        assert [record for record in caplog.records if record.getMessage() == "storage_item_refused"] == []
        assert [record for record in caplog.records if record.getMessage() == "storage_available"] != []


async def test_nothing_is_lost_while_it_only_reads(server: Cluster, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with opened(tmp_path, server.create(next(_names))) as database:
        whole_call(database, 0)
        await flushed(database)
        server.set_read_only(True)
        try:
            for n in range(1, 20):
                whole_call(database, n)
            await until_retried(caplog)
            assert database.writer.waiting == 19 * (ENTRIES + 4)
        finally:
            server.set_read_only(False)
        await flushed(database)
        assert await missing(database, 20) == []
        assert database.writer.dropped == 0


async def test_nothing_is_lost_while_all_connections_are_taken(server: Cluster, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    import asyncpg

    name = next(_names)
    async with opened(tmp_path, server.create(name)) as database:
        whole_call(database, 0)
        await flushed(database)
        others = []
        ours = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"
        await asyncio.to_thread(server.sql, ours)
        try:
            with pytest.raises(asyncpg.PostgresError, match=r"connection slots|too many"):
                for _ in range(CONNECTIONS + 1):
                    others.append(await asyncpg.connect(host=HOST, port=server.port, user=USER, database="postgres"))
            for n in range(1, 20):
                whole_call(database, n)
            said = await until_retried(caplog)
            assert "connection slots" in said or "too many" in said
        finally:
            for other in others:
                await other.close()
        await flushed(database)
        assert await missing(database, 20) == []
        assert database.writer.dropped == 0


async def test_only_the_rows_that_it_refuses_for_their_content_are_lost(
    server: Cluster, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with opened(tmp_path, server.create(next(_names))) as database:
        for n in range(20):
            whole_call(database, n)
        for bad in (
            row(100, detail="nul \x00 in it"),
            row(101, sip_status=2**40),
            NotificationRow("NO" + "x" * 100, sid(0), T0, 1, "error", ""),
        ):
            database.writer.put(bad)
        await flushed(database)
        assert await missing(database, 20) == []
        assert dict(database.writer.lost) == {"call": 2, "notification": 1}
        refused = [vars(record)["error"] for record in caplog.records if record.getMessage() == "storage_item_refused"]
        assert len(refused) == 3
        assert await database.reader.call(sid(100)) is None


async def test_ends_are_kept_when_there_is_too_much_and_the_loss_is_said(
    server: Cluster, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with opened(tmp_path, server.create(next(_names)), queue_max=200, batch_max=50) as database:
        await asyncio.to_thread(server.stop)
        try:
            for n in range(45):  # 16 items each: 720 of them
                whole_call(database, n)
                await asyncio.sleep(0)
            assert database.writer.waiting <= 250  # and a batch in hand
        finally:
            await asyncio.to_thread(server.start)
        await flushed(database)
        assert {n for n in range(45) if await database.reader.call(sid(n)) != row(n)} == set()
        assert {n for n in range(45) if len(await database.reader.recordings(sid(n))) != 1} == set()
        lost = database.writer.lost
        stored = [entry for n in range(45) for entry in await database.reader.timeline(sid(n))]
        kept = [entry for entry in stored if "k" in entry.data]
        assert len(kept) + lost["timeline entry"] == 45 * ENTRIES
        assert set(lost) <= {"timeline entry", "call beginning", "notification"}
        assert [record for record in caplog.records if record.getMessage() == "storage_queue_full"] != []


async def test_the_writer_follows_the_primary(server: Cluster, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Of two servers in the URL the one that can be written to, also when it is another one than before."""
    name = next(_names)
    server.create(name)
    with cluster() as other:
        for url in (other.create(name), server.url(name)):
            async with opened(tmp_path, url):
                pass  # its tables, as replication would have brought them
        both = f"postgresql+asyncpg://{USER}@/{name}?host={HOST}:{server.port}&host={HOST}:{other.port}"
        async with opened(tmp_path, both) as database:
            whole_call(database, 0)
            await flushed(database)
            assert server.sql("SELECT count(*) FROM calls", database=name) == "1"
            server.set_read_only(True)
            try:
                for n in range(10):
                    whole_call(database, n)
                await flushed(database)
            finally:
                server.set_read_only(False)
            assert other.sql("SELECT count(*) FROM calls", database=name) == "10"
            assert database.writer.dropped == 0
