"""Pause: wait, without answering the call (behaviour.md 1.8, 9)."""

from __future__ import annotations

from rcml.verbs.pause import Pause
from server.calls.effects import Kind
from server.calls.verbs.running import Finished, VerbOf


class RunningPause(VerbOf[Pause]):
    def start(self) -> None:
        self.outbox.note(Kind.VERB, {"verb": "Pause", "line": self.verb.line, "length_s": self.verb.length_s})
        self.deadline = self.outbox.now + self.verb.length_s

    def timeout(self) -> None:
        self.result = Finished()
