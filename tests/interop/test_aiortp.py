"""aiortp, an RTP stack that nobody here wrote, as the phones of the worker's streams: audio, keys, reports.

It has no SRTP. What 0.8.0 does otherwise than the standards is said where a test goes around it.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiortp
import numpy as np
import pytest
from aiortp.codecs import PcmaCodec, PcmuCodec
from aiortp.codecs.g722 import G722Codec

from media.engine import Bridge, Codec, Connect, Digit, SendDigits
from tests.support import sound
from tests.support.pace import judged_by_time
from tests.support.ports import free_port
from tests.support.sound import Samples
from tests.support.worker import EVENTS, PCMA, PCMU, Controller

pytestmark = pytest.mark.interop

G722 = Codec(payload_type=9, name="G722")
# Silence behind what is said: its jitter buffer gives a packet on when the four behind it have come.
TAIL = sound.silence(0.2)


class G722InRtpClock(G722Codec):
    """aiortp's G.722 with the clock that RFC 3551 4.5.2 gives it, 8000 Hz: by itself it adds 320 to the timestamp for 20 ms."""

    @property
    def sample_rate(self) -> int:
        return 8000

    @property
    def samples_per_frame(self) -> int:
        return 160


TURNED = PcmaCodec().decode(b"\xd5") != b"\x08\x00"
OCTETS = bytes(octet ^ 0x80 if TURNED else octet for octet in range(256))


class UprightPcma(PcmaCodec):
    """aiortp's A-law with the sign that G.711 table 1 gives it: by itself it takes the octet D5, which is +8, for -8."""

    def encode(self, pcm: bytes) -> bytes:
        return super().encode(pcm).translate(OCTETS)

    def decode(self, payload: bytes) -> bytes:
        return super().decode(payload.translate(OCTETS))


CODECS: dict[Codec, Callable[[], aiortp.Codec]] = {G722: G722InRtpClock, PCMA: UprightPcma, PCMU: PcmuCodec}


