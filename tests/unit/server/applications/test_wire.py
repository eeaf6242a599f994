"""The octets of an answer, counted on the way in: the parts that a whole exchange does not show (see test_fetch.py)."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from config.settings import HttpSettings
from server.applications.exchange import Exchanges
from server.applications.signing import Signer
from server.applications.wire import Answers, Wire, current


@asynccontextmanager
async def connection() -> AsyncIterator[tuple[Answers, socket.socket]]:
    """A connection of ours, and its other end."""
    ours, theirs = socket.socketpair()
    loop = asyncio.get_running_loop()
    transport, answers = await loop.create_connection(lambda: Answers(loop), sock=ours)
    try:
        yield answers, theirs
    finally:
        transport.close()
        theirs.close()


async def test_kept_connection_is_looked_at_before_the_loop_has_heard_of_its_end__rfc9112_9_3() -> None:
    for octets in (b"", b"HTTP/1.1 408 Request Timeout\r\n\r\n"):
        async with connection() as (answers, theirs):
            current.set(Wire(65536))
            answers.set_response_params()
            assert answers.is_connected(), "an answer is waited for"
            theirs.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            await answers.read()
            assert answers.is_connected()
            if octets:
                theirs.send(octets)
            else:
                theirs.shutdown(socket.SHUT_WR)
            assert not answers.is_connected()


async def test_what_came_and_by_what_connection_is_known() -> None:
    async with connection() as (answers, theirs):
        for number in range(2):
            wire = Wire(65536)
            current.set(wire)
            answers.set_response_params()
            assert (wire.reused, wire.received) == (number > 0, 0)
            theirs.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            await answers.read()
            assert wire.received == 38


@pytest.mark.parametrize("which", ["_kept", "_fresh"])
async def test_every_connection_is_one_of_ours(which: str) -> None:
    """aiohttp knows no public way to say so; should it change, this fails and not the bounds."""
    exchanges = Exchanges(HttpSettings(), None, Signer())
    try:
        assert isinstance(getattr(exchanges, which).connector._factory(), Answers)
        assert getattr(exchanges, which)._retry_connection is False
    finally:
        await exchanges.close()
