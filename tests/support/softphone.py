"""What the softphones of the tests have in common: a process that starts with the block, is listened to, and ends with it."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from typing import Self

from tests.support.pace import PACE


class Softphone(ABC):
    """`output`: all that the process has printed. A subclass starts it with both of its outputs in one pipe."""

    output: str
    _process: asyncio.subprocess.Process | None
    _reader: asyncio.Task[None] | None

    async def __aenter__(self) -> Self:
        try:
            await self.start()
        except BaseException:
            await self.stop()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    @abstractmethod
    async def start(self) -> None:
        """Raises when it does not come up."""

    @abstractmethod
    async def stop(self) -> None:
        """End it in any case; what it heard is complete then."""

    @property
    def ended(self) -> bool:
        return self._process is not None and self._process.returncode is not None

    def listen_to(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        PACE.watch(process.pid, "a softphone")
        self._reader = asyncio.create_task(self._read(process))

    async def leave(self) -> None:
        """Wait until the process, which was told to end, is gone; kill it when it takes long."""
        if self._process is not None:
            try:
                await asyncio.wait_for(self._process.wait(), 5.0)
            except TimeoutError:
                self._process.kill()
                await self._process.wait()
        if self._reader is not None:
            await self._reader

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        if process.stdout is not None:
            while part := await process.stdout.read(4096):
                self.output += part.decode(errors="replace")
