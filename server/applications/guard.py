"""Where requests of applications may lead: the guard against server-side request forgery. Pure.

A document names URLs, and whoever writes documents could so reach what only this machine can: its loopback, the private
network, the cloud's metadata. The guard is asked for every socket before it connects (`server.applications.exchange`), so it sees what
a name resolved to just now, what a redirect led to, and every spelling of a literal address.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator

from config.settings import HttpSettings, networks
from config.types import Address, address_of

_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")  # RFC 6052 2.1: the last 32 bits are an IPv4 address


class Ranges:
    """Allowed over denied: a range that is allowed is open even inside one that is denied."""

    def __init__(self, allow: tuple[str, ...], deny: tuple[str, ...]) -> None:
        self._allow = networks(allow)
        self._deny = networks(deny)

    def denied(self, address: Address) -> tuple[str, str] | None:
        """The range that denies an address, and the one that would have to be allowed; None: it is open."""
        for meant in _meanings(address):
            if any(meant in network for network in self._allow if network.version == meant.version):
                continue
            for network in self._deny:
                if network.version == meant.version and meant in network:
                    return str(network), f"{meant}/{meant.max_prefixlen}"
        return None


class Guard:
    """`http.allow` over `http.deny`."""

    def __init__(self, settings: HttpSettings) -> None:
        self._ranges = Ranges(settings.allow, settings.deny)

    def refusal(self, host: str) -> str | None:
        """Why an IP address may not be connected to, in words that name the setting; None: it may."""
        address = address_of(host)
        if address is None:
            return f"{host} is not an IP address"
        denied = self._ranges.denied(address)
        if denied is None:
            return None
        return f'{host} lies in {denied[0]} of http.deny; add "{denied[1]}" to http.allow to let applications be there'


def _meanings(address: Address) -> Iterator[Address]:
    """The address itself, or the ones that a gateway would turn it into: a tunnel is no way around the guard."""
    if isinstance(address, ipaddress.IPv4Address):
        yield address
    elif address.ipv4_mapped is not None:  # ::ffff:127.0.0.1 is 127.0.0.1 to the kernel
        yield address.ipv4_mapped
    else:
        yield address
        if address in _NAT64:
            yield ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if address.sixtofour is not None:
            yield address.sixtofour
        if address.teredo is not None:
            yield address.teredo[1]
        if int(address) >> 32 == 0 and int(address) > 0xFFFF:  # ::a.b.c.d, the long deprecated compatible form
            yield ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
