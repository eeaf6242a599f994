"""Events in the wrong order, at the wrong moment, or never: what the Dial and the call make of them."""

from __future__ import annotations

import pytest

from rcml.settings import RcmlSettings
from server.calls.policy import Application
from server.calls.records import Cause
from server.calls.targets import Outbound
from sip.core import commands, events
from sip.message import Headers, Request
from tests.support.descriptions import sdp
from tests.unit.server.calls.bench import ACTION, IN, ONE, TWO, VOICE, Bench, dial

NEXT = "<Dial><Sip>sip:dave@192.0.2.11</Sip></Dial>"


def call_sid(bench: Bench) -> str:
    return bench.sid


# --- two Dials, and what lingers of the first ---------------------------------------------------------------------


def test_late_events_of_the_first_dials_branch_do_not_touch_the_second__behaviour_2_7() -> None:
    bench = Bench(dial(ONE, 'timeout="3"', NEXT))
    bench.progress(0)
    bench.run(3.1)
    assert bench.order() == ["180", "INVITE", "CANCEL", "INVITE"]
    bench.progress(0, 183, sdp("192.0.2.8"))
    bench.answer(0)  # the SIP core would not even tell
    bench.fail(0, 486)
    assert bench.order() == ["180", "INVITE", "CANCEL", "INVITE"] and not bench.engine.bridges
    bench.answer(1)
    assert bench.order()[-1] == "200"
    assert [record.ended.cause for record in bench.records] == [Cause.NO_ANSWER]


def test_after_early_media_of_a_failed_dial_the_next_one_is_heard_ringing__behaviour_0_1() -> None:
    """The caller's phone plays what comes since our 183, so plain silence would be all that it hears."""
    bench = Bench(dial(ONE, "", NEXT))
    bench.progress(0, 183, sdp("192.0.2.8"))
    assert bench.order() == ["180", "INVITE", "183"] and bench.engine.bridges
    bench.fail(0, 486)
    assert not bench.engine.bridges
    assert [play.tone for play in bench.engine.played] == ["ringback"]
    bench.answer(1)
    (pair,) = bench.engine.bridges.values()
    assert pair == (call_sid(bench), bench.leg(1))
    assert not bench.engine.complaints


def test_early_media_of_the_first_proxy_ends_when_the_fallback_is_tried__behaviour_2_4() -> None:
    bench = Bench(dial("<Number>1234</Number>"), outbound=Outbound("c", ("sip:gw1.example.com", "sip:gw2.example.com")))
    bench.progress(0, 183, sdp("192.0.2.8"))
    assert bench.engine.bridges
    bench.fail(0, 503)
    assert len(bench.of(commands.SendInvite)) == 2 and not bench.engine.bridges
    bench.answer(1, b"")  # no session description: that of the first proxy's 183 is not this dialog's
    bench.run(0.1)
    assert bench.action["DialCallStatus"] == "failed" and "200" not in bench.order()


# --- the end of the callee's leg ----------------------------------------------------------------------------------


def test_bye_answered_481_is_no_failure_of_the_dial__behaviour_2_11_3_1() -> None:
    bench = Bench(dial(ONE, f'action="{ACTION}" timeLimit="5"'))
    bench.answer(0, headers=(("X-Outbox", "7"),))
    bench.run(5.0)
    bench.bye_answered(0, 481, (("X-Gone", "1"),))
    bench.run(0.1)
    assert bench.action["DialCallStatus"] == "completed"
    assert "DialSipResponseCode" not in bench.action and "DialSipCallId" not in bench.action
    assert bench.action["DialSipHeader_X-Outbox"] == "7" and "DialSipHeader_X-Gone" not in bench.action


