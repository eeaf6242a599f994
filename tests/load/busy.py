"""`make test` again and again beside busy loops: does the suite tell the truth on a busy machine?

    make test-busy                                 once, beside two busy loops
    make test-busy RUNS=20 LOOPS=2 ONLY=calls      certain stages only, see .ci/test
    python -m tests.load.busy --runs 20 --loops 2 --most-s 3600 media sound

The goal is that no run fails, and that a run without loops takes no longer than it did (LOOPS=0 tells). What was done anew because of
a stall is counted too: it is how busy the machine was, and should be nothing without loops.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
_FAILED = re.compile(r"^(?:FAILED|ERROR) (tests/.+?)(?: - .*)?$", re.MULTILINE)
_STAGE = re.compile(r"^  (\S.*?) +FAIL +\d+ s$", re.MULTILINE)
_ANEW = re.compile(r"^(tests/.+?) \(try \d+\)", re.MULTILINE)
# Ends when whoever began it has ended, whatever the way.
_LOOP = "import os\nparent = os.getppid()\nwhile os.getppid() == parent:\n    for _ in range(1_000_000):\n        pass"


@dataclass(frozen=True, slots=True)
class Run:
    """What the output of one run tells."""

    passed: bool
    seconds: float
    failed: list[str]  # tests; stages where they are not of pytest
    anew: list[str]  # tests that were held up, once for each time


def read(output: str, status: int, seconds: float) -> Run:
    tests = _FAILED.findall(output)
    stages = [stage for stage in _STAGE.findall(output) if not (tests and stage.startswith("pytest"))]
    return Run(status == 0, seconds, [*dict.fromkeys(tests), *stages], _ANEW.findall(output))


@contextlib.contextmanager
def busy(loops: int) -> Iterator[None]:
    """So many processes that always want a processor."""
    running = [subprocess.Popen([sys.executable, "-S", "-c", _LOOP]) for _ in range(loops)]
    try:
        yield
    finally:
        for loop in running:
            loop.kill()
            loop.wait()


def run(stages: list[str], output: Path, most_s: float) -> Run:
    began = time.monotonic()
    with output.open("wb") as file:
        process = subprocess.Popen([ROOT / ".ci" / "test", *stages], stdin=subprocess.DEVNULL, stdout=file, stderr=file)
        try:
            status = process.wait(most_s)
        except subprocess.TimeoutExpired:
            process.terminate()  # it ends what it has started
            process.wait()
            status = -1
        except KeyboardInterrupt:
            process.wait()
            raise
    found = read(output.read_text(errors="replace"), status, time.monotonic() - began)
    return found if status != -1 else Run(False, found.seconds, [*found.failed, f"not over in {most_s:.0f} s"], found.anew)


def main() -> int:
    parser = argparse.ArgumentParser(description="make test again and again beside busy loops")
    parser.add_argument("stages", nargs="*", help="see .ci/test; all by default")
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--loops", type=int, default=2, help="how many processes are busy beside it")
    parser.add_argument("--most-s", type=float, default=3600.0, help="how long a run may take")
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="dialplane-busy-"))
    print(f"{arguments.runs} runs beside {arguments.loops} busy loops; their output is in {folder}", flush=True)
    runs: list[Run] = []
    with busy(arguments.loops):
        for number in range(1, arguments.runs + 1):
            runs.append(found := run(arguments.stages, folder / f"{number}.log", arguments.most_s))
            verdict = "ok  " if found.passed else "FAIL"
            load = os.getloadavg()[1]
            print(f"  {number:3}  {verdict}  {found.seconds:5.0f} s  load {load:4.1f}  {len(found.anew):3} done anew", flush=True)
            for name in found.failed:
                print(f"         {name}", flush=True)
    failures = sum(not one.passed for one in runs)
    print(f"{failures} of {len(runs)} runs failed")
    for title, names in (("failed", [n for one in runs for n in one.failed]), ("done anew", [n for one in runs for n in one.anew])):
        for name, count in Counter(names).most_common():
            print(f"  {title} {count} times: {name}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
