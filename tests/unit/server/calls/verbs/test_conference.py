"""One participant on the bench: what goes to the engine and in which order (behaviour.md 2.10)."""

from __future__ import annotations

import pytest

from media import engine
from server.calls.policy import Application
from server.calls.records import Cause
from sip.core import events
from tests.support.descriptions import sdp
from tests.unit.server.calls.bench import ACTION, IN, VOICE, Bench, dial


def alone(attributes: str = "", dial_attributes: str = f'action="{ACTION}"', **changes: object) -> Bench:
    return Bench(dial(f"<Conference {attributes}>blue</Conference>", dial_attributes), **changes)  # type: ignore[arg-type]


def test_the_limit_stands_in_the_engine_too_and_is_taken_back__behaviour_2_9() -> None:
    bench = alone(dial_attributes=f'action="{ACTION}" timeLimit="60"')
    (stream,) = bench.engine.streams
    assert bench.engine.deadlines[stream] == 65_000
    bench.run(61)
    assert bench.engine.deadlines[stream] == 0 and bench.action["DialCallStatus"] == "completed"


def test_a_late_offer_takes_part_when_its_answer_has_come__rfc3261_13_2_1() -> None:
    bench = alone(offer=b"")
    assert bench.registry.counts()["rooms"] == 0
    bench.give(events.AnswerAcked(IN, sdp("192.0.2.7"), "application/sdp"))
    bench.run(0.1)
    assert bench.registry.counts()["rooms"] == 1 and len(bench.engine.played) == 1


@pytest.mark.parametrize("status", ["in-progress", "completed"])
def test_the_action_is_asked_once_and_what_it_answers_runs__behaviour_2_8(status: str) -> None:
    bench = alone(dial_attributes=f'action="{ACTION}" timeLimit="3"', action="<Response><Say>bye</Say></Response>")
    if status == "completed":
        bench.bye_from(IN)
    bench.run(10)
    assert bench.action["CallStatus"] == status
    assert bench.verbs() == ["Dial", "Say"] if status == "in-progress" else ["Dial"]
    assert bench.registry.counts()["rooms"] == 0


def test_music_that_is_still_being_made_ready_is_no_matter_to_who_has_left() -> None:
    bench = alone('waitUrl="/slow"')
    bench.bye_from(IN)
    bench.run(30)
    assert bench.engine.complaints == [] and bench.engine.played == [] and bench.registry.counts()["rooms"] == 0


def test_a_dial_behind_a_conference_is_skipped__behaviour_2_8() -> None:
    page = dial("<Conference>blue</Conference>", 'timeLimit="3"', "<Dial><Conference>red</Conference></Dial>")
    bench = Bench(page, application=Application("2222", VOICE))
    bench.run(5)
    assert bench.verbs() == ["Dial"] and bench.order()[-1] == "BYE"
    (record,) = bench.records
    assert record.ended.cause is Cause.COMPLETED


def test_an_engine_that_throws_one_out_ends_the_dial__behaviour_3_1() -> None:
    bench = alone()
    (stream,) = bench.engine.streams
    bench.give_engine(engine.Left(mix="CF-other-1", stream=stream, members=0))
    assert bench.web.of("action") == []
    bench.give_engine(engine.Failed(op="connect", subject=stream, code="internal", reason="a bug"))
    bench.run(1)
    assert bench.action["DialCallStatus"] == "failed" and bench.registry.counts()["rooms"] == 0
