"""The INVITE client transaction.

                  1xx              2xx
    CALLING ───────────▶ PROCEEDING ─────▶ ACCEPTED ── M ──▶ TERMINATED
      │  A: send again      │                (each 2xx goes up: the user owes each an ACK)
      │  B: give up         │ 3xx-6xx: ACK
      └─────────────────────┴────────────▶ COMPLETED ── D ──▶ TERMINATED

PROCEEDING has no timer: how long a phone may ring is for the user to say, with a CANCEL (docs/sip-rules.md 9).
Source: RFC 3261 17.1.1, figure 5; RFC 6026 7.2, 8.4.
"""

from __future__ import annotations

from sip.core.commands import HeaderList
from sip.core.machine import Action, Cause, GaveUp, Machine, Packet, PassUp, Send, State, pack
from sip.core.timers import Timer, Times
from sip.message import Headers, Request, Response, parse_cseq


class ClientInvite(Machine):
    """ack_headers: further header fields of the ACKs for refusals."""

    __slots__ = ("_ack", "_ack_headers", "_interval", "invite", "packet")

    def __init__(self, invite: Request, packet: Packet, reliable: bool, times: Times, ack_headers: HeaderList = ()) -> None:
        super().__init__(State.CALLING, reliable, times)
        self.invite = invite
        self.packet = packet
        self._ack_headers = ack_headers
        self._ack: Packet | None = None
        self._interval = times.t1

    def start(self, now: float) -> list[Action]:
        deadlines = {Timer.B: now + self.times.timeout}
        if not self.reliable:
            deadlines[Timer.A] = now + self._interval
        self._enter(State.CALLING, deadlines)
        return [Send(self.packet)]

    def receive(self, response: Response, now: float) -> list[Action]:
        match self.state, response.status // 100:
            case ((State.CALLING | State.PROCEEDING), 1):
                self._enter(State.PROCEEDING)
                return [PassUp(response)]
            case ((State.CALLING | State.PROCEEDING), 2):
                # Over reliable transports too: other forks may still answer (RFC 6026 8.4).
                self._enter(State.ACCEPTED, {Timer.M: now + self.times.timeout})
                return [PassUp(response)]
            case ((State.CALLING | State.PROCEEDING), _):
                self._ack = pack(build_refusal_ack(self.invite, response, self._ack_headers))
                self._linger(State.COMPLETED, Timer.D, self.times.d, now)
                return [Send(self._ack), PassUp(response)]
            case ((State.ACCEPTED | State.COMPLETED), 2):
                # A further 2xx: a repetition, or another fork. A proxy passes a 2xx on even after a refusal (16.7 step 5).
                return [PassUp(response)]
            case State.COMPLETED, kind if kind >= 3 and self._ack is not None:
                return [Send(self._ack, repeated=True)]  # our ACK was lost
        return []  # late or impossible: absorbed

    def transport_failed(self) -> list[Action]:
        if self.state is not State.CALLING:
            return []
        self._enter(State.TERMINATED)
        return [GaveUp(Cause.TRANSPORT)]

    def _fired(self, timer: Timer, now: float) -> list[Action]:
        if timer is Timer.A:
            self._interval *= 2
            self.deadlines[Timer.A] = now + self._interval
            return [Send(self.packet, repeated=True)]
        self._enter(State.TERMINATED)
        return [GaveUp(Cause.TIMEOUT)] if timer is Timer.B else []


def build_refusal_ack(invite: Request, response: Response, headers: HeaderList = ()) -> Request:
    """The ACK for a 3xx-6xx: it goes hop by hop in the INVITE's own transaction (RFC 3261 17.1.1.3)."""
    return _beside(invite, "ACK", response.headers.get("To") or invite.headers.get("To") or "", headers)


def build_cancel(invite: Request, headers: HeaderList = ()) -> Request:
    """The CANCEL of a request: the same branch, Request-URI, To, Route and CSeq number (RFC 3261 9.1)."""
    return _beside(invite, "CANCEL", invite.headers.get("To") or "", headers)


def _beside(invite: Request, method: str, to: str, headers: HeaderList) -> Request:
    """A request that goes the way of the INVITE, under its branch."""
    source = invite.headers
    items = [("Via", source.first_value("Via") or "")]
    items += [("Route", value) for value in source.get_all("Route")]
    items += [
        ("Max-Forwards", "70"),
        ("From", source.get("From") or ""),
        ("To", to),
        ("Call-ID", source.get("Call-ID") or ""),
        ("CSeq", f"{parse_cseq(source.get('CSeq') or '').number} {method}"),
    ]
    return Request(method, invite.uri, Headers([*items, *headers]))
