"""The call flows of behaviour.md 4.2 and their action requests, on the bench."""

from __future__ import annotations

import pytest

from media import engine
from rcml.settings import RcmlSettings
from server.calls.effects import Fetched
from server.calls.policy import Application
from server.calls.records import By, Cause
from server.calls.targets import Outbound
from sip.core import commands, events
from sip.message import Headers, Request
from tests.support.descriptions import sdp
from tests.unit.server.calls.bench import ACTION, IN, ONE, THREE, TWO, VOICE, Bench, dial


def test_ringing_is_sent_before_the_document_is_fetched__behaviour_1_1() -> None:
    bench = Bench(dial(ONE))
    assert bench.order()[0] == "180"
    assert bench.web.of("voice")[0]["CallStatus"] == "ringing"


def test_voice_request_has_all_parameters__behaviour_1_6() -> None:
    bench = Bench(dial(ONE), invite_headers=(("X-My-Custom-Header", "My Custom Value"), ("Diversion", "<sip:11223344@xyz.com>;counter=1")))
    voice = bench.web.of("voice")[0]
    assert list(voice) == [
        "CallSid", "InstanceId", "AccountSid", "From", "To", "CallStatus", "ApiVersion", "Direction", "CallerName", "ForwardedFrom",
        "CallTimestamp", "SipHeader_X-My-Custom-Header", "SipHeader_Diversion",
    ]  # fmt: skip
    assert (voice["From"], voice["To"], voice["Direction"], voice["ForwardedFrom"]) == ("bob", "2222", "inbound", "11223344")


def test_answered__200_goes_to_the_caller_after_the_callee_answered__behaviour_4_2() -> None:
    bench = Bench(dial(ONE))
    bench.progress(0)
    bench.run(2.0)
    assert bench.order() == ["180", "INVITE"]
    bench.answer(0)
    assert bench.order() == ["180", "INVITE", "200"]
    assert bench.engine.bridges
    bench.run(3.0)
    bench.bye_from(bench.leg(0))
    bench.run(1.0)
    action = bench.action
    assert action["DialCallStatus"] == "completed"
    assert (action["DialRingDuration"], action["DialCallDuration"]) == ("2", "3")
    assert action["DialCallSid"] == bench.leg(0) == action["OutboundCallSid"]
    assert action["CallStatus"] == "in-progress"
    assert "FailureReason" not in action and "DialSipResponseCode" not in action


def test_rejected__the_same_code_is_relayed__behaviour_4_2() -> None:
    bench = Bench(dial(ONE, ""))
    bench.progress(0)
    bench.run(2.0)
    bench.fail(0, 486, "Busy Here")
    assert bench.order() == ["180", "INVITE", "486"]
    assert bench.records[-1].ended.cause is Cause.BUSY


def test_rejected_with_action__the_code_waits_for_the_reply__behaviour_4_3() -> None:
    bench = Bench(dial(ONE))
    bench.run(2.0)
    bench.fail(0, 486, "Busy Here", headers=(("X-Why", "lunch"), ("Server", "s")))
    assert bench.order() == ["180", "INVITE"]
    bench.run(1.0)
    assert bench.order() == ["180", "INVITE", "486"]
    action = bench.action
    assert action["DialCallStatus"] == "busy"
    assert (action["DialRingDuration"], action["DialCallDuration"]) == ("2", "0")
    assert (action["DialSipResponseCode"], action["DialSipCallId"], action["DialSipHeader_X-Why"]) == ("486", "leg-0", "lunch")
    assert "DialSipHeader_Server" not in action and action["CallStatus"] == "ringing"


@pytest.mark.parametrize(
    ("code", "status", "to_caller"),
    [
        (486, "busy", "486"), (600, "busy", "600"), (603, "busy", "603"), (408, "no-answer", "408"), (480, "no-answer", "480"),
        (487, "canceled", "480"), (403, "failed", "403"), (404, "failed", "404"), (484, "failed", "484"), (500, "failed", "500"),
        (503, "failed", "503"), (604, "failed", "604"), (302, "failed", "480"), (401, "failed", "403"), (407, "failed", "403"),
    ],
)  # fmt: skip
def test_final_response_maps_to_status_and_code__behaviour_3_1_4_3(code: int, status: str, to_caller: str) -> None:
    bench = Bench(dial(ONE))
    bench.fail(0, code, "Some Phrase")
    bench.run(1.0)
    assert bench.action["DialCallStatus"] == status
    assert bench.action.get("FailureReason") == (f"{code} Some Phrase" if status == "failed" else None)
    assert bench.action.get("DialSipResponseCode") == (str(code) if code >= 400 else None)
    assert bench.order()[-1] == to_caller


