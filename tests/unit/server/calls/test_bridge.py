"""Two legs joined (docs/call-control.md): put, take, move; early media; what is told of codecs."""

from __future__ import annotations

import pytest

from media import engine
from server.calls.bridge import Bridge
from server.calls.effects import Note
from sip.core import events
from tests.support.descriptions import sdp
from tests.unit.server.calls.legs.legs import Legs, bridging, response


def state(bridge: Bridge) -> str:
    return bridge.state.value


def test_sound_begins_when_both_legs_are_there_and_connected() -> None:
    legs = Legs()
    outbox = legs.outbox()
    bridge = Bridge(outbox)
    inbound, outbound = legs.inbound(outbox), legs.outbound(outbox)
    legs.open(inbound.leg)
    inbound.answer(())
    assert state(bridge) == "empty"
    bridge.put(inbound.leg)
    bridge.put(outbound.leg)
    assert state(bridge) == "waiting" and bridging(outbox.drain()) == []
    assert bridge.peer_of(inbound.leg) is outbound.leg and inbound.leg.peer is outbound.leg
    legs.open(outbound.leg)
    outbound.stream_opened()
    outbound.progressed(events.InviteProgressed(outbound.leg.session, response(183, sdp("192.0.2.8")), "t"))
    bridge.connected()
    bridge.connected()
    assert state(bridge) == "joined" and not bridge.talking  # early media
    assert bridging(outbox.drain()) == [f"{inbound.leg.sid} + {outbound.leg.sid}"]
    outbound.answered(events.InviteAnswered(outbound.leg.session, response(200)))
    assert bridge.talking


def test_a_leg_that_is_taken_out_leaves_the_other_one_waiting() -> None:
    legs = Legs()
    outbox = legs.outbox()
    first, second = legs.talking(outbox)
    bridge = Bridge(outbox)
    bridge.put(first)
    bridge.put(second)
    name = bridge.name
    outbox.drain()
    bridge.take(second)
    assert (state(bridge), bridge.peer_of(first), second.bridge) == ("waiting", None, None)
    assert bridging(outbox.drain()) == [f"part {name}"]
    bridge.take(second)
    assert outbox.drain() == []
    bridge.clear()
    assert state(bridge) == "empty" and first.bridge is None and outbox.drain() == []


def test_a_leg_moves_from_one_bridge_into_another_and_parts_before_it_joins() -> None:
    legs = Legs()
    here, there = legs.outbox(), legs.outbox()
    alice, bob = legs.talking(here)
    carol, dave = legs.talking(there)
    first, second = Bridge(here), Bridge(there)
    for bridge, pair in ((first, (alice, bob)), (second, (carol, dave))):
        for leg in pair:
            bridge.put(leg)
    second.take(dave)
    here.drain(), there.drain()
    old = first.name
    first.move(bob, second)
    assert bridging(here.drain()) == [f"part {old}"]
    assert bridging(there.drain()) == [f"{carol.sid} + {bob.sid}"]
    assert second.name != old and bob.peer is carol and alice.peer is None
    second.move(bob, None)
    assert bob.bridge is None and state(second) == "waiting"


def test_a_name_is_never_used_again() -> None:
    legs = Legs()
    outbox = legs.outbox()
    first, second = legs.talking(outbox)
    names = []
    for _ in range(3):
        bridge = Bridge(outbox)
        bridge.put(first)
        bridge.put(second)
        names.append(bridge.name)
        bridge.clear()
    assert len(set(names)) == 3 and all(name.startswith(second.sid) for name in names)


def test_a_bridge_has_two_legs_and_a_leg_one_bridge() -> None:
    legs = Legs()
    outbox = legs.outbox()
    first, second = legs.talking(outbox)
    third, _ = legs.talking(outbox)
    bridge = Bridge(outbox)
    bridge.put(first)
    bridge.put(second)
    with pytest.raises(AssertionError):
        bridge.put(third)
    with pytest.raises(AssertionError):
        Bridge(outbox).put(first)


def test_codecs_are_told_when_the_way_of_the_sound_changes__sdp_md() -> None:
    legs = Legs()
    outbox = legs.outbox()
    first, second = legs.talking(outbox)
    bridge = Bridge(outbox)
    bridge.put(first)
    bridge.put(second)
    outbox.drain()
    bridge.renegotiated(second)
    assert outbox.drain() == []
    second.media.offer_answer.receive_offer(sdp("192.0.2.8", 4000, "8 101"))
    second.media.connect(second.media.offer_answer.answer(())[1])
    bridge.renegotiated(second)
    (told,) = [action for action in outbox.drain() if isinstance(action, Note) and action.data["event"] == "codecs-changed"]
    assert (told.leg, told.data["audio"]) == (second.sid, "transcodes PCMU to PCMA")
    bridge.clear()
    bridge.renegotiated(second)
    assert not any(isinstance(action, Note) and action.data["event"] == "codecs-changed" for action in outbox.drain())


def test_a_lost_engine_is_not_asked_to_part_what_it_no_longer_has() -> None:
    legs = Legs()
    outbox = legs.outbox()
    first, second = legs.talking(outbox)
    bridge = Bridge(outbox)
    bridge.put(first)
    bridge.put(second)
    outbox.drain()
    bridge.lost()
    assert (state(bridge), first.bridge, second.bridge) == ("empty", None, None)
    assert not any(isinstance(action, engine.Unbridge) for action in outbox.drain())
