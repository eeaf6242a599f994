"""Parameters of requests (behaviour 1.6, 3.2, 10.5, 10.8)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rcml.parameters import (
    DialFacts,
    VoiceFacts,
    action_parameters,
    custom_headers,
    dial_parameters,
    voice_parameters,
)

CALL = VoiceFacts(
    call_sid="CA" + "1" * 32,
    instance_id="ID" + "2" * 32,
    account_sid="AC" + "3" * 32,
    from_user="bob",
    to_user="+12223334455",
    call_status="ringing",
    direction="inbound",
    timestamp_iso="2020-05-26T17:59:16.555Z",
)


def test_voice_parameters_come_in_their_order_and_absent_ones_are_left_out__behaviour_1_6_10_8() -> None:
    assert voice_parameters(CALL) == (
        ("CallSid", "CA" + "1" * 32),
        ("InstanceId", "ID" + "2" * 32),
        ("AccountSid", "AC" + "3" * 32),
        ("From", "bob"),
        ("To", "+12223334455"),
        ("CallStatus", "ringing"),
        ("ApiVersion", "2012-04-24"),
        ("Direction", "inbound"),
        ("CallTimestamp", "2020-05-26T17:59:16.555Z"),
    )


def test_every_voice_parameter_has_its_place__behaviour_1_6() -> None:
    facts = replace(
        CALL,
        caller_name="Bob",
        forwarded_from="11223344",
        outbound_call_sid="CA9",
        refer_target="alice",
        transferor="+131313",
        transferee="bob",
        sip_headers=(("X-My-Custom-Header", "My Custom Value"),),
    )
    assert [name for name, _ in voice_parameters(facts)] == [
        "CallSid",
        "InstanceId",
        "OutboundCallSid",
        "AccountSid",
        "From",
        "To",
        "CallStatus",
        "ApiVersion",
        "Direction",
        "CallerName",
        "ForwardedFrom",
        "CallTimestamp",
        "ReferTarget",
        "Transferor",
        "Transferee",
        "SipHeader_X-My-Custom-Header",
    ]


def test_from_is_sent_even_when_empty__behaviour_1_6() -> None:
    assert ("From", "") in voice_parameters(replace(CALL, from_user=""))


def test_only_custom_headers_are_passed_as_received_and_repeated_ones_repeat__behaviour_1_6_10_5() -> None:
    headers = (
        ("Via", "v"),
        ("X-A", "1"),
        ("x-b", "2"),
        ("X-A", "3"),
        ("Diversion", "<sip:1@x>"),
        ("diversion", "d"),
        ("Max-Forwards", "70"),
        ("XA", "n"),
    )
    kept = (("X-A", "1"), ("x-b", "2"), ("X-A", "3"), ("Diversion", "<sip:1@x>"), ("diversion", "d"))
    assert custom_headers(headers) == kept
    passed = voice_parameters(replace(CALL, sip_headers=headers))[-5:]
    assert passed == tuple((f"SipHeader_{name}", value) for name, value in kept)


DIAL = DialFacts(status="completed", call_sid="CA9", duration_s=3, ring_duration_s=2)


def test_an_answered_dial__behaviour_3_2() -> None:
    assert dial_parameters(replace(DIAL, recording_url="http://h/RE1.wav", failure_reason="never")) == (
        ("DialCallStatus", "completed"),
        ("DialCallSid", "CA9"),
        ("DialCallDuration", "3"),
        ("DialRingDuration", "2"),
        ("RecordingUrl", "http://h/RE1.wav"),
        ("PublicRecordingUrl", "http://h/RE1.wav"),
        ("OutboundCallSid", "CA9"),
    )


def test_a_failed_dial_tells_why_and_what_sip_said__behaviour_3_2() -> None:
    facts = DialFacts(
        "failed",
        "CA9",
        0,
        0,
        failure_reason="404 Not Found",
        sip_call_id="a@b",
        sip_response_code=404,
        sip_headers=(("X-Why", "gone"), ("Via", "v")),
    )
    assert dial_parameters(facts) == (
        ("DialCallStatus", "failed"),
        ("DialCallSid", "CA9"),
        ("DialCallDuration", "0"),
        ("DialRingDuration", "0"),
        ("OutboundCallSid", "CA9"),
        ("FailureReason", "404 Not Found"),
        ("DialSipCallId", "a@b"),
        ("DialSipResponseCode", "404"),
        ("DialSipHeader_X-Why", "gone"),
    )


@pytest.mark.parametrize(("code", "told"), [(200, False), (302, False), (399, False), (400, True), (486, True), (603, True), (None, False)])
def test_call_id_and_code_only_from_400_up__behaviour_0_9(code: int | None, told: bool) -> None:
    names = [name for name, _ in dial_parameters(replace(DIAL, sip_call_id="a@b", sip_response_code=code))]
    assert ("DialSipCallId" in names, "DialSipResponseCode" in names) == (told, told)


def test_custom_headers_of_a_success_are_passed__behaviour_10_5() -> None:
    facts = replace(DIAL, sip_response_code=200, sip_headers=(("X-Agent", "7"), ("x-Agent", "8"), ("Diversion", "d")))
    assert dial_parameters(facts)[-2:] == (("DialSipHeader_X-Agent", "7"), ("DialSipHeader_x-Agent", "8"))


def test_a_conference_has_a_status_and_nothing_else__behaviour_2_10() -> None:
    assert dial_parameters(DialFacts("completed")) == (("DialCallStatus", "completed"),)


@pytest.mark.parametrize("status", ["completed", "busy", "no-answer", "canceled"])
def test_only_a_failed_dial_has_a_failure_reason__reference_page(status: str) -> None:
    assert "FailureReason" not in dict(dial_parameters(DialFacts(status, failure_reason="x")))


def test_an_action_request_names_the_outbound_leg_once_in_its_place__behaviour_1_6_3_2() -> None:
    names = [name for name, _ in action_parameters(CALL, DIAL)]
    assert names[:3] == ["CallSid", "InstanceId", "OutboundCallSid"]
    assert names.count("OutboundCallSid") == 1
    assert names[-4:] == ["DialCallStatus", "DialCallSid", "DialCallDuration", "DialRingDuration"]
    assert "OutboundCallSid" not in dict(action_parameters(replace(CALL, outbound_call_sid="CA8"), DialFacts("failed")))
