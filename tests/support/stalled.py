"""One thread of another process held still, as one that waits for a disk that does not answer, while the others go on."""

from __future__ import annotations

import contextlib
import ctypes
import os
from collections.abc import Iterator
from pathlib import Path

# ptrace(2), waitpid(2)
_SEIZE, _INTERRUPT, _DETACH = 0x4206, 0x4207, 17
_WALL = 0x40000000


def _ptrace(request: int, thread: int) -> bool:
    library = ctypes.CDLL(None, use_errno=True)
    library.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
    library.ptrace.restype = ctypes.c_long
    return bool(library.ptrace(request, thread, None, None) == 0)


@contextlib.contextmanager
def stalled(pid: int, name: str) -> Iterator[None]:
    """Hold the thread of that name until the end of the block. It needs no leave of the system for a child of ours, as a rule."""
    threads = [int(task.name) for task in Path(f"/proc/{pid}/task").iterdir() if (task / "comm").read_text().strip() == name]
    (thread,) = threads
    if not _ptrace(_SEIZE, thread):
        raise OSError(ctypes.get_errno(), "ptrace of a child is not allowed here (in a container: --cap-add SYS_PTRACE)")
    try:
        assert _ptrace(_INTERRUPT, thread)
        os.waitpid(thread, _WALL)
        yield
    finally:
        _ptrace(_DETACH, thread)
