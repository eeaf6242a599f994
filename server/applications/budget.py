"""Who may have how many requests under way, so that an application that hangs hurts nobody but itself.

Requests are of three kinds: documents (a call waits), audio (a verb waits), events (nobody waits). Each kind has a budget of its
own. Within one, slots are shared by two levels, hosts and the applications on them, with dynamic thresholds: a host may hold half
as many slots as are still free in all, and an application half as many as are left of what its host may hold. One alone can have
a seventh of all; five that take what they can get leave some to others, on their host and elsewhere, whatever the numbers are,
and nobody needs to be configured. An application that holds none gets one as long as a quarter of all is free.

A host or an application that hangs is remembered: after a few time-outs in a row only some requests at a time go there as
probes, and all others fail at once, so that a fallback is asked without waiting. The first answer clears it. A host counts as
hanging only when nothing at all came from it lately, since one of its applications may hang while others are well.

Pure: `now` is an argument. `server.applications.pool` does the waiting.

Source: Choudhury and Hahne, Dynamic queue length thresholds for shared-memory packet switches (1998); Nygard, Release It! (bulkheads,
circuit breaker).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass

HANGS_AFTER = 3  # time-outs of an application in a row
HOST_HANGS_AFTER = 8
HOST_SILENT_S = 10.0  # and no answer from the host for so long
FORGOTTEN_S = 30.0  # after the last time-out: nobody asked since, and it may be well again
PROBES = 3  # requests at a time to what hangs
MAX_REMEMBERED = 4096


@dataclass(frozen=True, slots=True)
class Place:
    """Where a request goes. host: scheme, name and port. application: what tells the applications of one host apart."""

    host: str
    application: str


@dataclass(slots=True)
class Standing:
    """What is known of a host, or of an application on it."""

    in_flight: int = 0
    timeouts: int = 0  # in a row
    timed_out_at: float = float("-inf")
    answered_at: float = float("-inf")

    def hangs(self, after: int, now: float) -> bool:
        return self.timeouts >= after and now - self.timed_out_at < FORGOTTEN_S


class Budget:
    """The slots of one kind of request. limit: in all; per_host: to one host."""

    def __init__(self, limit: int, per_host: int) -> None:
        self._limit, self._per_host = limit, per_host
        self._standings: OrderedDict[tuple[str, str], Standing] = OrderedDict()
        self.in_flight = 0

    def admits(self, place: Place) -> bool:
        """Whether there is a slot now."""
        host, application = self._two(place)
        free = self._limit - self.in_flight
        left_there = min(self._per_host, free // 2) - host.in_flight
        if application.in_flight:
            return 2 * application.in_flight < left_there
        return host.in_flight < self._per_host and (left_there > 0 or 4 * free > self._limit or (free > 0 and not host.in_flight))

    def hangs(self, place: Place, now: float) -> bool:
        """Whether there are probes enough under way to a place that hangs: no need to wait for a slot."""
        host, application = self._two(place)
        if application.hangs(HANGS_AFTER, now) and application.in_flight >= PROBES:
            return True
        return host.hangs(HOST_HANGS_AFTER, now) and now - host.answered_at > HOST_SILENT_S and host.in_flight >= PROBES

    def take(self, place: Place) -> None:
        self.in_flight += 1
        for standing in self._two(place):
            standing.in_flight += 1

    def give(self, place: Place) -> None:
        self.in_flight -= 1
        for standing in self._two(place):
            standing.in_flight -= 1

    def answered(self, place: Place, now: float) -> bool:
        """Something came back, whatever it was. True when the application was taken for hanging until now."""
        host, application = self._two(place)
        hung = application.timeouts >= HANGS_AFTER
        for standing in (host, application):
            standing.timeouts, standing.answered_at = 0, now
        return hung

    def timed_out(self, place: Place, now: float) -> bool:
        """Nothing came in time. True when the application is taken for hanging from now on."""
        for standing in self._two(place):
            standing.timeouts = standing.timeouts + 1 if now - standing.timed_out_at < FORGOTTEN_S else 1
            standing.timed_out_at = now
        return standing.timeouts == HANGS_AFTER

    def _two(self, place: Place) -> tuple[Standing, Standing]:
        return self._standing(place.host, ""), self._standing(place.host, place.application or "/")

    def _standing(self, host: str, application: str) -> Standing:
        key = (host, application)
        found = self._standings.get(key)
        if found is None:
            for idle in list(self._idle()):
                del self._standings[idle]
            found = self._standings[key] = Standing()
        self._standings.move_to_end(key)
        return found

    def _idle(self) -> Iterator[tuple[str, str]]:
        """Those not heard of for longest, when there are too many."""
        too_many = len(self._standings) - MAX_REMEMBERED + 1
        for key, standing in self._standings.items():
            if too_many <= 0:
                return
            if not standing.in_flight:
                too_many -= 1
                yield key
