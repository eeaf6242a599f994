"""How a dialled leg ended, as the application is told: the table of behaviour.md 3.1 as data, and what the caller's side gets.

A row can be flipped here and nowhere else.
"""

from __future__ import annotations

from dataclasses import dataclass

from server.calls.records import Cause

# Final responses of the callee -> DialCallStatus. What is not named here is FAILED (behaviour.md 3.1).
STATUS_OF_RESPONSE: dict[int, Cause] = {
    486: Cause.BUSY,
    600: Cause.BUSY,
    603: Cause.BUSY,
    408: Cause.NO_ANSWER,
    480: Cause.NO_ANSWER,
    487: Cause.CANCELED,  # without a CANCEL of ours
}

# No final response in 64*T1 although the Dial had more time: the stack's own 408 (behaviour.md 2.11 rules over the
# collective row of 3.1, see docs/decisions/0010-silence-is-no-answer.md).
STATUS_OF_SILENCE = Cause.NO_ANSWER
CODE_OF_SILENCE = 408

# Our final to the unanswered caller, by the callee's (behaviour.md 4.3); others from 400 up pass as they are.
RELAYED: dict[int, int] = {401: 403, 407: 403, 487: 480}

CODE_OF_TIMEOUT = 408
CODE_OF_UNREACHABLE = 503
CODE_OF_UNKNOWN_CLIENT = 404
CODE_OF_UNREGISTERED_CLIENT = 480
CODE_OF_FORBIDDEN = 403
CODE_WITHOUT_DIAL = 603
CODE_OF_CANCELED = 487
CODE_OF_CANCELED_BRANCHES = 480
CODE_OF_DECLINED = 480  # it answered, and was not connected (behaviour 0.7)

REGISTRATION_REMOVED = "Registration_Removed"  # behaviour.md 8
FORBIDDEN = "The destination may not be called from here"

# CallStatus of an unanswered inbound call by our final response (behaviour.md 4.4, last point).
INBOUND_STATUS: dict[int, Cause] = {
    486: Cause.BUSY,
    600: Cause.BUSY,
    603: Cause.BUSY,
    408: Cause.NO_ANSWER,
    480: Cause.NO_ANSWER,
    487: Cause.CANCELED,
}


def status_of_response(code: int) -> Cause:
    return STATUS_OF_RESPONSE.get(code, Cause.FAILED)


def relayed_code(code: int) -> int:
    """What the unanswered caller gets for a callee's final response `code`."""
    if code < 400:
        return 480
    return RELAYED.get(code, code)


def inbound_status(code: int) -> Cause:
    return INBOUND_STATUS.get(code, Cause.FAILED)


@dataclass(frozen=True, slots=True)
class DialResult:
    """All that the action request and the rest of the call need of an ended Dial.

    caller_code: our final to a caller who is still unanswered when the script runs out; caller_text its phrase ("" = the RFC's).
    call_sid: of the reported leg, None when no leg was created. Durations are whole seconds, truncated; None after a conference.
    """

    status: Cause
    answered: bool
    call_sid: str | None = None
    duration_s: int | None = 0
    ring_duration_s: int | None = 0
    recording_url: str | None = None
    failure_reason: str | None = None
    sip_call_id: str | None = None
    sip_response_code: int | None = None
    sip_headers: tuple[tuple[str, str], ...] = ()
    caller_code: int = CODE_OF_UNREACHABLE
    caller_text: str = ""
