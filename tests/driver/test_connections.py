"""SipDriver over TCP: what connections carry, how many there may be, and when they are closed."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

import pytest

from sip.core.flows import Address, CloseConnection, Flow, Transmit
from sip.transport.settings import TransportSettings
from tests.support.driver import COMMAND, HOSTS, Core, connected, driven, echo, eventually, expect_eof, read

pytestmark = pytest.mark.driver


# --- TCP ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", HOSTS)
async def test_accepted_connection(host: str) -> None:
    core = Core(echo)
    async with driven(core, ("tcp", host, 0)) as (driver, (listener,)):
        async with connected(listener.bind) as (reader, writer):
            writer.write(b"hello")
            assert await read(reader, 10) == b"echo hello"
            flow = core.inputs[0][1]
            assert flow == Flow("tcp", listener.bind, Address(host, writer.get_extra_info("sockname")[1]), flow.connection)
            assert flow.connection > 0
            assert core.inputs[:2] == [("opened", flow), ("receive", b"hello", flow)]
            assert driver.counts()["connections"] == 1
        assert await core.until("lost") == [("lost", flow)]
        assert driver.counts()["connections"] == 0


async def test_close_connection_sends_what_was_written_first() -> None:
    core = Core(lambda *what: [Transmit(what[2], b"a" * 200_000), CloseConnection(what[2])] if what[0] == "receive" else [])
    async with driven(core, ("tcp", "127.0.0.1", 0)) as (_, (listener,)), connected(listener.bind) as (reader, writer):
        writer.write(b"x")
        assert await expect_eof(reader) == b"a" * 200_000
        writer.write(b"too late")
        await core.until("lost")
        assert [what[0] for what in core.inputs] == ["opened", "receive", "lost"]


@pytest.mark.parametrize("host", HOSTS)
async def test_connection_is_opened_once_and_queued_octets_go_in_order(host: str) -> None:
    received = bytearray()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1000):
            received.extend(data)
            writer.write(b"answer")
        writer.close()

    server = await asyncio.start_server(serve, host, 0)
    there = Address(host, server.sockets[0].getsockname()[1])
    core = Core()
    async with server, driven(core, ("tcp", host, 0)) as (driver, (listener,)):
        core._react = lambda *what: (
            [Transmit(Flow("tcp", Address(host, 0), there), text) for text in (b"one ", b"two ")] if what[0] == "command" else []
        )
        driver.command(COMMAND)
        driver.command(COMMAND)
        [(_, opened)] = await core.until("opened")
        assert (opened.remote, opened.local.host) == (there, host)
        assert opened.local.port not in (0, listener.bind.port)
        await core.until("receive")
        driver.command(COMMAND)
        await eventually(lambda: bytes(received) == b"one two " * 3)
        assert driver.counters["tcp_opened"] == 1
        server.close()


async def test_answer_to_an_accepted_peer_uses_its_connection() -> None:
    core = Core(lambda *what: [Transmit(Flow("tcp", what[2].local, what[2].remote), b"reused")] if what[0] == "receive" else [])
    async with driven(core, ("tcp", "127.0.0.1", 0)) as (driver, (listener,)), connected(listener.bind) as (reader, writer):
        writer.write(b"x")
        assert await read(reader, 6) == b"reused"
        assert driver.counters["tcp_opened"] == 0


async def test_refused_connection_is_one_failed_transmit() -> None:
    closed = socket.create_server(("127.0.0.1", 0))
    dead = Address("127.0.0.1", closed.getsockname()[1])
    closed.close()
    core = Core()
    flow = Flow("tcp", Address("127.0.0.1", 0), dead)
    core._react = lambda *what: [Transmit(flow, b"1"), Transmit(flow, b"2")] if what[0] == "command" else []
    async with driven(core) as (driver, _):
        driver.command(COMMAND)
        [(_, failed, error)] = await core.until("failed")
        assert failed == flow
        assert error
        await asyncio.sleep(0.05)
        assert [what[0] for what in core.inputs] == ["command", "failed"]
        assert driver.counts()["connections"] == 0
        driver.command(COMMAND)  # and it is tried again
        await core.until("failed", 2)


async def test_connection_that_nobody_accepts_times_out() -> None:
    """A listening socket with a full backlog drops SYNs, as a machine that is switched off does."""
    full = socket.socket()
    full.bind(("127.0.0.1", 0))
    full.listen(0)
    there = full.getsockname()
    held = [socket.socket() for _ in range(8)]
    for one in held:
        one.setblocking(False)
        one.connect_ex(there)
    core = Core()
    flow = Flow("tcp", Address("127.0.0.1", 0), Address("127.0.0.1", there[1]))
    core._react = lambda *what: [Transmit(flow, b"x")] if what[0] == "command" else []
    try:
        async with driven(core, settings=TransportSettings(connect_timeout_s=0.2)) as (driver, _):
            driver.command(COMMAND)
            [(_, failed, error)] = await core.until("failed")
            assert (failed, error) == (flow, "timed out")
            driver.command(COMMAND)  # stopped while it is still opening
    finally:
        full.close()
        for one in held:
            one.close()


async def test_queue_of_an_opening_connection_is_bounded() -> None:
    core = Core()
    flow = Flow("tcp", Address("127.0.0.1", 0), Address("127.0.0.1", 9))
    core._react = lambda *what: [Transmit(flow, b"x" * 40_000)] * 2 if what[0] == "command" else []
    async with driven(core, settings=TransportSettings(max_unsent_bytes=65536)) as (driver, _):
        driver.command(COMMAND)
        assert [what[0] for what in core.inputs] == ["command", "failed"]
        assert driver.counters["tcp_overflow"] == 1


async def test_peer_that_does_not_read_is_dropped() -> None:
    core = Core(lambda *what: [Transmit(what[2], b"x" * 500_000)] if what[0] == "receive" else [])
    settings = TransportSettings(max_unsent_bytes=1_000_000)
    async with driven(core, ("tcp", "127.0.0.1", 0), settings=settings) as (driver, (listener,)):
        async with connected(listener.bind) as (_, writer):
            for _ in range(60):
                writer.write(b"more")
                await asyncio.sleep(0.005)
                if core.inputs[-1][0] == "lost":
                    break
                # reading is paused while the peer does not read; the next Transmit comes from elsewhere
                core_flow = core.inputs[0][1]
                core._react = lambda *what, flow=core_flow: [Transmit(flow, b"x" * 500_000)] if what[0] in ("receive", "command") else []
                driver.command(COMMAND)
            await core.until("lost")
        assert driver.counters["tcp_overflow"] == 1


async def test_connections_are_limited() -> None:
    core = Core(echo)
    settings = TransportSettings(max_connections=2)
    async with driven(core, ("tcp", "127.0.0.1", 0), settings=settings) as (driver, (listener,)):
        async with connected(listener.bind) as (one, writer), connected(listener.bind), connected(listener.bind) as (third, _):
            await expect_eof(third)
            writer.write(b"x")
            assert await read(one, 6) == b"echo x"
            assert driver.counters["tcp_refused"] == 1
        await core.until("lost", 2)
        async with connected(listener.bind) as (reader, writer):
            writer.write(b"y")
            assert await read(reader, 6) == b"echo y"


async def test_connections_of_one_host_are_limited() -> None:
    async with driven(Core(echo), ("tcp", "127.0.0.1", 0), settings=TransportSettings(max_connections_per_host=1)) as (driver, (listener,)):
        async with connected(listener.bind), connected(listener.bind) as (second, _):
            await expect_eof(second)
        assert driver.counters["tcp_refused"] == 1


def known(*hosts: str) -> Callable[[str], bool]:
    return lambda host: host in hosts


async def test_one_stranger_has_few_connections() -> None:
    limits = TransportSettings(max_connections_per_stranger=2)
    async with driven(Core(echo), ("tcp", "127.0.0.1", 0), settings=limits, admits=known()) as (driver, (listener,)):
        async with connected(listener.bind), connected(listener.bind), connected(listener.bind) as (third, _):
            await expect_eof(third)
        assert driver.counters["tcp_refused"] == 1


async def test_who_has_proved_to_be_a_phone_is_no_stranger_any_more__behaviour_8() -> None:
    """Its connection leaves the place among those of strangers to another, and counts there no longer when it goes."""
    limits = TransportSettings(max_stranger_connections=1)
    core = Core(echo)
    async with driven(core, ("tcp", "127.0.0.1", 0), settings=limits, admits=known()) as (driver, (listener,)):
        async with connected(listener.bind) as (reader, writer):
            writer.write(b"x")
            assert await read(reader, 6) == b"echo x"
            driver.acquaint(core.inputs[-1][2])
            async with connected(listener.bind) as (other, more):
                more.write(b"y")
                assert await read(other, 6) == b"echo y"
                async with connected(listener.bind) as (third, _):
                    await expect_eof(third)
        await eventually(lambda: driver.counts()["connections"] == 0)
        async with connected(listener.bind) as (reader, writer):
            writer.write(b"z")
            assert await read(reader, 6) == b"echo z"


async def test_strangers_do_not_lock_out_a_listed_peer() -> None:
    """From many addresses, more than there are connections; none of them says a word."""
    limits = TransportSettings(max_connections=40, max_connections_per_host=40, max_stranger_connections=20)
    async with driven(Core(echo), ("tcp", "127.0.0.1", 0), settings=limits, admits=known("127.0.0.1")) as (driver, (listener,)):
        strangers = []
        for number in range(100):
            one = socket.socket()
            one.bind((f"127.0.9.{number + 1}", 0))
            one.connect((listener.bind.host, listener.bind.port))
            strangers.append(one)
        try:
            async with connected(listener.bind) as (reader, writer):
                writer.write(b"x")
                assert await read(reader, 6) == b"echo x"
            assert driver.counters["tcp_refused"] == 80
        finally:
            for one in strangers:
                one.close()


async def test_connections_leave_descriptors_for_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resource.getrlimit", lambda which: (130, 130))
    limits = TransportSettings(reserved_descriptors=128)
    async with driven(Core(echo), ("tcp", "127.0.0.1", 0), settings=limits) as (driver, (listener,)):
        async with connected(listener.bind), connected(listener.bind), connected(listener.bind) as (third, _):
            await expect_eof(third)
        assert driver.counters["tcp_refused"] == 1


# --- overdue connections: the sweep is hurried by short limits ---------------------------------------------------------


@pytest.fixture
def quick_sweep(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sip.transport.driver.SWEEP_S", 0.05)


@pytest.mark.usefixtures("quick_sweep")
async def test_silent_connection_is_closed() -> None:
    core = Core()
    async with driven(core, ("tcp", "127.0.0.1", 0), settings=TransportSettings(message_timeout_s=0.1)) as (driver, (listener,)):
        async with connected(listener.bind) as (reader, _):
            await expect_eof(reader)
        await core.until("lost")
        assert driver.counters["tcp_closed_silent"] == 1


@pytest.mark.usefixtures("quick_sweep")
async def test_message_that_never_ends_closes_its_connection() -> None:
    core = Core()  # makes nothing of what it gets
    async with driven(core, ("tcp", "127.0.0.1", 0), settings=TransportSettings(message_timeout_s=0.15)) as (driver, (listener,)):
        async with connected(listener.bind) as (reader, writer):
            for octet in b"INVITE sip":
                writer.write(bytes([octet]))
                await asyncio.sleep(0.01)
            await expect_eof(reader)
        assert driver.counters["tcp_closed_unfinished"] == 1


@pytest.mark.usefixtures("quick_sweep")
async def test_idle_connection_is_closed_and_a_busy_one_is_not() -> None:
    core = Core(echo)
    async with driven(core, ("tcp", "127.0.0.1", 0), settings=TransportSettings(idle_timeout_s=0.3)) as (driver, (listener,)):
        async with connected(listener.bind) as (idle, one), connected(listener.bind) as (busy, two):
            one.write(b"x")
            for _ in range(8):
                two.write(b"y")
                await read(busy, 6)
                await asyncio.sleep(0.08)
            assert await expect_eof(idle) == b"echo x"
            two.write(b"z")
            assert await read(busy, 6) == b"echo z"
        assert driver.counters["tcp_closed_idle"] == 1
