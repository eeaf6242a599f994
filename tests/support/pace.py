"""Whether this machine let everyone keep their time: measured, so that no test takes a stall of the machine for a fault.

Five measures, none of which a fault of the code under test can fake:

- The kernel counts for how long each thread of a watched process was ready to run and had to wait for a processor (`schedstat`). A
  worker that sleeps too long, or does too much, does not wait.
- The kernel counts for how long the host of a virtual machine kept a processor to itself (`steal`).
- A process that only sleeps says by how much it woke late (`sleeper.py`).
- A phone knows when each of its packets is due, and says by how much it left behind that time (`note`).
- What a phone receives carries the kernel's own time of arrival (`rtp.py`), so who reads late does not hear late.

A judgement that hangs on time stands in `judged_by_time`, or is made by `in_time`. There a failure that a stall has met is no verdict:
it is judged anew, and after a few times it is a failure after all. Whatever does not hang on time stands outside, and is judged once.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, TypeVar

from tests.support import sleeper

T = TypeVar("T")

LOOK_S = 0.01
# Less than this harms nobody, and is not kept.
LEAST_S = 0.004
# What a jitter buffer at its least (10 ms) takes as it is.
HARMLESS_S = 0.008
# How often a test is done at most, and a part of one within it.
TRIES = 5
PART_TRIES = 3
_RELIST_S = 0.25
# Stolen time is counted in ticks of 10 ms, which many small thefts add up to in the end; two within so short a time are one stall.
_STEAL_LOOK_S, _STEAL_TICKS = 0.05, 2


class HeldUp(AssertionError):
    """A judgement failed that hangs on time, and somebody was held up meanwhile: it says nothing. `held_up.py` has the test done anew."""


class Stall(NamedTuple):
    """Somebody did not run for so long, up to `at` (monotonic seconds, as the event loop has them)."""

    at: float
    seconds: float
    who: str

    def __str__(self) -> str:
        return f"{self.who} for {1000 * self.seconds:.0f} ms"


@dataclass(slots=True)
class _Process:
    """The threads of a watched process: an open `schedstat` of each, and how long it has waited so far."""

    name: str
    listed_at: float = 0.0
    threads: dict[int, tuple[int, int]] = field(default_factory=dict)  # by number: descriptor, nanoseconds


@dataclass(slots=True)
class Pace:
    """What was measured in this process of tests."""

    stalls: deque[Stall] = field(default_factory=lambda: deque(maxlen=20_000))
    _watched: dict[int, _Process] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _thread: threading.Thread | None = None
    _began: float = 0.0
    _stolen: int = 0
    _steal_looked_at: float = 0.0

    # --- who is looked at -------------------------------------------------------------------------------------------

    def watch(self, pid: int, name: str) -> None:
        """Measure the threads of a process until `forget`, or until it is gone."""
        with self._lock:
            self._watched[pid] = _Process(name)
            self._list(pid, self._watched[pid], time.monotonic())
            if self._thread is None:
                self._thread = threading.Thread(target=self._look, name="pace", daemon=True)
                self._thread.start()
                threading.Thread(target=self._hear_sleeper, name="sleeper", daemon=True).start()

    def forget(self, pid: int) -> None:
        with self._lock:
            process = self._watched.pop(pid, None)
            if process is not None:
                self._measure(process, time.monotonic())
                _close(process)

    def note(self, seconds: float, who: str) -> None:
        """Somebody was so late."""
        if seconds > LEAST_S:
            with self._lock:
                self.stalls.append(Stall(time.monotonic(), seconds, who))

    # --- what is asked ----------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """A test begins: what was before is none of its affair."""
        with self._lock:
            self._began = time.monotonic()
            self.stalls.clear()

    def within(self, since: float | None = None, until: float | None = None) -> list[Stall]:
        """The stalls that ended in that time; from the beginning of the test and up to now by default."""
        self.look()
        begun = self._began if since is None else since
        with self._lock:
            every = list(self.stalls)
        return [stall for stall in every if stall.at >= begun and (until is None or stall.at - stall.seconds <= until)]

    def worst(self, since: float | None = None, until: float | None = None) -> float:
        """The longest of them, in seconds; 0 for none."""
        return max((stall.seconds for stall in self.within(since, until)), default=0.0)

    def allowance(self, since: float | None = None, until: float | None = None) -> float:
        """By how much a time may be off for the stalls in it: the longest of each who was held up, one after the other."""
        longest: dict[str, float] = {}
        for stall in self.within(since, until):
            longest[stall.who] = max(longest.get(stall.who, 0.0), stall.seconds)
        return sum(longest.values())

    def told(self, since: float | None = None) -> str:
        """For a failure's text."""
        found = sorted(self.within(since), key=lambda stall: -stall.seconds)
        if not found:
            return "the machine held nobody up"
        return f"the machine held up {', '.join(str(stall) for stall in found[:3])}, {len(found)} times in all"

    # --- looking ----------------------------------------------------------------------------------------------------

    def look(self) -> None:
        """Measure now."""
        now = time.monotonic()
        with self._lock:
            for pid, process in list(self._watched.items()):
                if now - process.listed_at > _RELIST_S and not self._list(pid, process, now):
                    del self._watched[pid]
                self._measure(process, now)
            if self._watched and now - self._steal_looked_at > _STEAL_LOOK_S:
                stolen, recent = _steal_ticks(), now - self._steal_looked_at < 4 * _STEAL_LOOK_S
                if recent and stolen - self._stolen >= _STEAL_TICKS:
                    self.stalls.append(Stall(now, (stolen - self._stolen) / os.sysconf("SC_CLK_TCK"), "everybody"))
                self._stolen, self._steal_looked_at = stolen, now

    def _hear_sleeper(self) -> None:
        for late_s in sleeper.stalls(LEAST_S):
            self.note(late_s, "a sleeper")

    def _look(self) -> None:
        while True:
            time.sleep(LOOK_S)
            self.look()

    def _list(self, pid: int, process: _Process, now: float) -> bool:
        """Find new threads. False when the process is gone."""
        process.listed_at = now
        try:
            numbers = {int(name) for name in os.listdir(f"/proc/{pid}/task")}
        except FileNotFoundError:
            _close(process)
            return False
        for number in numbers - process.threads.keys():
            with contextlib.suppress(OSError):  # it is gone already, or this kernel does not count
                descriptor = os.open(f"/proc/{pid}/task/{number}/schedstat", os.O_RDONLY | os.O_CLOEXEC)
                process.threads[number] = (descriptor, _waited(descriptor))
        return True

    def _measure(self, process: _Process, now: float) -> None:
        for number, (descriptor, before) in list(process.threads.items()):
            try:
                waited = _waited(descriptor)
            except OSError:
                os.close(descriptor)
                del process.threads[number]
                continue
            if waited - before > LEAST_S * 1e9:
                self.stalls.append(Stall(now, (waited - before) / 1e9, process.name))
            process.threads[number] = (descriptor, waited)


