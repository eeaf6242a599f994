"""The other verbs, alone and around a Dial, and which of them answers the call (behaviour 1.8, 4.4, 9)."""

from __future__ import annotations

import numpy as np
import pytest

from tests.support import sound
from tests.support.app import Answer, audio, nothing, rcml
from tests.support.pace import judged_by_time
from tests.support.scene import Scene, ear

pytestmark = pytest.mark.sipp

BUSY = "SIP/2.0 486 Busy Here"


@pytest.mark.parametrize(
    ("attributes", "status"),
    [
        ("", 603),
        ("reason='rejected'", 603),
        ("reason='busy'", 486),
        ("reason='forbidden'", 403),
        ("reason='anonymity_disallowed'", 433),
        ("reason='address_incomplete'", 484),
        ("reason='no_route'", 404),
        ("reason='service_unavailable'", 503),
        ("reason='unwanted'", 607),
        ("reason='rude'", 603),
    ],
)
async def test_reject_refuses_without_answering__behaviour_1_8(scene: Scene, attributes: str, status: int) -> None:
    scene.app.answer("/voice", rcml(f"<Reject {attributes}/>"))
    caller = await scene.calling("caller_rejected")
    await scene.through(caller)
    assert caller.statuses() == [180, status]


async def test_pause_waits_without_answering__behaviour_1_8(scene: Scene) -> None:
    scene.app.answer("/voice", rcml("<Pause length='2'/><Reject reason='busy'/>"))
    caller = await scene.calling("caller_rejected")
    await scene.through(caller)
    assert caller.statuses() == [180, 486]
    with judged_by_time():
        assert 1.9 < caller.first("SIP/2.0 486").at - caller.first("SIP/2.0 180").at < 2.6


async def test_hangup_first_declines__behaviour_1_8(scene: Scene) -> None:
    scene.app.answer("/voice", rcml("<Hangup/>"))
    caller = await scene.calling("caller_rejected")
    await scene.through(caller)
    assert caller.statuses() == [180, 603]


async def test_hangup_after_a_failed_dial_tells_its_code__behaviour_0_12(scene: Scene) -> None:
    busy = await scene.called("callee_rejects", ring_ms=100, status_line=BUSY, refusal="none")
    scene.app.answer("/voice", rcml(f"<Dial>{busy.uri}</Dial><Hangup/>"))
    caller = await scene.calling("caller_rejected")
    await scene.through(caller, busy)
    assert caller.statuses() == [180, 486]


async def test_play_answers_and_is_heard_to_its_end__behaviour_9(scene: Scene) -> None:
    scene.app.answer("/voice", rcml("<Play loop='2'>sounds/tone.wav</Play>"))
    scene.app.answer("/sounds/tone.wav", audio(sound.wav(sound.tone(700, 1.2))))
    caller = await scene.calling("caller_waits")
    await scene.through(caller)
    assert caller.statuses() == [180, 200]
    heard = ear(caller).heard()
    assert sound.tone_seconds(heard, 700) == pytest.approx(2.4, abs=0.15)
    assert sound.loud_seconds(heard) == pytest.approx(2.4, abs=0.15)


@pytest.mark.parametrize(("rate_hz", "channels"), [(16000, 1), (44100, 2)])
async def test_play_takes_any_rate_and_stereo__issue_media_worker(scene: Scene, rate_hz: int, channels: int) -> None:
    """The file's samples are read at another rate, so the tone that is heard is 500 Hz times that."""
    pitch = 500 * rate_hz / 8000
    hz = pitch if pitch < 3400 else 500.0
    wave = sound.tone(hz * 8000 / rate_hz, 1.0 * rate_hz / 8000)
    scene.app.answer("/voice", rcml("<Play>/tone.wav</Play>"))
    scene.app.answer("/tone.wav", audio(sound.wav(wave, rate_hz, channels)))
    caller = await scene.calling("caller_waits")
    await scene.through(caller)
    assert sound.tone_seconds(ear(caller).heard(), hz) == pytest.approx(1.0, abs=0.15)


async def test_play_that_cannot_be_had_ends_the_call__behaviour_9(scene: Scene) -> None:
    never = await scene.called("callee_silent")
    scene.app.answer("/voice", rcml(f"<Play>/missing.wav</Play><Dial>{never.uri}</Dial>"))
    caller = await scene.calling("caller_waits")
    await scene.through(caller)
    assert caller.requests() == ["BYE"]
    assert never.messages == []


async def test_say_answers_and_speaks__behaviour_9(scene: Scene) -> None:
    scene.app.answer("/voice", rcml("<Say>The quick brown fox jumps over the lazy dog.</Say>"))
    caller = await scene.calling("caller_waits")
    await scene.through(caller)
    assert caller.statuses() == [180, 200]
    spoken = sound.loud_seconds(ear(caller).heard())
    assert 1.2 < spoken < 6.0


async def test_play_before_a_dial_makes_it_a_dial_of_an_answered_caller__behaviour_4_4(scene: Scene) -> None:
    """The failure ends in a BYE then, and meanwhile there is ringback."""
    busy = await scene.called("callee_rejects", ring_ms=1500, status_line=BUSY, refusal="none")
    scene.app.answer("/voice", rcml(f"<Play>/tone.wav</Play><Dial>{busy.uri}</Dial>"))
    scene.app.answer("/tone.wav", audio(sound.wav(sound.tone(700, 0.6))))
    caller = await scene.calling("caller_waits")
    await scene.through(caller, busy)
    assert caller.statuses() == [180, 200]
    heard = ear(caller).heard()
    assert sound.tone_seconds(heard, 700) == pytest.approx(0.6, abs=0.1)
    with judged_by_time():
        assert sound.tone_seconds(heard, 440, share=0.3) > 0.8


