"""`dialplane calls`, and what is said of a call in a line."""

from __future__ import annotations

import argparse
import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import TypeVar

from config.load import load
from config.settings import Settings
from server.cli.terminal import DONE, say
from server.storage.database import check_version, open_database
from server.storage.reader import Reader
from server.storage.rows import CallRow
from server.timeline.export import call_document
from server.timeline.ladder import printable

T = TypeVar("T")


def list_calls(options: argparse.Namespace) -> int:
    settings = load(options.config)

    async def look(reader: Reader) -> int:
        rows = await reader.recent_calls(max(1, options.n))
        if options.json:
            say(json.dumps([call_document(row) for row in rows], ensure_ascii=False, indent=2))
        elif not rows:
            say("no calls yet")
        else:
            for row in rows:
                say(printable(call_line(row)))
        return DONE

    return asyncio.run(reading(settings, look))


async def reading(settings: Settings, look: Callable[[Reader], Awaitable[T]]) -> T:
    """Beside a running server or without one; the database is only read."""
    engine = open_database(settings.storage.url, read_only=True)
    try:
        await check_version(engine)
        return await look(Reader(engine))
    finally:
        await engine.dispose()


def call_line(row: CallRow) -> str:
    began = f"{row.created_at.astimezone():%Y-%m-%d %H:%M:%S}"
    return f"{row.sid}  {began}  {row.from_user or '?':>16} -> {row.to_user or '?':<16}  {call_ending(row)}"


def call_ending(row: CallRow) -> str:
    if row.live:
        return "live"
    status = f" ({row.sip_status})" if row.sip_status >= 300 else ""
    return f"{row.cause}{status} by {row.ended_by}, {row.duration_s} s"
