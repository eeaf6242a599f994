"""The client of the media worker, and a worker for it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from media.settings import MediaSettings
from media.worker_client import WorkerClient
from tests.unit.media.fake_worker import Events, FakeWorker, Make


@pytest.fixture
def socket_path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "media.sock"


@pytest.fixture
async def worker(socket_path: Path) -> AsyncIterator[FakeWorker]:
    socket_path.parent.mkdir()
    fake = FakeWorker(socket_path)
    await fake.listen()
    yield fake
    await fake.close()


@pytest.fixture
def events() -> Events:
    return Events()


@pytest.fixture
async def make(socket_path: Path, events: Events) -> AsyncIterator[Make]:
    made: list[WorkerClient] = []

    def build(**settings: object) -> WorkerClient:
        values = {"socket_path": str(socket_path), "worker_binary": "/nowhere/worker", "worker_stop_timeout_s": 0.5} | settings
        made.append(WorkerClient(MediaSettings.model_validate(values), events, "test"))
        return made[-1]

    yield build
    for client in made:
        await client.stop(shutdown_worker=True)
