"""The client of the media worker and the program that it starts: found, started, watched, replaced, ended."""

from __future__ import annotations

import asyncio
import os
import signal
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

import pytest

from media import engine
from media.heartbeat import BEAT_S
from media.settings import MediaSettings
from media.worker_client import WorkerUnavailable
from media.worker_process import find_worker, worker_arguments
from tests.support.processes import is_there
from tests.unit.media.fake_worker import Events, FakeWorker, Make

# --- the program --------------------------------------------------------------------------------------------------

PROGRAM = """
    import json, os, socket, struct, sys, time, signal
    import msgspec
    arguments = dict(zip(sys.argv[1::2], sys.argv[2::2]))
    mode = open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "mode")).read().split()
    print("worker starts", mode, flush=True)
    if "broken" in mode:
        print("cannot bind anything", file=sys.stderr); sys.exit(3)
    if "mute" in mode:
        time.sleep(60)
    if "stubborn" in mode:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    server = socket.socket(socket.AF_UNIX); server.bind(arguments["--socket"]); server.listen()
    while True:
        peer, _ = server.accept()
        stream = peer.makefile("rwb")
        def say(**message):
            payload = msgspec.msgpack.encode(message); stream.write(struct.pack(">I", len(payload)) + payload); stream.flush()
        while head := stream.read(4):
            command = msgspec.msgpack.decode(stream.read(struct.unpack(">I", head)[0]))
            match command["t"]:
                case "hello": say(t="welcome", version=command["version"], pid=os.getpid(), worker="program")
                case "ping": say(t="pong")
                case "list": say(t="listing", streams=[])
                case "open":
                    say(t="opened", stream=command["stream"], address=command["address"], port=int(arguments["--port-min"]), rtcp_port=1)
                case "close": sys.exit(7)
                case "shutdown" if "stubborn" not in mode:
                    os.unlink(arguments["--socket"]); sys.exit(0)
"""


@pytest.fixture
def program(tmp_path: Path) -> Callable[[str], str]:
    """Writes the worker's program; what it is given is how it behaves."""

    def write(mode: str = "") -> str:
        path = tmp_path / "worker"
        path.write_text(f"#!{sys.executable}\n" + dedent(PROGRAM))
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        (tmp_path / "mode").write_text(mode)
        return str(path)

    return write


def there(path: Path) -> bool:
    return path.exists()


def size(path: Path) -> int:
    return path.stat().st_size


async def test_a_worker_is_started_when_none_listens(make: Make, events: Events, program: Callable[[str], str]) -> None:
    client = make(worker_binary=program(""), port_min=30000, port_max=30099)
    welcome = await client.start()
    assert welcome.worker == "program"
    client.send(engine.Open(stream="s", address="127.0.0.1"))
    assert await events.next() == engine.Opened(stream="s", address="127.0.0.1", port=30000, rtcp_port=1)
    await client.stop(shutdown_worker=True)
    assert not is_there(welcome.pid)


