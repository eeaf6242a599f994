"""RFC 3263 and RFC 2782 over records made up here; no socket is opened and nobody is asked."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable

import pytest

from sip.core.flows import Address, Resolve, Target
from sip.transport.resolver import MAX_TARGETS, Naptr, Resolver, Srv, order_naptr, order_srv


class Zone:
    """A Lookup over tables; remembers what it was asked."""

    def __init__(
        self,
        naptr: dict[str, list[Naptr]] | None = None,
        srv: dict[str, list[Srv]] | None = None,
        hosts: dict[str, list[str]] | None = None,
    ) -> None:
        self._naptr, self._srv, self._hosts = naptr or {}, srv or {}, hosts or {}
        self.asked: list[str] = []

    async def naptr(self, name: str) -> list[Naptr]:
        self.asked.append(f"NAPTR {name}")
        return self._naptr.get(name, [])

    async def srv(self, name: str) -> list[Srv]:
        self.asked.append(f"SRV {name}")
        return self._srv.get(name, [])

    async def addresses(self, name: str) -> list[str]:
        self.asked.append(f"A {name}")
        return self._hosts.get(name, [])

    async def close(self) -> None:
        self.asked.append("closed")


def always(value: int) -> Callable[[int], int]:
    return lambda below: min(value, below - 1)


def target(transport: str, host: str, port: int) -> Target:
    return Target(transport, Address(host, port))


async def resolve(
    zone: Zone,
    host: str = "example.com",
    *,
    port: int | None = None,
    transport: str | None = None,
    secure: bool = False,
    transports: tuple[str, ...] = ("udp", "tcp"),
    versions: tuple[int, ...] = (4, 6),
) -> list[Target]:
    resolver = Resolver(zone, always(0), transports)
    return await resolver.resolve(Resolve(1, host, port, transport, secure), versions)


SRV = {
    "_sip._udp.example.com": [Srv(1, 1, 5070, "a.example.com")],
    "_sip._tcp.example.com": [Srv(1, 1, 5080, "b.example.com")],
    "_sips._tcp.example.com": [Srv(1, 1, 5081, "b.example.com")],
}
HOSTS = {"a.example.com": ["192.0.2.1"], "b.example.com": ["192.0.2.2", "2001:db8::2"], "example.com": ["192.0.2.9"]}


async def test_naptr_chooses_the_transport__rfc3263_4_1() -> None:
    naptr = [
        Naptr(90, 50, "s", "SIPS+D2T", "_sips._tcp.example.com"),
        Naptr(90, 60, "s", "SIP+D2T", "_sip._tcp.example.com"),
        Naptr(100, 10, "S", "sip+d2u", "_sip._udp.example.com."),
    ]
    found = await resolve(Zone({"example.com": naptr}, SRV, HOSTS))
    assert found == [target("tcp", "192.0.2.2", 5080), target("tcp", "2001:db8::2", 5080), target("udp", "192.0.2.1", 5070)]


async def test_without_naptr_each_srv_is_asked__rfc3263_4_1() -> None:
    zone = Zone({}, SRV, HOSTS)
    found = await resolve(zone)
    assert [(t.transport, t.address.port) for t in found] == [("udp", 5070), ("tcp", 5080), ("tcp", 5080)]
    assert zone.asked[0] == "NAPTR example.com"


async def test_without_srv_the_name_itself_by_udp_and_default_port__rfc3263_4_2() -> None:
    assert await resolve(Zone({}, {}, HOSTS)) == [target("udp", "192.0.2.9", 5060)]


async def test_transport_parameter_rules_naptr_out__rfc3263_4_1() -> None:
    zone = Zone({"example.com": [Naptr(1, 1, "s", "SIP+D2U", "_sip._udp.example.com")]}, SRV, HOSTS)
    found = await resolve(zone, transport="TCP")
    assert [(t.transport, t.address.port) for t in found] == [("tcp", 5080), ("tcp", 5080)]
    assert zone.asked[0] == "SRV _sip._tcp.example.com"


async def test_transport_parameter_without_srv_keeps_the_transport__rfc3263_4_2() -> None:
    assert await resolve(Zone({}, {}, HOSTS), transport="tcp") == [target("tcp", "192.0.2.9", 5060)]


async def test_port_rules_srv_out__rfc3263_4_2() -> None:
    zone = Zone({}, SRV, HOSTS)
    assert await resolve(zone, port=5099) == [target("udp", "192.0.2.9", 5099)]
    assert await resolve(zone, port=5099, transport="tcp") == [target("tcp", "192.0.2.9", 5099)]
    assert zone.asked == ["A example.com", "A example.com"]


async def test_literal_is_its_own_answer__rfc3263_4_1() -> None:
    zone = Zone()
    assert await resolve(zone, "192.0.2.7") == [target("udp", "192.0.2.7", 5060)]
    assert await resolve(zone, "2001:db8::7", port=5099, transport="tcp") == [target("tcp", "2001:db8::7", 5099)]
    assert zone.asked == []


async def test_localhost_is_never_asked_of_dns__rfc6761_6_3() -> None:
    zone = Zone()
    assert await resolve(zone, "localhost") == [target("udp", "127.0.0.1", 5060), target("udp", "::1", 5060)]
    assert zone.asked == []


async def test_sips_needs_tls__rfc3263_4_1() -> None:
    zone = Zone({}, SRV, HOSTS)
    assert await resolve(zone, secure=True) == []
    found = await resolve(zone, secure=True, transports=("udp", "tcp", "tls"))
    assert [(t.transport, t.address.port) for t in found] == [("tls", 5081), ("tls", 5081)]


async def test_transport_that_we_do_not_speak_leads_nowhere() -> None:
    assert await resolve(Zone({}, SRV, HOSTS), transport="sctp") == []
    only = {"example.com": [Naptr(1, 1, "s", "SIP+D2S", "_sip._sctp.example.com")]}
    assert [t.transport for t in await resolve(Zone(only, SRV, HOSTS))] == ["udp", "tcp", "tcp"]


async def test_addresses_of_a_family_without_socket_are_left_out() -> None:
    found = await resolve(Zone({}, SRV, HOSTS), transport="tcp", versions=(6,))
    assert found == [target("tcp", "2001:db8::2", 5080)]


async def test_unknown_name_leads_nowhere() -> None:
    assert await resolve(Zone(), "no.example.org") == []


async def test_service_that_is_decidedly_not_there__rfc2782() -> None:
    no = [Srv(0, 0, 0, ".")]
    zone = Zone({}, {"_sip._tcp.example.com": no}, HOSTS)
    assert await resolve(zone, transport="tcp") == []
    zone = Zone({}, {"_sip._udp.example.com": no, "_sip._tcp.example.com": SRV["_sip._tcp.example.com"]}, HOSTS)
    assert {t.transport for t in await resolve(zone)} == {"tcp"}


async def test_name_with_a_dot_at_its_end_and_capitals() -> None:
    assert await resolve(Zone({}, SRV, HOSTS), "Example.COM.", transport="udp") == [target("udp", "192.0.2.1", 5070)]


async def test_answers_are_bounded() -> None:
    many = [Srv(n, 0, 5060 + n, f"h{n}") for n in range(100)]
    zone = Zone({}, {"_sip._udp.example.com": many}, {f"h{n}": [f"192.0.2.{n}", f"198.51.100.{n}"] for n in range(100)})
    assert len(await resolve(zone, transport="udp")) == MAX_TARGETS
    assert len(zone.asked) <= MAX_TARGETS + 1


async def test_same_target_twice_is_tried_once() -> None:
    zone = Zone({}, {"_sip._udp.example.com": [Srv(1, 1, 5060, "a"), Srv(2, 1, 5060, "b")]}, {"a": ["192.0.2.1"], "b": ["192.0.2.1"]})
    assert await resolve(zone, transport="udp") == [target("udp", "192.0.2.1", 5060)]


async def test_closing_closes_the_lookup() -> None:
    zone = Zone()
    await Resolver(zone, always(0)).close()
    assert zone.asked == ["closed"]


def test_naptr_by_order_then_preference__rfc3403_4_1() -> None:
    records = [
        Naptr(2, 1, "s", "SIP+D2U", "u2"),
        Naptr(1, 9, "s", "SIP+D2T", "t"),
        Naptr(1, 2, "s", "SIP+D2U", "u1"),
        Naptr(1, 1, "u", "SIP+D2U", "flag"),
        Naptr(1, 1, "s", "E2U+sip", "other"),
        Naptr(1, 1, "s", "SIP+D2U", "."),
    ]
    assert order_naptr(records, ("udp", "tcp")) == [("udp", "u1"), ("tcp", "t"), ("udp", "u2")]
    assert order_naptr(records, ("tcp",)) == [("tcp", "t")]


def test_srv_by_priority__rfc2782() -> None:
    records = [Srv(20, 100, 1, "c"), Srv(10, 0, 1, "a"), Srv(20, 0, 1, "d"), Srv(15, 1, 1, "b")]
    assert [record.target for record in order_srv(records, always(10**9))][:2] == ["a", "b"]
    assert order_srv([], always(0)) == []


@pytest.mark.parametrize(("point", "first"), [(0, "zero"), (1, "one"), (2, "three"), (4, "three")])
def test_srv_point_chooses_by_running_sum__rfc2782(point: int, first: str) -> None:
    records = [Srv(1, 1, 1, "one"), Srv(1, 3, 1, "three"), Srv(1, 0, 1, "zero")]
    assert order_srv(records, always(point))[0].target == first


def test_srv_weights_are_kept_in_the_long_run__rfc2782() -> None:
    dice = random.Random(7)
    records = [Srv(1, 60, 1, "a"), Srv(1, 20, 1, "b"), Srv(1, 20, 1, "c")]
    first = Counter(order_srv(records, dice.randrange)[0].target for _ in range(5000))
    assert 0.57 < first["a"] / 5000 < 0.63
    assert 0.17 < first["b"] / 5000 < 0.23
    assert all(len(order_srv(records, dice.randrange)) == 3 for _ in range(100))


async def test_what_was_asked_is_noted_for_who_wants_to_know_why_a_name_leads_nowhere() -> None:
    asked: list[str] = []
    zone = Zone(srv={"_sip._udp.example.com": [Srv(1, 1, 5070, "gone.example.com")]})
    assert await Resolver(zone, always(0), ("udp",)).resolve(Resolve(1, "example.com", None, None, False), (4, 6), asked) == []
    assert asked == ["NAPTR example.com", "SRV _sip._udp.example.com", "A/AAAA gone.example.com", "A/AAAA example.com"]
