"""SipDriver with real sockets on loopback, over a core of a few lines."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any

import pytest

from sip.core.events import (
    Dropped,
    Event,
    Output,
    Traced,
)
from sip.core.flows import Address, Flow, Transmit
from sip.transport.address import ip_version
from sip.transport.driver import SipDriver
from tests.support.driver import COMMAND, HOSTS, Core, Peer, connected, driven, echo, expect_eof, read

pytestmark = pytest.mark.driver


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


async def test_how_long_a_datagram_waited_is_told_once_by_the_kernels_stamp() -> None:
    core = Core()
    async with driven(core, ("udp", "127.0.0.1", 0)) as (driver, (listener,)):
        with Peer() as peer:
            peer.send(b"hello", listener.bind)
            time.sleep(0.05)  # noqa: ASYNC251  the loop stands still: that is what is measured
            await core.until("receive", 1)
            assert driver.take_waited_s() >= 0.05
            assert driver.take_waited_s() == 0.0


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
