"""Status callbacks of one dialled leg: initiated, ringing, answered, completed (behaviour.md 2.6).

They are posted and forgotten: no order on the wire, no retry, the answers ignored, and no call waits for them.
"""

from __future__ import annotations

from rcml.verbs.nouns import CallNoun
from server.calls.outbox import Outbox

SEQUENCE = {"initiated": 0, "ringing": 1, "answered": 2, "completed": 3}


class LegStatus:
    """sid: of the leg; from_user, to_user: of the leg."""

    def __init__(self, outbox: Outbox, noun: CallNoun, sid: str, from_user: str, to_user: str, caller_name: str | None) -> None:
        self._outbox = outbox
        self._noun = noun
        self._parties = (sid, from_user, to_user, caller_name)
        self._told: set[str] = set()

    def tell(self, event: str, duration_s: int | None = None) -> None:
        """Each event at most once, and only those that the noun asks for. duration_s: of the talk, with `completed`."""
        noun = self._noun
        if event in self._told or noun.status_callback is None or event not in noun.status_callback_events:
            return
        self._told.add(event)
        policy = self._outbox.policy
        sid, from_user, to_user, caller_name = self._parties
        values = (
            ("InstanceId", policy.instance_id),
            ("AccountSid", policy.account_sid),
            ("CallSid", sid),
            ("ParentCallSid", self._outbox.call_sid),
            ("From", from_user),
            ("To", to_user),
            ("Direction", "outbound-dial"),
            ("CallerName", caller_name or None),
            ("CallStatus", event),
            ("CallDuration", None if duration_s is None else str(duration_s)),
            ("Timestamp", policy.wall_rfc2822(self._outbox.now)),
            ("CallbackSource", "call-progress-events"),
            ("SequenceNumber", str(SEQUENCE[event])),
        )
        parameters = tuple((name, value) for name, value in values if value is not None)
        self._outbox.ask("leg-status", noun.status_callback, noun.status_callback_method, parameters, sid)
