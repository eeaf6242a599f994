"""A media worker in the loop of the test, and what its client delivered."""

from __future__ import annotations

import asyncio
import contextlib
import os
import struct
from collections.abc import Callable
from pathlib import Path

import msgspec

from media import engine
from media.worker_client import WorkerClient

Received = engine.Event | engine.EngineLost


class Events:
    """What the client delivered, to be waited for."""

    def __init__(self) -> None:
        self.queue: asyncio.Queue[Received] = asyncio.Queue()

    def __call__(self, event: Received) -> None:
        self.queue.put_nowait(event)

    async def next(self, timeout_s: float = 5.0) -> Received:
        return await asyncio.wait_for(self.queue.get(), timeout_s)


class FakeWorker:
    """A worker in this loop: greets, lists what it is told to hold, keeps every other command."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.version = engine.PROTOCOL_VERSION
        self.listing = engine.Listing()
        self.commands: asyncio.Queue[engine.Command] = asyncio.Queue()
        self.greets = True
        self.answers = True
        self.writers: list[asyncio.StreamWriter] = []
        self._server: asyncio.Server | None = None

    async def listen(self) -> None:
        self._server = await asyncio.start_unix_server(self._serve, str(self.path))

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
            for writer in self.writers:
                writer.close()
            await self._server.wait_closed()
        self.path.unlink(missing_ok=True)

    def say(self, *events: engine.Event) -> None:
        for event in events:
            self.say_bytes(msgspec.msgpack.encode(event))

    def say_bytes(self, payload: bytes) -> None:
        self.writers[-1].write(struct.pack(">I", len(payload)) + payload)

    async def command(self) -> engine.Command:
        return await asyncio.wait_for(self.commands.get(), 5)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.append(writer)
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                (length,) = struct.unpack(">I", await reader.readexactly(4))
                command = msgspec.msgpack.decode(await reader.readexactly(length), type=engine.Command)
                match command:
                    case engine.Hello() if self.greets:
                        self.say(engine.Welcome(version=self.version, pid=os.getpid(), worker="fake"))
                    case engine.List():
                        self.say(self.listing)
                    case engine.Ping():
                        if self.answers:
                            self.say(engine.Pong())
                    case engine.Shutdown():
                        await self.commands.put(command)
                        break
                    case _:
                        await self.commands.put(command)
        writer.close()


Make = Callable[..., WorkerClient]
