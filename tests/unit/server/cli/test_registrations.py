"""`dialplane registrations`."""

from __future__ import annotations

import asyncio
import datetime
import json
from pathlib import Path

import pytest

from config.load import load
from server.cli.main import main
from server.storage.database import Database
from server.storage.rows import RegistrationRow


def row(client: str, left_s: int, agent: str = "Phone/1") -> RegistrationRow:
    now = datetime.datetime.now(datetime.UTC)
    ends = ("udp", "192.0.2.1", 5060, "2001:db8::7" if client == "bob" else "198.51.100.7", 40123)
    until = now + datetime.timedelta(seconds=left_s)
    return RegistrationRow(f"RG{client}", client, f"sip:{client}@10.0.0.5", "c", 1, *ends, 1, "", 0, agent, now, until)


@pytest.fixture
def stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DIALPLANE_STATE", str(tmp_path / "state"))
    monkeypatch.delenv("DIALPLANE_CONFIG", raising=False)

    async def fill() -> None:
        database = Database(load(environ={"DIALPLANE_STATE": str(tmp_path / "state")}))
        await database.start()
        for item in (row("alice", 600, "\x1b[2JPhone"), row("bob", 600), row("gone", 600), row("gone", -1)):
            database.writer.put(item)
        await database.stop()

    asyncio.run(fill())


def test_who_is_registered_is_listed_and_cannot_write_to_the_terminal(stored: None, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["registrations"]) == 0
    out = capsys.readouterr().out
    first, second = out.splitlines()
    assert first.startswith("alice             udp 198.51.100.7:40123  sip:alice@10.0.0.5  5")
    assert "udp [2001:db8::7]:40123" in second
    assert "\x1b" not in out


def test_of_one_client_for_programs(stored: None, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["registrations", "bob", "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)
    assert (found["client"], found["remote_port"]) == ("bob", 40123)


def test_nobody_is_said_to_be_there(stored: None, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["registrations", "carol"]) == 0
    assert capsys.readouterr().out == "nobody is registered\n"
