"""The next deadline of each call, and of all. Sans-I/O.

A heap with one live entry for each call; what was armed before stays in it until its time, and is passed over then.
"""

from __future__ import annotations

import heapq
from itertools import count


class Deadlines:
    """By the sid of a call, in monotonic seconds."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, str]] = []
        self._armed: dict[str, float] = {}
        self._turn = count()

    def __len__(self) -> int:
        return len(self._armed)

    def arm(self, sid: str, at: float | None) -> None:
        """None: there is none."""
        if at is None:
            self._armed.pop(sid, None)
        elif self._armed.get(sid) != at:
            self._armed[sid] = at
            heapq.heappush(self._heap, (at, next(self._turn), sid))

    def next_deadline(self) -> float | None:
        while self._heap and self._armed.get(self._heap[0][2]) != self._heap[0][0]:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def due(self, now: float) -> str | None:
        """Whose deadline has come, one at a time, the earliest first; it is armed no longer. None: nobody's."""
        at = self.next_deadline()
        if at is None or at > now:
            return None
        _, _, sid = heapq.heappop(self._heap)
        del self._armed[sid]
        return sid
