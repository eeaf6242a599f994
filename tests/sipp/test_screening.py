"""A called party before it is connected: keys that are pressed for it, the document that it hears (behaviour 2.4, 2.5), with real audio."""

from __future__ import annotations

import asyncio

import pytest

from tests.support import sound
from tests.support.app import Answer, audio, nothing, rcml
from tests.support.pace import judged_by_time
from tests.support.scene import Scene, ear
from tests.support.sipp import Phone

pytestmark = pytest.mark.sipp

BUSY = "SIP/2.0 486 Busy Here"
WHISPER_HZ = 700


def whisper(scene: Scene, seconds: float = 1.0, then: str = "") -> None:
    """The screening document is a tone."""
    scene.app.answer("/screen", rcml(f"<Play>/whisper.wav</Play>{then}"))
    scene.app.answer("/whisper.wav", audio(sound.wav(sound.tone(WHISPER_HZ, seconds))))


async def talk_both_ways(caller: Phone, callee: Phone) -> None:
    near, far = ear(caller), ear(callee)
    near.say(sound.chirp_up())
    far.say(sound.chirp_down())
    await asyncio.gather(far.hears(sound.chirp_up(), likeness=0.95), near.hears(sound.chirp_down(), likeness=0.95))


# --- sendDigits -----------------------------------------------------------------------------------------------------


async def test_keys_are_pressed_as_events_before_the_bridge__behaviour_2_4_rfc4733(scene: Scene) -> None:
    """`w` waits half a second and `W` a second: two seconds in all before the caller is answered, who hears nothing of it."""
    callee = await scene.called("callee_waits", port=scene.server.proxy_port, ring_ms=200)
    scene.app.answer("/voice", rcml("<Dial><Number sendDigits='w1W#'>5551234</Number></Dial>"))
    caller = await scene.calling("caller_hangs_up", talk_ms=2500)
    await callee.until("ACK")
    ear(callee).say(sound.tone(1300, 1.0))  # what the other side says meanwhile is not for the caller
    await caller.until("ACK", received=False)
    assert ear(callee).digits() == "1#"
    assert sound.loud_seconds(ear(caller).heard()) == 0.0
    with judged_by_time():
        assert 1.85 < caller.first("SIP/2.0 200").at - callee.first("ACK").at < 2.3
    await talk_both_ways(caller, callee)
    await scene.through(caller, callee)
    assert caller.statuses() == [180, 200]
    assert sound.tone_seconds(ear(caller).heard(), 1300) <= 0.1  # the chirp passes by


async def test_keys_are_tones_for_a_party_without_events__behaviour_2_4(scene: Scene) -> None:
    callee = await scene.called("callee_waits_without_events", port=scene.server.proxy_port)
    scene.app.answer("/voice", rcml("<Dial><Number sendDigits='1'>5551234</Number></Dial>"))
    caller = await scene.calling("caller_hangs_up", talk_ms=600)
    await scene.through(caller, callee)
    heard = ear(callee).heard()
    with judged_by_time():  # 697 and 1209 Hz together, for 100 ms
        assert sound.tone_seconds(heard, 697, share=0.3) == pytest.approx(0.1, abs=0.05)
        assert sound.tone_seconds(heard, 1209, share=0.3) == pytest.approx(0.1, abs=0.05)
    assert ear(callee).digits() == ""


async def test_a_party_that_hangs_up_before_its_keys_are_pressed_was_never_connected__behaviour_2_4_0_7(scene: Scene) -> None:
    callee = await scene.called("callee_hangs_up", port=scene.server.proxy_port, talk_ms=400)
    scene.app.answer("/voice", rcml("<Dial action='/done'><Number sendDigits='WWWW1'>5551234</Number></Dial>"))
    scene.app.answer("/done", nothing())
    caller = await scene.calling("caller_rejected")
    await scene.through(caller, callee)
    asked = await scene.app.asked("/done")
    assert (asked["DialCallStatus"], asked["DialCallDuration"]) == ("no-answer", "0")
    assert "DialSipResponseCode" not in asked
    assert caller.statuses() == [180, 480]


async def test_strange_keys_are_named_with_their_line_and_the_rest_is_pressed__behaviour_2_4(scene: Scene) -> None:
    callee = await scene.called("callee_waits", port=scene.server.proxy_port)
    scene.app.answer("/voice", rcml("<Dial>\n<Number sendDigits='1-x2'>5551234</Number></Dial>"))
    caller = await scene.calling("caller_hangs_up", talk_ms=400)
    await scene.through(caller, callee)
    assert ear(callee).digits() == "12"


