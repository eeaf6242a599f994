"""One exchange with an application: the request, its redirects, the answer read to its last octet, within one time limit.

What behaviour.md 1.7 asks: GET carries the parameters behind the URL's own query; POST keeps the query on the URL and sends
the parameters as a form. 301, 302, 303, 307 and 308 are followed with the same method and parameters.

Applications close idle connections when they like, also in the moment in which the next request is under way (RFC 9112 9.3.1).
A request on a connection that was used before and died without one octet of an answer is therefore asked once more, on a new
connection, whatever its method: nobody may have read it, and a lost call is dearer than a doubled question. Every request
carries an id, the same both times, so that an application which looks sees it once. Nothing else is ever asked twice.
"""

from __future__ import annotations

import asyncio
import base64
import functools
import re
import socket
import ssl
import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import unquote, urlsplit, urlunsplit

import aiohttp
from yarl import URL

from config.settings import HttpSettings
from rcml.urls import resolve
from server.applications.encoding import encode_form, encode_get
from server.applications.failures import Failure, failure_of
from server.applications.guard import Guard
from server.applications.signing import Signer
from server.applications.unpacking import Unpacker
from server.applications.visits import Visit
from server.applications.wire import Answers, Wire, current, refusals
from server.calls.effects import Parameters

REDIRECTS = frozenset({301, 302, 303, 307, 308})
IDEMPOTENCY = ("I-Twilio-Idempotency-Token", "Idempotency-Key")
_CHUNK = 16384
_UNLIMITED = aiohttp.ClientTimeout(total=None, sock_connect=None)  # `Exchanges.have` limits the whole


@dataclass(slots=True)
class Answer:
    """What came back. headers: without case. body: unless it went into a file."""

    status: int
    url: str
    headers: Any
    body: bytes = b""
    size_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Ask:
    """One exchange to be had.

    to: file that a 200's body goes to. bodiless: content types whose body nobody reads. visit: the call whose cookies go
    along. still_s: how long nothing may come, None for as long as the whole may take. request_id: what an application knows it by,
    when it is asked again another time; empty for one that is made here.
    """

    url: str
    method: str
    parameters: Parameters
    max_bytes: int
    headers: dict[str, str] = field(default_factory=dict)
    to: Path | None = None
    bodiless: str = ""
    visit: Visit | None = None
    still_s: float | None = None
    request_id: str = ""


