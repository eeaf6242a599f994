"""The primary leg has handed its call over: it hears nothing, is told how that goes, and is hung up or has the call back.

No document names this verb; call control runs it (`server.calls.transfer`).
"""

from __future__ import annotations

from typing import ClassVar

from server.calls.effects import Kind
from server.calls.handover import Handover
from server.calls.signals import Signal, TransferSettled
from server.calls.verbs.running import Finished, HungUp, RunningVerb, Stage, Stop

OVER = HungUp("The call was transferred")


class RunningTransferor(RunningVerb):
    hands_over: ClassVar[bool] = True

    def __init__(self, stage: Stage, handover: Handover) -> None:
        self._outbox = stage.outbox
        self._leg = stage.leg
        self._handover = handover

    def start(self) -> None:
        self._outbox.note(Kind.STATE, {"status": "transferring"}, self._leg.sid)
        self._leg.media.stop_playing()
        self.deadline = self._outbox.now + self._outbox.policy.transferor_s
        if self._handover.settled:
            self.result = OVER

    def timeout(self) -> None:
        """It has waited long enough; what is known by now is all that it is told."""
        self._handover.settle(self._outbox, 200 if self._handover.fetched else 100)
        self.result = OVER

    def signalled(self, signal: Signal) -> None:
        if isinstance(signal, TransferSettled) and signal.refer == self._handover.refer:
            self.result = OVER

    def stop(self, stop: Stop) -> None:
        self._handover.present = False
        self.result = Finished()
