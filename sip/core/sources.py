"""What is kept of the addresses that ask for something: as much for each as its user wants, and for so many of them, no more.

The gate and the door judge by it before anything else is known of a peer, so a flood from ever new addresses costs a bounded memory:
who has asked longest ago is forgotten first.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from ipaddress import IPv6Address, ip_address
from typing import Generic, TypeVar

_S = TypeVar("_S")


class Sources(Generic[_S]):
    """most: networks that are remembered. new: makes what is kept of one, at a moment."""

    def __init__(self, most: int, new: Callable[[float], _S]) -> None:
        self._most = most
        self._new = new
        self._kept: OrderedDict[str, _S] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def find(self, host: str) -> _S | None:
        """What is kept of an address (an IP literal), if anything is. To look is not to ask."""
        return self._kept.get(network_of(host))

    def of(self, host: str, now: float) -> _S:
        """The same of one that asks now."""
        kept, key = self._kept, network_of(host)
        source = kept.get(key)
        if source is None:
            while len(kept) >= self._most:
                kept.popitem(last=False)
            source = kept[key] = self._new(now)
        else:
            kept.move_to_end(key)
        return source


class Budget:
    """A bucket that fills at a rate, and holds what comes in a second."""

    __slots__ = ("_at", "_left")

    def __init__(self, per_second: float, now: float) -> None:
        self._left = max(1.0, per_second)
        self._at = now

    def spend(self, per_second: float, now: float) -> bool:
        self._left = min(max(1.0, per_second), self._left + (now - self._at) * per_second)
        self._at = now
        if self._left < 1.0:
            return False
        self._left -= 1.0
        return True


def network_of(host: str) -> str:
    """What counts as one source: an address, and of IPv6 the /64, which one sender has whole. `host` is an IP literal."""
    if ":" not in host:
        return host
    address = ip_address(host)
    if not isinstance(address, IPv6Address):
        return host
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return f"{IPv6Address(int(address) >> 64 << 64)}/64"
