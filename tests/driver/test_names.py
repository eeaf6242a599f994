"""SipDriver and names: what is looked up for the core, and which address is ours towards a peer."""

from __future__ import annotations

import asyncio
import logging
import secrets
import socket

import pytest

from sip.core.flows import Address, Resolve, Target
from sip.transport.address import ip_version, local_address_towards, reachable_form, source_towards
from sip.transport.resolver import Naptr, Resolver, Srv
from sip.transport.settings import TransportSettings
from tests.support.driver import COMMAND, Core, driven

pytestmark = pytest.mark.driver


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


def test_the_way_to_an_address_is_asked_of_the_system() -> None:
    assert source_towards("127.0.0.1") == "127.0.0.1"


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