def _waited(schedstat: int) -> int:
    """Nanoseconds that a thread was ready and did not run. Source: proc(5), `schedstat`: time on the processor, time waiting, turns."""
    return int(os.pread(schedstat, 100, 0).split()[1])


def _steal_ticks() -> int:
    """How long the host kept this machine's processors to itself. Source: proc(5), `stat`: the eighth time of the first line."""
    with open("/proc/stat", encoding="ascii") as file:
        return int(file.readline().split()[8])


def _close(process: _Process) -> None:
    for descriptor, _ in process.threads.values():
        os.close(descriptor)
    process.threads.clear()


def counts_waiting() -> bool:
    """Whether this kernel counts for how long threads wait (CONFIG_SCHED_INFO, which distributions have)."""
    return Path("/proc/self/schedstat").exists()


PACE = Pace()


# --- judging ------------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def judged_by_time(since: float | None = None, *, allowed_s: float = HARMLESS_S, pace: Pace = PACE) -> Iterator[None]:
    """What is asserted in the block hangs on time. since: when that began (monotonic seconds), by default with the test.

    Raises:
        HeldUp: an assertion failed, and somebody was held up for longer than `allowed_s` meanwhile.
        AssertionError: it failed, and nobody was.
    """
    try:
        yield
    except HeldUp:
        raise
    except AssertionError as error:
        if pace.worst(since) > allowed_s:
            raise HeldUp(f"{error}\n({pace.told(since)})") from error
        raise


async def in_time(
    attempt: Callable[[], Awaitable[T]],
    *,
    allowed_s: float = HARMLESS_S,
    tries: int = PART_TRIES,
    rest_s: float = 0.0,
    memory_s: float = 0.0,
    pace: Pace = PACE,
) -> T:
    """What `attempt` gives: made again, after a rest that grows, while it fails and somebody was held up for longer than `allowed_s`.

    memory_s: for how long what was before still tells, as in a jitter buffer.

    Raises:
        HeldUp: somebody was, as often as it was tried.
        AssertionError: it failed although nobody was.
    """
    for number in range(1, tries + 1):
        began = time.monotonic() - memory_s
        try:
            return await attempt()
        except AssertionError as error:
            text = f"{error}\n(try {number} of {tries}; {pace.told(began)})"
            if pace.worst(began) <= allowed_s:
                raise AssertionError(text) from error
            if number == tries:
                raise HeldUp(text) from error
            await asyncio.sleep(number * rest_s)
    raise AssertionError("nothing was tried")
