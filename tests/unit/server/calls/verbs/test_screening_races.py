"""While a called party is screened: others who ring, and whatever ends, takes or touches a leg of the call (behaviour 2.5, 2.7, 3.1)."""

from __future__ import annotations

import pytest

from media import engine
from server.calls.destination import Destination, Placed
from server.calls.effects import Fetch, Fetched, Kind
from server.calls.legs.outbound import ELSEWHERE
from server.calls.legs.party import Party
from server.calls.policy import Application
from server.calls.records import By, Cause
from sip.core import commands, events
from sip.message import Headers, Request
from tests.support.descriptions import sdp
from tests.unit.server.calls.bench import ACTION, IN, ONE
from tests.unit.server.calls.verbs.screening import ALICE, CAROL, DECLINES, rests, screened, told

# --- forks ----------------------------------------------------------------------------------------------------------


def test_others_ring_on_until_one_is_accepted__behaviour_2_5() -> None:
    bench = screened(ALICE + ONE)
    bench.progress(1)
    bench.answer(0)
    bench.run(0.5)
    assert bench.of(commands.SendCancel) == []
    bench.run(1.0)
    assert bench.order() == ["180", "INVITE", "INVITE", "200", "CANCEL"]
    assert bench.of(commands.SendCancel)[0].reason == ELSEWHERE
    bench.bye_from(bench.leg(0))
    assert bench.action["DialCallSid"] == str(bench.leg(0))
    rests(bench)


def test_one_without_a_document_who_answers_meanwhile_wins_at_once__behaviour_2_5() -> None:
    bench = screened(ALICE + ONE)
    bench.answer(0)
    bench.run(0.5)
    bench.answer(1)
    (bye,) = bench.of(commands.SendBye)
    assert (bye.session, bye.reason) == (bench.leg(0), ELSEWHERE)
    assert bench.engine.bridged_pairs[-1][1] == str(bench.leg(1))
    bench.run(2.0)
    assert len(bench.engine.bridged_pairs) == 1  # what the document has come to is of no matter
    bench.bye_answered(0)
    bench.bye_from(bench.leg(1))
    assert (bench.action["DialCallStatus"], bench.action["DialCallSid"]) == ("completed", str(bench.leg(1)))
    rests(bench)


def test_the_first_accepted_wins_and_not_the_first_to_answer__behaviour_2_5() -> None:
    def page(request: Fetch) -> Fetched:
        slow = dict(request.parameters)["To"] == "alice"
        return bench.web.answer(request, f"<Response><Pause length='{9 if slow else 1}'/></Response>")

    bench = screened(ALICE + CAROL, page)
    bench.answer(0)
    bench.run(2.0)
    bench.answer(1)
    bench.run(1.5)
    assert [bye.session for bye in bench.of(commands.SendBye)] == [bench.leg(0)]
    assert bench.engine.bridged_pairs[-1][1] == str(bench.leg(1))
    bench.bye_from(bench.leg(1))
    assert bench.action["DialCallSid"] == str(bench.leg(1))
    rests(bench)


def test_a_decline_leaves_the_others_ringing__behaviour_2_5_2_7() -> None:
    bench = screened(ALICE + ONE, DECLINES)
    bench.answer(0)
    bench.run(2.0)
    assert [bye.session for bye in bench.of(commands.SendBye)] == [bench.leg(0)]
    bench.bye_answered(0)
    bench.answer(1)
    assert len(bench.engine.bridges) == 1
    bench.bye_from(bench.leg(1))
    assert bench.action["DialCallStatus"] == "completed"
    rests(bench)


def test_the_last_to_be_declined_is_reported__behaviour_3_3() -> None:
    bench = screened(ALICE + ONE, DECLINES)
    bench.fail(1, 486)
    bench.answer(0)
    bench.run(2.0)
    assert (bench.action["DialCallStatus"], bench.action["DialCallSid"]) == ("no-answer", str(bench.leg(0)))
    rests(bench)


