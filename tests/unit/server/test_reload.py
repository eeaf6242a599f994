"""What a reload takes over, what it leaves as it is, and that both are named."""

from __future__ import annotations

import typing
from pathlib import Path
from typing import Any

import pytest

from config.identity import with_identity
from config.load import dotted, known_keys, load
from config.settings import Settings
from server.cli.run import reread
from server.reload import CHANGEABLE, plan_reload

IDENTITY = {"instance_id": "ID" + "1" * 32, "account_sid": "AC" + "2" * 32, "api_token": "t", "recording_key": "k"}


def wanted(tables: dict[str, Any]) -> Settings:
    return Settings.model_validate({**tables, "server": IDENTITY | tables.get("server", {})})


RUNNING = wanted({})
NUMBER = {"number": "1", "voice_url": "https://app.example.com/"}


@pytest.mark.parametrize(
    ("tables", "changed"),
    [
        ({}, ()),
        ({"numbers": [NUMBER]}, ("numbers",)),
        ({"trunks": [{"name": "t", "allow": ["192.0.2.0/24"]}]}, ("trunks",)),
        ({"dial": {"ringback": "uk"}, "rcml": {"max_nouns": 3}}, ("rcml.max_nouns", "dial.ringback")),
        ({"server": {"use_to": False, "max_calls": 7}}, ("server.max_calls", "server.use_to")),
        ({"media": {"codecs": ["PCMA"]}, "http": {"allow": ["10.0.0.0/8"]}}, ("media.codecs", "http.allow")),
    ],
)
def test_what_can_change_is_taken_over_and_named(tables: dict[str, Any], changed: tuple[str, ...]) -> None:
    plan = plan_reload(RUNNING, wanted(tables))
    assert (plan.changed, plan.waiting) == (changed, ())
    for name in changed:
        section, _, key = name.partition(".")
        given: Any = getattr(wanted(tables), section)
        taken: Any = getattr(plan.settings, section)
        assert (getattr(taken, key) == getattr(given, key)) if key else (taken == given)


@pytest.mark.parametrize(
    ("tables", "waiting"),
    [
        ({"sip": {"listen": ["udp:127.0.0.1:5070"]}}, ("sip.listen",)),
        ({"media": {"port_min": 30000, "port_max": 31000}}, ("media.port_min", "media.port_max")),
        ({"media": {"prompts": {"decoders": 3}}}, ("media.prompts.decoders",)),
        ({"storage": {"batch_max": 7}, "server": {"http_listen": "127.0.0.1:9000"}}, ("server.http_listen", "storage.batch_max")),
        ({"server": {"account_sid": "AC" + "3" * 32}}, ("server.account_sid",)),
    ],
)
def test_what_cannot_change_stays_and_is_named(tables: dict[str, Any], waiting: tuple[str, ...]) -> None:
    plan = plan_reload(RUNNING, wanted(tables))
    assert (plan.changed, plan.waiting) == ((), waiting)
    assert plan.settings == RUNNING


def test_every_changeable_name_is_a_setting() -> None:
    names = {dotted(path).partition("[")[0] for path, _ in known_keys()}
    assert {name for name in CHANGEABLE if name not in names and not any(n.startswith(f"{name}.") for n in names)} == set()


# --- the file


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