def test_caller_cancels__callee_is_cancelled_before_the_487__behaviour_4_2() -> None:
    bench = Bench(dial(ONE))
    bench.progress(0)
    bench.cancel()
    assert bench.order() == ["180", "INVITE", "CANCEL", "487"]
    assert bench.action["DialCallStatus"] == "canceled" and bench.action["CallStatus"] == "canceled"
    assert bench.records[-1].ended.by is By.CALLER


def test_timeout__408_goes_first_then_cancel__behaviour_4_2() -> None:
    bench = Bench(dial(ONE, 'timeout="3"'))
    bench.progress(0)
    bench.run(3.5)
    assert bench.order() == ["180", "INVITE", "408", "CANCEL"]


def test_timeout_with_action__no_408_before_its_reply__behaviour_4_4() -> None:
    bench = Bench(dial(ONE, f'action="{ACTION}" timeout="3"'))
    bench.run(3.5)
    assert bench.action["DialCallStatus"] == "no-answer"
    assert (bench.action["DialRingDuration"], bench.action["DialCallDuration"]) == ("3", "0")
    assert "DialSipResponseCode" not in bench.action
    assert bench.order() == ["180", "INVITE", "CANCEL", "408"]


def test_fork__first_200_wins_the_others_are_cancelled_after_the_callers_200__behaviour_4_2() -> None:
    bench = Bench(dial(THREE))
    assert bench.order() == ["180", "INVITE", "INVITE", "INVITE"]
    bench.progress(1)
    bench.answer(1)
    assert bench.order()[4:] == ["200", "CANCEL", "CANCEL"]
    assert all(command.reason == 'SIP;cause=200;text="Call completed elsewhere"' for command in bench.of(commands.SendCancel))


def test_fork__one_rejection_does_not_end_it__behaviour_2_7() -> None:
    bench = Bench(dial(TWO))
    bench.fail(0, 603, "Decline")
    assert bench.order()[-1] == "INVITE"
    bench.answer(1)
    bench.bye_from(bench.leg(1))
    bench.run(1)
    assert bench.action["DialCallStatus"] == "completed" and bench.action["DialCallSid"] == bench.leg(1)


def test_fork__when_all_fail_the_last_is_reported__behaviour_3_3() -> None:
    bench = Bench(dial(TWO))
    bench.fail(0, 500, "Server Error")
    bench.run(1.0)
    bench.fail(1, 486, "Busy Here")
    bench.run(1.0)
    assert bench.action["DialCallStatus"] == "busy" and bench.action["DialCallSid"] == bench.leg(1)
    assert bench.order()[-1] == "486"


def test_fork_timeout__reports_the_first_noun_that_rang__behaviour_3_3() -> None:
    bench = Bench(dial(TWO, f'action="{ACTION}" timeout="3"'))
    bench.progress(1)
    bench.run(4.0)
    assert bench.action["DialCallSid"] == bench.leg(1) and bench.action["DialCallStatus"] == "no-answer"


def test_no_branch_could_be_created__503_and_no_dialcallsid__behaviour_3_2_4_3() -> None:
    bench = Bench(dial("<Number>1234</Number>"), outbound=None)
    bench.run(1.0)
    assert bench.action["DialCallStatus"] == "failed" and bench.action["FailureReason"] == "No outbound proxy"
    assert "DialCallSid" not in bench.action and bench.action["DialRingDuration"] == "0"
    assert bench.order() == ["180", "503"]
    assert [notification.code for notification in bench.notifications] == [11008]


def test_no_branch_code_500_is_a_setting__behaviour_4_3() -> None:
    bench = Bench(dial("<Number>1234</Number>", ""), outbound=None, no_branch_code_500=True)
    assert bench.order() == ["180", "500"]


def test_uncreated_branch_is_not_reported_when_a_real_one_existed__behaviour_3_3() -> None:
    bench = Bench(dial("<Client>ghost</Client>" + ONE))
    bench.fail(0, 486, "Busy Here")
    bench.run(1.0)
    assert bench.action["DialCallStatus"] == "busy"


