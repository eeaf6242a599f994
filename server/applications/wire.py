"""The octets of an answer, counted before anything is made of them.

aiohttp bounds what a line and a field may have; it does not bound how many interim responses, chunk extensions or trailers come,
and parses whatever lies in the socket in one go. An application (or whoever sits in its place) could so keep the event loop
busy until the time limit, which cannot even strike meanwhile. So every connection of ours is an `Answers`, which

- takes the head in small pieces, and refuses it past `http.max_head_bytes` or past a few interim responses (RFC 9110 15.2);
- refuses a body whose framing has grown out of proportion to what it carries (RFC 9112 7.1.1: a recipient ought to bound that);
- knows whether it was used before, and how much of an answer came, so that a dead kept connection can be told from an
  application that failed (RFC 9112 9.3.1);
- looks before it is used again whether the other side has closed it, or has said something that nobody asked for.

`ResponseHandler` is aiohttp's protocol class; `tests/unit/server/applications/test_wire.py` fails should it ever be passed by.
"""

from __future__ import annotations

import asyncio
import select
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from aiohttp.client_proto import ResponseHandler

from server.applications.failures import OverLimit

MAX_INTERIM = 8  # responses of 1xx before the one that counts; 100, 102 and 103 are all that is in use
_PIECE = 4096
_FRAMING = 8  # octets on the wire for one of the body: a chunk of one octet has six


@dataclass(slots=True)
class Wire:
    """What is known of the answer that the current task waits for. reused: it comes by a connection that was used before."""

    max_head_bytes: int
    reused: bool = False
    received: int = 0


# Addresses that the guard refused in the exchange of the current task. The connector calls the socket factory in that
# task, or in tasks made from it, which share the list.
refusals: ContextVar[list[str]] = ContextVar("refusals")

# The connection looks it up when a request is put on it, which happens in the task that asks.
current: ContextVar[Wire] = ContextVar("current")


class Answers(ResponseHandler):
    """One connection to an application."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        self._wire = Wire(0)
        self._requests = 0
        self._interim = 0
        self._in_head = False
        self._failed = False

    def set_response_params(self, **params: Any) -> None:
        """A request goes out by this connection: called by aiohttp each time."""
        wire = current.get(self._wire)
        wire.reused, wire.received = self._requests > 0, 0
        self._wire = wire
        self._requests += 1
        self._interim, self._in_head = 0, True
        # Those of aiohttp stand a little behind ours, which tell of the setting.
        most = wire.max_head_bytes + 2 * _PIECE
        super().set_response_params(**(params | {"max_line_size": most, "max_field_size": most, "max_headers": most // 4}))

    def data_received(self, data: bytes) -> None:
        if self._failed:
            return
        while self._in_head and data and not self._failed:
            room = self._wire.max_head_bytes + 1 - self._wire.received
            piece, data = data[: min(_PIECE, room)], data[min(_PIECE, room) :]
            self._take(piece)
        if not self._failed and not self._in_head:  # type: ignore[redundant-expr]  # `_take` may have failed
            self._take(data)  # an empty one too: with that aiohttp goes on after a pause

    def feed_data(self, data: Any, size: int = 0) -> None:
        """A head was read: called by aiohttp for each."""
        status = data[0].code
        if 100 <= status <= 199 and status != 101:
            self._interim += 1
            if self._interim > MAX_INTERIM:
                self._fail(f"more than {MAX_INTERIM} interim responses (1xx) came before the answer")
                return
        else:
            self._in_head = False
        super().feed_data(data, size)

    def is_connected(self) -> bool:
        """Asked before a kept connection is used again."""
        if not super().is_connected():
            return False
        if self._in_head or self._requests == 0:
            return True  # not idle
        return not self.should_close and not self._spoken_to()

    def _take(self, data: bytes) -> None:
        self._wire.received += len(data)
        super().data_received(data)
        limit = self._wire.max_head_bytes
        if self._in_head and self._wire.received > limit:
            self._fail(f"the head of the answer has more than {limit} octets (http.max_head_bytes)")
        elif self._payload is not None and self._wire.received > 2 * limit + _FRAMING * self._payload.total_bytes:
            self._fail("the body has more framing (chunk extensions, trailers) than content")

    def _fail(self, text: str) -> None:
        self._failed = True
        problem = OverLimit(text)
        payload = self._payload
        if self.transport is not None:
            self.transport.abort()
        self.set_exception(problem)
        if payload is not None and not payload.is_eof():
            payload.set_exception(problem)

    def _spoken_to(self) -> bool:
        """Whether the idle connection has an end, or octets, that the loop has not come to yet."""
        assert self.transport is not None
        sock = self.transport.get_extra_info("socket")
        if sock is None or sock.fileno() < 0:
            return True
        poll = select.poll()
        poll.register(sock.fileno(), select.POLLIN | select.POLLRDHUP | select.POLLERR | select.POLLHUP)
        return bool(poll.poll(0))
