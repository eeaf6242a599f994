"""Whether this machine can run a configuration. Every kind of finding is in tests/unit/server/cli/wrong_files.py."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from config.load import Loaded, load_with_source
from server import limits, preflight


@pytest.fixture(autouse=True)
def plenty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "hard_limit", lambda: 65536)


def loaded(tmp_path: Path, **variables: str) -> Loaded:
    file = tmp_path / "dialplane.toml"
    if not file.exists():
        file.write_text("")
    environ = {
        "DIALPLANE_STATE": str(tmp_path / "state"),
        "DIALPLANE_MEDIA__WORKER_BINARY": sys.executable,
        "DIALPLANE_SIP__LISTEN": "udp:127.0.0.1:0",
        "DIALPLANE_SERVER__HTTP_LISTEN": "127.0.0.1:0",
        "DIALPLANE_SERVER__PUBLIC_URL": "https://pbx.example.com",
    }
    return load_with_source(file, environ | variables)


def test_nothing_is_wrong_and_nothing_is_made(tmp_path: Path) -> None:
    assert preflight.problems(loaded(tmp_path)) == []
    assert [file.name for file in tmp_path.iterdir()] == ["dialplane.toml"]


def test_a_server_that_does_nothing_yet_is_doubtful(tmp_path: Path) -> None:
    assert [problem.key for problem in preflight.warnings(loaded(tmp_path))] == ["trunks", "numbers", "trunks"]


@pytest.mark.parametrize(("mode", "told"), [(0o644, True), (0o640, False), (0o600, False)])
def test_a_password_that_everybody_can_read_is_doubtful(tmp_path: Path, mode: int, told: bool) -> None:
    file = tmp_path / "dialplane.toml"
    file.write_text('[[trunks]]\nname = "t"\nproxy = "sip:gw.example.com"\nusername = "u"\npassword = "hush"\n')
    file.chmod(mode)
    found = [problem for problem in preflight.warnings(loaded(tmp_path)) if problem.key == "trunks[0].password"]
    assert bool(found) is told
    by_variable = loaded(tmp_path, DIALPLANE_TRUNKS__0__PASSWORD="hush")
    assert [problem.key for problem in preflight.warnings(by_variable) if problem.key == "trunks[0].password"] == []


def test_a_missing_driver_is_told_with_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "asyncpg", None)
    (problem,) = preflight.problems(loaded(tmp_path, DIALPLANE_STORAGE__URL="postgresql+asyncpg://u:hush@db/x"))
    assert (problem.key, problem.remedy) == ("storage.url", "Install it beside dialplane: pip install asyncpg")
    assert "hush" not in str(problem)
