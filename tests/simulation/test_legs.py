"""Legs that are more than a caller's: calls without a caller, legs that leave their call, and what becomes of those they leave.

Whole SIP endpoints, in virtual time. Sound is asked of the stand-in engine: who is bridged with whom.
"""

from __future__ import annotations

import random
from collections import Counter

import pytest

from server.calls.destination import Destination, Placed
from server.calls.legs.leg import Direction, Leg
from server.calls.legs.party import Party
from server.calls.policy import Application
from server.calls.records import By, CallRecord, Cause
from sip.core import events
from tests.simulation.world import VOICE_URL, Phone, Script, World

pytestmark = pytest.mark.simulation

ANN, BOB, CAROL = "10.0.1.1", "10.0.1.2", "10.0.1.3"
NEXT = "http://app/next"


def dial(host: str, attributes: str = "") -> str:
    return f"<Response><Dial {attributes}><Sip>sip:{host}@{host}</Sip></Dial></Response>"


def place(host: str) -> Placed:
    destination = Destination(request_uri=f"sip:{host}@{host}", host=host, from_uri="sip:server@10.0.0.1")
    return Placed([destination], "server", host)


def talking(world: World) -> set[frozenset[str]]:
    """Who hears whom, by the users at both ends: `caller` for an inbound leg, else whom we called."""
    names = {leg.sid: "caller" if leg.direction is Direction.INBOUND else leg.to_user for leg in legs(world)}
    return {frozenset(names[sid] for sid in pair) for pair in world.engine.bridges.values()}


def legs(world: World) -> list[Leg]:
    return [leg for call in world.registry.calls.values() for leg in (call.leg, *call.legs)]


def call_of(world: World, phone: str) -> str:
    """The call whose script rang this phone."""
    return next(call.sid for call in world.registry.calls.values() if any(leg.to_user == phone for leg in call.legs))


def leg_to(world: World, phone: str) -> str:
    return next(leg.sid for leg in legs(world) if leg.to_user == phone)


def record_of(world: World, phone: str) -> CallRecord:
    (record,) = [record for record in world.records if record.to_user == phone]
    return record


def at_rest(world: World) -> None:
    world.run()
    assert world.leaks() == []


# --- calls without a caller -------------------------------------------------------------------------------------------


def originated(world: World, timeout_s: float = 60.0) -> None:
    application = Application("", VOICE_URL, status_callback="http://app/status")
    world.at(world.now, lambda: world.act(world.registry.originate(place(ANN), Party("server", ANN), application, timeout_s, world.now)))


def test_a_call_without_a_caller_runs_its_document_on_the_leg_that_answered() -> None:
    world = World(1)
    ann = world.phone(ANN, Script(answer_after=2.0))
    bob = world.phone(BOB, Script(answer_after=1.0, hang_up_after=5.0))
    world.web.pages[VOICE_URL] = dial(BOB, f'action="{NEXT}"')
    originated(world)
    at_rest(world)
    (voice,) = world.web.of("voice")
    assert (voice["Direction"], voice["CallStatus"], voice["To"]) == ("outbound-api", "in-progress", ANN)
    assert [parameters["CallStatus"] for parameters in world.web.of("status")] == ["in-progress", "completed"]
    (action,) = world.web.of("action")
    assert (action["DialCallStatus"], action["DialCallDuration"]) == ("completed", "5")
    assert ann.saw("acked") and bob.saw("acked") and len(world.engine.bridged_pairs) == 1
    own = record_of(world, ANN)
    assert (own.direction, own.parent_sid, own.ended.cause) == ("outbound-api", "", Cause.COMPLETED)
    assert record_of(world, BOB).parent_sid == own.sid == voice["CallSid"]


@pytest.mark.parametrize(("status", "cause"), [(486, "busy"), (480, "no-answer"), (500, "failed")])
def test_a_call_without_a_caller_that_nobody_takes_asks_for_no_document(status: int, cause: str) -> None:
    world = World(2)
    world.phone(ANN, Script(answer_after=1.0, status=status))
    originated(world)
    at_rest(world)
    assert world.web.of("voice") == []
    assert [parameters["CallStatus"] for parameters in world.web.of("status")] == [cause]
    assert record_of(world, ANN).ended.sip_status == status


def test_a_call_without_a_caller_rings_no_longer_than_was_ordered() -> None:
    world = World(3)
    ann = world.phone(ANN, Script(answer_after=None))
    originated(world, timeout_s=7.0)
    at_rest(world)
    ended = record_of(world, ANN)
    assert (ended.ended.cause, ended.ended.by, ended.ring_duration_s) == (Cause.NO_ANSWER, By.TIMER, 7)
    assert ann.saw("cancel") and world.web.of("voice") == []


