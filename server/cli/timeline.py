"""`dialplane timeline`: one call as a ladder, or everything of it for programs."""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import sys

from config.load import load
from server.calls.effects import Kind
from server.cli.calls import call_ending, call_line, reading
from server.cli.terminal import DONE, FAILED, complain, draws, say
from server.storage.reader import Reader
from server.storage.rows import CallRow, Entry
from server.timeline.export import timeline_document
from server.timeline.ladder import printable, render


def show_timeline(options: argparse.Namespace) -> int:
    settings = load(options.config)

    async def look(reader: Reader) -> int:
        sid = await _chosen(reader, options.call)
        if sid is None:
            return FAILED
        entries = await reader.timeline(sid)
        call, legs = await reader.call(sid), await reader.legs(sid)
        if options.json:
            document = timeline_document(call, legs, entries, await reader.notifications(sid), await reader.recordings(sid))
            say(json.dumps(document, ensure_ascii=False, indent=2))
            return DONE
        width = options.width or shutil.get_terminal_size((120, 40)).columns
        if call is not None:
            say(printable(_headline(call)) + "\n")
        say(render(entries, width, ascii_only=options.ascii or not draws(), color=sys.stdout.isatty()).rstrip("\n"))
        for recording in await reader.recordings(sid):
            say(f"\nRecording {recording.sid}: {recording.path} ({recording.duration_ms / 1000:.1f} s)")
        if options.messages:
            for entry in entries:
                say(printable(_in_full(entry)), end="")
        return DONE

    return asyncio.run(reading(settings, look))


async def _chosen(reader: Reader, wanted: str | None) -> str | None:
    """The call's sid, or None after saying why there is none."""
    if wanted is None:
        latest = await reader.recent_calls(1)
        if not latest:
            complain("dialplane: there are no calls yet")
        return latest[0].sid if latest else None
    found = await reader.find_calls(wanted)
    calls = list(dict.fromkeys(row.parent_sid or row.sid for row in found))
    if len(calls) == 1:
        return calls[0]
    if not calls and await reader.timeline(wanted):
        return wanted
    recent = [row for row in found if not row.parent_sid] if calls else await reader.recent_calls(5)
    what = f'several calls begin with "{wanted}"' if calls else f'there is no call "{wanted}"'
    complain(f"dialplane: {what}" + ("; the latest are:" if recent else "") + printable("".join(f"\n  {call_line(row)}" for row in recent)))
    return None


def _headline(row: CallRow) -> str:
    began = f"{row.created_at.astimezone():%Y-%m-%d %H:%M:%S %Z}"
    return f"{row.sid}\n{row.from_user or '?'} -> {row.to_user or '?'}, {began}, {call_ending(row)}"


def _in_full(entry: Entry) -> str:
    """A message as it was on the wire, or an exchange; empty for other entries."""
    at = f"{entry.at.astimezone():%H:%M:%S}.{entry.at.microsecond // 1000:03d}"
    data = entry.data
    if entry.kind is Kind.SIP:
        way = "from" if data.get("direction") == "in" else "to"
        body = str(data.get("raw", "")).replace("\r\n", "\n")
        return f"\n--- {at} {way} {data.get('peer')} ({data.get('transport')})\n{body.rstrip()}\n"
    if entry.kind is Kind.HTTP:
        parameters = data.get("parameters")
        sent = (
            "".join(f"  {pair[0]} = {pair[1]}\n" for pair in parameters if isinstance(pair, list)) if isinstance(parameters, list) else ""
        )
        answer = str(data.get("status") or f"{data.get('error')}: {data.get('detail', '')}")
        head = f"\n--- {at} {data.get('method')} {data.get('url')}\n{sent}--- {answer} {data.get('content_type', '')}"
        return f"{head}\n{str(data.get('body', '')).rstrip()}\n"
    return ""
