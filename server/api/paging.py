"""Pages of a list: what a request asks for, and the envelope around what it gets (REST: one key besides those of the page)."""

from __future__ import annotations

import base64
import binascii
import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

from server.api.faces import Face
from server.api.problems import bad
from server.storage.lists import After, Slice

SIZE, MOST = 50, 1000


@dataclass(frozen=True, slots=True)
class Page:
    """number: from 0. after: where the page before ended, from its token."""

    number: int = 0
    size: int = SIZE
    after: After | None = None

    @property
    def part(self) -> Slice:
        return Slice(self.size, self.number * self.size, self.after)


def page_of(query: Mapping[str, str]) -> Page:
    """Raises RestProblem for what is no page. A size is brought into 1 to 1000."""
    number, size = _whole(query, "Page", 0), _whole(query, "PageSize", SIZE)
    token = query.get("PageToken", "")
    return Page(number, max(1, min(size, MOST)), _after(token) if token else None)


def envelope(
    face: Face, path: str, query: Mapping[str, str], key: str, page: Page, total: int, rows: Sequence[object], last: After | None
) -> dict[str, object]:
    """path: of the list, as a client addresses it on this face. last: of the last row, None when there is none.

    Raises RestProblem when the page is beyond the end, on Restcomm's face (behaviour.md 5.2).
    """
    pages = total // page.size
    if face is Face.RESTCOMM and page.number > pages:
        raise bad(f"Page {page.number} is beyond the last, {pages}")
    start = page.number * page.size
    more = last is not None and len(rows) == page.size and start + len(rows) < total
    kept = {name: value for name, value in query.items() if name not in ("Page", "PageSize", "PageToken", "AfterSid")}

    def link(number: int, token: str = "") -> str:
        parts = kept | {"PageSize": str(page.size), "Page": str(number)} | ({"PageToken": token} if token else {})
        return f"{path}?{urlencode(parts)}"

    following = link(page.number + 1, _token(last)) if more and last is not None else None
    return {
        "page": page.number,
        "num_pages": pages,
        "page_size": page.size,
        "total": total,
        "start": start,
        "end": start + len(rows) if len(rows) < page.size else start + page.size - 1,
        "uri": link(page.number),
        "first_page_uri": link(0),
        "previous_page_uri": link(page.number - 1) if page.number else None,
        "next_page_uri": following,
        "last_page_uri": link(pages),
        key: list(rows),
    }


def _whole(query: Mapping[str, str], name: str, otherwise: int) -> int:
    text = query.get(name, "").strip()
    if not text:
        return otherwise
    if not text.isascii() or not text.isdigit() or len(text) > 9:
        raise bad(f"{name} must be a whole number from 0 on")
    return int(text)


def _token(last: After) -> str:
    return base64.urlsafe_b64encode(f"{last.at.isoformat()} {last.sid}".encode()).decode().rstrip("=")


def _after(token: str) -> After:
    try:
        text = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)).decode()
        at, _, sid = text.partition(" ")
        moment = datetime.datetime.fromisoformat(at)
    except (ValueError, binascii.Error):
        raise bad("PageToken is none that this server gave out: begin with the first page") from None
    if moment.tzinfo is None or not sid:
        raise bad("PageToken is none that this server gave out: begin with the first page")
    return After(moment, sid)
