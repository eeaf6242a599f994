"""How the media worker waits for its sockets: io_uring where the kernel allows it, epoll elsewhere, the same calls with both."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import subprocess
import threading
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from media.engine import Bridge, Close, Closed, Connect, Stats, StreamStats
from tests.support import forbid
from tests.support.rtp import RtpEndpoint, build_packet
from tests.support.worker import EVENTS, IO, PCMU, Controller, Worker, build, running

pytestmark = pytest.mark.worker


@pytest.fixture(params=[IO, "epoll"])
async def media(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Controller]:
    async with running(tmp_path, "--threads", "2", "--io", request.param) as worker:
        controller = await worker.controller()
        yield controller
        await controller.close()


async def way_of(worker: Worker) -> str:
    connection = await worker.raw_connection()
    welcome = await connection.hello()
    await connection.close()
    return welcome.io


async def test_io_uring_is_used_where_the_kernel_allows_it(tmp_path: Path) -> None:
    demanded = Worker(tmp_path, "--io", "uring")
    try:
        try:
            allowed = await way_of(demanded) == "uring"
        except AssertionError:  # it does not listen
            allowed = False
            assert "io_uring" in demanded.errors.read_text()
    finally:
        demanded.stop()
    async with running(tmp_path, "--io", "auto") as worker:
        assert await way_of(worker) == ("uring" if allowed else "epoll")
        assert f"io={'uring' if allowed else 'epoll'}" in worker.errors.read_text()


async def test_epoll_is_used_when_it_is_asked_for(tmp_path: Path) -> None:
    async with running(tmp_path, "--io", "epoll") as worker:
        assert await way_of(worker) == "epoll"


async def test_a_container_that_forbids_io_uring_gets_epoll_and_a_line_in_the_log(tmp_path: Path) -> None:
    async with running(tmp_path, "--io", "auto", prepare=forbid.io_uring) as worker:
        assert await way_of(worker) == "epoll"
        log = worker.errors.read_text()
        assert "no_io_uring" in log and "level=warning" not in log and "level=error" not in log


def test_a_demand_for_io_uring_that_cannot_be_met_is_said_at_the_start(tmp_path: Path) -> None:
    command: list[str | Path] = [build(), "--socket", tmp_path / "s", "--io", "uring"]
    done = subprocess.run(command, preexec_fn=forbid.io_uring, capture_output=True, timeout=10, check=False)
    assert done.returncode == 1
    assert b"io_uring" in done.stderr


async def test_a_closed_stream_leaves_its_ports_to_others(media: Controller) -> None:
    async with await RtpEndpoint.open("127.0.0.2") as phone:
        opened = await media.open("s")
        media.connect_to("s", phone)
        await media.synchronize()
        media.send(Close(stream="s"))
        await media.expect(Closed, stream="s")
        deadline = time.monotonic() + 2.0
        for port in (opened.port, opened.port + 1):
            while True:
                with contextlib.closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as other:
                    try:
                        other.bind(("127.0.0.1", port))
                        break
                    except OSError:
                        assert time.monotonic() < deadline, f"port {port} is still taken"
                await asyncio.sleep(0.01)


async def call(media: Controller, first: RtpEndpoint, second: RtpEndpoint) -> None:
    """Two phones, bridged, that talk."""
    opened = []
    for name, phone in (("a", first), ("b", second)):
        opened.append(await media.open(name, call="one"))
        media.connect_to(name, phone)
    media.send(Bridge(bridge="b", first="a", second="b"))
    await media.synchronize()
    for phone, answer in zip((first, second), opened, strict=True):
        phone.send_to((answer.address, answer.port))


def unbroken(numbers: list[int]) -> bool:
    return numbers == [(numbers[0] + step) & 0xFFFF for step in range(len(numbers))]


async def test_a_peer_that_was_away_is_spoken_to_again_without_a_gap(media: Controller) -> None:
    """Its host answered "port unreachable" meanwhile, which the socket tells with a later packet."""
    async with await RtpEndpoint.open("127.0.0.2") as first:
        second = await RtpEndpoint.open("127.0.0.3")
        await call(media, first, second)
        await second.until(10)
        address = (second.host, second.port)
        await second.close()
        await asyncio.sleep(0.3)
        with contextlib.closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as back:
            back.bind(address)
            back.setblocking(False)
            heard = [await asyncio.wait_for(asyncio.get_running_loop().sock_recv(back, 2048), 5.0) for _ in range(40)]
        assert unbroken([int.from_bytes(datagram[2:4], "big") for datagram in heard])


async def test_a_flood_on_one_port_costs_no_other_call_a_packet(media: Controller) -> None:
    async with await RtpEndpoint.open("127.0.0.2") as first, await RtpEndpoint.open("127.0.0.3") as second:
        await call(media, first, second)
        flooded = await media.open("flooded", call="one")
        flooder = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        flooder.bind(("127.0.0.4", 0))
        media.send(Connect(stream="flooded", remote_address="127.0.0.4", remote_port=flooder.getsockname()[1], codecs=[PCMU, EVENTS]))
        await media.synchronize()
        over = threading.Event()

        def flood() -> None:
            for number in range(1_000_000):
                if over.is_set():
                    return
                flooder.sendto(build_packet(0, number, 160 * number, 1, bytes(160)), ("127.0.0.1", flooded.port))

        thread = threading.Thread(target=flood)
        thread.start()
        try:
            for phone in (first, second):
                await phone.until(50, phone.mark())
        finally:
            over.set()
            await asyncio.to_thread(thread.join)
            flooder.close()
        for phone in (first, second):
            assert unbroken([packet.sequence for packet in phone.packets])
        media.send(Stats(stream="flooded"))
        stats = await media.expect(StreamStats, stream="flooded")
        assert stats.counters.packets_in + stats.counters.flooded > 500, "it was a flood"
