"""Whose an event is, from the first action of a call to the last of its legs."""

from __future__ import annotations

from media import engine
from server.calls.policy import Application
from sip.core import events
from tests.unit.server.calls.bench import IN, ONE, Bench, dial


def test_what_a_leg_brings_is_its_calls_until_that_is_over() -> None:
    bench = Bench(dial(ONE, ""))
    owners = bench.registry.owners
    (call,) = bench.registry.calls.values()
    leg = bench.leg(0)
    assert owners.of_stream(leg) is owners.of_stream(call.sid) is owners.of_session(call.leg.session) is call
    bench.fail(0, 486)
    bench.give(events.SessionEnded(IN, events.EndCause.REJECTED))
    bench.run(1.0)
    assert not owners._owned and not owners._by_session and not owners._by_stream and owners.requests == 0


def test_a_leg_that_becomes_a_call_of_its_own_is_not_forgotten_with_the_old_one() -> None:
    bench = Bench(dial(ONE))
    bench.answer(0)
    leg = bench.leg(0)
    bench.web.pages["http://app/other"] = "<Response><Pause length='60'/></Response>"
    bench.act(bench.registry.redirect(leg, Application("x", "http://app/other"), bench.now))
    bench.run(0.5)
    owner = bench.registry.owners.of_stream(leg)
    assert owner is bench.registry.calls[leg] and owner.leg.sid == leg


def test_what_the_engine_says_of_itself_is_nobodys() -> None:
    owners = Bench(dial(ONE)).registry.owners
    assert owners.of_event(engine.Pong()) is None
