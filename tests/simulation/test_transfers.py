"""Calls that one of their parties hands over (REFER): who meets whom, who is told what, and what the application hears.

Whole SIP endpoints, in virtual time. The caller is bob, whom the document connects with ann; the transfer's target is carol.
"""

from __future__ import annotations

import pytest

from media import engine
from server.calls.effects import Fetched
from server.calls.policy import Application
from server.calls.records import By, Cause
from sip.core.commands import SendAnswer, SendReinvite
from sip.core.refer import Refer
from sip.core.referring import ReferId, SendRefer
from tests.simulation.test_legs import at_rest, dial, record_of, talking
from tests.simulation.world import CALLER, VOICE_URL, Phone, Script, World
from tests.support.descriptions import sdp

pytestmark = pytest.mark.simulation

ANN, CAROL, DAVE = "10.0.1.1", "10.0.1.3", "10.0.1.4"
REFER_URL = "http://app/refer"
TARGET = f"sip:carol@{CAROL}"
NUMBER = Application("2222", VOICE_URL, status_callback="http://app/status", refer_url=REFER_URL)


def world_of(
    seed: int = 1, carol: Script | None = None, application: Application = NUMBER, **given: object
) -> tuple[World, Phone, Phone, Phone]:
    """(world, bob, ann, carol): bob calls, ann answers after a second."""
    world = World(seed, application=application, **given)  # type: ignore[arg-type]
    bob = world.caller = world.phone(CALLER.host, extensions=(Refer(),))
    ann = world.phone(ANN, Script(answer_after=1.0), extensions=(Refer(),))
    third = world.phone(CAROL, carol or Script(answer_after=1.0), extensions=(Refer(),))
    world.web.pages[VOICE_URL] = dial(ANN, 'action="http://app/after"')
    world.web.pages[REFER_URL] = dial(CAROL, 'action="http://app/done"')
    world.at(world.now, lambda: bob.call("2222"))
    return world, bob, ann, third


def statuses(phone: Phone) -> list[tuple[str, int]]:
    return [(what, status) for _, what, status in phone.told]


def hang_up(world: World, phone: Phone, after: float) -> None:
    def act() -> None:
        for session in sorted(phone.sessions):
            phone.bye(session)

    world.at(world.now + after, act)


def refer(world: World, phone: Phone, after: float = 4.0, target: str = TARGET, *more: tuple[str, str]) -> None:
    world.at(world.now + after, lambda: phone.refer(target, *more))


# --- blind ------------------------------------------------------------------------------------------------------------


def test_the_callee_transfers_and_the_caller_meets_the_target__behaviour_6() -> None:
    world, bob, ann, carol = world_of()
    refer(world, ann)
    world.run(until=7.0)
    assert talking(world) == {frozenset({"caller", CAROL})}
    assert statuses(ann) == [("answer", 202), ("notify", 100), ("notify", 180), ("over", 200)]
    assert not ann.sessions and bob.sessions
    hang_up(world, carol, 3.0)
    at_rest(world)
    (asked,) = world.web.of("refer")
    assert (asked["ReferTarget"], asked["Transferor"], asked["Transferee"]) == ("carol", ANN, "bob")
    assert (asked["From"], asked["To"], asked["CallStatus"], asked["Direction"]) == ("bob", "2222", "in-progress", "inbound")
    (action,) = world.web.of("action")
    assert (action["ReferTarget"], action["Transferor"], action["DialCallStatus"]) == ("carol", ANN, "completed")
    assert [parameters["CallStatus"] for parameters in world.web.of("status")] == ["ringing", "in-progress", "completed"]
    assert world.web.of("status")[-1]["ReferTarget"] == "carol"
    assert (record_of(world, ANN).ended.cause, record_of(world, ANN).ended.by) == (Cause.COMPLETED, By.SERVER)


def test_the_caller_transfers_and_the_callee_meets_the_target__behaviour_6() -> None:
    world, bob, ann, carol = world_of()
    refer(world, bob)
    world.run(until=7.0)
    assert talking(world) == {frozenset({ANN, CAROL})}
    assert statuses(bob) == [("answer", 202), ("notify", 100), ("notify", 180), ("over", 200)]
    assert ann.sessions and not bob.sessions
    hang_up(world, ann, 3.0)
    at_rest(world)
    (asked,) = world.web.of("refer")
    assert (asked["ReferTarget"], asked["Transferor"], asked["Transferee"]) == ("carol", "bob", "2222")
    assert asked["Direction"] == "outbound-dial"
    (action,) = world.web.of("action")
    assert (action["CallSid"], action["Transferor"]) == (asked["CallSid"], "bob")
    assert not carol.sessions


