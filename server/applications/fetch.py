"""HTTP to applications: documents, callbacks, audio files. Every failure is a value; nothing here raises but cancellation.

What behaviour.md 1.7 asks: GET carries the parameters behind the URL's own query; POST keeps the query on the URL and sends
the parameters as a form. 301, 302, 303, 307 and 308 are followed with the same method and parameters. One time limit holds for
the whole exchange: waiting for a connection, redirects, the body to its last octet. Bodies are unpacked here and not by the
library, so that a small packed body cannot become a large one in memory.

A request is sent once. A kept connection that the application closes at the very moment of reuse therefore fails the
request (`http.keepalive_s` keeps that rare): sending a POST again could run an action twice.
"""

from __future__ import annotations

import asyncio
import base64
import logging
import socket
import ssl
import zlib
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, NoReturn
from urllib.parse import unquote, urlsplit, urlunsplit

import aiohttp
from yarl import URL

from config.settings import HttpSettings
from rcml.urls import resolve
from server.applications.encoding import encode_form, encode_get
from server.applications.guard import Guard
from server.calls.effects import Fetch, Fetched, Parameters

log = logging.getLogger(__name__)

REDIRECTS = frozenset({301, 302, 303, 307, 308})
ACCEPT = "application/xml, text/xml;q=0.9, text/html;q=0.8, text/plain;q=0.7, audio/wav;q=0.6, */*;q=0.1"
_CHUNK = 16384

# Addresses that the guard refused in the exchange of the current task. The connector calls the socket factory in that
# task, or in tasks made from it, which share the list.
_refusals: ContextVar[list[str]] = ContextVar("_refusals")


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


class _Failure(Exception):
    """Why an exchange has no answer: one of the constants of Fetched.error, and the words."""

    def __init__(self, error: str, detail: str) -> None:
        self.error, self.detail = error, detail
        super().__init__(detail)


@dataclass(slots=True)
class _Answer:
    status: int
    url: str
    headers: Any
    body: bytes = b""
    size_bytes: int = 0


@dataclass(frozen=True, slots=True)
class _Ask:
    """One exchange to be had. to: file that a 200's body goes to. bodiless: content types whose body nobody reads."""

    url: str
    method: str
    parameters: Parameters
    max_bytes: int
    headers: dict[str, str] = field(default_factory=dict)
    to: Path | None = None
    bodiless: str = ""


