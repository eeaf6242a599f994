"""A web application that answers what a test tells it to, and keeps what it was asked.

    async with Application() as app:
        app.answer("/voice", rcml("<Dial action='/done'>...</Dial>"))
        app.answer("/done", rcml("<Hangup/>"))
        ...
        request = await app.asked("/done")
        assert request["DialCallStatus"] == "completed"

A path has a list of answers; each request takes the next one, and the last one is given for ever. A path that has none is
answered 404, and the test sees that in `app.requests`.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from urllib.parse import parse_qsl

from aiohttp import web

from tests.support.ports import free_port

Pairs = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Asked:
    """One request as the application received it. `at`: loop time of its arrival."""

    at: float
    method: str
    path: str
    query: Pairs  # in order, decoded
    form: Pairs  # in order, decoded; empty for GET
    content_type: str
    headers: Pairs

    @property
    def parameters(self) -> Pairs:
        """What was sent as the request's parameters: the form of a POST, the query of a GET."""
        return self.form if self.method == "POST" else self.query

    @property
    def names(self) -> list[str]:
        return [name for name, _ in self.parameters]

    def __getitem__(self, name: str) -> str:
        """The first value of a parameter."""
        for key, value in self.parameters:
            if key == name:
                return value
        raise KeyError(f"{name} is not among {', '.join(self.names)}")

    def __contains__(self, name: str) -> bool:
        return name in self.names

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.parameters if key == name]


Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class Answer:
    """A plain answer, given after `delay_s`."""

    body: bytes = b""
    content_type: str = "text/xml"
    status: int = 200
    headers: Pairs = ()
    delay_s: float = 0.0

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        if self.delay_s:
            await asyncio.sleep(self.delay_s)
        headers = dict(self.headers)
        if self.content_type:
            headers["Content-Type"] = self.content_type
        return web.Response(status=self.status, body=self.body, headers=headers)


def rcml(verbs: str, delay_s: float = 0.0) -> Answer:
    """A document with these verbs."""
    text = f'<?xml version="1.0" encoding="UTF-8"?>\n<Response>{verbs}</Response>'
    return Answer(text.encode(), delay_s=delay_s)


def nothing() -> Answer:
    """200 with no body and no type: the document ends here."""
    return Answer(content_type="")


def redirect(to: str, status: int = 302) -> Answer:
    return Answer(content_type="", status=status, headers=(("Location", to),))


def audio(wav: bytes, delay_s: float = 0.0) -> Answer:
    return Answer(wav, content_type="audio/wav", delay_s=delay_s)


async def endless(request: web.Request) -> web.StreamResponse:
    """A body that never ends (until the other side has had enough, or 200 MB)."""
    response = web.StreamResponse(headers={"Content-Type": "text/xml"})
    await response.prepare(request)
    with contextlib.suppress(ConnectionError):
        for _ in range(200):
            await response.write(b"<!-- and so on -->" * 55_000)
    return response


async def trickle(request: web.Request) -> web.StreamResponse:
    """A body that comes octet by octet and is never done within a minute."""
    response = web.StreamResponse(headers={"Content-Type": "text/xml"})
    await response.prepare(request)
    with contextlib.suppress(ConnectionError):
        for octet in b"<Response>" + b" " * 600:
            await response.write(bytes([octet]))
            await asyncio.sleep(0.1)
    return response


async def broken_off(request: web.Request) -> web.StreamResponse:
    """Announces more than it sends, and closes."""
    response = web.StreamResponse(headers={"Content-Type": "text/xml", "Content-Length": "1000"})
    await response.prepare(request)
    await response.write(b"<Response><Dial>")
    if request.transport is not None:
        request.transport.close()
    return response


async def closed_at_once(request: web.Request) -> web.StreamResponse:
    """Closes the connection in place of an answer."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


@dataclass(slots=True)
class Application:
    """The web application at `url`; give it a port to have it where the server's configuration says."""

    host: str = "127.0.0.1"
    port: int = 0
    requests: list[Asked] = field(default_factory=list)
    _answers: dict[str, deque[Handler]] = field(default_factory=dict)
    _runner: web.AppRunner | None = None
    _arrived: asyncio.Condition = field(default_factory=asyncio.Condition)

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    async def __aenter__(self) -> Application:
        self.port = self.port or free_port(self.host)
        application = web.Application(client_max_size=1 << 20)
        application.router.add_route("*", "/{path:.*}", self._handle)
        # The test's end must not wait for an answer that is still held back.
        self._runner = web.AppRunner(application, shutdown_timeout=0.1, access_log=None, handler_cancellation=True)
        await self._runner.setup()
        await web.TCPSite(self._runner, self.host, self.port, reuse_address=True).start()
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    def answer(self, path: str, *answers: Handler) -> None:
        """From now on requests for `path` get these, one after the other, the last one for ever."""
        self._answers[path] = deque(answers)

    def asked_for(self, path: str) -> list[Asked]:
        return [request for request in self.requests if request.path == path]

    async def asked(self, path: str, count: int = 1, timeout_s: float = 20.0) -> Asked:
        """Wait for the `count`-th request for a path.

        Raises:
            AssertionError: it did not come; the text says what did.
        """
        try:
            async with asyncio.timeout(timeout_s), self._arrived:
                await self._arrived.wait_for(lambda: len(self.asked_for(path)) >= count)
        except TimeoutError:
            seen = ", ".join(f"{r.method} {r.path}" for r in self.requests) or "nothing"
            raise AssertionError(f"request {count} for {path} did not come in {timeout_s} s; asked for: {seen}") from None
        return self.asked_for(path)[count - 1]

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        form: Pairs = ()
        if request.content_type == "application/x-www-form-urlencoded":
            form = tuple(parse_qsl(body.decode(), keep_blank_values=True))
        query = tuple(parse_qsl(request.rel_url.raw_query_string, keep_blank_values=True))
        headers = tuple((str(name), value) for name, value in request.headers.items())
        at = asyncio.get_running_loop().time()
        self.requests.append(Asked(at, request.method, request.path, query, form, request.content_type, headers))
        async with self._arrived:
            self._arrived.notify_all()
        answers = self._answers.get(request.path)
        if not answers:
            return web.Response(status=404, text="the test has no answer for this")
        handler = answers.popleft() if len(answers) > 1 else answers[0]
        return await handler(request)
