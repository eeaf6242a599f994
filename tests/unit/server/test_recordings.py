"""The directory of recordings is there, and holds no empty files."""

from __future__ import annotations

import os
import stat
import time
from pathlib import Path

import pytest

from server import recordings


def test_a_directory_that_vanished_is_made_again_for_its_user_alone(tmp_path: Path) -> None:
    gone = tmp_path / "a" / "recordings"
    recordings.ensure_directory(f"{gone}/RE1.wav")
    assert stat.S_IMODE(gone.stat().st_mode) == 0o700
    recordings.ensure_directory(f"{gone}/RE1.wav")


def test_a_directory_that_cannot_be_made_is_told_not_raised(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").touch()
    recordings.ensure_directory(f"{tmp_path}/file/recordings/RE1.wav")
    assert [record.message for record in caplog.records] == ["recordings_directory_failed"]


def test_an_empty_recording_is_removed_and_others_are_not(tmp_path: Path) -> None:
    empty, whole = tmp_path / "RE1.wav", tmp_path / "RE2.wav"
    empty.touch()
    whole.write_bytes(b"RIFF")
    for file in (empty, whole, tmp_path / "none.wav"):
        recordings.remove_if_empty(str(file))
    assert [file.name for file in tmp_path.iterdir()] == ["RE2.wav"]


def test_empty_recordings_of_an_earlier_run_are_removed__but_none_that_just_begins(tmp_path: Path) -> None:
    for name in ("RE1.wav", "RE2.wav", "other.wav", "RE3.txt"):
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (time.time() - 3600,) * 2)
    (tmp_path / "RE2.wav").touch()  # young
    recordings.remove_empty(str(tmp_path))
    assert sorted(file.name for file in tmp_path.iterdir()) == ["RE2.wav", "RE3.txt", "other.wav"]
    recordings.remove_empty(str(tmp_path / "none"))


def test_the_file_of_an_unheard_recording_is_removed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "RE1.wav").write_bytes(b"RIFF")
    for name in ("RE1.wav", "none.wav"):
        recordings.remove_unheard(str(tmp_path / name))
    assert not list(tmp_path.iterdir()) and not caplog.records
    (tmp_path / "RE2.wav").mkdir()
    recordings.remove_unheard(str(tmp_path / "RE2.wav"))
    assert [record.message for record in caplog.records] == ["unheard_recording_left"]
