"""Calls that one of their parties hands over, with real phones and real sound (behaviour 6)."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from tests.support import sound
from tests.support.app import rcml
from tests.support.pace import judged_by_time
from tests.support.scene import Scene, ear
from tests.support.server import PLAIN, REFERABLE
from tests.support.sipp import Phone
from tests.support.sound import Samples
from tests.support.two_lines import TwoLines

pytestmark = pytest.mark.sipp

RING_MS = 700  # long enough for a 180 to be told of before the 200
GAP_MS = 40


async def hear_each_other(one: Phone, other: Phone) -> None:
    near, far = ear(one), ear(other)
    marks = near.mark(), far.mark()
    near.say(sound.chirp_up())
    far.say(sound.chirp_down())
    await asyncio.gather(
        far.hears(sound.chirp_up(), since=marks[1], likeness=0.95), near.hears(sound.chirp_down(), since=marks[0], likeness=0.95)
    )


async def test_the_callee_hands_the_caller_over__behaviour_6(scene: Scene) -> None:
    target = await scene.called("callee_waits", ring_ms=RING_MS)
    callee = await scene.called("callee_refers", refer_to="sip:carol@example.com")
    scene.app.answer("/voice", rcml(f"<Dial action='/never'>{callee.uri}</Dial>"))
    scene.app.answer("/refer", rcml(f"<Dial action='/done'>{target.uri}</Dial>"))
    scene.app.answer("/done", rcml("<Hangup/>"))
    caller = await scene.calling("caller_hangs_up", REFERABLE, talk_ms=8000)
    await asyncio.gather(callee.wait(), target.until("ACK"))
    await hear_each_other(caller, target)
    await scene.through(caller, target)
    asked, done = await scene.app.asked("/refer"), await scene.app.asked("/done")
    assert (asked["ReferTarget"], asked["Transferor"], asked["Transferee"]) == ("carol", "called", "bob")
    assert (done["DialCallStatus"], done["ReferTarget"], done["CallSid"]) == ("completed", "carol", asked["CallSid"])
    assert scene.app.asked_for("/never") == []


async def test_the_caller_hands_the_callee_over__behaviour_6(scene: Scene) -> None:
    target = await scene.called("callee_waits", ring_ms=RING_MS)
    callee = await scene.called("callee_waits")
    scene.app.answer("/voice", rcml(f"<Dial action='/never'>{callee.uri}</Dial>"))
    scene.app.answer("/refer", rcml(f"<Dial timeLimit='3'>{target.uri}</Dial>"))
    caller = await scene.calling("caller_refers", REFERABLE, refer_to="sip:carol@example.com")
    await asyncio.gather(caller.wait(), target.until("ACK"))
    await hear_each_other(callee, target)
    await scene.through(callee, target)
    asked = await scene.app.asked("/refer")
    assert (asked["ReferTarget"], asked["Transferor"], asked["Direction"]) == ("carol", "bob", "outbound-dial")
    assert scene.app.asked_for("/never") == []


@pytest.mark.parametrize("who", ["caller", "callee"])
async def test_a_target_that_is_busy_gives_the_call_back__behaviour_6(scene: Scene, who: str) -> None:
    target = await scene.called("callee_rejects", ring_ms=RING_MS, status_line="SIP/2.0 486 Busy Here", refusal="none")
    called = await scene.called("callee_refers_in_vain" if who == "callee" else "callee_waits", refer_to="sip:carol@example.com")
    scene.app.answer("/voice", rcml(f"<Dial>{called.uri}</Dial>"))
    scene.app.answer("/refer", rcml(f"<Dial action='/never'>{target.uri}</Dial>"))
    scenario = "caller_refers_in_vain" if who == "caller" else "caller_waits"
    caller = await scene.calling(scenario, REFERABLE, refer_to="sip:carol@example.com")
    await target.wait()
    await hear_each_other(caller, called)
    await scene.through(caller, called)
    assert scene.app.asked_for("/never") == []


@pytest.mark.parametrize("who", ["caller", "callee"])
async def test_a_number_without_a_refer_document_hands_nothing_over__behaviour_6(scene: Scene, who: str) -> None:
    called = await scene.called("callee_is_refused_a_transfer" if who == "callee" else "callee_waits", refer_to="sip:carol@example.com")
    scene.app.answer("/voice", rcml(f"<Dial>{called.uri}</Dial>"))
    scenario = "caller_is_refused_a_transfer" if who == "caller" else "caller_waits"
    caller = await scene.calling(scenario, PLAIN, refer_to="sip:carol@example.com")
    await scene.through(caller, called)


async def test_two_calls_become_one_and_nobody_hears_a_gap__behaviour_6(scene: Scene) -> None:
    ann, carol = await scene.called("callee_hangs_up", talk_ms=9000), await scene.called("callee_waits")
    scene.app.answer("/voice", rcml(f"<Dial>{ann.uri}</Dial>"), rcml(f"<Dial>{carol.uri}</Dial>"))
    async with TwoLines() as bob:
        for name in ("ann", "carol"):
            line = await bob.call(name, f"sip:{PLAIN}@127.0.0.1:{scene.server.sip_port}")
            line.say(sound.tone(500, 30.0))
        for phone, hz in ((ann, 900), (carol, 1300)):
            await phone.until("ACK")
            ear(phone).say(sound.tone(hz, 30.0))
        for phone in (ann, carol):
            await ear(phone).hears_tone(500, seconds=0.6)
        marks = ear(ann).mark(), ear(carol).mark()
        bob.transfer("ann", "carol")
        await bob.until(lambda: bob.ended == {"ann", "carol"})
        assert bob.told == [("answer", 202), ("notify", 100), ("over", 200)]
        await ear(ann).hears_tone(1300, seconds=0.6, since=marks[0])
        await ear(carol).hears_tone(900, seconds=0.6, since=marks[1])
        with judged_by_time():
            assert longest_silence_ms(ear(ann).heard(marks[0])) <= GAP_MS
            assert longest_silence_ms(ear(carol).heard(marks[1])) <= GAP_MS
    await scene.through(ann, carol)


def longest_silence_ms(samples: Samples) -> int:
    """In steps of 10 ms, between the first and the last sound; 8 kHz."""
    steps = samples[: len(samples) // 80 * 80].reshape(-1, 80).astype(np.float64)
    loud = np.flatnonzero(np.sqrt((steps**2).mean(axis=1)) > 300)
    return 0 if len(loud) < 2 else int(10 * (np.diff(loud).max() - 1))
