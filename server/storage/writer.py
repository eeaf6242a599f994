"""The one writer to the database: what a call has to say is queued without waiting, and written in batches.

The queue is bounded. When the database is slow or gone the queue fills, and then new items are dropped and counted; a call
never notices. A batch that fails because of the database is tried again, later and later; one that fails because of its
content is written item by item, and only what cannot be written is dropped.
"""

from __future__ import annotations

import asyncio
import dataclasses
import datetime
import logging
from collections import deque
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Table, func, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import InterfaceError, OperationalError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from config.settings import StorageSettings
from server.storage import schema
from server.storage.housekeeping import clean_up
from server.storage.rows import CallRow, CallStarted, Entry, NotificationRow, RecordingRow

log = logging.getLogger(__name__)

Item = CallStarted | CallRow | Entry | NotificationRow | RecordingRow

RETRY_FIRST_S, RETRY_LONGEST_S = 0.5, 30.0
STOP_LIMIT_S = 5.0
CLEAN_UP_EVERY_S = 3600.0
_TABLES: dict[type[Item], Table] = {
    CallStarted: schema.calls,
    CallRow: schema.calls,
    Entry: schema.timeline,
    NotificationRow: schema.notifications,
    RecordingRow: schema.recordings,
}


class Writer:
    """Made on a migrated database. `start` and `stop` inside a running event loop; `put` from its thread only."""

    def __init__(self, engine: AsyncEngine, settings: StorageSettings, instance_id: str = "") -> None:
        self._engine, self._settings, self._instance_id = engine, settings, instance_id
        self._queue: deque[Item] = deque()
        self._unwritten = 0  # of a batch that is being written
        self._wake, self._idle = asyncio.Event(), asyncio.Event()
        self._stopping = False
        self._task: asyncio.Task[None] | None = None
        self.written = 0
        self.dropped = 0

    @property
    def waiting(self) -> int:
        """Items that are not written yet."""
        return len(self._queue) + self._unwritten

    def put(self, item: Item) -> None:
        """Have it written some time soon. Never waits, never fails."""
        if len(self._queue) >= self._settings.queue_max:
            if not self.dropped:
                log.error("storage_queue_full", extra={"queue_max": self._settings.queue_max})
            self.dropped += 1
            return
        self._queue.append(item)
        self._idle.clear()
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
            await asyncio.wait({self._task, idle := asyncio.ensure_future(self._idle.wait())}, return_when=asyncio.FIRST_COMPLETED)
            idle.cancel()

    # --- the task

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        clean_up_at = loop.time()
        while True:
            if loop.time() >= clean_up_at and not self._stopping:
                clean_up_at = loop.time() + CLEAN_UP_EVERY_S
                await self._clean_up()
            if not self._queue:
                self._idle.set()
                if self._stopping:
                    return
                self._wake.clear()
                try:
                    async with asyncio.timeout(max(0.0, clean_up_at - loop.time())):
                        await self._wake.wait()
                except TimeoutError:
                    continue
                if not self._stopping:
                    await asyncio.sleep(self._settings.batch_s)
            batch = [self._queue.popleft() for _ in range(min(len(self._queue), self._settings.batch_max))]
            self._unwritten = len(batch)
            await self._write(batch)
            self._unwritten = 0

    async def _write(self, batch: Sequence[Item]) -> None:
        """Write a batch, whatever it takes."""
        pause = RETRY_FIRST_S
        while True:
            try:
                async with self._engine.begin() as connection:
                    await self._insert(connection, batch)
                self.written += len(batch)
                return
            except (OperationalError, InterfaceError, OSError) as error:
                log.warning("storage_unavailable", extra={"error": str(getattr(error, "orig", None) or error), "waiting": self.waiting})
                await asyncio.sleep(pause)
                pause = min(pause * 2, RETRY_LONGEST_S)
            except (SQLAlchemyError, ValueError, TypeError) as error:
                if len(batch) == 1:
                    self.dropped += 1
                    log.error("storage_item_refused", extra={"item": type(batch[0]).__name__, "error": str(error)[:500]})
                    return
                for item in batch:
                    await self._write([item])
                return

    async def _insert(self, connection: AsyncConnection, batch: Sequence[Item]) -> None:
        for kind, table in _TABLES.items():
            rows = [self._row(item) for item in batch if type(item) is kind]
            if not rows:
                continue
            if kind is Entry:
                await connection.execute(insert(table), rows)
                continue
            # A row of the same sid twice in one statement is an error for PostgreSQL: the last one counts.
            unique = list({row["sid"]: row for row in rows}.values())
            dialect: Any = postgresql if connection.dialect.name == "postgresql" else sqlite
            statement = dialect.insert(table)
            key = [table.c.sid]
            if kind is CallStarted:
                statement = statement.on_conflict_do_nothing(index_elements=key)
            else:
                others = {column.name: statement.excluded[column.name] for column in table.columns if column.name != "sid"}
                statement = statement.on_conflict_do_update(index_elements=key, set_=others)
            await connection.execute(statement, unique)

    def _row(self, item: Item) -> dict[str, Any]:
        match item:
            case Entry():
                return {"call_sid": item.call_sid, "at": item.at, "kind": item.kind.value, "leg": item.leg, "data": dict(item.data)}
            case CallStarted():
                row = CallRow(
                    sid=item.sid,
                    parent_sid=item.parent_sid,
                    account_sid=item.account_sid,
                    direction=item.direction,
                    from_user=item.from_user,
                    to_user=item.to_user,
                    created_at=item.created_at,
                )
                return dataclasses.asdict(row) | {"instance_id": self._instance_id}
            case CallRow():
                return dataclasses.asdict(item) | {"instance_id": self._instance_id}
            case _:
                return dataclasses.asdict(item)

    async def _end_orphans(self, connection: AsyncConnection) -> None:
        """Calls that were up when this instance died without writing their end: every call ends, and says how."""
        calls, timeline = schema.calls, schema.timeline
        last_seen = select(func.max(timeline.c.at)).where(timeline.c.call_sid == calls.c.sid).scalar_subquery()
        result = await connection.execute(
            update(calls)
            .where(calls.c.cause == "", calls.c.instance_id == self._instance_id)
            .values(
                cause="failed",
                ended_by="server",
                detail="The server ended before the call did",
                ended_at=func.coalesce(last_seen, calls.c.created_at),
            )
        )
        if result.rowcount:
            log.warning("calls_of_earlier_run_ended", extra={"calls": result.rowcount})

    async def _clean_up(self) -> None:
        try:
            removed = await clean_up(self._engine, self._settings, datetime.datetime.now(datetime.UTC))
        except (SQLAlchemyError, OSError) as error:
            log.warning("storage_clean_up_failed", extra={"error": str(getattr(error, "orig", None) or error)})
            return
        if any(removed.values()):
            log.info("storage_cleaned_up", extra={name: count for name, count in removed.items() if count})
