"""The directory of recordings: there when one begins, without what a full disk left behind."""

from __future__ import annotations

import logging
import time
from pathlib import Path

log = logging.getLogger(__name__)

BEING_MADE_S = 60.0  # an empty file so young may be one that is just being begun


def ensure_directory(path: str) -> None:
    """Make the directory of the recording at `path` again when somebody removed it. What cannot be made, the worker reports."""
    directory = Path(path).parent
    try:
        if not directory.is_dir():
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            log.warning("recordings_directory_made_again", extra={"path": str(directory)})
    except OSError as error:
        log.error("recordings_directory_failed", extra={"path": str(directory), "reason": error.strerror or str(error)})


def remove_if_empty(path: str) -> None:
    """A recording of no octets is no recording: the disk was full when it began."""
    file = Path(path)
    try:
        if file.stat().st_size == 0:
            file.unlink()
            log.warning("empty_recording_removed", extra={"path": path})
    except FileNotFoundError:
        pass
    except OSError as error:
        log.warning("empty_recording_left", extra={"path": path, "reason": error.strerror or str(error)})


def remove_unheard(path: str) -> None:
    """The file of a recording that is not kept, as there is nothing to hear (`server.calls.effects.Discard`)."""
    try:
        Path(path).unlink(missing_ok=True)
    except OSError as error:
        log.warning("unheard_recording_left", extra={"path": path, "reason": error.strerror or str(error)})


def remove_empty(directory: str) -> None:
    """The same for all that an earlier run left in a directory."""
    for file in Path(directory).glob("RE*.wav"):
        try:
            old = time.time() - file.stat().st_mtime > BEING_MADE_S
        except OSError:
            continue
        if old:
            remove_if_empty(str(file))
