"""What happened to a call, entry by entry: kept in memory while it lives, handed to storage as it goes, bounded in both.

A call may be long and noisy, and yet both its beginning and its end explain it. So of `limit` entries the first three
quarters are written as they come; what follows turns in a ring of the last quarter, which is written when the call ends,
with an entry that says how many were left out. Entries that come later still (a BYE repeated by a deaf peer) are written
as they come, a few of them.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from server.calls.effects import Json, Kind, Note
from server.observability.clock import WallClock
from server.observability.redaction import HIDDEN, hide_keys, hide_secrets, hide_url_secrets, is_secret_name
from server.storage.rows import Entry

REMEMBERED_CALLS = 1000  # ended ones, whose late entries still find them
_MARGIN = 1024
LATE_ENTRIES = 200  # written of each of these: its last request, its BYE and the answer to it


@dataclass(slots=True)
class _Live:
    """clock: the one of all its entries, so that they stay in order when the machine's clock is set in mid-call."""

    clock: WallClock
    head: list[Entry] = field(default_factory=list)
    tail: deque[Entry] = field(default_factory=deque)
    left_out: int = 0


class Timelines:
    """The timelines of all live calls."""

    def __init__(self, clock: WallClock, keep: Callable[[Entry], None], limit: int = 2000, max_text: int = 8192) -> None:
        """keep: takes an entry to storage, at once and without failing. limit: entries a call. max_text: characters a text."""
        self._clock, self._keep, self._max_text = clock, keep, max_text
        self._tail = max(1, limit // 4)
        self._head = limit - self._tail
        self._live: dict[str, _Live] = {}
        self._ended: OrderedDict[str, tuple[int, WallClock]] = OrderedDict()  # call sid -> late entries still welcome

    def add(self, note: Note) -> Entry:
        if note.call_sid in self._ended:
            welcome, clock = self._ended[note.call_sid]
            entry = self._entry(note, clock)
            if welcome > 0:
                self._ended[note.call_sid] = (welcome - 1, clock)
                self._keep(entry)
            return entry
        live = self._live.get(note.call_sid)
        if live is None:
            live = self._live[note.call_sid] = _Live(self._clock.pinned())
        entry = self._entry(note, live.clock)
        if len(live.head) < self._head:
            live.head.append(entry)
            self._keep(entry)
            return entry
        if len(live.tail) == self._tail:
            live.tail.popleft()
            live.left_out += 1
        live.tail.append(entry)
        return entry

    def _entry(self, note: Note, clock: WallClock) -> Entry:
        return Entry(note.call_sid, clock.at(note.at), note.kind, clean(note.kind, note.data, self._max_text), note.leg)

    def end(self, call_sid: str) -> None:
        """The call is over: its last entries go to storage, and its memory is given back."""
        live = self._live.pop(call_sid, None)
        if live is None:
            return
        for entry in (*_gap(live), *live.tail):
            self._keep(entry)
        self._ended[call_sid] = (LATE_ENTRIES, live.clock)
        while len(self._ended) > REMEMBERED_CALLS:
            self._ended.popitem(last=False)

    def of(self, call_sid: str) -> list[Entry] | None:
        """The entries of a live call so far; None when no such call lives."""
        live = self._live.get(call_sid)
        return None if live is None else [*live.head, *_gap(live), *live.tail]


def _gap(live: _Live) -> list[Entry]:
    if not live.left_out:
        return []
    first = live.tail[0]
    message = f"{live.left_out} entries were left out here (storage.timeline_max_entries_per_call)"
    return [Entry(first.call_sid, first.at, Kind.NOTICE, {"level": "info", "message": message, "left_out": live.left_out})]


def clean(kind: Kind, data: Mapping[str, Json], max_text: int) -> dict[str, Json]:
    """The data without secrets, and with long texts cut."""
    if kind is Kind.SIP:  # of the texts of each message two are the peer's
        shown = dict(data)
        for key in ("raw", "summary"):
            text = shown.get(key)
            if isinstance(text, str):
                shown[key] = _clean_text(hide_keys(text), max_text)
        return shown
    return {key: _clean_value(key, value, max_text) for key, value in data.items()}


def _clean_value(key: str, value: Json, max_text: int) -> Json:
    if isinstance(value, str):
        if value and is_secret_name(key):
            return HIDDEN
        return _clean_text(value, max_text, hide_url_secrets if key == "url" else hide_secrets)
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, list):
        if key == "parameters":
            return [_clean_pair(pair, max_text) for pair in value]
        return [_clean_value(key, entry, max_text) for entry in value]
    if isinstance(value, dict):
        return {name: _clean_value(name, entry, max_text) for name, entry in value.items()}
    return HIDDEN if is_secret_name(key) else value


def _clean_pair(pair: Json, max_text: int) -> Json:
    """Name and value of a form; anything else as any list."""
    if isinstance(pair, list) and len(pair) == 2 and isinstance(pair[0], str):
        return [pair[0], _clean_value(pair[0], pair[1], max_text)]
    return _clean_value("", pair, max_text)


def _clean_text(text: str, max_text: int, hide: Callable[[str], str] = hide_secrets) -> str:
    """Cut before the search for secrets, but not so close that a secret could be cut in two and stay."""
    length = len(text)
    if length <= max_text:
        return hide(text)
    return f"{hide(text[: max_text + _MARGIN])[:max_text]}\n... {length - max_text} more characters"
