"""Any octets at the door, signed or not, leave the registrar running; what it keeps is a client's, within bounds, and can be let go of."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sip.core.flows import Transmit
from sip.core.registrar import KeepClients
from sip.message import Request, Response, build_message, parse_message
from tests.fuzz.test_endpoint import Mutation, check_sip, mutate, mutations
from tests.support.core import ALL_ZERO, UDP, invite
from tests.unit.sip.core.phones import OTHER, PASSWORDS, PHONE, Office, next_number, register, with_answer

pytestmark = pytest.mark.fuzz

CONTACTS: tuple[list[str], ...] = (
    ["<sip:alice@10.0.0.5:5060>"],
    ['<sip:alice@10.0.0.5>;+sip.instance="<urn:uuid:1>";reg-id=1;expires=60', "<sip:alice@198.51.100.7;transport=tcp>"],
    ["*"],
    [],
    ["<sips:alice@[2001:db8::1]:99;maddr=10.1.1.1>;q=0.5;expires=4294967295"],
)
FLOWS = (PHONE, OTHER, UDP)
steps: st.SearchStrategy[tuple[str, int, int, list[Mutation]]] = st.one_of(
    st.tuples(st.just("register"), st.integers(0, 4), st.integers(0, 2), mutations),
    st.tuples(st.just("invite"), st.integers(0, 4), st.integers(0, 2), mutations),
    st.tuples(st.just("time"), st.integers(0, 120), st.integers(0, 0), st.just([])),
)


@given(st.lists(st.tuples(steps, st.booleans()), max_size=12))
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_octets_at_the_door_leave_the_registrar_running(game: list[tuple[tuple[str, int, int, list[Mutation]], bool]]) -> None:
    office = Office(max_contacts=3, min_expires_s=1)
    for (kind, which, where, plan), signed in game:
        if kind == "time":
            office.pass_time(float(which))
            continue
        flow = FLOWS[where]
        user = ("alice", "bob")[which % 2]
        number = next_number()
        message: Request
        if kind == "register":
            message = register(user, cseq=number, flow=flow, contacts=CONTACTS[which], expires=(None, "0", "60")[where])
        else:
            from_client = [("From", f"<sip:{user}@192.0.2.1>;tag=t")]
            message = invite(branch=f"z9hG4bK{number}", call_id=f"c{number}", headers=from_client)
        if signed:
            answers = [parse_message(one.data) for one in office.give(message, flow) if isinstance(one, Transmit)]
            challenges = [one for one in answers if isinstance(one, Response) and one.status == 407]
            if challenges:
                message = with_answer(message, challenges[0], user, PASSWORDS[user], cseq=number + 1)
        office.give(mutate(build_message(message), plan), flow)
        assert {one.client for one in office.registrar.bindings} <= {"alice", "bob"}
        assert all(len(office.registrar.bindings.of(user)) <= 3 for user in PASSWORDS)
    for transmit in office.all(Transmit):
        check_sip(transmit.data, transmit.flow.reliable)
    office.do(KeepClients(frozenset()))
    assert len(office.registrar.bindings) == 0
    office.pass_time(300)
    left = office.endpoint.counts()
    assert {name: count for name, count in left.items() if name not in ("sessions", "dialogs", "timers", "transactions")} == {
        name: 0 for name in ALL_ZERO if name not in ("sessions", "dialogs", "timers", "transactions")
    }
