"""Calls to clients and of clients: one branch for each phone, phones that die, calls without an application (behaviour.md 2.4, 1.3, 8)."""

from __future__ import annotations

from server.calls.effects import Log
from server.calls.phones import Way, name_of
from server.calls.policy import Application
from sip.core import commands, events, flows
from sip.core.bindings import Binding, Change
from tests.support.descriptions import sdp
from tests.unit.server.calls.bench import IN, ONE, Bench, dial

OURS = flows.Address("192.0.2.1", 5060)


def flow(number: int) -> flows.Flow:
    return flows.Flow("udp", OURS, flows.Address(f"198.51.100.{number}", 40000 + number))


def way(number: int, client: str = "alice") -> Way:
    return Way(f"sip:{client}@10.0.0.{number}:5060", flow(number), name_of(client, flow(number)), flow(number).remote.host, "udp")


class Table:
    """Clients and their phones."""

    def __init__(self, **phones: tuple[tuple[Way, ...], ...]) -> None:
        self.phones = phones

    def find(self, client: str) -> tuple[tuple[Way, ...], ...] | None:
        return self.phones.get(client)


def binding(number: int, client: str = "alice") -> Binding:
    return Binding(client, f"sip:{client}@10.0.0.{number}:5060", "c", 1, flow(number), 1e9)


THREE_PHONES = Table(alice=((way(1),), (way(2),), (way(3),)), bob=(), carol=((way(7, "carol"),),))
ALICE = "<Client>alice?mycustomheader=foo</Client>"


def test_a_client_with_three_phones_is_three_branches_and_the_first_answer_takes_it__behaviour_2_4() -> None:
    bench = Bench(dial(ALICE), phones=THREE_PHONES)
    invites = bench.of(commands.SendInvite)
    assert [(one.request_uri, one.flow) for one in invites] == [(f"sip:alice@10.0.0.{n}:5060", flow(n)) for n in (1, 2, 3)]
    assert all(("X-mycustomheader", "foo") in one.headers for one in invites)
    assert {one.from_uri for one in invites} == {"sip:bob@server.example.com"}  # our signalling address: 2.3
    bench.progress(0)
    bench.answer(1)
    bench.run(0.2)
    assert bench.order()[-3:] == ["200", "CANCEL", "CANCEL"]
    assert [one.session for one in bench.of(commands.SendCancel)] == [bench.leg(0), bench.leg(2)]
    assert all("Call completed elsewhere" in (one.reason or "") for one in bench.of(commands.SendCancel))
    bench.bye_from(bench.leg(1))
    bench.run(1.0)
    assert (bench.action["DialCallStatus"], bench.action["DialCallSid"]) == ("completed", invites[1].session.partition(":")[0])


def test_each_phone_has_status_callbacks_of_its_own__behaviour_2_6() -> None:
    bench = Bench(dial('<Client statusCallback="http://app/status">alice</Client>'), phones=THREE_PHONES)
    bench.progress(0)
    bench.answer(1)
    bench.fail(0, 487)
    bench.fail(2, 487)
    bench.run(1.0)
    told = bench.web.of("leg-status")
    assert len({one["CallSid"] for one in told}) == 3
    assert sorted(one["CallStatus"] for one in told) == [
        "answered",
        "completed",
        "completed",
        "initiated",
        "initiated",
        "initiated",
        "ringing",
    ]
    assert {one["To"] for one in told} == {"alice"}


def test_early_media_of_one_phone_among_three_is_not_relayed__behaviour_0_1() -> None:
    bench = Bench(dial(ALICE), phones=THREE_PHONES)
    bench.progress(0, 183, sdp("192.0.2.8"))
    assert "183" not in bench.order()
    alone = Bench(dial("<Client>carol</Client>"), phones=THREE_PHONES)
    alone.progress(0, 183, sdp("192.0.2.8"))
    alone.run(1.0)
    assert "183" in alone.order()


def test_two_flows_of_a_phone_are_one_branch_with_a_way_to_fall_back_on__rfc5626_6() -> None:
    bench = Bench(dial(ALICE), phones=Table(alice=((way(1), way(2)),)))
    (invite,) = bench.of(commands.SendInvite)
    assert (invite.flow, invite.places) == (flow(1), (commands.Place("sip:alice@10.0.0.2:5060", None, flow(2)),))


def test_who_is_not_registered_fails_and_the_others_ring_on__behaviour_2_4() -> None:
    bench = Bench(dial("<Client>bob</Client>" + ONE + "<Client>ghost</Client>"), phones=THREE_PHONES)
    assert len(bench.of(commands.SendInvite)) == 1
    assert [(one.code, one.message.partition(";")[0]) for one in bench.notifications] == [
        (11008, "Client bob is not registered"),
        (11008, "Client ghost is unknown"),
    ]


def test_a_client_alone_that_is_not_there_is_480_and_one_that_nobody_knows_404__behaviour_4_3() -> None:
    for name, code in (("bob", "480"), ("ghost", "404")):
        bench = Bench(dial(f"<Client>{name}</Client>", ""), phones=THREE_PHONES)
        assert bench.order() == ["180", code], name


