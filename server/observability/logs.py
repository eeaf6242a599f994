"""Log lines: a constant event name and its facts, for people or for machines, without secrets.

    log.info("call_ended", extra={"call_sid": sid, "cause": "busy"})

is `17:59:16.555 INFO  server.app call_ended call_sid=CA... cause=busy` on a terminal and one JSON object a line elsewhere.
Facts pass through redaction here, in one place, so that no caller can forget it.
"""

from __future__ import annotations

import datetime
import json
import logging
import sys
from collections.abc import Mapping
from typing import TextIO

from config.settings import ServerSettings
from server.observability.clock import iso
from server.observability.redaction import Level, redact_fields

# What every LogRecord has; the rest came by `extra`.
_OWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_COLORS = {logging.WARNING: "33", logging.ERROR: "31", logging.CRITICAL: "31"}
# Libraries that say at INFO what is our DEBUG.
_CHATTY = ("aiohttp.access", "alembic", "aiosqlite", "asyncio")


def set_up_logging(settings: ServerSettings, stream: TextIO | None = None) -> None:
    """Send everything that is logged to standard error, in the form and from the level that the settings say."""
    stream = stream or sys.stderr
    form = settings.log_format
    if form == "auto":
        form = "human" if stream.isatty() else "json"
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter(settings.log_redact) if form == "json" else HumanFormatter(settings.log_redact, stream.isatty()))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    level = logging.getLevelNamesMapping()[settings.log_level.upper()]
    root.setLevel(level)
    for name in _CHATTY:
        logging.getLogger(name).setLevel(max(level, logging.WARNING))
    logging.captureWarnings(True)


def _facts(record: logging.LogRecord, level: Level) -> Mapping[str, object]:
    return redact_fields({key: value for key, value in vars(record).items() if key not in _OWN}, level)


class JsonFormatter(logging.Formatter):
    """One object a line: time, level, logger, event, and the facts."""

    def __init__(self, redact: Level) -> None:
        super().__init__()
        self._redact = redact

    def format(self, record: logging.LogRecord) -> str:
        moment = datetime.datetime.fromtimestamp(record.created, datetime.UTC)
        line: dict[str, object] = {
            "time": iso(moment),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": record.getMessage(),
        }
        # A fact may be named as one of ours; both are kept.
        line |= {(f"fact_{key}" if key in line else key): value for key, value in _facts(record, self._redact).items()}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


class HumanFormatter(logging.Formatter):
    """Time, level, logger, event and facts as `key=value`, coloured on a terminal."""

    def __init__(self, redact: Level, color: bool = False) -> None:
        super().__init__()
        self._redact, self._color = redact, color

    def format(self, record: logging.LogRecord) -> str:
        moment = datetime.datetime.fromtimestamp(record.created).astimezone()
        facts = " ".join(f"{key}={_shown(value)}" for key, value in _facts(record, self._redact).items())
        line = (
            f"{moment:%H:%M:%S}.{moment.microsecond // 1000:03d} {record.levelname:<7} {record.name} {record.getMessage()} {facts}".rstrip()
        )
        if self._color and record.levelno in _COLORS:
            line = f"\x1b[{_COLORS[record.levelno]}m{line}\x1b[0m"
        if record.exc_info:
            line += "\n" + self.formatException(record.exc_info)
        return line


def _shown(value: object) -> str:
    text = str(value).replace("\r\n", "\n")
    # A peer's text must not forge a line of its own.
    return json.dumps(text, ensure_ascii=False) if not text or any(c in text for c in ' \n\r\t"=\x1b') or not text.isprintable() else text
