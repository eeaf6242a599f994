"""Orders to the calls from outside of them: make one, run another document on one, end one (behaviour.md 5.3, 5.4). The API gives them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol, TypeVar

from rcml.reader import Element, Reader
from rcml.settings import RcmlSettings
from rcml.verbs.nouns import Client, Number, Sip, parse_client, parse_number, parse_sip
from server.calls.legs.callbacks import LegCallbacks
from server.calls.legs.leg import Direction, Leg, LegState
from server.calls.legs.party import Party
from server.calls.names import CALL, new_sid
from server.calls.outbox import Action
from server.calls.policy import Application
from server.calls.registry import Registry
from server.calls.targets import CallerIdentity, Unreachable
from server.observability.clock import WallClock
from server.storage.rows import CallRow

T = TypeVar("T")
Callee = Number | Client | Sip


class Give(Protocol):
    """Have an input of the registry dealt with in its turn, and get what it has besides actions."""

    def __call__(self, handle: Callable[[float], tuple[T, list[Action]]]) -> Awaitable[T]: ...


class NotPossible(Exception):
    """The order cannot be carried out as things are. kind: why, for who translates it; text: for the one who gave it, with the remedy."""

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(text)
        self.kind = kind


# Kinds of NotPossible.
UNREACHABLE, FULL, UNKNOWN, NOT_IN_PROGRESS = "unreachable", "full", "unknown", "not in progress"


@dataclass(frozen=True, slots=True)
class NewCall:
    """to: `client:NAME`, a SIP URI, or a number; caller: as From shows it. Seconds: how long it may ring, and talk (0: without a limit)."""

    to: str
    caller: str
    application: Application
    timeout_s: float = 60.0
    limit_s: float = 0.0
    status_callback: str | None = None
    status_callback_method: str = "POST"
    status_callback_events: tuple[str, ...] = ("completed",)
    username: str | None = None
    password: str | None = None

    def noun(self, settings: RcmlSettings) -> Callee:
        """As a Dial would have it, headers of `?X-name=value` included. Raises NotPossible, UNREACHABLE."""
        told = {"statusCallback": self.status_callback, "statusCallbackEvent": " ".join(self.status_callback_events)}
        told |= {"statusCallbackMethod": self.status_callback_method, "username": self.username, "password": self.password}
        text = self.to.strip()
        scheme = text.lower()
        kind = "Number"
        if scheme.startswith("client:"):
            kind = "Client"
        elif "@" in text or scheme.startswith(("sip:", "sips:")):
            kind = "Sip"
        read = Reader("", settings)
        element = Element(kind, 0, {name: value for name, value in told.items() if value})
        noun = NOUNS[kind](element, read, text)
        complaints = [notice.message for notice in read.notices]
        if noun is None or complaints:
            raise NotPossible(UNREACHABLE, f"To cannot be called: {'; '.join(complaints)}")
        return noun


NOUNS: Mapping[str, Callable[[Element, Reader, str], Callee | None]] = {
    "Client": parse_client,
    "Number": parse_number,
    "Sip": parse_sip,
}


@dataclass(frozen=True, slots=True)
class Standing:
    """A live leg, as it would be stored, and its status by the words of REST."""

    row: CallRow
    status: str


class Orders:
    """registry: the one in force. clock: from monotonic seconds to wall time. overloaded: no call is made now, there are too many."""

    def __init__(
        self, registry: Callable[[], Registry], give: Give, clock: WallClock, overloaded: Callable[[], bool] = lambda: False
    ) -> None:
        self._registry = registry
        self._give = give
        self._clock = clock
        self._overloaded = overloaded

    # --- what is so -------------------------------------------------------------------------------------------------

    def live(self) -> Iterator[Standing]:
        """All legs of all calls, in no order."""
        for call in self._registry().calls.values():
            for leg in call.all_legs:
                if not leg.over:
                    yield self._standing(leg)

    def standing(self, sid: str) -> Standing | None:
        leg = self._registry().leg_of(sid)
        return self._standing(leg) if leg is not None and not leg.over else None

    def _standing(self, leg: Leg) -> Standing:
        at = self._clock.at
        row = CallRow(
            sid=leg.sid,
            parent_sid=leg.parent_sid,
            account_sid=self._registry().policy.account_sid,
            direction=leg.direction.value,
            from_user=leg.from_user,
            to_user=leg.to_user,
            created_at=at(leg.created_at),
            answered_at=None if leg.answered_at is None else at(leg.answered_at),
        )
        waits = leg.direction is not Direction.INBOUND and leg.state in (LegState.OPENING, LegState.CALLING)
        return Standing(row, "queued" if waits else leg.status)

    # --- orders -----------------------------------------------------------------------------------------------------

    async def originate(self, new: NewCall) -> Standing:
        """Begin a call. Raises NotPossible: UNREACHABLE (no such destination, or none that may be called), FULL."""

        def handle(now: float) -> tuple[Standing | NotPossible, list[Action]]:
            registry = self._registry()
            full = registry.full()
            if full is not None:
                return NotPossible(FULL, full.explain), []
            if self._overloaded():
                return NotPossible(FULL, "The server is overloaded: try again later"), []
            try:
                noun = new.noun(registry.policy.rcml)
            except NotPossible as why:
                return why, []
            caller = CallerIdentity(new.caller, None)
            placed = registry.targets.place(noun, new.caller, caller, registry.policy.sip_refusal)
            if isinstance(placed, Unreachable):
                return NotPossible(UNREACHABLE, f"{placed.reason}: {placed.remedy}" if placed.remedy else placed.reason), []
            sid = new_sid(registry.policy, CALL)
            party = Party(placed.from_user, placed.to_user)
            callbacks = LegCallbacks(noun, placed.caller_name)
            actions = registry.originate(
                placed, party, new.application, new.timeout_s, now, sid=sid, limit_s=new.limit_s, callbacks=callbacks
            )
            leg = registry.leg_of(sid)
            assert leg is not None
            return self._standing(leg), actions

        return _or_raise(await self._give(handle))

    async def redirect(self, sid: str, application: Application) -> None:
        """Run another document on a live leg. Raises NotPossible: UNKNOWN, NOT_IN_PROGRESS (we call it, and nobody has answered yet)."""

        def handle(now: float) -> tuple[NotPossible | None, list[Action]]:
            leg = self._registry().leg_of(sid)
            if leg is None or leg.over:
                return NotPossible(UNKNOWN, "There is no such call"), []
            if leg.unanswered and leg.direction is not Direction.INBOUND:
                return NotPossible(NOT_IN_PROGRESS, "The call is not in progress: nobody has answered it yet"), []
            return None, self._registry().redirect(sid, application, now)

        _or_raise(await self._give(handle))

    async def end(self, sid: str, *, only_unanswered: bool = False) -> None:
        """Hang up a live leg, or cancel it. only_unanswered: leave one alone that has been answered. Raises NotPossible: UNKNOWN."""

        def handle(now: float) -> tuple[NotPossible | None, list[Action]]:
            leg = self._registry().leg_of(sid)
            if leg is None or leg.over:
                return NotPossible(UNKNOWN, "There is no such call"), []
            return None, [] if only_unanswered and not leg.unanswered else self._registry().operator_end(sid, now)

        _or_raise(await self._give(handle))


def _or_raise(outcome: T | NotPossible) -> T:
    if isinstance(outcome, NotPossible):
        raise outcome
    return outcome
