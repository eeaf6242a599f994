"""All trunks that are looked after: their registrations, and whether their places live. Sans-I/O; one for the server.

Other settings (SIGHUP) leave the machines alone whose trunk stays as it was; a trunk that is gone is left politely.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from server.trunks.account import Account, Action
from server.trunks.liveness import Liveness
from server.trunks.registration import Registration, State
from sip.core.commands import ExchangeId
from sip.core.events import OutOfDialogAnswered
from sip.core.flows import Flow


class TrunkState(NamedTuple):
    """For the metrics. place: "" for a registration. good: it is registered, or lives."""

    trunk: str
    place: str
    good: bool


class Trunks:
    """own_uri: whom OPTIONS are from; set before the first trunk is. random_bytes: for Call-IDs and for not being everywhere at once."""

    def __init__(self, own_uri: str, random_bytes: Callable[[int], bytes]) -> None:
        self.own_uri = own_uri
        self._random_bytes = random_bytes
        self._accounts: dict[str, Account] = {}
        self._registrations: dict[str, Registration] = {}
        self._places: dict[tuple[str, str], Liveness] = {}
        self._leaving: list[Registration] = []
        self._serial = 0

    # --- what is so -----------------------------------------------------------------------------------------------

    def dead(self, uri: str) -> str | None:
        """Why nothing is sent to a place of a trunk; None: it lives, as far as is known."""
        found = [place for place in self._places.values() if place.uri == uri]
        return found[0].why if found and all(place.dead for place in found) else None

    def states(self) -> list[TrunkState]:
        known = [TrunkState(one.account.trunk, "", one.registered) for one in self._registrations.values()]
        return known + [TrunkState(place.trunk, place.uri, not place.dead) for place in self._places.values()]

    @property
    def busy(self) -> bool:
        """A registration is being taken back."""
        self._leaving = [one for one in self._leaving if one.state is not State.GONE]
        return bool(self._leaving)

    def next_deadline(self) -> float | None:
        return min((one.deadline for one in self._machines() if one.deadline is not None), default=None)

    def _machines(self) -> list[Registration | Liveness]:
        return [*self._registrations.values(), *self._places.values()]

    # --- inputs ---------------------------------------------------------------------------------------------------

    def configure(self, accounts: Iterable[Account], now: float) -> list[Action]:
        actions: list[Action] = []
        wanted = {account.trunk: account for account in accounts}
        for name, account in list(self._accounts.items()):
            if wanted.get(name) != account:
                actions += self._drop(name, now)
        for name, account in wanted.items():
            if name not in self._accounts:
                actions += self._add(account, now)
        return actions

    def answered(self, event: OutOfDialogAnswered, now: float) -> list[Action]:
        """Of an exchange of whomever: each knows its own."""
        actions: list[Action] = []
        for registration in (*self._registrations.values(), *self._leaving):
            actions += registration.answered(event, now)
        for place in self._places.values():
            before = place.dead
            actions += place.answered(event, now)
            if before and not place.dead and (registration_of := self._registrations.get(place.trunk)) is not None:
                actions += registration_of.renew(now)  # it may have forgotten us
        return actions

    def timeout(self, now: float) -> list[Action]:
        actions: list[Action] = []
        for one in self._machines():
            actions += one.timeout(now)
        return actions

    def connection_lost(self, flow: Flow, now: float) -> list[Action]:
        return [action for one in self._registrations.values() for action in one.lost(flow, now)]

    # --- inside ---------------------------------------------------------------------------------------------------

    def _add(self, account: Account, now: float) -> list[Action]:
        self._accounts[account.trunk] = account
        actions: list[Action] = []
        if account.options_s:
            for uri in account.places:
                place = Liveness(account.trunk, uri, account.options_s, self.own_uri, self._exchange, self._uniform)
                self._places[account.trunk, uri] = place
                actions += place.start(now)
        if account.registrars:
            call_id = self._random_bytes(12).hex()
            registration = self._registrations[account.trunk] = Registration(account, call_id, self._exchange, self._uniform)
            actions += registration.start(now)
        return actions

    def _drop(self, name: str, now: float) -> list[Action]:
        del self._accounts[name]
        for key in [key for key in self._places if key[0] == name]:
            del self._places[key]
        registration = self._registrations.pop(name, None)
        if registration is None:
            return []
        self._leaving.append(registration)
        return registration.leave(now)

    def _exchange(self) -> ExchangeId:
        self._serial += 1
        return ExchangeId(f"trunk-{self._serial}")

    def _uniform(self, low: float, high: float) -> float:
        return low + (high - low) * int.from_bytes(self._random_bytes(4), "big") / 2**32
