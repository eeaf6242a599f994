"""Gather on the wire: keys in each of their forms, prompts that they end, and what the application is told (behaviour 9)."""

from __future__ import annotations

import asyncio

import pytest

from tests.support import sound
from tests.support.app import audio, nothing, rcml
from tests.support.pace import judged_by_time
from tests.support.scene import Scene, ear

pytestmark = pytest.mark.sipp

LONG = audio(sound.wav(sound.tone(700, 8.0)))
DIGIT_5 = sound.tone(770, 0.12, level=6000) + sound.tone(1336, 0.12, level=6000)
DIGIT_8 = sound.tone(852, 0.12, level=6000) + sound.tone(1336, 0.12, level=6000)


async def test_keys_as_events_end_the_prompt_and_reach_the_action__behaviour_9(scene: Scene) -> None:
    scene.app.answer("/voice", rcml("<Gather action='/keys' numDigits='4'><Play>/long.wav</Play></Gather><Play>/never.wav</Play>"))
    scene.app.answer("/long.wav", LONG)
    scene.app.answer("/keys", nothing())
    caller = await scene.calling("caller_waits")
    await caller.until("ACK")
    await ear(caller).hears_tone(700, seconds=0.4)
    ear(caller).press("40*7")
    asked = await scene.app.asked("/keys")
    await scene.through(caller)
    assert (asked["Digits"], asked["CallStatus"], caller.statuses()) == ("40*7", "in-progress", [180, 200])
    with judged_by_time():
        assert sound.tone_seconds(ear(caller).heard(), 700) < 4.0


async def test_the_finishing_key_is_not_told__behaviour_9(scene: Scene) -> None:
    scene.app.answer("/voice", rcml("<Gather action='/keys' method='GET'/>"))
    scene.app.answer("/keys", nothing())
    caller = await scene.calling("caller_waits")
    await caller.until("ACK")
    ear(caller).press("123#")
    asked = await scene.app.asked("/keys")
    await scene.through(caller)
    assert (asked.method, asked["Digits"]) == ("GET", "123")


async def test_keys_in_the_audio_reach_the_action__behaviour_9(scene: Scene) -> None:
    """From a phone that has no telephone-events; what it hears does not press keys."""
    scene.app.answer("/voice", rcml("<Gather action='/keys' numDigits='2'><Play>/long.wav</Play></Gather>"))
    scene.app.answer("/long.wav", LONG)
    scene.app.answer("/keys", nothing())
    caller = await scene.calling("caller_has_no_events")
    await caller.until("ACK")
    await ear(caller).hears_tone(700, seconds=0.3)
    for key in (DIGIT_5, DIGIT_8):
        ear(caller).say(key)
        ear(caller).say(sound.silence(0.2))
        await ear(caller).said()
    asked = await scene.app.asked("/keys")
    await scene.through(caller)
    assert asked["Digits"] == "58"


async def test_keys_by_info_reach_the_action__behaviour_9(scene: Scene) -> None:
    """dtmf-relay and dtmf, and the same press as an event beside it counts once."""
    scene.app.answer("/voice", rcml("<Gather action='/keys' numDigits='3' timeout='9'/>"))
    scene.app.answer("/keys", nothing())
    caller = await scene.calling("caller_presses_by_info", info_ms=900, first=3, second="*")
    await caller.until("INFO")
    ear(caller).press("3", tone_ms=60)
    await asyncio.sleep(2.0)  # the second INFO has come, and a moment more: no press counts twice because it is late
    assert scene.app.asked_for("/keys") == []
    ear(caller).press("9", tone_ms=60)
    asked = await scene.app.asked("/keys")
    await scene.through(caller)
    assert asked["Digits"] == "3*9"


async def test_nothing_pressed_is_waited_for_and_goes_on__behaviour_9(scene: Scene) -> None:
    scene.app.answer("/voice", rcml("<Gather action='/keys' timeout='2'><Play>/short.wav</Play></Gather><Play>/after.wav</Play>"))
    scene.app.answer("/short.wav", audio(sound.wav(sound.tone(700, 0.5))))
    scene.app.answer("/after.wav", audio(sound.wav(sound.tone(500, 0.5))))
    caller = await scene.calling("caller_waits")
    await scene.through(caller)
    assert scene.app.asked_for("/keys") == []
    heard = ear(caller).heard()
    assert sound.tone_seconds(heard, 700) == pytest.approx(0.5, abs=0.1)
    assert sound.tone_seconds(heard, 500) == pytest.approx(0.5, abs=0.1)
    with judged_by_time():
        assert caller.first("BYE").at - caller.first("SIP/2.0 200").at > 2.9


async def test_nothing_pressed_is_told_when_the_document_wants_it__behaviour_9(scene: Scene) -> None:
    scene.app.answer("/voice", rcml("<Gather action='/keys' timeout='1' actionOnEmptyResult='true'/>"))
    scene.app.answer("/keys", nothing())
    caller = await scene.calling("caller_waits")
    await scene.through(caller)
    assert (await scene.app.asked("/keys"))["Digits"] == ""


async def test_a_caller_who_hangs_up_in_the_midst_of_it_is_told_to_nobody__behaviour_9(scene: Scene) -> None:
    scene.app.answer("/voice", rcml("<Gather action='/keys'><Play>/long.wav</Play></Gather>"))
    scene.app.answer("/long.wav", LONG)
    scene.app.answer("/keys", nothing())
    caller = await scene.calling("caller_hangs_up", talk_ms=1500)
    await caller.until("ACK")
    ear(caller).press("12")
    await scene.through(caller)
    await asyncio.to_thread(scene.server.wait_idle, 10.0, ("sip_",))
    assert scene.app.asked_for("/keys") == []


async def test_a_menu_of_three_steps_takes_what_is_typed_ahead__rcml_gather(scene: Scene) -> None:
    scene.app.answer("/voice", rcml("<Gather action='/two' numDigits='1'/>"))
    scene.app.answer("/two", rcml("<Gather action='/three' numDigits='2'/>", delay_s=1.5))
    scene.app.answer("/three", nothing())
    caller = await scene.calling("caller_waits")
    await caller.until("ACK")
    ear(caller).press("123")
    asked = await scene.app.asked("/three")
    await scene.through(caller)
    assert [(await scene.app.asked("/two"))["Digits"], asked["Digits"]] == ["1", "23"]
