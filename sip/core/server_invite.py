"""The INVITE server transaction.

                 2xx
    PROCEEDING ───────▶ ACCEPTED ── L ──▶ TERMINATED         (repeated INVITEs are absorbed; the user repeats its 2xx)
      │ 3xx-6xx                     ACK
      └───────▶ COMPLETED ────────────────▶ CONFIRMED ── I ──▶ TERMINATED
                  G: send again   H: give up               (stray ACKs are absorbed)

Source: RFC 3261 17.2.1, figure 7; RFC 6026 7.1, 8.7.
"""

from __future__ import annotations

from sip.core.machine import Action, Cause, GaveUp, Machine, Packet, PassUp, Send, State
from sip.core.timers import Timer, Times
from sip.message import Request


class ServerInvite(Machine):
    __slots__ = ("_interval", "last")

    def __init__(self, reliable: bool, times: Times) -> None:
        super().__init__(State.PROCEEDING, reliable, times)
        self.last: Packet | None = None
        self._interval = times.t1

    def respond(self, status: int, packet: Packet, now: float) -> list[Action]:
        """A response of the user. One that comes too late is not sent."""
        match self.state, status // 100:
            case State.PROCEEDING, 1:
                repeated = self.last is packet  # a reliable one (RFC 3262 3)
                self.last = packet
                return [Send(packet, repeated)]
            case State.PROCEEDING, 2:
                self.last = packet
                # Over reliable transports too: the same INVITE may come by another path (RFC 6026 8.7).
                self._enter(State.ACCEPTED, {Timer.L: now + self.times.timeout})
                return [Send(packet)]
            case State.PROCEEDING, _:
                self.last = packet
                deadlines = {Timer.H: now + self.times.timeout}
                if not self.reliable:
                    deadlines[Timer.G] = now + self._interval
                self._enter(State.COMPLETED, deadlines)
                return [Send(packet)]
            case State.ACCEPTED, 2:
                return [Send(packet, repeated=True)]
            case _:
                return []

    def receive(self, request: Request, now: float) -> list[Action]:
        """A repeated INVITE, or an ACK in this transaction."""
        match self.state, request.method:
            case State.PROCEEDING | State.COMPLETED, "INVITE" if self.last is not None:
                return [Send(self.last, repeated=True)]
            case State.COMPLETED, "ACK":
                self._linger(State.CONFIRMED, Timer.I, self.times.t4, now)
                return [PassUp(request)]
            case State.ACCEPTED, "ACK":
                return [PassUp(request)]  # a 2xx's ACK that wrongly has the INVITE's branch
            case _:
                return []

    def _fired(self, timer: Timer, now: float) -> list[Action]:
        if timer is Timer.G and self.last is not None:
            self._interval = min(2 * self._interval, self.times.t2)
            self.deadlines[Timer.G] = now + self._interval
            return [Send(self.last, repeated=True)]
        self._enter(State.TERMINATED)
        return [GaveUp(Cause.TIMEOUT)] if timer is Timer.H else []
