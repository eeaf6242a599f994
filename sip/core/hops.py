"""The next hops of one INVITE: a silent one is not waited for alone.

    first hop ──no response for silent_hop_s──▶ the next one beside it, and so on
        └─ the first that says anything, 100 included, is chosen; the others are cancelled as soon as they may be

Timer B is an upper bound and no duty to wait (RFC 3261 17.1.1.2): a dead proxy whose host swallows packets would use up the whole time that
a call may ring. All hops get the same INVITE, with branches of their own, as a forking proxy would send it (16.6), so a 2xx of two
of them is one call: that of a hop that was not chosen is acknowledged and ended. A hop that refuses because it is busy or has met the same
request by another way (503, 408, 482) is dropped while others are asked.
"""

from __future__ import annotations

import enum
from typing import Protocol

from sip.core.commands import HeaderList, Place
from sip.core.context import Context
from sip.core.delivery import Delivery, DeliveryUser, Failure
from sip.core.flows import Flow
from sip.core.parts import SessionPart
from sip.core.transactions import ClientTransaction
from sip.message import Response

LOST = 'SIP;cause=200;text="Call completed elsewhere"'  # RFC 3326 2
_NO_ANSWER = frozenset((408, 482, 503))


class HopsHost(Protocol):
    """The session, as far as its hops need it."""

    context: Context
    headers: HeaderList

    def answered(self, delivery: Delivery, transaction: ClientTransaction, response: Response, now: float) -> None: ...

    def undelivered(self, delivery: Delivery, failure: Failure, now: float) -> None: ...

    def lost_answered(self, transaction: ClientTransaction, response: Response, now: float) -> None:
        """A 2xx by a hop that was not chosen."""

    def chosen(self, delivery: Delivery) -> None: ...

    def deliver(self, user: DeliveryUser, place: Place | None, only: Flow | None) -> Delivery:
        """The INVITE on its way to another place, or by another address of the first one."""


class Fate(enum.Enum):
    ASKED = "asked"
    CHOSEN = "chosen"
    LOST = "lost"


class Hop:
    """The `DeliveryUser` of one."""

    __slots__ = ("_cancelled", "_hops", "_session", "fate")

    def __init__(self, hops: Hops, session: HopsHost) -> None:
        self._hops = hops
        self._session = session
        self._cancelled = False
        self.fate = Fate.ASKED

    def answered(self, delivery: Delivery, transaction: ClientTransaction, response: Response, now: float) -> None:
        if self.fate is Fate.ASKED:
            self._hops.answered(self, delivery, response)
        if self.fate is Fate.CHOSEN:
            self._session.answered(delivery, transaction, response, now)
        elif 200 <= response.status < 300:
            self._session.lost_answered(transaction, response, now)
        elif response.status < 200 and not self._cancelled:
            self._cancelled = True
            transaction.cancel((*self._session.headers, ("Reason", LOST)), now)

    def undelivered(self, delivery: Delivery, failure: Failure, now: float) -> None:
        if self.fate is Fate.CHOSEN or (self.fate is Fate.ASKED and self._hops.undelivered(self)):
            self._session.undelivered(delivery, failure, now)


class Hops(SessionPart):
    """tried: places that the INVITE was sent to."""

    __slots__ = ("_asked", "_at", "_places", "_session", "tried")

    def __init__(self, session: HopsHost, places: tuple[Place, ...]) -> None:
        super().__init__()
        self._session: HopsHost | None = session
        self._places = list(places)
        self._asked: list[tuple[Hop, Delivery]] = []
        self._at: float | None = None
        self.tried = 1

    def first(self) -> Delivery:
        assert self._session is not None
        return self._ask(self._session, None, None)

    def started(self, now: float) -> None:
        if self._session is not None and self._asked:
            self._at = now + self._session.context.settings.silent_hop_s
            self._session.context.agenda.arm(self)

    def stop(self) -> bool:
        """The user has given up. True when nothing has been sent by any."""
        self._at = None
        unsent = [delivery.stop() for _, delivery in self._asked]
        return all(unsent)

    def deadline(self) -> float | None:
        return self._at

    def expire(self, now: float) -> None:
        if self._at is None or self._at > now or self._session is None:
            return
        self._at = None
        session, latest = self._session, self._asked[-1][1]
        if not latest.sent:
            self.started(now)  # DNS has not answered yet
            return
        flow = latest.another()
        if flow is not None:
            delivery = self._ask(session, None, flow)
        elif self._places:
            self.tried += 1
            delivery = self._ask(session, self._places.pop(0), None)
        else:
            return
        delivery.start(now)
        self.started(now)

    def close(self, now: float) -> None:
        self._at = None
        self._lose_others(None)
        self._session = None

    def answered(self, hop: Hop, delivery: Delivery, response: Response) -> None:
        if response.status in _NO_ANSWER and len(self._asked) > 1:
            self._drop(hop)
            return
        hop.fate, self._at = Fate.CHOSEN, None
        self._lose_others(hop)
        if self._session is not None:
            self._session.chosen(delivery)

    def undelivered(self, hop: Hop) -> bool:
        """Whether it was the last."""
        if len(self._asked) > 1:
            self._drop(hop)
            return False
        return True

    def _ask(self, session: HopsHost, place: Place | None, only: Flow | None) -> Delivery:
        hop = Hop(self, session)
        delivery = session.deliver(hop, place, only)
        self._asked.append((hop, delivery))
        return delivery

    def _drop(self, hop: Hop) -> None:
        hop.fate = Fate.LOST
        self._asked = [one for one in self._asked if one[0] is not hop]

    def _lose_others(self, chosen: Hop | None) -> None:
        for hop, delivery in self._asked:
            if hop is not chosen and hop.fate is Fate.ASKED:
                hop.fate = Fate.LOST
                delivery.stop()
        self._asked.clear()
