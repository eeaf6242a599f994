"""Silent phones that live and such that do not, asked over the wire."""

from __future__ import annotations

from media import engine
from server.calls.records import By
from sip.core import commands
from tests.simulation.world import VOICE_URL, Script, World

MUSIC = '<Response><Play loop="0">/music.wav</Play></Response>'
DIAL = '<Response><Dial action="http://app/done"><Sip>sip:leg@10.0.1.1</Sip></Dial></Response>'
MINUTE = 60.0


def silent(world: World, stream: str) -> None:
    world.engine.tell(engine.MediaTimeout(stream=stream, silent_ms=60000), world.now)


def requests(world: World) -> list[str]:
    return [str(note.data["summary"]) for note in world.notes if str(note.data.get("summary", "")).startswith("OPTIONS")]


def test_a_muted_phone_answers_the_options_and_stays() -> None:
    world = World(1)
    world.web.pages[VOICE_URL] = MUSIC
    world.caller.call("2222")
    world.run(2.0)
    silent(world, next(iter(world.registry.calls)))
    world.run(3 * MINUTE + 5)
    assert world.registry.counts()["calls"] == 1 and len(requests(world)) >= 3
    world.caller.hang_up()
    world.run()
    assert not world.leaks()


def test_a_phone_that_is_gone_ends_the_call() -> None:
    world = World(2)
    world.web.pages[VOICE_URL] = MUSIC
    world.caller.call("2222")
    world.run(2.0)
    world.caller.script.silent = True
    silent(world, next(iter(world.registry.calls)))
    world.run(10.0)
    (record,) = world.records
    assert record.ended.by is By.SERVER and "The caller is gone" in record.ended.text
    world.run()
    assert not world.leaks()


def test_a_phone_that_answers_no_request_but_is_heard_again_stays() -> None:
    """Its way to us is open, ours to it is not (a NAT); Timer F of the OPTIONS is no end."""
    world = World(5)
    world.web.pages[VOICE_URL] = MUSIC
    world.caller.call("2222")
    world.run(2.0)
    (stream,) = world.registry.calls
    world.caller.script.silent = True
    silent(world, stream)
    world.run(4.0)
    world.engine.packets_in[stream] = 100
    world.run(2 * MINUTE)
    assert world.registry.counts()["calls"] == 1
    world.caller.script.silent = False
    world.caller.hang_up()
    world.run()
    assert not world.leaks()


def test_a_callee_that_is_gone_leaves_the_caller_to_its_action() -> None:
    world = World(3)
    world.web.pages[VOICE_URL] = DIAL
    callee = world.phone("10.0.1.1", Script(ring_after=0.1, answer_after=0.5))
    world.caller.call("2222")
    world.run(3.0)
    callee.script.silent = True
    (call,) = world.registry.calls.values()
    silent(world, call.legs[0].sid)
    world.run(15.0)
    (action,) = world.web.of("action")
    assert action["DialCallStatus"] == "completed"
    world.run()
    assert world.caller.saw("ended") and not [found for found in world.leaks() if "10.0.1.1" not in found]


def test_a_dead_dialog_is_told_by_the_phone__rfc5057_5_1() -> None:
    """The phone has started anew and knows of no dialog: 481."""
    world = World(4)
    world.web.pages[VOICE_URL] = MUSIC
    world.caller.call("2222")
    world.run(2.0)
    lost = world.phone(world.caller.address.host)  # the same address, with nothing in its memory
    silent(world, next(iter(world.registry.calls)))
    world.run(1.0)
    assert world.registry.counts()["calls"] == 0
    assert not lost.saw("ended") and not world.engine.complaints
    assert commands.SessionId("a") not in lost.sessions