def test_reason_of_a_rejection_is_passed_to_the_unanswered_caller__behaviour_0_4() -> None:
    bench = Bench(dial(ONE, ""))
    bench.fail(0, 486, "Busy Here", (("Reason", "Q.850;cause=17"), ("Reason", 'SIP;cause=486;text="Busy"')))
    (reject,) = bench.of(commands.SendReject)
    assert reject.headers == (("Reason", 'Q.850;cause=17, SIP;cause=486;text="Busy"'),)


def test_reason_of_a_rejection_is_not_passed_after_another_verb__behaviour_0_4() -> None:
    bench = Bench(dial(ONE, "", "<Pause/>"))
    bench.fail(0, 486, "Busy Here", (("Reason", "Q.850;cause=17"),))
    bench.run(2.0)
    (reject,) = bench.of(commands.SendReject)
    assert reject.status == 486 and reject.headers == ()


def test_only_180_and_183_are_ringing__behaviour_2_6() -> None:
    bench = Bench(dial('<Sip statusCallback="/leg">sip:alice@192.0.2.8</Sip>' + ONE, f'action="{ACTION}" timeout="3"'))
    bench.progress(0, 181)
    bench.progress(0, 182)
    bench.progress(1, 180)
    assert [item["CallStatus"] for item in bench.web.of("leg-status")] == ["initiated"]
    bench.run(3.1)
    assert bench.action["DialCallSid"] == bench.leg(1)  # the first that rang


# --- late offers --------------------------------------------------------------------------------------------------


def test_verbs_wait_for_the_ack_of_a_late_offer_even_when_the_callee_has_left__behaviour_0_5() -> None:
    bench = Bench(dial(ONE, "", "<Say>sorry</Say>"), offer=b"")
    bench.answer(0)
    bench.bye_from(bench.leg(0))
    bench.run(1.0)
    assert not bench.engine.played and not bench.of(commands.SendBye)  # nothing can be heard yet
    bench.give(events.AnswerAcked(IN, sdp("192.0.2.7"), "application/sdp"))
    bench.run(0.1)
    assert len(bench.engine.played) == 1
    bench.run(2.0)
    assert [bye.session for bye in bench.of(commands.SendBye)] == [IN]


def test_late_offer_with_dial_music_plays_it_after_the_ack__behaviour_0_5_10_2() -> None:
    bench = Bench(dial(ONE, 'answerOnBridge="false" dialMusic="/music.wav"'), offer=b"")
    assert bench.order() == ["180", "200"] and not bench.engine.played
    bench.give(events.AnswerAcked(IN, sdp("192.0.2.7"), "application/sdp"))
    bench.run(0.1)
    assert bench.order() == ["180", "200", "INVITE"] and bench.engine.played[0].files


def test_late_offer_whose_ack_never_comes_ends_both_legs__trap_3() -> None:
    bench = Bench(dial(ONE), offer=b"")
    bench.answer(0)
    bench.run(32.0)
    bench.give(events.SessionEnded(IN, events.EndCause.ACK_TIMEOUT))
    assert [bye.session for bye in bench.of(commands.SendBye)] == [bench.leg(0)]
    bench.bye_answered(0)
    bench.run(1.0)
    assert bench.action["DialCallStatus"] == "canceled" and not any(bench.registry.counts().values())


# --- the caller leaves --------------------------------------------------------------------------------------------


def test_caller_cancels_while_the_document_is_fetched__nothing_is_dialled__behaviour_1_9() -> None:
    bench = Bench(dial(ONE), before=_slow_web)
    bench.cancel()
    bench.run(60.0)
    assert bench.order() == ["180", "487"] and not bench.web.of("action")
    bench.give(events.SessionEnded(IN, events.EndCause.REJECTED))
    assert not any(bench.registry.counts().values())


def _slow_web(bench: Bench) -> None:
    bench.web.delay_s = 50.0


