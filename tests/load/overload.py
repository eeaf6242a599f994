"""How much of its work a server does when it is offered more than it can: `python -m tests.load.overload`.

Calls as in `tests.load.calls`, by callers that take a 503 for an answer, at multiples of what one core carries (`--capacity`, or the most
that is found with every call whole). For each multiple: the calls that went all their way within the time (goodput), how long the
caller waited for its 200, those that were told to come later, and what was sent twice. Five seconds after each the server is asked
for a few calls at a quiet rate, which have to be as quick as before. `--no-admission` switches the server's part of it off, to compare.

The server and its worker have one core, the phones and the application the other one; both have to be free for the figures to mean anything
(`others` says what else was busy). Exit status 1 when the goodput of a multiple is below 90 % of the best, or the server is not quiet
again.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.load.calls import HOST, NUMBER, Places, Subject, at, last_row, load, running, server, sipp, stage
from tests.load.measure import cpu_s, machine_s
from tests.support.ports import free_port

ROLE = "caller_or_busy"
QUIET_AFTER_S = 5.0
QUIET_SHARE = 0.3  # of the capacity
LEAST_GOODPUT = 0.9  # of the best
MOST_LATER_MS = 50.0  # that set-up may take longer at the quiet rate than it did before
OFF = "max_lag_s = 0"


@dataclass(frozen=True, slots=True)
class Outcome:
    """setup_ms: of those that went all their way, sorted. others: percent of one core that neither server nor worker had."""

    offered: float
    seconds: float
    calls: int
    whole: int  # within the time
    late: int  # after it
    failed: int
    repeated: int
    setup_ms: list[float]
    control_percent: float
    others_percent: float

    @property
    def goodput(self) -> float:
        return self.whole / self.seconds

    def line(self) -> str:
        refused = self.calls - self.whole - self.late - self.failed
        return (
            f"{self.offered:6.1f}/s offered {self.goodput:6.1f}/s whole  {self.late} late  {refused} told to come later  "
            f"{self.failed} failed  {self.repeated} retransmissions  "
            f"set-up p50 {at(self.setup_ms, 0.5):6.0f} ms  p99 {at(self.setup_ms, 0.99):6.0f} ms  "
            f"control {self.control_percent:.0f} %  others {self.others_percent:.0f} %"
        )


def offer(subject: Subject, rate: float, seconds: float) -> Outcome:
    """That many calls a second for that long, and what became of them."""
    places = subject.places
    calls = max(1, round(rate * seconds))
    control, worker = subject.process.pid, subject.worker_pid()
    with running(sipp(places, "callee", places.callee, []), signal.SIGUSR1):
        time.sleep(0.3)  # until it listens
        more = [f"{HOST}:{places.sip}", "-key", "number", NUMBER, "-r", f"{rate:g}", "-m", str(calls), "-d", str(places.hold_ms)]
        more += ["-l", "50000", "-trace_rtt", "-rtt_freq", "1", "-timeout", f"{seconds + 20:.0f}s"]
        before, worker_before, all_before, begun = cpu_s(control), cpu_s(worker), machine_s(), time.monotonic()
        with running(sipp(places, ROLE, free_port(HOST), more)) as caller:
            time.sleep(seconds)
            took = time.monotonic() - begun
            used, worker_used = cpu_s(control) - before, cpu_s(worker) - worker_before
            others = (machine_s() - all_before - used - worker_used) / took
            with contextlib.suppress(subprocess.TimeoutExpired):
                caller.wait(seconds + 30)
        time.sleep(0.2)
    ours, theirs = last_row(places.directory / f"{ROLE}.csv"), last_row(places.directory / "callee.csv")
    ended = [at_ms for at_ms, _ in times(places.directory, "2")]
    first = min((at_ms - took_ms for at_ms, took_ms in times(places.directory, "1")), default=0.0)
    whole = sum(at_ms - first <= 1000 * seconds for at_ms in ended)
    return Outcome(
        offered=rate,
        seconds=seconds,
        calls=calls,
        whole=whole,
        late=len(ended) - whole,
        failed=calls - int(ours.get("SuccessfulCall(C)", 0)),
        repeated=int(ours.get("Retransmissions(C)", 0)) + int(theirs.get("Retransmissions(C)", 0)),
        setup_ms=sorted(took_ms for _, took_ms in times(places.directory, "1")),
        control_percent=100 * used / took,
        others_percent=100 * others,
    )


def times(directory: Path, which: str) -> list[tuple[float, float]]:
    """(when, milliseconds) of each response that ended the response time of that number."""
    found = []
    for file in directory.glob(f"{ROLE}_*_rtt.csv"):
        for row in csv.reader(file.read_text().splitlines()[1:], delimiter=";"):
            if len(row) >= 3 and row[2] == which:
                found.append((float(row[0]), float(row[1])))
    return found


def capacity(subject: Subject, rates: Sequence[float]) -> float:
    """The highest rate at which every call goes all its way and nothing is sent twice."""
    most = rates[0]
    for rate in rates:
        found = load(subject.places, subject.places.sip, rate, 4.0)
        print(f"capacity  {found.line()}", flush=True)
        if not found.good:
            break
        most = rate
    return most


def measure(places: Places, options: argparse.Namespace) -> bool:
    with server(places, of_server=OFF if options.no_admission else "") as subject:
        load(places, places.sip, 20.0, 2.0)  # imports, caches
        most = options.capacity or capacity(subject, [float(text) for text in options.rates.split(",")])
        subject.wait_written()
        before = offer(subject, QUIET_SHARE * most, 4.0)
        print(f"quiet     {before.line()}", flush=True)
        found, well = [], True
        for factor in (float(text) for text in options.factors.split(",")):
            outcome = offer(subject, factor * most, options.time)
            found.append(outcome)
            print(f"x{factor:<8g} {outcome.line()}", flush=True)
            time.sleep(QUIET_AFTER_S)
            after = offer(subject, QUIET_SHARE * most, 3.0)
            later_ms = at(after.setup_ms, 0.99) - at(before.setup_ms, 0.99)
            quiet = after.whole + after.late == after.calls and later_ms <= MOST_LATER_MS
            well = well and quiet
            print(f"  after   {after.line()}  {'quiet again' if quiet else 'NOT quiet'}", flush=True)
            subject.wait_written()
        best = max(outcome.goodput for outcome in found)
        least = min(outcome.goodput for outcome in found)
        print(f"least goodput {least:.1f}/s of {best:.1f}/s: {100 * least / max(best, 0.1):.0f} %", flush=True)
        return well and least >= LEAST_GOODPUT * best


def parse_options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.load.overload", description="What becomes of calls when there are too many.")
    parser.add_argument("--capacity", type=float, default=0.0, help="calls a second that one core carries; 0 looks for it (0)")
    parser.add_argument("--rates", default="50,75,100,125,150,175,200", help="where it looks")
    parser.add_argument("--factors", default="1,2,3,5", help="multiples of it that are offered (1,2,3,5)")
    parser.add_argument("--time", type=float, default=10.0, help="seconds of each (10)")
    parser.add_argument("--hold", type=int, default=200, help="milliseconds that a call is up (200)")
    parser.add_argument("--no-admission", action="store_true", help="let all calls in, as long as there is memory")
    parser.add_argument("--cores", default="0,1", help="the server's core and that of all others (0,1)")
    return parser.parse_args(arguments)


def main() -> int:
    options = parse_options()
    with stage(options, "overload") as places:
        return 0 if measure(places, options) else 1


if __name__ == "__main__":
    sys.exit(main())
