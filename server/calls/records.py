"""How legs and calls ended, and what is kept of them: one type each for the API, the callbacks, the storage and the metrics.

Times are monotonic seconds; whoever writes them down maps them to wall time.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Cause(enum.Enum):
    """How a leg or call ended; the one outcome value of the API, the callbacks, the CDR and the metrics."""

    COMPLETED = "completed"
    BUSY = "busy"
    NO_ANSWER = "no-answer"
    CANCELED = "canceled"
    FAILED = "failed"


class By(enum.Enum):
    """Who ended it."""

    CALLER = "caller"
    CALLEE = "callee"
    APPLICATION = "application"  # the document said so, or ran out
    OPERATOR = "operator"  # REST, shutdown
    TIMER = "timer"  # timeout, timeLimit
    SERVER = "server"  # refusal, failure of ours, media gone


@dataclass(frozen=True, slots=True)
class CallEnded:
    """Exactly one for each leg. sip_status: of the last response that decided it, 0 for none. text: for people."""

    cause: Cause
    by: By
    sip_status: int = 0
    text: str = ""


@dataclass(frozen=True, slots=True)
class CallRecord:
    """The CDR of one leg, written when it ends. Durations are whole seconds, truncated; times monotonic."""

    sid: str
    parent_sid: str  # "" for an inbound call
    account_sid: str
    direction: str  # inbound, outbound-dial, outbound-api
    from_user: str
    to_user: str
    created_at: float
    answered_at: float | None
    ended_at: float
    duration_s: int
    ring_duration_s: int
    ended: CallEnded
    sip_call_id: str = ""


@dataclass(frozen=True, slots=True)
class RecordingRecord:
    """A finished recording (behaviour: only when it is longer than nothing)."""

    sid: str
    call_sid: str
    account_sid: str
    path: str
    duration_ms: int
    at: float
