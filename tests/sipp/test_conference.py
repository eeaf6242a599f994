"""Conferences on the wire: three callers with three codecs, tones told apart, and what the application is told (behaviour.md 2.10)."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Sequence

import numpy as np
import pytest

from tests.sipp.test_media import fetch_recording
from tests.support import sound
from tests.support.app import audio, nothing, rcml
from tests.support.codec_phone import G722, PCMA, PCMU, CodecPhone, Format, encode_all
from tests.support.likeness import level_at, tone
from tests.support.pace import in_time, judged_by_time
from tests.support.scene import Scene
from tests.support.server import ANSWERING
from tests.support.sipp import Phone

pytestmark = [pytest.mark.sipp, pytest.mark.sound]

TONES_HZ = (500.0, 900.0, 1400.0)
FORMATS = (PCMU, PCMA, G722)
LEVEL = 4000
DOOR_HZ = 1000.0


def room(attributes: str = "", dial: str = "action='/done'") -> str:
    return f"<Dial {dial}><Conference {attributes}>blue</Conference></Dial>"


async def caller(scene: Scene, format: Format, *, talk_ms: int = 0) -> Phone:
    """One with a codec of its own, which is in the room when this returns. talk_ms 0: until the server hangs up."""
    rtp = await scene.codec(format)
    keys: dict[str, str | int] = {"number": ANSWERING, "payloads": format.payload_type, "talk_ms": talk_ms or 1}
    phone = Phone(
        "caller_hangs_up" if talk_ms else "caller_waits",
        scene.directory,
        remote=("127.0.0.1", scene.server.sip_port),
        rtp=rtp,
        keys=keys,
        timeout_s=60.0,
    )
    await scene.playing(phone)
    await phone.until("ACK")
    return phone


def ear(phone: Phone) -> CodecPhone:
    assert isinstance(phone.rtp, CodecPhone)
    return phone.rtp


def speak(phones: Sequence[Phone]) -> None:
    """Each says its own tone, for longer than any test takes."""
    for phone, hz in zip(phones, TONES_HZ, strict=False):
        ear(phone).say_encoded(encode_all(ear(phone).format, tone(ear(phone).format.rate_hz, hz, 2.0, LEVEL)) * 30)


async def hear(phones: Sequence[Phone], expected: Sequence[set[int]]) -> None:
    """From now on each hears these others at about the level at which they speak, and nobody else."""

    async def listen() -> None:
        await asyncio.sleep(0.6)
        marks = [ear(phone).mark() for phone in phones]
        await asyncio.sleep(0.8)
        for phone, since, others in zip(phones, marks, expected, strict=True):
            heard = ear(phone).heard(since)
            heard = heard[len(heard) // 8 :]
            assert len(heard), "nothing came"
            for index, hz in enumerate(TONES_HZ):
                level = level_at(heard, hz, ear(phone).format.rate_hz)
                assert (0.5 * LEVEL < level < 1.4 * LEVEL) if index in others else level < LEVEL / 25, (
                    ear(phone).format.name,
                    index,
                    level,
                )

    await in_time(listen, rest_s=1.0, memory_s=5.0)


def share_of_sound(heard: sound.Samples) -> float:
    """How much of it is not silence."""
    return float((np.abs(heard.astype(int)) > 200).mean()) if len(heard) else 0.0


async def sounds(phone: Phone, *, least: float = 0.3, since: int = 0) -> None:
    """Until something is heard for most of the last second."""
    for _ in range(150):
        await asyncio.sleep(0.1)
        if share_of_sound(ear(phone).heard(max(since, ear(phone).mark() - 50))) > least:
            return
    pytest.fail("nothing is heard")


def answers(scene: Scene, *documents: str) -> None:
    """The callers' documents, in the order of their calls; their action's answer is empty, so the call ends with it."""
    scene.app.answer("/voice", *map(rcml, documents))
    scene.app.answer("/done", nothing())


async def test_three_codecs_hear_each_other_and_not_themselves__behaviour_2_10(scene: Scene) -> None:
    answers(scene, room(), room(), room("endConferenceOnExit='true'"))
    phones = [await caller(scene, PCMU), await caller(scene, PCMA), await caller(scene, G722, talk_ms=8000)]
    speak(phones)
    await hear(phones, [{1, 2}, {0, 2}, {0, 1}])
    await scene.through(*phones)
    for count in (1, 2, 3):
        told = await scene.app.asked("/done", count)
        assert told["DialCallStatus"] == "completed"
        assert not {"DialCallSid", "DialCallDuration", "DialRingDuration", "RecordingUrl"} & set(told.names)
    assert sorted(told["CallStatus"] for told in scene.app.asked_for("/done")) == ["completed", "in-progress", "in-progress"]
    assert {packet.payload_type for packet in ear(phones[2]).packets} == {9}


async def test_music_is_heard_alone_and_a_tone_at_the_door__behaviour_2_10(scene: Scene) -> None:
    answers(scene, room(dial="action='/done' timeLimit='14'"), room())
    first = await caller(scene, PCMU)
    await sounds(first)
    since = ear(first).mark()
    second = await caller(scene, PCMA, talk_ms=4000)
    await ear(first).hears_tone(DOOR_HZ, seconds=0.1, since=since)

    async def silence() -> None:
        await asyncio.sleep(0.3)
        mark = ear(first).mark()
        await asyncio.sleep(0.5)
        assert share_of_sound(ear(first).heard(mark)) == 0.0  # the music is over, and nobody speaks

    await in_time(silence)
    await scene.through(second)
    await sounds(first)  # alone, and music again
    await scene.through(first)
    assert [told["DialCallStatus"] for told in scene.app.asked_for("/done")] == ["completed"] * 2
    assert [told["CallStatus"] for told in scene.app.asked_for("/done")] == ["completed", "in-progress"]


async def test_a_muted_one_hears_and_is_not_heard__behaviour_2_10(scene: Scene) -> None:
    answers(scene, room("muted='true'"), room(), room("endConferenceOnExit='true'"))
    phones = [await caller(scene, PCMU), await caller(scene, PCMA), await caller(scene, G722, talk_ms=8000)]
    speak(phones)
    await hear(phones, [{1, 2}, {2}, {1}])
    await scene.through(*phones)


async def test_who_waits_hears_the_applications_document_until_the_moderator_comes__behaviour_2_10(scene: Scene) -> None:
    answers(scene, *[room("startConferenceOnEnter='false' waitUrl='/wait' waitMethod='GET'")] * 2, room("endConferenceOnExit='true'"))
    scene.app.answer("/wait", rcml("<Play>/wait.wav</Play><Pause length='1'/>"))
    scene.app.answer("/wait.wav", audio(sound.wav(sound.tone(1900, 1.0))))
    waiting = [await caller(scene, PCMU), await caller(scene, PCMA)]
    speak(waiting)
    for phone in waiting:
        heard_for = await ear(phone).hears_tone(1900, seconds=2.0, timeout_s=10.0)
        assert heard_for >= 2.0  # again and again
        with judged_by_time():
            assert all(level_at(ear(phone).heard(), hz, 8000) < LEVEL / 25 for hz in TONES_HZ)
    asked = await scene.app.asked("/wait")
    assert (asked.method, asked["CallStatus"], asked["To"]) == ("GET", "in-progress", ANSWERING)
    moderator = await caller(scene, G722, talk_ms=8000)
    speak([*waiting, moderator])
    await hear([*waiting, moderator], [{1, 2}, {0, 2}, {0, 1}])
    await scene.through(*waiting, moderator)
    assert len(scene.app.asked_for("/wait")) == 2


async def test_a_full_room_is_told_as_busy_and_its_status_callback_tells_the_rest__behaviour_2_10(scene: Scene) -> None:
    own = "maxParticipants='2' statusCallback='/room' statusCallbackEvent='start end join leave'"
    answers(scene, room(own), room("endConferenceOnExit='true'"), room(own))
    scene.app.answer("/room", nothing())
    first = await caller(scene, PCMU)
    second = await caller(scene, PCMA, talk_ms=5000)
    third = await caller(scene, G722)
    told = await scene.app.asked("/done")
    assert (told["DialCallStatus"], told["CallStatus"]) == ("busy", "in-progress")
    await scene.through(first, second, third)
    await scene.app.asked("/room", 6)
    asked = sorted(scene.app.asked_for("/room"), key=lambda one: int(one["SequenceNumber"]))
    assert [one["StatusCallbackEvent"] for one in asked] == [
        "participant-join",
        "participant-join",
        "conference-start",
        "participant-leave",
        "participant-leave",
        "conference-end",
    ]
    assert len({one["ConferenceSid"] for one in asked}) == 1 and {one["FriendlyName"] for one in asked} == {"blue"}
    assert asked[0]["CallSid"] == asked[4]["CallSid"] != asked[1]["CallSid"] == asked[3]["CallSid"] == asked[5]["CallSidEndingConference"]


async def test_a_recorded_stay_holds_all_voices__rcml_md(scene: Scene) -> None:
    answers(scene, room("record='record-from-start'"), room(), room("endConferenceOnExit='true'"))
    phones = [await caller(scene, PCMU), await caller(scene, PCMA), await caller(scene, G722, talk_ms=8000)]
    speak(phones)
    await hear(phones, [{1, 2}, {0, 2}, {0, 1}])
    await scene.through(*phones)
    await scene.app.asked("/done", 3)
    (told,) = [one for one in scene.app.asked_for("/done") if "RecordingUrl" in one]
    samples, rate = sound.read_wav(await fetch_recording(scene, told["RecordingUrl"]))
    tail = samples[-2 * rate :, 0]
    with judged_by_time():
        assert all(level_at(tail, hz, rate) > LEVEL / 3 for hz in TONES_HZ)


async def test_the_workers_death_ends_the_room_and_the_next_one_works__behaviour_3_1(scene: Scene) -> None:
    answers(scene, room())
    phones = [await caller(scene, PCMU), await caller(scene, PCMA)]
    for pid in scene.server.worker_pids():
        os.kill(pid, signal.SIGKILL)
    await scene.through(*phones)
    await scene.app.asked("/done", 2)
    assert [told["DialCallStatus"] for told in scene.app.asked_for("/done")] == ["failed"] * 2
    for _ in range(200):
        if scene.server.health()[0] == 200:
            break
        await asyncio.sleep(0.05)
    answers(scene, room(), room("endConferenceOnExit='true'"))
    phones = [await caller(scene, PCMU), await caller(scene, G722, talk_ms=6000)]
    speak(phones)
    await hear(phones, [{1}, {0}])
    await scene.through(*phones)
