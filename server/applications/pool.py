"""Waiting for a slot of a `Budget`, and handing slots on."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from dataclasses import dataclass

from server.applications.budget import Budget, Place
from server.applications.failures import Failure

log = logging.getLogger(__name__)

MAX_WAITING = 1000  # beyond, a request is refused at once: it would not come to its turn


@dataclass(slots=True)
class _Waiter:
    place: Place
    turn: asyncio.Future[None]


@dataclass(frozen=True, slots=True)
class Patience:
    """How long something may take, and the setting that says so."""

    seconds: float
    setting: str


class Pool:
    """The requests of one kind. Made inside the running loop.

    kind: for the log. patience: with which a request waits for its turn.
    """

    def __init__(self, kind: str, budget: Budget, patience: Patience) -> None:
        self._kind, self._budget, self._patience = kind, budget, patience
        self._waiting: deque[_Waiter] = deque()
        self._loop = asyncio.get_running_loop()

    @property
    def in_flight(self) -> int:
        return self._budget.in_flight

    async def enter(self, place: Place, answer_in: Patience | None = None) -> None:
        """Take a slot; `leave` gives it back. Raises Failure (timeout) when there is none in time, or the place hangs.

        answer_in: by when the answer must be there, if that is said: waiting for longer is in vain.
        """
        if self._budget.hangs(place, self._loop.time()):
            raise _hanging(place)
        if self._budget.admits(place):
            self._budget.take(place)
            return
        if len(self._waiting) >= MAX_WAITING:
            raise Failure("timeout", f"not asked: {MAX_WAITING} requests wait for their turn already ({self._kind})")
        patience = min(self._patience, answer_in or self._patience, key=lambda one: one.seconds)
        waiter = _Waiter(place, self._loop.create_future())
        self._waiting.append(waiter)
        try:
            async with asyncio.timeout(patience.seconds):
                await waiter.turn
        except BaseException as problem:
            if waiter in self._waiting:
                self._waiting.remove(waiter)
            elif waiter.turn.done() and not waiter.turn.cancelled() and waiter.turn.exception() is None:
                self.leave(place)  # its turn came in the same moment
            if isinstance(problem, TimeoutError):
                text = f"no turn in {patience.seconds:g} s ({patience.setting}): too many requests to {place.host} are not answered"
                raise Failure("timeout", text) from None
            raise

    def leave(self, place: Place) -> None:
        """Give a slot back, and on to whoever may have it now."""
        self._budget.give(place)
        now = self._loop.time()
        still: deque[_Waiter] = deque()
        for waiter in self._waiting:
            if waiter.turn.done():
                continue
            if self._budget.hangs(waiter.place, now):
                waiter.turn.set_exception(_hanging(waiter.place))
            elif self._budget.admits(waiter.place):
                self._budget.take(waiter.place)
                waiter.turn.set_result(None)
            else:
                still.append(waiter)
        self._waiting = still

    def answered(self, place: Place) -> None:
        if self._budget.answered(place, self._loop.time()):
            log.info("application_answers_again", extra={"host": place.host, "kind": self._kind})

    def timed_out(self, place: Place) -> None:
        if self._budget.timed_out(place, self._loop.time()):
            log.warning("application_hangs", extra={"host": place.host, "kind": self._kind})


def _hanging(place: Place) -> Failure:
    return Failure("timeout", f"not asked: {place.host} hangs; requests are tried one by one until it answers again")
