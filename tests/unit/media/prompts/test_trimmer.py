"""Trimming goes on behind whoever filled the cache, one run at a time."""

from __future__ import annotations

import asyncio
from threading import Semaphore

import pytest

from media.prompts.trimmer import Trimmer


class Trims:
    """What the thread does: it tells that it has begun, and goes on when it may."""

    def __init__(self, error: OSError | None = None) -> None:
        self.begun, self.may_go = Semaphore(0), Semaphore(0)
        self.runs: list[str] = []
        self._error = error

    def __call__(self) -> None:
        self.runs.append("begun")
        self.begun.release()
        assert self.may_go.acquire(timeout=10)
        self.runs.append("ended")
        if self._error is not None:
            raise self._error

    async def next_begins(self) -> None:
        assert await asyncio.to_thread(self.begun.acquire, timeout=10)


async def test_who_wakes_it_does_not_wait_and_runs_never_overlap() -> None:
    trims = Trims()
    trimmer = Trimmer("prompts", trims)
    for _ in range(5):
        trimmer.wake()
    await trims.next_begins()
    for _ in range(5):
        trimmer.wake()  # meanwhile: once more, not five times
    assert trims.runs == ["begun"]
    trims.may_go.release(2)
    await trims.next_begins()
    await trimmer.close()
    assert trims.runs == ["begun", "ended"] * 2


async def test_close_waits_for_the_run_and_begins_no_other() -> None:
    trims = Trims()
    trimmer = Trimmer("prompts", trims)
    trimmer.wake()
    await trims.next_begins()
    trimmer.wake()
    closing = asyncio.ensure_future(trimmer.close())
    await asyncio.sleep(0)
    assert not closing.done()
    trims.may_go.release(2)
    await closing
    assert trims.runs == ["begun", "ended"]


async def test_a_directory_that_fails_is_told_and_the_next_run_tried(caplog: pytest.LogCaptureFixture) -> None:
    trims = Trims(PermissionError("no"))
    trimmer = Trimmer("prompts", trims)
    for _ in range(2):
        trimmer.wake()
        await trims.next_begins()
        trims.may_go.release()
        await trimmer.close()
    assert [record.message for record in caplog.records] == ["audio_cache_not_trimmed"] * 2