def test_timeout_ends_those_who_ring_and_lets_a_screened_party_decide__behaviour_2_5_2_2() -> None:
    bench = screened(ALICE + ONE, "<Response><Pause length='20'/></Response>", f'action="{ACTION}" timeout="10"')
    bench.progress(1)
    bench.run(5.0)
    bench.answer(0)
    bench.run(5.5)
    assert bench.order() == ["180", "INVITE", "INVITE", "CANCEL"]
    bench.run(15.0)
    assert bench.order() == ["180", "INVITE", "INVITE", "CANCEL", "200"]
    bench.bye_from(bench.leg(0))
    assert bench.action["DialCallStatus"] == "completed"
    rests(bench)


# --- races ----------------------------------------------------------------------------------------------------------


def test_the_caller_cancels_during_screening__behaviour_2_7_3_1() -> None:
    bench = screened()
    bench.answer(0)
    bench.run(0.5)
    bench.cancel()
    assert bench.order() == ["180", "INVITE", "BYE", "487"]
    assert told(bench)[:2] == ("canceled", "0")
    (leg,) = [record for record in bench.records if record.parent_sid]
    assert (leg.ended.cause, leg.ended.by) == (Cause.CANCELED, By.CALLER)
    rests(bench)


def test_an_answered_caller_hangs_up_during_screening__behaviour_2_7_3_1() -> None:
    bench = screened(attributes=f'action="{ACTION}" answerOnBridge="false"')
    bench.answer(0)
    bench.run(0.5)
    bench.bye_from(IN)
    assert [bye.session for bye in bench.of(commands.SendBye)] == [bench.leg(0)]
    assert told(bench)[:2] == ("canceled", "0")
    rests(bench)


def test_the_caller_leaves_while_the_document_is_on_its_way__behaviour_2_7() -> None:
    bench = screened()
    bench.web.delay_s = 3.0
    bench.answer(0)
    bench.cancel()
    bench.run(5.0)
    assert bench.verbs() == ["Dial"]
    assert len(bench.web.of("action")) == 1
    rests(bench)


@pytest.mark.parametrize("after_s", [0.0, 0.5])
def test_the_party_hangs_up_during_screening__behaviour_2_5(after_s: float) -> None:
    bench = screened()
    bench.answer(0)
    bench.run(after_s)
    bench.bye_from(bench.leg(0))
    bench.run(0.1)
    assert told(bench) == ("no-answer", "0", None)
    assert bench.order() == ["180", "INVITE", "480"]
    (leg,) = [record for record in bench.records if record.parent_sid]
    assert (leg.ended.cause, leg.ended.by) == (Cause.NO_ANSWER, By.CALLEE)
    bench.run(3.0)
    assert bench.verbs().count("Say") == (1 if after_s else 0)
    rests(bench)


def test_the_operator_ends_the_screened_leg__behaviour_3_1() -> None:
    bench = screened()
    bench.answer(0)
    bench.run(0.5)
    bench.act(bench.registry.operator_end(str(bench.leg(0)), bench.now))
    bench.run(0.1)
    assert told(bench)[0] == "canceled"
    rests(bench)


def test_the_worker_dies_during_screening__behaviour_3_1() -> None:
    bench = screened()
    bench.answer(0)
    bench.run(0.5)
    bench.give_engine(engine.EngineLost("killed"))
    bench.engine.streams.clear()
    bench.run(0.1)
    assert told(bench) == ("failed", "0", "Media failure")
    assert bench.order()[-1] == "503"


def test_the_screened_leg_cannot_be_served__behaviour_3_1() -> None:
    bench = screened()
    bench.answer(0)
    bench.run(0.5)
    bench.give_engine(engine.Failed(op="connect", subject=str(bench.leg(0)), code="srtp", reason="keys"))
    assert told(bench) == ("failed", "0", "Media failure")
    rests(bench)


