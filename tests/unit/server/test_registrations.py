"""Bindings as rows, and back in another run (behaviour 8)."""

from __future__ import annotations

from dataclasses import replace

from server.observability.clock import WallClock
from server.registrations import bindings_of, row_of
from sip.core.bindings import Binding, Change
from sip.core.flows import Address, Flow, Listener

OURS = Address("192.0.2.1", 5060)
LISTENERS = (Listener("udp", OURS, OURS), Listener("tcp", OURS, OURS))
NEAR = Flow("udp", OURS, Address("198.51.100.7", 40123))
BY_TCP = Flow("tcp", OURS, Address("198.51.100.7", 41000), 9)
ALICE = Binding("alice", "sip:alice@10.0.0.5:5060", "c1", 7, NEAR, 1600.0, 1, "urn:uuid:1", 2, "Phone/1")
BEFORE, AFTER = WallClock(1000.0, 1_800_000_000.0), WallClock(50.0, 1_800_000_060.0)  # a minute between the two


def test_a_binding_comes_back_with_what_is_left_of_its_time() -> None:
    row = row_of(ALICE, Change.ADDED, "ID1", BEFORE, 1000.0)
    assert list(bindings_of([row], LISTENERS, AFTER, 50.0)) == [replace(ALICE, expires_at=50.0 + 540.0)]


def test_what_is_gone_is_the_same_row_and_has_expired() -> None:
    added = row_of(ALICE, Change.ADDED, "ID1", BEFORE, 1000.0)
    for change in (Change.REMOVED, Change.EXPIRED, Change.UNREACHABLE, Change.DISPLACED, Change.DISCONNECTED, Change.WITHDRAWN):
        gone = row_of(ALICE, change, "ID1", BEFORE, 1010.0)
        assert (gone.sid, gone.expires_at) == (added.sid, BEFORE.at(1010.0))


def test_the_same_registration_is_the_same_row_and_others_are_not() -> None:
    sid = row_of(ALICE, Change.ADDED, "ID1", BEFORE, 1000.0).sid
    moved = replace(ALICE, contact="sip:alice@10.9.9.9", cseq=8)  # its instance tells
    assert row_of(moved, Change.REFRESHED, "ID1", BEFORE, 1000.0).sid == sid
    others = (replace(ALICE, client="bob"), replace(ALICE, instance="urn:uuid:2"), replace(ALICE, reg_id=3), replace(ALICE, instance=""))
    assert sid not in {row_of(other, Change.ADDED, "ID1", BEFORE, 1000.0).sid for other in others}
    assert row_of(ALICE, Change.ADDED, "ID2", BEFORE, 1000.0).sid != sid
    assert len(sid) <= 64


def test_a_phone_behind_a_connection_must_come_back_by_itself__rfc5626_5_3() -> None:
    hidden = replace(ALICE, flow=BY_TCP, contact="sip:alice@10.0.0.5;transport=tcp")
    open_ = replace(hidden, contact="sip:alice@198.51.100.7:5060;transport=tcp", instance="urn:uuid:3")
    rows = [row_of(one, Change.ADDED, "ID1", BEFORE, 1000.0) for one in (hidden, open_)]
    (kept,) = bindings_of(rows, LISTENERS, AFTER, 50.0)
    assert (kept.contact, kept.flow.connection, kept.place("auto")) == (open_.contact, 0, None)


def test_a_socket_that_is_gone_is_replaced_by_one_of_ours() -> None:
    row = row_of(ALICE, Change.ADDED, "ID1", BEFORE, 1000.0)
    other = Address("192.0.2.9", 5080)
    (kept,) = bindings_of([row], (Listener("udp", other, other),), AFTER, 50.0)
    assert kept.flow == replace(NEAR, local=other)
    assert list(bindings_of([replace(row, transport="tls")], LISTENERS, AFTER, 50.0)) == []
