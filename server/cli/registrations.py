"""`dialplane registrations`: who is registered, and from where."""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import datetime
import json

from config.load import load
from server.cli.calls import reading
from server.cli.terminal import DONE, say
from server.storage.reader import Reader
from server.storage.rows import RegistrationRow
from server.timeline.ladder import printable


def list_registrations(options: argparse.Namespace) -> int:
    settings = load(options.config)
    now = datetime.datetime.now(datetime.UTC)

    async def look(reader: Reader) -> int:
        rows = [row for row in await reader.registrations(now) if options.client in (None, row.client)]
        if options.json:
            say(json.dumps([_document(row) for row in rows], ensure_ascii=False, indent=2))
        elif not rows:
            say("nobody is registered")
        for row in rows if not options.json else ():
            say(printable(registration_line(row, now)))
        return DONE

    return asyncio.run(reading(settings, look))


def registration_line(row: RegistrationRow, now: datetime.datetime) -> str:
    host = f"[{row.remote_host}]" if ":" in row.remote_host else row.remote_host
    left = f"{max(0, int((row.expires_at - now).total_seconds()))} s left"
    return f"{row.client:<16}  {row.transport} {host}:{row.remote_port}  {row.contact}  {left}  {row.user_agent}".rstrip()


def _document(row: RegistrationRow) -> dict[str, str | int]:
    found: dict[str, str | int] = {}
    for name, value in dataclasses.asdict(row).items():
        found[name] = value.isoformat() if isinstance(value, datetime.datetime) else value
    return found