def test_caller_leaves_while_the_action_is_asked__its_answer_is_not_run__behaviour_2_8() -> None:
    bench = Bench(dial(ONE, f'action="{ACTION}"'), action=f"<Response>{NEXT}</Response>")
    bench.fail(0, 486)
    bench.cancel()
    bench.run(1.0)
    assert bench.action["DialCallStatus"] == "busy"  # asked once, before
    assert bench.order() == ["180", "INVITE", "487"]
    bench.give(events.SessionEnded(IN, events.EndCause.REJECTED))
    assert not any(bench.registry.counts().values())


def test_caller_and_callee_hang_up_at_once__one_action__behaviour_2_8() -> None:
    for first, second in (("caller", "callee"), ("callee", "caller")):
        bench = Bench(dial(ONE))
        bench.answer(0)
        bench.run(2.0)
        for who in (first, second):
            bench.bye_from(IN if who == "caller" else bench.leg(0))
        bench.run(2.0)
        assert bench.action["DialCallStatus"] == "completed", first
        assert not any(bench.registry.counts().values()), first


def test_cancel_that_crosses_our_200_ends_the_answered_call__trap_13() -> None:
    """The SIP core lets the CANCEL win when the caller has not heard of the 200."""
    bench = Bench(dial(ONE))
    bench.answer(0)
    bench.cancel()
    bench.give(events.SessionEnded(IN, events.EndCause.REJECTED))
    bench.bye_answered(0)
    bench.run(1.0)
    assert bench.action["DialCallStatus"] == "completed"
    assert not any(bench.registry.counts().values())


def test_an_answered_call_keeps_its_200_whoever_ends_it__behaviour_2_8() -> None:
    """The record says what the INVITE got: neither the 503 of a server that stops nor the 487 of a CANCEL that came too late."""
    for by in ("shutdown", "operator", "cancel"):
        bench = Bench(dial(ONE))
        bench.answer(0)
        bench.run(2.0)
        sid = bench.sid
        if by == "cancel":
            bench.cancel()
        else:
            bench.act(bench.registry.shutdown(bench.now) if by == "shutdown" else bench.registry.operator_end(sid, bench.now))
        bench.bye_answered(0)
        bench.run(1.0)
        (ended,) = [record.ended for record in bench.records if record.sid == sid and record.ended is not None]
        assert (ended.cause, ended.sip_status) == (Cause.COMPLETED, 200), by


def test_request_in_a_dialog_after_the_bye_is_not_served__behaviour_2_11() -> None:
    bench = Bench(dial(ONE, f'action="{ACTION}" timeLimit="5"'))
    bench.answer(0)
    bench.run(5.0)
    body = sdp("192.0.2.99")
    again = Request("INVITE", "sip:x", Headers([("Content-Type", "application/sdp")]), body)
    bench.give(events.ReinviteReceived(bench.leg(0), commands.TransactionId("t"), again))
    assert [answer.status for answer in bench.of(commands.AnswerRequest)] == [500]
    assert not bench.engine.complaints


def test_document_without_waiting_is_still_told_that_the_call_was_answered__behaviour_1_10() -> None:
    """Answered and hung up by one input: a Dial in normal mode that reaches nobody."""
    application = Application("2222", VOICE, status_callback="http://app/status", answer_delay=False)
    bench = Bench(dial("<Client>ghost</Client>", "", "<Reject/>"), application=application)
    assert bench.order() == ["180", "200", "BYE"]
    assert [parameters["CallStatus"] for parameters in bench.web.of("status")] == ["ringing", "in-progress", "completed"]
    assert bench.verbs() == ["Dial"]
    assert bench.records[-1].ended.text == "reject-answered"


