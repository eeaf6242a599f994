"""HTTP to applications: documents, callbacks, audio files. Every failure is a value; nothing here raises but cancellation.

```
fetch.py       what call control and the prompts ask for, and what they are told
  pool.py      waiting for a slot              budget.py   who may have one; what hangs is remembered
  exchange.py  one exchange: request, redirects, a second try for a dead connection
    wire.py    octets counted on the way in    unpacking.py   gzip and deflate, bounded
    guard.py   where nothing may lead          visits.py   what is kept for a call: cookies
  failures.py  why there is no answer
```

One time limit holds for the whole: waiting for a slot, redirects, the body to its last octet.
"""

from __future__ import annotations

import asyncio
import email.utils
import time
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp

from config.settings import HttpSettings
from server.applications.budget import Budget, Place
from server.applications.exchange import Answer, Ask, Exchanges
from server.applications.failures import Failure
from server.applications.pool import Patience, Pool
from server.applications.signing import Signer
from server.applications.visits import Visits
from server.calls.effects import Fetch, Fetched

ACCEPT = "application/xml, text/xml;q=0.9, text/html;q=0.8, text/plain;q=0.7, audio/wav;q=0.6, */*;q=0.1"
ACCEPT_AUDIO = "audio/*, application/octet-stream;q=0.5, */*;q=0.1"
EVENTS = frozenset({"status", "leg-status", "recording-status", "conference-status"})  # purposes whose answer nobody waits for


@dataclass(frozen=True, slots=True)
class Downloaded:
    """An audio file that was fetched.

    status: of the last response, 0 for none (304: not changed since `etag` or `last_modified`). body: its octets, unless a
    path was given to write them to. error and detail: as in Fetched.
    """

    status: int
    url: str = ""
    content_type: str = ""
    body: bytes = b""
    size_bytes: int = 0
    etag: str = ""
    last_modified: str = ""
    error: str = ""
    detail: str = ""
    elapsed_ms: int = 0


class Fetcher:
    """The requests of this server. Made and closed inside a running event loop."""

    def __init__(self, settings: HttpSettings, signer: Signer, resolver: aiohttp.abc.AbstractResolver | None = None) -> None:
        """resolver: for tests; None asks the system."""
        self._settings = settings
        self._exchanges = Exchanges(settings, resolver, signer)
        self._visits = Visits()
        turn = Patience(settings.queue_s, "http.queue_s")
        self._answer_in = Patience(settings.timeout_s, "http.timeout_s")
        self._download_in = Patience(settings.download_timeout_s, "http.download_timeout_s")
        self._documents = Pool("documents", Budget(settings.max_concurrent, settings.max_per_host), turn)
        # Nobody waits for an event, so it may wait for its turn as long as it could for an answer.
        self._events = Pool("events", Budget(settings.max_events, settings.max_per_host), self._answer_in)
        self._audio = Pool("audio", Budget(settings.max_downloads, settings.max_per_host), turn)
        self._loop = asyncio.get_running_loop()

    async def close(self) -> None:
        await self._exchanges.close()

    def guard_by(self, settings: HttpSettings, signer: Signer) -> None:
        """Which addresses may be asked from now on, and who signs; other settings of HTTP hold until the server is started again."""
        self._exchanges.guard_by(settings)
        self._exchanges.signer = signer

    def forget(self, call_sid: str) -> None:
        """The call is over, and its last request answered: what was kept for it goes."""
        self._visits.forget(call_sid)

    def counts(self) -> dict[str, int]:
        """Requests under way."""
        return {"documents": self._documents.in_flight, "events": self._events.in_flight, "audio": self._audio.in_flight}

    async def fetch(self, request: Fetch) -> Fetched:
        """Have one exchange with the application. Fetched.url is the document's, without the parameters of a GET."""
        return (await self.deliver(request, ""))[0]

    async def deliver(self, request: Fetch, request_id: str) -> tuple[Fetched, float]:
        """The same, under an id that stays the same when it is tried again; and for how long the application wants to be left alone (s)."""
        visit = self._visits.of(request.call_sid, request.url)
        ask = Ask(
            url=request.url,
            method=request.method,
            parameters=request.parameters,
            max_bytes=self._settings.max_body_bytes,
            headers={"Accept": ACCEPT},
            bodiless="audio/",  # means `<Play>` of the same URL, fetched as such
            visit=visit,
            request_id=request_id,
        )
        pool = self._events if request.purpose in EVENTS else self._documents
        patience = Patience(request.timeout_s, "the dialect") if request.timeout_s else self._answer_in
        started = self._loop.time()
        answer = await self._have(pool, Place(_host_of(request.url), visit.application), ask, patience)
        elapsed_ms = round((self._loop.time() - started) * 1000)
        if isinstance(answer, Failure):
            return Fetched(request.request, 0, request.url, error=answer.error, detail=answer.detail, elapsed_ms=elapsed_ms), 0.0
        content_type = answer.headers.get("Content-Type", "")
        found = Fetched(request.request, answer.status, answer.url, content_type, answer.body, elapsed_ms=elapsed_ms)
        return found, retry_after_s(answer.headers.get("Retry-After", ""), time.time())

    async def download(self, url: str, max_bytes: int, to: Path | None = None, etag: str = "", last_modified: str = "") -> Downloaded:
        """Get a file, into memory or into a path (which holds nothing useful unless the status is 200).

        etag, last_modified: of the copy at hand; then the answer may be 304. No cookies: what comes is kept for all calls.
        """
        headers = {"Accept": ACCEPT_AUDIO}
        if etag:
            headers["If-None-Match"] = etag
        if last_modified:
            headers["If-Modified-Since"] = last_modified
        ask = Ask(url, "GET", (), max_bytes, headers, to, still_s=self._settings.timeout_s)
        started = self._loop.time()
        place = Place(_host_of(url), url.partition("?")[0].rpartition("/")[0])
        answer = await self._have(self._audio, place, ask, self._download_in)
        elapsed_ms = round((self._loop.time() - started) * 1000)
        if isinstance(answer, Failure):
            return Downloaded(0, url, error=answer.error, detail=answer.detail, elapsed_ms=elapsed_ms)
        return Downloaded(
            answer.status,
            answer.url,
            answer.headers.get("Content-Type", ""),
            answer.body,
            answer.size_bytes,
            answer.headers.get("ETag", ""),
            answer.headers.get("Last-Modified", ""),
            elapsed_ms=elapsed_ms,
        )

    async def _have(self, pool: Pool, place: Place, ask: Ask, answer_in: Patience) -> Answer | Failure:
        """An exchange in a slot of its own."""
        deadline = self._loop.time() + answer_in.seconds
        try:
            await pool.enter(place, answer_in)
        except Failure as refused:
            return refused
        try:
            answer = await self._exchanges.have(ask, max(0.0, deadline - self._loop.time()))
            if isinstance(answer, Failure) and answer.error == "timeout":
                pool.timed_out(place)
            else:
                pool.answered(place)
            return answer
        finally:
            pool.leave(place)


def retry_after_s(text: str, now: float) -> float:
    """Of a Retry-After header (RFC 9110 10.2.3): seconds, or until a date. 0 for none that can be read. now: seconds since 1970."""
    text = text.strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        return max(0.0, email.utils.parsedate_to_datetime(text).timestamp() - now)
    except (ValueError, OverflowError):
        return 0.0


def _host_of(url: str) -> str:
    """Scheme, name and port; the URL was checked where it came from, and is again before it is asked."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2].lower()}"