async def test_play_after_a_failed_dial_answers_and_is_heard_completely__behaviour_4_4(scene: Scene) -> None:
    busy = await scene.called("callee_rejects", ring_ms=200, status_line=BUSY, refusal="none")
    answers = await scene.called("callee_hangs_up", ring_ms=200, talk_ms=300)
    scene.app.answer("/voice", rcml(f"<Dial action='/done'>{busy.uri}</Dial>"))
    scene.app.answer("/done", rcml(f"<Play>/tone.wav</Play><Dial>{answers.uri}</Dial>"))
    scene.app.answer("/tone.wav", audio(sound.wav(sound.tone(700, 1.0))))
    caller = await scene.calling("caller_waits")
    await scene.through(caller, busy, answers)
    assert caller.statuses() == [180, 200]
    assert sound.tone_seconds(ear(caller).heard(), 700) == pytest.approx(1.0, abs=0.1)
    with judged_by_time():
        assert answers.first("INVITE").at - caller.first("SIP/2.0 200").at > 0.9


async def test_the_next_verb_runs_when_the_called_party_has_hung_up__behaviour_2_8(scene: Scene) -> None:
    callee = await scene.called("callee_hangs_up", ring_ms=200, talk_ms=500)
    scene.app.answer("/voice", rcml(f"<Dial>{callee.uri}</Dial><Play>/bye.wav</Play>"))
    scene.app.answer("/bye.wav", audio(sound.wav(sound.tone(700, 0.8))))
    caller = await scene.calling("caller_waits")
    await scene.through(caller, callee)
    assert sound.tone_seconds(ear(caller).heard(), 700) == pytest.approx(0.8, abs=0.1)


async def test_redirect_goes_on_elsewhere_without_answering__behaviour_1_8(scene: Scene) -> None:
    scene.app.answer("/voice", rcml("<Redirect>deeper/next?step=2</Redirect><Play>/never.wav</Play>"))
    scene.app.answer("/deeper/next", rcml("<Redirect method='GET'>last</Redirect>"))
    scene.app.answer("/deeper/last", rcml("<Reject reason='busy'/>"))
    caller = await scene.calling("caller_rejected")
    await scene.through(caller)
    assert caller.statuses() == [180, 486]
    first, second, third = scene.app.requests
    assert [(r.method, r.path) for r in (first, second, third)] == [("POST", "/voice"), ("POST", "/deeper/next"), ("GET", "/deeper/last")]
    assert second.query == (("step", "2"),)
    assert second.parameters == first.parameters == third.parameters


async def test_unknown_verbs_are_skipped_and_names_are_case_sensitive__behaviour_1_7(scene: Scene) -> None:
    scene.app.answer("/voice", rcml("<Dance/><play>/x.wav</play><!-- a comment --><Reject reason='busy'/>"))
    caller = await scene.calling("caller_rejected")
    await scene.through(caller)
    assert caller.statuses() == [180, 486]


async def test_the_end_of_the_document_ends_an_answered_call__behaviour_1_7(scene: Scene) -> None:
    scene.app.answer("/voice", rcml("<Play>/tone.wav</Play>"))
    scene.app.answer("/tone.wav", audio(sound.wav(sound.tone(700, 0.2))))
    caller = await scene.calling("caller_waits")
    await scene.through(caller)
    assert caller.requests() == ["BYE"]


async def test_a_text_answer_is_spoken__behaviour_1_7(scene: Scene) -> None:
    scene.app.answer("/voice", Answer(b"Good morning, this is a test.", content_type="text/plain; charset=utf-8"))
    caller = await scene.calling("caller_waits")
    await scene.through(caller)
    assert sound.loud_seconds(ear(caller).heard()) > 0.7


async def test_an_audio_answer_is_played__behaviour_1_7(scene: Scene) -> None:
    scene.app.answer("/voice", audio(sound.wav(sound.tone(700, 0.7))))
    caller = await scene.calling("caller_waits")
    await scene.through(caller)
    assert sound.tone_seconds(ear(caller).heard(), 700) == pytest.approx(0.7, abs=0.1)


async def test_an_empty_answer_ends_the_call__behaviour_1_7(scene: Scene) -> None:
    scene.app.answer("/voice", nothing())
    caller = await scene.calling("caller_rejected")
    await scene.through(caller)
    assert caller.statuses()[-1] >= 400


async def test_say_pauses_where_its_markup_says__rcml_say(scene: Scene) -> None:
    scene.app.answer("/voice", rcml("<Say>One<break time='3s'/>two</Say>"))
    caller = await scene.calling("caller_waits")
    await scene.through(caller)
    heard = ear(caller).heard()
    loud = np.flatnonzero(np.abs(heard) > 300)
    assert np.max(np.diff(loud)) / 8000 == pytest.approx(3.1, abs=0.5)


async def test_play_presses_keys__rcml_play(scene: Scene) -> None:
    scene.app.answer("/voice", rcml("<Play digits='w12#A' loop='2'/>"))
    caller = await scene.calling("caller_waits")
    await scene.through(caller)
    assert ear(caller).digits() == "12#A12#A"
