"""Events on their way to applications: in the order of their call, tried again on a schedule, each under one id. Pure.

Of the events of one call only the first that is not delivered is tried; the next waits until that is delivered or given up. What a
receiver has not acknowledged with 2xx is tried again after the waits of `http.event_retries_s`, longer when it asks for that
(`Retry-After`). 410 ends all events to that URL. What waits is bounded.
"""

from __future__ import annotations

import enum
import heapq
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from server.calls.effects import Parameters

GONE = 410
SLOW_DOWN = (429, 502, 503, 504)
LONGEST_WAIT_S = 86400.0
GONE_URLS_MOST = 1000
JITTER = 0.1  # of a wait, at most


class State(enum.Enum):
    WAITS = "waiting"
    DELIVERED = "delivered"
    FAILED = "failed"  # given up after the last attempt, or thrown out of a queue that was full
    STOPPED = "stopped"  # its URL is gone (410)


@dataclass(frozen=True, slots=True)
class Event:
    """sid: stable over attempts and restarts. due: of the next attempt, monotonic seconds. status, detail: of the last one."""

    sid: str
    call_sid: str
    purpose: str
    url: str
    method: str
    parameters: Parameters = field(repr=False)
    state: State = State.WAITS
    attempts: int = 0
    due: float = 0.0
    status: int = 0
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """Of one attempt. status 0: no answer came, and detail says why. retry_after_s: what the receiver asks for, 0 for nothing."""

    status: int
    detail: str = ""
    retry_after_s: float = 0.0


class Deliveries:
    """Every input returns the events that are another thing now, for who keeps them."""

    def __init__(self, retries_s: Sequence[float], limit: int, chance: Callable[[], float]) -> None:
        """retries_s: the waits before the second attempt, the third ... limit: events that may wait. chance: from 0 to 1."""
        self._retries_s, self._limit, self._chance = tuple(retries_s), limit, chance
        self._queues: dict[str, deque[Event]] = {}  # by call; the first one is whose turn it is
        self._under_way: dict[str, str] = {}  # by event: its call
        self._agenda: list[tuple[float, str, str]] = []  # due, event, call; outdated when that is not the first of its queue, or due then
        self._gone: OrderedDict[str, None] = OrderedDict()
        self.waiting = 0

    # --- inputs -----------------------------------------------------------------------------------------------------

    def put(self, event: Event) -> Event:
        """It happened. What comes back may have been stopped or given up at once."""
        if event.url in self._gone:
            return replace(event, state=State.STOPPED, status=GONE, detail="an earlier event was answered 410")
        if self.waiting >= self._limit:
            return replace(event, state=State.FAILED, detail=f"http.event_queue = {self._limit} events wait already")
        self.waiting += 1
        queue = self._queues.setdefault(event.call_sid, deque())
        queue.append(event)
        if len(queue) == 1:
            self._plan(event)
        return event

    def forgive(self, url: str) -> None:
        """Somebody wants events sent there again although it was gone."""
        self._gone.pop(url, None)

    def due(self, now: float) -> list[Event]:
        """What is to be tried now; each is under way until it is `answered`."""
        found = []
        while (at := self.next_deadline()) is not None and at <= now:
            _, sid, call_sid = heapq.heappop(self._agenda)
            self._under_way[sid] = call_sid
            found.append(self._queues[call_sid][0])
        return found

    def answered(self, sid: str, outcome: Outcome, now: float) -> list[Event]:
        """An attempt is over."""
        queue = self._queues.get(self._under_way.pop(sid, ""))
        if queue is None or queue[0].sid != sid:
            return []
        event = replace(queue[0], attempts=queue[0].attempts + 1, status=outcome.status, detail=outcome.detail)
        if outcome.status == GONE:
            return self._stop(event)
        if 200 <= outcome.status < 300:
            event = replace(event, state=State.DELIVERED)
        elif event.attempts > len(self._retries_s):
            event = replace(event, state=State.FAILED)
        else:
            event = replace(event, due=now + self._wait(event.attempts, outcome))
            queue[0] = event
            self._plan(event)
            return [event]
        self._leave(queue, event)
        return [event]

    def abandoned(self, sid: str) -> None:
        """An attempt was broken off, as the server stops: it does not count."""
        queue = self._queues.get(self._under_way.pop(sid, ""))
        if queue is not None and queue[0].sid == sid:
            self._plan(queue[0])

    def next_deadline(self) -> float | None:
        agenda = self._agenda
        while agenda:
            due, sid, call_sid = agenda[0]
            queue = self._queues.get(call_sid)
            if queue is not None and queue[0].sid == sid and queue[0].due == due and sid not in self._under_way:
                return due
            heapq.heappop(agenda)
        return None

    # --- how ----------------------------------------------------------------------------------------------------------

    def _wait(self, attempts: int, outcome: Outcome) -> float:
        wait = self._retries_s[attempts - 1] * (1 + JITTER * self._chance())
        if outcome.status in SLOW_DOWN or outcome.retry_after_s:
            wait = max(wait, min(outcome.retry_after_s, LONGEST_WAIT_S))
        return wait

    def _plan(self, event: Event) -> None:
        heapq.heappush(self._agenda, (event.due, event.sid, event.call_sid))

    def _leave(self, queue: deque[Event], event: Event) -> None:
        queue.popleft()
        self.waiting -= 1
        if queue:
            self._plan(queue[0])
        else:
            del self._queues[event.call_sid]

    def _stop(self, event: Event) -> list[Event]:
        """Nothing is sent to that URL any more, by whatever call."""
        self._gone[event.url] = None
        if len(self._gone) > GONE_URLS_MOST:
            self._gone.popitem(last=False)
        stopped = [event, *self._others(event)]
        ended = {one.sid for one in stopped}
        for call_sid, queue in list(self._queues.items()):
            kept = deque(one for one in queue if one.sid not in ended)
            self.waiting -= len(queue) - len(kept)
            if kept:
                first = queue[0] is not kept[0]
                self._queues[call_sid] = kept
                if first:
                    self._plan(kept[0])
            else:
                del self._queues[call_sid]
        return [replace(one, state=State.STOPPED, status=GONE) for one in stopped]

    def _others(self, event: Event) -> Iterator[Event]:
        for queue in self._queues.values():
            for one in queue:
                if one.url == event.url and one.sid != event.sid and one.sid not in self._under_way:
                    yield one
