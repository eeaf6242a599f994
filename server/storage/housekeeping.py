"""Throws away what is older than the operator wants to keep."""

from __future__ import annotations

import asyncio
import datetime
import logging
from pathlib import Path

from sqlalchemy import Column, Table, delete, select, tuple_
from sqlalchemy.ext.asyncio import AsyncEngine

from config.settings import StorageSettings
from server.storage import schema

log = logging.getLogger(__name__)

CHUNK = 2000  # rows a transaction: the writer is never kept waiting for long


async def clean_up(engine: AsyncEngine, settings: StorageSettings, now: datetime.datetime) -> dict[str, int]:
    """Delete what is too old. Returns how many rows of which table. A live call is never deleted."""
    removed: dict[str, int] = {}
    registrations = schema.registrations
    async with engine.connect() as connection:
        expired = (await connection.execute(select(registrations.c.sid).where(registrations.c.expires_at < now).limit(1))).first()
    if expired is not None:  # whatever is kept of calls
        removed[registrations.name] = await _delete(engine, registrations, registrations.c.expires_at, now)
    if settings.retention_days:
        before = now - datetime.timedelta(days=settings.retention_days)
        for table, column in (
            (schema.timeline, schema.timeline.c.at),
            (schema.timeline_pieces, schema.timeline_pieces.c.last_at),
            (schema.notifications, schema.notifications.c.at),
            (schema.events, schema.events.c.at),
            (schema.calls, schema.calls.c.ended_at),
        ):
            removed[table.name] = await _delete(engine, table, column, before)
    if settings.recording_retention_days:
        before = now - datetime.timedelta(days=settings.recording_retention_days)
        removed["recordings"] = await _delete_recordings(engine, before)
    return removed


async def _delete(engine: AsyncEngine, table: Table, column: Column[datetime.datetime], before: datetime.datetime) -> int:
    key = tuple_(*table.primary_key.columns)
    count = 0
    while True:
        async with engine.begin() as connection:
            old = select(*table.primary_key.columns).where(column < before).limit(CHUNK)
            removed = (await connection.execute(delete(table).where(key.in_(old)))).rowcount
        count += removed
        if removed < CHUNK:
            return count


async def _delete_recordings(engine: AsyncEngine, before: datetime.datetime) -> int:
    """The files first: a row without its file is harmless, a file without its row would stay for ever."""
    recordings = schema.recordings
    async with engine.connect() as connection:
        old = (await connection.execute(select(recordings.c.sid, recordings.c.path).where(recordings.c.created_at < before))).all()
    gone = []
    for sid, path in old:
        try:
            await asyncio.to_thread(Path(path).unlink, missing_ok=True)
            gone.append(sid)
        except OSError as error:
            log.warning("recording_not_deleted", extra={"recording": sid, "error": error.strerror})
    for start in range(0, len(gone), 500):
        async with engine.begin() as connection:
            await connection.execute(delete(recordings).where(recordings.c.sid.in_(gone[start : start + 500])))
    return len(gone)
