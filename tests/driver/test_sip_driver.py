"""SipDriver with real sockets on loopback: first over a core of a few lines, then over the real one."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import secrets
import socket
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from sip.core.commands import Command, SendAnswer, SendBye, SendInvite, SessionId, SetSessionHeaders
from sip.core.endpoint import Endpoint
from sip.core.events import (
    AnswerAcked,
    Direction,
    Dropped,
    Event,
    InviteAnswered,
    InviteFailed,
    InviteReceived,
    Output,
    SessionEnded,
    Traced,
)
from sip.core.flows import Address, CloseConnection, Flow, Listener, Resolve, Target, Transmit
from sip.message import Response, parse_message
from sip.settings import SipSettings
from sip.transport.address import ip_version, local_address_towards, reachable_form
from sip.transport.driver import SipDriver
from sip.transport.resolver import Naptr, Resolver, Srv
from sip.transport.settings import TransportSettings

pytestmark = pytest.mark.driver

HOSTS = ["127.0.0.1", "::1"]
TRANSPORTS = ["udp", "tcp"]


class Core:
    """Stands in for the endpoint: every input is remembered and answered by what the test wants."""

    def __init__(self, react: Callable[..., list[Output]] | None = None) -> None:
        self.inputs: list[tuple[Any, ...]] = []
        self.arrived = asyncio.Event()
        self.listeners: Sequence[Listener] = ()
        self.deadline: float | None = None
        self._react = react or (lambda *_: [])

    def _note(self, *what: Any) -> list[Output]:
        self.inputs.append(what)
        self.arrived.set()
        return self._react(*what)

    def set_listeners(self, listeners: Sequence[Listener]) -> None:
        self.listeners = listeners

    def receive(self, data: bytes, flow: Flow, now: float) -> list[Output]:
        return self._note("receive", data, flow)

    def connection_opened(self, flow: Flow, now: float) -> list[Output]:
        return self._note("opened", flow)

    def connection_lost(self, flow: Flow, now: float) -> list[Output]:
        return self._note("lost", flow)

    def transmit_failed(self, flow: Flow, error: str, now: float) -> list[Output]:
        return self._note("failed", flow, error)

    def resolved(self, query: int, targets: Sequence[Target], now: float) -> list[Output]:
        return self._note("resolved", query, list(targets))

    def command(self, command: Command, now: float) -> list[Output]:
        return self._note("command", command)

    def timeout(self, now: float) -> list[Output]:
        return self._note("timeout", now)

    def next_deadline(self) -> float | None:
        return self.deadline

    def no_deadline(self) -> list[Output]:
        self.deadline = None
        return []

    async def until(self, kind: str, count: int = 1) -> list[tuple[Any, ...]]:
        """Wait until so many inputs of that kind have come."""
        async with asyncio.timeout(5):
            while len(found := [what for what in self.inputs if what[0] == kind]) < count:
                self.arrived.clear()
                await self.arrived.wait()
        return found


COMMAND = SetSessionHeaders(SessionId("any"), ())


def echo(*what: Any) -> list[Output]:
    return [Transmit(what[2], b"echo " + what[1])] if what[0] == "receive" else []


@asynccontextmanager
async def driven(
    core: Any,
    *places: tuple[str, str, int],
    settings: TransportSettings | None = None,
    events: list[Event | Traced | Dropped] | None = None,
    resolver: Resolver | None = None,
    admits: Callable[[str], bool] | None = None,
) -> AsyncIterator[tuple[SipDriver, tuple[Listener, ...]]]:
    """A running driver that must leave nothing behind."""
    before = len(asyncio.all_tasks())
    driver = SipDriver(core, (events if events is not None else []).append, resolver, settings, admits)
    listeners = await driver.start(places or [("udp", "127.0.0.1", 0), ("tcp", "127.0.0.1", 0)])
    try:
        yield driver, listeners
    finally:
        await driver.stop()
        assert driver.counts() == {"sockets": 0, "connections": 0, "tasks": 0}
        assert len(asyncio.all_tasks()) == before


class Peer:
    """A plain UDP socket of the test."""

    def __init__(self, host: str = "127.0.0.1") -> None:
        self.socket = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((host, 0))
        self.socket.setblocking(False)
        self.address = Address(host, self.socket.getsockname()[1])

    def __enter__(self) -> Peer:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, data: bytes, to: Address) -> None:
        self.socket.sendto(data, (to.host, to.port))

    async def read(self) -> bytes:
        async with asyncio.timeout(5):
            return await asyncio.get_running_loop().sock_recv(self.socket, 65535)


@asynccontextmanager
async def connected(to: Address) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection(to.host, to.port)
    try:
        yield reader, writer
    finally:
        writer.close()
        with contextlib.suppress(OSError):  # the other side was faster
            await writer.wait_closed()


async def read(reader: asyncio.StreamReader, size: int) -> bytes:
    async with asyncio.timeout(5):
        return await reader.readexactly(size)


async def eventually(condition: Callable[[], bool]) -> None:
    for _ in range(500):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("not within five seconds")


async def expect_eof(reader: asyncio.StreamReader, within_s: float = 5.0) -> bytes:
    async with asyncio.timeout(within_s):
        try:
            return await reader.read()
        except OSError:
            return b""


# --- listening ---------------------------------------------------------------------------------------------------------


async def test_ports_are_told_and_shared_by_the_transports_of_an_address() -> None:
    core = Core()
    places = [("udp", "127.0.0.1", 0), ("tcp", "127.0.0.1", 0), ("udp", "::1", 0), ("tcp", "::1", 0)]
    async with driven(core, *places) as (_, listeners):
        assert core.listeners == listeners
        assert [(one.transport, one.bind.host) for one in listeners] == [(transport, host) for transport, host, _ in places]
        assert listeners[0].bind.port == listeners[1].bind.port > 0
        assert listeners[2].bind.port == listeners[3].bind.port > 0
        assert all(one.advertised == one.bind for one in listeners)


async def test_same_transport_twice_gets_two_ports() -> None:
    async with driven(Core(), ("udp", "127.0.0.1", 0), ("udp", "127.0.0.1", 0)) as (_, (one, other)):
        assert one.bind.port != other.bind.port


async def test_wildcards_of_both_families_share_a_port_and_advertise_something_real() -> None:
    async with driven(Core(), ("udp", "0.0.0.0", 0), ("tcp", "0.0.0.0", 0)) as (_, (udp, _tcp)):
        port = udp.bind.port
        async with driven(Core(), ("udp", "::", port), ("tcp", "::", port)) as (_, (udp6, _tcp6)):
            assert udp6.bind == Address("::", port)
        assert udp.bind.host == "0.0.0.0"
        assert ip_version(udp.advertised.host) == 4
        assert udp.advertised.host != "0.0.0.0"


async def test_advertised_host_is_a_name_or_an_address_of_the_same_family() -> None:
    for host, expected in (("sip.example.com", ["sip.example.com"] * 2), ("198.51.100.1", ["198.51.100.1", "::1"])):
        driver = SipDriver(Core(), lambda event: None)
        listeners = await driver.start([("udp", "127.0.0.1", 0), ("udp", "::1", 0)], host)
        await driver.stop()
        assert [one.advertised.host for one in listeners] == expected


async def test_port_in_use_is_an_error_and_leaves_nothing_open() -> None:
    with Peer() as taken:
        driver = SipDriver(Core(), lambda event: None)
        with pytest.raises(OSError, match="in use"):
            await driver.start([("tcp", "127.0.0.1", 0), ("udp", "127.0.0.1", taken.address.port)])
        assert driver.counts() == {"sockets": 0, "connections": 0, "tasks": 0}
        with pytest.raises(OSError, match="transport"):
            await driver.start([("sctp", "127.0.0.1", 0)])


# --- UDP ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", HOSTS)
async def test_datagrams_in_and_out(host: str) -> None:
    core = Core(echo)
    async with driven(core, ("udp", host, 0)) as (driver, (listener,)):
        with Peer(host) as peer:
            peer.send(b"hello", listener.bind)
            assert await peer.read() == b"echo hello"
            assert core.inputs == [("receive", b"hello", Flow("udp", listener.bind, peer.address))]
            assert (driver.counters["udp_in"], driver.counters["udp_out"]) == (1, 1)


async def test_burst_of_datagrams_arrives_whole_and_in_order() -> None:
    core = Core()
    async with driven(core, ("udp", "127.0.0.1", 0)) as (_, (listener,)):
        with Peer() as peer:
            for number in range(500):
                peer.send(b"%d" % number, listener.bind)
            received = await core.until("receive", 500)
        assert [what[1] for what in received] == [b"%d" % number for number in range(500)]


@pytest.mark.parametrize("host", HOSTS)
async def test_icmp_error_is_a_failed_transmit__rfc3261_18_4(host: str) -> None:
    with Peer(host) as gone:
        dead = gone.address
    core = Core()
    core_out: list[Output] = []
    core._react = lambda *what: core_out if what[0] == "command" else []
    async with driven(core, ("udp", host, 0)) as (driver, (listener,)):
        core_out.append(Transmit(Flow("udp", listener.bind, dead), b"anyone?"))
        driver.command(COMMAND)
        [(_, flow, error)] = await core.until("failed")
        assert flow == Flow("udp", listener.bind, dead)
        assert "refused" in error
        # The socket lives on, and the error of one peer is not taken for another's.
        core._react = echo
        with Peer(host) as peer:
            for _ in range(3):
                peer.send(b"hello", listener.bind)
                assert await peer.read() == b"echo hello"
        assert len(await core.until("failed")) == 1


async def test_what_cannot_be_sent_by_udp_is_a_failed_transmit() -> None:
    core = Core()
    async with driven(core, ("udp", "127.0.0.1", 0)) as (driver, (listener,)):
        here = listener.bind
        bad = [
            (Flow("udp", here, Address("::1", 5060)), b"x"),
            (Flow("udp", here, Address("name.example.com", 5060)), b"x"),
            (Flow("udp", here, Address("127.0.0.1", 5060)), b"x" * 70_000),
            (Flow("udp", here, Address("127.0.0.1", 70_000)), b"x"),
            (Flow("udp", Address("127.0.0.9", 1), Address("127.0.0.1", 5060)), b"x"),
            (Flow("tls", here, Address("127.0.0.1", 5060)), b"x"),
            (Flow("tcp", here, Address("name.example.com", 5060)), b"x"),
            (Flow("tcp", here, Address("127.0.0.1", 5060), 77), b"x"),
        ]
        core._react = lambda *what: [Transmit(*one) for one in bad] if what[0] == "command" else []
        driver.command(COMMAND)
        assert [what[1] for what in await core.until("failed", len(bad))] == [flow for flow, _ in bad]


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


# --- time --------------------------------------------------------------------------------------------------------------


async def test_timer_fires_at_the_deadline_and_not_before() -> None:
    core = Core()
    loop = asyncio.get_running_loop()
    async with driven(core) as (driver, _):
        core.deadline = due = loop.time() + 0.1
        core._react = lambda *what: core.no_deadline() if what[0] == "timeout" else []
        driver.command(COMMAND)
        [(_, now)] = await core.until("timeout")
        assert due <= now < due + 0.5
        await asyncio.sleep(0.05)
        assert len([what for what in core.inputs if what[0] == "timeout"]) == 1


async def test_earlier_deadline_replaces_a_later_one() -> None:
    core = Core()
    loop = asyncio.get_running_loop()
    async with driven(core) as (driver, _):
        core.deadline = loop.time() + 60
        driver.command(COMMAND)
        core.deadline = loop.time() + 0.05
        core._react = lambda *what: core.no_deadline() if what[0] == "timeout" else []
        driver.command(COMMAND)
        await core.until("timeout")


# --- events ------------------------------------------------------------------------------------------------------------


def dropped(detail: str) -> Dropped:
    return Dropped(Flow("udp", Address("127.0.0.1", 1), Address("127.0.0.1", 2)), "test", detail)


async def test_events_come_after_all_outputs_and_are_never_nested() -> None:
    log: list[str] = []
    core = Core()
    driver = SipDriver(core, lambda event: on_event(event))
    listeners = await driver.start([("udp", "127.0.0.1", 0)])
    depth = 0

    def on_event(event: Event | Traced | Dropped) -> None:
        nonlocal depth
        depth += 1
        assert depth == 1
        assert isinstance(event, Dropped)
        log.append(f"event {event.detail}")
        if event.detail == "first":
            driver.command(COMMAND)
            log.append("back from the command")
        depth -= 1

    unsendable = Transmit(Flow("udp", Address("127.0.0.9", 1), Address("127.0.0.1", 2)), b"x")

    def react(*what: Any) -> list[Output]:
        log.append(what[0])
        if what[0] == "failed":
            return [dropped("after the failure")]
        if what[0] == "command":
            return [dropped("first"), unsendable, dropped("second")] if log.count("command") == 1 else [dropped("nested")]
        return []

    core._react = react
    driver.command(COMMAND)
    await driver.stop()
    assert listeners
    assert log == [
        "command", "failed", "event first", "command", "back from the command", "event second", "event after the failure", "event nested",
    ]  # fmt: skip


async def test_bug_in_the_core_costs_one_input(caplog: pytest.LogCaptureFixture) -> None:
    def react(*what: Any) -> list[Output]:
        if what[0] == "receive" and what[1] == b"bug":
            raise ZeroDivisionError
        return echo(*what)

    async with driven(Core(react), ("udp", "127.0.0.1", 0)) as (driver, (listener,)):
        with Peer() as peer, caplog.at_level(logging.CRITICAL, "sip.transport.driver"):
            peer.send(b"bug", listener.bind)
            peer.send(b"fine", listener.bind)
            assert await peer.read() == b"echo fine"
        assert driver.counters["input_errors"] == 1


async def test_deadline_whose_handling_fails_does_not_spin(caplog: pytest.LogCaptureFixture) -> None:
    def react(*what: Any) -> list[Output]:
        if what[0] == "timeout":
            raise ZeroDivisionError
        return []

    core = Core(react)
    async with driven(core, ("udp", "127.0.0.1", 0)) as (driver, _):
        with caplog.at_level(logging.CRITICAL, "sip.transport.driver"):
            core.deadline = 0.0
            driver.command(COMMAND)
            await asyncio.sleep(0.25)
        assert 1 <= driver.counters["input_errors"] <= 4


async def test_bug_in_the_user_costs_one_event(caplog: pytest.LogCaptureFixture) -> None:
    seen: list[str] = []

    def on_event(event: Event | Traced | Dropped) -> None:
        assert isinstance(event, Dropped)
        seen.append(event.detail)
        raise ZeroDivisionError

    driver = SipDriver(Core(lambda *what: [dropped("1"), dropped("2")]), on_event)
    await driver.start([("udp", "127.0.0.1", 0)])
    with caplog.at_level(logging.CRITICAL, "sip.transport.driver"):
        driver.command(COMMAND)
    await driver.stop()
    assert seen == ["1", "2"]
    assert driver.counters["event_errors"] == 2


async def test_stop_closes_connections_and_tells_the_core() -> None:
    core = Core(echo)
    async with driven(core, ("tcp", "127.0.0.1", 0)) as (driver, (listener,)):
        async with connected(listener.bind) as (reader, writer):
            writer.write(b"x")
            await read(reader, 6)
            await driver.stop()
            assert await expect_eof(reader) == b""
        assert core.inputs[-1][0] == "lost"
        driver.command(COMMAND)
        assert core.inputs[-1][0] == "lost"
        with pytest.raises(OSError):
            await asyncio.open_connection(listener.bind.host, listener.bind.port)


# --- names -------------------------------------------------------------------------------------------------------------


class SlowLookup:
    """Answers addresses, and nothing for a name called "slow"."""

    closed = False

    async def naptr(self, name: str) -> list[Naptr]:
        if name == "slow":
            await asyncio.sleep(60)
        return []

    async def srv(self, name: str) -> list[Srv]:
        return []

    async def addresses(self, name: str) -> list[str]:
        if name == "bug":
            raise ZeroDivisionError
        return ["2001:db8::1", "192.0.2.1"]

    async def close(self) -> None:
        self.closed = True


class NoLookup(SlowLookup):
    """Knows nobody."""

    async def addresses(self, name: str) -> list[str]:
        return []


async def test_resolve_is_answered_with_targets_of_our_families() -> None:
    lookup = SlowLookup()
    core = Core(lambda *what: [Resolve(5, "sip.example.com", None, None)] if what[0] == "command" else [])
    async with driven(core, resolver=Resolver(lookup, secrets.randbelow)) as (driver, _):
        driver.command(COMMAND)
        assert await core.until("resolved") == [("resolved", 5, [Target("udp", Address("192.0.2.1", 5060))])]
    assert lookup.closed


@pytest.mark.parametrize("name", ["slow", "bug"])
async def test_resolve_that_fails_is_answered_too(name: str, caplog: pytest.LogCaptureFixture) -> None:
    core = Core(lambda *what: [Resolve(6, name, None, None)] if what[0] == "command" else [])
    settings = TransportSettings(resolve_timeout_s=0.05)
    with caplog.at_level(logging.CRITICAL, "sip.transport.driver"):
        async with driven(core, settings=settings, resolver=Resolver(SlowLookup(), secrets.randbelow)) as (driver, _):
            driver.command(COMMAND)
            assert await core.until("resolved") == [("resolved", 6, [])]


async def test_a_name_that_leads_nowhere_is_logged_with_all_that_was_asked(caplog: pytest.LogCaptureFixture) -> None:
    core = Core(lambda *what: [Resolve(8, "nowhere.example.com", None, "udp")] if what[0] == "command" else [])
    with caplog.at_level(logging.WARNING, "sip.transport.driver"):
        async with driven(core, resolver=Resolver(NoLookup(), secrets.randbelow)) as (driver, _):
            driver.command(COMMAND)
            assert await core.until("resolved") == [("resolved", 8, [])]
    (record,) = caplog.records
    assert record.message == "sip_resolve_failed"
    asked = "SRV _sip._udp.nowhere.example.com, A/AAAA nowhere.example.com"
    assert (record.__dict__["host"], record.__dict__["asked"]) == ("nowhere.example.com", asked)


async def test_stop_does_not_wait_for_dns() -> None:
    core = Core(lambda *what: [Resolve(7, "slow", None, None)] if what[0] == "command" else [])
    async with asyncio.timeout(2):
        async with driven(core, resolver=Resolver(SlowLookup(), secrets.randbelow)) as (driver, _):
            driver.command(COMMAND)
            await asyncio.sleep(0.01)
    assert [what[0] for what in core.inputs] == ["command"]


async def test_names_of_the_hosts_file_are_found_without_dns_servers() -> None:
    from sip.transport.dns import AiodnsLookup

    lookup = AiodnsLookup()
    try:
        assert set(await lookup.addresses(socket.gethostname())) | {"127.0.0.1"}  # answers or not, it does not raise
        assert await lookup.addresses("bad..name") == []
        assert await lookup.srv("x" * 300) == []
    finally:
        await lookup.close()


# --- addresses ---------------------------------------------------------------------------------------------------------


def test_local_address_towards_loopback_is_loopback() -> None:
    assert local_address_towards("127.0.0.1") == "127.0.0.1"
    assert local_address_towards("::1") == "::1"
    assert ip_version(local_address_towards("192.0.2.1")) == 4
    assert reachable_form("127.0.0.7") == "127.0.0.7"
    assert reachable_form("0.0.0.0") != "0.0.0.0"


def test_ip_version_of_text() -> None:
    assert [ip_version(text) for text in ("1.2.3.4", "::1", "1.2.3", "example.com", "", "a\x00", "1" * 500)] == [
        4,
        6,
        None,
        None,
        None,
        None,
        None,
    ]


# --- the real core -----------------------------------------------------------------------------------------------------


def options(transport: str, source: Address, to: Address, **changes: str) -> bytes:
    return (
        f"OPTIONS sip:{to} SIP/2.0\r\nVia: SIP/2.0/{transport.upper()} {source};branch=z9hG4bK{secrets.token_hex(6)};rport\r\n"
        f"From: <sip:probe@{source}>;tag=1\r\nTo: <sip:{to}>\r\nCall-ID: {secrets.token_hex(6)}\r\nCSeq: 1 OPTIONS\r\n"
        f"Max-Forwards: 70\r\nContent-Length: {changes.get('length', '0')}\r\n\r\n"
    ).encode()


def real_core() -> Endpoint:
    return Endpoint(SipSettings(), (), secrets.token_bytes)


@pytest.mark.parametrize("host", HOSTS)
async def test_options_by_udp(host: str) -> None:
    async with driven(real_core(), ("udp", host, 0)) as (_, (listener,)):
        with Peer(host) as peer:
            peer.send(options("udp", peer.address, listener.bind), listener.bind)
            response = parse_message(await peer.read())
            assert isinstance(response, Response)
            assert response.status == 200


@pytest.mark.parametrize("host", HOSTS)
async def test_options_by_tcp_in_pieces_and_pong(host: str) -> None:
    async with driven(real_core(), ("tcp", host, 0)) as (_, (listener,)), connected(listener.bind) as (reader, writer):
        for octet in options("tcp", Address(host, 5060), listener.bind):
            writer.write(bytes([octet]))
            await asyncio.sleep(0)
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
        assert head.startswith(b"SIP/2.0 200 ")
        writer.write(b"\r\n\r\n")
        assert await read(reader, 2) == b"\r\n"  # RFC 5626 4.4.1


async def test_broken_framing_gets_400_and_the_connection_is_closed__rfc3261_18_3() -> None:
    core = real_core()
    async with driven(core, ("tcp", "127.0.0.1", 0)) as (_, (listener,)):
        async with connected(listener.bind) as (reader, writer):
            writer.write(options("tcp", Address("127.0.0.1", 5060), listener.bind, length="-5"))
            assert (await expect_eof(reader)).startswith(b"SIP/2.0 400 ")
        await eventually(lambda: not core.counts()["connections"])


GARBAGE = [path.read_bytes() for path in sorted((Path(__file__).parents[1] / "vectors" / "sip" / "torture").glob("*.dat"))]


async def test_garbage_by_udp_leaves_the_next_request_served() -> None:
    dice = random.Random(1)
    async with driven(real_core(), ("udp", "127.0.0.1", 0)) as (driver, (listener,)):
        with Peer() as peer, Peer() as sane:
            for _ in range(20):
                for data in GARBAGE:
                    spoilt = bytearray(data)
                    for _ in range(3):
                        spoilt[dice.randrange(len(spoilt))] = dice.randrange(256)
                    peer.send(bytes(spoilt), listener.bind)
                peer.send(dice.randbytes(dice.randrange(1, 2000)), listener.bind)
                await asyncio.sleep(0.001)
            sane.send(options("udp", sane.address, listener.bind), listener.bind)
            assert (await sane.read()).startswith(b"SIP/2.0 200 ")
        assert driver.counters["input_errors"] == driver.counters["event_errors"] == 0


async def test_garbage_by_tcp_leaves_the_next_request_served() -> None:
    dice = random.Random(2)
    async with driven(real_core(), ("tcp", "127.0.0.1", 0)) as (driver, (listener,)):
        for data in [*GARBAGE, dice.randbytes(3000), b"GET / HTTP/1.1\r\n\r\n", b"\r\n" * 5000]:
            async with connected(listener.bind) as (_, writer):
                writer.write(data)
                writer.write_eof()
        async with connected(listener.bind) as (reader, writer):
            writer.write(options("tcp", Address("127.0.0.1", 5060), listener.bind))
            assert (await asyncio.wait_for(reader.readuntil(b"\r\n"), 5)).startswith(b"SIP/2.0 200 ")
        assert driver.counters["input_errors"] == driver.counters["event_errors"] == 0


class Phone:
    """One end of a call over the real core."""

    def __init__(self) -> None:
        self.events: list[Event | Traced | Dropped] = []
        self.core = real_core()
        self.driver = SipDriver(self.core, self._on_event)
        self._changed = asyncio.Event()

    def _on_event(self, event: Event | Traced | Dropped) -> None:
        self.events.append(event)
        self._changed.set()
        if isinstance(event, InviteReceived):
            self.driver.command(SendAnswer(event.session, b"v=0\r\n"))

    async def until(self, kind: type) -> Any:
        async with asyncio.timeout(5):
            while not (found := [event for event in self.events if isinstance(event, kind)]):
                self._changed.clear()
                await self._changed.wait()
        return found[0]


@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_call_from_invite_to_bye(transport: str, host: str) -> None:
    caller, callee = Phone(), Phone()
    await caller.driver.start([(transport, host, 0)])
    (there,) = await callee.driver.start([(transport, host, 0)])
    session = SessionId("out")
    caller.driver.command(SendInvite(session, f"sip:bob@{there.advertised};transport={transport}", "sip:alice@example.com", b"v=0\r\n"))
    answered = await caller.until(InviteAnswered)
    await callee.until(AnswerAcked)
    caller.driver.command(SendBye(session))
    ended = [await caller.until(SessionEnded), await callee.until(SessionEnded)]
    traced = [event.summary.split()[0] for event in caller.events if isinstance(event, Traced) and event.direction is Direction.OUT]
    await asyncio.gather(caller.driver.stop(), callee.driver.stop())
    assert answered.response.status == 200
    assert [one.cause.value for one in ended] == ["bye_answered", "bye_received"]
    assert traced == ["INVITE", "ACK", "BYE"]
    for phone in (caller, callee):
        assert phone.core.counts()["sessions"] == phone.core.counts()["connections"] == 0
        assert not phone.driver.counters["input_errors"]


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_call_to_a_dead_port_fails_at_once(transport: str) -> None:
    with Peer() as gone:
        dead = gone.address
    phone = Phone()
    await phone.driver.start([("udp", "127.0.0.1", 0), ("tcp", "127.0.0.1", 0)])
    begin = asyncio.get_running_loop().time()
    phone.driver.command(SendInvite(SessionId("out"), f"sip:bob@{dead};transport={transport}", "sip:alice@example.com", b"v=0\r\n"))
    failed = await phone.until(InviteFailed)
    await phone.driver.stop()
    assert failed.cause.value == "transport"
    assert asyncio.get_running_loop().time() - begin < 2


# --- the other loop ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "test",
    [
        lambda: test_icmp_error_is_a_failed_transmit__rfc3261_18_4("127.0.0.1"),
        lambda: test_icmp_error_is_a_failed_transmit__rfc3261_18_4("::1"),
        test_what_cannot_be_sent_by_udp_is_a_failed_transmit,
        test_burst_of_datagrams_arrives_whole_and_in_order,
        lambda: test_accepted_connection("::1"),
        test_close_connection_sends_what_was_written_first,
        lambda: test_connection_is_opened_once_and_queued_octets_go_in_order("127.0.0.1"),
        test_refused_connection_is_one_failed_transmit,
        test_connection_that_nobody_accepts_times_out,
        test_peer_that_does_not_read_is_dropped,
        test_connections_are_limited,
        test_timer_fires_at_the_deadline_and_not_before,
        test_stop_closes_connections_and_tells_the_core,
        lambda: test_call_from_invite_to_bye("udp", "127.0.0.1"),
        lambda: test_call_from_invite_to_bye("tcp", "::1"),
    ],
)
def test_it_works_on_uvloop_too(test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    uvloop = pytest.importorskip("uvloop")
    uvloop.run(test())
