"""A codec that can only pass (G.729): both legs have it or neither does, whatever happens in between (docs/sdp.md)."""

from __future__ import annotations

import pytest

from server.calls.policy import Application
from sip.core import commands, events
from tests.support.descriptions import sdp
from tests.unit.server.calls.bench import ACTION, IN, ONE, Bench, dial
from tests.unit.server.calls.negotiating import ALL, answered, ask, callee, caller, connected, facts, numbers, offered, talking

NEXT = "<Dial><Sip>sip:dave@192.0.2.11</Sip></Dial>"


def test_g729_passes_when_both_have_it_and_prompts_have_a_codec_of_their_own__sdp_md() -> None:
    bench = talking("18 8 101", "18 101", media=ALL)
    assert "18" in offered(bench) and answered(bench) == ["18", "8", "101"]
    assert [fact["audio"] for fact in facts(bench, "bridge")] == ["passes G729"]
    assert [codec.name for codec in connected(bench).codecs] == ["PCMA", "G729", "telephone-event"]
    assert not bench.engine.complaints


def test_g729_takes_no_part_in_a_conference__sdp_md() -> None:
    """A called party that speaks nothing else is sent into a room."""
    bench = talking("18 8 101", "18 101", media=ALL)
    (callee_leg,) = (leg.sid for call in bench.registry.calls.values() for leg in call.legs)
    bench.web.pages["http://app/room"] = dial("<Conference>room</Conference>")
    bench.act(bench.registry.redirect(callee_leg, Application("", "http://app/room"), bench.now))
    bench.run(1)
    assert "failed" in [told["DialCallStatus"] for told in bench.web.of("action")] and 11008 in [item.code for item in bench.notifications]
    assert bench.engine.mixes == {} and bench.registry.counts()["rooms"] == 0


def test_callee_that_takes_another_codec_than_g729_decides__sdp_md() -> None:
    bench = talking("18 8 101", "8 18 101", media=ALL)
    assert answered(bench) == ["8", "101"]


def test_g729_behind_another_codec_binds_nobody_to_it__sdp_md() -> None:
    """The callee speaks PCMU; in G.729 the caller would be heard, but bound to this callee."""
    bench = Bench(dial(ONE), offer=caller("18 8"), media=ALL)
    bench.progress(0, 183, callee("0 18"))
    assert [codec.name for codec in connected(bench).codecs] == ["PCMA"]
    bench.answer(0, callee("0"))
    assert answered(bench) == ["8"] and not bench.engine.complaints


@pytest.mark.parametrize(
    ("document", "offer"),
    [
        (dial(ONE), caller("0 8")),
        (dial(ONE), b""),
        (dial(ONE, 'record="true"'), caller("18 8")),
        (dial(ONE, 'dialMusic="http://app/m.wav"'), caller("18 8")),
        (dial(ONE, 'answerOnBridge="false"'), caller("18 8")),
    ],
    ids=["unknown to the caller", "late offer", "recorded", "music", "answered before"],
)
def test_g729_is_not_offered_where_it_could_not_pass__sdp_md(document: str, offer: bytes) -> None:
    bench = Bench(document, offer=offer, media=ALL)
    assert "18" not in offered(bench)


def test_g729_is_off_unless_the_setting_names_it() -> None:
    assert "18" not in offered(Bench(dial(ONE), offer=caller("18 8")))


def test_caller_with_nothing_but_g729_is_refused__sdp_md() -> None:
    bench = Bench(dial(ONE), offer=caller("18 101"), media=ALL)
    assert bench.order() == ["488"]


def test_early_media_in_g729_is_not_passed_on__sdp_md() -> None:
    """It would bind the caller to this callee before it has answered."""
    bench = Bench(dial(ONE), offer=caller("18 8"), media=ALL)
    bench.progress(0, 183, callee("18"))
    assert bench.order() == ["180", "INVITE"]
    bench.fail(0, 486)
    bench.run(1.0)


def test_next_callee_of_a_g729_caller_is_offered_that_alone__sdp_md() -> None:
    bench = Bench(dial(ONE, f'action="{ACTION}"'), offer=caller("18 8"), media=ALL, action=f"<Response>{NEXT}</Response>")
    bench.answer(0, callee("18"))
    bench.give(events.AnswerAcked(IN, b"", ""))
    bench.bye_from(bench.leg(0))
    bench.run(2.0)
    assert offered(bench, 1) == ["18", "13", "101"]


def test_reinvite_away_from_a_passing_g729_is_488_and_it_goes_on__sdp_md() -> None:
    bench = talking("18 8", "18", media=ALL)
    refused = ask(bench, caller("8"))
    assert refused.status == 488 and 'speaks G729, which cannot be transcoded here"' in dict(refused.headers)["Warning"]
    assert numbers(ask(bench, caller("8 18")).body) == ["18", "8"]
    assert not facts(bench, "codecs-changed")


def test_empty_reinvite_in_a_g729_call_is_offered_that_alone__sdp_md() -> None:
    bench = talking("18 8", "18", media=ALL)
    assert numbers(ask(bench, b"", bench.leg(0)).body) == ["18", "13", "101"]


