"""What is kept between the requests of one call: its application, and the cookies that it was given.

Frameworks keep a session in a cookie, so a call gives back what it got (RFC 6265 5.3, 5.4). No other call ever sees it: two
callers are two users. All of it is bounded, and forgotten with the call or when many younger ones came.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

import aiohttp
from yarl import URL

MAX_CALLS = 10_000
MAX_COOKIES = 50  # of one call; RFC 6265 6.1 asks for as many per domain at least
MAX_SET_COOKIES = 50  # of one answer that are read
MAX_COOKIE_BYTES = 4096  # of one Set-Cookie (RFC 6265 6.1)
MAX_COOKIE_HEADER_BYTES = 8192


@dataclass(slots=True)
class Visit:
    """One call's. application: URL of its first document, which tells the applications of one host apart."""

    application: str
    _jar: aiohttp.CookieJar | None = None

    def cookie_header(self, url: str) -> str:
        """The value of the Cookie field of a request; empty: none is sent."""
        if self._jar is None:
            return ""
        pairs: list[str] = []
        size = 0
        for name, morsel in self._jar.filter_cookies(URL(url, encoded=True)).items():
            pair = f"{name}={morsel.coded_value}"
            size += len(pair) + 2
            if size > MAX_COOKIE_HEADER_BYTES:
                break
            pairs.append(pair)
        return "; ".join(pairs)

    def keep(self, set_cookies: Sequence[str], url: str) -> None:
        """Take the Set-Cookie fields of an answer."""
        lines = [line for line in set_cookies[:MAX_SET_COOKIES] if len(line) <= MAX_COOKIE_BYTES and line.isprintable() and line.isascii()]
        if not lines:
            return
        if self._jar is None:
            self._jar = aiohttp.CookieJar(unsafe=True, quote_cookie=False)  # unsafe: from hosts that are addresses too
        for line in lines:
            if len(self._jar) >= MAX_COOKIES and not self._has(line):
                continue
            self._jar.update_cookies_from_headers([line], URL(url, encoded=True))

    def _has(self, line: str) -> bool:
        assert self._jar is not None
        name = line.partition("=")[0].strip()
        return any(morsel.key == name for morsel in self._jar)


class Visits:
    """By call sid."""

    def __init__(self) -> None:
        self._visits: OrderedDict[str, Visit] = OrderedDict()

    def of(self, call_sid: str, url: str) -> Visit:
        """url: of the request at hand, the first of its call when nothing is known of it."""
        visit = self._visits.get(call_sid)
        if visit is None:
            visit = self._visits[call_sid] = Visit(url)
            if len(self._visits) > MAX_CALLS:
                self._visits.popitem(last=False)
        else:
            self._visits.move_to_end(call_sid)
        return visit

    def forget(self, call_sid: str) -> None:
        self._visits.pop(call_sid, None)

    def __len__(self) -> int:
        return len(self._visits)
