"""A relay on one core, the generator on another, and what the relay's process used meanwhile."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from tests.support.worker import PROGRAM

EXAMPLES = PROGRAM.parent / "examples"
RELAY, CALLERS, CALLED = "127.0.0.1", "127.0.0.2", "127.0.0.3"
FIRST_PORT = 10000
Map = list[str]  # lines that rtpload reads


@dataclass(frozen=True, slots=True)
class Result:
    """One measurement; CPU is that of the relay alone, where nothing else is said."""

    name: str
    packets: int
    loss_percent: float
    p50_ms: float
    p99_ms: float
    core_percent: float
    us_per_packet: float
    kib_per_call: float
    base_mib: float
    busy_percent: float
    machine_us: float  # a packet of all that takes part: relay, phones, and the kernel's threads

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

    def carried(self) -> bool:
        """Whether callers would call it good."""
        return self.loss_percent < 0.1 and self.p99_ms < 20.0


def cpu_s(pid: int) -> float:
    """CPU time of all threads of a process."""
    return sum(int((task / "schedstat").read_text().split()[0]) for task in Path(f"/proc/{pid}/task").iterdir()) / 1e9


def kernel_threads() -> list[int]:
    """Those that work for the network: for deferred interrupts and in queues."""

    def name(process: Path) -> str:
        with contextlib.suppress(OSError):
            return (process / "comm").read_text()
        return ""

    processes = (path for path in Path("/proc").iterdir() if path.name.isdigit())
    return [int(path.name) for path in processes if name(path).startswith(("ksoftirqd/", "kworker/"))]


def kernel_s() -> dict[int, float]:
    """What each of them has used."""
    used = {}
    for pid in kernel_threads():
        with contextlib.suppress(OSError):  # queues' threads come and go
            used[pid] = cpu_s(pid)
    return used


def since(before: dict[int, float], after: dict[int, float]) -> float:
    """What those used meanwhile that are still there: one that has ended takes away nothing of what the others used."""
    return sum(used - before.get(pid, 0.0) for pid, used in after.items())


def rss_kib(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 1024


def machine_s() -> float:
    """CPU time that all processes have used."""
    fields = [int(field) for field in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    return (sum(fields) - fields[3] - fields[4]) / os.sysconf("SC_CLK_TCK")


CGROUPS = Path("/sys/fs/cgroup")
PERIOD_US = 5000  # short, so that who has used up their share waits for little; the share of it must be 1 ms at least


@contextmanager
def group_of(share: float) -> Iterator[Path | None]:
    """A control group whose processes get that part of a core and no more; None for a whole core.

    Raises SystemExit where the system has no such groups, or we may not make one.
    """
    if share >= 1:
        yield None
        return
    quota_us = int(PERIOD_US * share)
    unified = (CGROUPS / "cgroup.controllers").exists()
    group = (CGROUPS if unified else CGROUPS / "cpu") / f"dialplane-load-{os.getpid()}"
    try:
        group.mkdir()
        if unified:
            (group / "cpu.max").write_text(f"{quota_us} {PERIOD_US}")
        else:
            (group / "cpu.cfs_period_us").write_text(str(PERIOD_US))
            (group / "cpu.cfs_quota_us").write_text(str(quota_us))
    except OSError as error:
        if group.exists():
            group.rmdir()
        raise SystemExit(f"--share needs control groups of the CPU, as root: {error}") from error
    try:
        yield group
    finally:
        group.rmdir()


def pinned(cores: set[int], group: Path | None = None) -> Callable[[], None]:
    """What a child does before it becomes its program: keep to its cores, and go before other work where we may (as root)."""

    def prepare() -> None:
        if group is not None:
            (group / "cgroup.procs").write_text(str(os.getpid()))
        os.sched_setaffinity(0, cores)
        os.setsid()  # an autogroup of its own, whose priority is set here
        with contextlib.suppress(OSError):
            Path("/proc/self/autogroup").write_text("-20")

    return prepare


@contextmanager
def process(command: list[str | Path], cores: set[int], log: IO[bytes], share: float = 1.0) -> Iterator[subprocess.Popen[bytes]]:
    with group_of(share) as group:
        running = subprocess.Popen(command, stdout=log, stderr=log, preexec_fn=pinned(cores, group))
        try:
            yield running
        finally:
            running.terminate()
            running.wait()


def load(relay: subprocess.Popen[bytes], name: str, lines: Map, base_kib: int, options: argparse.Namespace, warm_s: float = 2.0) -> Result:
    """Send, listen, and reckon. warm_s: before anything counts."""
    command: list[str | Path] = [EXAMPLES / "rtpload", str(options.time), str(warm_s)]
    generator = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, preexec_fn=pinned({options.generator_core}))
    assert generator.stdin is not None
    generator.stdin.write("\n".join(lines).encode())
    generator.stdin.close()
    time.sleep(warm_s)
    relay_before, generator_before, all_before = cpu_s(relay.pid), cpu_s(generator.pid), machine_s()
    kernel_before = kernel_s()
    time.sleep(options.time)
    relay_used, generator_used = cpu_s(relay.pid) - relay_before, cpu_s(generator.pid) - generator_before
    kernel_used = since(kernel_before, kernel_s())
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
        base_mib=base_kib / 1024,
        busy_percent=100 * others / options.time,
        machine_us=1e6 * (relay_used + generator_used + kernel_used) / max(heard, 1),
    )
