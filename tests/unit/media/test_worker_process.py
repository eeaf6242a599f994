"""The worker's program as a process."""

from __future__ import annotations

import stat
from pathlib import Path

from media.worker_process import WorkerProcess


async def test_what_the_worker_writes_is_for_our_user_alone(tmp_path: Path) -> None:
    """Whatever mask the shell or the service manager set: recordings are other people's conversations."""
    process = WorkerProcess(["/bin/sh", "-c", f"touch '{tmp_path}/recording.wav'"])
    assert await process.wait(10) == 0
    assert stat.S_IMODE((tmp_path / "recording.wav").stat().st_mode) == 0o600
