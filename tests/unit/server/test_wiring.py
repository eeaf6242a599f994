"""From the settings to what call control knows of them."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl

import pytest

from config.settings import Settings
from server.api.access import is_signed
from server.observability.clock import WallClock
from server.reach import Reach
from server.wiring import build_policy, trunk_accounts
from sip.core.flows import Address, Listener
from sip.transport.address import reachable_form

CLOCK = WallClock(0.0, 1_800_000_000.0)
RE = "RE" + "a" * 32


def listening(bind: str, advertised: str) -> tuple[Listener, ...]:
    return (Listener("udp", Address(bind, 5060), Address(advertised, 5060)),)


def settings(**sections: Any) -> Settings:
    return Settings.model_validate(sections)


def test_recording_urls_are_plain_unless_they_are_to_be_signed() -> None:
    assert build_policy(settings(), listening("192.0.2.1", "192.0.2.1"), CLOCK, Reach(settings())).recording_query(RE, 5.0) == ""


def test_signed_recording_urls_open_until_their_time_is_up() -> None:
    server = {"recording_access": "signed", "recording_key": "key", "recording_url_s": 60}
    query = build_policy(settings(server=server), listening("192.0.2.1", "192.0.2.1"), CLOCK, Reach(settings())).recording_query(RE, 5.0)
    read = dict(parse_qsl(query.removeprefix("?")))
    assert is_signed("key", RE, read, 1_800_000_065.0)
    assert not is_signed("key", RE, read, 1_800_000_066.0)
    assert not is_signed("", RE, read, 1_800_000_000.0)


@pytest.mark.parametrize(
    ("bind", "advertised", "shown"),
    [
        ("192.0.2.1", "192.0.2.1", "192.0.2.1"),
        ("192.0.2.1", "sip.example.com", "192.0.2.1"),
        ("0.0.0.0", "203.0.113.5", "203.0.113.5"),
        ("0.0.0.0", "sip.example.com", reachable_form("0.0.0.0")),  # SDP wants an address, and the wildcard would mean hold
        ("192.0.2.1", "203.0.113.5", "192.0.2.1"),
    ],
)
def test_sdp_names_an_address_that_a_peer_can_send_to(bind: str, advertised: str, shown: str) -> None:
    assert build_policy(settings(), listening(bind, advertised), CLOCK, Reach(settings())).media_v4.advertised == shown


def test_trunks_are_looked_after_as_their_settings_say() -> None:
    plain = {"name": "plain", "proxy": "sip:a.example"}
    asked = {"name": "asked", "proxy": "sip:b.example", "fallback_proxy": "sip:c.example", "options_s": 30}
    line = {"name": "line", "proxy": "sip:d.example", "username": "me", "password": "x", "registers": True}
    other = line | {"name": "other", "registrar": "sip:r.example", "register_user": "+1555", "from_host": "e.example"}
    found = {one.trunk: one for one in trunk_accounts(settings(trunks=[plain, asked, line, other]))}
    assert sorted(found) == ["asked", "line", "other"]
    assert (found["asked"].places, found["asked"].options_s, found["asked"].registrars) == (("sip:b.example", "sip:c.example"), 30.0, ())
    assert (found["line"].registrars, found["line"].user, found["line"].domain) == (("sip:d.example",), "me", "d.example")
    assert (found["other"].registrars, found["other"].user, found["other"].domain) == (("sip:r.example",), "+1555", "e.example")
