"""Whether a place that calls go to lives: it is asked by OPTIONS, and any answer but 408, 503 and 504 says that it does. Sans-I/O.

    UNKNOWN ── answer ──▶ ALIVE ── no answer, or twice out of reach ──▶ DEAD ── answer ──▶ ALIVE

Until the first answer a place counts as alive: nobody waits for a question to be answered before a call.
Source: RFC 3261 11; behaviour.md 8 (what the answers of a phone mean).
"""

from __future__ import annotations

import enum
from collections.abc import Callable

from server.calls.effects import Json, Log
from server.trunks.account import Action, place_uri, route_to
from sip.core.commands import ExchangeId, SendOutOfDialog
from sip.core.events import FailureCause, OutOfDialogAnswered

DOUBT_S = 5.0  # a place that could not be reached is asked once more: it may be restarting
DEAD_S = 15.0  # how often a dead one is asked at least
NOT_ALIVE = (408, 503, 504)


class State(enum.Enum):
    UNKNOWN = "unknown"
    ALIVE = "alive"
    DEAD = "dead"


class Liveness:
    """Of one place. interval_s: between an answer and the next question. own_uri: whom the questions are from."""

    def __init__(
        self,
        trunk: str,
        uri: str,
        interval_s: float,
        own_uri: str,
        exchange: Callable[[], ExchangeId],
        uniform: Callable[[float, float], float],
    ) -> None:
        self.trunk, self.uri = trunk, uri
        self.state = State.UNKNOWN
        self.why = ""
        self._interval_s = interval_s
        self._own_uri = own_uri
        self._exchange = exchange
        self._uniform = uniform
        self._asked: ExchangeId | None = None
        self._fails = 0
        self.deadline: float | None = None

    @property
    def dead(self) -> bool:
        return self.state is State.DEAD

    def start(self, now: float) -> list[Action]:
        """Not all trunks at the same moment."""
        self.deadline = now + self._uniform(0.0, min(self._interval_s, 2.0))
        return []

    def timeout(self, now: float) -> list[Action]:
        if self.deadline is None or now < self.deadline:
            return []
        self.deadline = None
        self._asked = self._exchange()
        return [
            SendOutOfDialog(
                self._asked,
                "OPTIONS",
                request_uri=place_uri(self.uri),
                from_uri=self._own_uri,
                next_hop=route_to(self.uri),
                headers=(("Accept", "application/sdp"),),
                contact_user="dialplane",
            )
        ]

    def answered(self, event: OutOfDialogAnswered, now: float) -> list[Action]:
        if event.exchange != self._asked:
            return []
        self._asked = None
        response = event.response
        if response is not None and response.status not in NOT_ALIVE:
            return self._lives(now)
        self._fails += 1
        if response is not None:
            self.why = f"{response.status} {response.reason}".strip()
        else:
            self.why = "no answer to OPTIONS" if event.failure is FailureCause.NO_RESPONSE else "it cannot be reached"
        if self._fails < 2 and event.failure is not FailureCause.NO_RESPONSE and self.state is not State.DEAD:
            self.deadline = now + DOUBT_S
            return []
        self.deadline = now + min(self._interval_s, DEAD_S)
        if self.state is State.DEAD:
            return []
        self.state = State.DEAD
        facts: dict[str, Json] = {"trunk": self.trunk, "place": self.uri, "why": self.why}
        return [Log("warning", "trunk_dead", facts)]

    def _lives(self, now: float) -> list[Action]:
        before, self.state = self.state, State.ALIVE
        self._fails, self.why = 0, ""
        self.deadline = now + self._interval_s
        facts: dict[str, Json] = {"trunk": self.trunk, "place": self.uri}
        return [Log("info", "trunk_alive", facts)] if before is not State.ALIVE else []
