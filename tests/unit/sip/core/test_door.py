"""The door: who may come from anywhere proves who it is, and whoever cannot leaves nothing behind (RFC 3261 22, behaviour.md 8, 1.3)."""

from __future__ import annotations

import pytest

from sip.core.door import Account
from sip.core.events import Dropped, InviteReceived, RegistrationChanged
from sip.core.flows import Address, Flow
from sip.message import Request, Response
from tests.support.core import ALL_ZERO, OURS, UDP, invite, request, to_tag
from tests.support.digest import parameters
from tests.unit.sip.core.phones import OTHER, PHONE, Office, Table, challenge_of, register, secrets_of, with_answer

FROM_ALICE = [("From", "<sip:alice@192.0.2.1>;tag=alicetag")]


def calls(office: Office, message: Request, *, password: str = "wonderland", flow: Flow = PHONE, user: str = "alice") -> Response:
    """An INVITE with credentials: the first answer to it."""
    challenge = office.ask(message, flow)
    assert challenge.status == 407
    office.give(with_answer(message, challenge, user, password, cseq=2), flow)
    answer = office.sent()[0].message
    assert isinstance(answer, Response)
    return answer


# --- proofs -------------------------------------------------------------------------------------------------------------


def test_a_register_without_credentials_is_challenged_and_leaves_nothing__behaviour_8() -> None:
    office = Office()
    answer = office.ask(register())
    assert answer.status == 407
    assert [parameters(value)["algorithm"] for value in answer.headers.get_all("Proxy-Authenticate")] == ["SHA-256", "MD5"]
    assert office.endpoint.counts() == ALL_ZERO
    assert office.endpoint.next_deadline() is None
    assert len(office.registrar.bindings) == 0
    assert not office.all(Dropped)  # what every phone does is nothing to tell


def test_a_registrar_may_challenge_with_401__rfc3261_22_2() -> None:
    office = Office(challenge="401")
    first = register(cseq=1)
    challenge = office.ask(first)
    assert (challenge.status, len(challenge.headers.get_all("WWW-Authenticate"))) == (401, 2)
    assert office.ask(with_answer(first, challenge, "alice", "wonderland", cseq=2)).status == 200
    assert office.ask(invite(headers=FROM_ALICE), PHONE).status == 407  # always: behaviour.md 1.3


@pytest.mark.parametrize("algorithm", ["SHA-256", "MD5"])
def test_either_algorithm_registers__rfc8760_2(algorithm: str) -> None:
    office = Office()
    first = register()
    answer = office.ask(with_answer(first, office.ask(first), "alice", "wonderland", cseq=2, algorithm=algorithm))
    assert answer.status == 200
    assert office.last(RegistrationChanged).binding.client == "alice"


def test_a_wrong_password_and_an_unknown_client_look_the_same__behaviour_8() -> None:
    office = Office()
    told = []
    for user in ("alice", "nobody"):
        first = register(user, cseq=1)
        challenge = office.ask(first)
        answer = office.ask(with_answer(first, challenge, user, "guess", cseq=2))
        told.append((challenge.status, len(challenge.headers.get_all("Proxy-Authenticate")), answer.status, answer.reason))
    assert told == [(407, 2, 403, "Forbidden")] * 2
    assert [one.detail for one in office.all(Dropped)] == ["REGISTER: alice: wrong password", "REGISTER: nobody: no such client"]
    assert office.endpoint.counts() == ALL_ZERO


def test_the_authenticated_user_owns_its_address_only__rfc3261_10_3__trap34() -> None:
    office = Office()
    first = register("bob")
    challenge = office.ask(first)
    assert office.ask(with_answer(first, challenge, "alice", "wonderland", cseq=2)).status == 403
    assert len(office.registrar.bindings) == 0
    stolen = invite(headers=[("From", "<sip:bob@192.0.2.1>;tag=x")])
    assert calls(office, stolen).status == 403


def test_a_client_that_is_switched_off_is_403__behaviour_1_3() -> None:
    office = Office(Table({"alice": Account(secrets_of("alice", "wonderland"), active=False)}))
    first = register()
    answer = office.ask(with_answer(first, office.ask(first), "alice", "wonderland", cseq=2))
    assert (answer.status, answer.reason) == (403, "Account is not ACTIVE")


