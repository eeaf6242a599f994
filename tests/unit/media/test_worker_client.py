"""The client of the media worker, against a worker made here."""

from __future__ import annotations

import asyncio
import os
import struct
from pathlib import Path

import msgspec
import pytest

from media import engine
from media.settings import MediaSettings
from media.worker_client import WorkerClient, WorkerUnavailable
from tests.unit.media.fake_worker import Events, FakeWorker, Make, Received

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
