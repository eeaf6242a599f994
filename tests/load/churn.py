"""Whether the media worker grows: `python -m tests.load.churn` (make bench-churn).

Calls are opened and closed at a steady rate for a long time: two streams opened and connected, some RTP both ways, closed
again. They take turns in what is done with their audio (`Kind`). Memory, descriptors and ports are printed every minute. The exit status
is 1 when memory, after the first tenth of the time, grew by more than `--allowed-mib`, or something was left at the end.
"""

from __future__ import annotations

import argparse
import asyncio
import enum
import socket
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import msgspec

from media.engine import (
    Bridge,
    Close,
    Closed,
    Command,
    Connect,
    Event,
    Failed,
    Hello,
    Join,
    List,
    Listing,
    Open,
    Opened,
    Play,
    Record,
    RecordingEnded,
    Welcome,
)
from tests.load.measure import rss_kib
from tests.support import libsrtp, sound
from tests.support.codec_phone import OPUS, silence_packet
from tests.support.rtp import build_packet
from tests.support.secure_phone import Keys
from tests.support.worker import PCMU, Worker

E = TypeVar("E")

PACKETS = 5
LIFE_S = 2.0
PROMPT = "prompt.wav"
KEYS = Keys.some(libsrtp.SUITES[0])


class Kind(enum.Enum):
    """What becomes of a call's audio: one after the other."""

    BRIDGED = "passes a bridge"
    PLAYED = "one side hears a prompt instead"
    TRANSCODED = "PCMU on one side, Opus on the other"
    ENCRYPTED = "SRTP on both sides"
    MIXED = "both are in a conference of their own"
    RECORDED = "a bridge that is recorded"


KINDS = tuple(Kind)


@dataclass(frozen=True, slots=True)
class Sample:
    at_s: float
    rss_kib: int
    descriptors: int
    calls: int

    def line(self) -> str:
        return f"{self.at_s / 60:6.1f} min  {self.rss_kib / 1024:8.2f} MiB  {self.descriptors:6d} descriptors  {self.calls:8d} calls"


