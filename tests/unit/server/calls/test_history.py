"""Diversion and History-Info, read and written (RFC 5806, RFC 7044)."""

from __future__ import annotations

import pytest

from server.calls.history import MAX_ENTRIES, NO_HISTORY, HistoryKind, diverted_by, history_headers, history_of
from sip.message import Headers

FIRST = "<sip:100@a.example>;reason=user-busy;counter=1"
ENTRIES = '<sip:100@a.example>;index=1, "B" <sip:200@b.example;cause=302>;index=1.1;mp=1'
TARGET = "sip:300@gw.example.com"


def headers(*items: tuple[str, str]) -> Headers:
    return Headers(items)


def test_the_latest_diverter_is_the_first_diversion__rfc5806() -> None:
    assert diverted_by(headers(("Diversion", f"<sip:200@b.example>, {FIRST}"))) == "sip:200@b.example"


def test_without_a_diversion_history_info_tells__rfc7044_10() -> None:
    assert diverted_by(headers(("History-Info", ENTRIES))) == "sip:100@a.example"
    assert diverted_by(headers(("History-Info", "<sip:100@a.example>;index=1"))) == "", "nobody has forwarded it"
    assert diverted_by(headers()) == ""


def test_what_does_not_parse_is_left_out() -> None:
    broken = headers(("Diversion", "rubbish<"), ("Diversion", FIRST), ("History-Info", "<sip:x>;index=one, <sip:y@h>, <<"))
    assert diverted_by(broken) == "sip:100@a.example"
    assert history_of(broken).entries == ()
    assert history_of(broken).diversions == (FIRST,)


@pytest.mark.parametrize(("kind", "names"), [("none", []), ("diversion", ["Diversion"] * 2), ("history-info", ["History-Info"] * 3)])
def test_the_trunk_is_told_in_the_field_that_it_reads(kind: HistoryKind, names: list[str]) -> None:
    history = history_of(headers(("Diversion", FIRST), ("History-Info", ENTRIES)))
    assert [name for name, _ in history_headers(history, "+1555", kind, "us.example", TARGET)] == names


def test_our_own_number_is_the_latest_diverter__rfc5806() -> None:
    history = history_of(headers(("Diversion", FIRST)))
    values = [value for _, value in history_headers(history, "+1555", "diversion", "us.example", TARGET)]
    assert values == ["<sip:+1555@us.example>;reason=unconditional;counter=1", FIRST]


def test_the_target_is_the_next_entry_below_the_last__rfc7044_10_3() -> None:
    fresh = [value for _, value in history_headers(NO_HISTORY, "+1555", "history-info", "us.example", TARGET)]
    assert fresh == ["<sip:+1555@us.example>;index=1", f"<{TARGET};cause=302>;index=1.1;mp=1"]
    history = history_of(headers(("History-Info", ENTRIES)))
    *_, last = [value for _, value in history_headers(history, "+1555", "history-info", "us.example", TARGET)]
    assert last == f"<{TARGET};cause=302>;index=1.1.1;mp=1.1"


def test_a_call_that_nobody_has_forwarded_has_no_history() -> None:
    assert history_headers(NO_HISTORY, "", "both", "us.example", TARGET) == ()


def test_a_long_history_is_cut() -> None:
    history = history_of(headers(*[("Diversion", f"<sip:{n}@a.example>") for n in range(100)]))
    assert len(history.diversions) == MAX_ENTRIES
    assert len(history_headers(history, "1", "diversion", "us.example", TARGET)) == MAX_ENTRIES
