"""What a phone sends packet by packet, and which keys were told of it."""

from __future__ import annotations

import asyncio
import itertools

from media.engine import Bridge, Codec, Digit, Opened
from tests.support import sound
from tests.support.keys import press
from tests.support.pace import PACE
from tests.support.rtp import FRAME, Packet, RtpEndpoint, build_packet
from tests.support.sound import Samples
from tests.support.worker import Controller

G729 = Codec(payload_type=18, name="G729")


G722 = Codec(payload_type=9, name="G722")


OPUS = Codec(payload_type=111, name="opus", clock_rate_hz=48_000, channels=2)


L16 = Codec(payload_type=96, name="L16")


FAST_EVENTS = Codec(payload_type=110, name="telephone-event", clock_rate_hz=48_000)


ALL = "1234567890*#ABCD"


# A press of which nothing more came for 200 ms has ended, by the clock of the worker; half of that for the phone, half for the worker.
# What is held up for longer is two presses, in tones by right and in events by mistake (see the test that is expected to fail).
PATIENCE_S = 0.1


class Mouth:
    """What a phone sends, packet by packet as a test wants it. units: of the RTP clock in 20 ms."""

    def __init__(self, phone: RtpEndpoint, stream: Opened, *, units: int = FRAME, event_type: int = 101, seed: int = 1) -> None:
        self.phone, self.target = phone, (stream.address, stream.port)
        self.units, self.event_type = units, event_type
        self.sequence, self.timestamp, self.ssrc = 1000 * seed, 0xFFFFFF00, 77 + seed

    def packet(self, payload: bytes, payload_type: int, marker: bool = False) -> bytes:
        self.sequence += 1
        return build_packet(payload_type, self.sequence, self.timestamp, self.ssrc, payload, marker)

    def send(self, packets: list[bytes]) -> None:
        for packet in packets:
            self.phone.send_raw(packet, self.target)

    def pressed(self, key: str, ms: int = 100) -> list[bytes]:
        """The packets of a press; time goes on by its length and a pause of as much."""
        packets = [
            self.packet(payload, self.event_type, marker=number == 0)
            for number, payload in enumerate(press(key, ms * self.units // 20, self.units))
        ]
        self.timestamp += 2 * ms * self.units // 20
        return packets

    async def press(self, keys: str, ms: int = 100, pause_ms: int = 100) -> None:
        """Keys at the pace of a phone that sends nothing but events."""
        loop = asyncio.get_running_loop()
        next_at = loop.time()
        for key in keys:
            packets = self.pressed(key, ms)
            for packet in packets[:-2]:
                self.send([packet])
                next_at = await self._until(next_at, 0.02)
            self.send(packets[-2:])
            next_at = await self._until(next_at, pause_ms / 1000)

    async def say(self, audio: Samples, payload_type: int = 0) -> None:
        """G.711 at its pace."""
        loop = asyncio.get_running_loop()
        next_at = loop.time()
        for start in range(0, len(audio) - FRAME + 1, FRAME):
            self.send([self.packet(sound.encode(audio[start : start + FRAME], payload_type), payload_type)])
            self.timestamp += FRAME
            next_at = await self._until(next_at, 0.02)

    @staticmethod
    async def _until(due: float, step_s: float) -> float:
        """What was due has left; until the next is, and when that is."""
        clock = asyncio.get_running_loop().time
        PACE.note(clock() - due, "a phone")
        await asyncio.sleep(max(0.0, due + step_s - clock()))
        return due + step_s


async def joined(
    media: Controller,
    alice: RtpEndpoint,
    bob: RtpEndpoint,
    a: list[Codec] | None = None,
    b: list[Codec] | None = None,
    *,
    inband: bool = False,
) -> tuple[Opened, Opened]:
    """Streams "a" and "b" in bridge "ab"; nobody talks yet. inband: tones are listened for at "a"."""
    to_alice, to_bob = await media.open("a", call="CA"), await media.open("b", call="CA")
    media.connect_to("a", alice, a, inband_digits=inband)
    media.connect_to("b", bob, b)
    media.send(Bridge(bridge="ab", first="a", second="b"))
    await media.synchronize()
    return to_alice, to_bob


async def told(media: Controller, count: int, stream: str = "a", timeout_s: float = 5.0, settle_s: float = 0.35) -> str:
    """The keys that were told of a stream: waits for so many, then for more that there should not be."""
    for _ in range(int(timeout_s / 0.05)):
        if len([one for one in media.seen(Digit) if one.stream == stream]) >= count:
            break
        await asyncio.sleep(0.05)
    await asyncio.sleep(settle_s)
    return "".join(one.digit for one in media.seen(Digit) if one.stream == stream)


def sources(media: Controller) -> set[str]:
    return {one.source for one in media.seen(Digit)}


def assert_unbroken(packets: list[Packet]) -> None:
    """One source, numbers that rise by one, timestamps that never fall (packets of one press share theirs)."""
    assert len({packet.ssrc for packet in packets}) == 1
    for one, other in itertools.pairwise(packets):
        assert (other.sequence - one.sequence) % 2**16 == 1
        assert (other.timestamp - one.timestamp) % 2**32 < 2**31
