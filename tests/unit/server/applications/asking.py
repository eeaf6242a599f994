"""A Fetcher for tests, one request by it, and a resolver whose answers the test has."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp.abc import AbstractResolver, ResolveResult

from config.settings import HttpSettings
from server.applications.fetch import Fetcher
from server.applications.signing import Signer
from server.calls.effects import Fetch, Fetched

# A secret as `dialplane token --webhooks` shows it, and the one before it.
SECRETS = ("whsec_" + "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_" + "C2FVsBQIhrscChlQIMV+b5sSYspob7oD")
PARAMETERS = (("CallSid", "CA1"), ("From", "+1 2"), ("SipHeader_X-A", "ü&"))


@asynccontextmanager
async def fetcher(resolver: AbstractResolver | None = None, **knobs: Any) -> AsyncIterator[Fetcher]:
    made = Fetcher(HttpSettings.model_validate({"allow": ["127.0.0.1/32"], "timeout_s": 2, **knobs}), Signer("token", SECRETS), resolver)
    try:
        yield made
    finally:
        await made.close()


async def ask(url: str, method: str = "POST", parameters: tuple[tuple[str, str], ...] = PARAMETERS, **knobs: Any) -> Fetched:
    async with fetcher(**knobs) as made:
        return await made.fetch(Fetch(7, "CA1", "voice", url, method, parameters))


class Resolver(AbstractResolver):
    """Names with prepared addresses; a list is used up, as by a server that changes its mind."""

    def __init__(self, names: dict[str, list[str]]) -> None:
        self._names = names

    async def resolve(self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET) -> list[ResolveResult]:
        if host not in self._names:
            raise OSError(None, "no such name")
        addresses = self._names[host]
        address = addresses.pop(0) if len(addresses) > 1 else addresses[0]
        version = socket.AF_INET6 if ":" in address else socket.AF_INET
        return [ResolveResult(hostname=host, host=address, port=port, family=version, proto=0, flags=socket.AI_NUMERICHOST)]

    async def close(self) -> None:
        pass
