"""One registration with a trunk, in virtual time (RFC 3261 10.2)."""

from __future__ import annotations

import pytest

from server.trunks.registration import Registration, State, granted
from sip.core.events import FailureCause
from sip.core.flows import Address, Flow
from sip.message import Headers, Response
from tests.unit.server.trunks.answering import FLOW, GATEWAY, SECOND, account, answer, exchanges, sent, silence, told

CONTACT = ("Contact", "<sip:line1@192.0.2.1:5060;transport=tcp>;expires=600")


def registration(**changes: object) -> Registration:
    return Registration(account(**changes), "call-id-1", exchanges(), lambda low, high: high)


def registered(**changes: object) -> Registration:
    one = registration(**changes)
    assert told(one.answered(answer(sent(one.start(0.0)), 200, CONTACT), 0.0)) == ["trunk_registered"]
    return one


def test_a_register_names_address_registrar_and_interval__rfc3261_10_2() -> None:
    command = sent(registration(expires_s=1800).start(0.0))
    assert (command.method, command.request_uri) == ("REGISTER", "sip:gw.example.com;transport=tcp")
    assert command.from_uri == command.to_uri == "sip:line1@carrier.example"
    assert (command.contact_user, command.headers, command.call_id, command.cseq) == ("line1", (("Expires", "1800"),), "call-id-1", 1)
    assert command.credentials is not None


def test_it_is_refreshed_before_it_expires_under_the_next_number__rfc3261_10_2_4() -> None:
    one = registered()
    assert one.deadline == 540.0
    assert one.timeout(539.0) == []
    again = sent(one.timeout(540.0))
    assert (again.call_id, again.cseq) == ("call-id-1", 2)
    assert one.registered, "as long as nobody says otherwise"
    assert told(one.answered(answer(again, 200, CONTACT, cseq=3), 541.0)) == [], "no news"
    assert sent(one.timeout(1081.0)).cseq == 4, "the challenge has taken a number"


def test_the_seconds_are_those_of_our_own_contact__rfc3261_10_3() -> None:
    def of(*headers: tuple[str, str]) -> int | None:
        return granted(Response(200, "OK", Headers([("Via", "SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKx"), *headers])), "line1")

    other = ("Contact", "<sip:line1@198.51.100.9:5060>;expires=30")
    assert of(other, ("Contact", "<sip:line1@192.0.2.1:5060>;expires=1200")) == 1200
    assert of(("Contact", "<sip:line1@203.0.113.1:1024>;expires=120")) == 120, "rewritten by a NAT box on the way"
    assert of(("Contact", "<sip:line1@192.0.2.1:5060>"), ("Expires", "90")) == 90
    assert of(("Contact", "<sip:other@192.0.2.1:5060>;expires=7"), ("Expires", "90")) == 90
    assert of(("Contact", "rubbish<"), ("Contact", "<sip:line1@192.0.2.1:5060>;expires=soon")) is None
    assert of() is None


def test_too_brief_is_tried_again_once_with_what_is_wanted__rfc3261_10_3() -> None:
    one = registration(expires_s=60)
    again = sent(one.answered(answer(sent(one.start(0.0)), 423, ("Min-Expires", "1800")), 0.0))
    assert again.headers == (("Expires", "1800"),)
    assert told(one.answered(answer(again, 423, ("Min-Expires", "3600")), 0.0)) == ["trunk_not_registered"]
    assert one.state is State.WAITING


@pytest.mark.parametrize("status", [401, 403, 407])
def test_wrong_credentials_are_not_insisted_on(status: int) -> None:
    one = registration()
    assert told(one.answered(answer(sent(one.start(0.0)), status), 0.0)) == ["trunk_not_registered"]
    assert one.deadline is not None
    assert one.deadline >= 300.0
    assert not one.registered


def test_failures_are_waited_for_longer_each_time__rfc5626_4_5() -> None:
    one, now, waits = registration(), 0.0, []
    command = sent(one.start(now))
    for _ in range(9):
        one.answered(silence(command), now)
        assert one.deadline is not None
        waits.append(one.deadline - now)
        now = one.deadline
        command = sent(one.timeout(now))
    assert waits == [30, 60, 120, 240, 480, 960, 1800, 1800, 1800]


def test_retry_after_is_heeded_within_reason__rfc3261_20_33() -> None:
    one = registration()
    one.answered(answer(sent(one.start(0.0)), 503, ("Retry-After", "120 (maintenance)")), 0.0)
    assert one.deadline == 120.0
    other = registration()
    other.answered(answer(sent(other.start(0.0)), 503, ("Retry-After", "99999999")), 0.0)
    assert other.deadline == 1800.0


@pytest.mark.parametrize("how", ["silence", "503"])
def test_the_next_registrar_is_tried_at_once(how: str) -> None:
    one = registration(registrars=(GATEWAY, SECOND))
    first = sent(one.start(0.0))
    second = sent(one.answered(silence(first, FailureCause.TRANSPORT) if how == "silence" else answer(first, 503), 0.0))
    assert second.request_uri == SECOND
    assert told(one.answered(silence(second), 1.0)) == ["trunk_not_registered"], "all have been tried"
    assert sent(one.timeout(31.0)).request_uri == "sip:gw.example.com;transport=tcp"


def test_a_refusal_is_not_taken_elsewhere() -> None:
    one = registration(registrars=(GATEWAY, SECOND))
    assert told(one.answered(answer(sent(one.start(0.0)), 403), 0.0)) == ["trunk_not_registered"]


def test_a_lost_connection_is_replaced_at_once__rfc5626_4_4() -> None:
    one = registered()
    assert one.lost(Flow("tcp", FLOW.local, Address("192.0.2.99", 5060), 9), 10.0) == []
    assert sent(one.lost(FLOW, 10.0)).cseq == 2
    assert one.lost(FLOW, 10.1) == [], "it is on its way already"


def test_a_lost_connection_before_the_first_answer_is_the_answers_matter() -> None:
    one = registration()
    one.start(0.0)
    assert one.lost(FLOW, 1.0) == []


def test_leaving_takes_the_binding_back__rfc3261_10_2_2() -> None:
    one = registered()
    command = sent(one.leave(100.0))
    assert command.headers == (("Expires", "0"),)
    assert one.leave(100.0) == []
    one.answered(silence(command), 132.0)
    assert (one.state, one.deadline) == (State.GONE, None)


def test_leaving_what_never_was_says_nothing() -> None:
    one = registration()
    one.answered(silence(sent(one.start(0.0))), 0.0)
    assert one.leave(1.0) == []
    assert one.state is State.GONE


def test_leaving_within_a_request_takes_back_what_it_may_have_made() -> None:
    one = registration()
    first = sent(one.start(0.0))
    last = sent(one.leave(0.1))
    assert one.answered(answer(first, 200, CONTACT), 0.2) == [], "nobody waits for it any more"
    one.answered(answer(last, 200), 0.3)
    assert one.state is State.GONE


def test_a_registrar_that_drops_the_binding_has_not_registered_us() -> None:
    one = registration()
    answered = answer(sent(one.start(0.0)), 200, ("Contact", "<sip:line1@192.0.2.1:5060>;expires=0"))
    assert told(one.answered(answered, 0.0)) == ["trunk_not_registered"]


def test_a_granted_second_makes_no_storm() -> None:
    one = registration()
    one.answered(answer(sent(one.start(0.0)), 200, ("Contact", "<sip:line1@192.0.2.1:5060>;expires=1")), 0.0)
    assert one.deadline == 1.0
