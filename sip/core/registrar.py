"""The registrar: REGISTER in, bindings kept, phones asked whether they live (RFC 3261 10.3, RFC 5626).

    REGISTER, its sender proved (`sip.core.door`) ─▶ Bindings ─▶ 200 with all that is bound
                                                        └─▶ RegistrationChanged, for each binding that came, stayed or went
    ping_s later ─▶ OPTIONS by the binding's flow ─▶ anything that only a living phone says: again ping_s later
                                                └─▶ silence, 503 ...: UNREACHABLE

An extension of the core: its endpoint serves REGISTER when it is there. Its user hears of changes and may keep them (`restore`), and asks
where a client is (`Bindings.of`); both without waiting for anything.
Source: behaviour.md 8.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from dataclasses import dataclass

from sip.core.bindings import LEFT, Binding, Bindings, Change, Changed
from sip.core.capabilities import Capabilities
from sip.core.commands import ExchangeId, ExtensionCommand, SendOutOfDialog
from sip.core.delivery import Delivery, Failure
from sip.core.events import RegistrationChanged
from sip.core.exchange import Exchange
from sip.core.flows import Flow
from sip.core.requests import new_request
from sip.core.responses import send_response
from sip.core.transactions import ServerTransaction
from sip.core.usage import Extension
from sip.message import Response, UsageError
from sip.settings import RegistrarSettings

# Final responses above 400 that a phone gives which is there all the same (behaviour.md 8; 401 to 501: it wants credentials for OPTIONS,
# or does not know it). All others, 408 and 503 among them, say that it is not.
ALIVE = frozenset((400, 401, 405, 407, 486, 501, 600))


@dataclass(frozen=True, slots=True)
class KeepClients(ExtensionCommand):
    """Whoever is none of these may not be registered any more: the configuration has changed."""

    clients: frozenset[str]


@dataclass(frozen=True, slots=True)
class Restore(ExtensionCommand):
    """The bindings of an earlier run, the one heard of last at last. What has registered since is newer."""

    bindings: tuple[Binding, ...]


class Registrar(Extension):
    """own_uri: who asks the phones, the From of OPTIONS; may be set when the addresses are known."""

    capabilities = Capabilities(inside=(), outside=("REGISTER",))
    commands = (KeepClients, Restore)

    def __init__(self, settings: RegistrarSettings, own_uri: str) -> None:
        self.bindings = Bindings(settings)
        self.settings = settings
        self.own_uri = own_uri
        self._pings: dict[str, Ping] = {}  # under way, by the key of their binding
        self._due: list[tuple[float, str, str]] = []  # (when, client, key): look at it then
        self._next: dict[str, float] = {}  # by key, which of those counts
        self.armed_at: float | None = None
        self.counts = {"registered": 0, "refused": 0, "pings": 0}

    def knows(self, host: str) -> bool:
        return self.bindings.knows(host)

    # --- REGISTER ---------------------------------------------------------------------------------------------------

    def request_received(self, transaction: ServerTransaction, now: float) -> None:
        incoming, context = transaction.incoming, self.core.context
        if not incoming.user:  # nobody may prove anything here: there are no clients
            send_response(context, transaction, 403, now)
            return
        outcome = self.bindings.register(incoming, now)
        self.counts["registered" if outcome.status == 200 else "refused"] += 1
        send_response(context, transaction, outcome.status, now, reason=outcome.reason, headers=outcome.headers)
        self._tell(outcome.changes, now)
        if outcome.status != 200:
            context.drop(incoming.flow, "register_refused", f"{incoming.user}: {outcome.reason or outcome.status}", outcome.status)

    def _tell(self, changes: Iterable[Changed], now: float) -> None:
        for one in changes:
            if one.change in LEFT:
                self._stop_asking(one.binding)
            else:
                self._look_at(one.binding, now)
            self.core.context.emit(RegistrationChanged(one.binding, one.change))

    # --- what else ends a binding -----------------------------------------------------------------------------------

    def connection_lost(self, flow: Flow, now: float) -> None:
        """Nobody can open a connection to a phone but the phone (RFC 5626 5.3): it will register again."""
        for binding in self.bindings.by(flow):
            self._end(binding, Change.DISCONNECTED, now)

    def command(self, command: ExtensionCommand, now: float) -> None:
        if isinstance(command, Restore):
            self._restore(command.bindings, now)
            return
        assert isinstance(command, KeepClients)
        for binding in [one for one in self.bindings if one.client not in command.clients]:
            self._end(binding, Change.WITHDRAWN, now)

    def _restore(self, bindings: Iterable[Binding], now: float) -> None:
        """They are asked one after the other, not all in the same moment."""
        found = [one for one in bindings if one.expires_at > now and self.bindings.find(one.client, one.key) is None]
        for number, binding in enumerate(found, 1):
            self.bindings.put(binding)
            self._look_at(binding, now, number / len(found))

    def _end(self, binding: Binding, change: Change, now: float) -> None:
        self.bindings.drop(binding)
        self._tell([Changed(binding, change)], now)

    # --- time -------------------------------------------------------------------------------------------------------

    def _look_at(self, binding: Binding, now: float, share: float = 1.0) -> None:
        """At its expiry, or at its next OPTIONS, whichever is first. share: of the time until then."""
        ping_s = self.settings.ping_s * share
        at = min(binding.expires_at, now + ping_s) if self.settings.ping_s else binding.expires_at
        self._next[binding.key] = at
        heapq.heappush(self._due, (at, binding.client, binding.key))
        self.core.context.agenda.arm(self)

    def deadline(self) -> float | None:
        return self._due[0][0] if self._due else None

    def expire(self, now: float) -> None:
        while self._due and self._due[0][0] <= now:
            at, client, key = heapq.heappop(self._due)
            binding = self.bindings.find(client, key)
            if binding is None or self._next.get(key) != at:
                continue  # it is gone, or has been heard of since
            if binding.expires_at <= now:
                self._end(binding, Change.EXPIRED, now)
            elif self.settings.ping_s and key not in self._pings:
                self._ask(binding, now)

    # --- OPTIONS ----------------------------------------------------------------------------------------------------

    def _ask(self, binding: Binding, now: float) -> None:
        self.counts["pings"] += 1
        ping = self._pings[binding.key] = Ping(self, binding)
        try:
            ping.start(now)
        except UsageError:  # a Contact that parses and cannot be sent to
            self._end(binding, Change.UNREACHABLE, now)

    def _stop_asking(self, binding: Binding) -> None:
        self._next.pop(binding.key, None)
        ping = self._pings.pop(binding.key, None)
        if ping is not None:
            ping.registrar = None

    def answered(self, asked: Binding, response: Response | None, now: float) -> None:
        """How an OPTIONS ended. response: None when there was none."""
        self._pings.pop(asked.key, None)
        binding = self.bindings.find(asked.client, asked.key)
        if binding is None:
            return
        alive = response is not None and (response.status < 400 or response.status in ALIVE)
        if alive or binding is not asked:  # it has registered anew meanwhile
            self._look_at(binding, now)
        else:
            self._end(binding, Change.UNREACHABLE, now)


class Ping:
    """One OPTIONS to a phone; an `ExchangeUser`, and what its number is taken from."""

    __slots__ = ("_binding", "registrar")

    def __init__(self, registrar: Registrar, binding: Binding) -> None:
        self.registrar: Registrar | None = registrar
        self._binding = binding

    def start(self, now: float) -> None:
        registrar, binding = self.registrar, self._binding
        assert registrar is not None
        core = registrar.core
        command = SendOutOfDialog(ExchangeId(""), "OPTIONS", binding.contact, registrar.own_uri)
        new = new_request(core.context, "OPTIONS", command, ())
        exchange = Exchange(self, "OPTIONS", self, None)
        place = binding.place(registrar.settings.contact)
        Delivery(core.deliveries, exchange, new.request, new.next_hop, None, contact=new.contact, only=place).start(now)

    def next_cseq(self) -> int:
        return 1

    def exchange_done(self, exchange: Exchange, response: Response | None, failure: Failure | None, now: float) -> None:
        if self.registrar is not None:
            self.registrar.answered(self._binding, response, now)
