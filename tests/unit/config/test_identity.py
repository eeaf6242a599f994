"""The sids of a server: made once, kept, and overridden by the configuration."""

from __future__ import annotations

from pathlib import Path

import pytest

from config.errors import ConfigError
from config.identity import with_identity
from config.load import load


def test_sids_are_made_once_and_kept(tmp_path: Path) -> None:
    settings = load(environ={"DIALPLANE_STATE": str(tmp_path / "new")})
    first, second = with_identity(settings).server, with_identity(settings).server
    assert first.instance_id == second.instance_id
    assert first.account_sid == second.account_sid
    assert first.instance_id.startswith("ID")
    assert first.account_sid.startswith("AC")
    assert len(first.account_sid) == 34
    assert sorted(file.name for file in (tmp_path / "new").iterdir()) == ["api_token", "identity.json", "recording_key", "webhook_secret"]


def test_configured_sid_wins(tmp_path: Path) -> None:
    sid = "AC" + "0" * 32
    settings = load(environ={"DIALPLANE_STATE": str(tmp_path), "DIALPLANE_SERVER__ACCOUNT_SID": sid})
    assert with_identity(settings).server.account_sid == sid


def test_damaged_file_is_told_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "identity.json").write_text("{")
    with pytest.raises(ConfigError, match="is damaged"):
        with_identity(load(environ={"DIALPLANE_STATE": str(tmp_path)}))
    assert (tmp_path / "identity.json").read_text() == "{"


def test_unusable_directory_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="state_dir"):
        with_identity(load(environ={"DIALPLANE_STATE": str(tmp_path / "file" / "state")}))
