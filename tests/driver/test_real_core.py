"""SipDriver with real sockets over the real core."""

from __future__ import annotations

import asyncio
import random
import secrets
from pathlib import Path
from typing import Any

import pytest

from sip.core.commands import SendAnswer, SendBye, SendInvite, SessionId
from sip.core.endpoint import Endpoint
from sip.core.events import (
    AnswerAcked,
    Direction,
    Dropped,
    Event,
    InviteAnswered,
    InviteFailed,
    InviteReceived,
    SessionEnded,
    Traced,
)
from sip.core.flows import Address
from sip.message import Response, parse_message
from sip.settings import SipSettings
from sip.transport.driver import SipDriver
from tests.support.driver import HOSTS, TRANSPORTS, Peer, connected, driven, eventually, expect_eof, read

pytestmark = pytest.mark.driver


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