def test_hold_in_a_g729_call_may_name_nothing_else__sdp_md() -> None:
    """Phones mostly offer again what was agreed on, and that alone."""
    bench = talking("18 8", "18", media=ALL)
    for session in (IN, bench.leg(0)):
        answer = ask(bench, caller("18"), session)
        assert answer.status == 200 and numbers(answer.body) == ["18"]
    assert not bench.engine.complaints and not facts(bench, "codecs-changed")


def test_g729_alone_is_refused_when_its_counterpart_is_gone__sdp_md() -> None:
    bench = Bench(dial(ONE, "", "<Pause length='9'/>"), offer=caller("18 8"), media=ALL)
    bench.answer(0, callee("18"))
    bench.give(events.AnswerAcked(IN, b"", ""))
    bench.bye_from(bench.leg(0))
    bench.run(2.0)
    assert ask(bench, caller("18")).status == 488


def test_audio_may_be_turned_off_in_a_g729_call__rfc3264_8_2() -> None:
    bench = talking("18 8", "18", media=ALL)
    answer = ask(bench, sdp("192.0.2.7", 0, "18 8"))
    assert answer.status == 200 and b"m=audio 0 " in answer.body


def test_a_callee_whose_forks_differ_is_not_bridged_when_its_g729_has_no_counterpart__sdp_md() -> None:
    """The 183 of one fork bound the caller to PCMA, then another fork answers with what only it understands."""
    bench = Bench(dial(ONE), offer=caller("18 8"), media=ALL)
    bench.progress(0, 183, callee("8"))
    bench.answer(0, callee("18"))
    bench.run(1.0)
    bench.bye_answered(0)
    assert bench.of(commands.SendBye)[0].session == bench.leg(0) and not bench.of(commands.SendAnswer)
    assert bench.action["DialCallStatus"] == "failed" and "G729" in bench.action["FailureReason"]
    assert bench.order()[-1] == "502"


def test_early_media_ends_when_another_fork_goes_on_in_g729__sdp_md() -> None:
    bench = Bench(dial(ONE), offer=caller("18 8"), media=ALL)
    bench.progress(0, 183, callee("8"))
    bench.give(events.InviteProgressed(bench.leg(0), bench.response(0, 183, callee("18")), "another"))
    assert not bench.engine.bridges and [play.tone for play in bench.engine.played] == ["ringback"]
    bench.answer(0, callee("8"))
    assert len(bench.engine.bridges) == 1 and [fact["audio"] for fact in facts(bench, "bridge")] == ["passes PCMA"] * 2


def test_a_g729_callee_is_not_bridged_with_a_caller_that_left_g729_meanwhile__sdp_md() -> None:
    bench = Bench(dial(ONE, f'action="{ACTION}"'), offer=caller("18 8"), media=ALL, action=f"<Response>{NEXT}</Response>")
    bench.answer(0, callee("18"))
    bench.give(events.AnswerAcked(IN, b"", ""))
    bench.bye_from(bench.leg(0))
    bench.run(2.0)
    assert numbers(ask(bench, caller("8")).body) == ["8"]
    bench.answer(1, callee("18"))
    bench.run(1.0)
    assert not bench.engine.complaints and len(facts(bench, "bridge")) == 1
    assert [bye.session for bye in bench.of(commands.SendBye)] == [bench.leg(1), IN]


def test_a_g729_call_is_not_recorded_and_the_author_is_told__sdp_md() -> None:
    """Its caller is bound to G.729 by the Dial before; the recording would hold silence."""
    record = '<Response><Dial record="true"><Sip>sip:dave@192.0.2.11</Sip></Dial></Response>'
    bench = Bench(dial(ONE, f'action="{ACTION}"'), offer=caller("18 8"), media=ALL, action=record)
    bench.answer(0, callee("18"))
    bench.give(events.AnswerAcked(IN, b"", ""))
    bench.bye_from(bench.leg(0))
    bench.run(2.0)
    bench.answer(1, callee("18"))
    assert len(facts(bench, "bridge")) == 2 and not bench.engine.recordings
    (told,) = [one for one in bench.notifications if one.code == 13610]
    assert told.level == "error" and "G729" in told.message


def test_answer_in_a_g729_call_that_takes_what_was_not_offered_changes_nothing__rfc3264_6_1() -> None:
    bench = talking("18 8", "18", media=ALL)
    ask(bench, b"", bench.leg(0))
    bench.give(events.ReinviteAcked(bench.leg(0), callee("8"), "application/sdp"))
    assert connected(bench, 0).codecs[0].name == "G729" and not bench.engine.complaints
    assert len(facts(bench, "answer-refused")) == 1 and not facts(bench, "codecs-changed")


def test_a_bridge_that_is_over_binds_its_caller_no_more__sdp_md() -> None:
    """The timeLimit has parted them; the callee's answer to our BYE is still waited for."""
    bench = Bench(dial(ONE, "timeLimit='5'", "<Pause length='9'/>"), offer=caller("18 8"), media=ALL)
    bench.answer(0, callee("18"))
    bench.give(events.AnswerAcked(IN, b"", ""))
    bench.run(5.1)
    assert bench.verbs() == ["Dial"]
    assert numbers(ask(bench, caller("8")).body) == ["8"]
