"""What a flood of strangers takes from calls: `python -m tests.load.strangers`.

A quiet run of calls first, as in `tests.load.calls`; then the same calls while INVITEs that are never acknowledged come from addresses
that no trunk lists, `--flood` a second for as long as the calls last: from one address, then from `--sources` of them, each of 127/8.
Printed for each: the calls and their set-up, how much longer that is than in the quiet run, and what came back to the strangers
(datagrams, and octets for one of theirs). All of it stays on the loopback, and ends by itself.

The server and its worker have one core; the phones, the application and the strangers the other one. Exit status 1 when a call of the
trunk failed, the answers are more than 1.6 times the questions, or set-up took 50 ms longer at its 99th percentile.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import socket
import struct
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.load.calls import HOST, NUMBER, Load, Places, Subject, at, load, running, server
from tests.load.measure import cpu_s
from tests.support.ports import free_port

BURST_S = 0.002
MOST_AMPLIFICATION = 1.6
MOST_DELAY_MS = 50.0
IP_PKTINFO = 8  # linux/in.h; Python has no name for it before 3.12
IN_PKTINFO = struct.Struct("=I4s4s")  # struct in_pktinfo: interface, source to use, destination


# --- the strangers (a process of its own) ----------------------------------------------------------------------------


def invite(number: int) -> bytes:
    """The smallest that a server takes for one."""
    text = (
        f"INVITE sip:{NUMBER}@a SIP/2.0\r\nVia: SIP/2.0/UDP a;branch=z9hG4bK{number:x};rport\r\nFrom: <sip:a@a>;tag=1\r\n"
        f"To: <sip:b@a>\r\nCall-ID: {number:x}\r\nCSeq: 1 INVITE\r\nContact: <sip:a@a>\r\n\r\n"
    )
    return text.encode()


def source(number: int) -> str:
    """An address of 127/8 for each number below 2 ** 22."""
    return f"127.{64 + (number >> 16)}.{number >> 8 & 255}.{number & 255}"


def flood(port: int, rate: int, sources: int, seconds: float) -> dict[str, int]:
    """Send for that long, listen for two seconds more; what went out and what came back."""
    told = {"sent": 0, "sent_octets": 0, "back": 0, "back_octets": 0}
    ancillary = [
        [(socket.IPPROTO_IP, IP_PKTINFO, IN_PKTINFO.pack(0, socket.inet_aton(source(number)), b"\0" * 4))] for number in range(sources)
    ]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        stranger.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        stranger.bind(("0.0.0.0", 0))
        stranger.setblocking(False)
        begun = time.monotonic()
        while (now := time.monotonic()) < begun + seconds + 2:
            due = int(min(now - begun, seconds) * rate)
            for number in range(told["sent"], due):
                data = invite(number)
                with contextlib.suppress(BlockingIOError):
                    stranger.sendmsg([data], ancillary[number % sources], 0, (HOST, port))
                told["sent"] += 1
                told["sent_octets"] += len(data)
            with contextlib.suppress(BlockingIOError):
                while True:
                    told["back_octets"] += len(stranger.recv(65536))
                    told["back"] += 1
            time.sleep(BURST_S)
    return told


# --- what is measured -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Result:
    name: str
    calls: Load
    told: dict[str, int]
    core_percent: float

    @property
    def amplification(self) -> float:
        return self.told["back_octets"] / max(1, self.told["sent_octets"])

    def delay_ms(self, quiet: Load) -> float:
        return at(self.calls.setup_ms, 0.99) - at(quiet.setup_ms, 0.99)

    def lines(self, quiet: Load) -> Iterator[str]:
        yield f"{self.name:14} {self.calls.line()}"
        yield (
            f"{'':14} p99 {self.delay_ms(quiet):+.1f} ms  {self.told['sent']} INVITEs of strangers  {self.told['back']} datagrams back  "
            f"octets back per octet {self.amplification:.3f}  control {self.core_percent:.0f} % of a core"
        )

    def good(self, quiet: Load) -> bool:
        whole = self.calls.succeeded == self.calls.calls
        return whole and self.amplification <= MOST_AMPLIFICATION and self.delay_ms(quiet) <= MOST_DELAY_MS


def attacked(subject: Subject, options: argparse.Namespace, sources: int) -> Result:
    places = subject.places
    command = [sys.executable, "-m", "tests.load.strangers", "--run-flood", f"{places.sip},{options.flood},{sources},{options.time + 2}"]
    log = places.directory / "strangers.log"
    log.unlink(missing_ok=True)
    before, begun = cpu_s(subject.process.pid), time.monotonic()
    with running(places.start("strangers", command, places.peers_core)) as strangers:
        time.sleep(1.0)  # the flood is there before the first call
        calls = load(places, places.sip, options.rate, options.time)
        core = 100 * (cpu_s(subject.process.pid) - before) / (time.monotonic() - begun)
        strangers.wait(options.time + 60)
    return Result("one source" if sources == 1 else f"{sources} sources", calls, json.loads(log.read_text()), core)


def parse_options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.load.strangers", description="What a flood of strangers takes from calls.")
    parser.add_argument("--rate", type=float, default=10.0, help="calls of the trunk a second (10)")
    parser.add_argument("--time", type=float, default=8.0, help="seconds of calls (8)")
    parser.add_argument("--flood", type=int, default=5000, help="INVITEs of strangers a second (5000)")
    parser.add_argument("--sources", type=int, default=10_000, help="addresses that they come from in the second round (10000)")
    parser.add_argument("--hold", type=int, default=200, help="milliseconds that a call is up (200)")
    parser.add_argument("--cores", default="0,1", help="the server's core and that of all others (0,1)")
    parser.add_argument("--run-flood", default="", help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


def main() -> int:
    options = parse_options()
    if options.run_flood:
        port, rate, sources, seconds = options.run_flood.split(",")
        print(json.dumps(flood(int(port), int(rate), int(sources), float(seconds))))
        return 0
    server_core, peers_core = (int(core) for core in options.cores.split(","))
    with tempfile.TemporaryDirectory(prefix="dialplane-strangers-") as directory:
        places = Places(Path(directory), server_core, peers_core, options.hold, *(free_port(HOST) for _ in range(4)))
        application = [sys.executable, "-m", "tests.load.application", str(places.application), f"sip:callee@{HOST}:{places.callee}"]
        with running(places.start("application", application, peers_core)), server(places) as subject:
            load(places, places.sip, options.rate, 2.0)  # imports, caches
            quiet = load(places, places.sip, options.rate, options.time)
            print(f"{'quiet':14} {quiet.line()}", flush=True)
            good = True
            for sources in (1, options.sources):
                found = attacked(subject, options, sources)
                print(*found.lines(quiet), sep="\n", flush=True)
                good = good and found.good(quiet)
    return 0 if good and quiet.succeeded == quiet.calls else 1


if __name__ == "__main__":
    sys.exit(main())
