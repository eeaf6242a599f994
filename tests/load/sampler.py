"""Runs dialplane under a sampler of its main thread's CPU time: `python -m tests.load.sampler FILE run --config ...`.

Where the time goes is asked of the program itself: a timer on the thread's own CPU clock interrupts it, and the CPU time since the last
interruption is put down to what the thread is in the middle of. So waiting counts nothing, time inside the kernel and inside C is
counted, and the sums are those of the clock. `BEGIN` (a signal) forgets what was counted, `END` writes FILE: a JSON object with
`seconds` by subsystem, `threads` (seconds of every thread by its name), `collections`, `longest_ms` and `collected` (objects) of the cyclic
collector.

A moment belongs to the innermost frame whose file has a place in `PLACES`; files that have none (the standard library, helpers) belong
to whoever called them. Time inside a loop that is written in C belongs to the first frame that it calls then. Nothing of this is in the
server: only the benchmark starts it this way.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import json
import signal
import sys
import threading
import time
from collections import defaultdict
from pathlib import Path
from types import CodeType, FrameType

BEGIN, END = signal.SIGRTMIN + 8, signal.SIGRTMIN + 9
INTERVAL_S = 0.001
EVENT_LOOP, OTHER, COLLECTOR = "event loop", "other", "cyclic collector"
# By a part of the file's path, the first that fits.
PLACES = (
    ("/sip/message/", "sip: parse and build"),
    ("/sip/core/", "sip: core"),
    ("/sip/transport/", "driver and udp"),
    ("/media/sdp/", "sdp"),
    ("/rcml/", "rcml"),
    ("/lxml/", "rcml"),
    ("/media/worker", "worker protocol"),
    ("/media/engine", "worker protocol"),
    ("/server/calls/", "call control"),
    ("/server/routing", "call control"),
    ("/server/app.py", "shell"),
    ("/server/applications/", "http client"),
    ("/aiohttp/", "http client"),
    ("/yarl/", "http client"),
    ("/multidict/", "http client"),
    ("/server/timeline/", "timeline and redaction"),
    ("/server/observability/redaction", "timeline and redaction"),
    ("/server/observability/clock", "timeline and redaction"),
    ("/server/observability/metrics", "metrics"),
    ("/prometheus_client/", "metrics"),
    ("/server/observability/logs", "log"),
    ("/logging/", "log"),
    ("/server/storage/", "storage"),
    ("/sqlalchemy/", "storage"),
    ("/aiosqlite/", "storage"),
    ("/asyncpg/", "storage"),
    ("/alembic/", "storage"),
    ("/server/", OTHER),
    ("/media/", OTHER),
)


def place(path: str) -> str:
    """What a file belongs to; empty when its callers decide."""
    return next((name for part, name in PLACES if part in path), "")


class Sampler:
    """One for the process; everything happens in its main thread."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._on = False
        self._places: dict[CodeType, str] = {}
        self._seconds: defaultdict[str, float] = defaultdict(float)
        self._before: dict[str, float] = {}
        self._collections: list[tuple[int, float]] = []  # what it collected, and in how many seconds
        self._last = self._collecting_since = 0.0

    def install(self) -> None:
        for number, handler in ((signal.SIGPROF, self._sample), (BEGIN, self._begin), (END, self._end)):
            signal.signal(number, handler)
        gc.callbacks.append(self._collector)
        _start_timer(INTERVAL_S)

    def _sample(self, number: int, frame: FrameType | None) -> None:
        if not self._on:
            return
        now = time.thread_time()
        spent, self._last = now - self._last, now
        while frame is not None:
            code = frame.f_code
            name = self._places.get(code)
            if name is None:
                name = self._places[code] = COLLECTOR if code is Sampler._collector.__code__ else place(code.co_filename)
            if name:
                self._seconds[name] += spent
                return
            frame = frame.f_back
        self._seconds[EVENT_LOOP] += spent

    def _collector(self, phase: str, info: dict[str, int]) -> None:
        if phase == "start":
            self._collecting_since = time.perf_counter()
        elif self._on:
            self._collections.append((info["collected"], time.perf_counter() - self._collecting_since))

    def _begin(self, number: int, frame: FrameType | None) -> None:
        self._seconds.clear()
        self._collections.clear()
        self._before = _threads()
        self._last = time.thread_time()
        self._on = True

    def _end(self, number: int, frame: FrameType | None) -> None:
        self._on = False
        found = {
            "seconds": dict(self._seconds),
            "threads": {name: used - self._before.get(name, 0.0) for name, used in _threads().items()},
            "collections": len(self._collections),
            "collected": sum(count for count, _ in self._collections),
            "longest_ms": max((1000 * took for _, took in self._collections), default=0.0),
        }
        beside = self._file.with_suffix(".new")
        beside.write_text(json.dumps(found))
        beside.replace(self._file)


def _threads() -> dict[str, float]:
    """CPU seconds of each thread, by its name."""
    names = {thread.native_id: thread.name for thread in threading.enumerate()}
    used: defaultdict[str, float] = defaultdict(float)
    for task in Path("/proc/self/task").iterdir():
        with contextlib.suppress(OSError):
            used[names.get(int(task.name), "native")] += int((task / "schedstat").read_text().split()[0]) / 1e9
    return dict(used)


class _Event(ctypes.Structure):
    """struct sigevent with the number of a thread, see sigevent(3type)."""

    _fields_ = (
        ("value", ctypes.c_void_p),
        ("signal", ctypes.c_int),
        ("notify", ctypes.c_int),
        ("thread", ctypes.c_int),
        ("rest", ctypes.c_byte * 44),
    )


class _Times(ctypes.Structure):
    """struct itimerspec: the interval and the first time, each in seconds and nanoseconds."""

    _fields_ = tuple((name, ctypes.c_long) for name in ("interval_s", "interval_ns", "first_s", "first_ns"))


def _start_timer(interval_s: float) -> None:
    """SIGPROF to this thread each time that it has used so much CPU (timer_create(2)); other threads do not count."""
    libc = ctypes.CDLL(None, use_errno=True)
    thread_cpu_clock, to_one_thread = 3, 4
    event = _Event(signal=signal.SIGPROF, notify=to_one_thread, thread=threading.get_native_id())
    timer = ctypes.c_void_p()
    ns = int(interval_s * 1e9)
    if libc.timer_create(thread_cpu_clock, ctypes.byref(event), ctypes.byref(timer)) != 0:
        raise OSError(ctypes.get_errno(), "timer_create")
    if libc.timer_settime(timer, 0, ctypes.byref(_Times(0, ns, 0, ns)), None) != 0:
        raise OSError(ctypes.get_errno(), "timer_settime")


def main() -> int:
    from server.cli.main import main as dialplane

    sampler = Sampler(Path(sys.argv[1]))
    sampler.install()
    return dialplane(sys.argv[2:])


if __name__ == "__main__":
    raise SystemExit(main())