class Fetcher:
    """Owns the connections to applications. Made and closed inside a running event loop."""

    def __init__(self, settings: HttpSettings, resolver: aiohttp.abc.AbstractResolver | None = None) -> None:
        """resolver: for tests; None asks the system."""
        self._settings = settings
        self._guard = Guard(settings)
        context = ssl.create_default_context()
        if settings.ca_file:
            context.load_verify_locations(settings.ca_file)
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=settings.max_concurrent,
                limit_per_host=settings.max_per_host,
                keepalive_timeout=settings.keepalive_s,
                ssl=context,
                resolver=resolver,
                socket_factory=self._socket,
            ),
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"User-Agent": settings.user_agent},
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),
            trust_env=False,
        )

    def guard_by(self, settings: HttpSettings) -> None:
        """Judge connections by another `allow` and `deny` from now on."""
        self._guard = Guard(settings)

    async def close(self) -> None:
        await self._session.close()

    async def fetch(self, request: Fetch) -> Fetched:
        """Have one exchange with the application. Fetched.url is the document's, without the parameters of a GET."""
        ask = _Ask(
            url=request.url,
            method=request.method,
            parameters=request.parameters,
            max_bytes=self._settings.max_body_bytes,
            headers={"Accept": ACCEPT},
            bodiless="audio/",  # means `<Play>` of the same URL, fetched as such
        )
        started = asyncio.get_running_loop().time()
        answer, failure = await self._attempt(ask, self._settings.timeout_s)
        elapsed_ms = round((asyncio.get_running_loop().time() - started) * 1000)
        if answer is None:
            assert failure is not None
            return Fetched(request.request, 0, request.url, error=failure.error, detail=failure.detail, elapsed_ms=elapsed_ms)
        content_type = answer.headers.get("Content-Type", "")
        return Fetched(request.request, answer.status, answer.url, content_type, answer.body, elapsed_ms=elapsed_ms)

    async def download(self, url: str, max_bytes: int, to: Path | None = None, etag: str = "", last_modified: str = "") -> Downloaded:
        """Get a file, into memory or into a path (which holds nothing useful unless the status is 200).

        etag, last_modified: of the copy at hand; then the answer may be 304.
        """
        headers = {"Accept": "audio/*, application/octet-stream;q=0.5, */*;q=0.1"}
        if etag:
            headers["If-None-Match"] = etag
        if last_modified:
            headers["If-Modified-Since"] = last_modified
        started = asyncio.get_running_loop().time()
        answer, failure = await self._attempt(_Ask(url, "GET", (), max_bytes, headers, to), self._settings.download_timeout_s)
        elapsed_ms = round((asyncio.get_running_loop().time() - started) * 1000)
        if answer is None:
            assert failure is not None
            return Downloaded(0, url, error=failure.error, detail=failure.detail, elapsed_ms=elapsed_ms)
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

    # --- one exchange

    async def _attempt(self, ask: _Ask, timeout_s: float) -> tuple[_Answer | None, _Failure | None]:
        """The answer, or why there is none."""
        refusals: list[str] = []
        token = _refusals.set(refusals)
        try:
            async with asyncio.timeout(timeout_s):
                return await self._follow(ask), None
        except Exception as problem:  # noqa: BLE001  the edge to the world: whatever it does becomes a value
            return None, _failure(problem, refusals, timeout_s)
        finally:
            _refusals.reset(token)

    async def _follow(self, ask: _Ask) -> _Answer:
        """Ask, and ask again where redirects lead."""
        url = _checked("", ask.url)
        for _ in range(self._settings.max_redirects + 1):
            answer = await self._exchange(url, ask)
            location = answer.headers.get("Location", "")
            if answer.status not in REDIRECTS or not location:
                return answer
            url = _checked(url, location.strip())
        raise _Failure("redirects", f"more than {self._settings.max_redirects} redirects (http.max_redirects), the last one to {url}")

    async def _exchange(self, url: str, ask: _Ask) -> _Answer:
        """One request, one response, its body read unless it is a redirect's."""
        bare, authorization = _without_userinfo(url)
        headers = {**ask.headers, **authorization, "Accept-Encoding": "gzip, deflate"}
        data: bytes | None = None
        if ask.method.upper() == "GET":
            target = _with_parameters(bare, ask.parameters)
        else:
            target = bare
            data = encode_form(ask.parameters)
            headers["Content-Type"] = "application/x-www-form-urlencoded; charset=utf-8"
        async with self._session.request(
            ask.method.upper(), URL(target, encoded=True), data=data, headers=headers, allow_redirects=False
        ) as response:
            answer = _Answer(response.status, url, response.headers)
            redirect = response.status in REDIRECTS and "Location" in response.headers
            bodiless = (
                ask.bodiless
                and response.status == 200
                and response.headers.get("Content-Type", "").strip().lower().startswith(ask.bodiless)
            )
            if redirect or bodiless:
                response.close()
                return answer
            await self._read(response, ask, answer)
            return answer

    async def _read(self, response: aiohttp.ClientResponse, ask: _Ask, answer: _Answer) -> None:
        declared = response.content_length
        if declared is not None and declared > ask.max_bytes:
            response.close()
            raise _Failure("too_large", f"the body has {declared} octets, {ask.max_bytes} are read")
        unpacker = _Unpacker(response.headers.get("Content-Encoding", ""), ask.max_bytes)
        kept = bytearray()
        file: BinaryIO | None = open(ask.to, "wb") if ask.to is not None and response.status == 200 else None  # noqa: ASYNC230, SIM115
        try:
            async for chunk in response.content.iter_chunked(_CHUNK):
                for part in unpacker.feed(chunk):
                    kept.extend(part) if file is None else file.write(part)
        finally:
            if file is not None:
                file.close()
        unpacker.finish()
        answer.body, answer.size_bytes = bytes(kept), unpacker.size_bytes

    def _socket(self, info: tuple[Any, ...]) -> socket.socket:
        """Called for every connection, literal addresses and redirects included, with the address it will go to."""
        family, kind, protocol, _, place = info
        if (refusal := self._guard.refusal(place[0])) is not None:
            _refusals.get([]).append(refusal)
            raise OSError(f"blocked: {refusal}")
        return socket.socket(family, kind, protocol)


def _checked(base: str, reference: str) -> str:
    try:
        return resolve(base, reference)
    except ValueError as problem:
        raise _Failure("url", f"{reference[:200]!r} is no URL to ask: {problem}") from None


def _with_parameters(url: str, parameters: Parameters) -> str:
    """The URL of a GET. A redirect that already carries them (as from http to https) does not get them twice."""
    added = encode_get("", parameters).removeprefix("?")
    if added and added in urlsplit(url).query:
        return url
    return encode_get(url, parameters)


