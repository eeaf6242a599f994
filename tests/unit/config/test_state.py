"""The state directory: one server's at a time, and for nobody else's eyes."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from config.errors import ConfigError, StateInUse
from config.identity import with_identity
from config.load import load
from config.settings import Settings
from config.state import holding_state, is_held

HOLDER = """
import sys, time
from config.state import holding_state
with holding_state(sys.argv[1]):
    print("held", flush=True)
    time.sleep(60)
"""


def of(state: Path) -> Settings:
    return load(environ={"DIALPLANE_STATE": str(state)})


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_second_server_on_the_directory_is_refused_and_told_who_holds_it(tmp_path: Path) -> None:
    with holding_state(tmp_path):
        assert is_held(tmp_path)
        with (
            pytest.raises(StateInUse, match=rf"{tmp_path} already \(process {os.getpid()}\).*server\.state_dir"),
            holding_state(tmp_path),
        ):
            raise AssertionError("held twice")
    assert not is_held(tmp_path)
    with holding_state(tmp_path):
        pass


def test_a_refused_server_touches_nothing(tmp_path: Path) -> None:
    with holding_state(tmp_path):
        before = {file: (file.read_bytes(), file.stat().st_mtime_ns) for file in tmp_path.iterdir()}
        with pytest.raises(StateInUse), holding_state(tmp_path):
            raise AssertionError("held twice")
        assert {file: (file.read_bytes(), file.stat().st_mtime_ns) for file in tmp_path.iterdir()} == before


def test_the_lock_of_a_killed_server_is_free(tmp_path: Path) -> None:
    root = Path(__file__).parents[3]
    with subprocess.Popen([sys.executable, "-c", HOLDER, str(tmp_path)], cwd=root, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        assert is_held(tmp_path)
        holder.send_signal(signal.SIGKILL)
        holder.wait()
    with holding_state(tmp_path):
        assert (tmp_path / "lock").read_text() == f"{os.getpid()}\n"


def test_asking_whether_a_directory_is_held_makes_nothing(tmp_path: Path) -> None:
    assert not is_held(tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_the_directory_is_made_for_its_user_alone(tmp_path: Path) -> None:
    with holding_state(tmp_path / "a" / "b"):
        assert mode(tmp_path / "a" / "b") == 0o700
        assert mode(tmp_path / "a" / "b" / "lock") == 0o600


@pytest.mark.parametrize("names", [[], ["identity.json"], ["dialplane.db", "something"]])
def test_a_directory_of_ours_that_others_could_read_is_closed(tmp_path: Path, names: list[str]) -> None:
    tmp_path.chmod(0o755)
    for name in names:
        (tmp_path / name).touch()
    with holding_state(tmp_path):
        assert mode(tmp_path) == 0o700


def test_a_directory_of_other_things_keeps_its_rights__a_slip_must_not_lock_people_out(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    (tmp_path / "somebody's file").touch()
    with holding_state(tmp_path):
        assert mode(tmp_path) == 0o755


def test_a_directory_that_cannot_be_had_is_told_with_its_setting(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r"server\.state_dir: cannot be used"), holding_state(tmp_path / "file" / "state"):
        raise AssertionError("held")


# --- the secrets in it


def test_token_and_key_are_made_once_and_for_its_user_alone(tmp_path: Path) -> None:
    first, second = (with_identity(of(tmp_path)).server for _ in range(2))
    for name in ("api_token", "recording_key", "webhook_secret"):
        kept = getattr(first, name).get_secret_value()
        assert len(kept) >= 40
        assert kept == getattr(second, name).get_secret_value() == (tmp_path / name).read_text().strip()
        assert mode(tmp_path / name) == 0o600
    assert first.api_token != first.recording_key
    assert mode(tmp_path / "identity.json") == 0o600


def test_a_token_of_the_configuration_wins_and_none_is_made(tmp_path: Path) -> None:
    settings = load(environ={"DIALPLANE_STATE": str(tmp_path), "DIALPLANE_SERVER__API_TOKEN": "mine"})
    assert with_identity(settings).server.api_token.get_secret_value() == "mine"
    assert not (tmp_path / "api_token").exists()


def test_a_token_that_others_could_read_is_closed(tmp_path: Path) -> None:
    (tmp_path / "api_token").write_text("kept\n")
    (tmp_path / "api_token").chmod(0o644)
    assert with_identity(of(tmp_path)).server.api_token.get_secret_value() == "kept"
    assert mode(tmp_path / "api_token") == 0o600


@pytest.mark.parametrize("content", ["", "kept", "whsec_!", "whsec_YWJj"])
def test_a_damaged_secret_of_webhooks_is_told_not_used(tmp_path: Path, content: str) -> None:
    (tmp_path / "webhook_secret").write_text(content)
    with pytest.raises(ConfigError, match="is damaged"):
        with_identity(of(tmp_path))


@pytest.mark.parametrize("secret", ["hush-hush", "whsec_YWJj", "whsec_" + "A" * 120])
def test_a_secret_of_webhooks_that_is_none_is_refused_without_being_shown(tmp_path: Path, secret: str) -> None:
    with pytest.raises(ConfigError, match="webhook_secret") as refused:
        load(environ={"DIALPLANE_STATE": str(tmp_path), "DIALPLANE_SERVER__WEBHOOK_SECRET": secret})
    assert secret not in str(refused.value)


@pytest.mark.parametrize("content", [b"", b"\n", b"\xff\xfe", b"two words"])
def test_a_damaged_token_is_told_not_used(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "api_token").write_bytes(content)
    with pytest.raises(ConfigError, match="is damaged"):
        with_identity(of(tmp_path))
