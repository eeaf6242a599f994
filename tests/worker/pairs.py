"""Two phones on two bridged streams of the worker, packets for them, and the program itself."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from media.engine import (
    Bridge,
    Codec,
    Opened,
)
from tests.support.rtp import RtpEndpoint, build_packet
from tests.support.worker import IO, PROGRAM, Controller, Worker, running


@pytest.fixture(params=[IO, "epoll"])
async def either_worker(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Worker]:
    """What is tested with it holds with either way of waiting for sockets; `auto` is io_uring where the kernel allows it."""
    async with running(tmp_path, "--threads", "2", "--io", request.param) as worker:
        yield worker


class Pair:
    """Two phones on two streams of the worker, bridged."""

    def __init__(self, media: Controller, alice: RtpEndpoint, bob: RtpEndpoint, to_alice: Opened, to_bob: Opened) -> None:
        self.media, self.alice, self.bob = media, alice, bob
        self.to_alice, self.to_bob = to_alice, to_bob


async def bridged(
    media: Controller, alice: RtpEndpoint, bob: RtpEndpoint, a: list[Codec] | None = None, b: list[Codec] | None = None
) -> Pair:
    """Streams "a" and "b", bridge "ab"; both phones talk (silence, until they are told what)."""
    to_alice = await media.open("a", call="CA", address="::1" if ":" in alice.host else "127.0.0.1")
    to_bob = await media.open("b", call="CA", address="::1" if ":" in bob.host else "127.0.0.1")
    media.connect_to("a", alice, a)
    media.connect_to("b", bob, b)
    media.send(Bridge(bridge="ab", first="a", second="b"))
    await media.synchronize()
    alice.send_to((to_alice.address, to_alice.port))
    bob.send_to((to_bob.address, to_bob.port))
    return Pair(media, alice, bob, to_alice, to_bob)


def rtp(sequence: int, payload_type: int = 0, ssrc: int = 1, fill: int = 0x55) -> bytes:
    return build_packet(payload_type, sequence, 160 * sequence, ssrc, bytes([fill]) * 160)


async def quiet(media: Controller, phone: RtpEndpoint) -> None:
    """A phone of a bridge falls silent, and what it said has arrived."""
    phone.mute()
    await asyncio.sleep(0.1)
    await media.settled("a", "b")
    await asyncio.sleep(0.05)


def run_program(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([PROGRAM, *arguments], capture_output=True, text=True, timeout=10, check=False)
