"""What most call tests need: the server, an application, and phones that are ended with the test."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.app import Application
from tests.support.codec_phone import CodecPhone, Format
from tests.support.rtp import RtpEndpoint
from tests.support.server import PLAIN, ServerProcess
from tests.support.sipp import Phone

Key = str | int


@dataclass(slots=True)
class Scene:
    """Phones of one test. `calling` starts the caller last: the called parties must be listening."""

    server: ServerProcess
    app: Application
    directory: Path
    _stack: AsyncExitStack = field(default_factory=AsyncExitStack)

    async def __aenter__(self) -> Scene:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def rtp(self, host: str = "127.0.0.1", payload_type: int = 0) -> RtpEndpoint:
        return await self._stack.enter_async_context(await RtpEndpoint.open(host, payload_type))

    async def codec(self, format: Format, host: str = "127.0.0.1") -> CodecPhone:
        """RTP of another codec."""
        phone = await CodecPhone.open_as(format, host)
        await self._stack.enter_async_context(phone)
        return phone

    async def called(
        self, scenario: str, *, host: str = "127.0.0.1", port: int = 0, transport: str = "udp", payload_type: int = 0, **keys: Key
    ) -> Phone:
        """A called party that listens, with RTP."""
        rtp = await self.rtp(host, payload_type)
        phone = Phone(scenario, self.directory, host, port, transport=transport, rtp=rtp, keys=dict(keys))
        return await self._stack.enter_async_context(phone)

    async def calling(
        self,
        scenario: str,
        number: str = PLAIN,
        *,
        host: str = "127.0.0.1",
        source: str = "",
        transport: str = "udp",
        payload_type: int = 0,
        timeout_s: float = 30.0,
        **keys: Key,
    ) -> Phone:
        """A caller that has begun to call the server at `host` (from `source`, by default the same address)."""
        rtp = await self.rtp(source or host, payload_type)
        remote = (host, self.server.sip_port)
        every: dict[str, Key] = {"number": number, **keys}
        phone = Phone(
            scenario, self.directory, source or host, remote=remote, transport=transport, rtp=rtp, keys=every, timeout_s=timeout_s
        )
        return await self._stack.enter_async_context(phone)

    async def playing(self, phone: Phone) -> Phone:
        """Start a phone that the test has made itself; it is ended with the test."""
        return await self._stack.enter_async_context(phone)

    @staticmethod
    async def through(*phones: Phone) -> None:
        """Until all scenarios are through. Raises SippFailed for the first that went wrong."""
        waiting = [asyncio.ensure_future(phone.wait()) for phone in phones]
        try:
            await asyncio.gather(*waiting)
        finally:  # when one went wrong, nobody may still wait for another that is ended with the test
            for one in waiting:
                one.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)


def ear(phone: Phone) -> RtpEndpoint:
    """The RTP endpoint of a phone that has one."""
    assert phone.rtp is not None
    return phone.rtp
