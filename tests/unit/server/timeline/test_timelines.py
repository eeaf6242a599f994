"""Timelines: bounded, without secrets, complete at both ends."""

from __future__ import annotations

import datetime

import pytest

from server.calls.effects import Json, Kind, Note
from server.observability.clock import WallClock, iso
from server.storage.rows import Entry
from server.timeline.timelines import LATE_ENTRIES, Timelines, clean

CLOCK = WallClock(monotonic=100.0, wall=1_590_515_956.555)


class Kept(list[Entry]):
    @property
    def numbers(self) -> list[Json]:
        return [entry.data.get("n", entry.data.get("left_out")) for entry in self]


def timelines(limit: int = 2000, max_text: int = 8192) -> tuple[Timelines, Kept]:
    kept = Kept()
    return Timelines(CLOCK, kept.append, limit, max_text), kept


def note(n: int, call: str = "CA1", kind: Kind = Kind.VERB) -> Note:
    return Note(call, 100.0 + n, kind, {"n": n})


def test_monotonic_time_becomes_wall_time() -> None:
    assert CLOCK.at(101.5) == datetime.datetime(2020, 5, 26, 17, 59, 18, 55000, datetime.UTC)
    assert CLOCK.iso(100.0) == "2020-05-26T17:59:16.555Z"  # behaviour 1.6, CallTimestamp
    assert iso(datetime.datetime(2020, 1, 1, 2, tzinfo=datetime.timezone(datetime.timedelta(hours=2)))) == "2020-01-01T00:00:00.000Z"


def test_entries_go_to_storage_as_they_come() -> None:
    lines, kept = timelines()
    lines.add(note(1))
    lines.add(note(2))
    assert kept.numbers == [1, 2]
    assert lines.of("CA1") == list(kept)
    assert lines.of("CA2") is None


def test_long_call_keeps_its_beginning_and_its_end() -> None:
    lines, kept = timelines(limit=20)
    for n in range(100):
        lines.add(note(n))
    assert kept.numbers == list(range(15))
    found = lines.of("CA1")
    assert found is not None
    assert Kept(found).numbers == [*range(15), 80, *range(95, 100)]
    lines.end("CA1")
    assert kept.numbers == [*range(15), 80, *range(95, 100)]
    assert "80 entries were left out" in str(kept[15].data["message"])


def test_call_that_just_fits_loses_nothing() -> None:
    lines, kept = timelines(limit=20)
    for n in range(20):
        lines.add(note(n))
    lines.end("CA1")
    assert kept.numbers == list(range(20))


def test_late_entries_are_kept_in_bounds_and_no_memory_is() -> None:
    lines, kept = timelines()
    lines.add(note(0))
    lines.end("CA1")
    for n in range(1, LATE_ENTRIES + 10):
        lines.add(note(n))
    assert kept.numbers == list(range(LATE_ENTRIES + 1))
    assert lines.of("CA1") is None


def test_calls_do_not_mix() -> None:
    lines, _ = timelines()
    lines.add(note(1, "CA1"))
    lines.add(note(2, "CA2"))
    lines.end("CA1")
    assert lines.of("CA1") is None
    assert lines.of("CA2") is not None


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("application/dtmf-relay", "Signal=7\r\nDuration=160\r\n"),
        ("application/dtmf-relay", "Duration= 160\r\n signal = 7\r\n"),
        ("application/dtmf", "7"),
        ("Application/DTMF; x=y", "\r\n7\r\n"),
    ],
)
def test_keys_by_info_never_reach_the_timeline(kind: str, body: str) -> None:
    raw = f"INFO sip:a SIP/2.0\r\nVia: SIP/2.0/UDP h\r\nContent-Type: {kind}\r\nCSeq: 2 INFO\r\n\r\n{body}"
    shown = str(clean(Kind.SIP, {"raw": raw}, 1000)["raw"])
    assert "7" not in shown and "***" in shown and "CSeq: 2 INFO" in shown


def test_secrets_never_reach_the_timeline() -> None:
    raw = 'BYE sip:a SIP/2.0\r\nAuthorization: Digest username="u", response="deadbeef"\r\n\r\n'
    assert "deadbeef" not in str(clean(Kind.SIP, {"raw": raw}, 1000))
    http: dict[str, Json] = {
        "url": "http://u:hunter1@h/?token=hunter2",
        "parameters": [["CallStatus", "12"], ["Digits", "hunter7"], ["password", "hunter3"]],
        "body": '<Dial><Sip username="u" password="hunter4">sip:a@b</Sip></Dial>',
        "nested": {"secret": "hunter5", "list": ["sip:u:hunter6@h"]},
    }
    shown = clean(Kind.HTTP, http, 1000)
    assert "hunter" not in str(shown)
    assert shown["parameters"] == [["CallStatus", "12"], ["Digits", "***"], ["password", "***"]]


def test_long_texts_are_cut() -> None:
    shown = clean(Kind.SIP, {"raw": "x" * 1000, "n": 1, "none": None}, 256)
    assert str(shown["raw"]).startswith("x" * 256 + "\n... 744 more")
    assert (shown["n"], shown["none"]) == (1, None)


def test_entries_of_one_call_stay_in_order_when_the_clock_is_set_back() -> None:
    wall = [1_800_000_000.0]
    kept = Kept()
    lines = Timelines(WallClock(100.0, wall[0], lambda: (100.0, wall[0])), kept.append)
    lines.add(note(1))
    wall[0] -= 3600.0
    lines.add(note(2))
    lines.end("CA1")
    lines.add(note(3))  # a late one
    lines.add(note(4, "CA2"))  # a call that begins after it
    assert [(entry.at - kept[0].at).total_seconds() for entry in kept] == [0.0, 1.0, 2.0, -3597.0]
