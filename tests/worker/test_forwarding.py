"""Forwarding in the kernel against the real kernel: `forwarded_calls.py`, in network and mount namespaces of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.worker, pytest.mark.kernel]

CALLS = Path(__file__).with_name("forwarded_calls.py")


def missing() -> str:
    """Why the kernel cannot be prepared here; nothing when it can."""
    if os.geteuid() != 0:
        return "preparing the kernel is for root"
    if tools := [tool for tool in ("unshare", "ip", "setpriv") if shutil.which(tool) is None]:
        return f"no {' and no '.join(tools)}"
    if subprocess.run(["unshare", "-nm", "true"], check=False, capture_output=True).returncode != 0:
        return "no namespaces can be made here"
    release = tuple(int(part) for part in os.uname().release.split("-")[0].split(".")[:2])
    return "" if release >= (6, 6) else f"Linux {os.uname().release} is older than 6.6"


def test_forwarding_in_namespaces_of_its_own() -> None:
    if reason := missing():
        pytest.skip(reason)
    inner = f"ip link set lo up && exec {sys.executable} -m pytest -rs --no-header -p no:cacheprovider {CALLS}"
    ran = subprocess.run(["unshare", "-nm", "sh", "-c", inner], capture_output=True, text=True, check=False)
    print(ran.stdout, ran.stderr)
    assert ran.returncode == 0, ran.stdout[-8000:]