# --- another document for a call that is up ---------------------------------------------------------------------------


def up(world: World, action: str = "") -> None:
    """The caller talks with Bob."""
    world.phone(BOB, Script(answer_after=1.0))
    world.web.pages[VOICE_URL] = dial(BOB, f'action="{action}" record="true"' if action else "")
    world.at(world.now, lambda: world.caller.call("2222"))


def test_another_document_runs_on_the_caller_and_the_dial_before_it_asks_no_action() -> None:
    world = World(4)
    up(world, "http://app/action")
    world.phone(CAROL, Script(answer_after=1.0, hang_up_after=3.0))
    world.web.pages[NEXT] = dial(CAROL)
    world.at(world.now + 5, lambda: world.act(world.registry.redirect(call_of(world, BOB), Application("", NEXT), world.now)))
    at_rest(world)
    assert world.web.of("action") == []
    assert [parameters["CallStatus"] for parameters in world.web.of("redirect")] == ["in-progress"]
    bob, carol = record_of(world, BOB), record_of(world, CAROL)
    assert (bob.ended.cause, bob.ended.by) == (Cause.COMPLETED, By.OPERATOR)
    assert (carol.ended.cause, carol.duration_s) == (Cause.COMPLETED, 3)
    assert len(world.recordings) == 1 and len(world.engine.bridged_pairs) == 2


def test_a_dialled_leg_runs_a_document_of_its_own_and_outlives_the_caller() -> None:
    world = World(5)
    up(world)
    world.phone(CAROL, Script(answer_after=1.0, hang_up_after=30.0))
    world.web.pages[NEXT] = dial(CAROL)
    seen: list[set[frozenset[str]]] = []
    world.at(world.now + 5, lambda: world.act(world.registry.redirect(leg_to(world, BOB), Application("9", NEXT), world.now)))
    world.at(world.now + 20, lambda: seen.append(talking(world)))
    at_rest(world)
    bob = record_of(world, BOB)
    (voice,) = [dict(request.parameters) for _, request in world.web.requests if request.url == NEXT]
    assert (voice["CallSid"], voice["Direction"], voice["CallStatus"]) == (bob.sid, "outbound-dial", "in-progress")
    assert seen == [{frozenset({BOB, CAROL})}]
    caller = next(record for record in world.records if record.direction == "inbound")
    assert caller.ended_at < 1010 and bob.ended_at > 1030  # the call that dialled Bob was over long before
    assert record_of(world, CAROL).parent_sid == bob.sid and bob.parent_sid == caller.sid


# --- a leg changes its bridge -----------------------------------------------------------------------------------------


def two_calls(world: World) -> Phone:
    """The caller talks with Bob, another caller with Carol. Returns that one."""
    up(world, "http://app/action")
    world.phone(CAROL, Script(answer_after=1.0))
    second = world.phone("10.0.0.3")
    pages = iter((dial(BOB, 'action="http://app/action"'), dial(CAROL, 'action="http://app/action"')))
    world.web.pages[VOICE_URL] = lambda request: world.web.answer(request, next(pages))
    world.at(world.now + 2, lambda: second.call("2222"))
    return second


def test_a_leg_moves_into_the_bridge_of_another_call_and_its_caller_is_told() -> None:
    """Attended transfer's last step: whom the first caller dialled talks with the second caller; nobody else does."""
    world = World(6)
    second = two_calls(world)
    seen: list[set[frozenset[str]]] = []

    def join() -> None:
        first = call_of(world, CAROL)
        bob, carol = leg_to(world, BOB), leg_to(world, CAROL)
        seen.append({frozenset(pair) for pair in world.engine.bridges.values()})
        world.act(world.registry.join(first, bob, world.now))
        seen.append({frozenset(pair) for pair in world.engine.bridges.values()})
        assert seen[1] == {frozenset({first, bob})} and carol not in world.engine.streams

    world.at(world.now + 10, join)
    world.at(world.now + 30, second.hang_up)
    world.run()
    assert len(seen[0]) == 2
    bob, carol = record_of(world, BOB), record_of(world, CAROL)
    assert (bob.duration_s >= 25, bob.ended.by) == (True, By.CALLER)
    assert (carol.ended.cause, carol.ended.by) == (Cause.COMPLETED, By.OPERATOR)
    (action,) = world.web.of("action")  # of the first call, whose Dial is over; the second one's was abandoned
    assert (action["DialCallStatus"], action["DialCallSid"]) == ("completed", bob.sid)
    assert 6 <= int(action["DialCallDuration"]) <= 9
    assert world.leaks() == []