def test_answer_without_sdp__callee_gets_bye_branch_failed__behaviour_2_11() -> None:
    bench = Bench(dial(ONE))
    bench.answer(0, body=b"")
    bench.run(1.0)
    assert "BYE" in bench.order()
    assert bench.action["DialCallStatus"] == "failed" and bench.action["DialCallDuration"] == "0"


def test_caller_hangs_up__callee_gets_bye_with_the_reason_and_action_says_completed__behaviour_2_8() -> None:
    bench = Bench(dial(ONE))
    bench.answer(0)
    bench.run(5.0)
    bench.bye_from(IN, "Q.850;cause=16")
    (bye,) = bench.of(commands.SendBye)
    assert bye.session == bench.leg(0) and bye.reason == "Q.850;cause=16"
    bench.run(0.5)
    assert not bench.web.of("action")  # waits for the answer to the BYE, a moment
    bench.bye_answered(0, 200, (("X-Bye", "1"),))
    bench.run(0.1)
    assert bench.action["DialCallStatus"] == "completed" and bench.action["CallStatus"] == "completed"
    assert bench.action["DialCallDuration"] == "5" and bench.action["DialSipHeader_X-Bye"] == "1"


def test_bye_that_is_never_answered_does_not_hold_the_action__behaviour_2_11() -> None:
    bench = Bench(dial(ONE))
    bench.answer(0)
    bench.bye_from(IN)
    bench.run(3.0)
    assert bench.action["DialCallStatus"] == "completed"


def test_callee_hangs_up_without_action_and_nothing_left__caller_gets_bye__behaviour_2_8() -> None:
    bench = Bench(dial(ONE, ""))
    bench.answer(0)
    bench.bye_from(bench.leg(0), "Q.850;cause=16")
    (bye,) = bench.of(commands.SendBye)
    assert bye.session == IN and bye.reason == "Q.850;cause=16"


def test_after_an_answered_dial_later_dials_are_skipped__behaviour_2_8_0_3() -> None:
    after = '<Pause length="4"/><Dial><Sip>sip:dave@192.0.2.11</Sip></Dial>'
    bench = Bench(dial(ONE, "", after))
    bench.answer(0)
    bench.bye_from(bench.leg(0))
    assert bench.order()[-1] == "BYE" and len(bench.of(commands.SendInvite)) == 1


def test_after_answer_next_verb_dials_on__behaviour_2_8() -> None:
    after = "<Dial><Sip>sip:dave@192.0.2.11</Sip></Dial>"
    bench = Bench(dial(ONE, "", after), rcml=RcmlSettings(after_answer="next-verb"))
    bench.answer(0)
    bench.bye_from(bench.leg(0))
    assert len(bench.of(commands.SendInvite)) == 2


def test_sequential_dials_keep_the_caller_ringing__behaviour_4_4() -> None:
    after = '<Pause length="4"/><Dial><Sip>sip:dave@192.0.2.11</Sip></Dial>'
    bench = Bench(dial(ONE, 'timeout="3"', after))
    bench.run(3.1)
    assert bench.order() == ["180", "INVITE", "CANCEL"]
    bench.run(4.1)
    assert bench.order() == ["180", "INVITE", "CANCEL", "INVITE"]
    bench.answer(1)
    assert bench.order()[-1] == "200"


def test_time_limit__callee_gets_bye_and_the_caller_goes_on__behaviour_2_9() -> None:
    bench = Bench(dial(ONE, f'action="{ACTION}" timeLimit="5"'), action="<Response><Say>bye</Say></Response>")
    bench.answer(0)
    bench.run(5.1)
    bench.bye_answered(0)
    bench.run(0.5)
    assert bench.action["DialCallStatus"] == "completed" and bench.action["DialCallDuration"] == "5"
    assert bench.verbs() == ["Dial", "Say"]
    assert [bye.session for bye in bench.of(commands.SendBye)] == [bench.leg(0)]


def test_the_engine_knows_the_time_limit_in_case_we_are_gone_until_the_caller_goes_on() -> None:
    bench = Bench(dial(ONE, f'action="{ACTION}" timeLimit="60"'), action="<Response><Say>bye</Say></Response>")
    caller = bench.sid
    assert bench.engine.deadlines == {}
    bench.answer(0)
    callee = next(stream for stream in bench.engine.streams if stream != caller)
    assert bench.engine.deadlines == {caller: 65_000, callee: 65_000}
    bench.run(3.0)
    bench.bye_from(bench.leg(0))
    bench.run(0.5)
    assert bench.engine.deadlines == {caller: 0, callee: 65_000} and callee not in bench.engine.streams


