"""A 2xx of ours that waits for its ACK.

The transaction is through with a 2xx at once; repeating it is the business of the UAS core, over TCP too, since the 2xx may get lost
on a later hop: after T1, then twice as long each time up to T2, for 64*T1.
Source: RFC 3261 13.3.1.4, 14.2.
"""

from __future__ import annotations

from typing import Protocol

from sip.core.context import Context
from sip.core.machine import Packet
from sip.core.transactions import ServerTransaction


class Answerer(Protocol):
    context: Context

    def ack_missing(self, unacked: Unacked, now: float) -> None: ...


class Unacked:
    """had_offer: the INVITE brought the offer, so the 2xx has settled the session; else its ACK will bring the answer."""

    __slots__ = (
        "_give_up_at",
        "_interval",
        "_packet",
        "_resend_at",
        "_session",
        "_stopped",
        "_transaction",
        "armed_at",
        "cseq",
        "had_offer",
    )

    def __init__(self, session: Answerer, transaction: ServerTransaction, packet: Packet, now: float) -> None:
        times = session.context.times
        self._session = session
        self._transaction = transaction
        self._packet = packet
        self._interval = times.t1
        self._resend_at = now + times.t1
        self._give_up_at = now + times.timeout
        self._stopped = False
        self.armed_at: float | None = None
        self.cseq = transaction.incoming.cseq
        self.had_offer = bool(transaction.request.body)
        session.context.agenda.arm(self)

    def close(self, now: float) -> None:
        self._stopped = True

    def deadline(self) -> float | None:
        return None if self._stopped else min(self._resend_at, self._give_up_at)

    def expire(self, now: float) -> None:
        if self._stopped:
            return
        if now >= self._give_up_at:
            self._stopped = True
            self._session.ack_missing(self, now)
        elif now >= self._resend_at:
            times = self._session.context.times
            self._interval = min(2 * self._interval, times.t2)
            self._resend_at = now + self._interval
            self._transaction.respond(200, self._packet, now)
