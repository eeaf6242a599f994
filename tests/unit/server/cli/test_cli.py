"""The command line: what it prints, and how it ends."""

from __future__ import annotations

import asyncio
import datetime
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from config.load import load
from server.calls.effects import Kind
from server.cli.main import main
from server.storage.database import Database
from server.storage.rows import CallRow, Entry, RecordingRow

T0 = datetime.datetime(2026, 5, 26, 17, 59, 16, tzinfo=datetime.UTC)
FIRST, LEG, SECOND = "CA11" + "a" * 30, "CA12" + "b" * 30, "CA21" + "c" * 30
Cli = Callable[..., tuple[int, str, str]]


@pytest.fixture
def cli(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Cli:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DIALPLANE_STATE", str(tmp_path / "state"))
    monkeypatch.delenv("DIALPLANE_CONFIG", raising=False)

    def run(*arguments: str) -> tuple[int, str, str]:
        code = main(arguments)
        out = capsys.readouterr()
        return code, out.out, out.err

    return run


@pytest.fixture
def stored(cli: Cli, tmp_path: Path) -> None:
    async def fill() -> None:
        settings = load(environ={"DIALPLANE_STATE": str(tmp_path / "state"), "DIALPLANE_STORAGE__RETENTION_DAYS": "0"})
        database = Database(settings)
        await database.start()
        later = T0 + datetime.timedelta(minutes=1)
        facts = {"direction": "in", "peer": "192.0.2.1:5060", "transport": "udp", "summary": "INVITE sip:x", "raw": "INVITE sip:x\r\n\r\n"}
        for item in (
            CallRow(FIRST, "", "AC", "inbound", "+15550001", "+15550002", T0, None, later, 7, 7, "busy", "callee", 486, "", "one@h"),
            CallRow(LEG, FIRST, "AC", "outbound-dial", "+15550001", "alice", T0, None, later, 7, 7, "busy", "callee", 486, "", "two@h"),
            CallRow(SECOND, "", "AC", "inbound", "\x1b[2Jevil", "+15550002", later),
            Entry(FIRST, T0, Kind.SIP, facts, FIRST),
            Entry(
                FIRST, T0, Kind.HTTP, {"method": "POST", "url": "http://a/v", "status": 200, "parameters": [["To", "x"]], "body": "<R/>"}
            ),
            Entry(SECOND, later, Kind.VERB, {"verb": "Play"}),
            RecordingRow("RE1", FIRST, "AC", "/r/RE1.wav", 1500, T0),
        ):
            database.writer.put(item)
        await database.stop()

    asyncio.run(fill())


# --- timeline


@pytest.mark.usefixtures("stored")
@pytest.mark.parametrize("wanted", [FIRST, "CA11", LEG, "CA12", "one@h", "two@h", "ID" + "0" * 32 + "-" + FIRST])
def test_timeline_of_a_call_by_any_of_its_names(cli: Cli, wanted: str) -> None:
    code, out, _ = cli("timeline", wanted, "--width", "100")
    assert code == 0
    assert out.startswith(f"{FIRST}\n+15550001 -> +15550002")
    assert "busy (486) by callee, 7 s" in out
    assert "INVITE" in out
    assert "Recording RE1: /r/RE1.wav (1.5 s)" in out


@pytest.mark.usefixtures("stored")
def test_timeline_without_a_sid_is_the_latest_calls(cli: Cli) -> None:
    assert SECOND in cli("timeline")[1]


@pytest.mark.usefixtures("stored")
def test_timeline_of_an_unknown_call_lists_the_latest(cli: Cli) -> None:
    code, out, err = cli("timeline", "CA99")
    assert (code, out) == (1, "")
    assert 'there is no call "CA99"; the latest are:' in err
    assert FIRST in err
    assert SECOND in err


@pytest.mark.usefixtures("stored")
def test_timeline_of_an_ambiguous_beginning_lists_the_choices(cli: Cli) -> None:
    code, _, err = cli("timeline", "CA")
    assert code == 1
    assert 'several calls begin with "CA"' in err
    assert FIRST in err


@pytest.mark.usefixtures("stored")
def test_timeline_for_programs(cli: Cli) -> None:
    document = json.loads(cli("timeline", FIRST, "--json")[1])
    assert document["call"]["status"] == "busy"
    assert [leg["sid"] for leg in document["legs"]] == [LEG]
    assert [entry["kind"] for entry in document["entries"]] == ["sip", "http"]


@pytest.mark.usefixtures("stored")
def test_timeline_with_messages_in_full(cli: Cli) -> None:
    out = cli("timeline", FIRST, "--messages")[1]
    assert "from 192.0.2.1:5060 (udp)\nINVITE sip:x\n" in out
    assert "POST http://a/v\n  To = x\n--- 200 \n<R/>" in out


@pytest.mark.usefixtures("stored")
def test_timeline_in_plain_characters(cli: Cli) -> None:
    assert cli("timeline", FIRST, "--ascii")[1].isascii()


# --- calls


@pytest.mark.usefixtures("stored")
def test_calls_are_listed_latest_first_and_cannot_write_to_the_terminal(cli: Cli) -> None:
    _, out, _ = cli("calls")
    first, second = out.splitlines()
    assert first.startswith(SECOND)
    assert first.endswith("live")
    assert "\x1b" not in out
    assert second.endswith("busy (486) by callee, 7 s")


def test_calls_before_the_first_run_say_so(cli: Cli) -> None:
    code, _, err = cli("calls")
    assert code == 1
    assert "there is no database" in err


# --- configuration


def test_config_prints_what_is_in_force(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "dialplane.toml").write_text("[http]\ntimeout_s = 3\n")
    code, out, _ = cli("config")
    assert code == 0
    assert "timeout_s = 3.0" in out


def test_config_reference_is_a_configuration(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "reference.toml").write_text(cli("config", "--reference")[1])
    assert cli("check", "--config", str(tmp_path / "reference.toml"))[0] == 0


def test_wrong_configuration_ends_with_2_and_the_remedy(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "dialplane.toml").write_text("[http]\ntimeout = 3\n")
    for command in ("config", "check", "run", "calls", "timeline"):
        code, _, err = cli(command)
        assert code == 2
        assert "Did you mean timeout_s?" in err


def test_check_says_what_would_happen(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "dialplane.toml").write_text(
        """
        [[trunks]]
        name = "gw"
        allow = ["192.0.2.0/24", "0.0.0.0/0"]
        [[numbers]]
        number = "100"
        voice_url = "http://127.0.0.1:8000/voice"
        [[numbers]]
        number = "^[0-9"
        regex = true
        voice_url = "https://app.example.com/"
        """
    )
    code, out, _ = cli("check")
    assert code == 0
    assert "192.0.2.0/24, 0.0.0.0/0: let in (gw)" in out
    assert "100: POST http://127.0.0.1:8000/voice" in out
    warnings = [line for line in out.splitlines() if line.startswith("Warning: ")]
    assert len(warnings) == 4
    for warning, words in zip(warnings, ("lets everybody in", "cannot be read", "set proxy", "http.allow"), strict=True):
        assert words in warning

    assert 'matches number "100"' in cli("check", "--from", "192.0.2.5", "--to", "100")[1]
    assert "refused with 404" in cli("check", "--from", "192.0.2.5", "--to", "200")[1]
    assert "refused with 403" in cli("check", "--from", "2001:db8::1", "--to", "100")[1]
    assert cli("check", "--from", "192.0.2.5")[0] == 2


def test_unknown_command_ends_with_2(cli: Cli) -> None:
    with pytest.raises(SystemExit) as ended:
        cli("dance")
    assert ended.value.code == 2


def test_check_shows_no_password_of_a_url(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "dialplane.toml").write_text(
        """
        [[trunks]]
        name = "t"
        allow = ["192.0.2.0/24"]
        [[numbers]]
        number = "100"
        voice_url = "http://app:hush@10.0.0.1/voice"
        fallback_url = "http://app:hush@10.0.0.2/voice?token=hush"
        """,
        encoding="utf-8",
    )
    for asked in ((), ("--from", "192.0.2.5", "--to", "100")):
        code, out, err = cli("check", *asked)
        assert code == 0
        assert "http://app:***@10.0.0.1/voice" in out
        assert "hush" not in out + err
    assert "10.0.0.2/voice?token=*** will not be asked" in cli("check")[1] + cli("check")[2]
