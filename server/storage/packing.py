"""A piece of a timeline as one value of the database: its entries in JSON, compressed.

    zlib, with the preset dictionary below, of
    [[microseconds since 1970 (UTC), kind, leg's sid or "", {data}], ...]

The entries of a call are alike, and like those of every other call: a call of thirty entries and 13 KB becomes one value of about 1 KB.
`ENCODING` stands beside each value. A dictionary is never changed: a better one gets a new name, and the old values stay readable.
"""

from __future__ import annotations

import datetime
import json
import zlib
from collections.abc import Sequence
from pathlib import Path

import msgspec

from server.calls.effects import Json, Kind
from server.storage.rows import Entry

ENCODING = "json+zlib/1"
LEVEL = 3  # 6 makes a tenth less of it in twice the time
# What entries have in common; what is most usual stands last, where it is found with the shortest distance (RFC 1950 2.2). Lines are
# only for the reader. A test holds the octets of each.
DICTIONARIES = {ENCODING: (Path(__file__).parent / "dictionaries" / "1.txt").read_bytes().replace(b"\n", b"")}
_encode = msgspec.json.encode


class UnknownEncoding(ValueError):
    """The value was written by a newer program, or is damaged."""


def pack(entries: Sequence[Entry]) -> tuple[bytes, list[Entry]]:
    """The value, and the entries that cannot be put into one (a fault of ours: their data is no JSON)."""
    plain = [[_micros(entry.at), entry.kind, entry.leg, entry.data] for entry in entries]
    refused: list[Entry] = []
    try:
        text = _encode(plain)
    except (TypeError, ValueError):
        texts = []
        for entry, fields in zip(entries, plain, strict=True):
            try:
                texts.append(json.dumps([fields[0], entry.kind.value, *fields[2:]]).encode())  # takes a lone surrogate, too
            except (TypeError, ValueError):
                refused.append(entry)
        text = b"[" + b",".join(texts) + b"]"
    deflate = zlib.compressobj(LEVEL, zdict=DICTIONARIES[ENCODING])
    return deflate.compress(text) + deflate.flush(), refused


def unpack(call_sid: str, encoding: str, value: bytes) -> list[Entry]:
    """The entries of a value, in the order in which they were packed.

    Raises:
        UnknownEncoding: it cannot be read; the text says why.
    """
    if encoding not in DICTIONARIES:
        raise UnknownEncoding(f'a piece of the timeline is written as "{encoding}", which this program does not know')
    try:
        text = zlib.decompressobj(zdict=DICTIONARIES[encoding]).decompress(value)
        plain: list[tuple[int, str, str, dict[str, Json]]] = json.loads(text)
        return [Entry(call_sid, _moment(at), Kind(kind), data, leg) for at, kind, leg, data in plain]
    except (zlib.error, ValueError, TypeError) as error:
        raise UnknownEncoding(f"a piece of the timeline is damaged: {error}") from None


_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
_MICROSECOND = datetime.timedelta(microseconds=1)


def _micros(moment: datetime.datetime) -> int:
    return (moment - _EPOCH) // _MICROSECOND  # whole, so that a moment comes back as it was


def _moment(micros: int) -> datetime.datetime:
    return _EPOCH + micros * _MICROSECOND