def test_two_dialled_legs_talk_after_both_callers_have_gone() -> None:
    world = World(7)
    two_calls(world)
    seen: list[set[frozenset[str]]] = []
    world.at(world.now + 10, lambda: world.act(world.registry.join(leg_to(world, BOB), leg_to(world, CAROL), world.now)))
    world.at(world.now + 20, lambda: seen.append(talking(world)))
    world.at(world.now + 40, lambda: _hang_up(world.phones[CAROL]))
    at_rest(world)
    assert seen == [{frozenset({BOB, CAROL})}]
    assert [record.ended_at < 1015 for record in world.records if record.direction == "inbound"] == [True, True]
    assert {record_of(world, phone).ended.cause for phone in (BOB, CAROL)} == {Cause.COMPLETED}
    assert all(1039 < record_of(world, phone).ended_at < 1042 for phone in (BOB, CAROL))


def _hang_up(phone: Phone) -> None:
    for session in list(phone.sessions):
        phone.bye(session)


def test_what_cannot_be_joined_stays_as_it_is() -> None:
    world = World(8)
    two_calls(world)

    def attempts() -> None:
        before = dict(world.engine.bridges)
        first, second = world.registry.calls
        bob = leg_to(world, BOB)
        for one, other in ((first, second), (first, "CA-unknown"), ("CA-unknown", bob), (bob, bob)):
            assert world.registry.join(one, other, world.now) == []
        assert world.registry.redirect("CA-unknown", Application("", NEXT), world.now) == []
        assert world.engine.bridges == before

    world.at(world.now + 10, attempts)
    world.at(world.now + 20, lambda: world.act(world.registry.shutdown(world.now)))
    at_rest(world)
    assert len(world.web.of("action")) == 2


@pytest.mark.parametrize("first", range(0, 200, 50))
def test_whatever_happens_while_legs_move_every_call_ends_once(first: int) -> None:
    """Over a bad wire: joins, redirects, BYEs, the operator and the worker's death at any moment."""
    told: Counter[str] = Counter()
    for seed in range(first, first + 50):
        rng = random.Random(f"legs {seed}")
        world = World(seed, loss=rng.choice((0.0, 0.1, 0.3)), duplicate=0.1, delay=rng.choice((0.005, 0.1)), reorder=0.1)
        second = two_calls(world)
        world.web.pages[NEXT] = rng.choice((dial(BOB), "<Response><Pause length='3'/></Response>", ""))
        _plan(world, rng, told, rng.choice((world.caller, second)))
        world.run()
        where = f"seed {seed}"
        assert world.left_over == [] and world.engine.complaints == [], where
        sids = [record.sid for record in world.records]
        assert len(set(sids)) == len(sids), where
        calls = sum(isinstance(event, events.InviteReceived) for _, event in world.server_events)
        assert sum(record.direction == "inbound" for record in world.records) == calls, where
        assert len(world.web.of("action")) <= calls, where
    assert {"join", "redirect", "end"} <= told.keys() and told["joined"] > 3, told


def _plan(world: World, rng: random.Random, told: Counter[str], leaves: Phone) -> None:
    start = world.now
    for at in sorted(rng.uniform(0.5, 15.0) for _ in range(rng.randint(1, 5))):
        world.at(start + at, lambda: _something(world, rng, told))
    world.at(start + rng.uniform(3.0, 30.0), leaves.hang_up)
    world.at(start + 60, lambda: world.act(world.registry.shutdown(world.now)))
    world.at(start + 240, lambda: world.checkpoint(with_phones=False))
    world.at(start + 241, lambda: _all_hang_up(world))


def _all_hang_up(world: World) -> None:
    for phone in world.phones.values():
        _hang_up(phone)


def _something(world: World, rng: random.Random, told: Counter[str]) -> None:
    sids = [leg.sid for leg in legs(world)]
    if len(sids) < 2:
        return
    what = rng.choice(("join", "join", "redirect", "end", "die"))
    told[what] += 1
    match what:
        case "join":
            one, other = rng.sample(sids, 2)
            actions = world.registry.join(one, other, world.now)
            told["joined"] += bool(actions)
            world.act(actions)
        case "redirect":
            world.act(world.registry.redirect(rng.choice(sids), Application("", NEXT), world.now))
        case "end":
            world.act(world.registry.operator_end(rng.choice(sids), world.now))
        case _ if rng.random() < 0.2:
            world.engine.die(world.now)
