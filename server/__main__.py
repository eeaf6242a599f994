"""`dialplane`: run the server, look at calls, look at the configuration.

Exit codes: 0 done; 1 it did not work out (no such call, an address in use, no database); 2 the command or the configuration is wrong.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import sys
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from config.errors import ConfigError
from config.identity import with_identity
from config.load import find_file, load
from config.reference import effective_toml, reference_markdown, reference_toml
from config.settings import Settings
from media.errors import MediaError
from server import advice
from server.calls.outputs import Kind
from server.observability.export import call_document, timeline_document
from server.observability.ladder import printable, render
from server.observability.logs import set_up_logging
from server.observability.timeline import Entry
from server.storage.database import StorageError, check_version, open_database
from server.storage.reader import Reader
from server.storage.rows import CallRow

DONE, FAILED, WRONG = 0, 1, 2
T = TypeVar("T")


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    try:
        command: Callable[[argparse.Namespace], int] = options.command
        code = command(options)
        sys.stdout.flush()
        return code
    except ConfigError as error:
        _complain(f"dialplane: the configuration is not valid\n{error}")
        return WRONG
    except BrokenPipeError:  # `dialplane calls | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or the interpreter complains at its exit
        return DONE
    except (StorageError, MediaError, OSError) as error:
        _complain(f"dialplane: {error}")
        return FAILED
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="dialplane", description="A programmable telephony server.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(name: str, command: Callable[[argparse.Namespace], int], text: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=text, description=text)
        sub.add_argument("--config", metavar="FILE", help="configuration file (else $DIALPLANE_CONFIG, ./dialplane.toml, /etc/dialplane/)")
        sub.set_defaults(command=command)
        return sub

    add("run", _run, "Run the server until it is told to stop (SIGTERM, Ctrl-C).")

    timeline = add("timeline", _timeline, "What happened to a call, as a ladder diagram.")
    timeline.add_argument(
        "call", nargs="?", metavar="CALLSID", help="sid of a call or leg, its beginning, or a SIP Call-ID (else the latest)"
    )
    timeline.add_argument("--json", action="store_true", help="everything, for programs")
    timeline.add_argument("--messages", action="store_true", help="the SIP messages and HTTP bodies in full, below the diagram")
    timeline.add_argument("--width", type=int, metavar="COLUMNS", help="columns to draw on (default: the terminal's, else 120)")
    timeline.add_argument("--ascii", action="store_true", help="draw with plain characters")

    calls = add("calls", _calls, "The latest calls.")
    calls.add_argument("-n", type=int, default=20, metavar="COUNT", help="how many (default 20)")
    calls.add_argument("--json", action="store_true", help="for programs")

    config = add("config", _config, "The settings in force, secrets hidden.")
    which = config.add_mutually_exclusive_group()
    which.add_argument("--reference", action="store_true", help="every setting with its default, as TOML")
    which.add_argument("--markdown", action="store_true", help="every setting with its default, as tables")

    check = add("check", _check, "Is the configuration valid, and what would the server do?")
    check.add_argument("--from", dest="source", metavar="ADDRESS", help="with --to: what would happen to a call from here")
    check.add_argument("--to", dest="dialled", metavar="NUMBER", help="with --from: what would happen to a call to this number")
    return parser


def _run(options: argparse.Namespace) -> int:
    settings = with_identity(load(options.config))
    set_up_logging(settings.server)
    from server.app import run  # the whole server: not needed to look at a call

    run(settings)
    return DONE


# --- calls --------------------------------------------------------------------------------------------------------


def _timeline(options: argparse.Namespace) -> int:
    settings = load(options.config)

    async def look(reader: Reader) -> int:
        sid = await _chosen(reader, options.call)
        if sid is None:
            return FAILED
        entries = await reader.timeline(sid)
        call, legs = await reader.call(sid), await reader.legs(sid)
        if options.json:
            document = timeline_document(call, legs, entries, await reader.notifications(sid), await reader.recordings(sid))
            _say(json.dumps(document, ensure_ascii=False, indent=2))
            return DONE
        width = options.width or shutil.get_terminal_size((120, 40)).columns
        if call is not None:
            _say(printable(_headline(call)) + "\n")
        _say(render(entries, width, ascii_only=options.ascii or not _draws(), color=sys.stdout.isatty()).rstrip("\n"))
        for recording in await reader.recordings(sid):
            _say(f"\nRecording {recording.sid}: {recording.path} ({recording.duration_ms / 1000:.1f} s)")
        if options.messages:
            for entry in entries:
                _say(printable(_in_full(entry)), end="")
        return DONE

    return asyncio.run(_reading(settings, look))


async def _chosen(reader: Reader, wanted: str | None) -> str | None:
    """The call's sid, or None after saying why there is none."""
    if wanted is None:
        latest = await reader.recent_calls(1)
        if not latest:
            _complain("dialplane: there are no calls yet")
        return latest[0].sid if latest else None
    found = await reader.find_calls(wanted)
    calls = list(dict.fromkeys(row.parent_sid or row.sid for row in found))
    if len(calls) == 1:
        return calls[0]
    if not calls and await reader.timeline(wanted):
        return wanted
    recent = [row for row in found if not row.parent_sid] if calls else await reader.recent_calls(5)
    what = f'several calls begin with "{wanted}"' if calls else f'there is no call "{wanted}"'
    _complain(f"dialplane: {what}" + ("; the latest are:" if recent else "") + printable("".join(f"\n  {_line(row)}" for row in recent)))
    return None