class Phone:
    """An aiortp session on a stream of the worker, with the ears of a test. `target`: where it sends to."""

    def __init__(self, session: aiortp.RTPSession, target: tuple[str, int], rate_hz: int) -> None:
        self.session, self.target, self._rate_hz = session, target, rate_hz
        self._frames: list[tuple[int, Samples]] = []
        self.keys: list[tuple[str, int]] = []
        self.reports: list[Any] = []
        session.on_audio = self._hear
        session.on_dtmf = lambda key, duration: self.keys.append((key, duration))
        session.on_receiver_report = self.reports.append

    def _hear(self, pcm: bytes, timestamp: int) -> None:
        self._frames.append((timestamp, np.frombuffer(pcm, dtype="<i2").astype(np.int16)))

    def say(self, samples: Samples) -> None:
        """Queue audio of 8000 Hz; it leaves in packets of 20 ms."""
        own = sound.resample(samples, sound.RATE_HZ, self._rate_hz)
        for frame in own.reshape(-1, self._rate_hz // 50):
            self.session.send_audio_pcm_auto(frame.astype("<i2").tobytes())

    def heard(self) -> Samples:
        """What it decoded, at 8000 Hz, each packet where its timestamp puts it."""
        scale, begin = self._rate_hz // sound.RATE_HZ, self._frames[0][0] if self._frames else 0
        placed = [((timestamp - begin) % 2**32 * scale, samples) for timestamp, samples in self._frames]
        heard = np.zeros(max((at + len(samples) for at, samples in placed), default=0), dtype=np.int16)
        for at, samples in placed:
            heard[at : at + len(samples)] = samples
        return sound.resample(heard, self._rate_hz, sound.RATE_HZ)

    def press(self, key: str, in_time: bool) -> None:
        """A key of 160 ms: all packets at once, the marker on the first of the three that end it, audio going on meanwhile.

        in_time: the timestamp is the audio's; by itself it says 0, for every key.
        """
        assert self.session._sender is not None
        self.session.send_dtmf(key, 160, timestamp=self.session._sender.current_timestamp if in_time else 0)


@asynccontextmanager
async def phone(media: Controller, stream: str, host: str, codec: Codec, twice: bool) -> AsyncIterator[Phone]:
    """twice: it sends each packet again together with the next one."""
    opened = await media.open(stream, call="CA")
    port = (free_port(host, 2) + 1) // 2 * 2  # with the odd one above it
    target = (opened.address, opened.port)
    session = await aiortp.RTPSession.create(
        local_addr=(host, port),
        remote_addr=target,
        payload_type=codec.payload_type,
        codec=CODECS[codec](),
        dtmf_payload_type=EVENTS.payload_type,
        rtcp_interval=0.3,
        paced=True,
        duplicate_tx=twice,
    )
    try:
        media.send(Connect(stream=stream, remote_address=host, remote_port=port, codecs=[codec, EVENTS]))
        yield Phone(session, target, 16_000 if codec is G722 else sound.RATE_HZ)
    finally:
        await session.close()


@asynccontextmanager
async def pair(media: Controller, first: Codec = PCMU, second: Codec = PCMU, twice: bool = False) -> AsyncIterator[tuple[Phone, Phone]]:
    """Two of them on streams "a" and "b", bridged; the first may send all packets twice."""
    async with phone(media, "a", "127.0.0.2", first, twice) as alice, phone(media, "b", "127.0.0.3", second, False) as bob:
        media.send(Bridge(bridge="ab", first="a", second="b"))
        await media.synchronize()
        yield alice, bob


async def until(fits: Callable[[], bool], what: str, timeout_s: float = 6.0) -> None:
    deadline = asyncio.get_running_loop().time() + timeout_s
    while not fits():
        assert asyncio.get_running_loop().time() < deadline, what
        await asyncio.sleep(0.02)


# Packets that pass lose nothing; what is decoded and encoded once more loses what G.711 and G.722 cost.
@pytest.mark.parametrize(("first", "second", "least"), [(PCMU, PCMU, 0.99), (PCMU, PCMA, 0.98), (G722, PCMU, 0.95)])
async def test_what_one_says_the_other_hears__media_md(media: Controller, first: Codec, second: Codec, least: float) -> None:
    async with pair(media, first, second) as (alice, bob):
        for talker, words in ((alice, sound.chirp_up()), (bob, sound.chirp_down())):
            talker.say(np.concatenate((sound.silence(0.1), words, TAIL)))
        await asyncio.gather(alice.session.drain(), bob.session.drain())
        await asyncio.sleep(0.1)
        for listener, words, other in ((bob, sound.chirp_up(), sound.chirp_down()), (alice, sound.chirp_down(), sound.chirp_up())):
            with judged_by_time():
                assert sound.find(words, listener.heard()).likeness > least
            assert sound.find(other, listener.heard()).likeness < 0.5
            assert listener.session.stats["packets_lost"] == 0


@pytest.mark.parametrize("in_time", [True, False])
@pytest.mark.parametrize("second", [PCMU, G722])
async def test_its_keys_are_told_once_each_and_ours_are_understood__rfc4733_2_5(media: Controller, second: Codec, in_time: bool) -> None:
    """Though each packet comes twice. They go to the other side of the bridge, too: as packets, or pressed anew."""
    async with pair(media, second=second, twice=True) as (alice, bob):
        alice.say(sound.tone(440.0, 2.0))
        for key in "11#D":
            await asyncio.sleep(0.3)
            alice.press(key, in_time)
        media.send(SendDigits(stream="a", digits="550*", tone_ms=60, gap_ms=40))
        await until(lambda: len(alice.keys) >= 4, f"our keys were heard as {alice.keys}")
        await asyncio.sleep(0.2)
        told = [(event.stream, event.digit, event.duration_ms, event.source) for event in media.seen(Digit)]
    assert told == [("a", key, 160, "rfc4733") for key in "11#D"]
    assert [key for key, _ in bob.keys] == list("11#D")
    assert second is not PCMU or {duration for _, duration in bob.keys} == {1280}
    assert alice.keys == [(key, 480) for key in "550*"]


async def test_reports_are_understood_both_ways__rfc3550_6_4(media: Controller) -> None:
    """Five of alice's packets are lost before they reach us: our report tells her, and bob's tells us."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as nowhere:
        nowhere.bind(("127.0.0.9", 0))
        async with pair(media) as (alice, bob):
            bob.say(sound.tone(440.0, 6.0))
            alice.say(sound.tone(440.0, 6.0))
            await asyncio.sleep(0.3)
            sent = alice.session.stats["packets_sent"]
            alice.session.update_remote(nowhere.getsockname())
            await until(lambda: alice.session.stats["packets_sent"] >= sent + 5, "alice is silent")
            alice.session.update_remote(alice.target)
            lost = alice.session.stats["packets_sent"] - sent
            await until(lambda: bool(alice.reports), "no report of ours")
            assert alice.reports[-1].packets_lost == lost and 0 < alice.reports[-1].fraction_lost < 128
            assert alice.session.stats["remote_packets_lost"] == lost
            assert bob.session.stats["packets_lost"] == lost

            # A round trip is known when its report answers ours: it has understood ours, and we its.
            for _ in range(60):
                a, b = await media.stats("a"), await media.stats("b")
                if a.counters.round_trip_ms >= 0 and b.counters.round_trip_ms >= 0:
                    break
                await asyncio.sleep(0.1)
            with judged_by_time():
                assert 0 <= a.counters.round_trip_ms < 100 and 0 <= b.counters.round_trip_ms < 100
            assert (a.counters.lost_in, a.counters.remote_lost) == (lost, 0)
            assert (b.counters.lost_in, b.counters.remote_lost) == (0, lost)
