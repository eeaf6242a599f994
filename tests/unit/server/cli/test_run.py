"""What `dialplane run` does when it is told to read its configuration again."""

from __future__ import annotations

import typing
from pathlib import Path
from typing import Any

import pytest

from config.identity import with_identity
from config.load import load
from server.cli.run import reread


def written(tmp_path: Path, text: str) -> str:
    file = tmp_path / "dialplane.toml"
    file.write_text(f'[server]\nstate_dir = "{tmp_path}/state"\n{text}')
    return str(file)


def test_a_reload_reads_the_file_again(tmp_path: Path) -> None:
    running = with_identity(load(written(tmp_path, "")))
    reloaded = reread(written(tmp_path, '[[numbers]]\nnumber = "7"\nvoice_url = "https://app.example.com/"\n'), running)
    assert [number.number for number in reloaded.numbers] == ["7"]
    assert reloaded.server == running.server


def test_a_broken_file_changes_nothing_and_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    running = with_identity(load(written(tmp_path, "")))
    assert reread(written(tmp_path, "[http]\ntimeout = 3\n"), running) is running
    (record,) = caplog.records
    assert record.message == "reload_failed"
    assert "Did you mean timeout_s?" in typing.cast(Any, record).problems


def test_a_file_whose_settings_contradict_each_other_changes_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    running = with_identity(load(written(tmp_path, "")))
    assert reread(written(tmp_path, "[sip]\nmax_sessions = 10\n"), running) is running
    assert "sip.max_sessions" in typing.cast(Any, caplog.records[0]).problems


def test_a_token_that_was_made_anew_counts_after_a_reload(tmp_path: Path) -> None:
    file = written(tmp_path, "")
    running = with_identity(load(file))
    (tmp_path / "state" / "api_token").unlink()
    token = reread(file, running).server.api_token.get_secret_value()
    assert token == (tmp_path / "state" / "api_token").read_text().strip()
    assert token != running.server.api_token.get_secret_value()


def test_another_state_directory_is_named_and_not_touched(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    running = with_identity(load(written(tmp_path, "")))
    moved = tmp_path / "moved.toml"
    moved.write_text(f'[server]\nstate_dir = "{tmp_path}/other"\n')
    assert reread(str(moved), running) == running
    assert not (tmp_path / "other").exists()
    (named,) = [getattr(record, "settings", "") for record in caplog.records if record.message == "reload_wants_restart"]
    assert "server.state_dir" in named