def test_a_stale_nonce_is_asked_anew_with_stale_true__rfc7616_3_3__trap33() -> None:
    office = Office(nonce_s=30)
    first = register()
    challenge = office.ask(first)
    office.pass_time(31)
    again = office.ask(with_answer(first, challenge, "alice", "wonderland", cseq=2))
    assert again.status == 407
    assert parameters(challenge_of(again))["stale"] == "true"
    assert office.ask(with_answer(first, again, "alice", "wonderland", cseq=3)).status == 200


def test_a_replayed_register_changes_nothing__rfc7616_3_4__trap33() -> None:
    office = Office()
    first = register(expires="0")
    challenge = office.ask(first)
    signed = with_answer(first, challenge, "alice", "wonderland", cseq=2)
    assert office.ask(signed).status == 200
    office.register()
    again = signed.headers.copy()
    again.set("Via", "SIP/2.0/UDP 10.0.0.5:5060;branch=z9hG4bKreplayed;rport")
    answer = office.ask(Request("REGISTER", signed.uri, again))
    assert (answer.status, parameters(challenge_of(answer))["stale"]) == (407, "true")
    assert len(office.registrar.bindings) == 1


def test_a_repeated_register_gets_the_same_answer__rfc3261_17_2_2__trap7() -> None:
    """A retransmission is no replay."""
    office = Office()
    first = register()
    signed = with_answer(first, office.ask(first), "alice", "wonderland", cseq=2)
    office.give(signed, PHONE)
    office.give(signed, PHONE)
    one, other = office.sent()
    assert one.data == other.data
    assert len(office.all(RegistrationChanged)) == 1


# --- calls --------------------------------------------------------------------------------------------------------------


def test_an_invite_of_a_client_is_407_and_then_a_call_of_it__behaviour_1_3() -> None:
    office = Office()
    assert calls(office, invite(headers=FROM_ALICE)).status == 100
    event = office.last(InviteReceived)
    assert event.client == "alice"
    shown = [trace.summary.partition(" (")[0] for trace in event.traces]
    assert shown == ["INVITE sip:bob@192.0.2.1", "407 Proxy Authentication Required", "INVITE sip:bob@192.0.2.1", "100 Trying"]


def test_its_ack_and_cancel_are_not_challenged__rfc3261_22_1__trap14() -> None:
    office = Office()
    message = invite(headers=FROM_ALICE)
    challenge = office.ask(message, PHONE)
    office.give(request("ACK", headers=FROM_ALICE, to_tag=to_tag(challenge)), PHONE)
    assert office.statuses() == []
    signed = with_answer(message, challenge, "alice", "wonderland", cseq=2)
    office.give(signed, PHONE)
    cancel = signed.headers.copy()
    cancel.set("CSeq", "2 CANCEL")
    office.sent()
    office.give(Request("CANCEL", signed.uri, cancel), PHONE)
    assert office.statuses() == [200]


def test_a_stranger_that_is_no_client_is_challenged_too_and_never_let_in() -> None:
    office = Office()
    answer = office.ask(invite(headers=[("From", "<sip:1000@203.0.113.9>;tag=x")]), PHONE)
    assert answer.status == 407
    assert office.events() == []
    assert office.endpoint.counts() == ALL_ZERO


def test_a_trunks_call_is_its_own_unless_it_says_it_is_a_clients__behaviour_1_3() -> None:
    """By the From: its user, and its domain (behaviour.md 1.2)."""
    office = Office()
    for said, expected in (
        ("sip:alice@example.net", 100),  # somebody else's alice
        ("sip:+12025550143@192.0.2.1", 100),
        ("sip:alice@192.0.2.1", 407),
        ("sip:alice@pbx.example", 407),  # the domain of the Request-URI
    ):
        uri = "sip:bob@pbx.example" if "pbx" in said else "sip:bob@192.0.2.1"
        message = invite(uri=uri, call_id=said, branch=f"z9hG4bK{said[4:9]}{expected}{len(said)}", headers=[("From", f"<{said}>;tag=x")])
        office.sent()
        office.give(message, UDP)
        assert office.statuses()[0] == expected, said


def test_without_clients_strangers_are_strangers() -> None:
    office = Office(Table({}))
    assert office.ask(register()).status == 403
    assert office.ask(invite(headers=FROM_ALICE), OTHER).status == 403
    assert office.ask(register(flow=UDP), UDP).status == 403  # a trunk's address may not register either


