"""The client of the media worker, against a worker made here: one in this loop, and one as a program of its own."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import stat
import struct
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from textwrap import dedent

import msgspec
import pytest

from media import engine
from media.heartbeat import BEAT_S
from media.settings import MediaSettings
from media.worker_client import WorkerClient, WorkerUnavailable
from media.worker_process import find_worker, worker_arguments

Received = engine.Event | engine.EngineLost


class Events:
    """What the client delivered, to be waited for."""

    def __init__(self) -> None:
        self.queue: asyncio.Queue[Received] = asyncio.Queue()

    def __call__(self, event: Received) -> None:
        self.queue.put_nowait(event)

    async def next(self, timeout_s: float = 5.0) -> Received:
        return await asyncio.wait_for(self.queue.get(), timeout_s)


class FakeWorker:
    """A worker in this loop: greets, lists what it is told to hold, keeps every other command."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.version = engine.PROTOCOL_VERSION
        self.listing = engine.Listing()
        self.commands: asyncio.Queue[engine.Command] = asyncio.Queue()
        self.greets = True
        self.answers = True
        self.writers: list[asyncio.StreamWriter] = []
        self._server: asyncio.Server | None = None

    async def listen(self) -> None:
        self._server = await asyncio.start_unix_server(self._serve, str(self.path))

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
            for writer in self.writers:
                writer.close()
            await self._server.wait_closed()
        self.path.unlink(missing_ok=True)

    def say(self, *events: engine.Event) -> None:
        for event in events:
            self.say_bytes(msgspec.msgpack.encode(event))

    def say_bytes(self, payload: bytes) -> None:
        self.writers[-1].write(struct.pack(">I", len(payload)) + payload)

    async def command(self) -> engine.Command:
        return await asyncio.wait_for(self.commands.get(), 5)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.append(writer)
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                (length,) = struct.unpack(">I", await reader.readexactly(4))
                command = msgspec.msgpack.decode(await reader.readexactly(length), type=engine.Command)
                match command:
                    case engine.Hello() if self.greets:
                        self.say(engine.Welcome(version=self.version, pid=os.getpid(), worker="fake"))
                    case engine.List():
                        self.say(self.listing)
                    case engine.Ping():
                        if self.answers:
                            self.say(engine.Pong())
                    case engine.Shutdown():
                        await self.commands.put(command)
                        break
                    case _:
                        await self.commands.put(command)
        writer.close()


Make = Callable[..., WorkerClient]


@pytest.fixture
def socket_path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "media.sock"


@pytest.fixture
async def worker(socket_path: Path) -> AsyncIterator[FakeWorker]:
    socket_path.parent.mkdir()
    fake = FakeWorker(socket_path)
    await fake.listen()
    yield fake
    await fake.close()


@pytest.fixture
def events() -> Events:
    return Events()


@pytest.fixture
async def make(socket_path: Path, events: Events) -> AsyncIterator[Make]:
    made: list[WorkerClient] = []

    def build(**settings: object) -> WorkerClient:
        values = {"socket_path": str(socket_path), "worker_binary": "/nowhere/worker", "worker_stop_timeout_s": 0.5} | settings
        made.append(WorkerClient(MediaSettings.model_validate(values), events, "test"))
        return made[-1]

    yield build
    for client in made:
        await client.stop(shutdown_worker=True)


# --- speaking to a worker -----------------------------------------------------------------------------------------


async def test_a_listening_worker_is_adopted(worker: FakeWorker, make: Make) -> None:
    client = make()
    welcome = await client.start()
    assert (welcome.worker, welcome.pid) == ("fake", os.getpid())
    assert client.connected


async def test_commands_and_events_pass_in_order(worker: FakeWorker, make: Make, events: Events) -> None:
    client = make()
    await client.start()
    sent = [engine.Open(stream=f"s{n}", address="127.0.0.1") for n in range(50)] + [engine.Close(stream="s0")]
    for command in sent:
        client.send(command)
    assert [await worker.command() for _ in sent] == sent
    told = [engine.Opened(stream=f"s{n}", address="127.0.0.1", port=2 * n + 2, rtcp_port=2 * n + 3) for n in range(50)]
    worker.say(*told)
    assert [await events.next() for _ in told] == told


