"""Pieces of timelines: what is packed is unpacked, for ever."""

from __future__ import annotations

import datetime
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.calls.effects import Json, Kind
from server.storage.packing import DICTIONARIES, ENCODING, UnknownEncoding, pack, unpack
from server.storage.rows import Entry

AT = datetime.datetime(2026, 5, 26, 17, 59, 16, 555001, datetime.UTC)
BYE = Entry("CA1", AT, Kind.SIP, {"direction": "in", "raw": "BYE sip:a SIP/2.0\r\n\r\n"}, "CA2")
# Written once by this program; databases are full of them.
WRITTEN = bytes.fromhex("787d216192568b8e363437b7b40076cc4dcd4c4d4d0d0c809510ac3037c25a9aa3963189b0f4000b4660ed100b00ca721832")

_JSON: st.SearchStrategy[Json] = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
_ENTRIES = st.builds(
    Entry,
    st.just("CA1"),
    st.datetimes(timezones=st.just(datetime.UTC)),
    st.sampled_from(Kind),
    st.dictionaries(st.text(max_size=8), _JSON, max_size=4),
    st.text(max_size=40),
)


@given(st.lists(_ENTRIES, max_size=5))
def test_what_is_packed_is_unpacked(entries: list[Entry]) -> None:
    data, refused = pack(entries)
    assert refused == []
    assert unpack("CA1", ENCODING, data) == entries


def test_what_was_written_stays_readable() -> None:
    assert unpack("CA1", "json+zlib/1", WRITTEN) == [BYE]


def test_no_dictionary_is_ever_changed() -> None:
    found = {name: hashlib.sha256(octets).hexdigest() for name, octets in DICTIONARIES.items()}
    assert found == {"json+zlib/1": "2b9ecaacf2a18f5749a307be3f500c2523609d0aba5b9166119920af97a1eea4"}


def test_an_entry_that_is_no_json_is_left_out_and_told() -> None:
    bad = Entry("CA1", AT, Kind.VERB, {"x": object()})  # type: ignore[dict-item]
    data, refused = pack([BYE, bad, BYE])
    assert refused == [bad]
    assert unpack("CA1", ENCODING, data) == [BYE, BYE]


def test_half_a_character_is_kept() -> None:
    odd = Entry("CA1", AT, Kind.SIP, {"raw": "\ud800"})
    assert unpack("CA1", ENCODING, pack([odd])[0]) == [odd]


@pytest.mark.parametrize(
    ("encoding", "data"), [("json+zlib/99", WRITTEN), (ENCODING, b"nonsense"), (ENCODING, WRITTEN[:20]), (ENCODING, b"")]
)
def test_what_cannot_be_read_says_why(encoding: str, data: bytes) -> None:
    with pytest.raises(UnknownEncoding, match="a piece of the timeline"):
        unpack("CA1", encoding, data)
