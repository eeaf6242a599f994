"""Decoded audio on disk: canonical WAV files under content keys, the least recently used deleted first.

A file appears whole or not at all (written beside, then renamed), and never changes. Its modification time is the time of
its last use. A file that was handed out within the last `HOLD_S` seconds is not deleted, so that whoever was given the
path finds it there; the worker that has opened it keeps it whatever we do. All methods block (a little): call them in
a thread.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

log = logging.getLogger(__name__)

HOLD_S = 600.0
STALE_TEMPORARY_S = 3600.0
HEADER_BYTES = 44  # of the canonical WAV: RIFF, fmt of 16 octets, data
BYTES_PER_S = 16_000

_KEY = re.compile(r"[0-9a-f]{16,64}")


@dataclass(frozen=True, slots=True)
class PromptFile:
    """A canonical WAV: PCM s16le, mono, 8000 Hz."""

    path: str
    duration_ms: int


def remove(path: Path) -> None:
    """A file of ours that is of no use any more. What cannot be removed now is removed with the leavings of an earlier run."""
    with contextlib.suppress(OSError):
        path.unlink()


class AudioCache:
    """One directory of canonical WAV files.

    clock: wall time in seconds. Several processes may share the directory.
    """

    def __init__(self, directory: Path, max_bytes: int, max_age_s: float, clock: Callable[[], float] = time.time) -> None:
        self.directory = directory
        self._max_bytes = max_bytes
        self._max_age_s = max_age_s
        self._clock = clock
        self._serial = itertools.count()
        self._prepared = False

    def find(self, key: str) -> PromptFile | None:
        """The file of a key, marked as used now."""
        path = self._path(key)
        try:
            size = path.stat().st_size
            now = self._clock()
            os.utime(path, (now, now))
        except FileNotFoundError:
            return None
        if size <= HEADER_BYTES:
            return None
        return PromptFile(str(path), (size - HEADER_BYTES) * 1000 // BYTES_PER_S)

    def temporary(self, suffix: str) -> Path:
        """A path for a file that is being made; the caller removes it or `keep`s it."""
        self._prepare()
        return self.directory / f"{os.getpid()}-{next(self._serial)}.{suffix}.tmp"

    def keep(self, key: str, temporary: Path) -> PromptFile:
        """Put a finished file under its key."""
        path = self._path(key)
        os.replace(temporary, path)
        kept = self.find(key)
        if kept is None:
            raise FileNotFoundError(path)
        return kept

    def trim(self) -> None:
        """Delete what is too old, then the least recently used until the rest fits."""
        now = self._clock()
        entries: list[tuple[float, int, str]] = []
        with contextlib.suppress(FileNotFoundError), os.scandir(self.directory) as found:
            for entry in found:
                if entry.name.endswith(".wav"):
                    with contextlib.suppress(FileNotFoundError):
                        status = entry.stat()
                        entries.append((status.st_mtime, status.st_size, entry.path))
        total = sum(size for _, size, _ in entries)
        for used_at, size, path in sorted(entries):
            if now - used_at <= HOLD_S or (now - used_at <= self._max_age_s and total <= self._max_bytes):
                break  # the rest was used later
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
            total -= size
        if total > self._max_bytes:
            log.warning(
                "audio_cache_over_limit", extra={"directory": str(self.directory), "size_bytes": total, "limit_bytes": self._max_bytes}
            )

    def _prepare(self) -> None:
        """Make the directory; remove what an earlier run left half done."""
        if self._prepared:
            return
        self.directory.mkdir(mode=0o750, parents=True, exist_ok=True)
        horizon = self._clock() - STALE_TEMPORARY_S
        for path in self.directory.glob("*.tmp"):
            with contextlib.suppress(FileNotFoundError):
                if path.stat().st_mtime < horizon:
                    path.unlink()
        self._prepared = True

    def _path(self, key: str) -> Path:
        if not _KEY.fullmatch(key):
            raise ValueError("keys are hexadecimal digests")
        return self.directory / f"{key}.wav"
