"""Questions to the database, for the command line and the API. Sids in their long form (`ID...-CA...`) are understood."""

from __future__ import annotations

import datetime
from typing import Any

from sqlalchemy import Executable, or_, select
from sqlalchemy.ext.asyncio import AsyncEngine

from server.calls.effects import Kind
from server.storage import schema
from server.storage.packing import UnknownEncoding, unpack
from server.storage.rows import CallRow, Entry, NotificationRow, RecordingRow, RegistrationRow, short_sid

_REGISTRATION = schema.columns_of_rows(schema.registrations)
_CALL = schema.columns_of_rows(schema.calls)


class Reader:
    """Reads what the writer wrote; several may read at the same time, in other processes too."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def call(self, sid: str) -> CallRow | None:
        rows = await self._rows(select(*_CALL).where(schema.calls.c.sid == short_sid(sid)))
        return CallRow(*rows[0]) if rows else None

    async def legs(self, call_sid: str) -> list[CallRow]:
        """The dialled legs of a call, the first first."""
        calls = schema.calls
        found = select(*_CALL).where(calls.c.parent_sid == short_sid(call_sid)).order_by(calls.c.created_at, calls.c.sid)
        return [CallRow(*row) for row in await self._rows(found)]

    async def recent_calls(self, limit: int = 20) -> list[CallRow]:
        """Calls (not dialled legs), the latest first."""
        calls = schema.calls
        found = select(*_CALL).where(calls.c.parent_sid == "").order_by(calls.c.created_at.desc(), calls.c.sid).limit(limit)
        return [CallRow(*row) for row in await self._rows(found)]

    async def find_calls(self, start: str, limit: int = 10) -> list[CallRow]:
        """Calls and legs whose sid begins so, or whose SIP Call-ID is exactly this; the latest first."""
        calls = schema.calls
        wanted = short_sid(start)
        matches = or_(calls.c.sid.startswith(wanted, autoescape=True), calls.c.sip_call_id == start)
        return [CallRow(*row) for row in await self._rows(select(*_CALL).where(matches).order_by(calls.c.created_at.desc()).limit(limit))]

    async def timeline(self, call_sid: str) -> list[Entry]:
        """The entries of a call, or of the call that a leg belongs to; in the order of time."""
        sid = short_sid(call_sid)
        entries = await self._timeline(sid)
        if not entries:
            call = await self.call(sid)
            if call is not None and call.parent_sid:
                return await self._timeline(call.parent_sid)
        return entries

    async def _timeline(self, sid: str) -> list[Entry]:
        """From its pieces, and from the rows of a program that wrote none. A piece that cannot be read says so in its place."""
        old, pieces = schema.timeline, schema.timeline_pieces
        found = select(old.c.call_sid, old.c.at, old.c.kind, old.c.data, old.c.leg).where(old.c.call_sid == sid)
        rows = await self._rows(found.order_by(old.c.at, old.c.id))
        entries = [Entry(call_sid, at, Kind(kind), data, leg) for call_sid, at, kind, data, leg in rows]
        stored = select(pieces.c.encoding, pieces.c.data, pieces.c.last_at).where(pieces.c.call_sid == sid).order_by(pieces.c.number)
        for encoding, data, last_at in await self._rows(stored):
            try:
                entries += unpack(sid, encoding, data)
            except UnknownEncoding as error:
                entries.append(Entry(sid, last_at, Kind.NOTICE, {"level": "error", "message": str(error)}))
        return sorted(entries, key=lambda entry: entry.at)

    async def notifications(self, call_sid: str) -> list[NotificationRow]:
        table = schema.notifications
        rows = await self._rows(select(table).where(table.c.call_sid == short_sid(call_sid)).order_by(table.c.at, table.c.sid))
        return [NotificationRow(*row) for row in rows]

    async def recording(self, sid: str) -> RecordingRow | None:
        table = schema.recordings
        rows = await self._rows(select(table).where(table.c.sid == short_sid(sid)))
        return RecordingRow(*rows[0]) if rows else None

    async def recordings(self, call_sid: str) -> list[RecordingRow]:
        table = schema.recordings
        rows = await self._rows(select(table).where(table.c.call_sid == short_sid(call_sid)).order_by(table.c.created_at))
        return [RecordingRow(*row) for row in rows]

    async def registrations(self, now: datetime.datetime, instance_id: str | None = None) -> list[RegistrationRow]:
        """Those that have not expired, by client; of one server, or of all."""
        table = schema.registrations
        found = select(*_REGISTRATION).where(table.c.expires_at > now)
        if instance_id is not None:
            found = found.where(table.c.instance_id == instance_id)
        return [RegistrationRow(*row) for row in await self._rows(found.order_by(table.c.client, table.c.heard_at))]

    async def _rows(self, query: Executable) -> list[tuple[Any, ...]]:
        async with self._engine.connect() as connection:
            return [tuple(row) for row in await connection.execute(query)]
