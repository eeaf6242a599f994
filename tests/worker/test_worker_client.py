"""The client against the real media worker: started, spoken to, killed, adopted, ended."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import struct
import wave
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest

from media import engine
from media.sdp.offer_answer import LocalMedia, OfferAnswer
from media.settings import MediaSettings
from media.worker_client import WorkerClient
from tests.support import ports
from tests.support.processes import is_there
from tests.support.worker import build

pytestmark = pytest.mark.worker

Received = engine.Event | engine.EngineLost
T = TypeVar("T", bound=object)


class Client:
    """A WorkerClient and what it delivered."""

    def __init__(self, path: Path) -> None:
        self.events: asyncio.Queue[Received] = asyncio.Queue()
        settings = MediaSettings(socket_path=str(path), worker_binary=str(build()), port_min=ports.CLIENT[0], port_max=ports.CLIENT[1])
        self.client = WorkerClient(settings, self.events.put_nowait, "interop")

    async def expect(self, kind: type[T]) -> T:
        """The next event of a kind; others before it are let go."""
        async with asyncio.timeout(5):
            while True:
                event = await self.events.get()
                if isinstance(event, kind):
                    return event

    async def open(self, stream: str, address: str = "127.0.0.1") -> engine.Opened:
        self.client.send(engine.Open(stream=stream, call="CA1", address=address))
        return await self.expect(engine.Opened)


Make = Callable[[], Client]


@pytest.fixture
async def make(tmp_path: Path) -> AsyncIterator[Make]:
    made: list[Client] = []

    def build() -> Client:
        made.append(Client(tmp_path / "media.sock"))
        return made[-1]

    yield build
    for client in made:
        await client.client.stop(shutdown_worker=True)


class Phone:
    """One RTP peer on loopback, sending a byte of PCMU at a time."""

    def __init__(self) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.socket.setblocking(False)
        self.port: int = self.socket.getsockname()[1]
        self._number = 0

    def close(self) -> None:
        self.socket.close()

    def talk(self, to: engine.Opened, octet: int, packets: int = 10) -> None:
        for _ in range(packets):
            self._number += 1
            header = struct.pack(">BBHII", 0x80, 0, self._number, self._number * 160, 0x1234)
            self.socket.sendto(header + bytes([octet]) * 160, (to.address, to.port))

    async def hear(self) -> bytes:
        """The payload of the next packet."""
        packet = await asyncio.wait_for(asyncio.get_running_loop().sock_recv(self.socket, 2048), 5)
        return packet[12:]


@pytest.fixture
def phones() -> Iterator[tuple[Phone, Phone]]:
    pair = Phone(), Phone()
    yield pair
    for phone in pair:
        phone.close()


def connect(opened: engine.Opened, phone: Phone) -> engine.Connect:
    """What offer and answer with that phone come to."""
    machine = OfferAnswer(MediaSettings(), LocalMedia(opened.address, opened.port, opened.rtcp_port), 1)
    machine.offer()
    answer = f"v=0\no=- 1 1 IN IP4 127.0.0.1\nc=IN IP4 127.0.0.1\nm=audio {phone.port} RTP/AVP 0 101\na=rtpmap:101 telephone-event/8000\n"
    return machine.receive_answer(answer.encode()).connect_command(opened.stream, latch=True, media_timeout_ms=0)


def seconds_of(path: str) -> float:
    with wave.open(path) as file:
        return float(file.getnframes() / file.getframerate())


async def test_the_worker_is_started_greets_and_ends(make: Make) -> None:
    client = make()
    welcome = await client.client.start()
    assert welcome.version == engine.PROTOCOL_VERSION
    assert is_there(welcome.pid)
    await client.client.stop(shutdown_worker=True)
    assert not is_there(welcome.pid)


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
async def test_ports_are_even_and_from_the_range(make: Make, address: str) -> None:
    client = make()
    await client.client.start()
    opened = await client.open("s", address)
    assert ports.CLIENT[0] <= opened.port < ports.CLIENT[1]
    assert opened.port % 2 == 0
    assert (opened.address, opened.rtcp_port) == (address, opened.port + 1)


async def test_two_phones_hear_each_other(make: Make, phones: tuple[Phone, Phone]) -> None:
    client = make()
    await client.client.start()
    first, second = await client.open("a"), await client.open("b")
    for opened, phone in zip((first, second), phones, strict=True):
        client.client.send(connect(opened, phone))
    client.client.send(engine.Bridge(bridge="ab", first="a", second="b"))
    client.client.send(engine.Stats(stream="a"))
    await client.expect(engine.StreamStats)
    phones[0].talk(first, 0x55)
    phones[1].talk(second, 0x2A)
    assert await phones[1].hear() == b"\x55" * 160
    assert await phones[0].hear() == b"\x2a" * 160
    client.client.send(engine.Close(stream="a"))
    assert (await client.expect(engine.Closed)).counters.packets_in == 10


async def test_what_cannot_be_done_is_answered_by_failed(make: Make) -> None:
    client = make()
    await client.client.start()
    client.client.send(engine.Stats(stream="none"))
    failed = await client.expect(engine.Failed)
    assert (failed.op, failed.subject, failed.code) == ("stats", "none", "unknown_stream")
    client.client.send(engine.Open(stream="s", address="192.0.2.1"))
    failed = await client.expect(engine.Failed)
    assert (failed.op, failed.subject) == ("open", "s")


async def test_a_killed_worker_is_replaced(make: Make) -> None:
    client = make()
    first = await client.client.start()
    await client.open("s")
    os.kill(first.pid, signal.SIGKILL)
    assert "SIGKILL" in (await client.expect(engine.EngineLost)).reason
    assert not is_there(first.pid)
    client.client.send(engine.Stats(stream="s"))
    assert (await client.expect(engine.Failed)).code == "no_worker"
    second = await client.expect(engine.Welcome)
    assert second.pid != first.pid
    assert (await client.open("s")).stream == "s"


async def test_the_next_controller_adopts_the_worker_and_finishes_what_was_left(
    make: Make, phones: tuple[Phone, Phone], tmp_path: Path
) -> None:
    before = make()
    welcome = await before.client.start()
    opened = await before.open("old")
    before.client.send(connect(opened, phones[0]))
    before.client.send(engine.Record(recording="RE1", stream="old", path=str(tmp_path / "RE1.wav")))
    phones[0].talk(opened, 0x55, 25)
    await before.expect(engine.RecordingStarted)
    await before.client.stop(shutdown_worker=False)

    after = make()
    assert (await after.client.start()).pid == welcome.pid
    for _ in range(100):
        after.client.send(engine.List())
        listing = await after.expect(engine.Listing)
        if not (listing.streams or listing.recordings):  # a recording ends a little after its stream: its writer has a thread of its own
            break
        await asyncio.sleep(0.02)
    assert (listing.streams, listing.recordings) == ([], [])
    assert seconds_of(str(tmp_path / "RE1.wav")) > 0
    await after.client.stop(shutdown_worker=True)
    await asyncio.to_thread(os.waitpid, welcome.pid, 0)  # this process's child, though the second client's peer