# --- screening ------------------------------------------------------------------------------------------------------


async def test_the_party_hears_its_document_and_then_the_caller__behaviour_2_5(scene: Scene) -> None:
    callee = await scene.called("callee_waits", ring_ms=200)
    whisper(scene)
    scene.app.answer("/voice", rcml(f"<Dial action='/done'><Sip url='/screen' statusCallback='/leg'>{callee.uri}</Sip></Dial>"))
    scene.app.answer("/done", nothing())
    scene.app.answer("/leg", nothing())
    caller = await scene.calling("caller_hangs_up", talk_ms=2500)
    await ear(callee).hears_tone(WHISPER_HZ, seconds=0.9)
    await caller.until("ACK", received=False)
    mark = ear(callee).mark()
    await talk_both_ways(caller, callee)
    await scene.through(caller, callee)
    assert caller.statuses() == [180, 200]
    assert sound.tone_seconds(ear(caller).heard(), WHISPER_HZ) <= 0.1  # the chirp passes by
    assert sound.tone_seconds(ear(callee).heard(mark), WHISPER_HZ) <= 0.1
    screen, done = await scene.app.asked("/screen"), await scene.app.asked("/done")
    assert screen["CallSid"] == done["DialCallSid"] != done["CallSid"]
    assert (screen["Direction"], screen["CallStatus"], screen["SipCallId"]) == (
        "outbound-dial", "in-progress", callee.first("INVITE").header("Call-ID"),
    )  # fmt: skip
    assert done["DialCallStatus"] == "completed"
    await scene.app.asked("/leg", 4)
    events = sorted((request["SequenceNumber"], request["CallStatus"]) for request in scene.app.asked_for("/leg"))
    assert events == [("0", "initiated"), ("1", "ringing"), ("2", "answered"), ("3", "completed")]


async def test_an_answered_caller_hears_ringback_during_screening__behaviour_2_5_10_2(scene: Scene) -> None:
    callee = await scene.called("callee_waits", ring_ms=100)
    whisper(scene, 1.6)
    scene.app.answer("/voice", rcml(f"<Dial answerOnBridge='false'><Sip url='/screen'>{callee.uri}</Sip></Dial>"))
    caller = await scene.calling("caller_hangs_up", talk_ms=5000)
    await callee.until("ACK")
    mark = ear(caller).mark()
    ear(callee).say(sound.tone(1300, 4.0))
    await ear(caller).hears_tone(440, seconds=0.9, since=mark)
    assert sound.tone_seconds(ear(caller).heard(), 1300) == 0.0
    await ear(caller).hears_tone(1300, seconds=0.3)  # they are connected
    ear(caller).say(sound.chirp_up())
    await ear(callee).hears(sound.chirp_up(), likeness=0.95)
    await scene.through(caller, callee)
    assert sound.tone_seconds(ear(caller).heard(), WHISPER_HZ) == 0.0


@pytest.mark.parametrize("verb", ["<Hangup/>", "<Reject/>"])
async def test_a_document_that_hangs_up_declines_and_the_caller_goes_on__behaviour_2_5(scene: Scene, verb: str) -> None:
    declined = await scene.called("callee_waits", ring_ms=100)
    other = await scene.called("callee_waits", ring_ms=100)
    scene.app.answer("/screen", rcml(verb))
    scene.app.answer("/voice", rcml(f"<Dial><Sip url='/screen'>{declined.uri}</Sip></Dial><Dial>{other.uri}</Dial>"))
    caller = await scene.calling("caller_hangs_up", talk_ms=400)
    await scene.through(caller, declined, other)
    assert caller.statuses() == [180, 200]


