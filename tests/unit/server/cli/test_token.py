"""`dialplane token`: the token alone, for other programs."""

from __future__ import annotations

from pathlib import Path

import pytest

from config.identity import with_identity
from config.load import load
from server.cli.main import main


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DIALPLANE_STATE", str(tmp_path / "state"))
    monkeypatch.delenv("DIALPLANE_CONFIG", raising=False)
    return tmp_path / "state"


def test_the_token_is_read_and_not_made(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["token"]) == 1
    said = capsys.readouterr()
    assert (said.out, "when it first runs (server.api_token)" in said.err) == ("", True)
    assert not state.exists()  # it is the server that makes it
    made = with_identity(load(environ={"DIALPLANE_STATE": str(state)})).server.api_token.get_secret_value()
    assert main(["token"]) == 0
    said = capsys.readouterr()
    assert (said.out, said.err) == (made + "\n", "")


def test_the_secret_of_webhooks_is_shown_when_asked_for(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = with_identity(load(environ={"DIALPLANE_STATE": str(state)})).server.webhook_secret.get_secret_value()
    assert main(["token", "--webhooks"]) == 0
    assert capsys.readouterr().out == made + "\n" and made.startswith("whsec_")


def test_the_token_of_the_configuration_is_shown(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("DIALPLANE_SERVER__API_TOKEN", "mine")
    assert main(["token"]) == 0
    assert capsys.readouterr().out == "mine\n"
