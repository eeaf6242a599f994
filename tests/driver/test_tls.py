"""SipDriver over TLS, with peers that nobody here wrote: Python's ssl over sockets, and the openssl program."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from sip.core.flows import Address, CloseConnection, Flow, Transmit
from sip.transport.settings import TlsSettings, TransportSettings
from sip.transport.tls import Tls
from tests.support.certificates import Authority, Certificate
from tests.support.driver import COMMAND, HOSTS, Core, connected, driven, echo, eventually, expect_eof, read

pytestmark = pytest.mark.driver


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def ours(authority: Authority) -> Certificate:
    return authority.issue("ours", "DNS:sip.example.com", "IP:127.0.0.1", "IP:::1")


@asynccontextmanager
async def secured(
    to: Address, authority: Authority, mine: Certificate | None = None, name: str = "sip.example.com"
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    context = ssl.create_default_context(cafile=str(authority.ca))
    if mine is not None:
        context.load_cert_chain(mine.certificate, mine.key)
    reader, writer = await asyncio.open_connection(to.host, to.port, ssl=context, server_hostname=name)
    try:
        yield reader, writer
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


@asynccontextmanager
async def listening(certificate: Certificate, host: str = "127.0.0.1") -> AsyncIterator[tuple[Address, list[bytes]]]:
    """A TLS server of somebody else: its address, and what it has heard."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate.certificate, certificate.key)
    heard: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1000):
            heard.append(data)
            writer.write(b"answer")
        writer.close()

    server = await asyncio.start_server(serve, host, 0, ssl=context)
    async with server:
        yield Address(host, server.sockets[0].getsockname()[1]), heard


def sending(*flows: Flow) -> Core:
    return Core(lambda *what: [Transmit(flow, b"hello") for flow in flows] if what[0] == "command" else [])


def trusting(authority: Authority, **more: object) -> Tls:
    return Tls(TlsSettings(ca_file=str(authority.ca), **more))  # type: ignore[arg-type]


# --- accepting ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", HOSTS)
async def test_an_accepted_connection_is_like_any_other(authority: Authority, ours: Certificate, host: str) -> None:
    core = Core(echo)
    async with driven(core, ("tls", host, 0), tls=Tls(ours.settings())) as (driver, (listener,)):
        async with secured(listener.bind, authority) as (reader, writer):
            writer.write(b"hello")
            assert await read(reader, 10) == b"echo hello"
            flow = core.inputs[0][1]
            assert (flow.transport, flow.local) == ("tls", listener.bind)
            assert core.inputs[:2] == [("opened", flow), ("receive", b"hello", flow)]
        assert await core.until("lost") == [("lost", flow)]
        assert driver.counts()["connections"] == 0


