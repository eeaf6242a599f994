"""Deadlines that have passed already when the shell arms its timer: both event loops must take them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
import uvloop

from sip.core.commands import Command, SendBye, SessionId
from sip.core.events import Dropped as DroppedOutput
from sip.core.events import Event, Output, Traced
from sip.core.flows import Flow, Listener, Target
from sip.transport.driver import SipDriver

pytestmark = pytest.mark.driver


class AlwaysLate:
    """An endpoint whose next deadline is a second ago, until it has been asked so often."""

    def __init__(self) -> None:
        self.timeouts = 0
        self.enough = asyncio.Event()

    def set_listeners(self, listeners: Sequence[Listener]) -> None:
        pass

    def receive(self, data: bytes, flow: Flow, now: float) -> list[Output]:
        return []

    def connection_opened(self, flow: Flow, now: float) -> list[Output]:
        return []

    def connection_lost(self, flow: Flow, now: float) -> list[Output]:
        return []

    def transmit_failed(self, flow: Flow, error: str, now: float) -> list[Output]:
        return []

    def resolved(self, query: int, targets: Sequence[Target], now: float) -> list[Output]:
        return []

    def command(self, command: Command, now: float) -> list[Output]:
        return []

    def timeout(self, now: float) -> list[Output]:
        self.timeouts += 1
        if self.timeouts == 5:
            self.enough.set()
        return []

    def next_deadline(self) -> float | None:
        return asyncio.get_running_loop().time() - 1.0 if self.timeouts < 5 else None


async def drive() -> int:
    endpoint = AlwaysLate()

    def ignore(event: Event | Traced | DroppedOutput) -> None:
        pass

    driver = SipDriver(endpoint, ignore)
    await driver.start([("udp", "127.0.0.1", 0)])
    for _ in range(3):  # arms again while an overdue timer stands
        driver.command(SendBye(SessionId("x")))
    async with asyncio.timeout(5):
        await endpoint.enough.wait()
    await driver.stop()
    return endpoint.timeouts


@pytest.mark.parametrize("factory", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def test_an_overdue_timer_is_armed_and_replaced__shell(factory: object) -> None:
    with asyncio.Runner(loop_factory=factory) as runner:  # type: ignore[arg-type]  # both make loops
        assert runner.run(drive()) == 5