# --- floods -------------------------------------------------------------------------------------------------------------


def test_a_source_has_its_budget_and_then_silence__rfc3261_26_1_5() -> None:
    office = Office(max_per_source=5)
    for number in range(50):
        office.give(register(cseq=number + 1, call_id=f"flood-{number}"), PHONE)
    assert office.statuses() == [407] * 5
    office.give(register(call_id="other"), OTHER)
    assert office.statuses() == [407]
    office.pass_time(1.0)
    office.give(register(call_id="later"), PHONE)
    assert office.statuses() == [407]
    assert office.endpoint.counts() == ALL_ZERO
    assert office.door.counts == {"challenged": 7, "denied": 0, "silenced": 45}


def test_all_strangers_together_have_one_and_phones_are_beside_it() -> None:
    office = Office(max_per_second=10)
    office.register()
    office.pass_time(5)
    for number in range(40):
        source = Flow("udp", OURS, Address(f"203.0.113.{number + 1}", 5060))
        office.give(register(call_id=f"flood-{number}"), source)
    assert len(office.statuses()) == 10
    assert office.ask(register(call_id="again")).status == 407  # from where a phone is registered


def test_addresses_are_remembered_within_bounds() -> None:
    office = Office(max_sources=20, max_per_second=1000)
    for number in range(100):
        office.give(register(call_id=f"f{number}"), Flow("udp", OURS, Address(f"203.0.113.{number + 1}", 5060)))
    assert len(office.door) == 20


def guess(office: Office, times: int, flow: Flow = PHONE) -> None:
    for number in range(times):
        first = register(cseq=1, call_id=f"guess-{number}")
        office.give(first, flow)
        answers = [one.message for one in office.sent() if isinstance(one.message, Response)]
        if answers:
            office.give(with_answer(first, answers[0], "alice", f"guess-{number}", cseq=2), flow)
            office.sent()
        office.pass_time(0.1)


def test_who_guesses_passwords_is_banned_for_a_while__behaviour_8() -> None:
    office = Office(max_failures=5, ban_s=60)
    guess(office, 20)
    banned = [one for one in office.all(Dropped) if one.reason == "guesser_banned"]
    assert len(banned) == 1
    assert sum(one.reason == "denied" for one in office.all(Dropped)) == 6
    office.give(register(), PHONE)
    office.give(request("OPTIONS"), PHONE)
    assert office.statuses() == []
    assert office.endpoint.strangers()["banned"] == 1
    assert office.ask(register(), OTHER).status == 407
    office.pass_time(60)
    assert office.register().status == 200


def test_a_trunks_address_is_not_banned() -> None:
    """A proxy in front of us speaks for many phones."""
    office = Office(max_failures=5)
    guess(office, 20, UDP)
    assert office.ask(register(flow=UDP), UDP).status == 407


def test_now_and_then_a_wrong_password_bans_nobody() -> None:
    office = Office(max_failures=5)
    for _ in range(20):
        guess(office, 1)
        office.pass_time(12)
    assert office.ask(register()).status == 407


def test_a_ban_does_not_end_a_call() -> None:
    office = Office(max_failures=1, ban_s=60)
    assert calls(office, invite(headers=FROM_ALICE)).status == 100
    guess(office, 5)
    office.sent()
    office.give(request("BYE", cseq=3, to_tag="unknown", headers=FROM_ALICE), PHONE)
    assert office.statuses() == []  # of no call: silence
    from sip.core.commands import SendProvisional

    office.do(SendProvisional(office.session, 180))
    ringing = office.sent_response()
    office.give(request("BYE", cseq=3, to_tag=to_tag(ringing), headers=FROM_ALICE), PHONE)
    assert office.statuses() == [200]


# --- by a connection ----------------------------------------------------------------------------------------------------


def test_over_a_connection_the_same_holds() -> None:
    office = Office(max_per_source=3)
    by_tcp = Flow("tcp", OURS, Address("198.51.100.7", 40001), 9)
    office.endpoint.connection_opened(by_tcp, office.now)
    assert office.register(flow=by_tcp).status == 200
    for number in range(10):
        office.give(register(call_id=f"flood-{number}", flow=by_tcp), by_tcp)
    assert office.statuses() == [407]  # and the connection stays: its phone is registered by it
    assert len(office.registrar.bindings) == 1
