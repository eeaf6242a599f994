"""A leg that should send and does not: its peer is asked, and one that is gone ends its leg, in every state."""

from __future__ import annotations

import pytest

from media import engine
from server.calls.effects import Kind
from server.calls.policy import Application
from server.calls.records import By, Cause
from sip.core import commands, events
from sip.message import Headers, Request, Response
from tests.support.descriptions import sdp
from tests.unit.server.calls.bench import ACTION, IN, ONE, Bench, dial

MUSIC = '<Response><Play loop="0">/music.wav</Play></Response>'
PAUSE = '<Response><Say>hello</Say><Pause length="3600"/></Response>'
RINGING = dial(ONE, 'answerOnBridge="false" timeout="600"')
STATES = {"Play": MUSIC, "Pause": PAUSE, "ringing Dial": RINGING}
TIMEOUT_S = 60.0  # media.media_timeout_s
ASK_S = 8.0  # dial.media_timeout_ask_s


def caller_stream(bench: Bench) -> str:
    return bench.sid


def acked(document: str, **changes: object) -> Bench:
    bench = Bench(document, **changes)  # type: ignore[arg-type]
    bench.give(events.AnswerAcked(IN, b"", ""))
    return bench


def bridged(**changes: object) -> Bench:
    bench = Bench(dial(ONE), **changes)  # type: ignore[arg-type]
    bench.answer(0)
    bench.give(events.AnswerAcked(IN, b"", ""))
    return bench


def fall_silent(bench: Bench, stream: str) -> None:
    bench.give_engine(engine.MediaTimeout(stream=stream, silent_ms=60000))


def told(bench: Bench) -> list[str]:
    names = ("silent-and-asked", "silent-but-there", "vanished")
    return [str(note.data["event"]) for note in bench.notes if note.kind is Kind.MEDIA and note.data.get("event") in names]


@pytest.mark.parametrize("state", STATES)
def test_a_vanished_caller_ends_the_call_whatever_runs__rfc5057_5_1(state: str) -> None:
    bench = acked(STATES[state])
    bench.dead.add(IN)
    fall_silent(bench, caller_stream(bench))
    assert [request.method for request in bench.of(commands.SendRequest)] == ["OPTIONS"]
    bench.run(ASK_S - 1)
    assert not bench.of(commands.SendBye)
    bench.run(1.5)
    assert [bye.session for bye in bench.of(commands.SendBye)] == [IN]
    record = bench.records[-1].ended if state != "ringing Dial" else bench.records[1].ended
    assert (record.cause, record.by) == (Cause.COMPLETED, By.SERVER) and "The caller is gone" in record.text
    assert told(bench) == ["silent-and-asked", "vanished"]
    assert len(bench.of(commands.SendCancel)) == (state == "ringing Dial")


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("status", [200, 405, 500])
def test_a_silent_caller_who_answers_stays__rfc3261_11(state: str, status: int) -> None:
    bench = acked(STATES[state])
    bench.dead.add(IN)
    fall_silent(bench, caller_stream(bench))
    bench.run(1.0)
    bench.give(events.RequestAnswered(IN, "OPTIONS", Response(status, "", Headers())))
    bench.run(TIMEOUT_S - 1)
    assert not bench.of(commands.SendBye) and told(bench) == ["silent-and-asked", "silent-but-there"]


def test_a_silent_caller_is_asked_again_and_ended_when_it_answers_no_more() -> None:
    bench = acked(MUSIC)
    fall_silent(bench, caller_stream(bench))
    bench.run(3 * TIMEOUT_S + 1)
    assert len(bench.of(commands.SendRequest)) == 4 and not bench.of(commands.SendBye)
    bench.dead.add(IN)
    bench.run(TIMEOUT_S + ASK_S)
    assert bench.of(commands.SendBye)


def test_a_caller_who_is_heard_again_is_asked_no_more() -> None:
    bench = acked(MUSIC)
    fall_silent(bench, caller_stream(bench))
    bench.engine.packets_in[caller_stream(bench)] = 50
    bench.run(10 * TIMEOUT_S)
    assert len(bench.of(commands.SendRequest)) == 1 and not bench.of(commands.SendBye)


def test_a_caller_who_speaks_again_but_answers_no_request_stays() -> None:
    bench = acked(MUSIC)
    bench.dead.add(IN)
    fall_silent(bench, caller_stream(bench))
    bench.run(1.0)
    bench.engine.packets_in[caller_stream(bench)] = 50
    bench.run(10 * TIMEOUT_S)
    assert not bench.of(commands.SendBye)


