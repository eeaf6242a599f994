"""Record on the wire: what is in the file, what ends it, and what the application is told (behaviour 7)."""

from __future__ import annotations

import asyncio

import pytest

from tests.sipp.test_media import fetch_recording
from tests.support import sound
from tests.support.app import Asked, nothing, rcml
from tests.support.pace import judged_by_time
from tests.support.scene import Scene, ear
from tests.support.sound import Samples

pytestmark = pytest.mark.sipp


async def recorded(scene: Scene, asked: Asked) -> Samples:
    """What is in the file that an action names."""
    assert asked["RecordingUrl"] == asked["PublicRecordingUrl"]
    samples, rate = sound.read_wav(await fetch_recording(scene, asked["RecordingUrl"]))
    assert (rate, samples.shape[1]) == (8000, 1)
    return samples[:, 0]


async def test_a_message_until_silence__behaviour_7(scene: Scene) -> None:
    """A beep, which is not in the file; what is said; and the end of it."""
    scene.app.answer("/voice", rcml("<Record action='/said' timeout='2'/><Play>/never.wav</Play>"))
    scene.app.answer("/said", nothing())
    caller = await scene.calling("caller_waits")
    await caller.until("ACK")
    await ear(caller).hears_tone(1000, seconds=0.3)
    await asyncio.sleep(0.4)  # the beep is over
    ear(caller).say(sound.chirp_up())
    asked = await scene.app.asked("/said")
    await scene.through(caller)
    samples = await recorded(scene, asked)
    with judged_by_time():
        assert sound.find(sound.chirp_up(), samples).likeness > 0.95
        assert 2.9 < len(samples) / 8000 < 4.5
    assert sound.tone_seconds(samples, 1000, share=0.9) < 0.1
    assert abs(int(asked["RecordingDuration"]) - len(samples) / 8000) <= 0.6
    assert "Digits" not in asked


async def test_a_message_until_a_key__behaviour_7(scene: Scene) -> None:
    scene.app.answer("/voice", rcml("<Record action='/said' playBeep='false' finishOnKey='#'/>"))
    scene.app.answer("/said", rcml("<Gather action='/next' timeout='1' actionOnEmptyResult='true'/>"))
    scene.app.answer("/next", nothing())
    caller = await scene.calling("caller_waits")
    await caller.until("ACK")
    ear(caller).say(sound.chirp_up())
    await ear(caller).said()
    ear(caller).press("5")
    ear(caller).press("#")
    asked = await scene.app.asked("/said")
    await scene.through(caller)
    samples = await recorded(scene, asked)
    assert asked["Digits"] == "#"
    with judged_by_time():
        assert sound.find(sound.chirp_up(), samples).likeness > 0.95
    assert (await scene.app.asked("/next"))["Digits"] == ""  # the key belongs to the message


async def test_a_message_until_the_caller_hangs_up__behaviour_7(scene: Scene) -> None:
    scene.app.answer(
        "/voice", rcml("<Record action='/said' recordingStatusCallback='/told' recordingStatusCallbackEvent='in-progress completed'/>")
    )
    scene.app.answer("/said", rcml("<Play>/never.wav</Play>"))
    scene.app.answer("/told", nothing())
    caller = await scene.calling("caller_hangs_up", talk_ms=3000)
    await caller.until("ACK")
    await ear(caller).hears_tone(1000, seconds=0.3)
    await asyncio.sleep(0.4)
    ear(caller).say(sound.chirp_down())
    await scene.through(caller)
    asked = await scene.app.asked("/said")
    samples = await recorded(scene, asked)
    assert (asked["Digits"], asked["CallStatus"]) == ("hangup", "completed")
    with judged_by_time():
        assert sound.find(sound.chirp_down(), samples).likeness > 0.95
    await scene.app.asked("/told", 2)
    told = {one["RecordingStatus"]: one for one in scene.app.asked_for("/told")}
    assert set(told) == {"in-progress", "completed"}
    assert told["completed"]["RecordingUrl"] == asked["RecordingUrl"]
    assert told["completed"]["RecordingDuration"] == asked["RecordingDuration"]


async def test_a_caller_who_says_nothing_leaves_nothing__behaviour_7(scene: Scene) -> None:
    scene.app.answer("/voice", rcml("<Record action='/said' timeout='1'/><Pause length='1'/>"))
    scene.app.answer("/said", nothing())
    kept = set((scene.server.state / "recordings").glob("*.wav"))
    caller = await scene.calling("caller_waits")
    await scene.through(caller)
    assert scene.app.asked_for("/said") == []
    await asyncio.to_thread(scene.server.wait_idle, 10.0, ("sip_",))
    assert set((scene.server.state / "recordings").glob("*.wav")) == kept


async def test_a_message_is_no_longer_than_allowed__behaviour_7(scene: Scene) -> None:
    scene.app.answer("/voice", rcml("<Record action='/said' playBeep='false' maxLength='2'/>"))
    scene.app.answer("/said", nothing())
    caller = await scene.calling("caller_waits")
    await caller.until("ACK")
    ear(caller).say(sound.tone(700, 5.0))
    asked = await scene.app.asked("/said")
    await scene.through(caller)
    samples = await recorded(scene, asked)
    assert (len(samples), asked["RecordingDuration"]) == (16_000, "2")