@pytest.mark.parametrize(
    ("document", "order", "status"),
    [
        ("<Response><Reject/></Response>", ["180", "603"], Cause.BUSY),
        ("<Response><Reject reason='busy'/></Response>", ["180", "486"], Cause.BUSY),
        ("<Response><Hangup/></Response>", ["180", "603"], Cause.BUSY),
        ("<Response></Response>", ["180", "603"], Cause.BUSY),
        ("<Response><Pause length='1'/><Reject reason='busy'/></Response>", ["180", "486"], Cause.BUSY),
        ("<Response><Say>hi</Say></Response>", ["180", "200", "BYE"], Cause.COMPLETED),
        ("<Response><Play>/a.wav</Play><Hangup/></Response>", ["180", "200", "BYE"], Cause.COMPLETED),
        ("not xml", ["180", "500"], Cause.FAILED),
        ("<Wrong/>", ["180", "500"], Cause.FAILED),
    ],
)
def test_first_verb_and_answering__behaviour_1_8_1_9(document: str, order: list[str], status: Cause) -> None:
    bench = Bench(document)
    bench.run(5.0)
    assert bench.order() == order
    assert bench.records[0].ended.cause is status


def test_play_loops_end_when_they_are_over__behaviour_9() -> None:
    bench = Bench("<Response><Play loop='3'>/a.wav</Play></Response>")
    bench.run(2.5)
    assert bench.order() == ["180", "200"]
    bench.run(1.0)
    assert bench.order() == ["180", "200", "BYE"]


def test_dial_after_say_runs_in_normal_mode__behaviour_4_4() -> None:
    bench = Bench(f"<Response><Say>hello</Say><Dial>{ONE}</Dial></Response>")
    bench.run(1.5)
    assert bench.order() == ["180", "200", "INVITE"]
    bench.fail(0, 486)
    assert bench.order()[-1] == "BYE"


def test_worker_dies_while_bridged__failed_with_media_failure__behaviour_3_1() -> None:
    bench = Bench(dial(ONE))
    bench.answer(0)
    bench.run(2.0)
    bench.engine.die(bench.now)
    bench.run(2.0)
    assert sorted(str(bye.session) for bye in bench.of(commands.SendBye)) == sorted([str(IN), str(bench.leg(0))])
    assert bench.action["DialCallStatus"] == "failed" and bench.action["FailureReason"] == "Media failure"


def test_media_silent_on_both_sides_ends_the_call__call_control_md() -> None:
    bench = Bench(dial(ONE))
    bench.answer(0)
    caller = bench.sid
    bench.give_engine(engine.MediaTimeout(stream=caller, silent_ms=60000))
    bench.run(1.0)
    assert not bench.of(commands.SendBye)
    bench.give_engine(engine.MediaTimeout(stream=bench.leg(0), silent_ms=60000))
    assert [bye.session for bye in bench.of(commands.SendBye)] == [bench.leg(0), IN]
    bench.bye_answered(0)
    bench.run(1.0)
    assert bench.action["DialCallStatus"] == "completed" and bench.action["CallStatus"] == "completed"


def test_media_timeout_of_one_side_that_is_heard_again_does_not_count__call_control_md() -> None:
    bench = Bench(dial(ONE))
    bench.answer(0)
    caller = bench.sid
    bench.give_engine(engine.MediaTimeout(stream=caller, silent_ms=60000))
    bench.engine.packets_in[caller] = 7
    bench.give_engine(engine.MediaTimeout(stream=bench.leg(0), silent_ms=60000))
    bench.run(1.0)
    assert not bench.of(commands.SendBye)


def test_info_digit_goes_to_the_peer_as_telephone_event__behaviour_2_11() -> None:
    bench = Bench(dial(ONE))
    bench.answer(0)
    info = Request("INFO", "sip:x", Headers([("Content-Type", "application/dtmf-relay")]), b"Signal=5\r\nDuration=160\r\n")
    bench.give(events.RequestReceived(IN, commands.TransactionId("t"), info))
    assert [(digit.stream, digit.digits, digit.tone_ms) for digit in bench.engine.digits] == [(bench.leg(0), "5", 160)]
    assert bench.of(commands.AnswerRequest)[0].status == 200


