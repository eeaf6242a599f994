"""The one writer to the database: what a call has to say is queued without waiting, and written in batches.

What waits is bounded (`Backlog`): when the database is slow or gone the bulk of timelines is dropped first, and counted; a call
never notices. A batch that fails because of the database is tried again, later and later, on a new connection; one that fails because
of its content is written in halves, and only the row that the database refuses is dropped. Writing something twice is writing
it once, so a commit whose answer was lost does no harm.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import logging
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, assert_never

from sqlalchemy import Dialect, Table, func, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from config.settings import StorageSettings
from server.storage import schema
from server.storage.backlog import Backlog, Batch, Piece, Row, name_of
from server.storage.faults import is_refused_for_content, told
from server.storage.housekeeping import clean_up
from server.storage.packing import ENCODING, pack
from server.storage.rows import CallRow, CallStarted, Entry, EventRow, NotificationRow, RecordingRow, RegistrationRow

log = logging.getLogger(__name__)

Item = CallStarted | CallRow | Entry | NotificationRow | RecordingRow | EventRow | RegistrationRow

RETRY_FIRST_S, RETRY_LONGEST_S = 0.5, 30.0
STOP_LIMIT_S = 5.0
CLEAN_UP_EVERY_S = 3600.0
TELL_LOSSES_EVERY_S = 10.0
PIECE_MOST = 200  # entries: a value of some ten kilobytes, packed in a millisecond


@dataclass(frozen=True, slots=True)
class _Prepared:
    """One row as the driver takes it, the key first. kind, count: what is written or lost with it."""

    kind: type[Item]
    values: tuple[Any, ...]
    count: int = 1


class Writer:
    """Made on a migrated database. `start` and `stop` inside a running event loop; `put` from its thread only.

    written, lost: items since the start; lost by name.
    """

    def __init__(self, engine: AsyncEngine, settings: StorageSettings, instance_id: str = "") -> None:
        self._engine, self._settings, self._instance_id = engine, settings, instance_id
        self._backlog = Backlog(settings.queue_max, settings.batch_s)
        self._statements = _statements(engine.dialect)
        self._at = _text_utc if engine.dialect.name == "sqlite" else schema.naive_utc
        self._number = time.time_ns()  # of the next piece: no earlier run of ours has used it
        self._unwritten = 0  # of a batch that is being written
        self._wake, self._idle = asyncio.Event(), asyncio.Event()
        self._awake_at = 0.0  # when the task looks again by itself; inf: when something is put
        self._hurried = 0  # how many wait in `flush`
        self._stopping = False
        self._task: asyncio.Task[None] | None = None
        self._told: Counter[str] = Counter()  # losses that stand in the log
        self._tell_at = 0.0
        self.written = 0

    @property
    def waiting(self) -> int:
        """Items that are not written yet."""
        return self._backlog.waiting + self._unwritten

    @property
    def lost(self) -> Counter[str]:
        return self._backlog.lost

    @property
    def dropped(self) -> int:
        """Items that will never be written."""
        return self._backlog.lost.total()

    def put(self, item: Item) -> None:
        """Have it written some time soon. Never waits, never fails."""
        now = time.monotonic()
        backlog = self._backlog
        full = backlog.waiting >= self._settings.queue_max
        if isinstance(item, Entry):
            backlog.put_entry(item, now)
        else:
            backlog.put_row(item, now)
        if full:
            self._tell_losses(now)
        if self._awake_at > now and (due := backlog.due()) is not None and due < self._awake_at:
            self._awake_at = due
            self._wake.set()

    async def start(self) -> None:
        """End the calls that an earlier run of this instance left open, and begin to write."""
        async with self._engine.begin() as connection:
            await self._end_orphans(connection)
        self._task = asyncio.create_task(self._run(), name="storage-writer")

    async def stop(self) -> None:
        """Write what waits, and end. Gives up after a few seconds, and says how much was lost."""
        if self._task is None:
            return
        self._stopping = True
        self._wake.set()
        done, _ = await asyncio.wait({self._task}, timeout=STOP_LIMIT_S)
        if not done:
            self._task.cancel()
            await asyncio.wait({self._task})
        self._task = None
        if self.waiting:
            log.error("storage_lost_at_stop", extra={"items": self.waiting})

    async def flush(self) -> None:
        """Until everything that was put so far is written or dropped."""
        if self.waiting and self._task is not None:
            self._idle.clear()
            self._hurried += 1
            self._wake.set()
            idle = asyncio.ensure_future(self._idle.wait())
            try:
                await asyncio.wait({self._task, idle}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                self._hurried -= 1
                idle.cancel()

    # --- the task

    async def _run(self) -> None:
        clean_up_at = time.monotonic()
        while True:
            now = time.monotonic()
            if now >= clean_up_at and not self._stopping:
                clean_up_at = now + CLEAN_UP_EVERY_S
                await self._clean_up()
                now = time.monotonic()
            batch = self._backlog.take(now, self._settings.batch_max, all_of_it=self._stopping or self._hurried > 0)
            if batch:
                prepared = self._prepare(batch)
                self._unwritten = sum(row.count for row in prepared)
                await self._write(prepared)
                self._unwritten = 0
                if self._told != self.lost:
                    self._tell_losses(time.monotonic())
                continue
            if not self._backlog.waiting:
                self._idle.set()
                if self._stopping:
                    return
            due = self._backlog.due()
            self._wake.clear()
            self._awake_at = clean_up_at if due is None else min(due, clean_up_at)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, self._awake_at - now)):
                    await self._wake.wait()
            self._awake_at = 0.0  # whatever woke us, there may be a batch; what is put meanwhile need not wake us again
            if not self._stopping and not self._hurried:
                # What becomes due one after the other is written together: a transaction costs more than a row.
                await asyncio.sleep(max(self._settings.batch_s - (time.monotonic() - now), 0.0))

    async def _write(self, rows: Sequence[_Prepared]) -> None:
        """Write rows, whatever it takes."""
        pause = RETRY_FIRST_S
        failed = False
        while rows:
            try:
                async with self._engine.begin() as connection:
                    await self._insert(connection, rows)
            except Exception as error:  # noqa: BLE001  # drivers raise errors of their own, and this task must outlive all of them
                if is_refused_for_content(error):
                    await self._write_apart(rows, error)
                    return
                failed = True
                log.warning("storage_unavailable", extra={"error": told(error), "waiting": self.waiting, "again_in_s": pause})
                await self._reconnect()
                await asyncio.sleep(pause)
                pause = min(pause * 2, RETRY_LONGEST_S)
            else:
                self.written += sum(row.count for row in rows)
                if failed:
                    log.info("storage_available", extra={"waiting": self.waiting})
                return

    async def _write_apart(self, rows: Sequence[_Prepared], error: Exception) -> None:
        """Some row among these is bad: find it by halves, for a batch may hold many that are good."""
        if len(rows) > 1:
            half = len(rows) // 2
            await self._write(rows[:half])
            await self._write(rows[half:])
            return
        self._refused(rows[0].kind, rows[0].count, told(error))

    def _refused(self, kind: type[Item], count: int, why: str) -> None:
        self._backlog.lost[name_of(kind)] += count
        self._told[name_of(kind)] += count
        log.error("storage_item_refused", extra={"item": kind.__name__, "count": count, "error": why})

    async def _reconnect(self) -> None:
        """A connection that has failed may lead to what is no longer the primary. SQLite has a file, and no such trouble."""
        if self._engine.dialect.name != "sqlite":
            with contextlib.suppress(Exception):
                await self._engine.dispose()

    async def _insert(self, connection: AsyncConnection, rows: Sequence[_Prepared]) -> None:
        ended = {row.values[0] for row in rows if row.kind is CallRow}
        for kind, statement in self._statements.items():
            values = [row.values for row in rows if row.kind is kind]
            if kind is CallStarted:  # what a call ends with holds its beginning
                values = [row for row in values if row[0] not in ended]
            if kind is not Entry:  # a row of the same sid twice in one statement is an error for PostgreSQL: the last one counts
                values = list({row[0]: row for row in values}.values())
            if values:
                await connection.exec_driver_sql(statement, values)

    # --- rows

    def _prepare(self, batch: Batch) -> list[_Prepared]:
        prepared = [_Prepared(type(row), self._row(row)) for row in batch.rows]
        for piece in batch.pieces:
            prepared += self._pieces(piece)
        return prepared

    def _row(self, item: Row) -> tuple[Any, ...]:
        """In the order of the table's columns."""
        at = self._at
        match item:
            case CallStarted(sid, created_at, from_user, to_user, account_sid, direction, parent_sid):
                who = (sid, parent_sid, account_sid, self._instance_id, direction, from_user, to_user)
                return (*who, at(created_at), None, None, 0, 0, "", "", 0, "", "")
            case CallRow():
                who = (item.sid, item.parent_sid, item.account_sid, self._instance_id, item.direction, item.from_user, item.to_user)
                when = (at(item.created_at), at(item.answered_at), at(item.ended_at), item.duration_s, item.ring_duration_s)
                return (*who, *when, item.cause, item.ended_by, item.sip_status, item.detail, item.sip_call_id)
            case NotificationRow():
                return (item.sid, item.call_sid, at(item.at), item.code, item.level, item.message, item.url, item.line)
            case EventRow():
                what = (item.sid, item.call_sid, self._instance_id, at(item.at), item.purpose, item.url, item.method, item.parameters)
                return (*what, item.state, item.attempts, at(item.due_at), item.status, item.detail)
            case RecordingRow():
                return (item.sid, item.call_sid, item.account_sid, item.path, item.duration_ms, at(item.created_at))
            case RegistrationRow():
                ends = (item.transport, item.local_host, item.local_port, item.remote_host, item.remote_port)
                phone = (item.hops, item.urn, item.reg_id, item.user_agent, at(item.heard_at), at(item.expires_at))
                return (item.sid, self._instance_id, item.client, item.contact, item.call_id, item.cseq, *ends, *phone)
            case _:
                assert_never(item)

    def _pieces(self, piece: Piece) -> list[_Prepared]:
        found = []
        gap = piece.gap()
        entries = iter((*((gap,) if gap else ()), *piece.entries))
        while part := list(islice(entries, PIECE_MOST)):
            data, refused = pack(part)
            if refused:
                self._refused(Entry, len(refused), "its data is no JSON")
            count = len(part) - len(refused)
            last_at = self._at(max(entry.at for entry in part))
            found.append(_Prepared(Entry, (piece.call_sid, self._number, last_at, count, ENCODING, data), count))
            self._number += 1
        return found

    # --- now and then

    def _tell_losses(self, now: float) -> None:
        """The first at once, then in sums."""
        if now < self._tell_at:
            return
        self._tell_at = now + TELL_LOSSES_EVERY_S
        lost = {name.replace(" ", "_"): count for name, count in (self.lost - self._told).items()}
        self._told = self.lost.copy()
        log.error("storage_queue_full", extra={"queue_max": self._settings.queue_max, "lost": self.dropped} | lost)

    async def _end_orphans(self, connection: AsyncConnection) -> None:
        """Calls that were up when this instance died without writing their end: every call ends, and says how."""
        calls, old, pieces = schema.calls, schema.timeline, schema.timeline_pieces
        last_seen = select(func.max(pieces.c.last_at)).where(pieces.c.call_sid == calls.c.sid).scalar_subquery()
        last_seen_before = select(func.max(old.c.at)).where(old.c.call_sid == calls.c.sid).scalar_subquery()
        result = await connection.execute(
            update(calls)
            .where(calls.c.cause == "", calls.c.instance_id == self._instance_id)
            .values(
                cause="failed",
                ended_by="server",
                detail="The server ended before the call did",
                ended_at=func.coalesce(last_seen, last_seen_before, calls.c.created_at),
            )
        )
        if result.rowcount:
            log.warning("calls_of_earlier_run_ended", extra={"calls": result.rowcount})

    async def _clean_up(self) -> None:
        try:
            removed = await clean_up(self._engine, self._settings, datetime.datetime.now(datetime.UTC))
        except (SQLAlchemyError, OSError) as error:
            log.warning("storage_clean_up_failed", extra={"error": told(error)})
            return
        if any(removed.values()):
            log.info("storage_cleaned_up", extra={name: count for name, count in removed.items() if count})