def test_a_peer_that_goes_on_reporting_lives__rfc3550_6() -> None:
    """It answers no OPTIONS, as if something on the way let none through, but its RTCP comes."""
    bench = acked(MUSIC)
    bench.dead.add(IN)
    stream = caller_stream(bench)
    fall_silent(bench, stream)
    bench.run(ASK_S - 0.01)
    bench.engine.round_trips[stream] = 21.5
    bench.run(1.0)
    assert not bench.of(commands.SendBye) and told(bench) == ["silent-and-asked", "silent-but-there"]
    bench.run(TIMEOUT_S + ASK_S + 1)
    assert bench.of(commands.SendBye), "the reports have ceased"


@pytest.mark.parametrize("status", [408, 481])
def test_a_refusal_that_tells_of_no_dialog_is_no_sign_of_life__rfc5057_5_1(status: int) -> None:
    bench = acked(MUSIC)
    bench.dead.add(IN)
    fall_silent(bench, caller_stream(bench))
    bench.give(events.RequestAnswered(IN, "OPTIONS", Response(status, "", Headers())))
    assert bench.of(commands.SendBye)


def test_a_vanished_callee_is_hung_up_and_the_caller_goes_on() -> None:
    bench = bridged(action="<Response><Say>gone</Say></Response>")
    callee = bench.leg(0)
    bench.dead.add(callee)
    fall_silent(bench, callee)
    bench.run(ASK_S + 0.5)
    assert [bye.session for bye in bench.of(commands.SendBye)] == [callee]
    bench.bye_answered(0)
    bench.run(0.5)
    assert bench.action["DialCallStatus"] == "completed" and bench.verbs() == ["Dial", "Say"]
    (record,) = [record for record in bench.records if record.sid == callee]
    assert record.ended.by is By.SERVER and "The called party is gone" in record.ended.text


def test_a_silent_callee_who_answers_stays_bridged() -> None:
    bench = bridged()
    fall_silent(bench, bench.leg(0))
    bench.run(5 * TIMEOUT_S)
    assert bench.engine.bridges and not bench.of(commands.SendBye)


def test_a_party_on_hold_is_not_expected_to_send__rfc3264_8_4() -> None:
    """The engine watches again when the hold is over; what was asked meanwhile is of no matter."""
    bench = acked(MUSIC)
    bench.dead.add(IN)
    fall_silent(bench, caller_stream(bench))
    held = Request("INVITE", "sip:x", Headers([("Content-Type", "application/sdp")]), sdp("192.0.2.7").replace(b"sendrecv", b"inactive"))
    bench.give(events.ReinviteReceived(IN, commands.TransactionId("t1"), held))
    bench.run(10 * TIMEOUT_S)
    assert not bench.of(commands.SendBye) and bench.engine.connects[caller_stream(bench)].media_timeout_ms == 0


def test_a_caller_who_is_not_answered_yet_may_be_silent() -> None:
    """Most phones send nothing before the answer; the engine tells only once, so it is looked at again behind it."""
    bench = Bench(dial(ONE, f'action="{ACTION}" timeout="600"'))
    bench.progress(0, 183, sdp("192.0.2.8"))
    bench.dead.add(IN)
    fall_silent(bench, caller_stream(bench))
    bench.run(5 * TIMEOUT_S)
    assert not bench.of(commands.SendRequest) and not bench.of(commands.SendReject)
    bench.answer(0)
    bench.give(events.AnswerAcked(IN, b"", ""))
    bench.run(TIMEOUT_S + ASK_S + 1)
    assert IN in [bye.session for bye in bench.of(commands.SendBye)]


def test_nobody_is_asked_when_the_setting_says_so() -> None:
    bench = acked(MUSIC, media_timeout_ask_s=0.0)
    fall_silent(bench, caller_stream(bench))
    assert not bench.of(commands.SendRequest) and bench.of(commands.SendBye)


def test_silence_is_only_noted_when_it_shall_not_end_calls() -> None:
    bench = acked(MUSIC, media_timeout_ends_call=False)
    bench.dead.add(IN)
    fall_silent(bench, caller_stream(bench))
    bench.run(10 * TIMEOUT_S)
    assert not bench.of(commands.SendRequest) and not bench.of(commands.SendBye)


def test_a_leg_that_came_from_another_call_is_looked_at_too() -> None:
    """The engine may have told the call that it left."""
    bench = bridged()
    callee = bench.leg(0)
    bench.web.pages["http://app/other"] = MUSIC
    bench.dead.add(callee)
    bench.act(bench.registry.redirect(callee, Application("x", "http://app/other"), bench.now))
    bench.run(2 * TIMEOUT_S + ASK_S + 1)
    assert callee in [bye.session for bye in bench.of(commands.SendBye)]
