"""The parameters of requests to the application, in their order and by their exact names (behaviour 1.6, 3.2).

A parameter without a value is left out (10.8); a header that came several times repeats its key (10.5).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass

Parameters = tuple[tuple[str, str], ...]

API_VERSION = "2012-04-24"


@dataclass(frozen=True, slots=True)
class VoiceFacts:
    """A call as its application sees it.

    timestamp_iso: when the call began, ISO 8601 with milliseconds and zone. outbound_call_sid: of the dialled leg, once known.
    sip_headers: of the INVITE, as received; only the custom ones are passed on. refer_*: of a transfer. sip_call_id: Call-ID of a party
    called by its SIP URI, for its screening document (2.5). api_version: as the dialect has it.
    """

    call_sid: str
    instance_id: str
    account_sid: str
    from_user: str
    to_user: str
    call_status: str
    direction: str
    caller_name: str | None = None
    forwarded_from: str | None = None
    timestamp_iso: str = ""
    outbound_call_sid: str | None = None
    sip_headers: Parameters = ()
    refer_target: str | None = None
    transferor: str | None = None
    transferee: str | None = None
    sip_call_id: str | None = None
    api_version: str = API_VERSION


@dataclass(frozen=True, slots=True)
class DialFacts:
    """How a Dial ended.

    status: completed, busy, no-answer, failed or canceled. call_sid: of the reported leg, None without one and after a
    conference; so are the durations, in whole seconds. sip_*: of that leg's last response; None for a leg we cancelled. bridged: whether
    it was connected, None where that is not told.
    """

    status: str
    call_sid: str | None = None
    duration_s: int | None = None
    ring_duration_s: int | None = None
    recording_url: str | None = None
    failure_reason: str | None = None
    sip_call_id: str | None = None
    sip_response_code: int | None = None
    sip_headers: Parameters = ()
    bridged: bool | None = None


def voice_parameters(facts: VoiceFacts) -> Parameters:
    """What every request about a call carries (behaviour 1.6)."""
    return _present(
        ("CallSid", facts.call_sid),
        ("InstanceId", facts.instance_id),
        ("OutboundCallSid", facts.outbound_call_sid),
        ("AccountSid", facts.account_sid),
        ("From", facts.from_user),
        ("To", facts.to_user),
        ("CallStatus", facts.call_status),
        ("ApiVersion", facts.api_version),
        ("Direction", facts.direction),
        ("CallerName", facts.caller_name or None),
        ("ForwardedFrom", facts.forwarded_from or None),
        ("CallTimestamp", facts.timestamp_iso or None),
        ("ReferTarget", facts.refer_target),
        ("Transferor", facts.transferor),
        ("Transferee", facts.transferee),
        ("SipCallId", facts.sip_call_id),
        *((f"SipHeader_{name}", value) for name, value in custom_headers(facts.sip_headers)),
    )


def dial_parameters(facts: DialFacts) -> Parameters:
    """What a Dial's action request carries on top (behaviour 0.9, 3.2)."""
    refused = facts.sip_response_code is not None and facts.sip_response_code >= 400
    return _present(
        ("DialCallStatus", facts.status),
        ("DialCallSid", facts.call_sid),
        ("DialCallDuration", _number(facts.duration_s)),
        ("DialRingDuration", _number(facts.ring_duration_s)),
        ("DialBridged", None if facts.bridged is None else str(facts.bridged).lower()),
        ("RecordingUrl", facts.recording_url),
        ("PublicRecordingUrl", facts.recording_url),
        ("OutboundCallSid", facts.call_sid),
        ("FailureReason", facts.failure_reason if facts.status == "failed" else None),
        ("DialSipCallId", facts.sip_call_id if refused else None),
        ("DialSipResponseCode", _number(facts.sip_response_code) if refused else None),
        *((f"DialSipHeader_{name}", value) for name, value in facts.sip_headers if is_extension(name)),
    )


def action_parameters(voice: VoiceFacts, dial: DialFacts) -> Parameters:
    """The whole action request: both lists, with OutboundCallSid once, in its place of 1.6."""
    known = dataclasses.replace(voice, outbound_call_sid=dial.call_sid)
    return voice_parameters(known) + tuple(pair for pair in dial_parameters(dial) if pair[0] != "OutboundCallSid")


def custom_headers(headers: Iterable[tuple[str, str]]) -> Parameters:
    """Those headers that applications get to see: X-... in any case of letters, and Diversion."""
    return tuple((name, value) for name, value in headers if is_extension(name) or name.lower() == "diversion")


def _present(*pairs: tuple[str, str | None]) -> Parameters:
    return tuple((name, value) for name, value in pairs if value is not None)


def _number(value: int | None) -> str | None:
    return None if value is None else str(int(value))


def is_extension(name: str) -> bool:
    """X-..., in any case of letters: a header that an application may give and get."""
    return name[:2].lower() == "x-"
