"""What the media worker carries, against the least a relay can do: `python -m tests.load.media` (make bench-media).

In one run, one core for the relay and one for the generator: bare relays on epoll and on io_uring, the worker with bridged
calls on both, then recorded, encrypted and transcoded calls, listeners to one prompt, a conference, and twice the bridged
calls on two threads. Every line gives loss, latency, and the CPU that the process took per packet it sent; the ratios at
the end are what counts, for they survive another machine. A machine that does other work meanwhile disturbs everything:
`busy` is what others used of all cores, the generator included. `--only` picks lines by a part of their name. `--most`
also searches how many bridged calls each relay carries, by steps of a twentieth, until one loses 0.1 % or its p99 passes 20 ms;
with `--share 0.3` each relay gets that part of its core only, so that it comes to its end before the generator does.
As root the worker is measured with its calls forwarded in the kernel too. On the loopback that is done in the generator's time:
so there, and for all that relay, the whole machine is counted, less what the phones take by themselves.
The exit status says whether bridged calls lost packets, see `verdict`.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import os
import subprocess
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import IO

from media.engine import Bridge, Codec, Connect, Failed, Join, List, Listing, Open, Opened, Play, Record, SrtpKeys
from tests.load.measure import CALLED, CALLERS, EXAMPLES, FIRST_PORT, RELAY, Map, Result, load, process, rss_kib
from tests.support import sound
from tests.support.worker import PCMU, PROGRAM, Controller, build

OPUS = Codec(payload_type=111, name="opus", clock_rate_hz=48000, channels=2, fmtp="")
SUITE = "AES_CM_128_HMAC_SHA1_80"
PHONES_KEY, WORKERS_KEY = (base64.b64encode(bytes(range(start, start + 30))).decode() for start in (0, 100))
SetUp = Callable[[Controller, Path], Awaitable[Map]]


async def open_stream(media: Controller, name: str, call: int, host: str, codec: Codec = PCMU, encrypted: bool = False) -> int:
    """Open and connect; the stream's port."""
    media.send(Open(stream=name, call=str(call), address=RELAY))
    opened = await media.expect(Opened, stream=name)
    session = Connect(stream=name, remote_address=host, remote_port=FIRST_PORT + 2 * call, codecs=[codec])
    if encrypted:
        keys = SrtpKeys(suite=SUITE, local_key=WORKERS_KEY, remote_key=PHONES_KEY)
        session = Connect(stream=name, remote_address=host, remote_port=FIRST_PORT + 2 * call, codecs=[codec], srtp=keys)
    media.send(session)
    return opened.port


def bridged(calls: int, *, recorded: int = 0, encrypted: bool = False) -> SetUp:
    async def set_up(media: Controller, folder: Path) -> Map:
        lines = []
        for call in range(calls):
            own = FIRST_PORT + 2 * call
            first = await open_stream(media, f"{call}-0", call, CALLERS, encrypted=encrypted)
            second = await open_stream(media, f"{call}-1", call, CALLED, encrypted=encrypted)
            media.send(Bridge(bridge=str(call), first=f"{call}-0", second=f"{call}-1"))
            if call < recorded:
                media.send(Record(recording=str(call), path=str(folder / f"{call}.wav"), bridge=str(call)))
            keys = f" {SUITE}:{PHONES_KEY}:{WORKERS_KEY}" if encrypted else ""
            lines.append(f"{CALLERS}:{own} {RELAY}:{first} {CALLED}:{own} {RELAY}:{second}{keys}")
        return lines

    return set_up


def transcoded(calls: int, says: str = "opus-narrow") -> SetUp:
    """Between PCMU and Opus. says: what the phones with Opus send, see rtpload."""

    async def set_up(media: Controller, folder: Path) -> Map:
        lines = []
        for call in range(calls):
            own = FIRST_PORT + 2 * call
            first = await open_stream(media, f"{call}-0", call, CALLERS)
            second = await open_stream(media, f"{call}-1", call, CALLED, OPUS)
            media.send(Bridge(bridge=str(call), first=f"{call}-0", second=f"{call}-1"))
            lines += [f"{CALLERS}:{own} {RELAY}:{first} pcmu", f"{CALLED}:{own} {RELAY}:{second} {says}"]
        return lines

    return set_up