@pytest.mark.parametrize("who", ["bob", "ann"])
def test_the_transferor_hangs_up_before_the_target_answers__transfer_1(who: str) -> None:
    world, bob, ann, carol = world_of(carol=Script(answer_after=1.2))
    one, other = (bob, ann) if who == "bob" else (ann, bob)
    refer(world, one)
    hang_up(world, one, 4.28)
    world.run(until=7.0)
    assert other.sessions and carol.sessions and not one.sessions
    assert len(world.engine.bridges) == 1
    assert statuses(one)[-1] == ("over", 200), "the subscription lives on"
    hang_up(world, other, 2.0)
    at_rest(world)
    assert len(world.web.of("action")) == 1


def test_the_target_hangs_up_as_soon_as_it_was_acknowledged__transfer_2() -> None:
    world, bob, ann, _carol = world_of(carol=Script(answer_after=0.5, hang_up_after=0.0))
    refer(world, ann)
    at_rest(world)
    assert statuses(ann)[-1] == ("over", 200)
    (action,) = world.web.of("action")
    assert action["DialCallStatus"] == "completed"
    assert [len([record for record in world.records if record.to_user == user]) for user in ("2222", ANN, CAROL)] == [1, 1, 1]
    assert not bob.sessions


def test_a_refer_right_behind_the_answer_does_not_overtake_it__transfer_3() -> None:
    world, bob, ann, _carol = world_of(delay=0.02)
    ann.script.answer_after = None
    world.at(world.now + 2.0, lambda: answer_and_refer(world, ann))
    world.run(until=6.0)
    assert statuses(ann)[0] == ("answer", 202)
    assert talking(world) == {frozenset({"caller", CAROL})}
    hang_up(world, bob, 1.0)
    at_rest(world)


def answer_and_refer(world: World, phone: Phone) -> None:
    (session,) = phone.sessions
    phone.do(SendAnswer(session, sdp(phone.address.host)))
    phone.do(SendRefer(ReferId("at-once"), session, TARGET))


def test_no_bye_goes_to_a_caller_whose_2xx_is_not_acknowledged__transfer_5() -> None:
    world, bob, ann, carol = world_of()
    lost = world.wire.send

    def without_acks(now: float, flow: object, data: bytes) -> None:
        if not data.startswith(b"ACK") or world.now > 1004.0:
            lost(now, flow, data)  # type: ignore[arg-type]

    world.wire.send = without_acks  # type: ignore[method-assign]
    ann.script.answer_after = 0.2
    refer(world, bob, 0.6)
    hang_up(world, ann, 9.0)
    hang_up(world, carol, 9.0)
    at_rest(world)
    assert statuses(bob)[0] == ("answer", 202)
    assert bob.when("ended") > 1004.0, "the BYE waited for the ACK"


# --- what fails -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("who", ["bob", "ann"])
def test_a_target_that_refuses_is_told_and_the_call_goes_back__transfer_8(who: str) -> None:
    world, bob, ann, _ = world_of(carol=Script(answer_after=0.5, status=486))
    refer(world, bob if who == "bob" else ann)
    world.run(until=8.0)
    assert statuses(bob if who == "bob" else ann)[-1] == ("over", 486)
    assert talking(world) == {frozenset({"caller", ANN})}
    assert world.web.of("action") == []
    hang_up(world, ann, 3.0)
    at_rest(world)
    assert not bob.sessions and not ann.sessions
    assert world.web.of("action") == []
    assert {record.to_user: record.ended.cause for record in world.records} == {
        "2222": Cause.COMPLETED,
        ANN: Cause.COMPLETED,
        CAROL: Cause.BUSY,
    }


@pytest.mark.parametrize("first", ["bob", "ann"])
def test_who_has_the_call_back_ends_it_for_both__transfer_8(first: str) -> None:
    world, bob, ann, _ = world_of(carol=Script(answer_after=0.5, status=486))
    refer(world, ann)
    hang_up(world, bob if first == "bob" else ann, 9.0)
    at_rest(world)
    assert not bob.sessions and not ann.sessions
    assert abs(bob.when("ended") - ann.when("ended")) < 0.2


def test_a_call_that_came_back_can_be_transferred_again__transfer_10() -> None:
    world, bob, ann, _ = world_of(carol=Script(answer_after=0.5, status=486))
    dave = world.phone(DAVE, Script(answer_after=0.5))
    refer(world, ann)
    world.at(world.now + 8.0, lambda: world.web.pages.__setitem__(REFER_URL, dial(DAVE)))
    refer(world, bob, 9.0, f"sip:dave@{DAVE}")
    world.run(until=13.0)
    assert ann.sessions and dave.sessions and not bob.sessions
    assert len(world.engine.bridges) == 1
    hang_up(world, dave, 1.0)
    at_rest(world)


