"""What a call costs: `python -m tests.load.calls` (make bench-calls).

The whole flow: INVITE, the application's document, the second leg, the bridge, BYE from the caller, the action request, the records in
the database. SIPp plays both phones. The server and its media worker have one core, the phones and the application the other one.

1. *pair*: the two SIPp against each other, without a server, for scale.
2. *cost*: calls at `--rate` for `--time`; CPU per call of the control process and of the worker, until the last record is written.
3. *budget*: the same under `tests.load.sampler`, which says in which subsystem the main thread's time goes. It costs a few per cent, so
   its shares count and its sums do not.
4. *most*: the rates of `--rates`, each for `--step`, until one has a failed call, a retransmission, or is not kept up with.

The figures are CPU times and counts, which survive a busy machine better than times on the wall; `others` says what else was busy. To
compare two versions run them by turns. The exit status is 1 when a call of 2 failed, or not every call has its rows and its action.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.load.measure import cpu_s, machine_s, pinned, rss_kib
from tests.load.sampler import BEGIN, END
from tests.support.ports import free_port

ROOT = Path(__file__).resolve().parents[2]
SCENARIOS = Path(__file__).parent / "scenarios"
HOST = "127.0.0.1"
NUMBER = "+15550100"
SETTLE_S = 10.0  # at most, until the last record is written


@dataclass(frozen=True, slots=True)
class Load:
    """What the phones say of one load."""

    rate: float  # offered
    calls: int
    succeeded: int
    retransmissions: int
    kept: float  # calls a second
    setup_ms: list[float]  # INVITE to 200, sorted
    complaint: str = ""  # the first thing that a phone did not expect

    @property
    def good(self) -> bool:
        return self.succeeded == self.calls and not self.retransmissions and self.kept >= 0.95 * self.rate

    def line(self) -> str:
        return (
            f"{self.rate:5g}/s offered {self.kept:6.1f}/s kept  {self.succeeded}/{self.calls} calls  "
            f"{self.retransmissions} retransmissions  set-up p50 {at(self.setup_ms, 0.5):6.1f} ms  p99 {at(self.setup_ms, 0.99):6.1f} ms"
            f"{'  ' if self.complaint else ''}{self.complaint}"
        )


def at(values: Sequence[float], part: float) -> float:
    """A quantile of sorted values; NaN of none."""
    return values[min(len(values) - 1, int(part * len(values)))] if values else float("nan")


@dataclass(slots=True)
class Places:
    """Ports, files and cores of one run."""

    directory: Path
    server_core: int
    peers_core: int
    hold_ms: int
    sip: int
    http: int
    application: int
    callee: int

    def start(self, name: str, command: Sequence[str | Path], core: int) -> subprocess.Popen[bytes]:
        """A child on one core, its output in a file."""
        environment = {key: value for key, value in os.environ.items() if not key.startswith("DIALPLANE_")}
        environment["PYTHONPATH"] = str(ROOT)
        with (self.directory / f"{name}.log").open("ab") as log:
            return subprocess.Popen(
                command, cwd=self.directory, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, preexec_fn=pinned({core})
            )

    def log(self, name: str) -> str:
        file = self.directory / f"{name}.log"
        return file.read_text(errors="replace")[-2000:] if file.exists() else ""


@contextlib.contextmanager
def running(process: subprocess.Popen[bytes], number: int = signal.SIGTERM) -> Iterator[subprocess.Popen[bytes]]:
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(number)
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


# --- the phones -----------------------------------------------------------------------------------------------------


def sipp(places: Places, role: str, port: int, more: Sequence[str]) -> subprocess.Popen[bytes]:
    for old in (*places.directory.glob(f"{role}*.csv"), *places.directory.glob(f"{role}.errors")):
        old.unlink()
    command: list[str | Path] = ["sipp", *more, "-sf", SCENARIOS / f"{role}.xml", "-i", HOST, "-mi", HOST, "-p", str(port), "-nostdin"]
    command += ["-trace_stat", "-stf", f"{role}.csv", "-fd", "1", "-trace_err", "-error_file", f"{role}.errors", "-buff_size", "4194304"]
    return places.start(role, command, places.peers_core)


def load(places: Places, target: int, rate: float, seconds: float) -> Load:
    """Calls at a rate towards a port, with a callee of their own."""
    calls = max(1, round(rate * seconds))
    with running(sipp(places, "callee", places.callee, []), signal.SIGUSR1):
        time.sleep(0.3)  # until it listens
        more = [f"{HOST}:{target}", "-key", "number", NUMBER, "-r", f"{rate:g}", "-m", str(calls), "-d", str(places.hold_ms)]
        more += ["-l", "20000", "-trace_rtt", "-rtt_freq", "1", "-timeout", f"{seconds + 20:.0f}s"]
        begun = time.monotonic()
        with running(sipp(places, "caller", free_port(HOST), more)) as caller:
            with contextlib.suppress(subprocess.TimeoutExpired):
                caller.wait(seconds + 30)
            took = time.monotonic() - begun
        time.sleep(0.2)
    ours, theirs = last_row(places.directory / "caller.csv"), last_row(places.directory / "callee.csv")
    succeeded = int(ours.get("SuccessfulCall(C)", 0))
    return Load(
        rate=rate,
        calls=calls,
        succeeded=succeeded,
        retransmissions=int(ours.get("Retransmissions(C)", 0)) + int(theirs.get("Retransmissions(C)", 0)),
        kept=succeeded / max(0.001, took - places.hold_ms / 1000),
        setup_ms=response_times(places.directory, "1"),
        complaint=complaint(places.directory / "caller.errors") if succeeded < calls else "",
    )


def last_row(file: Path) -> dict[str, str]:
    if not file.exists():
        return {}
    with file.open(newline="") as lines:
        rows = [row for row in csv.DictReader(lines, delimiter=";") if row]
    return {key: value for key, value in rows[-1].items() if key and value} if rows else {}


def response_times(directory: Path, which: str) -> list[float]:
    found = []
    for file in directory.glob("caller_*_rtt.csv"):
        for row in csv.reader(file.read_text().splitlines()[1:], delimiter=";"):
            if len(row) >= 3 and row[2] == which:
                found.append(float(row[1]))
    return sorted(found)


def complaint(file: Path) -> str:
    """What the first unexpected message said, and its reason."""
    text = file.read_text(errors="replace") if file.exists() else ""
    line, reason = re.search(r"received 'SIP/2\.0 ([^\r\n]*)", text), re.search(r'^Reason: [^\r\n]*text="([^"\r\n]*)', text, re.MULTILINE)
    return ": ".join(found[1] for found in (line, reason) if found)


# --- the server -----------------------------------------------------------------------------------------------------


def configuration(places: Places, of_server: str = "") -> str:
    """The media ports stay those of the default: each rests for a while, so a thousand of them would not do."""
    return f"""
