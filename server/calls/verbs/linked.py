"""The primary leg talks with the primary leg of another call, until either of them ends: two calls that a transfer has joined.

Each of both calls runs one of these. No document names this verb; call control runs it (`server.calls.transfer`).
"""

from __future__ import annotations

from server.calls.bridge import Bridge
from server.calls.effects import Kind
from server.calls.signals import Signal, Unlinked
from server.calls.verbs.running import Finished, HungUp, RunningVerb, Stage, Stop


class RunningLinked(RunningVerb):
    def __init__(self, stage: Stage, partner: str, bridge: Bridge) -> None:
        """partner: sid of the other call."""
        self._outbox = stage.outbox
        self._leg = stage.leg
        self._bridge = bridge
        self.partner = partner

    def start(self) -> None:
        self._outbox.note(Kind.STATE, {"status": "joined", "with": self.partner}, self._leg.sid)
        self._leg.media.stop_playing()
        self._bridge.put(self._leg)

    def caller_connected(self) -> None:
        self._bridge.connected()

    def leave(self) -> None:
        self._bridge.take(self._leg)
        self.partner = ""

    def stop(self, stop: Stop) -> None:
        """The other call ends with this one, whatever this leg does next."""
        if self.partner:
            self._outbox.signal(Unlinked(self.partner, stop.reason))
        self.leave()
        self.result = Finished()

    def media_lost(self, text: str) -> None:
        self._bridge.lost()

    def signalled(self, signal: Signal) -> None:
        if isinstance(signal, Unlinked) and self.result is None:
            self.leave()
            self.result = HungUp("The other party has left", signal.reason)
