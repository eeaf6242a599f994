"""The course of a call: it begins, ends once, and is over when nothing is asked any more."""

from __future__ import annotations

from server.calls.effects import Kind
from server.calls.policy import Refusal
from sip.core import events
from tests.unit.server.calls.bench import IN, ONE, Bench, dial


def test_a_call_has_a_line_at_its_start_and_one_at_its_end__operations_md() -> None:
    bench = Bench(dial(ONE, ""))
    bench.fail(0, 486)
    started, ended = bench.logs
    assert (started.event, started.facts["to"]) == ("call_started", "2222")
    assert (ended.event, ended.facts["cause"], ended.facts["call_sid"]) == ("call_ended", "busy", started.facts["call_sid"])
    assert [line.event for line in Bench("", application=Refusal(404, "Not Found", "no such number")).logs] == ["call_refused"]


def test_exchange_that_ends_after_the_call_stands_in_the_timeline_too__call_control_md() -> None:
    bench = Bench(dial('<Sip statusCallback="/leg">sip:alice@192.0.2.8</Sip>', ""))
    bench.web.delay_s = 4.0
    bench.fail(0, 486)
    bench.give(events.SessionEnded(IN, events.EndCause.REJECTED))
    assert bench.registry.counts()["lingering"] == 1
    bench.run(5.0)
    assert [note.data["purpose"] for note in bench.notes if note.kind is Kind.HTTP].count("leg-status") == 2
    assert not any(bench.registry.counts().values())
