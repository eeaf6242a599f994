"""Headers: an ordered multi-map whose names compare without case."""

from __future__ import annotations

from sip.message import COMPACT_NAMES, Headers
from sip.message.headers import LIST_NAMES, SINGLE_NAMES


def test_names_compare_without_case__rfc3261_7_3_1() -> None:
    headers = Headers([("cALL-id", "1"), ("X-Mine", "2")])
    assert headers.get("Call-ID") == headers.get("i") == headers.get("CALL-ID") == "1"
    assert "x-mine" in headers
    assert "X-Other" not in headers
    assert headers == Headers([("Call-ID", "1"), ("x-MINE", "2")])


def test_known_names_get_their_usual_case_and_unknown_keep_theirs() -> None:
    assert list(Headers([("cseq", "1 ACK"), ("v", "x"), ("X-ReStComm", "y")])) == [("CSeq", "1 ACK"), ("Via", "x"), ("X-ReStComm", "y")]


def test_order_is_kept_and_repeated_fields_stay_apart() -> None:
    headers = Headers([("Route", "<sip:a>"), ("Via", "v"), ("route", "<sip:b>, <sip:c>")])
    assert headers.get_all("Route") == ["<sip:a>", "<sip:b>, <sip:c>"]
    assert headers.values("Route") == ["<sip:a>", "<sip:b>", "<sip:c>"]
    assert [name for name, _ in headers] == ["Route", "Via", "Route"]


def test_commas_split_only_lists__rfc3261_7_3_1() -> None:
    headers = Headers([("Subject", "a, b"), ("Authorization", 'Digest realm="x", nonce="y"'), ("Date", "Sat, 13 Nov 2010 23:29:00 GMT")])
    assert headers.values("Subject") == ["a, b"]
    assert headers.values("Authorization") == ['Digest realm="x", nonce="y"']
    assert headers.values("Date") == ["Sat, 13 Nov 2010 23:29:00 GMT"]
    assert headers.values("X-None") == []


def test_commas_in_quotes_and_brackets_do_not_split__rfc3261_25_1() -> None:
    headers = Headers([("Contact", '"Bell, \\"A\\"" <sip:a,b@h;x="1">;q=0.5 ,, <sip:c@h>')])
    assert headers.values("Contact") == ['"Bell, \\"A\\"" <sip:a,b@h;x="1">;q=0.5', "<sip:c@h>"]
    assert headers.first_value("Contact") == '"Bell, \\"A\\"" <sip:a,b@h;x="1">;q=0.5'


def test_first_value_skips_what_is_empty() -> None:
    assert Headers([("Via", ""), ("Via", " , a , b")]).first_value("Via") == "a"
    assert Headers([("Via", "")]).first_value("Via") is None
    assert Headers([("Subject", "a, b")]).first_value("Subject") == "a, b"


def test_prepend_set_remove() -> None:
    headers = Headers([("Via", "1"), ("Y-A", "a"), ("Via", "2"), ("To", "t")])
    headers.prepend("v", "0")
    assert headers.values("Via") == ["0", "1", "2"]
    headers.set("via", "9")
    assert list(headers) == [("Via", "9"), ("Y-A", "a"), ("To", "t")]
    headers.set("Max-Forwards", "70")
    assert list(headers)[-1] == ("Max-Forwards", "70")
    headers.remove("Y-A")
    headers.remove("X-Absent")
    assert headers.get("Y-A") is None
    assert len(headers) == 3


def test_add_after_every_other_change_is_seen() -> None:
    headers = Headers()
    headers.prepend("Y-A", "1")
    headers.add("Y-C", "1")
    headers.set("Y-A", "2")
    headers.add("Y-C", "2")
    headers.remove("Y-A")
    headers.add("Y-C", "3")
    assert headers.get_all("y-c") == ["1", "2", "3"]


def test_copy_is_independent() -> None:
    headers = Headers([("Via", "1")])
    copy = headers.copy()
    copy.add("Via", "2")
    copy.set("To", "x")
    assert list(headers) == [("Via", "1")]
    assert copy.get_all("Via") == ["1", "2"]


def test_results_are_the_callers_own() -> None:
    headers = Headers([("Via", "1")])
    headers.get_all("Via").append("2")
    headers.values("Via").append("2")
    assert headers.get_all("Via") == ["1"]


def test_repeated_names_the_fields_that_come_twice() -> None:
    headers = Headers([("To", "1"), ("t", "2"), ("From", "1"), ("Route", "1"), ("Route", "2")])
    assert headers.repeated(("From", "To")) == ["To"]


def test_a_token_is_found_in_any_field_of_its_name_and_without_case__rfc3261_7_3_1() -> None:
    headers = Headers([("Supported", "timer, 100REL"), ("k", "replaces")])
    assert [headers.lists("Supported", tag) for tag in ("100rel", "Replaces", "rel", "")] == [True, True, False, False]
    assert not headers.lists("Require", "timer")


def test_tables_agree() -> None:
    names = {*LIST_NAMES, *SINGLE_NAMES}
    assert set(COMPACT_NAMES.values()) <= names
    assert len(names) == len(LIST_NAMES) + len(SINGLE_NAMES)
    assert all(len(short) == 1 and short.islower() for short in COMPACT_NAMES)
