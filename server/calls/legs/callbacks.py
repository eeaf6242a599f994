"""Status callbacks of one leg that we call: initiated, ringing, answered, completed (behaviour.md 2.6).

They are posted and forgotten: no order on the wire, no retry, the answers ignored, and no call waits for them.
"""

from __future__ import annotations

from dataclasses import dataclass

from rcml.dialect import RCML, Dialect
from rcml.verbs.nouns import CallNoun
from server.calls.outbox import Outbox

SEQUENCE = {"initiated": 0, "ringing": 1, "answered": 2, "completed": 3}


@dataclass(frozen=True, slots=True)
class LegFacts:
    """What a callback says of its leg. status: as a call's; duration_s: of talk, so far."""

    sid: str
    parent_sid: str
    direction: str
    from_user: str
    to_user: str
    status: str
    duration_s: int


class LegCallbacks:
    """noun: who was dialled, and what it wants to be told. caller_name: the display name that the callee is shown.

    forwarded_from: whom the caller had called first.
    """

    def __init__(self, noun: CallNoun, caller_name: str | None, forwarded_from: str | None = None, dialect: Dialect = RCML) -> None:
        self._noun = noun
        self._caller_name = caller_name
        self._forwarded_from = forwarded_from
        self._dialect = dialect
        self._told: set[str] = set()

    def tell(self, outbox: Outbox, leg: LegFacts, event: str) -> None:
        """Each event at most once, and only those that the noun asks for."""
        noun = self._noun
        if event in self._told or noun.status_callback is None or event not in noun.status_callback_events:
            return
        number = len(self._told) if self._dialect.tells_states else SEQUENCE[event]
        self._told.add(event)
        policy = outbox.policy
        status = leg.status if self._dialect.tells_states and event != "initiated" else event
        shown = policy.international if self._dialect.international else str
        values = (
            ("InstanceId", policy.instance_id),
            ("AccountSid", policy.account_sid),
            ("CallSid", leg.sid),
            ("ParentCallSid", leg.parent_sid or None),
            ("From", shown(leg.from_user)),
            ("To", shown(leg.to_user)),
            ("Direction", leg.direction),
            ("CallerName", self._caller_name or None),
            ("ForwardedFrom", self._forwarded_from or None),
            ("CallStatus", status),
            ("CallDuration", str(leg.duration_s) if event == "completed" else None),
            ("Timestamp", policy.wall_rfc2822(outbox.now)),
            ("CallbackSource", "call-progress-events"),
            ("SequenceNumber", str(number)),
        )
        parameters = tuple((name, value) for name, value in values if value is not None)
        outbox.ask("leg-status", noun.status_callback, noun.status_callback_method, parameters, leg.sid)