def conference(members: int) -> SetUp:
    async def set_up(media: Controller, folder: Path) -> Map:
        lines = []
        for member in range(members):
            port = await open_stream(media, str(member), member, CALLERS)
            media.send(Join(mix="room", stream=str(member)))
            lines.append(f"{CALLERS}:{FIRST_PORT + 2 * member} {RELAY}:{port} pcmu")
        return lines

    return set_up


def audience(listeners: int) -> SetUp:
    async def set_up(media: Controller, folder: Path) -> Map:
        prompt = folder / "prompt.wav"
        prompt.write_bytes(sound.wav(sound.chirp_up(30.0)))
        lines = []
        for call in range(listeners):
            port = await open_stream(media, str(call), call, CALLERS)
            media.send(Play(stream=str(call), play=str(call), files=[str(prompt)], loop=0))
            lines.append(f"{CALLERS}:{FIRST_PORT + 2 * call} {RELAY}:{port}")
        return lines

    return set_up


class Bench:
    """Measures, prints, and keeps what it measured by name."""

    def __init__(self, options: argparse.Namespace, log: IO[bytes]) -> None:
        self.options, self.log = options, log
        self.results: dict[str, Result] = {}

    def wanted(self, name: str) -> bool:
        return not self.options.only or any(part in name for part in self.options.only)

    def keep(self, result: Result) -> Result:
        print(result.line(), flush=True)
        self.results[result.name] = result
        return result

    def bare(self, name: str, io: str, calls: int) -> Result:
        command: list[str | Path] = [EXAMPLES / "bare_relay", str(calls), RELAY, "30000", io]
        with process(command, {self.options.relay_core}, self.log, self.options.share) as relay:
            time.sleep(0.5)
            if relay.poll() is not None:
                raise SystemExit(f"{name}: it ended with {relay.returncode} at its start")
            ports = [(FIRST_PORT + 2 * call, 30000 + 4 * call) for call in range(calls)]
            lines = [f"{CALLERS}:{own} {RELAY}:{at} {CALLED}:{own} {RELAY}:{at + 2}" for own, at in ports]
            return self.keep(load(relay, name, lines, rss_kib(relay.pid), self.options))

    def phones(self, name: str, calls: int) -> Result:
        """The generator by itself: each phone sends to the other."""
        with process(["sleep", "infinity"], {self.options.relay_core}, self.log) as nobody:
            ports = [FIRST_PORT + 2 * call for call in range(calls)]
            lines = [f"{CALLERS}:{own} {CALLED}:{own} {CALLED}:{own} {CALLERS}:{own}" for own in ports]
            return self.keep(load(nobody, name, lines, rss_kib(nobody.pid), self.options))

    def forwarded(self, name: str, calls: int) -> Result | None:
        """The worker, whose bridges the kernel forwards."""
        place = Path(tempfile.gettempdir()) / f"dialplane-forward-{os.getpid()}"
        prepared = subprocess.run([PROGRAM, "forward", "--interface", "lo", "--pin", place], capture_output=True, text=True)
        try:
            if prepared.returncode:
                print(f"{name:34}  not measured: {prepared.stderr.strip()}", flush=True)
                return None
            return self.worker(name, "auto", bridged(calls), more=["--forward", place], warm_s=10.0)
        finally:
            subprocess.run([PROGRAM, "forward", "--remove", "--pin", place], capture_output=True)

    def worker(
        self, name: str, io: str, set_up: SetUp, *, threads: int = 1, more: Sequence[str | Path] = (), warm_s: float = 2.0
    ) -> Result:
        with tempfile.TemporaryDirectory() as made:
            folder = Path(made)
            ports: list[str | Path] = ["--port-min", "24000", "--port-max", "65000"]
            command: list[str | Path] = [PROGRAM, "--socket", folder / "s", *ports, "--threads", str(threads), "--io", io]
            cores = {self.options.relay_core, self.options.generator_core} if threads > 1 else {self.options.relay_core}
            with process([*command, *more, "--mix-members", "100"], cores, self.log, self.options.share) as relay:
                while not (folder / "s").exists():
                    time.sleep(0.01)

                async def prepare() -> tuple[Map, int]:
                    base = rss_kib(relay.pid)
                    media = await Controller.connect(folder / "s")
                    await media.hello()
                    lines = await set_up(media, folder)
                    media.send(List())
                    await media.expect(Listing, timeout_s=60.0)
                    if refused := media.seen(Failed):
                        raise SystemExit(f"{name}: {refused[0]}")
                    await media.close()
                    return lines, base

                lines, base = asyncio.run(prepare())
                return self.keep(load(relay, name, lines, base, self.options, warm_s))

    def most(self, measures: Mapping[str, Callable[[str, int], Result]]) -> dict[str, int]:
        """The largest number of calls, by steps of a twentieth, that each carries well twice out of five times.

        All take each step before one takes the next, so that what else the machine does meets them alike. It is twice of five
        because a machine's other work can only make a relay look worse than it is.
        """
        calls, best = self.options.calls, dict.fromkeys(measures, 0)
        racing = dict(measures)
        while racing:
            passed = dict.fromkeys(racing, 0)
            for _ in range(5):
                for name, measure in racing.items():
                    if passed[name] < 2:
                        passed[name] += measure(f"{name}, {calls} calls", calls).carried()
            racing = {name: measure for name, measure in racing.items() if passed[name] >= 2}
            best.update(dict.fromkeys(racing, calls))
            calls += max(calls // 20, 10)
        return best


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=300, help="bridged calls")
    parser.add_argument("--transcoded", type=int, default=60, help="calls between PCMU and Opus")
    parser.add_argument("--members", type=int, default=40, help="members of the conference")
    parser.add_argument("--listeners", type=int, default=1000, help="callers who hear one prompt")
    parser.add_argument("--time", type=float, default=8.0, help="seconds that are counted")
    parser.add_argument("--relay-core", type=int, default=0)
    parser.add_argument("--generator-core", type=int, default=min(1, (os.cpu_count() or 1) - 1))
    parser.add_argument("--only", action="append", default=[], help="measure only what has this in its name")
    parser.add_argument("--most", action="store_true", help="search the largest number of bridged calls of each relay")
    parser.add_argument("--share", type=float, default=1.0, help="the part of its core that a relay gets")
    options = parser.parse_args()
    build("--examples")
    calls = options.calls
    with tempfile.TemporaryFile() as log:
        bench = Bench(options, log)
        measurements: list[tuple[str, Callable[[str], Result | None]]] = [
            ("phones by themselves", lambda name: bench.phones(name, calls)),
            ("bare relay on epoll", lambda name: bench.bare(name, "epoll", calls)),
            ("bare relay on io_uring", lambda name: bench.bare(name, "uring", calls)),
            ("worker on epoll", lambda name: bench.worker(name, "epoll", bridged(calls))),
            ("worker on io_uring", lambda name: bench.worker(name, "auto", bridged(calls))),
            ("forwarded in the kernel", lambda name: bench.forwarded(name, calls)),
            ("recorded", lambda name: bench.worker(name, "auto", bridged(calls, recorded=calls))),
            ("encrypted", lambda name: bench.worker(name, "auto", bridged(calls, encrypted=True))),
            # twice the calls: what a thread takes for a packet hangs on how many it finds in a turn
            ("two threads", lambda name: bench.worker(name, "auto", bridged(2 * calls), threads=2)),
            ("listeners", lambda name: bench.worker(name, "auto", audience(options.listeners))),
            ("PCMU and Opus", lambda name: bench.worker(name, "auto", transcoded(options.transcoded))),
            ("PCMU and full-band Opus", lambda name: bench.worker(name, "auto", transcoded(options.transcoded, "opus"))),
            ("conference", lambda name: bench.worker(name, "auto", conference(options.members))),
        ]
        for name, measure in measurements:
            if bench.wanted(name):
                measure(name)
        tell(bench.results, options)
        if options.most:
            most = bench.most(
                {
                    "bare relay on epoll": lambda name, n: bench.bare(name, "epoll", n),
                    "bare relay on io_uring": lambda name, n: bench.bare(name, "uring", n),
                    "worker on epoll": lambda name, n: bench.worker(name, "epoll", bridged(n)),
                    "worker on io_uring": lambda name, n: bench.worker(name, "auto", bridged(n)),
                    "recorded": lambda name, n: bench.worker(name, "auto", bridged(n, recorded=n)),
                }
            )
            for name, number in most.items():
                print(f"most calls: {name:24} {number:6d}, {number / max(most['bare relay on epoll'], 1):.2f} of the bare relay on epoll")
    return verdict(bench.results)


