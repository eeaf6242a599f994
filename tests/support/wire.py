"""A network in virtual time: what is sent comes out later, not at all, twice, or out of order, all from one seed."""

from __future__ import annotations

import heapq
import random
from itertools import count

from sip.core.flows import Flow


def mirrored(flow: Flow) -> Flow:
    """The same flow as its other end sees it."""
    return Flow(flow.transport, flow.remote, flow.local, flow.connection)


class Wire:
    """Carries octets between addresses.

    loss, duplicate, reorder: probabilities for each datagram; a reordered one is held back by up to `reorder_by` further seconds.
    delay: seconds, or (least, most) to draw from.
    Streams (`flow.reliable`) lose nothing and keep their order; only the delay applies.

    The rhythm is that of everything here: `send(now, flow, data)` with the sender's flow, then `due(now)` gives what has
    arrived as (flow as the receiver sees it, data); `next_deadline()` says when to look again.
    """

    def __init__(
        self,
        seed: int,
        loss: float = 0.0,
        duplicate: float = 0.0,
        delay: float | tuple[float, float] = 0.01,
        reorder: float = 0.0,
        reorder_by: float = 0.7,
    ) -> None:
        self._random = random.Random(seed)
        self.loss, self.duplicate, self.reorder, self.reorder_by = loss, duplicate, reorder, reorder_by
        self._delay = delay if isinstance(delay, tuple) else (delay, delay)
        self._heap: list[tuple[float, int, Flow, bytes]] = []
        self._serial = count()
        self._stream_at: dict[Flow, float] = {}
        self.sent = self.lost = 0

    def send(self, now: float, flow: Flow, data: bytes) -> None:
        self.sent += 1
        if flow.reliable:
            at = self._stream_at[flow] = max(now + self._random.uniform(*self._delay), self._stream_at.get(flow, 0.0))
            self._push(at, flow, data)
            return
        copies = 2 if self._random.random() < self.duplicate else 1
        for _ in range(copies):
            if self._random.random() < self.loss:
                self.lost += 1
                continue
            at = now + self._random.uniform(*self._delay)
            if self._random.random() < self.reorder:
                at += self._random.uniform(0, self.reorder_by)
            self._push(at, flow, data)

    def due(self, now: float) -> list[tuple[Flow, bytes]]:
        arrived = []
        while self._heap and self._heap[0][0] <= now:
            _, _, flow, data = heapq.heappop(self._heap)
            arrived.append((mirrored(flow), data))
        return arrived

    def next_deadline(self) -> float | None:
        return self._heap[0][0] if self._heap else None

    def _push(self, at: float, flow: Flow, data: bytes) -> None:
        heapq.heappush(self._heap, (at, next(self._serial), flow, data))
