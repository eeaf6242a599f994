"""A process that does nothing but sleep, and says by how much it woke late: where it was held up, so was everybody.

It needs nothing of the kernel that a container, another namespace of processes or a small kernel may keep to itself.
"""

from __future__ import annotations

import atexit
import subprocess
import sys
from collections.abc import Iterator

STEP_S = 0.01
_PROGRAM = """
import os, sys, time
step, least, parent = float(sys.argv[1]), float(sys.argv[2]), os.getppid()
while os.getppid() == parent:
    due = time.monotonic() + step
    time.sleep(step)
    late = time.monotonic() - due
    if late > least:
        print(late, flush=True)
"""


def stalls(least_s: float) -> Iterator[float]:
    """For how long it was held up, each time it was by more than `least_s`, as that happens; without an end."""
    command = [sys.executable, "-S", "-E", "-c", _PROGRAM, str(STEP_S), str(least_s)]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)

    def end() -> None:
        process.kill()
        process.wait()

    atexit.register(end)
    assert process.stdout is not None
    for line in process.stdout:
        yield float(line)
