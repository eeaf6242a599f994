"""Every wrong configuration is a line with the setting and the remedy, from `check` and from `run` alike."""

from __future__ import annotations

import logging
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from config.state import holding_state
from media.errors import WorkerUnavailable
from server import limits
from server.cli.main import main
from server.storage.database import StorageError
from tests.unit.server.cli.wrong_files import DOUBTS, ERRORS, Case

Tell = Callable[[str, str], tuple[int, str]]  # command, TOML -> exit code, all that was said


class Started(Exception):
    """`run` would have started the server."""


@pytest.fixture
def places() -> Iterator[dict[str, str]]:
    """An address in use for each transport, and a free port."""
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp,
        socket.socket(socket.AF_INET, socket.SOCK_STREAM) as tcp,
        socket.socket(socket.AF_INET, socket.SOCK_STREAM) as free,
    ):
        for used in (udp, tcp, free):
            used.bind(("127.0.0.1", 0))
        tcp.listen(1)
        free_port = str(free.getsockname()[1])
        free.close()
        yield {"used_udp": f"127.0.0.1:{udp.getsockname()[1]}", "used_tcp": f"127.0.0.1:{tcp.getsockname()[1]}", "free": free_port}


@pytest.fixture
def tell(tmp_path: Path, places: dict[str, str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Tell]:
    (tmp_path / "file").write_text("no program, no certificate, no socket")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(limits, "hard_limit", lambda: 65536)
    monkeypatch.setattr(limits, "raise_soft_limit", lambda: None)
    monkeypatch.setattr("os.umask", lambda mask: 0)

    def start(*_: object) -> None:
        raise Started

    monkeypatch.setattr("server.app.run", start)
    before = {number: signal.getsignal(number) for number in (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)}

    def run(command: str, text: str) -> tuple[int, str]:
        text = text.format(tmp=tmp_path, **places)
        file = tmp_path / "dialplane.toml"
        file.write_text(text, encoding="utf-8")
        file.chmod(0o644)
        # What a case does not speak of is as it should be, whatever else runs on this machine.
        for name, key, value in (
            ("DIALPLANE_STATE", "state_dir", str(tmp_path / "state")),
            ("DIALPLANE_MEDIA__WORKER_BINARY", "worker_binary", sys.executable),
            ("DIALPLANE_SIP__LISTEN", "listen =", "udp:127.0.0.1:0, tcp:127.0.0.1:0, udp:[::1]:0"),
            ("DIALPLANE_SERVER__HTTP_LISTEN", "http_listen", f"127.0.0.1:{places['free']}"),
        ):
            if key in text.replace("http_listen", "") if key == "listen =" else key in text:
                monkeypatch.delenv(name, raising=False)
            else:
                monkeypatch.setenv(name, value)
        code = main([command, "--config", str(file)])
        said = capsys.readouterr()
        return code, said.out + said.err

    handlers = logging.getLogger().handlers[:]
    yield run
    logging.getLogger().handlers[:] = handlers
    for number, handler in before.items():
        signal.signal(number, handler)


def named(case: Case) -> str:
    return case[0].strip().replace("\n", " ")[:60] or "nothing"


def test_there_are_more_than_a_hundred() -> None:
    assert len(ERRORS) > 100
    assert len({text for text, _, _ in ERRORS}) == len(ERRORS)


@pytest.mark.parametrize("command", ["check", "run"])
@pytest.mark.parametrize("case", ERRORS, ids=named)
def test_what_is_wrong_is_a_line_with_setting_and_remedy(tell: Tell, case: Case, command: str) -> None:
    text, setting, remedy = case
    code, said = tell(command, text)
    assert code == 2, said
    about = [block for block in said.replace("\n    ", "\t").splitlines() if (f": {setting}: " if setting else "dialplane.toml") in block]
    assert any(remedy in block for block in about), said


@pytest.mark.parametrize("case", DOUBTS, ids=named)
def test_what_is_doubtful_is_told_by_both_and_hinders_neither(tell: Tell, case: Case) -> None:
    text, setting, remedy = case
    code, said = tell("check", text)
    assert code == 0, said
    assert any(f": {setting}: " in line and remedy in line for line in said.splitlines() if line.startswith("Warning: ")), said
    with pytest.raises(Started):
        tell("run", text)


def test_run_logs_what_is_doubtful(tell: Tell, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(Started):
        tell("run", '[server]\nlog_format = "human"\n')
    assert "configuration_doubted setting=numbers" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "setting", "remedy"),
    [
        (StorageError("the database does not answer"), "storage.url", "Start the database"),
        (WorkerUnavailable("the worker exited with status 1"), "media.worker_binary", "in the log above"),
    ],
)
def test_what_shows_only_at_the_start_is_named_too(
    tell: Tell, monkeypatch: pytest.MonkeyPatch, error: Exception, setting: str, remedy: str
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr("server.app.run", fail)
    code, said = tell("run", "")
    assert code == 1
    assert f": {setting}: {error}\n    " in said and remedy in said


def test_the_place_is_the_files_line_or_the_variable(tell: Tell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, said = tell("check", "[sip]\n# so\ntimer_d_s = 5.0\n")
    assert f"{tmp_path}/dialplane.toml:3: sip.timer_d_s: " in said
    monkeypatch.setenv("DIALPLANE_SIP__TIMER_D_S", "5")
    _, said = tell("check", "")
    assert "DIALPLANE_SIP__TIMER_D_S: sip.timer_d_s: " in said


def test_a_configuration_in_use_is_valid_while_its_server_runs(tell: Tell, tmp_path: Path) -> None:
    """Its addresses are in use then, by itself."""
    text = '[server]\nhttp_listen = "{used_tcp}"\n[sip]\nlisten = ["udp:{used_udp}"]\n'
    assert tell("check", text)[0] == 2
    with holding_state(tmp_path / "state"):
        code, said = tell("check", text)
        assert code == 0, said
        code, said = tell("run", text)
    assert code == 1
    assert "runs on" in said and "already" in said


@pytest.mark.parametrize(
    ("limit", "code", "said"),
    [
        (64, 2, "the limit of open files is 64, and no call fits"),
        (1024, 0, "enough for 160 calls: the media worker wants 6064 for 1000"),
        (6064, 0, "6064 at most; the media worker wants 6064"),
    ],
)
def test_open_files_are_counted_in_calls(tell: Tell, monkeypatch: pytest.MonkeyPatch, limit: int, code: int, said: str) -> None:
    monkeypatch.setattr(limits, "hard_limit", lambda: limit)
    found, told = tell("check", "")
    assert (found, said in told) == (code, True), told
    if limit < 6064:
        assert "server.max_calls" in told and "LimitNOFILE=6064" in told