# What a bare relay's CPU is no measure of.
OTHERS = ("PCMU and Opus", "PCMU and full-band Opus", "conference", "phones by themselves", "forwarded in the kernel")


def tell(results: dict[str, Result], options: argparse.Namespace) -> None:
    """The ratios."""
    print()
    bare = results.get("bare relay on epoll")
    for name, result in results.items():
        if bare is not None and result is not bare and name not in OTHERS:
            ratio = result.us_per_packet / bare.us_per_packet
            print(f"CPU per packet against the bare relay on epoll: {ratio:5.2f}  {name}")
    if (alone := results.get("phones by themselves")) is not None:
        for name in ("bare relay on epoll", "bare relay on io_uring", "worker on epoll", "worker on io_uring", "forwarded in the kernel"):
            if (relayed := results.get(name)) is not None:
                print(f"whole machine, us for each relayed packet beyond the phones': {relayed.machine_us - alone.machine_us:5.2f}  {name}")
    plain = results.get("worker on io_uring")
    if plain is not None:
        print(f"memory: {plain.base_mib:.1f} MiB before the first call, {plain.kib_per_call:.1f} KiB for each bridged call")
        if (recorded := results.get("recorded")) is not None:
            print(f"recorded calls for the same CPU: {plain.us_per_packet / recorded.us_per_packet:.2f} of the unrecorded")
        if (two := results.get("two threads")) is not None:
            gain = 2 * plain.us_per_packet / two.us_per_packet
            print(f"two threads: {gain:.2f} times one, by CPU per packet with twice the calls, if each had a core to itself")
    if (audience := results.get("listeners")) is not None:
        print(f"listeners to one prompt that a core has room for: {100 * options.listeners / audience.core_percent:.0f}")
    for name in ("PCMU and Opus", "PCMU and full-band Opus"):
        if (opus := results.get(name)) is not None:
            print(f"calls between {name} that a core has room for: {100 * options.transcoded / opus.core_percent:.0f}")
    if (room := results.get("conference")) is not None:
        print(f"a conference of {options.members}: {room.core_percent:.1f} % of a core")


def verdict(results: dict[str, Result]) -> int:
    """0: the bridged calls lost nothing; 1: they did; 2: even the bare relay did, so this machine cannot tell."""
    relayed = [
        results[name] for name in ("worker on epoll", "worker on io_uring", "forwarded in the kernel", "recorded") if name in results
    ]
    lost = [result.name for result in relayed if result.loss_percent > 0]
    if not lost:
        print("no packet of the bridged calls was lost")
        return 0
    if any(result.loss_percent > 0 for name, result in results.items() if name.startswith("bare relay")):
        print("packets were lost, but by a bare relay too: this machine is too busy to tell")
        return 2
    print(f"packets were lost: {'; '.join(lost)}")
    return 1


if __name__ == "__main__":
    raise SystemExit(main())