def _statements(dialect: Dialect) -> dict[type[Item], str]:
    """SQL for one row of each kind, its values in the order of the table's columns. Made once: what goes through SQLAlchemy's own
    statements costs several times as much as the database does."""
    insert: Any = postgresql.insert if dialect.name == "postgresql" else sqlite.insert

    def text(statement: Any) -> str:
        return str(statement.compile(dialect=dialect))

    def replacing(table: Table) -> str:
        statement = insert(table)
        others = {column.name: statement.excluded[column.name] for column in table.columns if column.name != "sid"}
        return text(statement.on_conflict_do_update(index_elements=[table.c.sid], set_=others))

    return {
        CallStarted: text(insert(schema.calls).on_conflict_do_nothing(index_elements=[schema.calls.c.sid])),
        CallRow: replacing(schema.calls),
        Entry: text(insert(schema.timeline_pieces).on_conflict_do_nothing()),
        NotificationRow: replacing(schema.notifications),
        RecordingRow: replacing(schema.recordings),
        EventRow: replacing(schema.events),
        RegistrationRow: replacing(schema.registrations),
    }


def _text_utc(moment: datetime.datetime | None) -> str | None:
    """As SQLAlchemy writes a DateTime into SQLite."""
    naive = schema.naive_utc(moment)
    return None if naive is None else naive.isoformat(" ", "microseconds")
