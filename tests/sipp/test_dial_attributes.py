"""Attributes of Dial that came with the other dialect: one after another, the caller's star, ways to record (docs/rcml.md, Dial)."""

from __future__ import annotations

import asyncio

import pytest

from tests.sipp.test_media import fetch_recording
from tests.support import sound
from tests.support.app import nothing, rcml
from tests.support.pace import judged_by_time
from tests.support.scene import Scene, ear

pytestmark = pytest.mark.sipp

BUSY = "SIP/2.0 486 Busy Here"
CALLBACK = "recordingStatusCallback='/recorded' recordingStatusCallbackEvent='in-progress completed'"


async def test_nouns_are_called_one_after_another__rcml_dial(scene: Scene) -> None:
    busy = await scene.called("callee_rejects", ring_ms=100, status_line=BUSY, refusal="none")
    rings = await scene.called("callee_rings")
    answers = await scene.called("callee_hangs_up", ring_ms=200, talk_ms=300)
    never = await scene.called("callee_silent")
    nouns = "".join(f"<Sip>{phone.uri}</Sip>" for phone in (busy, rings, answers, never))
    scene.app.answer("/voice", rcml(f"<Dial sequential='true' timeout='2' action='/done'>{nouns}</Dial>"))
    scene.app.answer("/done", nothing())
    caller = await scene.calling("caller_waits")
    await scene.through(caller, busy, rings, answers)
    assert caller.statuses() == [180, 200]
    assert never.messages == []
    asked = await scene.app.asked("/done")
    assert (asked["DialCallStatus"], asked["DialCallSid"]) == ("completed", answers.first("INVITE").header("X-RestComm-CallSid"))
    with judged_by_time():
        assert rings.first("INVITE").at >= busy.first("ACK").at - 0.05
        assert 1.9 < rings.first("CANCEL").at - rings.first("INVITE").at < 2.4
        assert answers.first("INVITE").at >= rings.first("CANCEL").at - 0.05


async def test_the_callers_star_hangs_up_on_the_called_party__rcml_dial(scene: Scene) -> None:
    callee = await scene.called("callee_waits")
    scene.app.answer("/voice", rcml(f"<Dial hangupOnStar='true' action='/done'>{callee.uri}</Dial>"))
    scene.app.answer("/done", rcml("<Pause length='1'/>"))
    caller = await scene.calling("caller_waits")
    await asyncio.gather(caller.until("ACK", received=False), callee.until("ACK"))
    ear(caller).press("1*")
    await scene.through(caller, callee)
    asked = await scene.app.asked("/done")
    assert (asked["DialCallStatus"], asked["CallStatus"]) == ("completed", "in-progress")
    assert callee.first("BYE").at < caller.first("BYE").at


async def test_a_dual_recording_has_a_channel_for_each__rcml_dial(scene: Scene) -> None:
    """The caller on the left; its progress is told where the Dial says."""
    callee = await scene.called("callee_waits")
    scene.app.answer("/voice", rcml(f"<Dial record='record-from-answer-dual' {CALLBACK} action='/done'>{callee.uri}</Dial>"))
    scene.app.answer("/done", nothing())
    scene.app.answer("/recorded", nothing())
    caller = await scene.calling("caller_hangs_up", talk_ms=2500)
    await asyncio.gather(caller.until("ACK", received=False), callee.until("ACK"))
    ear(caller).say(sound.chirp_up())
    ear(callee).say(sound.chirp_down())
    await ear(callee).hears(sound.chirp_up(), likeness=0.95)
    await scene.through(caller, callee)
    url = (await scene.app.asked("/done"))["RecordingUrl"]
    samples, rate = sound.read_wav(await fetch_recording(scene, url))
    assert (rate, samples.shape[1]) == (8000, 2)
    left, right = samples[:, 0], samples[:, 1]
    with judged_by_time():
        assert sound.find_in_pieces(sound.chirp_up(), left).likeness > 0.8
        assert sound.find_in_pieces(sound.chirp_down(), right).likeness > 0.8
    assert sound.find_in_pieces(sound.chirp_up(), right).likeness < 0.5
    await scene.app.asked("/recorded", 2)
    told = {request["RecordingStatus"]: request for request in scene.app.asked_for("/recorded")}
    assert set(told) == {"in-progress", "completed"}
    completed = told["completed"]
    assert (completed["RecordingUrl"], completed["RecordingSource"], completed["RecordingChannels"]) == (url, "DialVerb", "2")


async def test_a_recording_from_ringing_has_the_ringback_too__rcml_dial(scene: Scene) -> None:
    callee = await scene.called("callee_hangs_up", ring_ms=2500, talk_ms=1500)
    dial = f"<Dial answerOnBridge='false' record='record-from-ringing-dual' ringTone='de' action='/done'>{callee.uri}</Dial>"
    scene.app.answer("/voice", rcml(dial))
    scene.app.answer("/done", nothing())
    caller = await scene.calling("caller_waits")
    await callee.until("ACK")
    ear(callee).say(sound.tone(1300, 1.0))
    await scene.through(caller, callee)
    samples, _ = sound.read_wav(await fetch_recording(scene, (await scene.app.asked("/done"))["RecordingUrl"]))
    with judged_by_time():
        assert len(samples) / 8000 == pytest.approx(4.0, abs=0.6)
        assert sound.tone_seconds(samples[:, 1], 425) == pytest.approx(1.0, abs=0.2)  # what the caller heard: 425 Hz for 1 s of 5
        assert sound.tone_seconds(samples[:, 1], 1300) > 0.7
    assert sound.tone_seconds(samples[:, 0], 1300) == 0.0


async def test_a_mixed_fork_of_ten_tells_of_each_leg__behaviour_2_4_2_6_2_7(scene: Scene) -> None:
    """Ten phones, one of them by a Number and one by the old `Uri`; eight ring, one is busy, one takes it."""
    ringing = [await scene.called("callee_rings") for _ in range(7)]
    proxy = await scene.called("callee_rings", port=scene.server.proxy_port)
    busy = await scene.called("callee_rejects", ring_ms=100, status_line=BUSY, refusal="none")
    winner = await scene.called("callee_waits", ring_ms=1500)
    on = "statusCallback='/leg'"
    nouns = "".join(f"<Sip {on}>{phone.uri}</Sip>" for phone in ringing)
    nouns += f"<Number {on}>5551234?X-Which=number</Number><Uri {on}>{busy.uri}?X-Which=busy</Uri><Sip {on}>{winner.uri}</Sip>"
    scene.app.answer("/voice", rcml(f"<Dial action='/done'>{nouns}</Dial>"))
    scene.app.answer("/done", nothing())
    scene.app.answer("/leg", nothing())
    caller = await scene.calling("caller_hangs_up", talk_ms=500)
    await scene.through(caller, busy, winner, proxy, *ringing)
    assert caller.statuses() == [180, 200]
    assert (proxy.first("INVITE").header("X-Which"), busy.first("INVITE").header("X-Which")) == ("number", "busy")
    await scene.app.asked("/leg", 31)  # three of each that was not answered, four of the winner
    told = [(request["CallSid"], request["CallStatus"]) for request in scene.app.asked_for("/leg")]
    assert len(told) == len(set(told)) == 31
    assert (await scene.app.asked("/done"))["DialCallSid"] == next(sid for sid, event in told if event == "answered")