def test_the_screened_party_falls_silent_and_is_gone__behaviour_2_5() -> None:
    bench = screened(page="<Response><Pause length='50'/></Response>")
    bench.answer(0)
    bench.run(0.5)
    bench.dead.add(bench.leg(0))
    bench.give_engine(engine.MediaTimeout(stream=str(bench.leg(0)), silent_ms=30_000))
    bench.run(45.0)
    assert told(bench)[0] == "no-answer"
    rests(bench)


def test_the_screened_leg_is_taken_to_another_document__call_control() -> None:
    bench = screened(page="<Response><Pause length='50'/></Response>")
    bench.answer(0)
    bench.run(0.5)
    bench.web.pages["http://app/other"] = "<Response><Pause length='3'/></Response>"
    bench.act(bench.registry.redirect(str(bench.leg(0)), Application("", "http://app/other"), bench.now))
    bench.run(0.2)
    assert told(bench)[0] == "canceled" and bench.action["DialCallSid"] == str(bench.leg(0))
    assert bench.order() == ["180", "INVITE", "480"]
    bench.run(5.0)
    assert bench.of(commands.SendBye)[-1].session == bench.leg(0)
    rests(bench)


def test_a_redirected_caller_leaves_the_screened_party__behaviour_2_8() -> None:
    bench = screened()
    bench.answer(0)
    bench.run(0.5)
    bench.web.pages["http://app/other"] = "<Response><Reject/></Response>"
    bench.act(bench.registry.redirect(bench.sid, Application("", "http://app/other"), bench.now))
    bench.run(0.5)
    assert bench.order() == ["180", "INVITE", "BYE", "603"]
    assert bench.web.of("action") == []
    rests(bench)


def test_a_hold_of_the_screened_party_is_answered__behaviour_2_11() -> None:
    bench = screened(page="<Response><Pause length='2'/></Response>")
    bench.answer(0)
    again = Request(
        "INVITE", "sip:x", Headers([("Content-Type", "application/sdp")]), sdp("192.0.2.8").replace(b"o=phone 1 1", b"o=phone 1 2")
    )
    bench.give(events.ReinviteReceived(bench.leg(0), commands.TransactionId("t"), again))
    assert bench.of(commands.AnswerRequest)[0].status == 200
    bench.run(3.0)
    assert len(bench.engine.bridges) == 1


def test_the_timeline_says_what_ran_on_which_leg__behaviour_2_5() -> None:
    bench = screened(page=DECLINES)
    bench.answer(0)
    bench.run(2.0)
    leg = str(bench.leg(0))
    assert [(note.data.get("verb"), note.leg) for note in bench.notes if note.kind is Kind.VERB] == [("Dial", ""), ("Say", leg)]
    states = [str(note.data["status"]) for note in bench.notes if note.kind is Kind.STATE and note.leg == leg]
    assert states == ["initiated", "answered", "screening", "declined"]
    assert [note.leg for note in bench.notes if note.data.get("purpose") == "screening"] == [leg]


def test_the_screened_leg_is_joined_with_another_call__call_control() -> None:
    bench = screened(ALICE + ONE, "<Response><Play loop='0'>/a.wav</Play></Response>")
    bench.answer(0)
    bench.run(0.5)
    placed = Placed([Destination("sip:ann@192.0.2.9", "192.0.2.9", "sip:s@192.0.2.1")], "s", "ann")
    bench.act(bench.registry.originate(placed, Party("s", "ann"), Application("9", "http://app/other"), 20.0, bench.now))
    bench.media()
    bench.web.pages["http://app/other"] = "<Response><Pause length='50'/></Response>"
    bench.answer(2)
    bench.run(0.1)
    bench.act(bench.registry.join(str(bench.leg(2)), str(bench.leg(0)), bench.now))
    assert set(bench.engine.bridged_pairs[-1]) == {str(bench.leg(0)), str(bench.leg(2))}
    assert not any(bench.engine.streams[str(bench.leg(n))].play for n in (0, 2))  # nothing covers what they say
    bench.fail(1, 486)
    assert bench.action["DialCallStatus"] == "busy"
    bench.bye_from(bench.leg(0))
    rests(bench)
