"""Status callbacks of calls and legs, on the bench (behaviour.md 1.10, 2.6)."""

from __future__ import annotations

from server.calls.policy import Application
from tests.unit.server.calls.bench import ONE, VOICE, Bench, dial


def test_status_callback_of_an_answered_call_is_told_three_times__behaviour_1_10() -> None:
    bench = Bench(dial(ONE, ""), application=Application("2222", VOICE, status_callback="http://app/status"))
    bench.answer(0)
    bench.bye_from(bench.leg(0))
    assert [parameters["CallStatus"] for parameters in bench.web.of("status")] == ["ringing", "in-progress", "completed"]


def test_status_callback_of_an_unanswered_call_is_told_twice__behaviour_0_8() -> None:
    bench = Bench(dial(ONE, ""), application=Application("2222", VOICE, status_callback="http://app/status"))
    bench.fail(0, 486)
    assert [parameters["CallStatus"] for parameters in bench.web.of("status")] == ["ringing", "busy"]


def test_leg_status_callbacks_of_an_answered_leg_are_four__behaviour_2_6() -> None:
    bench = Bench(dial('<Sip statusCallback="/leg">sip:alice@192.0.2.8</Sip>', ""))
    bench.progress(0)
    bench.progress(0)
    bench.answer(0)
    bench.run(3.0)
    bench.bye_from(bench.leg(0))
    told = bench.web.of("leg-status")
    assert [(item["CallStatus"], item["SequenceNumber"]) for item in told] == [
        ("initiated", "0"), ("ringing", "1"), ("answered", "2"), ("completed", "3"),
    ]  # fmt: skip
    assert all(item["CallSid"] == bench.leg(0) and item["ParentCallSid"] == bench.records[0].parent_sid for item in told)
    assert told[3]["CallDuration"] == "3" and "CallDuration" not in told[2]
    assert told[0]["CallbackSource"] == "call-progress-events" and told[0]["Direction"] == "outbound-dial"


def test_leg_status_callbacks_of_a_fork_with_one_winner_are_ten__behaviour_2_6() -> None:
    nouns = "".join(f'<Sip statusCallback="/leg">sip:x@192.0.2.{n}</Sip>' for n in (8, 9, 10))
    bench = Bench(dial(nouns, ""))
    for leg in range(3):
        bench.progress(leg)
    bench.answer(1)
    bench.bye_from(bench.leg(1))
    assert len(bench.web.of("leg-status")) == 10


def test_leg_status_callback_event_selects__behaviour_2_6() -> None:
    bench = Bench(dial('<Sip statusCallback="/leg" statusCallbackEvent="ringing, completed">sip:alice@192.0.2.8</Sip>', ""))
    bench.progress(0)
    bench.fail(0, 480)
    assert [item["CallStatus"] for item in bench.web.of("leg-status")] == ["ringing", "completed"]