def test_a_caller_id_for_clients_may_be_one__behaviour_2_3() -> None:
    bench = Bench(dial("<Client>carol</Client>", 'callerId="client:thomas"'), phones=THREE_PHONES)
    assert bench.of(commands.SendInvite)[0].from_uri == "sip:thomas@server.example.com"


# --- phones that die ------------------------------------------------------------------------------------------------------


def gone(bench: Bench, number: int, change: Change = Change.UNREACHABLE, client: str = "alice") -> None:
    bench.give(events.RegistrationChanged(binding(number, client), change))


def test_a_talking_phone_that_is_dead_is_hung_up_with_its_caller__behaviour_8() -> None:
    bench = Bench(dial("<Client>carol</Client>", ""), phones=THREE_PHONES)
    bench.answer(0)
    bench.run(1.0)
    gone(bench, 7, client="carol")
    bench.run(2.0)
    byes = bench.of(commands.SendBye)
    assert [one.session for one in byes] == [bench.leg(0), IN]
    assert "Registration_Removed" in (byes[0].reason or "")


def test_a_ringing_phone_that_is_dead_is_a_failed_branch__behaviour_2_11() -> None:
    bench = Bench(dial(ALICE), phones=THREE_PHONES)
    bench.progress(0)
    gone(bench, 1)
    assert [one.session for one in bench.of(commands.SendCancel)] == [bench.leg(0)]
    gone(bench, 2)
    gone(bench, 3)
    bench.run(1.0)
    assert (bench.action["DialCallStatus"], bench.action["FailureReason"]) == ("failed", "Registration_Removed")


def test_other_phones_and_other_ends_of_a_registration_end_no_call__behaviour_8() -> None:
    bench = Bench(dial("<Client>carol</Client>", ""), phones=THREE_PHONES)
    bench.answer(0)
    bench.run(1.0)
    gone(bench, 1)
    for change in (Change.EXPIRED, Change.REMOVED, Change.DISPLACED, Change.DISCONNECTED):
        gone(bench, 7, change, client="carol")
    assert bench.of(commands.SendBye) == []


def test_a_calling_phone_that_is_dead_ends_its_call__behaviour_8() -> None:
    at = flows.Flow("udp", OURS, flows.Address("192.0.2.7", 5060))
    bench = Bench(dial(ONE, ""), client="bob")
    bench.answer(0)
    bench.run(1.0)
    bench.give(events.RegistrationChanged(Binding("bob", "sip:bob@10.0.0.1", "c", 1, at, 1e9), Change.UNREACHABLE))
    bench.run(1.0)
    assert {one.session for one in bench.of(commands.SendBye)} == {IN, bench.leg(0)}
    assert all("Registration_Removed" in (one.reason or "") for one in bench.of(commands.SendBye))


def test_an_unanswered_call_of_a_dead_phone_ends_too() -> None:
    at = flows.Flow("udp", OURS, flows.Address("192.0.2.7", 5060))
    bench = Bench(dial(ONE, ""), client="bob")
    bench.give(events.RegistrationChanged(Binding("bob", "sip:bob@10.0.0.1", "c", 1, at, 1e9), Change.UNREACHABLE))
    bench.run(1.0)
    assert bench.order() == ["180", "INVITE", "CANCEL", "480"]


# --- without an application -----------------------------------------------------------------------------------------------


def test_a_client_calls_another_without_an_application__behaviour_1_3() -> None:
    application = Application("client:carol", "", dials="client:carol")
    bench = Bench("", application=application, phones=THREE_PHONES, client="bob", invite_headers=(("X-Tag", "7"),))
    (invite,) = bench.of(commands.SendInvite)
    assert (invite.request_uri, ("X-Tag", "7") in invite.headers) == ("sip:carol@10.0.0.7:5060", True)
    assert bench.web.requests == []
    bench.answer(0)
    bench.run(1.0)
    bench.bye_from(bench.leg(0))
    bench.run(2.0)
    assert bench.order() == ["180", "INVITE", "200", "BYE"]


def test_a_client_calls_out_by_the_trunk__behaviour_1_3() -> None:
    bench = Bench("", application=Application("+12025550143", "", dials="+12025550143"), client="bob")
    assert bench.of(commands.SendInvite)[0].request_uri == "sip:+12025550143@gw.example.com:5070"
    bench.fail(0, 486, "Busy Here")
    bench.run(1.0)
    assert bench.order()[-1] == "486"


def test_a_call_to_a_client_that_is_not_there_is_refused__behaviour_1_3() -> None:
    bench = Bench("", application=Application("client:bob", "", dials="client:bob"), phones=THREE_PHONES)
    assert bench.order() == ["180", "480"]


def test_registrations_are_told_in_the_log() -> None:
    bench = Bench(dial(ONE))
    told = [
        action
        for change in (Change.ADDED, Change.REFRESHED, Change.EXPIRED)
        for action in bench.registry.sip_event(events.RegistrationChanged(binding(1), change), bench.now)
    ]
    assert [(one.level, one.event) for one in told if isinstance(one, Log)] == [
        ("info", "client_registered"),
        ("debug", "client_refreshed"),
        ("info", "client_gone"),
    ]
