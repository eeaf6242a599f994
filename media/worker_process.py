"""The media worker's program: where it is, how it is started, what it says, and that it ends.

It is started in a session of its own, so that Ctrl-C in a terminal reaches us and not it: calls are ended first. It is a
plain `subprocess.Popen` because asyncio's kills its child when the loop goes, and a worker may outlive us.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import logging
import os
import shutil
import signal
import socket
import stat
import struct
import subprocess
import sys
from collections import deque
from pathlib import Path

from media.errors import WorkerUnavailable
from media.settings import MediaSettings

log = logging.getLogger(__name__)
worker_log = logging.getLogger("media.worker")  # what the program itself says

PROGRAM = "dialplane-media"
TERMINATE_S = 1.0
POLL_S = 0.01  # how often a child is looked at while we wait for its end
LAST_WORDS_S = 0.2

# how its lines begin; anything else (a panic's text) is taken as information
_LEVELS = {"level=debug": logging.DEBUG, "level=info": logging.INFO, "level=warning": logging.WARNING, "level=error": logging.ERROR}


class WorkerProcess:
    """A started worker: its process, and its words on standard error, line by line into the log."""

    def __init__(self, command: list[str]) -> None:
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            close_fds=True,
            umask=0o077,  # recordings are for our user alone
        )
        self._lines: deque[str] = deque(maxlen=3)
        self._listener = asyncio.create_task(self._listen(), name="media-worker-log")

    @property
    def pid(self) -> int:
        return self._process.pid

    def poll(self) -> int | None:
        """The exit status, None while it runs. Reaps it."""
        return self._process.poll()

    def last_words(self) -> str:
        return f" ({' / '.join(self._lines)})" if self._lines else ""

    async def wait(self, timeout_s: float) -> int | None:
        """The exit status, None when it still runs after `timeout_s`."""
        for _ in range(max(1, round(timeout_s / POLL_S))):
            if (status := self._process.poll()) is not None:
                return status
            await asyncio.sleep(POLL_S)
        return self._process.poll()

    async def end(self, patience_s: float, terminate_s: float) -> None:
        """See to it that it has exited: SIGTERM after `patience_s`, SIGKILL `terminate_s` later."""
        if await self.wait(patience_s) is None:
            self._process.terminate()
            if await self.wait(terminate_s) is None:
                log.warning("media_worker_killed", extra={"pid": self.pid})
                self._process.kill()
                await self.wait(TERMINATE_S)

    async def close(self) -> None:
        """Hear its last words and stop listening. A process that still runs goes on without us."""
        if self._process.poll() is None:
            self._process.returncode = 0  # left on purpose: no warning at collection, and never a signal to its number
        else:
            await asyncio.wait([self._listener], timeout=LAST_WORDS_S)
        self._listener.cancel()
        await asyncio.wait([self._listener])

    async def _listen(self) -> None:
        assert self._process.stdout is not None
        reader = asyncio.StreamReader(limit=65536)
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), self._process.stdout
        )
        rest = b""
        try:
            while chunk := await reader.read(4096):
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    self._say(line)
                if len(rest) > 4096:  # a line without an end
                    self._say(rest)
                    rest = b""
            self._say(rest)
        finally:
            transport.close()

    def _say(self, line: bytes) -> None:
        text = line.decode("utf-8", "replace").strip()
        if text:
            self._lines.append(text[:500])
            level = _LEVELS.get(text.partition(" ")[0], logging.INFO)
            worker_log.log(level, "worker_says", extra={"pid": self.pid, "line": text[:2000]})


def find_worker(settings: MediaSettings) -> str:
    """The worker's program: the setting, or beside the interpreter, on PATH, in the source tree.

    Raises:
        WorkerUnavailable: none is there.
    """
    if settings.worker_binary:
        found = shutil.which(settings.worker_binary)
        if found is None:
            raise WorkerUnavailable(f"media.worker_binary {settings.worker_binary} is no program")
        return found
    beside = Path(sys.executable).parent / PROGRAM
    in_tree = Path(__file__).parent / "worker" / "target" / "release" / PROGRAM
    for candidate in (str(beside), PROGRAM, str(in_tree)):
        if found := shutil.which(candidate):
            return found
    raise WorkerUnavailable(f"{PROGRAM} is neither beside {sys.executable}, nor on PATH, nor at {in_tree}; set media.worker_binary")


def worker_arguments(settings: MediaSettings) -> list[str]:
    """The program's command line."""
    return [
        *("--socket", settings.socket_path),
        *("--port-min", str(settings.port_min)),
        *("--port-max", str(settings.port_max)),
        *("--threads", str(settings.worker_threads)),
        *("--io", settings.worker_io),
        *("--idle-exit", str(settings.worker_idle_exit_s)),
        *("--dscp", str(settings.dscp)),
        *("--prompt-cache-mib", str(settings.worker_prompt_cache_mib)),
        *("--record-buffer-mib", str(settings.worker_record_buffer_mib)),
        *("--mix-members", str(settings.worker_mix_members)),
        *("--max-packets-per-second", str(settings.worker_max_packets_per_second)),
        *("--forward", settings.worker_forward),
        *("--log-level", settings.worker_log_level),
    ]


def take_lock(path: str) -> int:
    """Lock the socket's path for this process. The kernel releases it when the process ends, however it does.

    Raises:
        WorkerUnavailable: another process holds it, or its directory cannot be written.
    """
    try:
        Path(path).parent.mkdir(mode=0o750, parents=True, exist_ok=True)
        lock = os.open(f"{path}.controller", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise WorkerUnavailable(f"{path}.controller: {error.strerror or error}") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(lock)
        raise WorkerUnavailable(f"another control process uses {path}; give this one a state directory of its own") from error
    return lock


def remove_stale_socket(path: str) -> None:
    """Clear the way for a new worker; only ever a socket, on which nobody listened a moment ago."""
    with contextlib.suppress(FileNotFoundError):
        if stat.S_ISSOCK(os.stat(path).st_mode):
            os.unlink(path)


def peer_pid(writer: asyncio.StreamWriter) -> int:
    """The process at the other end of the Unix socket, as the kernel knows it; 0 when it does not say."""
    peer: socket.socket = writer.get_extra_info("socket")
    option = getattr(socket, "SO_PEERCRED", None)  # Linux
    if option is None:
        return 0
    try:
        pid, _, _ = struct.unpack("3i", peer.getsockopt(socket.SOL_SOCKET, option, struct.calcsize("3i")))
    except OSError as error:
        if error.errno not in (errno.ENOPROTOOPT, errno.ENOTCONN, errno.EBADF):
            raise
        return 0
    return int(pid)


def describe_exit(status: int) -> str:
    if status < 0:
        try:
            return f"was ended by {signal.Signals(-status).name}"
        except ValueError:
            return f"was ended by signal {-status}"
    return f"exited with status {status}"