def test_a_target_refuses_whose_transferor_has_gone_and_the_document_decides__transfer_8() -> None:
    world, bob, ann, _ = world_of(carol=Script(answer_after=0.5, status=486))
    dave = world.phone(DAVE, Script(answer_after=0.5))
    world.web.pages["http://app/done"] = dial(DAVE)
    refer(world, ann)
    hang_up(world, ann, 4.2)
    world.run(until=8.0)
    (action,) = world.web.of("action")
    assert (action["DialCallStatus"], action["DialSipResponseCode"], action["ReferTarget"]) == ("busy", "486", "carol")
    assert bob.sessions and dave.sessions
    hang_up(world, bob, 1.0)
    at_rest(world)
    assert statuses(ann)[-1] == ("over", 486)


def test_a_target_that_does_not_answer_in_time_is_left_to_the_document__behaviour_0_10() -> None:
    world, bob, ann, carol = world_of(carol=Script(answer_after=5.0))
    refer(world, ann)
    world.run(until=7.0)
    assert statuses(ann) == [("answer", 202), ("notify", 100), ("notify", 180), ("over", 200)]
    assert ann.told[-1][0] - ann.told[0][0] == pytest.approx(2.0, abs=0.1)
    assert not ann.sessions
    world.run(until=6.0)
    assert bob.sessions and carol.sessions
    hang_up(world, bob, 1.0)
    at_rest(world)


def test_a_refer_document_that_cannot_be_had_is_told__behaviour_0_10() -> None:
    world, bob, ann, _ = world_of()
    world.web.pages[REFER_URL] = lambda request: Fetched(request.request, 500, url=request.url)
    refer(world, ann)
    at_rest(world)
    assert statuses(ann) == [("answer", 202), ("notify", 100), ("over", 503)]
    assert not bob.sessions and not ann.sessions
    assert world.web.of("action") == []


def test_a_document_that_dials_nobody_is_a_transfer__behaviour_0_10() -> None:
    world, bob, ann, _ = world_of()
    world.web.pages[REFER_URL] = "<Response><Pause length='3'/></Response>"
    refer(world, ann)
    at_rest(world)
    assert statuses(ann) == [("answer", 202), ("notify", 100), ("over", 200)]
    assert bob.when("ended") - ann.when("ended") == pytest.approx(3.0, abs=0.2)


def test_a_target_that_cannot_be_called_at_all_ends_both__behaviour_6() -> None:
    world, bob, ann, _ = world_of()
    world.web.pages[REFER_URL] = "<Response><Dial><Client>nobody</Client></Dial></Response>"
    refer(world, ann)
    at_rest(world)
    assert statuses(ann)[-1][0] == "over" and statuses(ann)[-1][1] >= 400
    assert not bob.sessions and not ann.sessions


def test_a_number_without_a_refer_document_transfers_nothing__behaviour_6() -> None:
    world, _bob, ann, _ = world_of(application=Application("2222", VOICE_URL))
    refer(world, ann)
    world.run(until=6.0)
    assert statuses(ann) == [("answer", 404)]
    assert talking(world) == {frozenset({"caller", ANN})}
    hang_up(world, ann, 1.0)
    at_rest(world)
    assert len(world.web.of("action")) == 1


def test_the_transferee_hangs_up_while_the_target_rings__behaviour_6() -> None:
    world, bob, ann, carol = world_of(carol=Script(answer_after=1.5))
    refer(world, ann)
    hang_up(world, bob, 5.0)
    at_rest(world)
    assert statuses(ann)[-1] == ("over", 487)
    assert not ann.sessions and not carol.sessions
    assert len(world.web.of("action")) == 1


@pytest.mark.parametrize("who", ["bob", "ann"])
def test_both_refer_at_once_and_one_of_them_does_it__transfer_10(who: str) -> None:
    world, bob, ann, carol = world_of()
    first, second = (bob, ann) if who == "bob" else (ann, bob)
    refer(world, first)
    refer(world, second, 4.0001)
    world.run(until=8.0)
    assert (statuses(first)[0], statuses(second)) == (("answer", 202), [("answer", 491)])
    assert second.sessions and carol.sessions
    hang_up(world, second, 1.0)
    at_rest(world)


def test_a_second_refer_of_the_same_party_comes_too_early__transfer_10() -> None:
    world, bob, ann, _carol = world_of()
    refer(world, ann)
    refer(world, ann, 4.1)
    world.run(until=8.0)
    assert [status for what, status in statuses(ann) if what == "answer"] == [202, 491]
    hang_up(world, bob, 1.0)
    at_rest(world)


def test_a_refer_before_the_answer_transfers_nothing__transfer_10() -> None:
    world, bob, ann, _ = world_of()
    ann.script.answer_after = 3.0
    refer(world, bob, 1.0)
    hang_up(world, ann, 6.0)
    at_rest(world)
    assert statuses(bob) == [("answer", 0)], "the phone itself knows no dialog yet"


