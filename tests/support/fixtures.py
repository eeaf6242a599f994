"""Fixtures of the tests with a running server, or with the media worker alone; `tests/conftest.py` takes them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.support import ports
from tests.support.app import Application
from tests.support.phones import Phones, bridged_phones
from tests.support.rtp import RtpEndpoint
from tests.support.scene import Scene
from tests.support.server import ServerFailed, ServerProcess, serving
from tests.support.worker import Controller, Worker, running

# SIP transactions absorb repeated messages for up to 32 s after a call (timers D, H, J), and that is right.
LINGERING = ("sip_",)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """After each test it must be idle again; at the end it must be empty and stop politely."""
    with serving(ServerProcess(tmp_path_factory.mktemp("server"))) as process:
        yield process
        process.wait_idle(timeout_s=40.0)


@pytest.fixture
async def app(server: ServerProcess) -> AsyncIterator[Application]:
    async with Application(port=server.app_port) as application:
        yield application


@pytest.fixture
async def scene(server: ServerProcess, app: Application, tmp_path: Path) -> AsyncIterator[Scene]:
    async with Scene(server, app, tmp_path) as scene:
        yield scene
        try:  # while the application is still there: no last callback may be lost to its end
            await asyncio.to_thread(server.wait_idle, 8.0, LINGERING)
        except ServerFailed:
            server.kill()  # so that what is wrong here does not spoil the tests that follow
            server.start()
            raise


@pytest.fixture
def own_server(tmp_path: Path) -> ServerProcess:
    """Not started yet. A module that needs it otherwise has one of its own."""
    return ServerProcess(tmp_path / "server", rtp_ports=ports.OWN_SERVER)


@pytest.fixture
async def own(own_server: ServerProcess, tmp_path: Path) -> AsyncIterator[Scene]:
    """A scene with a server of its own, which the test may reload, stop, break or kill."""
    await asyncio.to_thread(own_server.start)
    try:
        async with Application(port=own_server.app_port) as app, Scene(own_server, app, tmp_path) as scene:
            yield scene
    finally:
        if own_server.process.poll() is None:
            own_server.kill()


@pytest.fixture
async def worker(tmp_path: Path) -> AsyncIterator[Worker]:
    """The real media worker."""
    async with running(tmp_path, "--threads", "2") as worker:
        yield worker


@pytest.fixture
async def media(worker: Worker) -> AsyncIterator[Controller]:
    """A controller that has said hello to it."""
    controller = await worker.controller()
    yield controller
    await controller.close()


@pytest.fixture
async def phones(media: Controller) -> AsyncIterator[Phones]:
    """Two phones whose call it bridges."""
    async with bridged_phones(media) as phones:
        yield phones


@pytest.fixture
async def alice() -> AsyncIterator[RtpEndpoint]:
    """A phone that is on no stream yet."""
    async with await RtpEndpoint.open("127.0.0.2") as phone:
        yield phone


@pytest.fixture
async def bob() -> AsyncIterator[RtpEndpoint]:
    """Another one."""
    async with await RtpEndpoint.open("127.0.0.3") as phone:
        yield phone