class Exchanges:
    """Owns the connections to applications. Made and closed inside a running event loop."""

    def __init__(self, settings: HttpSettings, resolver: aiohttp.abc.AbstractResolver | None, signer: Signer) -> None:
        self.signer = signer
        self._settings = settings
        self._guard = Guard(settings)
        context = ssl.create_default_context()
        if settings.ca_file:
            context.load_verify_locations(settings.ca_file)
        self._kept = self._session(context, resolver, keepalive_timeout=settings.keepalive_s)
        self._fresh = self._session(context, resolver, force_close=True)

    def _session(self, context: ssl.SSLContext, resolver: aiohttp.abc.AbstractResolver | None, **how: Any) -> aiohttp.ClientSession:
        """The pools count requests, so the connector need not."""
        connector = aiohttp.TCPConnector(limit=0, ssl=context, resolver=resolver, socket_factory=self._socket, **how)
        # aiohttp has no public place for it
        connector._factory = functools.partial(Answers, loop=asyncio.get_running_loop())  # type: ignore[assignment]  # noqa: SLF001
        session = aiohttp.ClientSession(
            connector=connector,
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"User-Agent": self._settings.user_agent},
            timeout=_UNLIMITED,
            trust_env=False,
        )
        session._retry_connection = False  # noqa: SLF001 # aiohttp would ask a GET again also where the application was seen to fail
        return session

    def guard_by(self, settings: HttpSettings) -> None:
        self._guard = Guard(settings)

    async def close(self) -> None:
        await self._kept.close()
        await self._fresh.close()

    async def have(self, ask: Ask, timeout_s: float) -> Answer | Failure:
        """The answer, or why there is none. Nothing is raised but cancellation."""
        refused: list[str] = []
        token = refusals.set(refused)
        try:
            async with asyncio.timeout(timeout_s):
                return await self._follow(ask)
        except Exception as problem:  # noqa: BLE001  the edge to the world: whatever it does becomes a value
            return failure_of(problem, refused, timeout_s)
        finally:
            refusals.reset(token)

    async def _follow(self, ask: Ask) -> Answer:
        """Ask, and ask again where redirects lead."""
        url = _checked("", ask.url)
        token = ask.request_id or str(uuid.uuid4())
        for _ in range(self._settings.max_redirects + 1):
            answer = await self._ask(url, ask, token)
            location = escaped_location(answer.headers.get("Location", ""))
            if answer.status not in REDIRECTS or not location:
                return answer
            url = _checked(url, location)
        raise Failure("redirects", f"more than {self._settings.max_redirects} redirects (http.max_redirects), the last one to {url}")

    async def _ask(self, url: str, ask: Ask, token: str) -> Answer:
        """One request, and once more on a new connection when a kept one was dead."""
        wire = Wire(self._settings.max_head_bytes)
        placed = current.set(wire)
        try:
            try:
                answer = await self._request(self._kept, url, ask, token)
            except (aiohttp.ClientConnectionError, ConnectionError) as problem:
                if not wire.reused or wire.received or isinstance(problem, aiohttp.ClientConnectorError | TimeoutError):
                    raise
            else:
                if answer.status != 408 or not wire.reused:  # 408: how some say that they closed an idle one (RFC 9110 15.5.9)
                    return answer
            return await self._request(self._fresh, url, ask, token)
        finally:
            current.reset(placed)

    async def _request(self, session: aiohttp.ClientSession, url: str, ask: Ask, token: str) -> Answer:
        """One request, one response, its body read unless it is a redirect's."""
        bare, authorization = _without_userinfo(url)
        headers = {**ask.headers, **authorization, "Accept-Encoding": "gzip, deflate", **dict.fromkeys(IDEMPOTENCY, token)}
        if ask.visit is not None and (cookies := ask.visit.cookie_header(bare)):
            headers["Cookie"] = cookies
        data: bytes | None = None
        form: Parameters = ()
        if ask.method.upper() == "GET":
            target = _with_parameters(bare, ask.parameters)
        else:
            target, form = bare, ask.parameters
            data = encode_form(form)
            headers["Content-Type"] = "application/x-www-form-urlencoded; charset=utf-8"
        headers |= self.signer.headers(target, form, data or b"", token, time.time())
        timeout = _UNLIMITED if ask.still_s is None else aiohttp.ClientTimeout(total=None, sock_connect=ask.still_s, sock_read=ask.still_s)
        async with session.request(
            ask.method.upper(), URL(target, encoded=True), data=data, headers=headers, allow_redirects=False, timeout=timeout
        ) as response:
            if ask.visit is not None:
                ask.visit.keep(response.headers.getall("Set-Cookie", ()), bare)
            answer = Answer(response.status, url, response.headers)
            redirect = response.status in REDIRECTS and "Location" in response.headers
            bodiless = (
                ask.bodiless
                and response.status == 200
                and response.headers.get("Content-Type", "").strip().lower().startswith(ask.bodiless)
            )
            if redirect or bodiless:
                response.close()
                return answer
            await _read(response, ask, answer)
            return answer

    def _socket(self, info: tuple[Any, ...]) -> socket.socket:
        """Called for every connection, literal addresses and redirects included, with the address it will go to."""
        family, kind, protocol, _, place = info
        if (refusal := self._guard.refusal(place[0])) is not None:
            refusals.get([]).append(refusal)
            raise OSError(f"blocked: {refusal}")
        return socket.socket(family, kind, protocol)


async def _read(response: aiohttp.ClientResponse, ask: Ask, answer: Answer) -> None:
    declared = response.content_length
    if declared is not None and declared > ask.max_bytes:
        response.close()
        raise Failure("too_large", f"the body has {declared} octets, {ask.max_bytes} are read")
    unpacker = Unpacker(response.headers.get("Content-Encoding", ""), ask.max_bytes)
    kept = bytearray()
    file: BinaryIO | None = open(ask.to, "wb") if ask.to is not None and response.status == 200 else None  # noqa: ASYNC230, SIM115
    try:
        async for chunk in response.content.iter_chunked(_CHUNK):
            for part in unpacker.feed(chunk):
                kept.extend(part) if file is None else file.write(part)
            if len(chunk) == _CHUNK:
                await asyncio.sleep(0)  # what lies in the buffer is read without waiting: the time limit must be able to strike
    finally:
        if file is not None:
            file.close()
    unpacker.finish()
    answer.body, answer.size_bytes = bytes(kept), unpacker.size_bytes


# --- URLs -----------------------------------------------------------------------------------------------------------

# What no URL holds as it is. Surrogates are octets of a Location that are no UTF-8.
_TO_ESCAPE = re.compile(r'[\x00-\x20\x7f-\xa0<>"\u2028\u2029\ud800-\udfff]')


_AROUND = "".join(map(chr, range(0x21)))


def escaped_location(text: str) -> str:
    """A Location as scripts write it, blanks and all, made a reference (RFC 9110 10.2.2 with the URL standard's parser).

    Tabs and line ends are left out, other characters that cannot stand in a URL are escaped by their octets.
    """
    text = text.strip(_AROUND).translate({0x09: None, 0x0A: None, 0x0D: None})
    return _TO_ESCAPE.sub(lambda found: "".join(f"%{octet:02X}" for octet in found[0].encode("utf-8", "surrogateescape")), text)


def _checked(base: str, reference: str) -> str:
    try:
        return resolve(base, reference)
    except ValueError as problem:
        raise Failure("url", f"{reference[:200]!r} is no URL to ask: {problem}") from None


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
