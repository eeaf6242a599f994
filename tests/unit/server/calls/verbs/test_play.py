"""Play of digits: keys that the caller's phone is sent (docs/rcml.md, Play)."""

from __future__ import annotations

from media import engine
from tests.unit.server.calls.bench import IN, Bench


def test_digits_are_pressed_and_the_next_verb_waits_for_them__rcml_play() -> None:
    bench = Bench("<Response><Play digits='ww12#'/><Pause/></Response>")
    assert bench.order() == ["180", "200"]
    (sent,) = bench.engine.digits
    assert (sent.digits, sent.tone_ms, sent.gap_ms) == ("ww12#", 100, 100)
    bench.run(1.45)  # two half seconds and three keys, less the tenth that has passed
    assert bench.verbs() == ["Play"]
    bench.run(0.1)
    assert bench.verbs() == ["Play", "Pause"]


def test_digits_are_pressed_as_often_as_loop_says__rcml_play() -> None:
    bench = Bench("<Response><Play digits='1' loop='3'/></Response>")
    bench.run(5.0)
    assert [sent.digits for sent in bench.engine.digits] == ["1", "1", "1"]
    assert bench.order() == ["180", "200", "BYE"]


def test_digits_for_ever_end_with_the_caller__rcml_play() -> None:
    bench = Bench("<Response><Play digits='1W' loop='0'/></Response>")
    bench.run(30.0)
    assert len(bench.engine.digits) in (25, 26)
    bench.bye_from(IN)
    bench.run(5.0)
    assert bench.engine.empty and not any(bench.registry.counts().values())


def test_digits_in_a_gather_are_ended_by_a_key__rcml_gather() -> None:
    bench = Bench("<Response><Gather action='http://app/keys' numDigits='1'><Play digits='1W' loop='0'/></Gather></Response>")
    bench.run(3.0)
    pressed = len(bench.engine.digits)
    bench.give_engine(engine.Digit(stream=bench.sid, digit="5", duration_ms=100))
    bench.run(3.0)
    assert [one["Digits"] for one in bench.web.of("action")] == ["5"]
    assert len(bench.engine.digits) == pressed