@pytest.mark.parametrize(
    ("page", "status", "reason"),
    [
        (rcml("<Hangup/>"), "no-answer", None),
        (Answer(status=404), "failed", "Screening document unavailable"),
        (Answer(b"<Response><Say>"), "failed", "Screening document unavailable"),
        (rcml("<Dial>5551234</Dial>"), "failed", "Screening document unavailable"),
    ],
    ids=["hangup", "404", "broken", "dial"],
)
async def test_screening_that_fails_under_answer_delay_is_480__behaviour_0_7_2_5(
    scene: Scene, page: Answer, status: str, reason: str | None
) -> None:
    callee = await scene.called("callee_waits", ring_ms=100)
    scene.app.answer("/screen", page)
    scene.app.answer("/voice", rcml(f"<Dial action='/done'><Sip url='/screen'>{callee.uri}</Sip></Dial>"))
    scene.app.answer("/done", nothing())
    caller = await scene.calling("caller_rejected")
    await scene.through(caller, callee)
    assert caller.statuses() == [180, 480]
    asked = await scene.app.asked("/done")
    assert (asked["DialCallStatus"], asked["DialCallDuration"]) == (status, "0")
    assert ("FailureReason" in asked) == (reason is not None) and (reason is None or asked["FailureReason"] == reason)


async def test_a_wrong_screening_url_ends_both_when_nothing_follows__behaviour_2_5(scene: Scene) -> None:
    """With the caller answered before: each gets a BYE."""
    callee = await scene.called("callee_waits", ring_ms=100)
    scene.app.answer("/voice", rcml(f"<Dial answerOnBridge='false'><Sip url='/nowhere'>{callee.uri}</Sip></Dial>"))
    caller = await scene.calling("caller_waits")
    await scene.through(caller, callee)
    assert (caller.requests(), callee.requests()) == (["BYE"], ["INVITE", "ACK", "BYE"])


async def test_screening_that_takes_too_long_is_over__behaviour_2_5(scene: Scene) -> None:
    callee = await scene.called("callee_waits", ring_ms=100)
    scene.app.answer("/screen", rcml("<Pause length='20'/>"))
    scene.app.answer("/voice", rcml(f"<Dial action='/done'><Sip url='/screen' timeout='2'>{callee.uri}</Sip></Dial>"))
    scene.app.answer("/done", nothing())
    caller = await scene.calling("caller_rejected")
    await scene.through(caller, callee)
    assert (await scene.app.asked("/done"))["DialCallStatus"] == "no-answer"
    with judged_by_time():
        assert callee.first("BYE").at - callee.first("ACK").at == pytest.approx(2.0, abs=0.3)


async def test_the_first_accepted_wins_and_not_the_first_to_answer__behaviour_2_5(scene: Scene) -> None:
    """Three with a document: one refuses, the quick one is declined, the slow one is accepted; the fourth never gets so far."""
    busy = await scene.called("callee_rejects", ring_ms=100, status_line=BUSY, refusal="none")
    quick = await scene.called("callee_waits", ring_ms=100)
    slow = await scene.called("callee_waits", ring_ms=800)
    rings = await scene.called("callee_rings")
    scene.app.answer("/no", rcml("<Pause length='2'/><Hangup/>"))
    whisper(scene)
    nouns = f"<Sip url='/no'>{busy.uri}</Sip><Sip url='/no'>{quick.uri}</Sip><Sip url='/screen'>{slow.uri}</Sip><Sip>{rings.uri}</Sip>"
    scene.app.answer("/voice", rcml(f"<Dial action='/done'>{nouns}</Dial>"))
    scene.app.answer("/done", nothing())
    caller = await scene.calling("caller_hangs_up", talk_ms=2500)
    await ear(slow).hears_tone(WHISPER_HZ, seconds=0.9)
    await caller.until("ACK", received=False)
    await talk_both_ways(caller, slow)
    await scene.through(caller, busy, quick, slow, rings)
    asked = await scene.app.asked("/done")
    assert asked["DialCallStatus"] == "completed"
    assert asked["DialCallSid"] == slow.first("INVITE").header("X-RestComm-CallSid")
    assert "Call completed elsewhere" in rings.first("CANCEL").header("Reason")
    assert sound.tone_seconds(ear(quick).heard(), WHISPER_HZ) == 0.0


async def test_the_caller_cancels_during_screening__behaviour_2_7_3_1(scene: Scene) -> None:
    callee = await scene.called("callee_waits", ring_ms=100)
    scene.app.answer("/screen", rcml("<Pause length='20'/>"))
    scene.app.answer("/voice", rcml(f"<Dial action='/done'><Sip url='/screen'>{callee.uri}</Sip></Dial>"))
    scene.app.answer("/done", nothing())
    caller = await scene.calling("caller_cancels", ring_ms=1500)
    await scene.through(caller, callee)
    asked = await scene.app.asked("/done")
    assert (asked["DialCallStatus"], asked["CallStatus"]) == ("canceled", "canceled")
    assert callee.requests() == ["INVITE", "ACK", "BYE"]
