"""Where clients are, as call control asks: without waiting for anything."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from sip.core.bindings import Binding, Bindings
from sip.core.flows import Flow
from sip.core.routing import wants
from sip.message.uri import parse_uri
from sip.settings import ContactPolicy


@dataclass(frozen=True, slots=True)
class Way:
    """One way to a phone. flow: None follows the URI. name: of the phone, see `name_of`; host, transport: of the next hop."""

    uri: str
    flow: Flow | None
    name: str
    host: str
    transport: str


def name_of(client: str, flow: Flow) -> str:
    """What tells a phone from all others while it is registered or calls: its client, and where its messages come from."""
    return f"{client} {flow.transport} {flow.remote}"


class Locator(Protocol):
    def find(self, client: str) -> tuple[tuple[Way, ...], ...] | None:
        """The phones of a client, each with its ways, the one heard of last first; None when there is no such client."""


class Nobody:
    """A `Locator` of a server without clients."""

    def find(self, client: str) -> tuple[tuple[Way, ...], ...] | None:
        return None


class Phones:
    """A `Locator` over the registrar's bindings. clients: who may be dialled."""

    def __init__(self, bindings: Bindings, contact: ContactPolicy, clients: frozenset[str]) -> None:
        self._bindings = bindings
        self._contact = contact
        self._clients = clients

    def find(self, client: str) -> tuple[tuple[Way, ...], ...] | None:
        if client not in self._clients:
            return None
        return tuple(tuple(map(self._way, phone)) for phone in _by_instance(self._bindings.of(client)))

    def _way(self, binding: Binding) -> Way:
        flow = binding.place(self._contact)
        name = name_of(binding.client, binding.flow)
        if flow is not None:
            return Way(binding.contact, flow, name, flow.remote.host, flow.transport)
        host, _, transport, _ = wants(parse_uri(binding.contact))
        return Way(binding.contact, None, name, host, transport or "udp")


def _by_instance(bindings: tuple[Binding, ...]) -> Iterator[list[Binding]]:
    """Two flows of one instance are one phone, which rings once (RFC 5626 6)."""
    phones: dict[object, list[Binding]] = {}
    for number, binding in enumerate(bindings):
        phones.setdefault(binding.instance or number, []).append(binding)
    yield from phones.values()
