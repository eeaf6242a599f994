"""Helper processes that answer one JSON line with one JSON line: decoding and speaking happen there, not in this process.

A child is a program of this package that stands alone. It is started when it is first needed, kept, and used again; one
that crashes, overruns its time or answers nonsense is killed, and the request fails with `ChildFailed`. It ends by itself
when its standard input does, so that nothing is left when this process is killed.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from pathlib import Path
from typing import Any

MAX_ANSWER_BYTES = 65_536
MAX_USES = 500  # a leak in a library stays small


class ChildFailed(Exception):
    """The child gave no answer: `detail` says what became of it."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


class ChildPool:
    """At most `size` children of one program.

    program: path of a Python file. It runs under this interpreter, without the working directory on its path (-P).
    """

    def __init__(self, program: Path, size: int) -> None:
        self._program = program
        self._free = asyncio.Semaphore(size)
        self._idle: list[_Child] = []
        self._all: set[_Child] = set()
        self._closed = False

    async def ask(self, request: dict[str, Any], timeout_s: float) -> dict[str, Any]:
        """Have one request answered. Waiting for a free child does not count against the time.

        Raises:
            ChildFailed: crash, time out, nonsense, or the pool is closed.
        """
        async with self._free:
            if self._closed:
                raise ChildFailed("closed")
            child = self._idle.pop() if self._idle else await self._spawn()
            try:
                answer = await child.ask(request, timeout_s)
            except BaseException:  # cancelled as well: it may still be at work
                await self._discard(child)
                raise
            if child.uses < MAX_USES and not self._closed:
                self._idle.append(child)
            else:
                await self._discard(child)
            return answer

    async def close(self) -> None:
        """End all children."""
        self._closed = True
        self._idle.clear()
        for child in list(self._all):
            await self._discard(child)

    async def _spawn(self) -> _Child:
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-P",
                str(self._program),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
                limit=MAX_ANSWER_BYTES,
                start_new_session=True,  # Ctrl-C is for us
            )
        except OSError as error:
            raise ChildFailed(f"cannot be started: {error.strerror or error}") from error
        child = _Child(process)
        self._all.add(child)
        return child

    async def _discard(self, child: _Child) -> None:
        self._all.discard(child)
        await child.end()


class _Child:
    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.uses = 0

    async def ask(self, request: dict[str, Any], timeout_s: float) -> dict[str, Any]:
        self.uses += 1
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            async with asyncio.timeout(timeout_s):
                self._process.stdin.write(json.dumps(request).encode() + b"\n")
                await self._process.stdin.drain()
                line = await self._process.stdout.readline()
                if not line:
                    status = await self._process.wait()
                    raise ChildFailed(f"ended by signal {-status}" if status < 0 else f"exited with status {status}")
        except TimeoutError:
            raise ChildFailed(f"no answer within {timeout_s:g} s") from None
        except (OSError, ValueError) as error:  # a broken pipe; a line without an end
            raise ChildFailed(str(error) or type(error).__name__) from error
        try:
            answer = json.loads(line)
        except ValueError as error:
            raise ChildFailed("answered nonsense") from error
        if not isinstance(answer, dict):
            raise ChildFailed("answered nonsense")
        return answer

    async def end(self) -> None:
        """Kill and reap. It holds nothing that needs a farewell."""
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        with contextlib.suppress(OSError):
            if self._process.stdin is not None:
                self._process.stdin.close()
        await asyncio.shield(self._process.wait())