class Link:
    """A connection to the worker that keeps nothing of what was said, but for who waits for it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._waiting: dict[tuple[str, str], asyncio.Future[Event]] = {}
        self.refused: Failed | None = None

    async def read(self) -> None:
        decoder = msgspec.msgpack.Decoder(Event)
        while True:
            length = int.from_bytes(await self._reader.readexactly(4), "big")
            event: Event = decoder.decode(await self._reader.readexactly(length))
            match event:
                case Opened(stream=name) | Closed(stream=name) | RecordingEnded(recording=name):
                    waiting = self._waiting.pop((type(event).__name__, name), None)
                case Listing() | Welcome():
                    waiting = self._waiting.pop((type(event).__name__, ""), None)
                case Failed():
                    self.refused = event
                    continue
                case _:
                    continue
            if waiting is not None:
                waiting.set_result(event)

    def send(self, command: Command) -> None:
        body = msgspec.msgpack.encode(command)
        self._writer.write(len(body).to_bytes(4, "big") + body)

    async def expect(self, kind: type[E], name: str = "") -> E:
        waiting = asyncio.get_running_loop().create_future()
        self._waiting[kind.__name__, name] = waiting
        event = await asyncio.wait_for(waiting, 30.0)
        assert isinstance(event, kind)
        return event


async def one_call(link: Link, number: int, folder: Path, phones: tuple[socket.socket, socket.socket]) -> None:
    kind = KINDS[number % len(KINDS)]
    names = [f"{number}-0", f"{number}-1"]
    codecs = [PCMU, OPUS.codec if kind is Kind.TRANSCODED else PCMU]
    ports = []
    for name, phone, codec in zip(names, phones, codecs, strict=True):
        link.send(Open(stream=name, call=str(number), address="127.0.0.1"))
        ports.append((await link.expect(Opened, name)).port)
        host, port = phone.getsockname()
        connect = Connect(stream=name, remote_address=host, remote_port=port, codecs=[codec])
        link.send(msgspec.structs.replace(connect, srtp=KEYS.for_worker) if kind is Kind.ENCRYPTED else connect)
    path = folder / f"{number}.wav"
    if kind is Kind.MIXED:
        for name in names:
            link.send(Join(mix=str(number), stream=name))
    else:
        link.send(Bridge(bridge=str(number), first=names[0], second=names[1]))
    if kind is Kind.PLAYED:
        link.send(Play(stream=names[0], play=str(number), files=[str(folder / PROMPT)], loop=0))
    if kind is Kind.RECORDED:
        link.send(Record(recording=str(number), path=str(path), bridge=str(number)))
    protection = libsrtp.Session(KEYS.suite, KEYS.own, inbound=False) if kind is Kind.ENCRYPTED else None
    for sequence in range(PACKETS):
        await asyncio.sleep(LIFE_S / PACKETS)
        for side, (phone, port, codec) in enumerate(zip(phones, ports, codecs, strict=True)):
            payload = silence_packet(OPUS) if codec is OPUS.codec else bytes(160)
            units = codec.clock_rate_hz // 50
            packet = build_packet(codec.payload_type, sequence, units * sequence, 2 * number + side, payload)
            phone.sendto(protection.protect(packet) if protection else packet, ("127.0.0.1", port))
    if protection is not None:
        protection.close()
    ended = asyncio.create_task(link.expect(RecordingEnded, str(number))) if kind is Kind.RECORDED else None
    for name in names:
        link.send(Close(stream=name))
        closed = await link.expect(Closed, name)
        counters = closed.counters
        # The last packet may still be on its way; a prompt and a mix are heard all the time.
        heard = 20 * LIFE_S if kind is Kind.MIXED or (kind is Kind.PLAYED and name == names[0]) else 1
        if counters.packets_in < PACKETS - 1 or counters.packets_out < heard:
            raise SystemExit(
                f"call {number} ({kind.value}): {name} took {counters.packets_in} packets of {PACKETS} and was sent {counters}"
            )
    if ended is not None:
        await ended
        path.unlink()


async def churn(options: argparse.Namespace, folder: Path) -> int:
    (folder / PROMPT).write_bytes(sound.wav(sound.chirp_up(3.0)))
    silence_packet(OPUS)  # before it matters how long that takes
    worker = Worker(folder, "--io", options.io, "--threads", str(options.threads), "--port-min", "20000", "--port-max", "29999")
    try:
        await (await worker.controller()).close()  # it is up
        link = Link(*await asyncio.open_unix_connection(str(worker.socket)))
        reading = asyncio.create_task(link.read())
        link.send(Hello(controller="churn"))
        await link.expect(Welcome)
        phones = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2)]
        for phone, host in zip(phones, ("127.0.0.2", "127.0.0.3"), strict=True):
            phone.bind((host, 0))
            phone.setblocking(False)
        descriptors = worker.descriptors()
        began, number = time.monotonic(), 0
        end, next_line = began + 60 * options.minutes, began
        samples: list[Sample] = []
        async with asyncio.TaskGroup() as calls:
            while (now := time.monotonic()) < end:
                if now >= next_line:
                    next_line += min(60.0, 6 * options.minutes)
                    samples.append(Sample(now - began, rss_kib(worker.process.pid), worker.descriptors(), number))
                    print(samples[-1].line(), flush=True)
                due = int((now - began) * options.rate)
                while number < due:
                    calls.create_task(one_call(link, number, folder, (phones[0], phones[1])))
                    number += 1
                for phone in phones:
                    swallow(phone)
                await asyncio.sleep(0.02)
        if link.refused is not None:
            raise SystemExit(f"refused: {link.refused}")
        link.send(List())
        left = await link.expect(Listing)
        await asyncio.sleep(1.0)
        samples.append(Sample(time.monotonic() - began, rss_kib(worker.process.pid), worker.descriptors(), number))
        print(samples[-1].line())
        reading.cancel()
        settled = next(sample for sample in samples if sample.at_s >= 6 * options.minutes)
        grown = (samples[-1].rss_kib - settled.rss_kib) / 1024
        kept = samples[-1].descriptors - descriptors
        ports = free_ports()
        print(f"{number} calls; memory grew by {grown:.2f} MiB after the first tenth; {kept} descriptors, {len(left.streams)} streams left")
        print(f"{ports} of 10000 ports can be bound")
        return 0 if grown <= options.allowed_mib and kept == 0 and not left.streams and ports == 10000 else 1
    finally:
        worker.stop()


def swallow(phone: socket.socket) -> None:
    try:
        while True:
            phone.recv(2048)
    except BlockingIOError:
        return


def free_ports() -> int:
    """How many ports of the worker's range someone else could have now."""
    free = 0
    for port in range(20000, 30000):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            try:
                probe.bind(("127.0.0.1", port))
                free += 1
            except OSError:
                continue
    return free


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--rate", type=float, default=50.0, help="calls a second")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--io", default="auto", choices=["auto", "uring", "epoll"])
    parser.add_argument("--allowed-mib", type=float, default=4.0, help="a peak of open calls leaves a little")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        return asyncio.run(churn(options, Path(made)))


if __name__ == "__main__":
    raise SystemExit(main())
