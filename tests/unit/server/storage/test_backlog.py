"""What waits to be written: bounded, the bulk of timelines goes first, ends last, and every loss is counted."""

from __future__ import annotations

import datetime

from hypothesis import given, settings
from hypothesis import strategies as st

from server.calls.effects import Kind
from server.storage.backlog import PIECE_WAIT_S, Backlog, Batch
from server.storage.rows import CallRow, CallStarted, Entry, NotificationRow, RecordingRow

T0 = datetime.datetime(2026, 5, 26, tzinfo=datetime.UTC)
WAIT_S = 0.2


def entry(call: str, n: int = 0, kind: Kind = Kind.VERB) -> Entry:
    return Entry(call, T0 + datetime.timedelta(milliseconds=n), kind, {"n": n})


def row(sid: str, parent: str = "") -> CallRow:
    return CallRow(sid, parent, "AC1", "inbound", "a", "b", T0, cause="completed")


def recording(sid: str) -> RecordingRow:
    return RecordingRow(sid, "CA1", "AC1", "/r", 1, T0)


def notification(sid: str) -> NotificationRow:
    return NotificationRow(sid, "CA1", T0, 1, "error", "")


def numbers(batch: Batch) -> dict[str, list[object]]:
    return {piece.call_sid: [found.data["n"] for found in piece.entries] for piece in batch.pieces}


def everything(backlog: Backlog) -> Batch:
    return backlog.take(1e9, 10**9, all_of_it=True)


# --- when


def test_entries_of_a_call_wait_for_each_other_and_become_one_piece() -> None:
    backlog = Backlog(100, WAIT_S)
    assert backlog.due() is None
    for n in range(10):
        backlog.put_entry(entry("CA1", n), now=10.0 + n / 100)
    assert backlog.due() == 10.0 + PIECE_WAIT_S
    assert not backlog.take(10.0 + PIECE_WAIT_S - 0.01, 500)
    assert numbers(backlog.take(10.0 + PIECE_WAIT_S, 500)) == {"CA1": list(range(10))}
    assert (backlog.waiting, backlog.due()) == (0, None)


def test_a_piece_waits_for_the_last_words_of_an_ended_call_and_no_longer() -> None:
    backlog = Backlog(100, WAIT_S)
    backlog.put_entry(entry("CA1", 1), now=10.0)
    backlog.put_row(row("CA2", parent="CA1"), now=10.05)  # a leg
    assert backlog.due() == 10.05 + WAIT_S
    assert not backlog.take(10.1, 500).pieces
    backlog.put_row(row("CA1"), now=10.1)
    backlog.put_entry(entry("CA1", 2), now=10.2)
    taken = backlog.take(10.1 + WAIT_S, 500)
    assert numbers(taken) == {"CA1": [1, 2]}
    assert [found.sid for found in taken.rows if isinstance(found, CallRow)] == ["CA2", "CA1"]


def test_no_more_is_taken_than_was_asked_for_but_for_the_rest_of_a_piece() -> None:
    backlog = Backlog(100, WAIT_S)
    for n in range(7):
        backlog.put_row(recording(f"RE{n}"), now=0.0)
    for call in ("CA1", "CA2"):
        for n in range(5):
            backlog.put_entry(entry(call, n), now=0.0)
    assert len(backlog.take(9.0, 5).rows) == 5
    second = backlog.take(9.0, 5)
    assert (len(second.rows), numbers(second)) == (2, {"CA1": list(range(5))})
    assert numbers(backlog.take(9.0, 5)) == {"CA2": list(range(5))}
    assert not backlog.take(9.0, 5)


# --- too much


def test_messages_go_before_other_entries_those_of_the_oldest_call_first() -> None:
    backlog = Backlog(6, WAIT_S)
    for call in ("CA1", "CA2"):
        for n, kind in enumerate((Kind.SIP, Kind.HTTP, Kind.VERB)):
            backlog.put_entry(entry(call, n, kind), now=0.0)
    backlog.put_entry(entry("CA3"), now=0.0)
    assert backlog.waiting == 5
    assert backlog.lost == {"timeline entry": 2}
    batch = everything(backlog)
    assert numbers(batch) == {"CA1": [2], "CA2": [0, 1, 2], "CA3": [0]}
    gaps = {piece.call_sid: piece.gap() for piece in batch.pieces}
    assert gaps["CA1"] is not None
    assert gaps["CA1"].data["left_out"] == 2  # the call's timeline says so itself
    assert gaps["CA2"] is None


def test_without_messages_the_oldest_entry_goes() -> None:
    backlog = Backlog(3, WAIT_S)
    for n in range(5):
        backlog.put_entry(entry("CA1", n), now=0.0)
    assert (backlog.waiting, backlog.lost.total()) == (3, 2)
    assert numbers(everything(backlog)) == {"CA1": [2, 3, 4]}


def test_a_row_is_never_lost_while_there_is_an_entry() -> None:
    backlog = Backlog(5, WAIT_S)
    for n in range(5):
        backlog.put_entry(entry(f"CA{n}"), now=0.0)
    for n in range(5):
        backlog.put_row(row(f"CA{n}"), now=0.0)
    assert backlog.lost == {"timeline entry": 5}
    batch = everything(backlog)
    assert (len(batch.rows), batch.pieces) == (5, [])


def test_ends_are_lost_last() -> None:
    backlog = Backlog(3, WAIT_S)
    for item in (CallStarted("CA1", T0), notification("NO1"), row("CA1"), recording("RE1"), row("CA2"), notification("NO2")):
        backlog.put_row(item, now=0.0)
    assert backlog.lost == {"call beginning": 1, "notification": 2}
    backlog.put_entry(entry("CA3"), now=0.0)
    backlog.put_row(row("CA3"), now=0.0)
    assert backlog.lost == {"call beginning": 1, "notification": 2, "timeline entry": 1, "call": 1}
    assert [found.sid for found in everything(backlog).rows if not isinstance(found, CallStarted)] == ["RE1", "CA2", "CA3"]


_CALLS = st.sampled_from(("CA1", "CA2", "CA3"))
_ITEMS = st.one_of(
    st.builds(entry, _CALLS, st.integers(0, 99), st.sampled_from((Kind.SIP, Kind.VERB))),
    st.builds(row, _CALLS),
    st.builds(notification, st.just("NO")),
    st.builds(recording, st.just("RE")),
    st.builds(lambda sid: CallStarted(sid, T0), _CALLS),
    st.integers(0, 8),  # take so many
)


@given(st.lists(_ITEMS, max_size=80), st.integers(1, 12))
@settings(max_examples=400, deadline=None)
def test_whatever_comes_all_is_taken_waits_or_is_counted_as_lost_and_nothing_is_unbounded(items: list[object], limit: int) -> None:
    backlog = Backlog(limit, WAIT_S)
    put = taken = 0
    now = 0.0
    for item in items:
        now += 0.1
        if isinstance(item, int):
            batch = backlog.take(now, item)
            taken += len(batch.rows) + sum(len(piece.entries) for piece in batch.pieces)
            continue
        put += 1
        if isinstance(item, Entry):
            backlog.put_entry(item, now)
        else:
            assert isinstance(item, CallStarted | CallRow | NotificationRow | RecordingRow)
            backlog.put_row(item, now)
        assert backlog.waiting <= limit
        assert (backlog.due() is None) == (backlog.waiting == 0)
    rest = everything(backlog)
    left = len(rest.rows) + sum(len(piece.entries) for piece in rest.pieces)
    assert put == taken + left + backlog.lost.total()
    assert (backlog.waiting, backlog.due()) == (0, None)