def test_hold_by_reinvite_is_answered_locally__behaviour_2_11() -> None:
    bench = Bench(dial(ONE))
    bench.answer(0)
    body = sdp("192.0.2.7").replace(b"a=sendrecv", b"a=sendonly").replace(b"o=phone 1 1", b"o=phone 1 2")
    again = Request("INVITE", "sip:x", Headers([("Content-Type", "application/sdp")]), body)
    bench.give(events.ReinviteReceived(IN, commands.TransactionId("t"), again))
    (answer,) = bench.of(commands.AnswerRequest)
    assert answer.status == 200 and b"a=recvonly" in answer.body
    assert len(bench.of(commands.SendInvite)) == 1


def test_operator_ends_a_ringing_call__487_and_canceled__behaviour_3_1() -> None:
    bench = Bench(dial(ONE))
    bench.progress(0)
    bench.act(bench.registry.operator_end(bench.sid, bench.now))
    assert bench.order() == ["180", "INVITE", "CANCEL", "487"]
    assert bench.action["DialCallStatus"] == "canceled"


def test_operator_cancels_every_branch__480_and_canceled__behaviour_4_3() -> None:
    bench = Bench(dial(TWO))
    for leg in (bench.leg(0), bench.leg(1)):
        bench.act(bench.registry.operator_end(leg, bench.now))
    bench.run(1.0)
    assert bench.action["DialCallStatus"] == "canceled" and bench.order()[-1] == "480"


def test_fallback_proxy_is_tried_on_503__behaviour_2_4() -> None:
    bench = Bench(dial("<Number>1234</Number>"), outbound=Outbound("c", ("sip:gw1.example.com", "sip:gw2.example.com")))
    bench.give(events.InviteFailed(bench.leg(0), events.FailureCause.TRANSPORT, None, "refused"))
    invites = bench.of(commands.SendInvite)
    assert [invite.request_uri for invite in invites] == ["sip:1234@gw1.example.com", "sip:1234@gw2.example.com"]
    bench.give(events.InviteAnswered(invites[1].session, bench.response(0, 200, sdp("192.0.2.8"))))
    assert bench.order()[-1] == "200"


def test_caller_id_and_display_name_of_the_outbound_from__behaviour_2_3() -> None:
    bench = Bench(dial("<Number>1-444-555-6666</Number>", ""))
    (invite,) = bench.of(commands.SendInvite)
    assert invite.request_uri == "sip:14445556666@gw.example.com:5070"
    assert (invite.from_uri, invite.from_display) == ("sip:bob@gw.example.com", "Bob")
    bench = Bench(dial(ONE, 'callerId="client:thomas"'))
    assert bench.of(commands.SendInvite)[0].from_uri == "sip:thomas@server.example.com"
    bench = Bench(dial(ONE, 'callerId="me@example.org"'))
    assert bench.of(commands.SendInvite)[0].from_uri == "sip:me@example.org"


@pytest.mark.parametrize(
    ("status", "error", "code", "notification"), [(404, "", "404", 21402), (500, "", "500", 11206), (0, "timeout", "500", 11205)]
)
def test_application_failures__behaviour_1_9(status: int, error: str, code: str, notification: int) -> None:
    bench = Bench(lambda request: Fetched(request.request, status, url=request.url, error=error))
    assert bench.order() == ["180", code]
    assert [item.code for item in bench.notifications] == [notification]


def test_fallback_is_asked_once_with_the_same_parameters__behaviour_1_9() -> None:
    application = Application("2222", VOICE, fallback_url=ACTION)
    bench = Bench(
        lambda request: Fetched(request.request, 500, url=request.url), action="<Response><Reject/></Response>", application=application
    )
    assert bench.order() == ["180", "603"]
    assert bench.web.of("voice") == bench.web.of("fallback")


@pytest.mark.parametrize(("received", "sent"), [(None, "69"), ("70", "69"), ("5", "4"), ("255", "69"), ("1", "0"), ("soon", "69")])
def test_a_loop_through_us_runs_out_of_hops__rfc3261_8_1_1_6(received: str | None, sent: str) -> None:
    bench = Bench(dial(ONE), invite_headers=(("Max-Forwards", received),) if received is not None else ())
    assert dict(bench.of(commands.SendInvite)[0].headers)["Max-Forwards"] == sent
