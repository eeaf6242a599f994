"""Applications that misbehave: raw HTTP servers on loopback that answer with prepared octets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

Handler = Callable[["Asked", asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Asked:
    """One request as it stood on the wire."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Peer:
    url: str
    port: int
    asked: list[Asked] = field(default_factory=list)
    connections: int = 0


def response(status: str, body: bytes = b"", *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def says(*octets: bytes) -> Handler:
    """Answers the first request with the first octets, and so on; the last ones for ever."""
    said = list(octets)

    async def handle(asked: Asked, writer: asyncio.StreamWriter) -> None:
        writer.write(said.pop(0) if len(said) > 1 else said[0])
        await writer.drain()

    return handle


@asynccontextmanager
async def peer(handler: Handler) -> AsyncIterator[Peer]:
    """Runs a server for the length of the block. A handler that returns keeps the connection open."""
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        this.connections += 1
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                first, *rest = head.decode("latin-1").split("\r\n")
                headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in rest if line)}
                body = await reader.readexactly(int(headers.get("content-length", "0")))
                method, target, _ = first.split(" ")
                asked = Asked(method, target, headers, body)
                this.asked.append(asked)
                await handler(asked, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            tasks.discard(task)
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    this = Peer(f"http://127.0.0.1:{port}", port)
    try:
        yield this
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
