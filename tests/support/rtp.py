"""The ear and mouth of a phone in a test: one RTP socket pair that talks G.711 and telephone-events, and keeps what it hears.

It keeps time like a phone: from the moment it knows where to send, a packet leaves every 20 ms, with what it was told to
say, else with silence. Where the machine does not let it, it says so (`late_s`, and to `pace.py`). Times are those of the event loop
(monotonic seconds); that of a packet's arrival is the kernel's, so a packet that is read late did not come late.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import cast

import numpy as np

from tests.support import sound
from tests.support.pace import PACE, judged_by_time
from tests.support.sound import Samples

FRAME = 160  # samples in a packet of 20 ms
DIGITS = "0123456789*#ABCD"
_HEADER = struct.Struct("!BBHII")
_EVENT = struct.Struct("!BBH")
# Options of Linux's sockets that Python does not name (asm-generic/socket.h), and what a packet brings along for each.
_SO_RCVBUFFORCE, _SO_TIMESTAMPNS, _SO_RXQ_OVFL = 33, 35, 40
_TIMESPEC, _COUNT = struct.Struct("@qq"), struct.Struct("@I")
_ROOM = 4 << 20  # for what comes while nobody reads


@dataclass(frozen=True, slots=True)
class Packet:
    """One received RTP packet. `at`: loop time of its arrival, by the kernel."""

    at: float
    payload_type: int
    marker: bool
    sequence: int
    timestamp: int
    ssrc: int
    payload: bytes
    source: tuple[str, int]


def parse_packet(data: bytes, at: float = 0.0, source: tuple[str, int] = ("", 0)) -> Packet | None:
    """None for what is no RTP. Source: RFC 3550 5.1."""
    if len(data) < 12 or data[0] >> 6 != 2:
        return None
    first, second, sequence, timestamp, ssrc = _HEADER.unpack_from(data)
    start = 12 + 4 * (first & 0x0F)
    if first & 0x10:
        if len(data) < start + 4:
            return None
        start += 4 + 4 * struct.unpack_from("!H", data, start + 2)[0]
    end = len(data) - (data[-1] if first & 0x20 else 0)
    if start > end:
        return None
    return Packet(at, second & 0x7F, bool(second & 0x80), sequence, timestamp, ssrc, data[start:end], source)


def build_packet(payload_type: int, sequence: int, timestamp: int, ssrc: int, payload: bytes, marker: bool = False) -> bytes:
    head = _HEADER.pack(0x80, payload_type | (0x80 if marker else 0), sequence & 0xFFFF, timestamp & 0xFFFFFFFF, ssrc)
    return head + payload


class _Port:
    """A UDP socket of a phone. What comes goes to `take(data, source, at)`."""

    def __init__(self, one: socket.socket, take: Callable[[bytes, tuple[str, int], float], None]) -> None:
        self.dropped = 0  # by the kernel, because its buffer was full
        self._socket, self._take = one, take
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(one.fileno(), self._read)

    def sendto(self, data: bytes, target: tuple[str, int]) -> None:
        """A network refuses nothing: what cannot be sent is lost."""
        if not self.is_closed:
            with contextlib.suppress(OSError):
                self._socket.sendto(data, target)

    @property
    def is_closed(self) -> bool:
        return self._socket.fileno() < 0

    def close(self) -> None:
        if not self.is_closed:
            self._loop.remove_reader(self._socket.fileno())
            self._socket.close()

    def _read(self) -> None:
        for _ in range(256):  # then others have their turn
            try:
                data, notes, _, source = self._socket.recvmsg(65_535, 128)
            except OSError:  # no more, or a port of the peer that is closed
                return
            self._take(data, (str(source[0]), int(source[1])), self._arrived(notes))
            if self.is_closed:
                return

    def _arrived(self, notes: list[tuple[int, int, bytes]]) -> float:
        at = self._loop.time()
        for level, kind, value in notes:
            if (level, kind) == (socket.SOL_SOCKET, _SO_TIMESTAMPNS):
                seconds, nanoseconds = _TIMESPEC.unpack(value)
                at -= max(0, time.time_ns() - seconds * 1_000_000_000 - nanoseconds) / 1e9
            elif (level, kind) == (socket.SOL_SOCKET, _SO_RXQ_OVFL):
                (self.dropped,) = _COUNT.unpack(value)
        return at


@dataclass(slots=True)
class RtpEndpoint:
    """One end of an audio stream; made by `open`, ended by `close` (or `async with`)."""

    host: str
    port: int = 0
    payload_type: int = 0  # what it talks: 0 PCMU, 8 PCMA
    event_type: int = 101
    packets: list[Packet] = field(default_factory=list)
    rtcp: list[tuple[bytes, tuple[str, int]]] = field(default_factory=list)
    malformed: int = 0
    late_s: float = 0.0  # the most by which a packet left behind its time, since this was last set to 0
    _target: tuple[str, int] | None = None
    _speech: deque[Samples] = field(default_factory=deque)
    _digits: deque[tuple[int, int]] = field(default_factory=deque)
    _sequence: int = 4711
    _timestamp: int = 160_000
    _ssrc: int = 0x0D1A_0000
    _media: _Port | None = None
    _control: _Port | None = None
    _talking: asyncio.Task[None] | None = None
    _muted: bool = False
    _at: float = 0.0  # when what is being received has arrived
    _idle: asyncio.Event = field(default_factory=asyncio.Event)

    @classmethod
    async def open(cls, host: str = "127.0.0.1", payload_type: int = 0) -> RtpEndpoint:
        """Open an even port and the odd one above it."""
        endpoint = cls(host, payload_type=payload_type)
        first, second = _pair(host)
        endpoint.port = first.getsockname()[1]
        endpoint._ssrc += endpoint.port
        endpoint._media = _Port(first, endpoint._take)
        endpoint._control = _Port(second, lambda data, source, _: endpoint.rtcp.append((data, source)))
        return endpoint

    async def __aenter__(self) -> RtpEndpoint:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Stop talking and close the sockets; what was heard stays."""
        if self._talking is not None:
            self._talking.cancel()
            await asyncio.gather(self._talking, return_exceptions=True)
            self._talking = None
        for port in (self._media, self._control):
            if port is not None:
                port.close()

    # --- mouth ------------------------------------------------------------------------------------------------------

    @property
    def target(self) -> tuple[str, int] | None:
        return self._target

    def send_to(self, target: tuple[str, int]) -> None:
        """Send there from now on; the first time starts the stream."""
        self._target = target
        if self._talking is None:
            self._talking = asyncio.create_task(self._talk())

    def say(self, samples: Samples) -> None:
        """Queue audio; it is sent in its turn, in packets of 20 ms (the last one is filled up with silence)."""
        padded = np.concatenate((samples, np.zeros(-len(samples) % FRAME, dtype=np.int16)))
        self._speech.extend(padded.reshape(-1, FRAME))
        self._idle.clear()

    def press(self, digits: str, tone_ms: int = 100) -> None:
        """Queue telephone-events (RFC 4733), sent before queued audio, 100 ms of silence after each."""
        self._digits.extend((DIGITS.index(digit), tone_ms) for digit in digits)
        self._idle.clear()

    def mute(self, muted: bool = True) -> None:
        """Send nothing at all while muted: no packets, as from a phone that has died."""
        self._muted = muted

    async def said(self) -> None:
        """Until everything queued has left."""
        await self._idle.wait()

    def send_raw(self, data: bytes, target: tuple[str, int] | None = None) -> None:
        """Any octets, for tests of what a peer must bear."""
        if self._media is not None and (where := target or self._target) is not None:
            self._media.sendto(data, where)

    async def _talk(self) -> None:
        loop = asyncio.get_running_loop()
        next_at = loop.time()
        marker = True
        while True:
            if self._digits:
                next_at = await self._press(*self._digits.popleft(), next_at)
                marker = True
                continue
            if not self._speech:
                self._idle.set()
            frame = self._speech.popleft() if self._speech else np.zeros(FRAME, dtype=np.int16)
            self._send(self.payload_type, sound.encode(frame, self.payload_type), self._timestamp, marker)
            marker = False
            self._timestamp += FRAME
            next_at = await self._tick(next_at)

    async def _press(self, event: int, tone_ms: int, next_at: float) -> float:
        """One key: one timestamp, growing duration, its last packet three times (RFC 4733 2.5.1)."""
        count = tone_ms // 20
        for i in range(1, count + 1):
            for _ in range(3 if i == count else 1):
                last = 0x80 if i == count else 0
                self._send(self.event_type, _EVENT.pack(event, last | 10, i * FRAME), self._timestamp, marker=i == 1)
            next_at = await self._tick(next_at)
        self._timestamp += count * FRAME
        for _ in range(5):
            self._send(self.payload_type, sound.encode(np.zeros(FRAME, dtype=np.int16), self.payload_type), self._timestamp)
            self._timestamp += FRAME
            next_at = await self._tick(next_at)
        return next_at

    async def _tick(self, next_at: float) -> float:
        """Sleep to the next 20 ms mark; a mark missed by far is not made up for."""
        clock = asyncio.get_running_loop().time
        self._left(clock() - next_at)
        next_at = max(next_at + 0.02, clock() - 0.1)
        await asyncio.sleep(max(0.0, next_at - clock()))
        return next_at

    def _left(self, late_s: float) -> None:
        """A packet has left so much behind its time."""
        if not self._muted:
            self.late_s = max(self.late_s, late_s)
            PACE.note(late_s, "a phone")

    def _send(self, payload_type: int, payload: bytes, timestamp: int, marker: bool = False) -> None:
        if not self._muted:
            self.send_raw(build_packet(payload_type, self._sequence, timestamp, self._ssrc, payload, marker))
        self._sequence += 1

    # --- ear --------------------------------------------------------------------------------------------------------

    @property
    def dropped(self) -> int:
        """How many packets had no room because nobody read: what is missing then was sent."""
        return self._media.dropped if self._media is not None else 0

    def _take(self, data: bytes, source: tuple[str, int], at: float) -> None:
        self._at = at
        self.receive(data, source)

    def receive(self, data: bytes, source: tuple[str, int]) -> None:
        packet = parse_packet(data, self._at, source)
        if packet is None:
            self.malformed += 1
        else:
            self.packets.append(packet)

    def mark(self) -> int:
        """A place in what was heard, for `heard(since)`."""
        return len(self.packets)

    def heard(self, since: int = 0) -> Samples:
        """What came in, put in place by the RTP timestamps; what was lost or not sent is silence."""
        audio = [packet for packet in self.packets[since:] if packet.payload_type in sound.DECODE]
        if not audio:
            return sound.silence(0)
        origin, ssrc, base = audio[0].timestamp, audio[0].ssrc, 0
        placed: list[tuple[int, Samples]] = []
        end = 0
        for packet in audio:
            offset = _signed(packet.timestamp - origin)
            if packet.ssrc != ssrc or abs(base + offset - end) > 60 * sound.RATE_HZ:  # another stream: goes on where this ended
                origin, ssrc, base, offset = packet.timestamp, packet.ssrc, end, 0
            if base + offset >= 0:
                samples = sound.decode(packet.payload, packet.payload_type)
                placed.append((base + offset, samples))
                end = max(end, base + offset + len(samples))
        heard = np.zeros(end, dtype=np.int16)
        for at, samples in placed:
            heard[at : at + len(samples)] = samples
        return heard

    async def until(self, count: int, since: int = 0, timeout_s: float = 10.0) -> list[Packet]:
        """What came since then, once it is so many packets.

        Raises:
            AssertionError: so many did not come.
        """
        deadline = asyncio.get_running_loop().time() + timeout_s
        while len(self.packets) < since + count:
            if asyncio.get_running_loop().time() > deadline:
                raise AssertionError(f"{len(self.packets) - since} packets of {count} came in {timeout_s} s")
            await asyncio.sleep(0.01)
        return self.packets[since:]

    async def until_silence(self, of_s: float = 0.4, since: int = 0, timeout_s: float = 15.0) -> list[Packet]:
        """What came since then, once something has come and then nothing for so long: the end of whatever is sent.

        Raises:
            AssertionError: nothing came, or it does not end.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_s
        while len(self.packets) <= since or loop.time() - self.packets[-1].at < of_s:
            if loop.time() > deadline:
                raise AssertionError(f"{len(self.packets) - since} packets, and no silence of {of_s} s in {timeout_s} s")
            await asyncio.sleep(0.02)
        return self.packets[since:]

    def missing(self, since: int = 0) -> int:
        """How many packets did not come, by the sequence numbers of each source."""
        seen: dict[int, list[int]] = {}
        for packet in self.packets[since:]:
            numbers = seen.setdefault(packet.ssrc, [packet.sequence])
            numbers.append(numbers[-1] + _step(packet.sequence - numbers[-1]))
        return sum(max(numbers) - min(numbers) + 1 - len(set(numbers)) for numbers in seen.values())

    def digits(self, since: int = 0) -> str:
        """The keys that came in as telephone-events, each once (packets of one key share their timestamp)."""
        keys: dict[int, str] = {}
        for packet in self.packets[since:]:
            if packet.payload_type == self.event_type and len(packet.payload) >= 4 and packet.payload[0] < len(DIGITS):
                keys.setdefault(packet.timestamp, DIGITS[packet.payload[0]])
        return "".join(keys.values())

    async def hears_digits(self, expected: str, *, since: int = 0, settle_s: float = 0.3, timeout_s: float = 8.0) -> None:
        """Wait until as many keys were heard, then for more that there should not be.

        Raises:
            AssertionError: others were heard.
        """
        for _ in range(round(timeout_s / 0.02)):
            if len(self.digits(since)) >= len(expected):
                break
            await asyncio.sleep(0.02)
        await asyncio.sleep(settle_s)
        assert self.digits(since) == expected

    async def hears(self, sound_: Samples, *, since: int = 0, likeness: float = 0.9, timeout_s: float = 5.0) -> sound.Match:
        """Wait until a sound is heard.

        Raises:
            AssertionError: it was not; the text says what was. A `HeldUp` where the machine stalled: what was said late is played
                out late, with something made up before it.
        """
        deadline = asyncio.get_running_loop().time() + timeout_s
        while True:
            match = sound.find(sound_, self.heard(since))
            if match.likeness >= likeness:
                return match
            if asyncio.get_running_loop().time() > deadline:
                heard, missing = self.heard(since), self.missing(since)
                text = (
                    f"not heard: best likeness {match.likeness:.2f} of {likeness}; {len(self.packets) - since} packets, {missing} missing, "
                    f"{len(heard) / sound.RATE_HZ:.1f} s of which {sound.loud_seconds(heard):.1f} s are not silent"
                )
                assert missing == 0 or self.dropped, text  # no stall loses a packet
                with judged_by_time():
                    raise AssertionError(text)
            await asyncio.sleep(0.1)

    async def hears_tone(self, hz: float, *, seconds: float = 0.5, since: int = 0, timeout_s: float = 5.0) -> float:
        """Wait until a tone was there for so long in all.

        Raises:
            AssertionError: it was not.
        """
        deadline = asyncio.get_running_loop().time() + timeout_s
        while (found := sound.tone_seconds(self.heard(since), hz)) < seconds:
            if asyncio.get_running_loop().time() > deadline:
                with judged_by_time():
                    raise AssertionError(f"{hz} Hz was heard for {found:.2f} s of {seconds} s; {len(self.packets) - since} packets")
            await asyncio.sleep(0.1)
        return found


def _step(difference: int) -> int:
    """The difference of two 16-bit sequence numbers, across the wrap."""
    return (difference + 2**15) % 2**16 - 2**15


def _signed(difference: int) -> int:
    """The difference of two 32-bit timestamps, across the wrap."""
    return (difference + 2**31) % 2**32 - 2**31


def _pair(host: str) -> tuple[socket.socket, socket.socket]:
    """Two sockets on an even port and the next."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for _ in range(200):
        first = _socket(family)
        first.bind((host, 0))
        port = cast(int, first.getsockname()[1])
        if port % 2 == 0 and port < 65534:
            second = _socket(family)
            try:
                second.bind((host, port + 1))
            except OSError:
                second.close()
            else:
                return first, second
        first.close()
    raise OSError(f"no even port with its neighbour free on {host}")


def _socket(family: socket.AddressFamily) -> socket.socket:
    """One that tells when each packet arrived and how many it had no room for, and has much room."""
    one = socket.socket(family, socket.SOCK_DGRAM)
    one.setblocking(False)
    one.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
    one.setsockopt(socket.SOL_SOCKET, _SO_RXQ_OVFL, 1)
    try:
        one.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _ROOM)
    except OSError:  # that is for root
        one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _ROOM)
    return one
