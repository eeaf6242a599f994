"""Filters of lists: the keys of a query with operators in them (`StartTime>=2026-01-01`), and their dates."""

from __future__ import annotations

import datetime
from collections.abc import Mapping

from server.api.problems import bad
from server.storage.lists import Span

_DAY = datetime.timedelta(days=1)


def span_of(query: Mapping[str, str], name: str) -> Span:
    """`name`: that day (UTC), or that second; `name>` (sent as `name>=`): from then on; `name<`: until before the end of that day."""
    since = until = None
    if exact := query.get(name, "").strip():
        since, until = _range(name, exact)
    if text := query.get(f"{name}>", "").strip():
        since = _range(name, text)[0]
    if text := query.get(f"{name}<", "").strip():
        until = _range(name, text)[1]
    return Span(since, until)


def _range(name: str, text: str) -> tuple[datetime.datetime, datetime.datetime]:
    try:
        moment = datetime.datetime.fromisoformat(text)
    except ValueError:
        raise bad(f"{name} must be a date as 2026-01-31 or a moment as 2026-01-31T12:00:00Z") from None
    moment = moment.replace(tzinfo=datetime.UTC) if moment.tzinfo is None else moment.astimezone(datetime.UTC)
    try:
        return moment, moment + (_DAY if len(text) == len("2026-01-31") else datetime.timedelta(seconds=1))
    except OverflowError:
        raise bad(f"{name} is too far away") from None
