"""What each signal means to a running server."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import Iterator

import pytest

from server.signals import Signals, Wish, ignore_until_ready

ALL = (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGTERM, signal.SIGINT)


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in ALL}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


async def test_wishes_come_in_the_order_of_the_signals() -> None:
    signals = Signals()
    for number in (signal.SIGHUP, signal.SIGTERM, signal.SIGINT):
        os.kill(os.getpid(), number)
        await asyncio.sleep(0)
    assert [await signals.next() for _ in range(3)] == [Wish.RELOAD, Wish.STOP, Wish.STOP]


async def test_harmless_signals_do_nothing_but_a_line(caplog: pytest.LogCaptureFixture) -> None:
    signals = Signals()
    with caplog.at_level(logging.INFO):
        for number in (signal.SIGUSR1, signal.SIGUSR2, signal.SIGHUP):
            os.kill(os.getpid(), number)
        assert await signals.next() is Wish.RELOAD
    assert [record.message for record in caplog.records] == ["signal_ignored", "signal_ignored"]


async def test_a_second_stop_is_waited_for_and_a_reload_is_none() -> None:
    signals = Signals()
    for number in (signal.SIGHUP, signal.SIGTERM):
        os.kill(os.getpid(), number)
    await asyncio.wait_for(signals.stop(), 5)


def test_before_there_are_handlers_nothing_of_it_ends_the_process() -> None:
    ignore_until_ready()
    for number in (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
        os.kill(os.getpid(), number)
