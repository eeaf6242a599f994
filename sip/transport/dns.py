"""DNS records by c-ares (aiodns): without a thread, without blocking, with the hosts file."""

from __future__ import annotations

import logging
from typing import Any

import aiodns
import pycares

from sip.transport.resolver import Naptr, Srv

log = logging.getLogger(__name__)

QUERY_TIMEOUT_S = 1.5  # per try; some firewalls swallow NAPTR queries, and the caller waits meanwhile
TRIES = 2
_ABSENT = (aiodns.error.ARES_ENODATA, aiodns.error.ARES_ENOTFOUND, aiodns.error.ARES_ENONAME)


class AiodnsLookup:
    """A `Lookup` over the name servers of the system. Needs a running event loop from construction on."""

    def __init__(self) -> None:
        self._resolver = aiodns.DNSResolver(timeout=QUERY_TIMEOUT_S, tries=TRIES)

    async def naptr(self, name: str) -> list[Naptr]:
        return [
            Naptr(data.order, data.preference, data.flags, data.service, data.replacement)
            for data in await self._query(name, "NAPTR")
            if isinstance(data, pycares.NAPTRRecordData)
        ]

    async def srv(self, name: str) -> list[Srv]:
        return [
            Srv(data.priority, data.weight, data.port, data.target)
            for data in await self._query(name, "SRV")
            if isinstance(data, pycares.SRVRecordData)
        ]

    async def addresses(self, name: str) -> list[str]:
        try:
            result = await self._resolver.getaddrinfo(name)
        except (aiodns.error.DNSError, UnicodeError) as error:
            _report(name, "A/AAAA", error)
            return []
        return list(dict.fromkeys(node.addr[0].decode("ascii").partition("%")[0] for node in result.nodes))

    async def close(self) -> None:
        await self._resolver.close()

    async def _query(self, name: str, kind: str) -> list[Any]:
        try:
            result = await self._resolver.query_dns(name, kind)
        except (aiodns.error.DNSError, UnicodeError) as error:
            _report(name, kind, error)
            return []
        return [record.data for record in result.answer]


def _report(name: str, kind: str, error: Exception) -> None:
    """A name that is not there is an answer; a server that does not answer is worth a line."""
    if isinstance(error, aiodns.error.DNSError) and error.args and error.args[0] in _ABSENT:
        return
    log.warning("dns_failed", extra={"host": name, "kind": kind, "cause": str(error)})
