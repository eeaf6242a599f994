"""The registrar in its endpoint: answers, events, time, connections, OPTIONS (behaviour.md 8, RFC 3261 10.3, RFC 5626)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sip.core.bindings import Change
from sip.core.events import RegistrationChanged
from sip.core.flows import Address, Flow
from sip.core.registrar import KeepClients, Restore
from sip.message import Request
from tests.support.core import ALL_ZERO, OURS, reply, request
from tests.unit.sip.core.phones import PHONE, Office

BY_TCP = Flow("tcp", OURS, Address("198.51.100.7", 40001), 9)


def told(office: Office) -> list[Change]:
    return [event.change for event in office.events() if isinstance(event, RegistrationChanged)]


def options(office: Office) -> Request:
    return office.sent_request("OPTIONS")


def test_a_register_is_answered_with_its_binding__behaviour_8() -> None:
    office = Office(ping_s=0)
    answer = office.register(expires="600")
    assert (answer.status, answer.headers.get_all("Contact")) == (200, ["<sip:alice@10.0.0.5:5060>;expires=600"])
    assert told(office) == [Change.ADDED]
    office.register(expires="600")
    assert told(office) == [Change.REFRESHED]
    office.register(expires="0")
    assert told(office) == [Change.REMOVED]
    assert office.registrar.counts == {"registered": 3, "refused": 0, "pings": 0}


def test_a_binding_expires_and_is_told_once() -> None:
    office = Office(ping_s=0)
    office.register(expires="60")
    office.pass_time(59)
    assert told(office) == [Change.ADDED]
    office.pass_time(2)
    assert told(office) == [Change.EXPIRED]
    office.pass_time(100)
    assert told(office) == []
    assert office.endpoint.counts() == ALL_ZERO


def test_a_refresh_puts_the_end_off() -> None:
    office = Office(ping_s=0)
    office.register(expires="60")
    office.pass_time(50)
    office.register(expires="60")
    office.pass_time(50)
    assert told(office) == [Change.ADDED, Change.REFRESHED]


def test_a_refused_register_is_counted() -> None:
    office = Office(ping_s=0)
    assert office.register(expires="10").status == 423
    assert office.registrar.counts["refused"] == 1


def test_a_phone_is_let_past_the_gate_where_it_has_registered() -> None:
    office = Office(ping_s=0)
    assert not office.endpoint.admits("198.51.100.7")
    office.register()
    assert office.endpoint.admits("198.51.100.7")
    answer = office.ask(request("OPTIONS"))  # a keep-alive of the phone's own
    assert "INVITE" in (answer.headers.get("Allow") or "")
    office.register(expires="0")
    assert not office.endpoint.admits("198.51.100.7")


# --- connections --------------------------------------------------------------------------------------------------------


def test_a_phone_is_gone_with_its_connection__rfc5626_5_3() -> None:
    office = Office(ping_s=0)
    office.endpoint.connection_opened(BY_TCP, office.now)
    office.register(flow=BY_TCP)
    office.lose(replace(BY_TCP, connection=8))
    assert told(office) == [Change.ADDED]
    office.lose(BY_TCP)
    assert told(office) == [Change.DISCONNECTED]
    assert len(office.registrar.bindings) == 0


# --- OPTIONS ------------------------------------------------------------------------------------------------------------


def test_a_phone_is_asked_by_the_flow_of_its_register_and_stays_as_long_as_it_answers__behaviour_8() -> None:
    office = Office(ping_s=60)
    office.register()
    office.sent()
    for _ in range(3):
        office.pass_time(59.9)
        assert office.sent() == []
        office.pass_time(0.2)
        (sent,) = office.sent()
        assert sent.flow == PHONE
        assert isinstance(sent.message, Request)
        assert (sent.message.method, sent.message.uri) == ("OPTIONS", "sip:alice@10.0.0.5:5060")
        assert (sent.message.headers.get("From") or "").startswith("<sip:dialplane@192.0.2.1>")
        office.give(reply(sent.message, 200), PHONE)
    assert told(office) == [Change.ADDED]


@pytest.mark.parametrize(
    ("status", "lives"),
    [(200, True), (400, True), (401, True), (405, True), (486, True), (501, True), (600, True), (404, False), (408, False), (503, False)],
)
def test_what_an_answer_says_of_the_phone__behaviour_8(status: int, lives: bool) -> None:
    office = Office(ping_s=60)
    office.register()
    office.sent()
    office.pass_time(60)
    office.give(reply(options(office), status), PHONE)
    assert told(office) == ([Change.ADDED] if lives else [Change.ADDED, Change.UNREACHABLE])


def test_a_phone_that_says_nothing_is_forgotten__behaviour_8() -> None:
    office = Office(ping_s=60)
    office.register()
    office.pass_time(60 + 33)
    assert told(office) == [Change.ADDED, Change.UNREACHABLE]
    office.settle()


def test_what_cannot_be_sent_is_no_phone__behaviour_8() -> None:
    office = Office(ping_s=60)
    office.register()
    office.pass_time(60)
    office.fail(PHONE)
    assert told(office) == [Change.ADDED, Change.UNREACHABLE]


def test_who_registers_while_it_is_asked_is_alive() -> None:
    office = Office(ping_s=60)
    office.register()
    office.sent()
    office.pass_time(60)
    asked = options(office)
    office.register()
    office.give(reply(asked, 503), PHONE)
    assert told(office) == [Change.ADDED, Change.REFRESHED]
    office.sent()
    office.pass_time(60)
    options(office)


def test_refreshing_often_asks_no_more_often() -> None:
    office = Office(ping_s=60)
    for _ in range(20):
        office.register()
        office.pass_time(10)
    assert office.registrar.counts["pings"] == 0
    office.pass_time(51)
    assert office.registrar.counts["pings"] == 1


def test_a_phone_that_has_gone_is_not_asked_and_a_late_answer_is_nothing() -> None:
    office = Office(ping_s=60)
    office.register()
    office.sent()
    office.pass_time(60)
    asked = options(office)
    office.register(expires="0")
    assert told(office) == [Change.ADDED, Change.REMOVED]
    office.give(reply(asked, 404), PHONE)
    assert told(office) == []
    office.settle()


def test_a_contact_that_cannot_be_written_to_ends_its_binding() -> None:
    office = Office(ping_s=60)
    office.register(contact="<sip:alice@10.0.0.5;x=\x7fy>")
    office.pass_time(100)
    assert len(office.registrar.bindings) == 0


# --- restart, withdrawal ------------------------------------------------------------------------------------------------


def test_bindings_of_an_earlier_run_are_taken_over_and_asked_one_after_the_other() -> None:
    before = Office(ping_s=60)
    for number in range(10):
        before.register(contact=f"<sip:alice@10.0.0.{number}>", call_id=f"c{number}", expires="600")
    office = Office(ping_s=60)
    office.do(Restore(tuple(before.registrar.bindings)))
    assert len(office.registrar.bindings) == 10
    assert told(office) == []  # nothing has changed
    assert office.endpoint.admits("198.51.100.7")
    office.pass_time(30)
    assert office.registrar.counts["pings"] == 5
    office.do(Restore(tuple(replace(one, client="bob", expires_at=office.now) for one in before.registrar.bindings)))
    assert office.registrar.bindings.of("bob") == ()  # over by now


def test_a_client_that_is_taken_out_of_the_configuration_loses_its_phones() -> None:
    office = Office(ping_s=0)
    office.register()
    office.register(user="bob", call_id="bobs")
    office.do(KeepClients(frozenset(("bob", "carol"))))
    assert told(office) == [Change.ADDED, Change.ADDED, Change.WITHDRAWN]
    assert [one.client for one in office.registrar.bindings] == ["bob"]


def test_any_nonsense_in_a_register_is_answered() -> None:
    office = Office(ping_s=0)
    for number, contact in enumerate(("<sip:alice@[::1]:99999>", "<sip:al ice@x>", '"', ";;;", "<>", "<sip:alice@10.0.0.5>;q=;expires=")):
        answer = office.register(contact=contact, call_id=f"n{number}")
        assert answer.status in (200, 400), contact


def test_what_has_registered_already_is_newer_than_what_was_kept() -> None:
    before = Office(ping_s=0)
    before.register(expires="600")
    office = Office(ping_s=0)
    office.register(expires="900", call_id="newer")
    office.do(Restore(tuple(before.registrar.bindings)))
    assert [one.call_id for one in office.registrar.bindings] == ["newer"]
