"""Redirect: go on with another document (behaviour.md 9)."""

from __future__ import annotations

from rcml.verbs.redirect import Redirect
from server.calls.verbs.running import Elsewhere, VerbOf


class RunningRedirect(VerbOf[Redirect]):
    def start(self) -> None:
        self.result = Elsewhere(self.verb.url, self.verb.method)
