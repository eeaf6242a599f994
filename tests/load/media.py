"""What the media worker carries, against the least a relay can do: `python -m tests.load.media` (make bench-media).

In one run, on one core each for relay and generator: a bare relay, then the worker with bridged calls, with the same of
which some are recorded, and with listeners to one prompt. Every line gives loss, latency, and the CPU that the process took
per packet it sent; the ratios at the end are what counts, for they survive another machine. A machine that does other work
meanwhile disturbs everything: `busy` is what others used of the relay's core and the generator's. The exit status says
whether bridged calls lost packets, see `verdict`.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from media.engine import Bridge, Connect, List, Listing, Open, Opened, Play, Record
from tests.support import sound
from tests.support.worker import PCMU, PROGRAM, Controller, build

EXAMPLES = PROGRAM.parent / "examples"
RELAY, CALLERS, CALLED = "127.0.0.1", "127.0.0.2", "127.0.0.3"
FIRST_PORT = 10000
Map = list[str]


@dataclass(frozen=True, slots=True)
class Result:
    """One measurement; CPU is that of the relay alone."""

    name: str
    packets: int
    loss_percent: float
    p50_ms: float
    p99_ms: float
    core_percent: float
    us_per_packet: float
    kib_per_call: float
    busy_percent: float

    def line(self) -> str:
        return "  ".join(
            (
                f"{self.name:34}",
                f"{self.packets:8d} packets",
                f"loss {self.loss_percent:6.3f} %",
                f"p50 {self.p50_ms:6.2f} ms  p99 {self.p99_ms:6.2f} ms",
                f"core {self.core_percent:5.1f} %",
                f"{self.us_per_packet:6.2f} us/packet",
                f"{self.kib_per_call:6.1f} KiB/call",
                f"busy {self.busy_percent:4.0f} %",
            )
        )


def cpu_s(pid: int) -> float:
    """CPU time of all threads of a process."""
    return sum(int((task / "schedstat").read_text().split()[0]) for task in Path(f"/proc/{pid}/task").iterdir()) / 1e9


def rss_kib(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 1024


def machine_s() -> float:
    """CPU time that all processes have used."""
    fields = [int(field) for field in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    return (sum(fields) - fields[3] - fields[4]) / os.sysconf("SC_CLK_TCK")


def pinned(core: int) -> Callable[[], None]:
    """What a child does before it becomes its program: take one core, and go before other work where we may (as root)."""

    def prepare() -> None:
        os.sched_setaffinity(0, {core})
        os.setsid()  # an autogroup of its own, whose priority is set here
        with contextlib.suppress(OSError):
            Path("/proc/self/autogroup").write_text("-20")

    return prepare


@contextmanager
def process(command: list[str | Path], core: int, log: IO[bytes]) -> Iterator[subprocess.Popen[bytes]]:
    running = subprocess.Popen(command, stdout=log, stderr=log, preexec_fn=pinned(core))
    try:
        yield running
    finally:
        running.terminate()
        running.wait()


def load(relay: subprocess.Popen[bytes], name: str, lines: Map, base_kib: int, options: argparse.Namespace) -> Result:
    """Send, listen, and reckon."""
    command: list[str | Path] = [EXAMPLES / "rtpload", str(options.time), "2"]
    generator = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, preexec_fn=pinned(options.generator_core))
    assert generator.stdin is not None
    generator.stdin.write("\n".join(lines).encode())
    generator.stdin.close()
    time.sleep(2.0)
    relay_before, generator_before, all_before = cpu_s(relay.pid), cpu_s(generator.pid), machine_s()
    time.sleep(options.time)
    relay_used, generator_used = cpu_s(relay.pid) - relay_before, cpu_s(generator.pid) - generator_before
    others = machine_s() - all_before - relay_used - generator_used
    memory = rss_kib(relay.pid) - base_kib
    assert generator.stdout is not None
    said = json.loads(generator.stdout.read())
    generator.wait()
    expected = said["sent"] + said["listen_expected"]
    heard = said["heard"] + said["listened"]
    if said["astray"]:
        raise SystemExit(f"{name}: {said['astray']} packets came to the wrong phone")
    return Result(
        name=name,
        packets=heard,
        loss_percent=100 * (expected - heard) / expected,
        p50_ms=said["p50_us"] / 1000,
        p99_ms=said["p99_us"] / 1000,
        core_percent=100 * relay_used / options.time,
        us_per_packet=1e6 * relay_used / max(heard, 1),
        kib_per_call=memory / len(lines),
        busy_percent=100 * others / options.time,
    )


def measure_bare(options: argparse.Namespace, log: IO[bytes]) -> Result:
    command: list[str | Path] = [EXAMPLES / "bare_relay", str(options.calls), RELAY, "30000"]
    with process(command, options.relay_core, log) as relay:
        time.sleep(0.5)
        ports = [(30000 + 4 * call, 30002 + 4 * call) for call in range(options.calls)]
        return load(relay, f"bare relay, {options.calls} calls", bridged_map(ports), rss_kib(relay.pid), options)


def bridged_map(ports: list[tuple[int, int]]) -> Map:
    def line(call: int, first: int, second: int) -> str:
        own = FIRST_PORT + 2 * call
        return f"{CALLERS}:{own} {RELAY}:{first} {CALLED}:{own} {RELAY}:{second}"

    return [line(call, first, second) for call, (first, second) in enumerate(ports)]


async def open_stream(media: Controller, name: str, call: int, host: str) -> int:
    """Open and connect; the stream's port."""
    media.send(Open(stream=name, call=str(call), address=RELAY))
    opened = await media.expect(Opened, stream=name)
    media.send(Connect(stream=name, remote_address=host, remote_port=FIRST_PORT + 2 * call, codecs=[PCMU]))
    return opened.port


