"""The demo phones' audio: one UDP socket that says something every 20 ms and keeps what it hears (RFC 3550, PCMU only)."""

from __future__ import annotations

import asyncio
import struct
from typing import cast

from server.demo.sound import FRAME, Samples, decode, encode

HEADER = struct.Struct("!BBHII")
PCMU = 0
KEPT = 60 * 8000  # samples of what was heard


class Audio(asyncio.DatagramProtocol):
    """Open with `await Audio.open()`; `send_to` starts it talking, `close` ends it."""

    def __init__(self) -> None:
        self.heard: Samples = []
        self.port = 0
        self.echo = False  # say what is heard, when there is nothing else to say
        self._words: Samples = []
        self._target: tuple[str, int] | None = None
        self._talking: asyncio.Task[None] | None = None
        self._transport: asyncio.DatagramTransport

    @classmethod
    async def open(cls, host: str) -> Audio:
        loop = asyncio.get_running_loop()
        _, protocol = await loop.create_datagram_endpoint(cls, local_addr=(host, 0))
        return protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)
        self.port = self._transport.get_extra_info("sockname")[1]

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        if len(data) <= HEADER.size or data[0] != 0x80 or data[1] & 0x7F != PCMU:
            return
        samples = decode(data[HEADER.size :])
        self.heard += samples
        del self.heard[:-KEPT]
        if self.echo and len(self._words) < 4 * FRAME:
            self._words += samples

    def send_to(self, host: str, port: int) -> None:
        """Send there from now on."""
        self._target = (host, port)
        if self._talking is None:
            self._talking = asyncio.create_task(self._talk())

    def say(self, samples: Samples) -> None:
        """Say this next, after what is being said."""
        self._words += samples

    def silence(self) -> None:
        """Stop sending."""
        if self._talking is not None:
            self._talking.cancel()
            self._talking = None

    def close(self) -> None:
        self.silence()
        self._transport.close()

    async def _talk(self) -> None:
        loop = asyncio.get_running_loop()
        sequence, timestamp, source = 1, 0, id(self) & 0xFFFFFFFF
        at = loop.time()
        while self._target is not None:
            frame, self._words = self._words[:FRAME], self._words[FRAME:]
            frame += [0] * (FRAME - len(frame))
            self._transport.sendto(HEADER.pack(0x80, PCMU, sequence & 0xFFFF, timestamp & 0xFFFFFFFF, source) + encode(frame), self._target)
            sequence += 1
            timestamp += FRAME
            at = max(at + 0.02, loop.time() - 0.1)
            await asyncio.sleep(at - loop.time())
