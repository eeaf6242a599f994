"""The timers of RFC 3261 and the one agenda that all deadlines of an endpoint stand in.

A machine keeps its own deadlines; the agenda holds at most one heap entry per machine that counts, namely for the earliest
moment at which the machine might have something to do. Moving a deadline to a later time costs nothing: the entry comes up,
is seen to be early, and is put back. So a call whose transactions all end well before their timers pays one heap push for each.
"""

from __future__ import annotations

import enum
import heapq
from dataclasses import dataclass
from itertools import count
from typing import Protocol


class Timer(enum.Enum):
    """RFC 3261 table 4 and RFC 6026 8.6."""

    A = "A"  # INVITE request retransmission, UDP only
    B = "B"  # INVITE transaction timeout
    D = "D"  # wait for response retransmissions
    E = "E"  # non-INVITE request retransmission, UDP only
    F = "F"  # non-INVITE transaction timeout
    G = "G"  # INVITE response retransmission, UDP only
    H = "H"  # wait for the ACK
    I = "I"  # wait for ACK retransmissions  # noqa: E741
    J = "J"  # wait for non-INVITE request retransmissions
    K = "K"  # wait for response retransmissions
    L = "L"  # wait for accepted INVITE request retransmissions (RFC 6026)
    M = "M"  # wait for retransmissions of 2xx to INVITE, or of other forks (RFC 6026)


@dataclass(frozen=True, slots=True)
class Times:
    """The values that the timers are made of, in seconds."""

    t1: float = 0.5
    t2: float = 4.0
    t4: float = 5.0
    d: float = 32.0

    @property
    def timeout(self) -> float:
        """64*T1: timers B, F, H, J, L, M, and the patience of 9.1 and 13.3.1.4."""
        return 64 * self.t1


class Timed(Protocol):
    """What the agenda can hold. `armed_at` belongs to the agenda; a fresh object starts with None."""

    armed_at: float | None

    def deadline(self) -> float | None:
        """When there is something to do next; None for never."""

    def expire(self, now: float) -> None:
        """Do what is due. The agenda arms the object again by itself afterwards."""


class Agenda:
    """A heap of (when, tie-breaker, object) with entries that may be early or stale, never late."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Timed]] = []
        self._serial = count()

    def arm(self, item: Timed) -> None:
        """To be called whenever a deadline of the object may have moved to an earlier time."""
        at = item.deadline()
        if at is not None and (item.armed_at is None or at < item.armed_at):
            item.armed_at = at
            heapq.heappush(self._heap, (at, next(self._serial), item))

    def next_deadline(self) -> float | None:
        """Exact: the earliest deadline of any armed object."""
        heap = self._heap
        while heap:
            at, _, item = heap[0]
            if item.armed_at == at:
                wanted = item.deadline()
                if wanted == at:
                    return at
                heapq.heappop(heap)
                item.armed_at = None
                self.arm(item)
            else:
                heapq.heappop(heap)
        return None

    def expire(self, now: float) -> None:
        """Let every object whose deadline has come do its work, in the order of the deadlines."""
        while (at := self.next_deadline()) is not None and at <= now:
            item = heapq.heappop(self._heap)[2]
            item.armed_at = None
            item.expire(now)
            self.arm(item)

    def live(self) -> int:
        """How many objects wait for a deadline (not how many entries the heap has)."""
        return sum(1 for at, _, item in self._heap if item.armed_at == at and item.deadline() is not None)