def test_who_wants_to_hear_nothing_is_transferred_all_the_same__rfc4488_4() -> None:
    world, bob, ann, _carol = world_of()
    refer(world, ann, 4.0, TARGET, ("Refer-Sub", "false"))
    world.run(until=8.0)
    assert statuses(ann) == [("answer", 202), ("over", 0)]
    assert talking(world) == {frozenset({"caller", CAROL})}
    hang_up(world, bob, 1.0)
    at_rest(world)


@pytest.mark.parametrize("seed", range(12))
def test_a_transfer_over_a_bad_wire_ends_once_for_everybody__behaviour_6(seed: int) -> None:
    world, bob, ann, carol = world_of(seed, loss=0.15, duplicate=0.1, reorder=0.1)
    refer(world, bob if seed % 2 else ann)
    hang_up(world, carol, 40.0)
    hang_up(world, bob, 60.0)
    hang_up(world, ann, 60.0)
    at_rest(world)
    sids = [record.sid for record in world.records]
    assert len(sids) == len(set(sids))


def test_the_worker_dies_in_a_transfer__behaviour_3_1() -> None:
    world, bob, ann, carol = world_of(carol=Script(answer_after=1.5))
    refer(world, ann)
    world.run(until=5.0)
    world.act(world.registry.media_event(engine.EngineLost("killed"), world.now))
    world.engine.streams.clear()
    world.engine.bridges.clear()
    world.run()
    assert not bob.sessions and not ann.sessions and not carol.sessions
    assert statuses(ann)[-1] == ("over", 503)


def test_the_server_goes_down_in_a_transfer__behaviour_6() -> None:
    world, bob, ann, carol = world_of(carol=Script(answer_after=1.5))
    refer(world, ann)
    world.run(until=5.0)
    world.act(world.registry.shutdown(world.now))
    at_rest(world)
    assert not bob.sessions and not ann.sessions and not carol.sessions


# --- hold -------------------------------------------------------------------------------------------------------------


def offer(world: World, phone: Phone, after: float, direction: str, *, nowhere: bool = False) -> None:
    """A re-INVITE in its only session."""

    def act() -> None:
        body = sdp(phone.address.host).replace(b"a=sendrecv", f"a={direction}".encode())
        if nowhere:
            body = body.replace(f"c=IN IP4 {phone.address.host}".encode(), b"c=IN IP4 0.0.0.0")
        for session in sorted(phone.sessions):
            phone.do(SendReinvite(session, body))

    world.at(world.now + after, act)


def directions(world: World) -> dict[str, str]:
    """Ours, by the host of each phone that is in a bridge."""
    met = {sid for pair in world.engine.bridges.values() for sid in pair}
    return {world.engine.connects[sid].remote_address: world.engine.connects[sid].direction for sid in met}


@pytest.mark.parametrize(("direction", "nowhere"), [("sendonly", False), ("inactive", False), ("sendrecv", True)])
def test_a_party_on_hold_is_resumed_both_ways__transfer_11(direction: str, nowhere: bool) -> None:
    world, bob, ann, _ = world_of()
    offer(world, bob, 3.0, direction, nowhere=nowhere)
    offer(world, ann, 3.1, direction, nowhere=nowhere)  # from both sides at once
    world.run(until=5.0)
    assert set(directions(world).values()) <= {"recvonly", "inactive"}
    offer(world, bob, 0.1, "sendrecv")
    offer(world, ann, 0.5, "sendrecv")
    world.run(until=2.0)
    assert directions(world) == {CALLER.host: "sendrecv", ANN: "sendrecv"}
    hang_up(world, bob, 1.0)
    at_rest(world)


@pytest.mark.parametrize("who", ["bob", "ann"])
def test_who_has_put_the_other_on_hold_can_transfer_it__transfer_10(who: str) -> None:
    world, bob, ann, carol = world_of()
    one, other = (bob, ann) if who == "bob" else (ann, bob)
    offer(world, one, 3.0, "sendonly")
    refer(world, one)
    world.run(until=7.0)
    assert statuses(one)[-1] == ("over", 200)
    assert directions(world) == {other.address.host: "sendrecv", CAROL: "sendrecv"}
    hang_up(world, carol, 1.0)
    at_rest(world)


def test_a_call_that_comes_back_on_hold_can_be_resumed__transfer_8() -> None:
    world, bob, ann, _ = world_of(carol=Script(answer_after=0.5, status=486))
    offer(world, ann, 3.0, "sendonly")
    refer(world, ann)
    offer(world, ann, 7.0, "sendrecv")
    world.run(until=9.0)
    assert statuses(ann)[-1] == ("over", 486)
    assert directions(world) == {CALLER.host: "sendrecv", ANN: "sendrecv"}
    hang_up(world, bob, 1.0)
    at_rest(world)
