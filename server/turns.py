"""One input after the other: it is dealt with, all that it leads to is carried out, the one timer is armed anew, the next input follows.

What an action causes at once waits in line like every input, so no machine is ever entered twice.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol, TypeVar

from server.calls.outbox import Action

log = logging.getLogger(__name__)

Handle = Callable[[float], Sequence[Action]]
T = TypeVar("T")


class Machine(Protocol):
    """What has deadlines of its own."""

    def next_deadline(self) -> float | None: ...

    def timeout(self, now: float) -> Sequence[Action]: ...


class Turns:
    """Made inside a running event loop. What comes before `begin` waits.

    carry_out: gets one action after the other. machines: those that there are now. failed: is told of a bug of ours, which is in the log.
    """

    def __init__(self, carry_out: Callable[[Action], None], machines: Callable[[], Iterable[Machine]], failed: Callable[[], None]) -> None:
        self._carry_out = carry_out
        self._machines = machines
        self._failed = failed
        self._loop = asyncio.get_running_loop()
        self._inbox: deque[Handle] = deque()
        self._busy = True
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0  # when it fires, if there is one
        self._quiet = asyncio.Event()  # an input has been dealt with: look again whether it is over

    def begin(self) -> None:
        """The machines stand."""
        self._work()

    def stop(self) -> None:
        """No deadline is kept any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def give(self, handle: Handle) -> None:
        """One input; while it is dealt with, further ones wait in line."""
        self._inbox.append(handle)
        if not self._busy:
            self._work()

    async def order(self, handle: Callable[[float], tuple[T, list[Action]]]) -> T:
        """An order's turn among the inputs, and what it has to say."""
        outcome: asyncio.Future[T] = self._loop.create_future()

        def carried_out(now: float) -> list[Action]:
            try:
                result, actions = handle(now)
            except Exception as error:
                if not outcome.done():
                    outcome.set_exception(error)
                raise
            if not outcome.done():  # who asked may have gone away
                outcome.set_result(result)
            return actions

        self.give(carried_out)
        return await outcome

    async def until(self, over: Callable[[], bool], at: float | None = None) -> None:
        """Wait for an input after which it is `over`; not beyond `at`, in seconds of the event loop."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(at):
                while not over():
                    self._quiet.clear()
                    await self._quiet.wait()

    def _work(self) -> None:
        """Deal with all inputs that wait."""
        self._busy = True
        actions: deque[Action] = deque()
        while self._inbox or actions:
            try:
                if actions:
                    self._carry_out(actions.popleft())
                else:
                    actions.extend(self._inbox.popleft()(self._loop.time()))
            except Exception:
                # Our own bug. What else this input asked for is still carried out, and the other calls go on.
                log.exception("internal_error")
                self._failed()
        self._busy = False
        self._quiet.set()
        self._arm()

    def _arm(self) -> None:
        at = min((at for at in (one.next_deadline() for one in self._machines()) if at is not None), default=None)
        if self._timer is not None:
            if at is not None and self._timer_at <= at:
                return  # too early is harmless, and cheaper than a new timer
            self._timer.cancel()
            self._timer = None
        if at is not None:
            self._timer, self._timer_at = self._loop.call_at(at, self._on_timer), at

    def _on_timer(self) -> None:
        self._timer = None
        for one in self._machines():
            self.give(one.timeout)
