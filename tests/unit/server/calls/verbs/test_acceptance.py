"""Between a called party's answer and the bridge: keys that are pressed for it (behaviour 2.4)."""

from __future__ import annotations

import pytest

from media.settings import KNOWN_CODECS, MediaSettings
from server.calls.keys import pressing_s
from server.calls.legs.outbound import ELSEWHERE
from server.calls.records import By, Cause
from sip.core import commands
from tests.support.descriptions import sdp
from tests.unit.server.calls.bench import ONE, Bench, dial
from tests.unit.server.calls.verbs.screening import ALICE, rests, screened, told

PRESSING = '<Number sendDigits="ww12#W3">1-444-555-6666</Number>'


def test_keys_take_200_ms_and_pauses_half_a_second_or_one__behaviour_2_4() -> None:
    assert pressing_s("ww12#W3") == pytest.approx(2 * 0.5 + 3 * 0.2 + 1.0 + 0.2)


def test_keys_are_pressed_before_the_bridge_and_the_caller_is_answered_behind_them__behaviour_2_4() -> None:
    bench = Bench(dial(PRESSING))
    bench.progress(0)
    bench.answer(0)
    (press,) = bench.engine.digits
    assert (press.stream, press.digits, press.tone_ms, press.gap_ms) == (str(bench.leg(0)), "ww12#W3", 100, 100)
    assert bench.order() == ["180", "INVITE"] and not bench.engine.bridges
    bench.run(pressing_s("ww12#W3") - 0.01)
    assert not bench.engine.bridges
    bench.run(0.02)
    assert bench.order() == ["180", "INVITE", "200"]
    assert len(bench.engine.bridges) == 1
    bench.run(3.0)
    bench.bye_from(bench.leg(0))
    assert told(bench) == ("completed", "5", None)  # from its answer on, the keys included
    rests(bench)


def test_a_party_with_keys_has_won_by_its_answer__behaviour_2_4_2_7() -> None:
    bench = Bench(dial(PRESSING + ONE))
    bench.progress(1)
    bench.answer(0)
    (cancel,) = bench.of(commands.SendCancel)
    assert (cancel.session, cancel.reason) == (bench.leg(1), ELSEWHERE)
    bench.run(5.0)
    assert bench.order() == ["180", "INVITE", "INVITE", "CANCEL", "200"]


def test_a_party_that_hangs_up_during_its_keys_was_never_connected__behaviour_2_4_0_7() -> None:
    bench = Bench(dial(PRESSING))
    bench.answer(0)
    bench.run(1.0)
    bench.bye_from(bench.leg(0))
    assert told(bench) == ("no-answer", "0", None)
    bench.run(0.1)
    assert bench.order() == ["180", "INVITE", "480"]
    assert [(record.ended.cause, record.ended.by) for record in bench.records if record.parent_sid] == [(Cause.NO_ANSWER, By.CALLEE)]
    rests(bench)


def test_the_caller_who_leaves_during_the_keys_takes_the_party_down__behaviour_2_4_2_7() -> None:
    bench = Bench(dial(PRESSING))
    bench.answer(0)
    bench.run(1.0)
    bench.cancel()
    assert bench.order() == ["180", "INVITE", "BYE", "487"]
    assert told(bench)[:2] == ("canceled", "0")
    rests(bench)


def test_an_answered_caller_hears_ringback_while_keys_are_pressed__behaviour_2_4() -> None:
    bench = Bench(dial(PRESSING, 'answerOnBridge="false"'))
    bench.answer(0)
    assert [play.tone for play in bench.engine.played] == ["ringback"]
    ringback = bench.engine.played[0]
    assert bench.engine.streams[ringback.stream].play == ringback.play  # still to be heard
    bench.run(5.0)
    assert len(bench.engine.bridges) == 1 and not bench.engine.streams[ringback.stream].play


def test_early_media_is_not_heard_any_more_while_keys_are_pressed__behaviour_2_4_0_1() -> None:
    bench = Bench(dial(PRESSING))
    bench.progress(0, 183, sdp("192.0.2.8"))
    assert len(bench.engine.bridges) == 1
    bench.answer(0)
    assert not bench.engine.bridges
    bench.run(5.0)
    assert len(bench.engine.bridges) == 1


def test_keys_come_before_the_document__behaviour_2_4_2_5() -> None:
    bench = screened('<Number url="/screen" sendDigits="w1">1234</Number>')
    bench.answer(0)
    bench.run(0.6)
    assert bench.web.of("screening") == [] and len(bench.engine.digits) == 1
    bench.run(0.2)
    assert len(bench.web.of("screening")) == 1
    bench.run(1.5)
    assert len(bench.engine.bridges) == 1


def test_codecs_that_only_pass_are_not_offered_to_whom_something_is_played__behaviour_2_5() -> None:
    for nouns, offered in ((ONE, True), (ALICE, False), ('<Number sendDigits="1">12</Number>', False)):
        bench = Bench(dial(nouns), offer=sdp("192.0.2.7", 4000, "18 0 101"), media=MediaSettings(codecs=KNOWN_CODECS))
        assert (b"RTP/AVP 18 " in bench.of(commands.SendInvite)[0].body) is offered
