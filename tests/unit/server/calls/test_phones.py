"""From bindings to the ways to a client's phones (behaviour.md 8, RFC 5626 6)."""

from __future__ import annotations

from server.calls.phones import Nobody, Phones, Way, name_of
from sip.core.bindings import Binding, Bindings
from sip.core.flows import Address, Flow
from sip.settings import RegistrarSettings

OURS = Address("192.0.2.1", 5060)
NEAR = Flow("udp", OURS, Address("198.51.100.7", 40123))
TCP = Flow("tcp", OURS, Address("198.51.100.8", 41000), 9)


def phones(*bindings: Binding) -> Phones:
    table = Bindings(RegistrarSettings())
    for binding in bindings:
        table.put(binding)
    return Phones(table, "auto", frozenset(("alice", "bob")))


def test_each_phone_has_its_way_the_latest_first() -> None:
    first = Binding("alice", "sip:alice@10.0.0.5:5060", "1", 1, NEAR, 1e9)
    second = Binding("alice", "sip:alice@10.0.0.6;transport=tcp", "2", 1, TCP, 1e9)
    found = phones(first, second).find("alice")
    assert found == (
        (Way("sip:alice@10.0.0.6;transport=tcp", TCP, "alice tcp 198.51.100.8:41000", "198.51.100.8", "tcp"),),
        (Way("sip:alice@10.0.0.5:5060", NEAR, "alice udp 198.51.100.7:40123", "198.51.100.7", "udp"),),
    )


def test_a_reachable_contact_is_followed() -> None:
    found = phones(Binding("alice", "sip:alice@198.51.100.7:5070;transport=tcp", "1", 1, NEAR, 1e9)).find("alice")
    assert found == ((Way("sip:alice@198.51.100.7:5070;transport=tcp", None, name_of("alice", NEAR), "198.51.100.7", "tcp"),),)


def test_two_flows_of_an_instance_are_one_phone__rfc5626_6() -> None:
    one = Binding("alice", "sip:a@10.0.0.5", "1", 1, NEAR, 1e9, instance="urn:x", reg_id=1)
    two = Binding("alice", "sip:a@10.0.0.5", "2", 1, TCP, 1e9, instance="urn:x", reg_id=2)
    other = Binding("alice", "sip:a@10.0.0.9", "3", 1, NEAR, 1e9, instance="urn:y")
    found = phones(one, two, other).find("alice")
    assert found is not None
    assert [[way.flow for way in phone] for phone in found] == [[NEAR], [TCP, NEAR]]


def test_who_is_known_and_who_is_not() -> None:
    assert phones().find("bob") == ()
    assert phones().find("carol") is None
    assert Nobody().find("alice") is None
