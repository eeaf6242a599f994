"""`dialplane client`: digests instead of a password."""

from __future__ import annotations

import io
import tomllib
from pathlib import Path

import pytest

from config.settings import Settings
from server.cli.main import main
from server.clients import Clients
from sip.core.digest_server import ha1


@pytest.fixture(autouse=True)
def somewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DIALPLANE_STATE", str(tmp_path / "state"))
    monkeypatch.delenv("DIALPLANE_CONFIG", raising=False)


def say(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(text))


def test_its_lines_are_a_client_of_the_configuration(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    say(monkeypatch, "wonderland\n")
    assert main(["client", "alice"]) == 0
    out = capsys.readouterr().out
    assert "wonderland" not in out
    account = Clients(Settings.model_validate(tomllib.loads(out))).find("alice")
    assert account is not None
    assert account.secrets.of("SHA-256") == ha1("SHA-256", "alice", "dialplane", "wonderland")


def test_the_realm_of_the_configuration_counts(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "dialplane.toml").write_text('[registrar]\nrealm = "pbx.example.com"\n')
    say(monkeypatch, "wonderland\n")
    assert main(["client", "alice"]) == 0
    out = capsys.readouterr().out
    assert ha1("MD5", "alice", "pbx.example.com", "wonderland") in out
    assert "pbx.example.com" in out


@pytest.mark.parametrize(("name", "password"), [("alice", ""), ("a@b", "x")])
def test_no_password_and_no_name_are_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str, password: str
) -> None:
    say(monkeypatch, f"{password}\n")
    assert main(["client", name]) == 2
    assert "client" in capsys.readouterr().err


def test_check_says_that_a_client_is_rung__behaviour_1_3(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    client = '[[clients]]\nname = "alice"\npassword = "x"\n'
    (tmp_path / "dialplane.toml").write_text(f'[[trunks]]\nname = "gw"\nallow = ["192.0.2.0/24"]\n{client}')
    assert main(["check", "--from", "192.0.2.5", "--to", "alice"]) == 0
    assert "rings the phones of client:alice" in capsys.readouterr().out