async def open_calls(media: Controller, calls: int, recorded: int, folder: Path) -> Map:
    ports = []
    for call in range(calls):
        pair = [await open_stream(media, f"{call}-{side}", call, host) for side, host in enumerate((CALLERS, CALLED))]
        media.send(Bridge(bridge=str(call), first=f"{call}-0", second=f"{call}-1"))
        if call < recorded:
            media.send(Record(recording=str(call), path=str(folder / f"{call}.wav"), bridge=str(call)))
        ports.append((pair[0], pair[1]))
    return bridged_map(ports)


async def open_listeners(media: Controller, listeners: int, folder: Path) -> Map:
    prompt = folder / "prompt.wav"
    prompt.write_bytes(sound.wav(sound.chirp_up(30.0)))
    lines = []
    for call in range(listeners):
        port = await open_stream(media, str(call), call, CALLERS)
        media.send(Play(stream=str(call), play=str(call), files=[str(prompt)], loop=0))
        lines.append(f"{CALLERS}:{FIRST_PORT + 2 * call} {RELAY}:{port}")
    return lines


def measure_worker(
    name: str, options: argparse.Namespace, log: IO[bytes], *, calls: int = 0, recorded: int = 0, listeners: int = 0
) -> Result:
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        command: list[str | Path] = [PROGRAM, "--socket", folder / "s", "--port-min", "30000", "--port-max", "65000", "--threads", "1"]
        with process(command, options.relay_core, log) as relay:
            while not (folder / "s").exists():
                time.sleep(0.01)

            async def set_up() -> tuple[Map, int]:
                base = rss_kib(relay.pid)
                media = await Controller.connect(folder / "s")
                await media.hello()
                lines = await (open_listeners(media, listeners, folder) if listeners else open_calls(media, calls, recorded, folder))
                media.send(List())
                await media.expect(Listing)
                await media.close()
                return lines, base

            lines, base = asyncio.run(set_up())
            return load(relay, name, lines, base, options)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=300, help="bridged calls")
    parser.add_argument("--recorded", type=int, default=100, help="how many of them are recorded in the third measurement")
    parser.add_argument("--listeners", type=int, default=1000, help="callers who hear one prompt")
    parser.add_argument("--time", type=float, default=8.0, help="seconds that are counted")
    parser.add_argument("--relay-core", type=int, default=0)
    parser.add_argument("--generator-core", type=int, default=min(1, (os.cpu_count() or 1) - 1))
    options = parser.parse_args()
    build("--examples")
    calls, recorded = options.calls, options.recorded
    with tempfile.TemporaryFile() as log:
        bare = measure_bare(options, log)
        print(bare.line(), flush=True)
        plain = measure_worker(f"worker, {calls} calls", options, log, calls=calls)
        print(plain.line(), flush=True)
        mixed = measure_worker(f"worker, {calls} calls, {recorded} recorded", options, log, calls=calls, recorded=recorded)
        print(mixed.line(), flush=True)
        prompt = measure_worker(f"worker, {options.listeners} listeners", options, log, listeners=options.listeners)
        print(prompt.line(), flush=True)
    print(f"CPU per packet against the bare relay: {plain.us_per_packet / bare.us_per_packet:.2f} relayed, ", end="")
    print(f"{mixed.us_per_packet / bare.us_per_packet:.2f} with recordings, {prompt.us_per_packet / bare.us_per_packet:.2f} played")
    return verdict(bare, plain, mixed)


def verdict(bare: Result, plain: Result, mixed: Result) -> int:
    """0: the bridged calls lost nothing; 1: they did; 2: even the bare relay did, so this machine cannot tell."""
    lost = [result.name for result in (plain, mixed) if result.loss_percent > 0]
    if not lost:
        print("no packet of the bridged calls was lost")
        return 0
    if bare.loss_percent > 0:
        print("packets were lost, but by the bare relay too: this machine is too busy to tell")
        return 2
    print(f"packets were lost: {'; '.join(lost)}")
    return 1


if __name__ == "__main__":
    raise SystemExit(main())
