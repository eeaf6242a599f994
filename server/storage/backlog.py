"""What waits to be written, in bounds: when there is too much of it, the bulk of timelines goes first and the ends of calls last.

    ends          call rows, recordings, events         go last
    others        beginnings, notifications, phones     go before them
    timelines     entries, gathered by call             go first: of the call that waits longest its messages and exchanges,
                                                        then, of whichever call waits longest, its oldest entry

Everything shares one limit, so no row is lost as long as there is an entry to be lost instead. What is lost is counted by its kind, and
a call whose timeline lost something says so in it. Entries of a call wait for each other a while, so that they become one row; rows wait
a little for the next ones. Pure: `now` is an argument, `due` an output.
"""

from __future__ import annotations

from collections import Counter, OrderedDict, deque
from dataclasses import dataclass, field

from server.calls.effects import Kind
from server.storage.rows import CallRow, CallStarted, Entry, EventRow, NotificationRow, RecordingRow, RegistrationRow

Row = CallStarted | CallRow | NotificationRow | RecordingRow | EventRow | RegistrationRow
PIECE_WAIT_S = 1.0  # at most: what a crash takes away of timelines
_NAMES: dict[type[Row | Entry], str] = {
    CallStarted: "call beginning",
    CallRow: "call",
    NotificationRow: "notification",
    RecordingRow: "recording",
    EventRow: "event",
    RegistrationRow: "registration",
    Entry: "timeline entry",
}


def name_of(kind: type[Row | Entry]) -> str:
    """What it is called where losses are told."""
    return _NAMES[kind]


def is_bulk(entry: Entry) -> bool:
    """Whether it holds a whole message."""
    return entry.kind is Kind.SIP or entry.kind is Kind.HTTP


@dataclass(slots=True)
class Piece:
    """Entries of one call that wait to become a row."""

    call_sid: str
    due: float
    entries: deque[Entry] = field(default_factory=deque)
    bulk: int = 0  # how many of them are of that kind
    left_out: int = 0

    def gap(self) -> Entry | None:
        """What the reader is told when something was lost here."""
        if not self.left_out or not self.entries:
            return None
        message = f"{self.left_out} entries were lost about here: the database could not take them in time (storage.queue_max)"
        data: dict[str, str | int] = {"level": "warning", "message": message, "left_out": self.left_out}
        return Entry(self.call_sid, self.entries[0].at, Kind.NOTICE, dict(data))


@dataclass(slots=True)
class Batch:
    rows: list[Row]
    pieces: list[Piece]

    def __bool__(self) -> bool:
        return bool(self.rows or self.pieces)


class Backlog:
    """waiting: items in it. lost: how many of what was dropped, by name."""

    def __init__(self, limit: int, wait_s: float) -> None:
        """limit: rows and entries. wait_s: that a row, or the timeline of a call that is over, waits for others."""
        self._limit, self._wait_s = limit, wait_s
        self._ends: deque[Row] = deque()
        self._others: deque[Row] = deque()
        self._pieces: OrderedDict[str, Piece] = OrderedDict()  # of calls that go on; by age, and so by `due`
        self._ended: OrderedDict[str, Piece] = OrderedDict()  # of calls that are over, in the order of their end
        self._bulky: OrderedDict[str, Piece] = OrderedDict()  # of all these the ones with bulk, by age
        self._rows_due = 0.0
        self.waiting = 0
        self.lost: Counter[str] = Counter()

    def put_entry(self, entry: Entry, now: float) -> None:
        if self.waiting >= self._limit and not self._make_room():
            self.lost[name_of(Entry)] += 1
            return
        self.waiting += 1
        sid = entry.call_sid
        piece = self._pieces.get(sid) or self._ended.get(sid)
        if piece is None:
            piece = self._pieces[sid] = Piece(sid, now + max(PIECE_WAIT_S, self._wait_s))
        piece.entries.append(entry)
        if is_bulk(entry):
            piece.bulk += 1
            self._bulky.setdefault(sid, piece)

    def put_row(self, row: Row, now: float) -> None:
        end = isinstance(row, CallRow | RecordingRow | EventRow)
        if self.waiting >= self._limit and not self._make_room():
            other = self._others.popleft() if self._others else None
            if other is None and not end:
                self.lost[name_of(type(row))] += 1
                return
            self.lost[name_of(type(other or self._ends.popleft()))] += 1
            self.waiting -= 1
        self.waiting += 1
        if not self._ends and not self._others:
            self._rows_due = now + self._wait_s
        (self._ends if end else self._others).append(row)
        if isinstance(row, CallRow) and not row.parent_sid:
            self._call_ended(row.sid, now)

    def _call_ended(self, sid: str, now: float) -> None:
        """Its last words come now: the piece waits for them and no longer."""
        piece = self._pieces.pop(sid, None)
        if piece is not None:
            piece.due = min(piece.due, now + self._wait_s)
            self._ended[sid] = piece

    # --- what is to be written

    def due(self) -> float | None:
        """When `take` has something to give; None: nothing waits."""
        moment = self._rows_due if self._ends or self._others else None
        for pieces in (self._pieces, self._ended):
            for piece in pieces.values():
                moment = piece.due if moment is None or piece.due < moment else moment
                break
        return moment

    def take(self, now: float, most: int, *, all_of_it: bool = False) -> Batch:
        """What is due, up to `most` items (a whole piece more at most). all_of_it: what is not due, too."""
        rows: list[Row] = []
        if all_of_it or now >= self._rows_due:
            for waiting in (self._ends, self._others):
                while waiting and len(rows) < most:
                    rows.append(waiting.popleft())
        self.waiting -= len(rows)
        pieces: list[Piece] = []
        count = len(rows)
        for waiting_pieces in (self._ended, self._pieces):
            while waiting_pieces and count < most:
                sid, piece = next(iter(waiting_pieces.items()))
                if piece.due > now and not all_of_it:
                    break
                del waiting_pieces[sid]
                self._bulky.pop(sid, None)
                self.waiting -= len(piece.entries)
                count += len(piece.entries)
                pieces.append(piece)
        return Batch(rows, pieces)

    # --- too much

    def _make_room(self) -> bool:
        """Drop something of the timelines; False when they are empty."""
        if self._bulky:
            _, piece = self._bulky.popitem(last=False)
            self._drop(piece, piece.bulk)
            piece.entries = deque(entry for entry in piece.entries if not is_bulk(entry))
            piece.bulk = 0
        else:
            pieces = self._ended or self._pieces
            if not pieces:
                return False
            piece = next(iter(pieces.values()))
            self._drop(piece, 1)
            piece.entries.popleft()
        if not piece.entries:
            self._ended.pop(piece.call_sid, None)
            self._pieces.pop(piece.call_sid, None)
        return True

    def _drop(self, piece: Piece, count: int) -> None:
        piece.left_out += count
        self.waiting -= count
        self.lost[name_of(Entry)] += count
