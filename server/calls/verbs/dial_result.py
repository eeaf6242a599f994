"""Which leg of a Dial is reported, and what is told of it (behaviour.md 3.1-3.3, 4.3). Pure: legs in, a `DialResult` out."""

from __future__ import annotations

from collections.abc import Sequence

from rcml.parameters import is_extension
from server.calls.legs.outbound import Outbound
from server.calls.outbox import reason_of
from server.calls.outcome import (
    CODE_OF_CANCELED_BRANCHES,
    CODE_OF_DECLINED,
    CODE_OF_SILENCE,
    CODE_OF_UNREACHABLE,
    DialResult,
    relayed_code,
)
from server.calls.records import By, Cause


def foremost(branches: Sequence[Outbound]) -> Outbound:
    """The leg to report when all are given up: one that has answered, else one that still rings, is still tried, else the first."""
    answered = next((branch for branch in branches if branch.leg.answered), None)
    alive = [branch for branch in branches if branch.leg.unanswered] or branches
    return answered or next((branch for branch in alive if branch.rang), alive[0])


def first_that_rang(branches: Sequence[Outbound]) -> Outbound:
    """The leg to report when the Dial's time is over: the first noun that rang, even if that leg had refused before (3.3)."""
    return next((branch for branch in branches if branch.rang), branches[0])


def result_of(
    branch: Outbound,
    status: Cause,
    *,
    answered: bool,
    code: int,
    failure_reason: str | None = None,
    text: str = "",
    own: bool = False,
) -> DialResult:
    """The facts of the reported leg. DialSip* only for what the far end said, never for our own CANCEL (3.1).

    code, text: our final to a caller who is still unanswered. own: we give the leg up, whatever it said before.
    """
    leg = branch.leg
    response = leg.last_response
    ours = own or branch.canceled_by_us or (status is Cause.NO_ANSWER and leg.ended is None)
    refused = response is not None and response.status >= 400 and not ours
    headers: tuple[tuple[str, str], ...] = ()
    if response is not None and not ours:
        headers = tuple((name, value) for name, value in response.headers if is_extension(name))
    return DialResult(
        status=status,
        answered=answered,
        call_sid=leg.sid,
        duration_s=leg.duration_s if answered else 0,
        ring_duration_s=leg.ring_duration_s,
        failure_reason=(failure_reason or "Failed") if status is Cause.FAILED else None,
        sip_call_id=leg.sip_call_id if refused else None,
        sip_response_code=response.status if refused and response is not None else None,
        sip_headers=headers,
        caller_code=code,
        caller_text=text,
    )


def result_of_failure(branch: Outbound) -> tuple[DialResult, str | None]:
    """All branches are over, and this was the last to finish: what is told, and the Reason header for the caller (3.3)."""
    leg = branch.leg
    assert leg.ended is not None
    cause, status = leg.ended.cause, leg.ended.sip_status
    response = leg.last_response
    text, reason = "", None
    if cause is Cause.CANCELED and branch.canceled_by_us:
        code = CODE_OF_CANCELED_BRANCHES
    elif branch.declined:
        code = CODE_OF_DECLINED
    elif status >= 300:
        code = relayed_code(status)
        if response is not None:
            reason = reason_of(response.headers)
            text = response.reason if code == status else ""
    elif leg.ended.by is By.TIMER:
        code = CODE_OF_SILENCE
    elif status == 200:
        code = 502  # answered, but with nothing that could be connected
    else:
        code = CODE_OF_UNREACHABLE
    return result_of(branch, cause, answered=False, failure_reason=leg.failure_reason, code=code, text=text), reason
