"""What the operator's signals mean: SIGTERM and SIGINT stop, a second one stops at once, SIGHUP reloads, SIGUSR1 and SIGUSR2 do nothing.

The last three end a process that does not expect them, and with it every call without a BYE; so they are turned off before anything else
(`ignore_until_ready`), and handled once the event loop runs.
"""

from __future__ import annotations

import asyncio
import enum
import logging
import signal

log = logging.getLogger(__name__)


class Wish(enum.Enum):
    STOP = "stop"
    RELOAD = "reload"


_STOPPING = (signal.SIGTERM, signal.SIGINT)
_HARMLESS = (signal.SIGUSR1, signal.SIGUSR2)


def ignore_until_ready() -> None:
    """For the time until there are handlers: a reload that comes too early is none."""
    for number in (signal.SIGHUP, *_HARMLESS):
        signal.signal(number, signal.SIG_IGN)


class Signals:
    """The process's signals as wishes, in the order in which they came. Made inside the running loop, for the rest of its life."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self._wishes: asyncio.Queue[Wish] = asyncio.Queue()
        for number in _STOPPING:
            loop.add_signal_handler(number, self._wishes.put_nowait, Wish.STOP)
        loop.add_signal_handler(signal.SIGHUP, self._wishes.put_nowait, Wish.RELOAD)
        for number in _HARMLESS:
            loop.add_signal_handler(number, self._ignore, number)

    async def next(self) -> Wish:
        return await self._wishes.get()

    async def stop(self) -> None:
        """Until a stop is wished; reloads that come meanwhile are passed over."""
        while await self.next() is not Wish.STOP:
            log.warning("reload_ignored", extra={"reason": "the server is stopping"})

    @staticmethod
    def _ignore(number: signal.Signals) -> None:
        log.info("signal_ignored", extra={"signal": number.name})
