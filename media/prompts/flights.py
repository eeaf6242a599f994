"""One flight for all who want the same thing at the same time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Flights(Generic[T]):
    """Tasks by key. Owns them: `close` ends all."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._tasks: dict[str, asyncio.Task[T]] = {}

    async def share(self, key: str, begin: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """The result of the flight under `key`, begun now unless it is under way.

        A caller that is cancelled leaves the flight to the others, and to the cache it fills.
        """
        task = self._tasks.get(key)
        if task is None:
            task = asyncio.create_task(begin(), name=self._name)
            self._tasks[key] = task
            task.add_done_callback(lambda done: self._landed(key, done))
        return await asyncio.shield(task)

    async def close(self) -> None:
        """Cancel what is under way and wait until it has cleaned up."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    def _landed(self, key: str, task: asyncio.Task[T]) -> None:
        del self._tasks[key]
        if not task.cancelled():
            task.exception()  # seen, even when nobody waits any more
