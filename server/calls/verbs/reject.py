"""Reject: refuse the call; one that has been answered can only be hung up (behaviour.md 1.8, 9)."""

from __future__ import annotations

from rcml.verbs.reject import Reject
from server.calls.effects import Kind
from server.calls.verbs.running import HungUp, Refused, VerbOf


class RunningReject(VerbOf[Reject]):
    def start(self) -> None:
        if self.leg.unanswered:
            self.outbox.note(Kind.VERB, {"verb": "Reject", "status": self.verb.status})
            self.result = Refused(self.verb.status, self.verb.reason_phrase)
        else:
            self.result = HungUp("reject-answered")