async def test_its_words_go_to_the_log(make: Make, program: Callable[[str], str], caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    client = make(worker_binary=program("talks"))
    await client.start()
    await client.stop(shutdown_worker=True)
    assert "worker starts ['talks']" in [getattr(record, "line", "") for record in caplog.records if record.name == "media.worker"]


async def test_a_stale_socket_is_cleared(make: Make, program: Callable[[str], str], socket_path: Path) -> None:
    socket_path.parent.mkdir()
    server = await asyncio.start_unix_server(lambda _r, _w: None, str(socket_path))
    server.close()
    assert there(socket_path)
    client = make(worker_binary=program(""))
    await client.start()
    assert client.connected


async def test_a_file_where_the_socket_should_be_is_left_alone(make: Make, program: Callable[[str], str], tmp_path: Path) -> None:
    with pytest.raises(WorkerUnavailable):
        await make(worker_binary=program("precious"), socket_path=str(tmp_path / "mode")).start()
    assert size(tmp_path / "mode") == len("precious")


async def test_a_worker_that_dies_is_reaped_and_replaced(make: Make, events: Events, program: Callable[[str], str]) -> None:
    client = make(worker_binary=program(""))
    first = await client.start()
    client.send(engine.Close(stream="make it exit"))
    lost = await events.next()
    assert isinstance(lost, engine.EngineLost)
    assert "exited with status 7" in lost.reason
    assert not is_there(first.pid)
    second = await events.next()
    assert isinstance(second, engine.Welcome)
    assert second.pid != first.pid
    os.kill(second.pid, signal.SIGKILL)
    lost = await events.next()
    assert isinstance(lost, engine.EngineLost)
    assert "SIGKILL" in lost.reason


async def test_a_worker_that_exits_at_its_start_is_an_error_with_its_words(make: Make, program: Callable[[str], str]) -> None:
    with pytest.raises(WorkerUnavailable, match=r"status 3.*cannot bind anything"):
        await make(worker_binary=program("broken")).start()


async def test_a_worker_that_never_listens_is_ended(make: Make, program: Callable[[str], str], caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    with pytest.raises(WorkerUnavailable, match="does not listen"):
        await make(worker_binary=program("mute"), worker_start_timeout_s=0.3).start()
    (started,) = [record for record in caplog.records if record.message == "media_worker_started"]
    assert not is_there(started.__dict__["pid"])


async def test_a_worker_that_ignores_shutdown_is_killed(make: Make, program: Callable[[str], str]) -> None:
    client = make(worker_binary=program("stubborn"), worker_stop_timeout_s=0.2)
    welcome = await client.start()
    await client.stop(shutdown_worker=True)
    assert not is_there(welcome.pid)


async def test_a_start_that_is_cancelled_leaves_nothing(
    make: Make, program: Callable[[str], str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    client = make(worker_binary=program("mute"))
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(client.start(), 0.3)
    (started,) = [record for record in caplog.records if record.message == "media_worker_started"]
    assert not is_there(started.__dict__["pid"])


async def test_a_worker_outlives_its_controller_and_is_adopted_by_the_next(make: Make, program: Callable[[str], str]) -> None:
    first = make(worker_binary=program(""))
    welcome = await first.start()
    await first.stop(shutdown_worker=False)
    assert is_there(welcome.pid)
    second = make()
    assert (await second.start()).pid == welcome.pid
    await second.stop(shutdown_worker=True)
    await asyncio.to_thread(os.waitpid, welcome.pid, 0)  # it was the first client's child: only here is it ours to reap
    assert not is_there(welcome.pid)


# --- one that does not answer -------------------------------------------------------------------------------------


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beats follow each other twenty times as fast; what they mean is as ever."""
    monkeypatch.setattr("media.worker_client.BEAT_S", BEAT_S / 20)


async def becomes(true: Callable[[], bool]) -> None:
    for _ in range(500):
        if true():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("not within 5 s")


async def test_no_stream_is_opened_on_a_worker_that_does_not_answer_until_it_does__issue_hung_worker(
    quick: None, worker: FakeWorker, make: Make, events: Events
) -> None:
    client = make(worker_hung_s=600)
    await client.start()
    assert client.ailment == ""
    worker.answers = False
    await becomes(lambda: bool(client.ailment))
    assert client.ailment == "the media worker does not answer"
    client.send(engine.Open(stream="s", address="127.0.0.1"))
    refused = await events.next()
    assert isinstance(refused, engine.Failed)
    assert (refused.op, refused.subject, refused.code) == ("open", "s", "no_worker")
    assert "not answered for" in refused.reason
    client.send(engine.Close(stream="t"))
    assert await worker.command() == engine.Close(stream="t"), "what lives on it is still spoken of"
    worker.answers = True
    await becomes(lambda: not client.ailment)
    client.send(engine.Open(stream="s", address="127.0.0.1"))
    assert await worker.command() == engine.Open(stream="s", address="127.0.0.1")


async def test_one_that_is_asked_and_answers_is_left_alone__issue_hung_worker(
    quick: None, worker: FakeWorker, make: Make, events: Events
) -> None:
    client = make(worker_hung_s=10)
    await client.start()
    await asyncio.sleep(2)  # four times as long as a silent one has
    assert client.ailment == ""
    assert events.queue.empty(), "of Pong nobody else hears"
    assert len(worker.writers) == 1


async def test_a_hung_worker_is_killed_and_replaced__issue_hung_worker(
    quick: None, make: Make, events: Events, program: Callable[[str], str]
) -> None:
    client = make(worker_binary=program(""), worker_hung_s=10)
    first = await client.start()
    os.kill(first.pid, signal.SIGSTOP)
    lost = await events.next()
    assert isinstance(lost, engine.EngineLost)
    assert not is_there(first.pid)
    second = await events.next()
    assert isinstance(second, engine.Welcome)
    assert second.pid != first.pid


# --- finding it ---------------------------------------------------------------------------------------------------


def test_the_program_is_sought_beside_the_interpreter_then_on_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for place in ("bin", "path"):
        (tmp_path / place).mkdir()
        (tmp_path / place / "dialplane-media").touch(mode=0o755)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "bin" / "python"))
    monkeypatch.setenv("PATH", str(tmp_path / "path"))
    assert find_worker(MediaSettings()) == str(tmp_path / "bin" / "dialplane-media")
    (tmp_path / "bin" / "dialplane-media").unlink()
    assert find_worker(MediaSettings()) == str(tmp_path / "path" / "dialplane-media")


def test_the_command_line_carries_what_the_worker_must_know() -> None:
    settings = MediaSettings(
        socket_path="/run/m.sock",
        port_min=4000,
        port_max=4999,
        worker_threads=2,
        worker_io="epoll",
        dscp=0,
        worker_forward="/run/dialplane-forward",
        worker_log_level="debug",
    )
    arguments = worker_arguments(settings)
    values = dict(zip(arguments[::2], arguments[1::2], strict=True))
    assert values == {
        "--socket": "/run/m.sock",
        "--port-min": "4000",
        "--port-max": "4999",
        "--threads": "2",
        "--io": "epoll",
        "--idle-exit": "300",
        "--dscp": "0",
        "--prompt-cache-mib": "64",
        "--record-buffer-mib": "32",
        "--mix-members": "40",
        "--max-packets-per-second": "1000",
        "--forward": "/run/dialplane-forward",
        "--log-level": "debug",
    }
