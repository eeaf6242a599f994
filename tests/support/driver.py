"""A running SipDriver for tests: over a core of a few lines or any other, and plain sockets to speak to it with."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from sip.core.commands import Command, SessionId, SetSessionHeaders
from sip.core.events import (
    Dropped,
    Event,
    Output,
    Traced,
)
from sip.core.flows import Address, Flow, Listener, Target, Transmit
from sip.transport.driver import SipDriver
from sip.transport.resolver import Resolver
from sip.transport.settings import TransportSettings
from sip.transport.tls import Tls

HOSTS = ["127.0.0.1", "::1"]


TRANSPORTS = ["udp", "tcp"]


class Core:
    """Stands in for the endpoint: every input is remembered and answered by what the test wants."""

    def __init__(self, react: Callable[..., list[Output]] | None = None) -> None:
        self.inputs: list[tuple[Any, ...]] = []
        self.arrived = asyncio.Event()
        self.listeners: Sequence[Listener] = ()
        self.deadline: float | None = None
        self._react = react or (lambda *_: [])

    def _note(self, *what: Any) -> list[Output]:
        self.inputs.append(what)
        self.arrived.set()
        return self._react(*what)

    def set_listeners(self, listeners: Sequence[Listener]) -> None:
        self.listeners = listeners

    def receive(self, data: bytes, flow: Flow, now: float) -> list[Output]:
        return self._note("receive", data, flow)

    def connection_opened(self, flow: Flow, now: float) -> list[Output]:
        return self._note("opened", flow)

    def connection_lost(self, flow: Flow, now: float) -> list[Output]:
        return self._note("lost", flow)

    def transmit_failed(self, flow: Flow, error: str, now: float) -> list[Output]:
        return self._note("failed", flow, error)

    def resolved(self, query: int, targets: Sequence[Target], now: float) -> list[Output]:
        return self._note("resolved", query, list(targets))

    def command(self, command: Command, now: float) -> list[Output]:
        return self._note("command", command)

    def timeout(self, now: float) -> list[Output]:
        return self._note("timeout", now)

    def next_deadline(self) -> float | None:
        return self.deadline

    def no_deadline(self) -> list[Output]:
        self.deadline = None
        return []

    async def until(self, kind: str, count: int = 1) -> list[tuple[Any, ...]]:
        """Wait until so many inputs of that kind have come."""
        async with asyncio.timeout(5):
            while len(found := [what for what in self.inputs if what[0] == kind]) < count:
                self.arrived.clear()
                await self.arrived.wait()
        return found


COMMAND = SetSessionHeaders(SessionId("any"), ())


def echo(*what: Any) -> list[Output]:
    return [Transmit(what[2], b"echo " + what[1])] if what[0] == "receive" else []


@asynccontextmanager
async def driven(
    core: Any,
    *places: tuple[str, str, int],
    settings: TransportSettings | None = None,
    events: list[Event | Traced | Dropped] | None = None,
    resolver: Resolver | None = None,
    admits: Callable[[str], bool] | None = None,
    tls: Tls | None = None,
) -> AsyncIterator[tuple[SipDriver, tuple[Listener, ...]]]:
    """A running driver that must leave nothing behind."""
    before = len(asyncio.all_tasks())
    driver = SipDriver(core, (events if events is not None else []).append, resolver, settings, admits, tls)
    listeners = await driver.start(places or [("udp", "127.0.0.1", 0), ("tcp", "127.0.0.1", 0)])
    try:
        yield driver, listeners
    finally:
        await driver.stop()
        assert driver.counts() == {"sockets": 0, "connections": 0, "tasks": 0}
        assert len(asyncio.all_tasks()) == before


class Peer:
    """A plain UDP socket of the test."""

    def __init__(self, host: str = "127.0.0.1") -> None:
        self.socket = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((host, 0))
        self.socket.setblocking(False)
        self.address = Address(host, self.socket.getsockname()[1])

    def __enter__(self) -> Peer:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, data: bytes, to: Address) -> None:
        self.socket.sendto(data, (to.host, to.port))

    async def read(self) -> bytes:
        async with asyncio.timeout(5):
            return await asyncio.get_running_loop().sock_recv(self.socket, 65535)


@asynccontextmanager
async def connected(to: Address) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection(to.host, to.port)
    try:
        yield reader, writer
    finally:
        writer.close()
        with contextlib.suppress(OSError):  # the other side was faster
            await writer.wait_closed()


async def read(reader: asyncio.StreamReader, size: int) -> bytes:
    async with asyncio.timeout(5):
        return await reader.readexactly(size)


async def eventually(condition: Callable[[], bool]) -> None:
    for _ in range(500):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("not within five seconds")


async def expect_eof(reader: asyncio.StreamReader, within_s: float = 5.0) -> bytes:
    async with asyncio.timeout(within_s):
        try:
            return await reader.read()
        except OSError:
            return b""
