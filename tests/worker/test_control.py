"""The media worker as a process, and what is said over its socket: greetings, frames, adoption, streams."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import socket
import stat
from pathlib import Path

import msgspec
import pytest

from media.engine import (
    Bridge,
    Close,
    Closed,
    Failed,
    Hello,
    List,
    Listing,
    Open,
    Opened,
    Shutdown,
    Stats,
)
from tests.support import ports
from tests.support import ports as ports_of
from tests.support.rtp import RtpEndpoint
from tests.support.worker import Controller, Worker, running
from tests.worker.pairs import bridged, either_worker, run_program

pytestmark = pytest.mark.worker


worker = either_worker


# --- the process and its socket -----------------------------------------------------------------------------------


async def test_the_socket_is_for_our_user_only(worker: Worker, media: Controller) -> None:
    assert stat.S_IMODE(worker.socket.stat().st_mode) == 0o600


async def test_a_second_worker_on_a_served_socket_refuses_to_start(worker: Worker, media: Controller) -> None:
    second = await asyncio.to_thread(run_program, "--socket", str(worker.socket))
    assert second.returncode == 1 and "another worker" in second.stderr
    await media.synchronize()


def test_version_is_told_without_a_socket(tmp_path: Path) -> None:
    Worker(tmp_path).stop()
    assert run_program("--version").stdout.startswith("dialplane-media ")


async def test_a_socket_left_behind_by_a_killed_worker_is_replaced(tmp_path: Path) -> None:
    async with running(tmp_path) as first:
        await first.controller()
        first.process.kill()
        first.process.wait()
        assert first.socket.exists()
    async with running(tmp_path) as second:
        await second.controller()


async def test_ports_rest_across_the_death_of_a_worker__issue_ports_rest(tmp_path: Path) -> None:
    """Phones that were never told go on sending to the ports of the calls that died: new calls get others as long as there are some."""
    used: set[int] = set()
    low = ports_of.WORKER[0]
    for _ in range(3):  # 72 of 80
        async with running(tmp_path, "--port-min", str(low), "--port-max", str(low + 159)) as worker:
            media = await worker.controller()
            ports = {(await media.open(f"s{number}")).port for number in range(24)}
            worker.process.kill()
            worker.process.wait()
        assert not used & ports
        used |= ports


@pytest.mark.parametrize("way", ["sigterm", "shutdown"])
async def test_it_ends_politely(tmp_path: Path, way: str) -> None:
    async with running(tmp_path) as worker:
        media = await worker.controller()
        await media.open("a")
        if way == "sigterm":
            worker.process.send_signal(signal.SIGTERM)
        else:
            media.send(Shutdown())
        assert await worker.ended() == 0
        await media.expect(Closed, stream="a")
        assert not worker.socket.exists()


async def test_an_idle_worker_leaves_when_told_to(tmp_path: Path) -> None:
    async with running(tmp_path, "--idle-exit", "1") as worker:
        media = await worker.controller()
        await asyncio.sleep(1.5)
        await media.synchronize()
        await media.close()
        assert await worker.ended() == 0


# --- hello, frames, adoption --------------------------------------------------------------------------------------


async def test_hello_is_answered_by_welcome(worker: Worker) -> None:
    connection = await worker.raw_connection()
    welcome = await connection.hello()
    assert (welcome.version, welcome.pid, welcome.threads) == (2, worker.process.pid, 2)


async def test_another_version_is_refused_and_the_controller_stays(worker: Worker, media: Controller) -> None:
    stranger = await worker.raw_connection()
    stranger.send(Hello(version=99))
    await stranger.expect(Failed, op="hello", code="version")
    await stranger.expect_close()
    await media.synchronize()


async def test_a_new_controller_replaces_the_old_one_and_finds_what_lives(worker: Worker, media: Controller) -> None:
    port = (await media.open("a", call="CA")).port
    await media.open("b", call="CB")
    media.send(Bridge(bridge="ab", first="a", second="b"))
    await media.synchronize()
    heir = await worker.controller()
    await media.expect_close()
    heir.send(List())
    listing = await heir.expect(Listing)
    assert [(s.stream, s.call) for s in listing.streams] == [("a", "CA"), ("b", "CB")]
    assert (listing.streams[0].port, listing.bridges) == (port, ["ab"])


async def test_before_hello_nothing_is_done(worker: Worker, media: Controller) -> None:
    connection = await worker.raw_connection()
    connection.send(Open(stream="x", address="127.0.0.1"))
    await connection.expect(Failed, op="open", subject="x", code="frame")
    media.send(List())
    assert (await media.expect(Listing)).streams == []


@pytest.mark.parametrize(
    ("body", "op"),
    [
        (b"", ""),
        (b"\xc1", ""),
        (b"\x93\x01\x02\x03", ""),
        (msgspec.msgpack.encode({"t": "no_such"}), "no_such"),
        (msgspec.msgpack.encode({"t": "open"}), "open"),
        (msgspec.msgpack.encode({"t": "open", "stream": 5, "address": "::1"}), "open"),
        (msgspec.msgpack.encode({"t": "open", "stream": "a b", "address": "::1"}), "open"),
        (msgspec.msgpack.encode({"t": "open", "stream": "x" * 65, "address": "::1"}), "open"),
        (b"\x81\xa1t" + b"\x91" * 100_000, ""),
        (os.urandom(1000), None),
    ],
)
async def test_a_frame_that_does_not_parse_is_answered_and_harms_nothing(media: Controller, body: bytes, op: str | None) -> None:
    media.send_body(body)
    failed = await media.expect(Failed, code="frame")
    assert op is None or failed.op == op
    await media.synchronize()


async def test_a_frame_over_the_limit_closes_the_connection_only(worker: Worker, media: Controller) -> None:
    await media.open("a")
    media.send_raw((1 + (1 << 20)).to_bytes(4, "big"))
    await media.expect(Failed, code="frame")
    await media.expect_close()
    heir = await worker.controller()
    heir.send(List())
    assert len((await heir.expect(Listing)).streams) == 1


async def test_unknown_keys_are_ignored(media: Controller) -> None:
    media.send_body(msgspec.msgpack.encode({"t": "open", "stream": "a", "address": "127.0.0.1", "colour": {"red": [1]}}))
    await media.expect(Opened, stream="a")


async def test_streams_without_a_controller_live_as_long_as_they_were_given(worker: Worker, media: Controller) -> None:
    await media.open("mortal", expires_ms=500)
    await media.open("patient", expires_ms=60_000)
    await media.open("immortal")
    await asyncio.sleep(1.5)
    await media.synchronize()
    assert not media.seen(Closed)
    await media.close()
    await asyncio.sleep(2.5)
    heir = await worker.controller()
    heir.send(List())
    assert [s.stream for s in (await heir.expect(Listing)).streams] == ["immortal", "patient"]


# --- streams ------------------------------------------------------------------------------------------------------


async def test_ports_come_in_even_and_odd_pairs_from_the_range__rfc3550_11(media: Controller) -> None:
    every = [(await media.open(f"s{i}")) for i in range(20)]
    assert all(ports.WORKER[0] <= opened.port < ports.WORKER[1] and opened.port % 2 == 0 for opened in every)
    assert all(opened.rtcp_port == opened.port + 1 for opened in every)
    assert len({opened.port for opened in every}) == 20


async def test_opening_twice_repeats_the_answer(media: Controller) -> None:
    assert await media.open("a") == await media.open("a")


async def test_a_closed_port_rests(tmp_path: Path) -> None:
    async with running(tmp_path, "--port-min", str(ports.CERTAIN), "--port-max", str(ports.CERTAIN + 3)) as worker:
        media = await worker.controller()
        first, second = await media.open("a"), await media.open("b")
        assert {first.port, second.port} == {ports.CERTAIN, ports.CERTAIN + 2}
        media.send(Close(stream="a"))
        await media.expect(Closed, stream="a")
        media.send(Open(stream="c", address="127.0.0.1"))
        await media.expect(Failed, op="open", subject="c", code="no_ports")


async def test_a_port_that_someone_else_has_is_skipped(tmp_path: Path) -> None:
    taken = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    taken.bind(("127.0.0.1", ports.CERTAIN + 11))
    async with running(tmp_path, "--port-min", str(ports.CERTAIN + 10), "--port-max", str(ports.CERTAIN + 13)) as worker:
        media = await worker.controller()
        assert (await media.open("a")).port == ports.CERTAIN + 12
    taken.close()


@pytest.mark.parametrize(("address", "code"), [("localhost", "address"), ("192.0.2.1", "address"), ("", "address")])
async def test_an_address_that_is_not_ours_is_refused(media: Controller, address: str, code: str) -> None:
    media.send(Open(stream="a", address=address))
    await media.expect(Failed, op="open", subject="a", code=code)


def _may_open(files: int) -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))


async def test_streams_beyond_the_limit_of_open_files_are_refused_with_the_remedy(tmp_path: Path) -> None:
    """Three descriptors each, and 64 for all else."""
    async with running(tmp_path, prepare=lambda: _may_open(100)) as worker:
        media = await worker.controller()
        for number in range(12):
            await media.open(f"s{number}")
        media.send(Open(stream="more", address="127.0.0.1"))
        failed = await media.expect(Failed, op="open", subject="more", code="limit")
        assert "streams open: 12," in failed.reason and "limit of 100 open files" in failed.reason
        assert "LimitNOFILE" in failed.reason and "ulimit" in failed.reason
        media.send(Close(stream="s0"))
        await media.expect(Closed, stream="s0")
        await media.open("more")
        await media.close()


async def test_a_limit_of_open_files_that_others_use_up_is_told_with_the_remedy(tmp_path: Path) -> None:
    async with running(tmp_path) as worker:
        media = await worker.controller()
        limit = await worker.settled_descriptors(media) + 3
        resource.prlimit(worker.process.pid, resource.RLIMIT_NOFILE, (limit, limit))
        await media.open("a")
        media.send(Open(stream="more", address="127.0.0.1"))
        failed = await media.expect(Failed, op="open", subject="more", code="limit")
        assert f"streams open: 1, and the limit of {limit} open files" in failed.reason
        assert "LimitNOFILE" in failed.reason and "ulimit" in failed.reason
        media.send(Close(stream="a"))
        await media.expect(Closed, stream="a")
        await media.close()


async def test_closing_is_answered_also_for_what_is_unknown(media: Controller) -> None:
    media.send(Close(stream="nobody"))
    await media.expect(Closed, stream="nobody")


async def test_commands_on_unknown_streams_are_refused(media: Controller) -> None:
    async with await RtpEndpoint.open("127.0.0.2") as phone:
        media.connect_to("nobody", phone)
        await media.expect(Failed, op="connect", subject="nobody", code="unknown_stream")
    media.send(Stats(stream="nobody"))
    await media.expect(Failed, op="stats", subject="nobody", code="unknown_stream")
    media.send(Bridge(bridge="b", first="nobody", second="none"))
    await media.expect(Failed, op="bridge", subject="b", code="unknown_stream")


async def test_a_closed_stream_leaves_no_descriptor(worker: Worker, media: Controller) -> None:
    before = await worker.settled_descriptors(media)
    async with await RtpEndpoint.open("127.0.0.2") as alice, await RtpEndpoint.open("127.0.0.3") as bob:
        await bridged(media, alice, bob)
        assert await worker.until_descriptors(before + 6) == before + 6  # two ports each, and a socket for the peer once it is heard
        media.send(Close(stream="a"))
        media.send(Close(stream="b"))
        await media.expect(Closed, stream="a")
        await media.expect(Closed, stream="b")
    assert await worker.until_descriptors(before) == before
