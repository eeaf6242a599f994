"""A cache is trimmed behind the backs of its users: nobody waits until the files of others are looked through and deleted."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

log = logging.getLogger(__name__)


class Trimmer:
    """Owns the one task that trims. trim: blocks, so it runs in a thread.

    What is kept while it trims is looked at once more, however many files that were.
    """

    def __init__(self, name: str, trim: Callable[[], None]) -> None:
        self._name = name
        self._trim = trim
        self._due = False
        self._task: asyncio.Task[None] | None = None

    def wake(self) -> None:
        """Something has been kept. Inside the running loop."""
        self._due = True
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name=self._name)

    async def close(self) -> None:
        """Wait for what is under way: a thread cannot be cancelled, and it takes moments."""
        self._due = False
        if self._task is not None:
            await self._task

    async def _run(self) -> None:
        try:
            while self._due:
                self._due = False
                await asyncio.to_thread(self._trim)
        except OSError as error:
            log.warning("audio_cache_not_trimmed", extra={"cache": self._name, "error": str(error)})
        finally:
            self._task = None