async def test_streams_of_an_earlier_controller_are_closed_and_not_reported(
    worker: FakeWorker, make: Make, events: Events, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    worker.listing = engine.Listing(streams=[engine.ListedStream(stream="old", call="CA1", port=4000)], recordings=["RE1"])
    await make().start()
    assert await worker.command() == engine.Close(stream="old")
    worker.say(
        engine.RecordingEnded(recording="RE1", path="/r.wav", duration_ms=1, size_bytes=60, reason="ended"),
        engine.Digit(stream="old", digit="#", duration_ms=80),
        engine.Closed(stream="old"),
        engine.Closed(stream="old"),
    )
    assert await events.next() == engine.Closed(stream="old"), "the second one is not the orphan's any more"
    orphans = [record for record in caplog.records if record.message.startswith("media_orphan")]
    assert [record.message for record in orphans] == ["media_orphan_closed", *["media_orphan_event"] * 3]
    assert not any("#" in str(vars(record)) for record in orphans), "which key: it may be a PIN"
    assert getattr(orphans[0], "call_sid", None) == "CA1"


async def test_an_unreadable_event_is_skipped_and_logged(
    worker: FakeWorker, make: Make, events: Events, caplog: pytest.LogCaptureFixture
) -> None:
    await make().start()
    worker.say_bytes(b"\xc1")
    worker.say_bytes(msgspec.msgpack.encode({"t": "from_the_future"}))
    worker.say_bytes(msgspec.msgpack.encode({"t": "digit", "stream": "s", "digit": 5, "duration_ms": "x"}))
    worker.say_bytes(b"")
    worker.say(engine.Digit(stream="s", digit="5", duration_ms=80))
    assert await events.next() == engine.Digit(stream="s", digit="5", duration_ms=80)
    assert sum(record.message == "media_event_unreadable" for record in caplog.records) == 4


async def test_unknown_keys_of_an_event_are_ignored(worker: FakeWorker, make: Make, events: Events) -> None:
    await make().start()
    worker.say_bytes(msgspec.msgpack.encode({"t": "closed", "stream": "s", "mood": "good"}))
    assert await events.next() == engine.Closed(stream="s")


async def test_a_handler_that_raises_does_not_end_the_reading(worker: FakeWorker, socket_path: Path) -> None:
    seen: list[Received] = []
    arrived = asyncio.Event()

    def handler(event: Received) -> None:
        seen.append(event)
        if len(seen) == 2:
            arrived.set()
        raise RuntimeError("a bug")

    client = WorkerClient(MediaSettings(socket_path=str(socket_path)), handler, "test")
    await client.start()
    worker.say(engine.Closed(stream="a"), engine.Closed(stream="b"))
    await asyncio.wait_for(arrived.wait(), 5)
    await client.stop(shutdown_worker=False)


async def test_stop_without_shutdown_leaves_the_worker(worker: FakeWorker, make: Make) -> None:
    client = make()
    await client.start()
    client.send(engine.Close(stream="last"))
    await client.stop(shutdown_worker=False)
    assert await worker.command() == engine.Close(stream="last")
    assert worker.commands.empty()
    again = make()
    assert (await again.start()).worker == "fake"


async def test_stop_with_shutdown_says_so_and_waits_for_the_end(worker: FakeWorker, make: Make) -> None:
    client = make()
    await client.start()
    await client.stop(shutdown_worker=True)
    assert await worker.command() == engine.Shutdown()
    assert not client.connected


async def test_a_second_control_process_is_kept_off_the_socket(worker: FakeWorker, make: Make) -> None:
    first, second = make(), make()
    await first.start()
    with pytest.raises(WorkerUnavailable, match="another control process"):
        await second.start()
    assert first.connected
    await first.stop(shutdown_worker=False)
    third = make()
    await third.start()
    assert third.connected


# --- what goes wrong ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "op", "subject"),
    [
        (engine.Open(stream="s", address="::1"), "open", "s"),
        (engine.Play(stream="s", play="p", tone="beep"), "play", "p"),
        (engine.StopPlay(stream="s", play="p"), "stop_play", "p"),
        (engine.Record(recording="r", path="/x"), "record", "r"),
        (engine.Bridge(bridge="b", first="s", second="t"), "bridge", "b"),
        (engine.Shutdown(), "shutdown", ""),
    ],
)
async def test_without_a_worker_commands_are_answered_by_failed(
    make: Make, events: Events, worker: FakeWorker, command: engine.Command, op: str, subject: str
) -> None:
    client = make()
    await client.start()
    await worker.close()
    assert isinstance(await events.next(), engine.EngineLost)
    client.send(command)
    assert events.queue.empty(), "never within the call"
    failed = await events.next()
    assert isinstance(failed, engine.Failed)
    assert (failed.op, failed.subject, failed.code) == (op, subject, "no_worker")


async def test_a_lost_worker_is_reported_once_and_found_again(worker: FakeWorker, make: Make, events: Events) -> None:
    client = make()
    await client.start()
    worker.say(engine.Closed(stream="last"))
    worker.writers[-1].write_eof()
    assert await events.next() == engine.Closed(stream="last"), "what was said before the end still counts"
    lost = await events.next()
    assert isinstance(lost, engine.EngineLost)
    assert "ended" in lost.reason
    assert isinstance(await events.next(), engine.Welcome)
    client.send(engine.Stats(stream="s"))
    assert await worker.command() == engine.Stats(stream="s")
    assert events.queue.empty()


