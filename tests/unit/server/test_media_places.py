"""Which address a leg's media has: that of the socket that its SIP uses (docs/configuration.md, media.bind_address)."""

from __future__ import annotations

from typing import Any

import pytest

from config.settings import Settings
from server.calls.policy import MediaAddress
from server.wiring import MediaPlaces
from sip.core.flows import Address, Listener


def listener(host: str, port: int = 5060, transport: str = "udp", advertised: str = "") -> Listener:
    return Listener(transport, Address(host, port), Address(advertised or host, port))


PHONES, CARRIER, SIX = listener("192.0.2.1"), listener("198.51.100.1", 5062), listener("2001:db8::1")


def places(*listeners: Listener, advertise: str = "", **media: Any) -> MediaPlaces:
    settings = Settings.model_validate({"media": media, "sip": {"advertise": advertise}})
    return MediaPlaces(settings, listeners, lambda remote: {"203.0.113.9": "203.0.113.1", "2001:db8:9::9": "2001:db8:9::1"}.get(remote, ""))


@pytest.mark.parametrize("host", ["192.0.2.1", "198.51.100.1", "2001:db8::1"])
def test_call_has_its_media_on_the_address_that_its_invite_came_to__rfc3264_5_1(host: str) -> None:
    assert places(PHONES, CARRIER, SIX).came_by(host, "192.0.2.40") == MediaAddress(host, host)


@pytest.mark.parametrize(
    ("transport", "remote", "host"),
    [
        ("udp", "192.0.2.40", "192.0.2.1"),
        ("tcp", "192.0.2.40", "198.51.100.1"),
        ("udp", "2001:db8::40", "2001:db8::1"),
        ("udp", "phone.example.com", "192.0.2.1"),
        ("udp", "127.0.0.9", "127.0.0.1"),
        ("tls", "192.0.2.40", "192.0.2.1"),
    ],
)
def test_leg_of_ours_has_its_media_on_the_address_of_the_socket_that_it_leaves_by(transport: str, remote: str, host: str) -> None:
    here = places(PHONES, listener("198.51.100.1", 5060, "tcp"), SIX, listener("127.0.0.1"))
    assert here.leaves_for(remote, transport) == MediaAddress(host, host)


def test_settings_of_media_go_before() -> None:
    assert places(PHONES, CARRIER, bind_address="192.0.2.99").came_by("198.51.100.1", "x") == MediaAddress("192.0.2.99", "192.0.2.99")
    public = places(PHONES, CARRIER, advertised_address="203.0.113.7")
    assert public.came_by("198.51.100.1", "192.0.2.40") == MediaAddress("198.51.100.1", "203.0.113.7")
    six = places(SIX, bind_address="192.0.2.99", advertised_address="203.0.113.7")
    assert six.came_by("2001:db8::1", "2001:db8::2") == MediaAddress("2001:db8::1", "2001:db8::1"), "those are for IPv4"


@pytest.mark.parametrize(
    ("local", "remote", "advertise", "shown"),
    [
        ("0.0.0.0", "203.0.113.9", "", "203.0.113.1"),
        ("0.0.0.0", "198.51.100.9", "", "192.0.2.1"),
        ("0.0.0.0", "phone.example.com", "", "192.0.2.1"),
        ("0.0.0.0", "203.0.113.9", "203.0.113.99", "203.0.113.99"),
        ("0.0.0.0", "203.0.113.9", "sip.example.com", "203.0.113.1"),
        ("::", "2001:db8:9::9", "", "2001:db8:9::1"),
        ("::", "2001:db8:9::9", "203.0.113.99", "2001:db8:9::1"),
    ],
)
def test_socket_on_all_addresses_shows_the_one_that_leads_to_the_peer(local: str, remote: str, advertise: str, shown: str) -> None:
    here = places(listener("0.0.0.0", advertised="192.0.2.1"), listener("::", advertised="2001:db8::1"), advertise=advertise)
    assert here.came_by(local, remote) == MediaAddress(local, shown)
