"""Settings that are each valid, and do not fit together."""

from __future__ import annotations

from typing import Any

import pytest

from config.consistency import calls_by_ports, contradictions, doubts
from config.settings import Settings


def keys(sections: dict[str, Any]) -> list[str]:
    return [finding.key for finding in contradictions(Settings.model_validate(sections))]


def test_the_defaults_fit_together() -> None:
    assert keys({}) == []
    assert [finding.key for finding in doubts(Settings())] == []


@pytest.mark.parametrize(
    ("port_min", "port_max", "calls"),
    [(20000, 20003, 1), (20001, 20004, 0), (20001, 20005, 1), (20000, 20002, 0), (20000, 20007, 2), (20000, 29999, 2500)],
)
def test_a_call_of_two_legs_takes_two_even_ports_and_the_odd_ones_after_them(port_min: int, port_max: int, calls: int) -> None:
    assert calls_by_ports(Settings.model_validate({"media": {"port_min": port_min, "port_max": port_max}})) == calls


@pytest.mark.parametrize(
    ("listen", "wrong"),
    [
        (["udp:0.0.0.0:5060", "tcp:0.0.0.0:5060"], []),
        (["udp:0.0.0.0:5060", "udp:[::]:5060"], []),  # each family has its own wildcard
        (["udp:127.0.0.1:5060", "udp:127.0.0.2:5060"], []),
        (["udp:127.0.0.1:0", "udp:127.0.0.1:0"], []),  # two free ports
        (["udp:127.0.0.1:5060", "udp:127.0.0.1:5060"], ["sip.listen[1]"]),
        (["udp:127.0.0.1:5060", "udp:0.0.0.0:5060"], ["sip.listen[1]"]),
        (["udp:[::]:5060", "udp:[::1]:5060"], ["sip.listen[1]"]),
        (["tcp:0.0.0.0:8080"], ["server.http_listen"]),
        (["udp:0.0.0.0:8080"], []),
    ],
)
def test_listeners_do_not_take_each_others_place(listen: list[str], wrong: list[str]) -> None:
    assert keys({"sip": {"listen": listen}}) == wrong


@pytest.mark.parametrize(
    ("proxy", "listen", "fits"),
    [
        ("sip:gw.example.com", ["udp:127.0.0.1:5060"], True),
        ("sip:gw.example.com;transport=tcp", ["udp:127.0.0.1:5060"], False),
        ("sip:gw.example.com;transport=tcp", ["udp:127.0.0.1:5060", "tcp:127.0.0.1:5060"], True),
        ("sip:192.0.2.1", ["udp:[::]:5060"], False),
        ("sip:[2001:db8::1]:5070;lr", ["udp:[::]:5060"], True),
        ("sip:127.0.0.1", ["udp:127.0.0.1:5060"], False),  # itself
        ("sip:127.0.0.1:5070", ["udp:127.0.0.1:5060"], True),
    ],
)
def test_a_proxy_is_one_that_a_socket_can_speak_to(proxy: str, listen: list[str], fits: bool) -> None:
    found = keys({"sip": {"listen": listen}, "trunks": [{"name": "t", "proxy": proxy}]})
    assert found == ([] if fits else ["trunks[0].proxy"])
