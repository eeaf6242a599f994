"""What a REGISTER does to the bindings of a client (RFC 3261 10.3, RFC 5626 6)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sip.core.bindings import Binding, Bindings, Change, Outcome
from sip.core.flows import Address, Flow
from sip.core.incoming import read_incoming
from sip.settings import ContactPolicy, RegistrarSettings
from tests.support.core import OURS
from tests.unit.sip.core.phones import PHONE, register

NOW = 1000.0
BY_TCP = Flow("tcp", OURS, Address("198.51.100.7", 40001), 9)
INSTANCE = '+sip.instance="<urn:uuid:00000000-0000-1000-8000-000A95A0E128>"'


def put(bindings: Bindings, *, now: float = NOW, client: str = "alice", flow: Flow = PHONE, **given: object) -> Outcome:
    incoming = read_incoming(register(client, flow=flow, **given), flow)  # type: ignore[arg-type]
    incoming.user = client
    return bindings.register(incoming, now)


def fresh(**settings: object) -> Bindings:
    return Bindings(RegistrarSettings(**settings))  # type: ignore[arg-type]


def contacts(outcome: Outcome) -> list[str]:
    return [value for name, value in outcome.headers if name == "Contact"]


def changes(outcome: Outcome) -> list[Change]:
    return [one.change for one in outcome.changes]


# --- expiry -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("contact", "field", "seconds"),
    [
        (";expires=120", "600", 120),  # the Contact's own goes before the field
        ("", "600", 600),
        ("", None, 3600),
        ("", "7200", 3600),  # capped
        (";expires=4294967295", None, 3600),
        (";expires=soon", None, 3600),  # RFC 3261 10.2.1.1: malformed counts as 3600
        ("", "never", 3600),
    ],
)
def test_how_long_a_binding_lasts__behaviour_8(contact: str, field: str | None, seconds: int) -> None:
    bindings = fresh()
    outcome = put(bindings, contact=f"<sip:alice@10.0.0.5:5060>{contact}", expires=field)
    assert outcome.status == 200
    assert contacts(outcome) == [f"<sip:alice@10.0.0.5:5060>;expires={seconds}"]
    assert [one.expires_at for one in bindings] == [NOW + seconds]


def test_too_short_is_423_with_min_expires__rfc3261_10_3__trap34() -> None:
    bindings = fresh(min_expires_s=60)
    outcome = put(bindings, expires="59")
    assert (outcome.status, outcome.headers) == (423, (("Min-Expires", "60"),))
    assert len(bindings) == 0
    assert put(bindings, expires="60", cseq=2).status == 200


def test_zero_removes_and_says_so__behaviour_8() -> None:
    bindings = fresh()
    put(bindings)
    outcome = put(bindings, contact="<sip:alice@10.0.0.5:5060>;expires=0", cseq=2)
    assert (outcome.status, outcome.headers) == (200, (("Expires", "0"),))
    assert changes(outcome) == [Change.REMOVED]
    assert len(bindings) == 0
    assert changes(put(bindings, expires="0", cseq=3)) == []  # nothing was there


# --- several, fetch, star -----------------------------------------------------------------------------------------------


def test_several_contacts_are_bindings_of_their_own_and_are_listed_each_with_what_is_left__rfc3261_10_3() -> None:
    bindings = fresh()
    put(bindings, contact="<sip:alice@10.0.0.5:5060>", expires="600")
    outcome = put(bindings, contact="<sip:alice@10.0.0.6:5060>", call_id="other", expires="300", now=NOW + 100)
    assert contacts(outcome) == ["<sip:alice@10.0.0.6:5060>;expires=300", "<sip:alice@10.0.0.5:5060>;expires=500"]
    assert len(bindings.of("alice")) == 2
    both = put(bindings, contacts=["<sip:alice@10.0.0.7>, <sip:alice@10.0.0.8>;expires=60"], call_id="third")
    assert changes(both) == [Change.ADDED, Change.ADDED]


def test_without_a_contact_the_bindings_are_told_and_nothing_changes__rfc3261_10_2_3() -> None:
    bindings = fresh()
    put(bindings)
    outcome = put(bindings, contacts=[], cseq=1)
    assert (outcome.status, contacts(outcome), outcome.changes) == (200, ["<sip:alice@10.0.0.5:5060>;expires=3600"], ())


def test_star_removes_all_and_goes_with_expires_0_alone__rfc3261_10_3__trap34() -> None:
    bindings = fresh()
    put(bindings)
    put(bindings, contact="<sip:alice@10.0.0.6:5060>", call_id="other")
    put(bindings, client="bob")
    for broken in (
        {"contacts": ["*"]},
        {"contacts": ["*"], "expires": "60"},
        {"contacts": ["*", "<sip:alice@10.0.0.5>"], "expires": "0"},
        {"contacts": ["*, *"], "expires": "0"},
    ):
        assert put(bindings, cseq=5, **broken).status == 400
    assert put(bindings, contacts=["*"], expires="0", cseq=1).status == 500  # not newer than the first
    assert len(bindings.of("alice")) == 2
    assert changes(put(bindings, contacts=["*"], expires="0", cseq=2)) == [Change.REMOVED, Change.REMOVED]
    assert [one.client for one in bindings] == ["bob"]


# --- order --------------------------------------------------------------------------------------------------------------


def test_an_older_cseq_of_the_same_call_id_is_refused_and_another_call_id_rules__rfc3261_10_3__trap34() -> None:
    bindings = fresh()
    put(bindings, cseq=7, expires="600")
    for number in (7, 6):
        assert put(bindings, cseq=number, expires="0").status == 500
    assert len(bindings) == 1
    assert put(bindings, cseq=8, expires="900").status == 200
    assert put(bindings, cseq=1, call_id="restarted", expires="100").status == 200
    assert [(one.cseq, one.call_id, one.expires_at) for one in bindings] == [(1, "restarted", NOW + 100)]


def test_a_register_is_carried_out_as_a_whole_or_not__rfc3261_10_3() -> None:
    bindings = fresh()
    put(bindings, cseq=5)
    outcome = put(bindings, cseq=4, contacts=["<sip:alice@10.0.0.9>", "<sip:alice@10.0.0.5:5060>"])
    assert (outcome.status, len(bindings)) == (500, 1)
    brief = put(bindings, cseq=6, contacts=["<sip:alice@10.0.0.9>", "<sip:alice@10.0.0.8>;expires=1"])
    assert (brief.status, len(bindings)) == (423, 1)
    assert put(bindings, cseq=7, contacts=["<sip:alice@10.0.0.9>", "<tel:+12025550143>"]).status == 400
    assert len(bindings) == 1


def test_equal_contacts_are_one_binding__rfc3261_19_1_4() -> None:
    bindings = fresh()
    put(bindings, contact="<sip:alice@Example.COM;transport=tcp>")
    outcome = put(bindings, contact="<sip:%61lice@example.com;Transport=TCP>", cseq=2)
    assert len(bindings) == 1
    assert contacts(outcome) == ["<sip:%61lice@example.com;Transport=TCP>;expires=3600"]


# --- instances (RFC 5626) -----------------------------------------------------------------------------------------------


def test_an_instance_that_moves_leaves_nothing_behind__rfc5626_6() -> None:
    bindings = fresh()
    put(bindings, contact=f"<sip:alice@10.0.0.5:5060>;{INSTANCE}")
    outcome = put(bindings, contact=f"<sip:alice@172.16.1.1:5060>;{INSTANCE}", call_id="moved")
    assert changes(outcome) == [Change.REFRESHED]
    assert [one.contact for one in bindings] == ["sip:alice@172.16.1.1:5060"]
    assert contacts(outcome) == ['<sip:alice@172.16.1.1:5060>;expires=3600;+sip.instance="<urn:uuid:00000000-0000-1000-8000-000A95A0E128>"']


def test_two_flows_of_an_instance_are_two_bindings_and_outbound_is_required__rfc5626_6() -> None:
    bindings = fresh()
    outbound = [("Supported", "path, outbound")]
    first = put(bindings, contact=f"<sip:alice@10.0.0.5>;reg-id=1;{INSTANCE}", headers=outbound)
    put(bindings, contact=f"<sip:alice@10.0.0.5>;reg-id=2;{INSTANCE}", headers=outbound, flow=BY_TCP, call_id="second")
    assert ("Require", "outbound") in first.headers
    assert [(one.reg_id, one.flow) for one in bindings.of("alice")] == [(2, BY_TCP), (1, PHONE)]
    plain = put(bindings, contact="<sip:alice@10.0.0.9>;reg-id=1", headers=outbound, call_id="third")
    assert ("Require", "outbound") not in plain.headers  # a reg-id without an instance counts for nothing


def test_who_gets_an_instance_only_now_is_not_there_twice() -> None:
    bindings = fresh()
    put(bindings)
    outcome = put(bindings, contact=f"<sip:alice@10.0.0.5:5060>;{INSTANCE}", cseq=2)
    assert changes(outcome) == [Change.DISPLACED, Change.ADDED]
    assert len(bindings) == 1


# --- bounds, nonsense ---------------------------------------------------------------------------------------------------


def test_one_contact_too_many_displaces_the_one_unheard_for_longest() -> None:
    bindings = fresh(max_contacts=3)
    for number in range(3):
        put(bindings, contact=f"<sip:alice@10.0.0.{number}>", call_id=str(number))
    put(bindings, contact="<sip:alice@10.0.0.0>", call_id="0", cseq=2)
    outcome = put(bindings, contact="<sip:alice@10.0.0.9>", call_id="9")
    assert [(one.change, one.binding.contact) for one in outcome.changes] == [
        (Change.ADDED, "sip:alice@10.0.0.9"),
        (Change.DISPLACED, "sip:alice@10.0.0.1"),
    ]
    assert len(bindings) == 3
    assert put(bindings, contacts=[f"<sip:alice@10.1.0.{number}>" for number in range(4)], call_id="x").status == 403


@pytest.mark.parametrize(
    "contact",
    ["sip:", "<sip:>", "<http://example.com>", "<tel:+12025550143>", "nonsense", "<sip:alice@10.0.0.5", "<sip:alice@" + "a" * 1100 + ">"],
)
def test_a_contact_that_cannot_be_called_is_400(contact: str) -> None:
    bindings = fresh()
    assert put(bindings, contact=contact).status == 400
    assert len(bindings) == 0


def test_what_a_contact_may_not_say_in_a_request_line_is_left_out__rfc3261_19_1_1() -> None:
    bindings = fresh()
    put(bindings, contact="<sip:alice@10.0.0.5?Subject=x&X-Y=z>")
    assert [one.contact for one in bindings] == ["sip:alice@10.0.0.5"]


def test_the_table_forgets_with_the_binding() -> None:
    bindings = fresh()
    put(bindings, flow=BY_TCP)
    assert bindings.knows("198.51.100.7")
    assert [one.client for one in bindings.by(BY_TCP)] == ["alice"]
    put(bindings, flow=BY_TCP, cseq=2, expires="0")
    assert (len(bindings), bindings.of("alice"), bindings.knows("198.51.100.7"), bindings.by(BY_TCP)) == (0, (), False, ())


def test_no_client_finds_anothers_binding() -> None:
    bindings = fresh()
    put(bindings, contact="<sip:x@10.0.0.5>")
    put(bindings, client="bob", contact="<sip:x@10.0.0.5>", expires="0", cseq=9)
    assert [one.client for one in bindings] == ["alice"]


# --- where it is called -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("contact", "hops", "policy", "by_flow"),
    [
        ("sip:alice@10.0.0.5:5060", 1, "auto", True),  # behind its NAT: where it came from, symmetric
        ("sip:alice@198.51.100.7:5070", 1, "auto", False),  # the same machine by another port
        ("sip:alice@203.0.113.1", 1, "auto", True),  # somebody else's address: nobody is rung who did not register
        ("sip:alice@phone.example", 1, "auto", True),
        ("sip:alice@10.0.0.5:5060", 2, "auto", True),  # through a proxy that can reach it
        ("sip:alice@203.0.113.1", 2, "auto", False),  # through a proxy, and reachable
        ("sip:alice@10.0.0.5:5060", 1, "contact", False),
        ("sip:alice@198.51.100.7:5070", 1, "observed", True),
        ("sip:alice@198.51.100.7;transport=tcp", 1, "auto", False),  # it wants TCP
    ],
)
def test_a_private_contact_is_called_where_it_came_from__behaviour_8(contact: str, hops: int, policy: ContactPolicy, by_flow: bool) -> None:
    binding = Binding("alice", contact, "c", 1, PHONE, NOW + 60, hops=hops)
    assert binding.place(policy) == (PHONE if by_flow else None)


def test_a_phone_behind_a_connection_is_called_over_it__rfc5626_5_3() -> None:
    binding = Binding("alice", "sip:alice@10.0.0.5;transport=tcp", "c", 1, BY_TCP, NOW + 60)
    assert binding.place("auto") == binding.place("contact") == BY_TCP
    after_a_restart = replace(binding, flow=replace(BY_TCP, connection=0))
    assert after_a_restart.place("auto") is None
