"""A verb of which nothing can be run ends the call as failed (behaviour.md 9: 11100)."""

from __future__ import annotations

from rcml.verbs.invalid import Invalid
from server.calls.verbs.running import Broken, VerbOf


class RunningInvalid(VerbOf[Invalid]):
    def start(self) -> None:
        self.result = Broken("The document cannot be run on")
