"""The client transaction of everything but INVITE (and ACK, which has none).

                 1xx                   200-699
    TRYING ───────────▶ PROCEEDING ─────────────▶ COMPLETED ── K ──▶ TERMINATED
      E: send again, doubling up to T2; in PROCEEDING every T2.   F: give up, in both

Source: RFC 3261 17.1.2, figure 6.
"""

from __future__ import annotations

from sip.core.machine import Action, Cause, GaveUp, Machine, Packet, PassUp, Send, State
from sip.core.timers import Timer, Times
from sip.message import Response


class ClientRequest(Machine):
    __slots__ = ("_interval", "packet")

    def __init__(self, packet: Packet, reliable: bool, times: Times) -> None:
        super().__init__(State.TRYING, reliable, times)
        self.packet = packet
        self._interval = times.t1

    def start(self, now: float) -> list[Action]:
        deadlines = {Timer.F: now + self.times.timeout}
        if not self.reliable:
            deadlines[Timer.E] = now + self._interval
        self._enter(State.TRYING, deadlines)
        return [Send(self.packet)]

    def receive(self, response: Response, now: float) -> list[Action]:
        if self.state not in (State.TRYING, State.PROCEEDING):
            return []
        if response.status < 200:
            self.state = State.PROCEEDING  # both timers run on
            return [PassUp(response)]
        self._linger(State.COMPLETED, Timer.K, self.times.t4, now)
        return [PassUp(response)]

    def transport_failed(self) -> list[Action]:
        if self.state is not State.TRYING:
            return []
        self._enter(State.TERMINATED)
        return [GaveUp(Cause.TRANSPORT)]

    def _fired(self, timer: Timer, now: float) -> list[Action]:
        if timer is Timer.E:
            self._interval = self.times.t2 if self.state is State.PROCEEDING else min(2 * self._interval, self.times.t2)
            self.deadlines[Timer.E] = now + self._interval
            return [Send(self.packet, repeated=True)]
        self._enter(State.TERMINATED)
        return [GaveUp(Cause.TIMEOUT)] if timer is Timer.F else []
