"""Lists of what is stored, by filter and page, for REST. The latest first.

A page that begins after a certain row stays the same while rows are added.
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Select, Table, and_, delete, func, or_, select
from sqlalchemy.ext.asyncio import AsyncEngine

from server.storage import schema
from server.storage.rows import CallRow, EventRow, NotificationRow, RecordingRow, short_sid

_CALL = schema.columns_of_rows(schema.calls)
_EVENT = schema.columns_of_rows(schema.events)


@dataclass(frozen=True, slots=True)
class Span:
    """Moments from `since` to before `until`; None: open."""

    since: datetime.datetime | None = None
    until: datetime.datetime | None = None

    def holds(self, moment: datetime.datetime | None) -> bool:
        if moment is None:
            return self == Span()
        return (self.since is None or moment >= self.since) and (self.until is None or moment < self.until)


@dataclass(frozen=True, slots=True)
class CallFilter:
    """to, from_user: exactly so, or with `%` for any text (SQL LIKE). cause: of the end, empty for all."""

    to: str = ""
    from_user: str = ""
    parent_sid: str = ""
    cause: str = ""
    started: Span = Span()
    ended: Span = Span()


@dataclass(frozen=True, slots=True)
class After:
    """The last row of the page before."""

    at: datetime.datetime
    sid: str


@dataclass(frozen=True, slots=True)
class Slice:
    """limit: rows at most, beginning with number `offset`, or behind `after`."""

    limit: int
    offset: int = 0
    after: After | None = None


class Lists:
    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def calls(self, wanted: CallFilter, part: Slice) -> tuple[list[CallRow], int]:
        """Calls and dialled legs that are over; and how many there are in all."""
        table = schema.calls
        conditions = [*_span(table.c.created_at, wanted.started), *_span(table.c.ended_at, wanted.ended)]
        conditions += _like(table.c.to_user, wanted.to) + _like(table.c.from_user, wanted.from_user)
        if wanted.parent_sid:
            conditions.append(table.c.parent_sid == short_sid(wanted.parent_sid))
        conditions.append(table.c.cause == wanted.cause if wanted.cause else table.c.cause != "")
        rows, total = await self._page(select(*_CALL), table, table.c.created_at, conditions, part)
        return [CallRow(*row) for row in rows], total

    async def recordings(self, call_sid: str, created: Span, part: Slice) -> tuple[list[RecordingRow], int]:
        """call_sid: empty for those of all calls."""
        table = schema.recordings
        conditions = _span(table.c.created_at, created)
        if call_sid:
            conditions.append(table.c.call_sid == short_sid(call_sid))
        rows, total = await self._page(select(table), table, table.c.created_at, conditions, part)
        return [RecordingRow(*row) for row in rows], total

    async def notifications(self, call_sid: str, level: str, at: Span, part: Slice) -> tuple[list[NotificationRow], int]:
        """call_sid, level: empty for all."""
        table = schema.notifications
        conditions = _span(table.c.at, at)
        if call_sid:
            conditions.append(table.c.call_sid == short_sid(call_sid))
        if level:
            conditions.append(table.c.level == level)
        rows, total = await self._page(select(table), table, table.c.at, conditions, part)
        return [NotificationRow(*row) for row in rows], total

    async def events(self, state: str, call_sid: str, part: Slice) -> tuple[list[EventRow], int]:
        """state, call_sid: empty for all."""
        table = schema.events
        conditions = [table.c.state == state] if state else []
        if call_sid:
            conditions.append(table.c.call_sid == short_sid(call_sid))
        rows, total = await self._page(select(*_EVENT), table, table.c.at, conditions, part)
        return [EventRow(*row) for row in rows], total

    async def event(self, sid: str) -> EventRow | None:
        async with self._engine.connect() as connection:
            row = (await connection.execute(select(*_EVENT).where(schema.events.c.sid == sid))).first()
        return None if row is None else EventRow(*row)

    async def events_that_wait(self, instance_id: str, most: int) -> list[EventRow]:
        """Of this instance, the oldest first: what an earlier run could not deliver yet."""
        table = schema.events
        found = select(*_EVENT).where(table.c.state == "waiting", table.c.instance_id == instance_id).order_by(table.c.at, table.c.sid)
        async with self._engine.connect() as connection:
            return [EventRow(*row) for row in await connection.execute(found.limit(most))]

    async def notification(self, sid: str) -> NotificationRow | None:
        table = schema.notifications
        async with self._engine.connect() as connection:
            row = (await connection.execute(select(table).where(table.c.sid == short_sid(sid)))).first()
        return None if row is None else NotificationRow(*row)

    async def forget_recording(self, sid: str) -> None:
        """Its row; the file is the caller's to delete, before."""
        async with self._engine.begin() as connection:
            await connection.execute(delete(schema.recordings).where(schema.recordings.c.sid == sid))

    async def _page(
        self,
        query: Select[Any],
        table: Table,
        at: ColumnElement[datetime.datetime],
        conditions: Sequence[ColumnElement[bool]],
        part: Slice,
    ) -> tuple[list[tuple[Any, ...]], int]:
        query = query.where(*conditions).order_by(at.desc(), table.c.sid.desc()).limit(part.limit)
        if part.after is not None:
            query = query.where(or_(at < part.after.at, and_(at == part.after.at, table.c.sid < part.after.sid)))
        else:
            query = query.offset(part.offset)
        async with self._engine.connect() as connection:
            rows = [tuple(row) for row in await connection.execute(query)]
            total = (await connection.execute(select(func.count()).select_from(table).where(*conditions))).scalar_one()
        return rows, total


def _span(column: ColumnElement[Any], span: Span) -> list[ColumnElement[bool]]:
    since = [] if span.since is None else [column >= span.since]
    return since if span.until is None else [*since, column < span.until]


def _like(column: ColumnElement[str], text: str) -> list[ColumnElement[bool]]:
    if not text:
        return []
    return [column.like(text)] if "%" in text else [column == text]
