"""Where a SIP URI leads: RFC 3263, over any source of DNS records.

    transport in the URI, or a port ──────────────────────────────┐
    NAPTR ─▶ SRV name per transport ─┐                            ▼
    no NAPTR: SRV for each of ours ──┴─▶ SRV, ordered ─▶ A and AAAA of each target
    no SRV: the name itself, default port ────────────────▶ A and AAAA

The order of records is decided by pure functions (`order_naptr`, `order_srv`); randomness comes in as an argument.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from typing import Protocol

from sip.core.flows import Address, Resolve, Target
from sip.core.transports import TRANSPORTS, default_port
from sip.settings import SPOKEN
from sip.transport.address import ip_version

MAX_TARGETS = 16  # a name may list hundreds; nobody waits for the seventeenth time-out
_NAPTR_SERVICES = {transport.naptr: name for name, transport in TRANSPORTS.items() if transport.naptr}


@dataclass(frozen=True, slots=True)
class Naptr:
    """RFC 3403. `replacement` is the name of an SRV record when `flags` is "s"."""

    order: int
    preference: int
    flags: str
    service: str
    replacement: str


@dataclass(frozen=True, slots=True)
class Srv:
    """RFC 2782."""

    priority: int
    weight: int
    port: int
    target: str


class Lookup(Protocol):
    """A source of records. What does not exist, or cannot be found out, is an empty list."""

    async def naptr(self, name: str) -> list[Naptr]: ...

    async def srv(self, name: str) -> list[Srv]: ...

    async def addresses(self, name: str) -> list[str]:
        """IP literals, the preferred one first (RFC 6724)."""
        ...

    async def close(self) -> None: ...


class _Noting:
    """A source of records that notes what it was asked for, such as `SRV _sip._udp.example.com`."""

    def __init__(self, lookup: Lookup, asked: list[str]) -> None:
        self._lookup, self._asked = lookup, asked

    async def naptr(self, name: str) -> list[Naptr]:
        self._asked.append(f"NAPTR {name}")
        return await self._lookup.naptr(name)

    async def srv(self, name: str) -> list[Srv]:
        self._asked.append(f"SRV {name}")
        return await self._lookup.srv(name)

    async def addresses(self, name: str) -> list[str]:
        self._asked.append(f"A/AAAA {name}")
        return await self._lookup.addresses(name)

    async def close(self) -> None:
        await self._lookup.close()


class _Answer(enum.Enum):
    NO_SERVICE = "no service"  # an SRV record that says so


class Resolver:
    """RFC 3263 section 4.

    random_below: an integer of 0 ≤ n < the argument, for the weights.
    transports: what this machine speaks; the others are passed over.
    """

    def __init__(self, lookup: Lookup, random_below: Callable[[int], int], transports: Collection[str] = SPOKEN) -> None:
        self._lookup = lookup
        self._random_below = random_below
        self._transports = tuple(transport for transport in TRANSPORTS if transport in transports)

    def limit_to(self, transports: Collection[str]) -> None:
        """Pass over those that there is no socket of."""
        self._transports = tuple(one for one in TRANSPORTS if one in transports)

    async def resolve(self, query: Resolve, versions: Collection[int] = (4, 6), asked: list[str] | None = None) -> list[Target]:
        """The targets in the order to be tried; empty when the name leads nowhere.

        Args:
            versions: of IP that this machine has a socket for; addresses of others are left out.
            asked: gets what DNS was asked for, as it is asked; for who has to find out why a name leads nowhere.
        """
        if asked is not None:
            return await Resolver(_Noting(self._lookup, asked), self._random_below, self._transports).resolve(query, versions)
        host = query.host.rstrip(".").lower()
        transports = tuple(t for t in self._transports if not query.secure or TRANSPORTS[t].secure)
        if query.transport is not None:
            transports = (query.transport.lower(),) if query.transport.lower() in self._transports else ()
        if not transports:
            return []
        if ip_version(host) is not None or query.port is not None or _is_localhost(host):
            transport = transports[0]  # 4.1: without a transport parameter UDP, or TLS for sips
            return await self._addresses(host, query.port or default_port(transport), transport, versions)
        targets: list[Target] = []
        services = await self._services(host, transports, asked=query.transport is not None)
        for transport, name in services:
            found = await self._service(name, transport, versions)
            if found is _Answer.NO_SERVICE:
                if len(services) == 1:
                    return []
            else:
                targets += found
            if len(targets) >= MAX_TARGETS:
                break
        if not targets:  # 4.2: no SRV records
            transport = services[0][0] if services else transports[0]
            targets = await self._addresses(host, default_port(transport), transport, versions)
        return _unique(targets)[:MAX_TARGETS]

    async def close(self) -> None:
        await self._lookup.close()

    async def _services(self, host: str, transports: tuple[str, ...], *, asked: bool) -> list[tuple[str, str]]:
        """(transport, SRV name), the preferred one first."""
        if not asked and (chosen := order_naptr(await self._lookup.naptr(host), transports)):
            return chosen
        return [(transport, f"{TRANSPORTS[transport].srv}.{host}") for transport in transports if TRANSPORTS[transport].srv]

    async def _service(self, name: str, transport: str, versions: Collection[int]) -> list[Target] | _Answer:
        records = await self._lookup.srv(name)
        if len(records) == 1 and records[0].target in (".", ""):  # RFC 2782: decidedly not available
            return _Answer.NO_SERVICE
        targets: list[Target] = []
        for record in order_srv(records, self._random_below):
            if record.target not in (".", "") and 0 < record.port < 65536:
                targets += await self._addresses(record.target.rstrip("."), record.port, transport, versions)
            if len(targets) >= MAX_TARGETS:
                break
        return targets

    async def _addresses(self, host: str, port: int, transport: str, versions: Collection[int]) -> list[Target]:
        if ip_version(host) is not None:
            found = [host]
        elif _is_localhost(host):
            found = ["127.0.0.1", "::1"]  # RFC 6761 6.3: never asked of DNS
        else:
            found = await self._lookup.addresses(host)
        return [Target(transport, Address(address, port)) for address in found if ip_version(address) in versions]


def order_naptr(records: Iterable[Naptr], transports: Collection[str]) -> list[tuple[str, str]]:
    """(transport, SRV name) of the records that are of use to us, by order and preference (RFC 3263 4.1, RFC 3403 4.1)."""
    chosen = []
    for record in sorted(records, key=lambda record: (record.order, record.preference)):
        transport = _NAPTR_SERVICES.get(record.service.upper())
        if transport is not None and transport in transports and record.flags.lower() == "s" and record.replacement not in ("", "."):
            chosen.append((transport, record.replacement.rstrip(".")))
    return chosen


def order_srv(records: Iterable[Srv], random_below: Callable[[int], int]) -> list[Srv]:
    """By priority, and within one priority at random by weight (RFC 2782, "Weight")."""
    ordered: list[Srv] = []
    by_priority: dict[int, list[Srv]] = {}
    for record in records:
        by_priority.setdefault(record.priority, []).append(record)
    for _, group in sorted(by_priority.items()):
        left = sorted(group, key=lambda record: record.weight != 0)  # those of weight 0 first: they have a small chance
        while left:
            point = random_below(sum(record.weight for record in left) + 1)
            reached = 0
            for record in left:
                reached += record.weight
                if reached >= point:
                    break
            left.remove(record)
            ordered.append(record)
    return ordered


def _is_localhost(host: str) -> bool:
    return host == "localhost" or host.endswith(".localhost")


def _unique(targets: list[Target]) -> list[Target]:
    return list(dict.fromkeys(targets))
