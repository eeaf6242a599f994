"""Through whose hands a call has come: Diversion (RFC 5806) and History-Info (RFC 7044), read from an INVITE and written for a trunk.

A Dial of an application is a diversion of the number that was called. Many trunks accept a caller's number that is not theirs only beside a
Diversion with one that is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from sip.core.commands import HeaderList
from sip.errors import ParseError
from sip.message import Headers, Uri, escape_user
from sip.message.fields import parse_name_addr

HistoryKind = Literal["none", "diversion", "history-info", "both"]
MAX_ENTRIES = 20  # more are not passed on: somebody goes round in circles
_INDEX = re.compile(r"[0-9]{1,4}(?:\.[0-9]{1,4}){0,19}")


@dataclass(frozen=True, slots=True)
class History:
    """diversions: the values of Diversion, the latest first. entries: (URI, index) of History-Info, the oldest first."""

    diversions: tuple[str, ...] = ()
    entries: tuple[tuple[str, str], ...] = ()


NO_HISTORY = History()


def history_of(headers: Headers) -> History:
    """Of an INVITE that came. What does not parse is left out."""
    diversions = tuple(value for value in headers.values("Diversion") if _uri(value))[:MAX_ENTRIES]
    return History(diversions, tuple(_entries(headers))[:MAX_ENTRIES])


def diverted_by(headers: Headers) -> str:
    """The URI of who forwarded the call last: the first Diversion, else the last but one of History-Info; "" for none."""
    for value in headers.values("Diversion"):
        if uri := _uri(value):
            return uri
    entries = list(_entries(headers))
    return entries[-2][0] if len(entries) > 1 else ""


def history_headers(history: History, dialled: str, kind: HistoryKind, host: str, target: str) -> HeaderList:
    """For an INVITE to `target`: what was, and that our number `dialled` has diverted it; "" for a call that nobody has forwarded.

    host: where that number is.
    """
    if kind == "none" or not dialled:
        return ()
    own = str(Uri("sip", escape_user(dialled), None, host, None, {}, ()))
    found: list[tuple[str, str]] = []
    if kind in ("diversion", "both"):
        values = (f"<{own}>;reason=unconditional;counter=1", *history.diversions)
        found += [("Diversion", value) for value in values[:MAX_ENTRIES]]
    if kind in ("history-info", "both"):
        entries = list(history.entries) or [(own, "1")]
        last = entries[-1][1]
        entries.append((f"{target};cause=302", f"{last}.1"))  # RFC 4458 2.1: unconditional
        mapped = [f";mp={last}" if at == len(entries) - 1 else "" for at in range(len(entries))]
        found += [("History-Info", f"<{uri}>;index={index}{more}") for (uri, index), more in zip(entries, mapped, strict=True)]
    return tuple(found)


def _entries(headers: Headers) -> Iterator[tuple[str, str]]:
    for value in headers.values("History-Info"):
        try:
            field = parse_name_addr(value, "History-Info")
        except ParseError:
            continue
        index = field.params.get("index") or ""
        if _INDEX.fullmatch(index):
            yield field.uri, index


def _uri(value: str) -> str:
    try:
        return parse_name_addr(value, "Diversion").uri
    except ParseError:
        return ""
