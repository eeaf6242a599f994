"""The real media worker for tests: the built program on a socket of its own, and a controller that speaks its protocol."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import subprocess
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from media import engine
from media.engine import Close, Closed, Codec, Command, Connect, Event, Hello, Open, Opened, Welcome
from tests.support import ports
from tests.support.pace import PACE
from tests.support.rtp import RtpEndpoint

CRATE = Path(__file__).parents[2] / "media" / "worker"
GIVEN = os.environ.get("DIALPLANE_MEDIA_PROGRAM")  # another build, an installed wheel's for example
PROGRAM = Path(GIVEN) if GIVEN else CRATE / "target" / "release" / "dialplane-media"
# How media threads wait for their sockets, in all tests that do not say it themselves: auto, uring or epoll.
IO = os.environ.get("DIALPLANE_MEDIA_IO", "auto")
# A directory where the kernel was prepared, to have every test's bridges forwarded that can be (one worker at a time).
FORWARD = os.environ.get("DIALPLANE_MEDIA_FORWARD", "")
WORKER = "the worker"  # as `pace.py` names it

PCMU = Codec(payload_type=0, name="PCMU")
PCMA = Codec(payload_type=8, name="PCMA")
EVENTS = Codec(payload_type=101, name="telephone-event", fmtp="0-16")

E = TypeVar("E")


@functools.cache
def build(*more: str) -> Path:
    """The program as the sources were when it was first asked for, or the one that was given."""
    if GIVEN:
        return PROGRAM
    subprocess.run(["cargo", "build", "--release", "--locked", "--quiet", "--bins", *more], cwd=CRATE, check=True)
    return PROGRAM


class Controller:
    """A connection to a worker. Events are kept in order; `expect` looks at those not yet expected."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self.events: list[Event] = []
        self._taken: set[int] = set()
        self._arrived = asyncio.Condition()
        self.closed = False
        self._task = asyncio.create_task(self._read())

    @classmethod
    async def connect(cls, path: Path) -> Controller:
        return cls(*await asyncio.open_unix_connection(str(path)))

    async def _read(self) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                length = int.from_bytes(await self._reader.readexactly(4), "big")
                event = msgspec.msgpack.decode(await self._reader.readexactly(length), type=Event)
                async with self._arrived:
                    self.events.append(event)
                    self._arrived.notify_all()
        async with self._arrived:
            self.closed = True
            self._arrived.notify_all()

    def send(self, command: Command) -> None:
        self.send_body(msgspec.msgpack.encode(command))

    def send_together(self, *commands: Command) -> None:
        """Several in one piece: the worker reads them all before it does anything else."""
        bodies = [msgspec.msgpack.encode(command) for command in commands]
        self.send_raw(b"".join(len(body).to_bytes(4, "big") + body for body in bodies))

    def send_body(self, body: bytes) -> None:
        self.send_raw(len(body).to_bytes(4, "big") + body)

    def send_raw(self, octets: bytes) -> None:
        self._writer.write(octets)

    async def expect(self, kind: type[E], *, timeout_s: float = 5.0, **fields: Any) -> E:
        """The first event of that kind, with those fields, that was not expected before.

        Raises:
            AssertionError: it did not come; the text says what did.
        """

        def fits() -> E | None:
            for index, event in enumerate(self.events):
                if index not in self._taken and isinstance(event, kind) and all(getattr(event, k) == v for k, v in fields.items()):
                    self._taken.add(index)
                    return event
            return None

        return await self._until(fits, f"{kind.__name__} {fields or ''}", timeout_s)

    async def expect_close(self, timeout_s: float = 5.0) -> None:
        await self._until(lambda: self.closed or None, "end of the connection", timeout_s)

    async def _until(self, fits: Callable[[], E | None], what: str, timeout_s: float) -> E:
        found: E | None = None

        def ready() -> bool:
            nonlocal found
            found = fits()
            return found is not None

        async with self._arrived:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._arrived.wait_for(ready), timeout_s)
        if found is None:
            raise AssertionError(f"no {what}; what came: {self.events}")
        return found

    def seen(self, kind: type[E]) -> list[E]:
        return [event for event in self.events if isinstance(event, kind)]

    async def synchronize(self) -> None:
        """Until all that was sent so far is done: by the control thread, and by the threads that have the streams.

        A packet that comes before its stream was connected is dropped, so what is sent at once has to wait for that.
        """
        self.send(engine.List())
        listing = await self.expect(engine.Listing)
        await self.settled(*(one.stream for one in listing.streams))

    async def settled(self, *streams: str) -> None:
        """Until all that was sent so far is done, by the threads that have these streams too."""
        for stream in streams:
            self.send(engine.Stats(stream=stream))
        for stream in streams:
            await self.expect(engine.StreamStats, stream=stream)

    async def stats(self, stream: str) -> engine.StreamStats:
        self.send(engine.Stats(stream=stream))
        return await self.expect(engine.StreamStats, stream=stream)

    async def counters(self, stream: str, *, timeout_s: float = 3.0, **awaited: int) -> engine.Counters:
        """A stream's counters; asked for again until those that are named have come so far, or the time is over."""
        deadline = asyncio.get_running_loop().time() + timeout_s
        while True:
            counters = (await self.stats(stream)).counters
            reached = all(getattr(counters, name) >= count for name, count in awaited.items())
            if reached or asyncio.get_running_loop().time() > deadline:
                return counters
            await asyncio.sleep(0.02)

    async def hello(self) -> Welcome:
        self.send(Hello(controller="test"))
        return await self.expect(Welcome)

    async def open(self, stream: str, *, call: str = "", address: str = "127.0.0.1", expires_ms: int = 0) -> Opened:
        self.send(Open(stream=stream, call=call, address=address, expires_ms=expires_ms))
        return await self.expect(Opened, stream=stream)

    def connect_to(self, stream: str, phone: RtpEndpoint, codecs: list[Codec] | None = None, **more: Any) -> None:
        """Connect a stream to a phone as its SDP would have it."""
        fields: dict[str, Any] = {"remote_address": phone.host, "remote_port": phone.port, "codecs": codecs or [PCMU, EVENTS]}
        self.send(Connect(stream=stream, **(fields | more)))

    async def close(self) -> None:
        self._task.cancel()
        self._writer.close()
        with contextlib.suppress(ConnectionError):
            await self._writer.wait_closed()