def test_a_hundred_nouns_ring_and_one_wins__behaviour_2_11() -> None:
    nouns = "".join(f"<Sip>sip:leg{n}@192.0.2.{n + 1}</Sip>" for n in range(100))
    bench = Bench(dial(nouns))
    assert len(bench.of(commands.SendInvite)) == 100
    for leg in range(0, 100, 2):
        bench.fail(leg, 486)
    bench.answer(51)
    assert len(bench.of(commands.SendCancel)) == 49
    for leg in range(1, 100, 2):
        if leg != 51:
            bench.give(events.InviteFailed(bench.leg(leg), events.FailureCause.CANCELED, bench.response(leg, 487)))
    bench.bye_from(bench.leg(51))
    bench.give(events.SessionEnded(IN, events.EndCause.BYE_ANSWERED))
    bench.run(6.0)
    assert len(bench.records) == 101 and not any(bench.registry.counts().values())


# --- what an unanswered caller gets at the end (docs/rcml.md) -----------------------------------------------------


@pytest.mark.parametrize(
    ("after", "code"),
    [("<Hangup/>", "408"), ("<Pause/><Hangup/>", "408"), ("<Reject reason='busy'/>", "486"), ("<Play>ftp://x/</Play>", "500")],
)
def test_the_end_after_a_dial_that_timed_out__behaviour_0_12(after: str, code: str) -> None:
    bench = Bench(dial(ONE, 'timeout="3"', after))
    bench.run(5.0)
    assert bench.order()[-1] == code or bench.order()[-2:] == [code, "CANCEL"]


def test_action_that_is_no_url_ends_the_call_with_the_dial__behaviour_0_11() -> None:
    bench = Bench(dial(ONE, 'action="http://a b/"', NEXT))
    assert [(item.code, item.line) for item in bench.notifications] == [(11100, 1)]
    bench.fail(0, 486)
    assert bench.order() == ["180", "INVITE", "486"]


def test_a_conference_is_answered_at_once__behaviour_4_4() -> None:
    bench = Bench(dial("<Conference>room</Conference>"))
    bench.run(0.1)
    assert bench.order() == ["180", "200"] and bench.notifications == []
    bench.bye_from(IN)
    bench.run(0.1)
    assert bench.action["DialCallStatus"] == "completed" and "DialCallSid" not in bench.action


def test_fork_timeout_reports_the_first_noun_that_rang_not_the_first_to_ring__behaviour_3_3() -> None:
    bench = Bench(dial(TWO, f'action="{ACTION}" timeout="3"'))
    bench.progress(1)
    bench.fail(1, 486)
    bench.progress(0)
    bench.run(3.5)
    assert bench.action["DialCallStatus"] == "no-answer" and bench.action["DialCallSid"] == bench.leg(0)


def test_hunting_for_an_agent_is_no_loop_but_failing_at_once_is__rcml_md() -> None:
    hunt = dial(ONE, f'action="{ACTION}" timeout="3"')
    patient = Bench(hunt, action=hunt, rcml=RcmlSettings(max_idle_documents=5))
    patient.run(60.0)
    assert len(patient.web.of("action")) > 10 and not patient.of(commands.SendReject)
    circling = Bench(hunt, action=hunt, rcml=RcmlSettings(max_idle_documents=5), outbound=None)
    circling.run(1.0)
    for _ in range(10):
        if circling.order()[-1] == "INVITE":
            circling.fail(len(circling.of(commands.SendInvite)) - 1, 503)
            circling.run(0.1)
    assert circling.order()[-1] == "500" and [item.code for item in circling.notifications] == [12200]


# --- the fallback proxy beside a silent one ------------------------------------------------------------------------


def test_the_fallback_proxy_may_be_asked_beside_the_first__and_not_once_more_after_it() -> None:
    bench = Bench(dial("<Number>1234</Number>"), outbound=Outbound("c", ("sip:gw1.example.com", "sip:gw2.example.com")))
    (invite,) = bench.of(commands.SendInvite)
    assert [place.request_uri for place in invite.places] == ["sip:1234@gw2.example.com"]
    bench.give(events.InviteFailed(bench.leg(0), events.FailureCause.NO_RESPONSE, None, "", tried=2))
    assert len(bench.of(commands.SendInvite)) == 1
    assert bench.action["DialCallStatus"] == "no-answer"