def _without_userinfo(url: str) -> tuple[str, dict[str, str]]:
    """The URL, and the header that its user part stands for (RFC 7617 2)."""
    parts = urlsplit(url)
    userinfo, at, place = parts.netloc.rpartition("@")
    if not at:
        return url, {}
    user, _, password = userinfo.partition(":")
    token = base64.b64encode(f"{unquote(user)}:{unquote(password)}".encode("utf-8", "replace")).decode("ascii")
    return urlunsplit(parts._replace(netloc=place)), {"Authorization": f"Basic {token}"}


def _failure(problem: Exception, refusals: list[str], timeout_s: float) -> _Failure:
    """Sort what went wrong into the constants of Fetched.error."""
    match problem:
        case _Failure():
            return problem
        case aiohttp.ClientConnectorCertificateError():
            return _Failure("tls", f"the certificate of {problem.host} is not trusted: {problem.certificate_error}")
        case aiohttp.ClientSSLError():
            return _Failure("tls", f"no TLS connection: {problem.strerror or problem}")
        case aiohttp.ClientConnectorError() if refusals:
            return _Failure("blocked", "; ".join(dict.fromkeys(refusals)))
        case aiohttp.ClientConnectorDNSError():
            return _Failure("connect", f"no address for {problem.host}: {problem.os_error.strerror or problem.os_error}")
        case aiohttp.ClientConnectorError():
            return _Failure("connect", f"no connection to {problem.host}:{problem.port}: {problem.os_error.strerror or problem.os_error}")
        case TimeoutError():
            return _Failure("timeout", f"no complete answer in {timeout_s:g} s")
        case aiohttp.InvalidURL():
            return _Failure("url", f"{problem} cannot be asked")
        case aiohttp.ServerDisconnectedError() | aiohttp.ClientOSError():
            return _Failure("connect", f"the connection was closed before an answer came: {problem}")
        case aiohttp.ClientPayloadError():
            return _Failure("protocol", f"the body broke off or is garbled: {problem}")
        case aiohttp.ClientResponseError():
            return _Failure("protocol", f"the answer is not HTTP: {problem.message[:200]}")
        case aiohttp.ClientError():
            return _Failure("protocol", str(problem)[:300])
        case OSError():  # the file that it should be written to
            return _Failure("protocol", f"cannot be stored: {problem.strerror or problem}")
        case _:
            log.error("fetch_failed_unexpectedly", exc_info=problem)
            return _Failure("protocol", f"{type(problem).__name__}: {problem}"[:300])


class _Unpacker:
    """A body's content coding undone (RFC 9110 8.4), never beyond `limit` octets."""

    def __init__(self, coding: str, limit: int) -> None:
        self.size_bytes = 0
        self._limit = limit
        self._coding = coding.strip().lower()
        if self._coding not in ("", "identity", "gzip", "x-gzip", "deflate"):
            raise _Failure("protocol", f"the body is packed as {coding[:40]!r}, which was not asked for")
        self._inflate = zlib.decompressobj(wbits=47) if self._coding not in ("", "identity") else None  # 47: gzip or zlib, by its header
        self._fed = False

    def feed(self, chunk: bytes) -> list[bytes]:
        if self._inflate is None:
            self._count(len(chunk))
            return [chunk]
        parts = []
        while chunk:
            if self._inflate.eof:  # a further gzip member (RFC 1952 2.2)
                self._inflate = zlib.decompressobj(wbits=47)
            parts.append(self._inflate_some(chunk))
            self._count(len(parts[-1]))
            chunk = self._inflate.unused_data or self._inflate.unconsumed_tail
        return parts

    def finish(self) -> None:
        if self._inflate is not None and self._fed and not self._inflate.eof:
            raise _Failure("protocol", "the packed body broke off")

    def _inflate_some(self, chunk: bytes) -> bytes:
        assert self._inflate is not None
        first, self._fed = not self._fed, True
        room = self._limit - self.size_bytes + 1
        try:
            return self._inflate.decompress(chunk, room)
        except zlib.error:
            if not (first and self._coding == "deflate"):
                self._garbled()
        self._inflate = zlib.decompressobj(wbits=-15)  # many servers send `deflate` without its zlib wrapping
        try:
            return self._inflate.decompress(chunk, room)
        except zlib.error:
            self._garbled()

    def _garbled(self) -> NoReturn:
        raise _Failure("protocol", f"the body is not what Content-Encoding: {self._coding} says")

    def _count(self, octets: int) -> None:
        self.size_bytes += octets
        if self.size_bytes > self._limit:
            raise _Failure("too_large", f"the body has more than {self._limit} octets")
