"""Where a `<Sip>` of a document may lead, so that no document calls what only this machine can reach.

Judged like the URLs of documents (`server.applications.guard`), but by what SIP needs: the phones and gateways of the trunks are mostly
on private networks, and whoever may call us may be called. An IP literal is judged before anything is sent, a name when it has been
resolved, for each of its addresses: what a name leads to is known no sooner, and may be another thing the next time.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection

from config.settings import Settings
from config.types import Address, address_of
from server.applications.guard import Ranges
from sip.core.flows import Resolve, Target
from sip.core.routing import wants
from sip.errors import ParseError
from sip.message.uri import parse_uri
from sip.transport.resolver import Lookup, Naptr, Resolver, Srv

REMEMBERED = 1000  # names that led to what is denied


class Reach:
    """`dial.sip_allow`, the `allow` of all trunks and their proxies, over `dial.sip_deny`."""

    def __init__(self, settings: Settings) -> None:
        proxies = [host for trunk in settings.trunks for uri in (trunk.proxy, trunk.fallback_proxy) if (host := _host(uri))]
        self._names = frozenset(host for host in proxies if address_of(host) is None)
        own = [f"{address}/{address.max_prefixlen}" for host in proxies if (address := address_of(host)) is not None]
        listed = [network for trunk in settings.trunks for network in trunk.allow]
        self._ranges = Ranges((*settings.dial.sip_allow, *listed, *own), settings.dial.sip_deny)
        self._refused: dict[str, str] = {}

    def refusal(self, host: str) -> str | None:
        """Why a SIP request may not go to a host, in words that name the setting; None: it may, as far as that is known of a name."""
        address = address_of(host)
        if address is None:
            return self._refused.get(_name(host))
        why = self._why(address)
        return None if why is None else f"{host} {why}"

    def _why(self, address: Address) -> str | None:
        denied = self._ranges.denied(address)
        if denied is None:
            return None
        return f'lies in {denied[0]} of dial.sip_deny; add "{denied[1]}" to dial.sip_allow, or to allow of one of the [[trunks]]'

    def sift(self, host: str, targets: list[Target]) -> list[Target]:
        """Those of a name's targets that may be reached. When there are none, `refusal` tells why from then on."""
        name = _name(host)
        self._refused.pop(name, None)
        if name in self._names:
            return targets
        open_ones = [target for target in targets if self.refusal(target.address.host) is None]
        if targets and not open_ones:
            if len(self._refused) >= REMEMBERED:
                del self._refused[next(iter(self._refused))]
            first = targets[0].address.host
            address = address_of(first)
            self._refused[name] = f"{host} is {first}, which {self._why(address) if address is not None else 'is no address'}"
        return open_ones


class GuardedResolver(Resolver):
    """reach: changes with the configuration."""

    def __init__(self, reach: Reach, lookup: Lookup | None = None) -> None:
        super().__init__(lookup or LateLookup(), secrets.randbelow)
        self.reach = reach

    async def resolve(self, query: Resolve, versions: Collection[int] = (4, 6), asked: list[str] | None = None) -> list[Target]:
        return self.reach.sift(query.host, await super().resolve(query, versions, asked))


class LateLookup:
    """The name servers of the system; only who uses names needs a DNS client."""

    def __init__(self) -> None:
        self._made: Lookup | None = None

    @property
    def _lookup(self) -> Lookup:
        if self._made is None:
            from sip.transport.dns import AiodnsLookup

            self._made = AiodnsLookup()
        return self._made

    async def naptr(self, name: str) -> list[Naptr]:
        return await self._lookup.naptr(name)

    async def srv(self, name: str) -> list[Srv]:
        return await self._lookup.srv(name)

    async def addresses(self, name: str) -> list[str]:
        return await self._lookup.addresses(name)

    async def close(self) -> None:
        if self._made is not None:
            await self._made.close()


def _name(host: str) -> str:
    return host.rstrip(".").lower()


def _host(uri: str) -> str:
    """Where a proxy's URI leads; "" for none."""
    try:
        return _name(wants(parse_uri(uri))[0]) if uri else ""
    except ParseError:
        return ""