async def test_a_frame_beyond_the_limit_ends_the_connection(worker: FakeWorker, make: Make, events: Events) -> None:
    await make().start()
    worker.writers[-1].write(b"\xff\xff\xff\xff")
    lost = await events.next()
    assert isinstance(lost, engine.EngineLost)
    assert "4294967295" in lost.reason


async def test_a_worker_that_does_not_read_counts_as_dead(socket_path: Path, make: Make, events: Events) -> None:
    socket_path.parent.mkdir()
    greeted = asyncio.Event()

    async def deaf(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for event in (engine.Welcome(version=engine.PROTOCOL_VERSION, pid=1), engine.Listing()):
            payload = msgspec.msgpack.encode(event)
            writer.write(struct.pack(">I", len(payload)) + payload)
        if greeted.is_set():
            return
        greeted.set()
        await asyncio.sleep(3600)

    server = await asyncio.start_unix_server(deaf, str(socket_path), limit=1024)
    client = make(send_buffer_bytes=65536)
    await client.start()
    for _ in range(40):
        client.send(engine.SendDigits(stream="s", digits="1" * 60_000))
    received = [await events.next() for _ in range(3)]
    assert any(isinstance(event, engine.Failed) and event.code == "no_worker" for event in received)
    while not isinstance(received[-1], engine.EngineLost):
        received.append(await events.next())
    await client.stop(shutdown_worker=False)
    server.close()


@pytest.mark.parametrize(
    "command",
    [
        engine.Play(stream="s", play="p", files=["x" * (1 << 20)]),
        engine.Play(stream="s", play="p", files=["\udcff"]),
        engine.Play(stream="s", play="p", loop=1 << 70),
    ],
)
async def test_a_command_that_fits_no_frame_fails_alone(worker: FakeWorker, make: Make, events: Events, command: engine.Command) -> None:
    client = make()
    await client.start()
    client.send(command)
    failed = await events.next()
    assert isinstance(failed, engine.Failed)
    assert (failed.op, failed.subject, failed.code) == ("play", "p", "frame")
    client.send(engine.Stats(stream="s"))
    assert await worker.command() == engine.Stats(stream="s")


async def test_another_protocol_is_refused_by_name(worker: FakeWorker, make: Make) -> None:
    worker.version = 99
    with pytest.raises(WorkerUnavailable, match="speaks protocol 99, we speak 2"):
        await make().start()


async def test_a_listener_that_is_no_worker_is_refused(worker: FakeWorker, make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("media.worker_client.HANDSHAKE_S", 0.1)
    worker.greets = False
    with pytest.raises(WorkerUnavailable, match="does not answer"):
        await make().start()


async def test_no_program_is_an_error_that_names_the_setting(make: Make) -> None:
    with pytest.raises(WorkerUnavailable, match="worker_binary /nowhere/worker"):
        await make().start()


async def test_a_path_too_long_for_a_socket_is_said_so(make: Make) -> None:
    with pytest.raises(WorkerUnavailable, match="longer than 107"):
        await make(socket_path="/tmp/" + "x" * 110).start()


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


def running(pid: int) -> bool:
    """A zombie counts as running: nobody reaped it."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def test_a_worker_is_started_when_none_listens(make: Make, events: Events, program: Callable[[str], str]) -> None:
    client = make(worker_binary=program(""), port_min=30000, port_max=30099)
    welcome = await client.start()
    assert welcome.worker == "program"
    client.send(engine.Open(stream="s", address="127.0.0.1"))
    assert await events.next() == engine.Opened(stream="s", address="127.0.0.1", port=30000, rtcp_port=1)
    await client.stop(shutdown_worker=True)
    assert not running(welcome.pid)


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
    assert not running(first.pid)
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
    assert not running(started.__dict__["pid"])


async def test_a_worker_that_ignores_shutdown_is_killed(make: Make, program: Callable[[str], str]) -> None:
    client = make(worker_binary=program("stubborn"), worker_stop_timeout_s=0.2)
    welcome = await client.start()
    await client.stop(shutdown_worker=True)
    assert not running(welcome.pid)


async def test_a_start_that_is_cancelled_leaves_nothing(
    make: Make, program: Callable[[str], str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    client = make(worker_binary=program("mute"))
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(client.start(), 0.3)
    (started,) = [record for record in caplog.records if record.message == "media_worker_started"]
    assert not running(started.__dict__["pid"])


async def test_a_worker_outlives_its_controller_and_is_adopted_by_the_next(make: Make, program: Callable[[str], str]) -> None:
    first = make(worker_binary=program(""))
    welcome = await first.start()
    await first.stop(shutdown_worker=False)
    assert running(welcome.pid)
    second = make()
    assert (await second.start()).pid == welcome.pid
    await second.stop(shutdown_worker=True)
    await asyncio.to_thread(os.waitpid, welcome.pid, 0)  # it was the first client's child: only here is it ours to reap
    assert not running(welcome.pid)


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
    assert not running(first.pid)
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
