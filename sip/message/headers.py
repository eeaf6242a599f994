"""Header fields as an ordered multi-map, and what is known about their names.

Names compare without case and the compact forms equal their long names (RFC 3261 7.3.1, 7.3.3). Values are kept as they
came, folding undone and outer white space trimmed; nothing is parsed before somebody asks.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from sip.message.fields import parse_list
from sip.message.grammar import token_re

# Compact forms: RFC 3261 (c e f i k l m s t v), 6665 (o u), 3515 (r), 3892 (b), 4028 (x), 3841 (a d j), 8224 (y).
COMPACT_NAMES: dict[str, str] = {
    "a": "Accept-Contact", "b": "Referred-By", "c": "Content-Type", "d": "Request-Disposition", "e": "Content-Encoding",
    "f": "From", "i": "Call-ID", "j": "Reject-Contact", "k": "Supported", "l": "Content-Length", "m": "Contact",
    "o": "Event", "r": "Refer-To", "s": "Subject", "t": "To", "u": "Allow-Events", "v": "Via", "x": "Session-Expires",
    "y": "Identity",
}  # fmt: skip

# Fields whose value is a comma-separated list, so that several fields and one field with commas mean the same (7.3.1).
# Authorization and its kin carry commas too, but each of their fields is one value.
LIST_NAMES: tuple[str, ...] = (
    "Accept", "Accept-Contact", "Accept-Encoding", "Accept-Language", "Alert-Info", "Allow", "Allow-Events", "Call-Info", "Contact",
    "Content-Encoding", "Content-Language", "Diversion", "Error-Info", "History-Info", "In-Reply-To", "P-Asserted-Identity",
    "P-Associated-URI", "P-Preferred-Identity", "Path", "Proxy-Require", "Reason", "Record-Route", "Reject-Contact",
    "Request-Disposition", "Require", "Route", "Security-Client", "Security-Server", "Security-Verify", "Service-Route", "Supported",
    "Unsupported", "Via", "Warning",
)  # fmt: skip

SINGLE_NAMES: tuple[str, ...] = (
    "Authentication-Info", "Authorization", "Call-ID", "Content-Disposition", "Content-Length", "Content-Type", "CSeq", "Date", "Event",
    "Expires", "From", "Identity", "Info-Package", "Join", "Max-Forwards", "MIME-Version", "Min-Expires", "Min-SE", "Organization",
    "Priority", "Privacy", "Proxy-Authenticate", "Proxy-Authorization", "RAck", "Recv-Info", "Refer-Sub", "Refer-To", "Referred-By",
    "Replaces", "Reply-To", "Retry-After", "RSeq", "Server", "Session-Expires", "SIP-ETag", "SIP-If-Match", "Subject",
    "Subscription-State", "Timestamp", "To", "User-Agent", "WWW-Authenticate",
)  # fmt: skip

_LONG_NAMES = {name.lower(): name for name in (*LIST_NAMES, *SINGLE_NAMES)} | COMPACT_NAMES
# The spellings met on the wire, each with its comparison key and its long name; others are worked out when they come.
_KNOWN: dict[str, tuple[str, str]] = {
    spelling: (name.lower(), name)
    for short_or_low, name in _LONG_NAMES.items()
    for spelling in (name, short_or_low, short_or_low.upper(), name.upper(), name.title())
}
_LIST_KEYS = frozenset(name.lower() for name in LIST_NAMES)


def name_of(spelling: str) -> tuple[str, str]:
    """The comparison key of a header name and the name to show: the long name if it is a known one, else as it was written."""
    known = _KNOWN.get(spelling)
    if known is not None:
        return known
    key = spelling.lower()
    name = _LONG_NAMES.get(key)
    return (key, spelling) if name is None else (name.lower(), name)


def is_known_name(name: str) -> bool:
    """Whether this very spelling is one of the table, hence surely a token."""
    return name in _KNOWN


class Headers:
    """Ordered multi-map of header fields.

    Known names are kept in their long form and usual case, unknown ones (`X-...`) as they were written.
    """

    __slots__ = ("_index", "_items")

    def __init__(self, items: Iterable[tuple[str, str]] = ()) -> None:
        self._items: list[tuple[str, str, str]] = []  # (key, name, value)
        self._index: dict[str, list[str]] | None = {}  # key -> values in order; None when it must be made anew
        for name, value in items:
            self.add(name, value)

    @classmethod
    def from_lines(cls, lines: list[str]) -> tuple[Headers, int | None]:
        """Header fields out of unfolded lines; also the index of the first line that is none (it is left out).

        This is `add` for each line, written out: a busy server passes here for every field of every message.
        """
        headers = cls()
        items = headers._items
        index: dict[str, list[str]] = {}
        headers._index = index
        bad: int | None = None
        for number, line in enumerate(lines):
            name, colon, value = line.partition(":")
            known = _KNOWN.get(name) if colon else None
            if known is None:
                name = name.rstrip(" \t")  # header-name HCOLON: white space may stand before the colon
                if not colon or token_re.fullmatch(name) is None:
                    bad = number if bad is None else bad
                    continue
                known = name_of(name)
            key, name = known
            value = value.strip(" \t")
            items.append((key, name, value))
            if key in index:
                index[key].append(value)
            else:
                index[key] = [value]
        return headers, bad

    def add(self, name: str, value: str) -> None:
        """Append a field after all others."""
        key, name = name_of(name)
        self._items.append((key, name, value))
        index = self._index
        if index is not None:
            values = index.get(key)
            if values is None:
                index[key] = [value]
            else:
                values.append(value)

    def prepend(self, name: str, value: str) -> None:
        """Put a field before all others: how a Via or a Record-Route is pushed."""
        key, name = name_of(name)
        self._items.insert(0, (key, name, value))
        self._index = None

    def set(self, name: str, value: str) -> None:
        """Make this the only field of its name, in the place of the first one, or at the end when there was none."""
        key, name = name_of(name)
        if key not in self.by_key():
            self.add(name, value)
            return
        items: list[tuple[str, str, str]] = []
        placed = False
        for item in self._items:
            if item[0] != key:
                items.append(item)
            elif not placed:
                items.append((key, name, value))
                placed = True
        self._items, self._index = items, None

    def remove(self, name: str) -> None:
        """Drop every field of that name; none is no error."""
        key = name_of(name)[0]
        if key in self.by_key():
            self._items = [item for item in self._items if item[0] != key]
            self._index = None

    def get(self, name: str) -> str | None:
        """The value of the first field of that name, or None."""
        values = self.by_key().get(name_of(name)[0])
        return None if values is None else values[0]

    def get_all(self, name: str) -> list[str]:
        """The value of every field of that name, not split at commas."""
        return list(self.by_key().get(name_of(name)[0], ()))

    def values(self, name: str) -> list[str]:
        """Every value of that name: list-type fields are split at their commas (quotes and <> respected), empty ones are left out."""
        key = name_of(name)[0]
        fields = self.by_key().get(key, ())
        if key not in _LIST_KEYS:
            return list(fields)
        return [value for field in fields for value in parse_list(field)]

    def lists(self, name: str, token: str) -> bool:
        """Whether a token is among the values of that name, an option tag say; tokens compare without case (RFC 3261 7.3.1)."""
        wanted = token.lower()
        return any(value.lower() == wanted for value in self.values(name))

    def first_value(self, name: str) -> str | None:
        """The first of `values(name)`, without splitting the rest: the topmost Via."""
        key = name_of(name)[0]
        fields = self.by_key().get(key, ())
        if key not in _LIST_KEYS:
            return fields[0] if fields else None
        for field in fields:
            if "," not in field:
                if field:
                    return field
            elif elements := parse_list(field):
                return elements[0]
        return None

    def repeated(self, names: tuple[str, ...]) -> list[str]:
        """Which of these names have more than one field."""
        index = self.by_key()
        if len(index) == len(self._items):
            return []
        return [name for name in names if len(index.get(name.lower(), ())) > 1]

    def copy(self) -> Headers:
        clone = Headers()
        clone._items, clone._index = list(self._items), None
        return clone

    def by_key(self) -> dict[str, list[str]]:
        """The values of all fields by lower-case long name; to be looked at, not changed. For who asks for many at once."""
        index = self._index
        if index is None:
            index = self._index = {}
            for key, _, value in self._items:
                index.setdefault(key, []).append(value)
        return index

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name_of(name)[0] in self.by_key()

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return ((name, value) for _, name, value in self._items)

    def __len__(self) -> int:
        return len(self._items)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Headers):
            return NotImplemented
        return [(key, value) for key, _, value in self._items] == [(key, value) for key, _, value in other._items]

    __hash__ = None  # type: ignore[assignment]  # mutable

    def __repr__(self) -> str:
        return f"Headers({list(self)!r})"
