"""Nouns that are called one after another, and the caller's star (docs/rcml.md, Dial)."""

from __future__ import annotations

import pytest

from media import engine
from sip.core import commands, events
from tests.unit.server.calls.bench import ACTION, IN, THREE, TWO, Bench, dial
from tests.unit.server.calls.verbs.screening import ALICE, screened

ONE_BY_ONE = f'sequential="true" timeout="10" action="{ACTION}"'


def star(bench: Bench, key: str = "*") -> None:
    bench.give_engine(engine.Digit(stream=bench.sid, digit=key, duration_ms=100))


def test_the_next_noun_is_called_when_the_one_before_has_refused__rcml_dial() -> None:
    bench = Bench(dial(THREE, ONE_BY_ONE))
    assert bench.order() == ["180", "INVITE"]
    bench.fail(0, 486)
    bench.run(0.1)
    assert bench.order() == ["180", "INVITE", "INVITE"]
    bench.answer(1)
    bench.run(5.0)
    assert bench.order() == ["180", "INVITE", "INVITE", "200"]  # nobody is left to be cancelled, the third is never called
    bench.bye_from(bench.leg(1))
    assert (bench.action["DialCallStatus"], bench.action["DialCallSid"]) == ("completed", str(bench.leg(1)))


def test_each_noun_has_the_timeout_for_itself__rcml_dial() -> None:
    bench = Bench(dial(TWO, ONE_BY_ONE))
    bench.progress(0)
    bench.run(9.8)
    assert bench.order() == ["180", "INVITE"]
    bench.run(0.3)
    assert bench.order() == ["180", "INVITE", "CANCEL", "INVITE"]
    bench.give(events.InviteFailed(bench.leg(0), events.FailureCause.CANCELED, None))
    bench.run(9.8)
    assert bench.web.of("action") == []
    bench.run(0.3)
    assert (bench.action["DialCallStatus"], bench.action["DialCallSid"]) == ("no-answer", str(bench.leg(1)))
    assert bench.action["DialRingDuration"] == "10"
    bench.run(0.1)
    assert bench.order() == ["180", "INVITE", "CANCEL", "INVITE", "CANCEL", "408"]


def test_the_last_that_was_called_is_reported__behaviour_3_3() -> None:
    bench = Bench(dial(TWO, ONE_BY_ONE))
    bench.fail(0, 486)
    bench.run(0.1)
    bench.fail(1, 404, "Not Found")
    assert (bench.action["DialCallStatus"], bench.action["DialSipResponseCode"]) == ("failed", "404")


def test_a_declined_party_makes_room_for_the_next__behaviour_2_5() -> None:
    bench = screened(ALICE + TWO, "<Response><Hangup/></Response>", ONE_BY_ONE)
    bench.answer(0)
    bench.run(0.2)
    assert bench.order() == ["180", "INVITE", "BYE", "INVITE"]
    bench.answer(1)
    assert len(bench.engine.bridges) == 1


def test_a_screened_party_may_take_longer_than_the_timeout__behaviour_2_5() -> None:
    bench = screened(ALICE + TWO, "<Response><Pause length='20'/></Response>", ONE_BY_ONE)
    bench.run(9.0)
    bench.answer(0)
    bench.run(15.0)
    assert bench.order() == ["180", "INVITE"]
    bench.run(6.0)
    assert len(bench.engine.bridges) == 1


def test_the_caller_who_leaves_ends_the_sequence__behaviour_2_7() -> None:
    bench = Bench(dial(THREE, ONE_BY_ONE))
    bench.fail(0, 486)
    bench.run(0.1)
    bench.cancel()
    bench.give(events.InviteFailed(bench.leg(1), events.FailureCause.CANCELED, None))
    bench.give(events.SessionEnded(IN, events.EndCause.REJECTED))
    bench.run(60.0)
    assert bench.order() == ["180", "INVITE", "INVITE", "CANCEL", "487"]
    assert bench.action["DialCallStatus"] == "canceled"
    assert not any(bench.registry.counts().values()) and bench.engine.empty
    assert len([record for record in bench.records if record.parent_sid]) == 2  # the third never was a leg


def test_the_operator_who_ends_a_ringing_leg_makes_room_for_the_next__rcml_dial() -> None:
    bench = Bench(dial(TWO, ONE_BY_ONE))
    bench.progress(0)
    bench.act(bench.registry.operator_end(str(bench.leg(0)), bench.now))
    bench.run(0.1)
    assert bench.order() == ["180", "INVITE", "CANCEL", "INVITE"]


@pytest.mark.parametrize(("attribute", "ended"), [('hangupOnStar="true"', True), ("", False)])
def test_the_callers_star_hangs_up_on_the_called_party__rcml_dial(attribute: str, ended: bool) -> None:
    bench = Bench(dial(TWO, f'{attribute} action="{ACTION}"'), action="<Response><Pause length='9'/></Response>")
    star(bench)  # nobody is there yet
    bench.answer(0)
    bench.run(2.0)
    star(bench, "1")
    assert bench.of(commands.SendBye) == []
    star(bench)
    bench.run(1.5)
    assert [bye.session for bye in bench.of(commands.SendBye)] == ([bench.leg(0)] if ended else [])
    assert len(bench.web.of("action")) == ended
    if ended:
        assert bench.action["DialCallStatus"] == "completed" and bench.verbs()[-1] == "Pause"  # the caller goes on


def test_the_called_partys_star_does_not__rcml_dial() -> None:
    bench = Bench(dial(TWO, f'hangupOnStar="true" action="{ACTION}"'))
    bench.answer(0)
    bench.give_engine(engine.Digit(stream=str(bench.leg(0)), digit="*", duration_ms=100))
    assert bench.of(commands.SendBye) == []


def test_ring_tone_is_that_of_the_country__rcml_dial() -> None:
    bench = Bench(dial(TWO, 'answerOnBridge="false" ringTone="uk"'))
    assert [(play.tone, play.tone_country) for play in bench.engine.played] == [("ringback", "uk")]