[server]
state_dir = "{places.directory}/state"
http_listen = "{HOST}:{places.http}"
{of_server}

[sip]
listen = ["udp:{HOST}:{places.sip}"]

[http]
allow = ["{HOST}/32"]

[[trunks]]
name = "phones"
allow = ["{HOST}/32"]
proxy = "sip:{HOST}:{places.callee}"

[[numbers]]
number = "{NUMBER}"
voice_url = "http://{HOST}:{places.application}/voice"
"""


@dataclass(slots=True)
class Subject:
    """The running server, looked at from outside."""

    process: subprocess.Popen[bytes]
    places: Places

    def health(self) -> dict[str, object]:
        with (
            contextlib.suppress(OSError, ValueError),
            urllib.request.urlopen(f"http://{HOST}:{self.places.http}/healthz", timeout=5) as told,
        ):
            found = json.loads(told.read())
            return found if isinstance(found, dict) else {}
        return {}

    def wait_ready(self) -> None:
        deadline = time.monotonic() + 30
        while self.health().get("status") != "ok":
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"the server did not start:\n{self.places.log('server')}")
            time.sleep(0.1)

    def wait_written(self) -> None:
        """Until nothing waits for the database."""
        deadline = time.monotonic() + SETTLE_S
        time.sleep(0.5)
        while time.monotonic() < deadline:
            storage = self.health().get("storage")
            if isinstance(storage, dict) and not storage.get("waiting"):
                return
            time.sleep(0.25)

    def worker_pid(self) -> int:
        for task in Path(f"/proc/{self.process.pid}/task").glob("*/children"):
            for child in task.read_text().split():
                if "dialplane-media" in Path(f"/proc/{child}/cmdline").read_text():
                    return int(child)
        raise SystemExit(f"the server has no media worker:\n{self.places.log('server')}")


@contextlib.contextmanager
def server(places: Places, sampled: Path | None = None, of_server: str = "") -> Iterator[Subject]:
    """of_server: further settings in its table [server]."""
    shutil.rmtree(places.directory / "state", ignore_errors=True)
    file = places.directory / "dialplane.toml"
    file.write_text(configuration(places, of_server))
    command = [sys.executable, "-m", *(("tests.load.sampler", str(sampled)) if sampled else ("server",)), "run", "--config", str(file)]
    with running(places.start("server", command, places.server_core)) as process:
        subject = Subject(process, places)
        subject.wait_ready()
        yield subject


# --- what is measured -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Cost:
    load: Load
    control_ms: float  # CPU a call
    worker_ms: float
    others_percent: float  # of one core: the phones, the application, and whatever else ran
    rss_mib: float


def cost(subject: Subject, rate: float, seconds: float) -> Cost:
    control, worker = subject.process.pid, subject.worker_pid()
    before, worker_before, all_before, begun = cpu_s(control), cpu_s(worker), machine_s(), time.monotonic()
    found = load(subject.places, subject.places.sip, rate, seconds)
    subject.wait_written()
    used, worker_used = cpu_s(control) - before, cpu_s(worker) - worker_before
    others = (machine_s() - all_before - used - worker_used) / (time.monotonic() - begun)
    calls = max(1, found.succeeded)
    return Cost(found, 1000 * used / calls, 1000 * worker_used / calls, 100 * others, rss_kib(control) / 1024)


def stored(places: Places, calls: int) -> tuple[list[str], bool]:
    """What the database has of that many calls, and whether it has all of them."""
    file = places.directory / "state" / "dialplane.db"
    with contextlib.closing(sqlite3.connect(file)) as database:
        tables = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'") if name != "alembic_version"]
        rows = {name: database.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0] for name in sorted(tables)}
        ended = database.execute("SELECT count(*) FROM calls WHERE parent_sid = '' AND cause <> ''").fetchone()[0]
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    size_kib = file.stat().st_size / 1024
    told = ", ".join(f"{name} {count / calls:.1f}" for name, count in rows.items() if count)
    return [f"rows a call: {told}; {size_kib / calls:.1f} KiB a call on disk; {ended} of {calls} calls have their end"], ended == calls


def budget(places: Places, rate: float, seconds: float, control_ms: float) -> list[str]:
    """Lines: the CPU of a call by subsystem, scaled to what a call costs without the sampler."""
    file = places.directory / "samples.json"
    file.unlink(missing_ok=True)
    with server(places, file) as subject:
        load(places, places.sip, rate, 2.0)  # imports, caches
        subject.wait_written()
        subject.process.send_signal(BEGIN)
        found = load(places, places.sip, rate, seconds)
        subject.wait_written()
        subject.process.send_signal(END)
        deadline = time.monotonic() + 5
        while not file.exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        said = json.loads(file.read_text())
    calls = max(1, found.succeeded)
    seconds_of: dict[str, float] = dict(said["seconds"])
    for thread, used in said["threads"].items():
        if thread != "MainThread" and used > 0.001:
            seconds_of[f"thread {thread}"] = used
    total = sum(seconds_of.values())
    lines = [f"  {1000 * total / calls:6.2f} ms a call in all under the sampler, {found.line().strip()}"]
    for name, used in sorted(seconds_of.items(), key=lambda item: -item[1]):
        lines.append(f"  {control_ms * used / total:6.2f} ms  {100 * used / total:5.1f} %  {name}")
    collected = said["collected"] / calls
    lines.append(
        f"  the cyclic collector ran {said['collections']} times, at most {said['longest_ms']:.1f} ms, for {collected:.0f} objects a call"
    )
    return lines


def parse_options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.load.calls", description="What a call costs.")
    parser.add_argument("--rate", type=float, default=50.0, help="calls a second for the cost and the budget (50)")
    parser.add_argument("--time", type=float, default=8.0, help="seconds of calls for the cost, and for the budget (8)")
    parser.add_argument("--rates", default="75,100,150,200,300", help="calls a second that are tried one after the other")
    parser.add_argument("--step", type=float, default=4.0, help="seconds of each of them (4); 0 tries none")
    parser.add_argument("--hold", type=int, default=200, help="milliseconds that a call is up (200)")
    parser.add_argument("--no-budget", action="store_true", help="do not ask where the time goes")
    parser.add_argument("--cores", default="0,1", help="the server's core and the phones' (0,1)")
    return parser.parse_args(arguments)


@contextlib.contextmanager
def stage(options: argparse.Namespace, name: str) -> Iterator[Places]:
    """Cores, ports and a directory for a measurement, whose application runs meanwhile. options: `cores` and `hold`."""
    server_core, peers_core = (int(core) for core in options.cores.split(","))
    with tempfile.TemporaryDirectory(prefix=f"dialplane-{name}-") as directory:
        places = Places(Path(directory), server_core, peers_core, options.hold, *(free_port(HOST) for _ in range(4)))
        application = [sys.executable, "-m", "tests.load.application", str(places.application), f"sip:callee@{HOST}:{places.callee}"]
        with running(places.start("application", application, peers_core)):
            yield places


def main() -> int:
    options = parse_options()
    with stage(options, "calls") as places:
        return measure(places, options)


def measure(places: Places, options: argparse.Namespace) -> int:
    pair = load(places, places.callee, options.rate, 3.0)
    print(f"pair    {pair.line()}", flush=True)
    with server(places) as subject:
        warm = load(places, places.sip, options.rate, 2.0)
        subject.wait_written()
        found = cost(subject, options.rate, options.time)
        print(f"cost    {found.load.line()}")
        print(
            f"        {found.control_ms:.2f} ms of CPU a call in control, {found.worker_ms:.2f} ms in the worker; "
            f"others {found.others_percent:.0f} % of a core; control has {found.rss_mib:.0f} MiB"
        )
        lines, complete = stored(places, warm.calls + found.load.calls)
        print(*(f"        {line}" for line in lines), sep="\n", flush=True)
        most = 0.0
        if options.step > 0:
            for rate in (float(text) for text in options.rates.split(",")):
                step = load(places, places.sip, rate, options.step)
                print(f"most    {step.line()}", flush=True)
                if not step.good:
                    break
                most = rate
    if not options.no_budget:
        print("budget")
        print(*budget(places, options.rate, options.time, found.control_ms), sep="\n", flush=True)
    if options.step > 0:
        print(f"sustained without a failure or a retransmission: {most or (options.rate if found.load.good else 0):g} calls/s")
    return 0 if found.load.succeeded == found.load.calls and complete else 1


if __name__ == "__main__":
    sys.exit(main())