class Worker:
    """A running worker process."""

    def __init__(self, folder: Path, *arguments: str, prepare: Callable[[], None] | None = None, within: Sequence[str | Path] = ()) -> None:
        """`prepare`: what the child does before it becomes the worker. `within`: a command that runs the one behind it."""
        self.socket = folder / "media.sock"
        # A range of its own, so that a server under test beside us is not in the way.
        own_ports = ["--port-min", str(ports.WORKER[0]), "--port-max", str(ports.WORKER[1])]
        forward = ["--forward", FORWARD] if FORWARD else []
        self.errors = folder / "worker.log"
        with self.errors.open("ab") as log:
            command = [*within, build(), "--socket", self.socket, "--io", IO, *own_ports, *forward, *arguments]
            self.process = subprocess.Popen(command, stderr=log, preexec_fn=prepare)
        PACE.watch(self.process.pid, WORKER)

    async def controller(self) -> Controller:
        """A connection that has said hello."""
        controller = await self.raw_connection()
        await controller.hello()
        return controller

    async def raw_connection(self) -> Controller:
        for _ in range(500):
            with contextlib.suppress(FileNotFoundError, ConnectionRefusedError):
                return await Controller.connect(self.socket)
            if self.process.poll() is not None:
                break
            await asyncio.sleep(0.01)
        raise AssertionError(f"the worker does not listen:\n{self.errors.read_text()}")

    async def ended(self, timeout_s: float = 10.0) -> int:
        """Its exit status."""
        return await asyncio.to_thread(self.process.wait, timeout_s)

    def stop(self) -> None:
        PACE.forget(self.process.pid)
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def descriptors(self) -> int:
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    async def settled_descriptors(self, media: Controller, threads: int = 2) -> int:
        """How many it has once it has started: the controller is answered while media threads still open and try theirs.

        So each of them has answered before, by a stream of its own: calls are spread over the threads.
        """
        names = [f"first{thread}" for thread in range(threads)]
        for name in names:
            await media.open(name, call=name)
        for name in names:
            media.send(Close(stream=name))
            await media.expect(Closed, stream=name)
        # A socket is closed a little after that is told, and its number given back by then.
        count, found = 0, self.descriptors()
        while count != found:
            await asyncio.sleep(0.1)
            count, found = found, self.descriptors()
        return found

    async def until_descriptors(self, count: int, timeout_s: float = 5.0) -> int:
        """How many it has, once it is so many or the time is over."""
        for _ in range(round(timeout_s / 0.02)):
            if self.descriptors() == count:
                break
            await asyncio.sleep(0.02)
        return self.descriptors()


@contextlib.asynccontextmanager
async def running(
    folder: Path, *arguments: str, prepare: Callable[[], None] | None = None, within: Sequence[str | Path] = ()
) -> AsyncIterator[Worker]:
    worker = Worker(folder, *arguments, prepare=prepare, within=within)
    try:
        yield worker
    finally:
        worker.stop()
