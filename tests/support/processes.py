"""Processes that something under test has started."""

from __future__ import annotations

import os


def is_there(pid: int) -> bool:
    """A zombie counts: nobody has reaped it."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
