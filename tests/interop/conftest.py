"""The real media worker, and a controller that has said hello, for the tests that need no other."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.worker import Controller, Worker, running


@pytest.fixture
async def worker(tmp_path: Path) -> AsyncIterator[Worker]:
    async with running(tmp_path, "--threads", "2") as worker:
        yield worker


@pytest.fixture
async def media(worker: Worker) -> AsyncIterator[Controller]:
    controller = await worker.controller()
    yield controller
    await controller.close()
