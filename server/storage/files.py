"""Who may read what the server keeps: its user and nobody else. Calls, messages and recordings are other people's business."""

from __future__ import annotations

import contextlib
import logging
import os
import stat
from pathlib import Path

log = logging.getLogger(__name__)

DIRECTORY_MODE, FILE_MODE = 0o700, 0o600
_BESIDE_SQLITE = ("", "-wal", "-shm", "-journal")


def make_private_directory(path: Path) -> None:
    """Make it, and what leads to it, for this user alone; one that is there and open to others is closed. Never fails for that:
    a directory of somebody else's stays as it is, with a line in the log.

    Raises:
        OSError: it cannot be made.
    """
    for parent in reversed((path, *path.parents)):
        if not parent.exists():
            parent.mkdir(DIRECTORY_MODE, exist_ok=True)
    _close(path, DIRECTORY_MODE)


def make_private_database(file: Path) -> None:
    """SQLite's file, and what it keeps beside it: SQLite gives those the mode that the file itself has.

    Raises:
        OSError: it cannot be made.
    """
    os.close(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, FILE_MODE))
    for suffix in _BESIDE_SQLITE:
        with contextlib.suppress(FileNotFoundError):
            _close(file.with_name(file.name + suffix), FILE_MODE)


def _close(path: Path, mode: int) -> None:
    found = stat.S_IMODE(path.stat().st_mode)
    if not found & ~mode & 0o777:
        return
    try:
        path.chmod(mode & found)
    except OSError as error:
        log.warning(
            "file_open_to_others", extra={"path": str(path), "mode": f"{found:04o}", "wanted": f"{mode:04o}", "error": error.strerror}
        )
    else:
        log.info("file_closed_to_others", extra={"path": str(path), "mode_was": f"{found:04o}", "mode": f"{mode & found:04o}"})
