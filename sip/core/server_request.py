"""The server transaction of everything but INVITE and ACK.

              1xx              200-699
    TRYING ───────▶ PROCEEDING ───────▶ COMPLETED ── J ──▶ TERMINATED
      │                 │                 (repeated requests get the stored response)
      └─────── F ───────┴─────────────────────────────▶ TERMINATED

A user that does not answer within 64*T1 has lost its client (which gave up by timer F), so nothing is sent and above all
no 408 (RFC 4320 4.2). RFC 3261 has no timer there; we have one, so that a silent user leaks nothing.
Source: RFC 3261 17.2.2, figure 8.
"""

from __future__ import annotations

from sip.core.machine import Action, Machine, Packet, Send, State
from sip.core.timers import Timer, Times


class ServerRequest(Machine):
    __slots__ = ("last",)

    def __init__(self, reliable: bool, times: Times, now: float) -> None:
        super().__init__(State.TRYING, reliable, times)
        self.last: Packet | None = None
        self.deadlines[Timer.F] = now + times.timeout

    def respond(self, status: int, packet: Packet, now: float) -> list[Action]:
        """A response of the user. One that comes too late is not sent."""
        if self.state not in (State.TRYING, State.PROCEEDING):
            return []
        self.last = packet
        if status < 200:
            self.state = State.PROCEEDING
        else:
            self._linger(State.COMPLETED, Timer.J, self.times.timeout, now)
        return [Send(packet)]

    def receive(self) -> list[Action]:
        """The request once more."""
        if self.last is None or self.state is State.TERMINATED:
            return []
        return [Send(self.last, repeated=True)]

    def _fired(self, timer: Timer, now: float) -> list[Action]:
        self._enter(State.TERMINATED)
        return []