async def test_openssl_s_client_is_answered(authority: Authority, ours: Certificate) -> None:
    async with driven(Core(echo), ("tls", "127.0.0.1", 0), tls=Tls(ours.settings())) as (_, (listener,)):
        client = await asyncio.create_subprocess_exec(
            *("openssl", "s_client", "-quiet", "-verify_return_error", "-CAfile", str(authority.ca)),
            *("-verify_hostname", "sip.example.com", "-connect", str(listener.bind)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
        assert client.stdin is not None
        assert client.stdout is not None
        client.stdin.write(b"OPTIONS")
        assert await read(client.stdout, 12) == b"echo OPTIONS"
        client.kill()
        await client.wait()


async def test_a_long_answer_goes_out_whole_before_the_connection_is_closed(authority: Authority, ours: Certificate) -> None:
    core = Core(lambda *what: [Transmit(what[2], b"a" * 200_000), CloseConnection(what[2])] if what[0] == "receive" else [])
    async with driven(core, ("tls", "127.0.0.1", 0), tls=Tls(ours.settings())) as (_, (listener,)):
        async with secured(listener.bind, authority) as (reader, writer):
            writer.write(b"x")
            assert await expect_eof(reader) == b"a" * 200_000
        await core.until("lost")


async def test_who_speaks_no_tls_is_never_heard_of(ours: Certificate) -> None:
    core = Core(echo)
    async with driven(core, ("tls", "127.0.0.1", 0), tls=Tls(ours.settings())) as (driver, (listener,)):
        async with connected(listener.bind) as (reader, writer):
            writer.write(b"OPTIONS sip:x SIP/2.0\r\n\r\n")
            await expect_eof(reader)
        await eventually(lambda: driver.counts()["connections"] == 0)
        assert core.inputs == []
        assert driver.counters["tls_failed"] == 1


async def test_who_begins_no_handshake_is_closed_in_time(ours: Certificate) -> None:
    core = Core(echo)
    tls = Tls(ours.settings(handshake_timeout_s=0.2))
    async with driven(core, ("tls", "127.0.0.1", 0), tls=tls) as (driver, (listener,)):
        async with connected(listener.bind) as (reader, _):
            await expect_eof(reader)
        assert driver.counters["tcp_closed_handshake"] == 1
        assert {what[0] for what in core.inputs} <= {"timeout"}


async def test_handshakes_under_way_are_limited(authority: Authority, ours: Certificate) -> None:
    tls = Tls(ours.settings(max_handshakes=2))
    async with driven(Core(echo), ("tls", "127.0.0.1", 0), tls=tls) as (driver, (listener,)):
        half = [socket.create_connection((listener.bind.host, listener.bind.port)) for _ in range(2)]
        await eventually(lambda: driver.counts()["connections"] == 2)
        async with connected(listener.bind) as (reader, _):
            await expect_eof(reader)
        assert driver.counters["tcp_refused"] == 1
        for one in half:
            one.close()
        await eventually(lambda: driver.counts()["connections"] == 0)
        async with secured(listener.bind, authority) as (reader, writer):  # the places are free again
            writer.write(b"x")
            assert await read(reader, 6) == b"echo x"


async def test_strangers_have_few_connections_before_any_handshake(authority: Authority, ours: Certificate) -> None:
    settings = TransportSettings(max_connections_per_stranger=1)
    async with driven(Core(echo), ("tls", "127.0.0.1", 0), settings=settings, admits=lambda host: False, tls=Tls(ours.settings())) as (
        driver,
        (listener,),
    ):
        async with secured(listener.bind, authority) as (reader, writer):
            writer.write(b"x")
            assert await read(reader, 6) == b"echo x"
            async with connected(listener.bind) as (refused, _):
                await expect_eof(refused)
        assert driver.counters["tcp_refused"] == 1


async def test_a_client_without_certificate_is_refused_where_one_is_required(authority: Authority, ours: Certificate) -> None:
    core = Core(echo)
    tls = Tls(ours.settings(ca_file=str(authority.ca), client_certificates="required"))
    async with driven(core, ("tls", "127.0.0.1", 0), tls=tls) as (_, (listener,)):
        with contextlib.suppress(OSError):
            async with secured(listener.bind, authority) as (reader, writer):
                writer.write(b"x")
                await expect_eof(reader)
        assert core.inputs == []
        async with secured(listener.bind, authority, authority.issue("client", "DNS:c.example")) as (reader, writer):
            writer.write(b"x")
            assert await read(reader, 6) == b"echo x"


async def test_a_renewed_certificate_is_shown_and_connections_go_on(authority: Authority, ours: Certificate) -> None:
    renewed = authority.issue("renewed", "DNS:new.example.com")
    async with (
        driven(Core(echo), ("tls", "127.0.0.1", 0), tls=Tls(ours.settings())) as (driver, (listener,)),
        secured(listener.bind, authority) as (reader, writer),
    ):
        writer.write(b"1")
        assert await read(reader, 6) == b"echo 1"
        driver.replace_tls(Tls(renewed.settings()))
        async with secured(listener.bind, authority, name="new.example.com") as (other, more):
            more.write(b"2")
            assert await read(other, 6) == b"echo 2"
        writer.write(b"3")
        assert await read(reader, 6) == b"echo 3"


async def test_a_listener_without_certificate_does_not_start() -> None:
    with pytest.raises(OSError, match=r"sip.tls.certificate"):
        async with driven(Core(), ("tls", "127.0.0.1", 0), tls=Tls(TlsSettings())):
            pass


# --- connecting -----------------------------------------------------------------------------------------------------


async def test_a_connection_is_opened_once_and_its_certificate_checked__rfc5922_4(authority: Authority, ours: Certificate) -> None:
    async with listening(ours) as (there, heard):
        core = sending(*[Flow("tls", Address("127.0.0.1", 0), there, name="sip.example.com")] * 2)
        async with driven(core, tls=trusting(authority)) as (driver, _):
            driver.command(COMMAND)
            [(_, opened)] = await core.until("opened")
            assert (opened.remote, opened.name) == (there, "sip.example.com")
            await core.until("receive")
            await eventually(lambda: b"".join(heard) == b"hello" * 2)
            assert driver.counters["tcp_opened"] == 1


async def test_a_certificate_for_another_name_fails_the_transmit__rfc5922_4(authority: Authority, ours: Certificate) -> None:
    async with listening(ours) as (there, heard):
        wanted = Flow("tls", Address("127.0.0.1", 0), there, name="other.example.com")
        core = sending(wanted)
        async with driven(core, tls=trusting(authority)) as (driver, _):
            driver.command(COMMAND)
            [(_, failed, error)] = await core.until("failed")
            assert failed == wanted
            assert "not for other.example.com" in error
            await eventually(lambda: driver.counts()["connections"] == 0)
            assert heard == [], "nothing is said to whom it is not for"


async def test_two_domains_at_one_address_do_not_share_a_connection__rfc5922_4(authority: Authority) -> None:
    both = authority.issue("both", "DNS:one.example.com", "DNS:two.example.com")
    async with listening(both) as (there, heard):
        flows = [Flow("tls", Address("127.0.0.1", 0), there, name=name) for name in ("one.example.com", "two.example.com")]
        core = sending(*flows)
        async with driven(core, tls=trusting(authority)) as (driver, _):
            driver.command(COMMAND)
            await core.until("opened", 2)
            await eventually(lambda: len(heard) == 2)
            assert driver.counters["tcp_opened"] == 2


async def test_an_address_is_reached_by_the_connection_that_was_checked_for_its_name(authority: Authority) -> None:
    named = authority.issue("named", "DNS:trunk.example.com")
    async with listening(named) as (there, heard):
        by_name = Flow("tls", Address("127.0.0.1", 0), there, name="trunk.example.com")
        core = sending(by_name)
        async with driven(core, tls=trusting(authority)) as (driver, _):
            driver.command(COMMAND)
            await core.until("receive")
            core._react = lambda *what: [Transmit(Flow("tls", by_name.local, there), b"again")] if what[0] == "command" else []
            driver.command(COMMAND)
            await eventually(lambda: b"".join(heard) == b"helloagain")
            assert driver.counters["tcp_opened"] == 1


async def test_a_peer_that_does_not_shake_hands_is_given_up(authority: Authority) -> None:
    silent = socket.create_server(("127.0.0.1", 0))
    there = Address("127.0.0.1", silent.getsockname()[1])
    core = sending(Flow("tls", Address("127.0.0.1", 0), there, name="x.example.com"))
    async with driven(core, tls=trusting(authority, handshake_timeout_s=0.2)) as (driver, _):
        driver.command(COMMAND)
        [(_, _, error)] = await core.until("failed")
        assert error
        assert driver.counts()["connections"] == 0
    silent.close()


async def test_a_peer_that_hangs_up_in_the_handshake_is_one_failed_transmit(authority: Authority) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    there = Address("127.0.0.1", server.sockets[0].getsockname()[1])
    core = sending(Flow("tls", Address("127.0.0.1", 0), there, name="x.example.com"))
    async with server, driven(core, tls=trusting(authority)) as (driver, _):
        driver.command(COMMAND)
        [(_, _, error)] = await core.until("failed")
        assert "handshake" in error
        assert [what[0] for what in core.inputs] == ["command", "failed"]


async def test_without_tls_nothing_is_sent_in_clear() -> None:
    core = sending(Flow("tls", Address("127.0.0.1", 0), Address("127.0.0.1", 5061), name="x.example.com"))
    async with driven(core) as (driver, _):
        driver.command(COMMAND)
        [(_, _, error)] = await core.until("failed")
        assert "TLS" in error


async def test_a_name_that_no_host_can_have_is_a_failed_transmit(authority: Authority, ours: Certificate) -> None:
    async with listening(ours) as (there, _):
        core = sending(Flow("tls", Address("127.0.0.1", 0), there, name="a..example.com"))
        async with driven(core, tls=trusting(authority)) as (driver, _):
            driver.command(COMMAND)
            [(_, _, error)] = await core.until("failed")
            assert "no name of a host" in error
            await eventually(lambda: driver.counts()["connections"] == 0)
