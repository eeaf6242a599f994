"""Hangup: end the call."""

from __future__ import annotations

from rcml.verbs.hangup import Hangup
from server.calls.verbs.running import HungUp, VerbOf


class RunningHangup(VerbOf[Hangup]):
    def start(self) -> None:
        self.result = HungUp("hangup")
