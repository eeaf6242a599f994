"""Whole calls with reliable provisional responses on both legs (RFC 3262): nothing is lost on the way to the answer, and no leg is left."""

from __future__ import annotations

from collections import Counter

import pytest

from server.calls.records import Cause
from sip.core import commands, events
from sip.core.reliable import ReliableProvisionals
from tests.simulation.world import CALLER, VOICE_URL, Phone, Script, World
from tests.support.descriptions import sdp

pytestmark = pytest.mark.simulation

ANN = "10.0.1.1"
DOCUMENT = f'<Response><Dial timeout="20"><Sip>sip:ann@{ANN}</Sip></Dial></Response>'
REQUIRED = (("Require", "100rel"),)


def ring(seed: int, script: Script, *, loss: float = 0.0) -> tuple[World, Phone]:
    """A caller that requires 100rel calls ann, whose responses are reliable too."""
    world = World(seed=seed, loss=loss, duplicate=loss / 2, reorder=loss)
    world.web.pages[VOICE_URL] = DOCUMENT
    ann = world.phone(ANN, script, (ReliableProvisionals("supported"),))
    world.caller = world.phone(CALLER.host, extensions=(ReliableProvisionals(),))
    world.at(world.now, lambda: world.caller.call("2222", headers=REQUIRED))
    return world, ann


@pytest.mark.parametrize("seed", range(20))
def test_early_media_and_answer_come_through_whatever_is_lost__rfc3262_3(seed: int) -> None:
    world, _ = ring(seed, Script(early_media=True, hang_up_after=5.0), loss=0.25)
    world.run()
    caller = world.caller
    assert caller.saw("answered") or caller.saw("failed")
    if caller.saw("answered"):
        assert len({body for body in caller.bodies if body}) == 1, "the description in the 183 is that of the 200"
    assert sum(record.direction == "inbound" for record in world.records) == 1
    assert world.leaks() == []


def test_a_caller_that_never_acknowledges_gets_504__rfc3262_3() -> None:
    world = World(seed=1)
    world.web.pages[VOICE_URL] = f'<Response><Dial timeout="60"><Sip>sip:ann@{ANN}</Sip></Dial></Response>'
    ann = world.phone(ANN, Script(answer_after=None), ())
    # Require without the extension behind it: this phone knows nothing of PRACK
    world.at(world.now, lambda: world.caller.call("2222", headers=REQUIRED))
    world.run()
    assert world.caller.statuses()[-1] == 504
    assert ann.saw("cancel")
    (inbound,) = [record for record in world.records if record.direction == "inbound"]
    assert (inbound.ended.cause, inbound.ended.sip_status) == (Cause.FAILED, 504)
    assert "did not acknowledge" in inbound.ended.text
    assert world.leaks() == []


def test_an_answer_behind_an_unacknowledged_description_is_never_sent__rfc3262_3__trap35() -> None:
    """The caller is gone when its early media begins, and the called party answers all the same."""
    world, ann = ring(1, Script(early_media=True, ring_after=1.0, answer_after=2.0))

    def vanish() -> None:
        world.caller.script.silent = True

    world.at(world.now + 0.8, vanish)
    world.run()
    assert ann.saw("acked")
    assert ann.saw("ended")
    (inbound,) = [record for record in world.records if record.direction == "inbound"]
    assert (inbound.ended.cause, inbound.ended.sip_status) == (Cause.FAILED, 504)
    assert world.leaks(with_phones=False) == []


@pytest.mark.parametrize("seed", range(10))
def test_a_caller_that_gives_up_between_183_and_prack_leaves_nothing__rfc3261_9(seed: int) -> None:
    world, _ = ring(seed, Script(early_media=True, answer_after=3.0), loss=0.2)
    world.at(world.now + 0.4 + seed / 10, world.caller.cancel)
    world.run()
    assert Counter(record.direction for record in world.records)["inbound"] == 1
    assert world.leaks() == []


def test_the_called_party_may_offer_anew_before_it_answers__rfc3311_5_2() -> None:
    """Its 200 says nothing new then; the call stands on what was agreed last."""
    world, ann = ring(1, Script(early_media=True, answer_after=3.0))

    def update() -> None:
        session = next(iter(ann.sessions))
        ann.do(commands.SendRequest(session, "UPDATE", sdp(ANN, 7000), "application/sdp"))

    world.at(world.now + 1.5, update)
    world.run(6.0)
    assert world.caller.saw("answered")
    (answer,) = ann.answers
    assert answer is not None
    assert answer.status == 200
    (outbound,) = [leg for call in world.registry.calls.values() for leg in call.legs]
    assert world.engine.connects[outbound.sid].remote_port == 7000
    assert not [event for _, event in world.server_events if isinstance(event, events.InviteFailed)]
    world.caller.hang_up()
    world.run()
    assert world.leaks() == []


def test_the_caller_may_offer_anew_before_it_is_answered__rfc3311_5_1() -> None:
    world, _ = ring(1, Script(early_media=True, answer_after=3.0))

    def update() -> None:
        world.caller.do(commands.SendRequest(commands.SessionId("a"), "UPDATE", sdp(CALLER.host, 7000), "application/sdp"))

    world.at(world.now + 1.5, update)
    world.run(6.0)
    (answer,) = world.caller.answers
    assert answer is not None
    assert answer.status == 200
    assert answer.body
    assert world.caller.saw("answered")
    assert world.caller.bodies[-1] == b"", "all has been said"
    (call,) = world.registry.calls.values()
    assert world.engine.connects[call.leg.sid].remote_port == 7000
    world.caller.hang_up()
    world.run()
    assert world.leaks() == []
