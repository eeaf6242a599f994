"""Fixtures of the tests with a running server, or with the media worker alone; `tests/conftest.py` takes them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:  # each takes a range of ports when it is imported, which a run of pure tests must not
    from tests.support.app import Application
    from tests.support.scene import Scene
    from tests.support.server import ServerProcess
    from tests.support.worker import Controller, Worker

# SIP transactions absorb repeated messages for up to 32 s after a call (timers D, H, J), and that is right.
LINGERING = ("sip_",)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """After each test it must be idle again; at the end it must be empty and stop politely."""
    from tests.support.server import ServerProcess, serving

    with serving(ServerProcess(tmp_path_factory.mktemp("server"))) as process:
        yield process
        process.wait_idle(timeout_s=40.0)


@pytest.fixture
async def app(server: ServerProcess) -> AsyncIterator[Application]:
    from tests.support.app import Application

    async with Application(port=server.app_port) as application:
        yield application


@pytest.fixture
async def scene(server: ServerProcess, app: Application, tmp_path: Path) -> AsyncIterator[Scene]:
    from tests.support.scene import Scene
    from tests.support.server import ServerFailed

    async with Scene(server, app, tmp_path) as scene:
        yield scene
        try:  # while the application is still there: no last callback may be lost to its end
            await asyncio.to_thread(server.wait_idle, 8.0, LINGERING)
        except ServerFailed:
            server.kill()  # so that what is wrong here does not spoil the tests that follow
            server.start()
            raise


@pytest.fixture
async def worker(tmp_path: Path) -> AsyncIterator[Worker]:
    """The real media worker."""
    from tests.support.worker import running

    async with running(tmp_path, "--threads", "2") as worker:
        yield worker


@pytest.fixture
async def media(worker: Worker) -> AsyncIterator[Controller]:
    """A controller that has said hello to it."""
    controller = await worker.controller()
    yield controller
    await controller.close()
