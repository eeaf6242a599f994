"""A call's timeline as a ladder diagram in text. Pure: entries in, lines out.

```
            caller            dialplane           callee 1         application
        192.0.2.7:5060                         192.0.2.9:5060   app.example.com
              │                   │                   │                 │
   0.000      │──INVITE +SDP─────▶│                   │                 │
   0.012      │                   │──POST /voice ─────┼────────────────▶│
   0.020      │                   │ ▸ Dial line 2: timeout 30 s         │
```

A lane for each leg, in the order in which they speak, the caller's left of ours and the dialled ones right, the application
at the right end. What is neither SIP nor HTTP stands beside our lane. Lanes that do not fit share the last one, and their
arrows say whose they are.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import urlsplit

from server.calls.effects import Json, Kind
from server.storage.rows import Entry

Data = Mapping[str, Json]
Style = Literal["", "dim", "http", "verb", "media", "warning", "error", "outcome"]

TIME_WIDTH = 10
NARROWEST_LANE = 17
WIDEST_LANE = 34
GAP_S = 1.5  # a longer silence is shown
_COLORS: dict[Style, str] = {
    "dim": "2",
    "http": "36",
    "verb": "35",
    "media": "34",
    "warning": "33",
    "error": "31",
    "outcome": "1",
}
_ASCII = str.maketrans("│─┄▶◀┼▸♪·▲■✗⋮…↔↻", "|-~><+>*.!#x:~=&")


@dataclass(frozen=True, slots=True)
class _Arrow:
    at: float
    lane: str  # the other end; ours is always one
    inwards: bool
    label: str
    repeated: bool = False
    style: Style = ""


@dataclass(frozen=True, slots=True)
class _Remark:
    at: float
    text: str
    style: Style = ""


@dataclass(slots=True)
class _Lane:
    key: str
    title: str
    place: str = ""
    x: int = 0
    shared: bool = False


_SID = re.compile(r"\b([A-Z]{2}[0-9a-f]{6})[0-9a-f]{26}\b")
_PATH = re.compile(r"(?<![\w/.:])/(?:[^/\s,]+/)+([^/\s,]+)")
OURS, APPLICATION = "dialplane", "application"


@dataclass(slots=True)
class _Cast:
    """Who appears: lanes by key, and what legs are called."""

    call_sid: str
    legs: list[str] = field(default_factory=list)
    places: dict[str, str] = field(default_factory=dict)
    application: str = ""

    def name(self, sid: str) -> str:
        sid = sid.partition("-")[0]  # `CA...-2` is the second play to a leg
        if sid in ("", self.call_sid):
            return "caller"
        return f"callee {self.legs.index(sid) + 1}" if sid in self.legs else sid[:8]


def render(entries: Sequence[Entry], width: int = 120, *, ascii_only: bool = False, color: bool = False) -> str:
    """The diagram, lines ended by newlines. Without entries: the empty text.

    Args:
        entries: of one call, in the order of time.
        width: columns that a line may have; 80 at least.
        ascii_only: for terminals that draw nothing else.
        color: with ANSI colours.
    """
    if not entries:
        return ""
    cast = _cast(entries)
    lanes = _lanes(cast, max(80, width))
    canvas = _Canvas(lanes, max(80, width))
    steps = sorted(_steps(entries, cast), key=lambda step: step.at)
    rows = [*canvas.heading(), *_rows(steps, canvas), ("", "")]
    out = []
    for text, style in rows:
        line = (text.translate(_ASCII).encode("ascii", "replace").decode() if ascii_only else text).rstrip()
        out.append(f"\x1b[{_COLORS[style]}m{line}\x1b[0m" if color and style else line)
    return "\n".join(out).rstrip("\n") + "\n"


# --- who appears --------------------------------------------------------------------------------------------------


def _cast(entries: Sequence[Entry]) -> _Cast:
    cast = _Cast(entries[0].call_sid)
    for entry in entries:
        if entry.leg and entry.leg != cast.call_sid and entry.leg not in cast.legs and entry.kind in (Kind.SIP, Kind.STATE, Kind.OUTCOME):
            cast.legs.append(entry.leg)
        if entry.kind is Kind.SIP:
            cast.places.setdefault(entry.leg or cast.call_sid, _text(entry.data, "peer"))
        elif entry.kind is Kind.HTTP and not cast.application:
            cast.application = _host(_text(entry.data, "url"))
    return cast


def _lanes(cast: _Cast, width: int) -> dict[str, _Lane]:
    """Lanes with their places, from left to right, by leg. Legs without room share the last dialled one's lane."""
    application = [_Lane(APPLICATION, "application", cast.application)] if cast.application else []
    room = (width - TIME_WIDTH) // NARROWEST_LANE - 2 - len(application)
    own = cast.legs if len(cast.legs) <= room else cast.legs[: room - 1]
    rest = cast.legs[len(own) :]
    dialled = [_Lane(leg, cast.name(leg), cast.places.get(leg, "")) for leg in own]
    if rest:
        last = _Lane(rest[0], f"callees {len(own) + 1}-{len(cast.legs)}", shared=True)
        dialled.append(last)
    ordered = [_Lane(cast.call_sid, "caller", cast.places.get(cast.call_sid, "")), _Lane(OURS, OURS), *dialled, *application]
    pitch = min(WIDEST_LANE, (width - TIME_WIDTH) // len(ordered))
    for index, lane in enumerate(ordered):
        lane.x = TIME_WIDTH + pitch // 2 + index * pitch
    lanes = {lane.key: lane for lane in ordered}
    for leg in rest:
        lanes[leg] = last
    return lanes


# --- what happens -------------------------------------------------------------------------------------------------


def _steps(entries: Sequence[Entry], cast: _Cast) -> Iterator[_Arrow | _Remark]:
    """Arrows and remarks, their times in seconds since the first entry."""
    begin = min(_began(entry) for entry in entries)
    for entry in entries:
        at = entry.at.timestamp() - begin
        match entry.kind:
            case Kind.SIP:
                yield _sip(entry, at, cast)
            case Kind.HTTP:
                yield from _http(entry, at, cast)
            case Kind.VERB:
                yield _Remark(at, f"▸ {_verb(entry.data)}", "verb")
            case Kind.MEDIA:
                bad = entry.data.get("event") in ("failed", "play-failed", "media-timeout", "vanished", "worker-lost", "answer-refused")
                yield _Remark(at, f"♪ {_media(entry, cast)}", "error" if bad else "media")
            case Kind.STATE:
                yield _Remark(at, f"· {_whose(entry, cast)}{_facts(entry.data, cast, first='status')}", "dim")
            case Kind.NOTICE:
                yield _notice(entry.data, at)
            case Kind.OUTCOME:
                yield _Remark(at, f"■ {_outcome(entry, cast)}", "outcome")


def _began(entry: Entry) -> float:
    """An exchange is written down when it is over; it began before."""
    elapsed = entry.data.get("elapsed_ms") if entry.kind is Kind.HTTP else None
    return entry.at.timestamp() - (elapsed / 1000 if isinstance(elapsed, int | float) else 0.0)


def _sip(entry: Entry, at: float, cast: _Cast) -> _Arrow:
    leg = entry.leg or cast.call_sid
    words = _text(entry.data, "summary").split(" ")
    status = words[0].isdigit()
    label = " ".join(words) if status else words[0]
    label = label.removesuffix(" (INVITE)")
    if "\r\na=" in (raw := _text(entry.data, "raw")) or "\r\nm=audio" in raw or "\nm=audio" in raw:
        label += " +SDP"
    peer, usual = _text(entry.data, "peer"), cast.places.get(leg, "")
    if peer != usual:  # a fallback proxy, or a Contact elsewhere: what differs
        host, _, port = peer.rpartition(":")
        label += f" [:{port}]" if host == usual.rpartition(":")[0] else f" [{peer}]"
    style: Style = "error" if status and words[0] >= "400" else ""
    return _Arrow(at, leg, entry.data.get("direction") == "in", label, bool(entry.data.get("repeated")), style)


def _http(entry: Entry, at: float, cast: _Cast) -> Iterator[_Arrow]:
    data = entry.data
    url, elapsed = _text(data, "url"), at - (entry.at.timestamp() - _began(entry))
    parts = urlsplit(url)
    shown = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    if _host(url) != cast.application:
        shown = f"{_host(url)}{shown}"
    yield _Arrow(elapsed, APPLICATION, False, f"{_text(data, 'method')} {shown} ({_text(data, 'purpose')})", style="http")
    took = f"{data.get('elapsed_ms', 0)} ms"
    if error := _text(data, "error"):
        yield _Arrow(at, APPLICATION, True, f"✗ {error}, {took}", style="error")
    else:
        kind = _text(data, "content_type").partition(";")[0]
        good = data.get("status") == 200
        yield _Arrow(
            at, APPLICATION, True, " ".join(filter(None, (str(data.get("status", "")), kind, took))), style="http" if good else "warning"
        )


def _verb(data: Data) -> str:
    line = f" line {data['line']}" if data.get("line") else ""
    rest = _pairs({key: value for key, value in data.items() if key not in ("verb", "line")})
    return f"{data.get('verb', '?')}{line}" + (f": {rest}" if rest else "")


def _media(entry: Entry, cast: _Cast) -> str:
    return f"{_whose(entry, cast)}{_facts(entry.data, cast, first='event')}"


def _notice(data: Data, at: float) -> _Remark:
    level = data.get("level")
    words = [str(data["code"])] if data.get("code") else []
    words.append(str(data.get("message", "")))
    if data.get("line"):
        words.append(f"(line {data['line']})")
    return _Remark(at, "▲ " + " ".join(words), "error" if level == "error" else "warning")


def _outcome(entry: Entry, cast: _Cast) -> str:
    data = dict(entry.data)
    event = data.pop("event", "")
    if event == "dial":
        who, cause = "Dial", data.pop("status", "")
    else:
        who, cause = ("call" if event == "call" else cast.name(entry.leg)), data.pop("cause", "")
    by = data.pop("by", "")
    status = data.pop("sip_status", 0)
    text = data.pop("text", "")
    told = f"{who} {cause}" + (f" by {by}" if by else "") + (f", SIP {status}" if status else "") + (f": {text}" if text else "")
    rest = _pairs({key: cast.name(value) if key == "leg" and isinstance(value, str) else value for key, value in data.items()})
    return told + (f", {rest}" if rest else "")


def _whose(entry: Entry, cast: _Cast) -> str:
    return f"{cast.name(entry.leg)} " if entry.leg else ""


def _facts(data: Data, cast: _Cast, first: str) -> str:
    known = {cast.call_sid, *cast.legs}
    rest = {key: cast.name(value) if isinstance(value, str) and value in known else value for key, value in data.items() if key != first}
    if rest.keys() >= {"first", "second"}:
        return f"{data.get(first, '')} {rest['first']} ↔ {rest['second']}"
    rest.pop("stream", None)
    told = _pairs(rest)
    return f"{data.get(first, '')}" + (f": {told}" if told else "")


def _pairs(data: dict[str, Json]) -> str:
    """`timeout 30 s, packets out 120`: what is empty is left out."""
    return ", ".join(_pair(key, value) for key, value in data.items() if value not in (None, "", [], {}, False))


def _pair(key: str, value: Json) -> str:
    for suffix, unit in (("_ms", " ms"), ("_s", " s"), ("_bytes", " octets")):
        if key.endswith(suffix):
            return f"{key.removesuffix(suffix).replace('_', ' ')} {value}{unit}"
    shown = key.replace("_", " ")
    return shown if value is True else f"{shown} {_short(value)}"


def _short(value: Json) -> Json:
    """Sids and paths by what tells them apart; in full they are in the JSON form."""
    if not isinstance(value, str):
        return value
    value = _PATH.sub(lambda found: found[1] if len(found[1]) <= 24 else f"{found[1][:12]}…{found[1][-8:]}", value)
    return _SID.sub(r"\1…", value)


def _text(data: Data, key: str) -> str:
    value = data.get(key)
    return "" if value is None else str(value)


def _host(url: str) -> str:
    try:
        return urlsplit(url).netloc.rpartition("@")[2]
    except ValueError:
        return ""


# --- drawing ------------------------------------------------------------------------------------------------------


class _Canvas:
    def __init__(self, lanes: dict[str, _Lane], width: int) -> None:
        self.lanes, self.width = lanes, width
        self._columns = sorted({lane.x for lane in lanes.values()})
        self.ours = lanes[OURS].x

    def heading(self) -> Iterator[tuple[str, Style]]:
        unique = {lane.x: lane for lane in self.lanes.values()}
        pitch = self._columns[1] - self._columns[0] if len(self._columns) > 1 else self.width
        for attribute in ("title", "place"):
            row = [" "] * self.width
            for x, lane in unique.items():
                text = _cut(str(getattr(lane, attribute)), pitch - 1)
                _write(row, max(0, x - len(text) // 2), text)
            yield "".join(row), "outcome" if attribute == "title" else "dim"
        yield self.line(), ""

    def line(self, at: float | None = None) -> str:
        return "".join(self._blank(at))

    def _blank(self, at: float | None) -> list[str]:
        row = [" "] * self.width
        if at is not None:
            _write(row, 0, f"{at:{TIME_WIDTH - 2}.3f}")
        for x in self._columns:
            row[x] = "│"
        return row

    def arrow(self, arrow: _Arrow, who: str) -> str:
        row = self._blank(arrow.at)
        there = self.lanes[arrow.lane].x
        left, right = min(self.ours, there), max(self.ours, there)
        stroke = "┄" if arrow.repeated else "─"
        for x in range(left + 1, right):
            row[x] = "┼" if row[x] == "│" else stroke
        rightwards = arrow.inwards == (there < self.ours)
        row[right - 1 if rightwards else left + 1] = "▶" if rightwards else "◀"
        label = f"{who}↻ {arrow.label}" if arrow.repeated else f"{who}{arrow.label}"
        room = right - left - 5
        if len(label) > room:
            label = label.replace(" +SDP", "")
        _write(row, left + 3 if rightwards else max(left + 3, right - 2 - min(len(label), room)), _cut(label, room))
        return "".join(row)

    def remark(self, remark: _Remark) -> Iterator[str]:
        start = self.ours + 2
        lines = textwrap.wrap(remark.text, self.width - start - 1, subsequent_indent="  ", break_on_hyphens=False) or [""]
        for index, text in enumerate(lines):
            row = self._blank(remark.at if index == 0 else None)
            _write(row, start, text + " ")
            yield "".join(row)

    def silence(self, seconds: float) -> str:
        row = self._blank(None)
        for x in self._columns:
            row[x] = "⋮"
        _write(row, self.ours + 2, f"{seconds:.1f} s ")
        return "".join(row)


def _rows(steps: Sequence[_Arrow | _Remark], canvas: _Canvas) -> Iterator[tuple[str, Style]]:
    before = 0.0
    for step in steps:
        if step.at - before > GAP_S:
            yield canvas.silence(step.at - before), "dim"
        before = step.at
        if isinstance(step, _Arrow):
            lane = canvas.lanes.get(step.lane)
            if lane is None:
                continue
            who = f"#{_number_of(canvas, step.lane)} " if lane.shared else ""
            yield canvas.arrow(step, who), step.style
        else:
            for text in canvas.remark(step):
                yield text, step.style


def _number_of(canvas: _Canvas, leg: str) -> int:
    legs = [key for key in canvas.lanes if key not in (OURS, APPLICATION)]
    return legs.index(leg)  # the caller is 0, callees count from 1


def printable(text: str) -> str:
    """A peer's text for a terminal: what would move its cursor or colour it becomes a question mark. Line breaks and tabs stay."""
    return "".join(character if character.isprintable() or character in "\n\t" else "?" for character in text)


def _write(row: list[str], x: int, text: str) -> None:
    text = printable(text).replace("\n", " ").replace("\t", " ")
    row[x : x + len(text)] = text[: max(0, len(row) - x)]


def _cut(text: str, room: int) -> str:
    return text if len(text) <= room else text[: max(0, room - 1)] + "…"