def _calls(options: argparse.Namespace) -> int:
    settings = load(options.config)

    async def look(reader: Reader) -> int:
        rows = await reader.recent_calls(max(1, options.n))
        if options.json:
            _say(json.dumps([call_document(row) for row in rows], ensure_ascii=False, indent=2))
        elif not rows:
            _say("no calls yet")
        else:
            for row in rows:
                _say(printable(_line(row)))
        return DONE

    return asyncio.run(_reading(settings, look))


async def _reading(settings: Settings, look: Callable[[Reader], Awaitable[T]]) -> T:
    """Beside a running server or without one; the database is only read."""
    engine = open_database(settings.storage.url, read_only=True)
    try:
        await check_version(engine)
        return await look(Reader(engine))
    finally:
        await engine.dispose()


def _line(row: CallRow) -> str:
    began = f"{row.created_at.astimezone():%Y-%m-%d %H:%M:%S}"
    return f"{row.sid}  {began}  {row.from_user or '?':>16} -> {row.to_user or '?':<16}  {_ending(row)}"


def _headline(row: CallRow) -> str:
    began = f"{row.created_at.astimezone():%Y-%m-%d %H:%M:%S %Z}"
    return f"{row.sid}\n{row.from_user or '?'} -> {row.to_user or '?'}, {began}, {_ending(row)}"


def _ending(row: CallRow) -> str:
    if row.live:
        return "live"
    status = f" ({row.sip_status})" if row.sip_status >= 300 else ""
    return f"{row.cause}{status} by {row.ended_by}, {row.duration_s} s"


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


# --- configuration ------------------------------------------------------------------------------------------------


def _config(options: argparse.Namespace) -> int:
    if options.reference:
        _say(reference_toml(), end="")
    elif options.markdown:
        _say(reference_markdown(), end="")
    else:
        _say(effective_toml(load(options.config)), end="")
    return DONE


def _check(options: argparse.Namespace) -> int:
    file = find_file(options.config, os.environ)
    settings = load(options.config)
    if (options.source is None) != (options.dialled is None):
        _complain("dialplane check: --from and --to go together")
        return WRONG
    if options.source is not None:
        _say(advice.explain_call(settings, options.source, options.dialled))
        return DONE
    _say(f"{file or 'The configuration (no file, the defaults)'} is valid.\n")
    for line in advice.describe(settings):
        _say(line)
    for index, warning in enumerate(advice.warnings(settings)):
        _say(("\n" if index == 0 else "") + f"Warning: {warning}")
    return DONE


def _draws() -> bool:
    return (sys.stdout.encoding or "").lower().replace("-", "") in ("utf8", "utf16", "utf32")


def _say(text: str, end: str = "\n") -> None:
    sys.stdout.write(text + end)


def _complain(text: str) -> None:
    sys.stderr.write(text + "\n")


if __name__ == "__main__":
    sys.exit(main())
