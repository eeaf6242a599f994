"""The primary leg talks with a leg that another call has given away, until either of them ends: a transfer's last step.

No document names this verb; call control runs it (`Registry.join`).
"""

from __future__ import annotations

from server.calls.bridge import Bridge
from server.calls.effects import Kind
from server.calls.legs.leg import Leg
from server.calls.outbox import reason_of, sip_reason
from server.calls.records import By, CallEnded, Cause
from server.calls.verbs.running import Finished, HungUp, RunningVerb, Stage, Stop
from sip.core import events


class RunningTalk(RunningVerb):
    def __init__(self, stage: Stage, other: Leg, bridge: Bridge) -> None:
        """other: an answered leg that belongs to this call now, and waits in the bridge."""
        self._stage = stage
        self._leg, self._other = stage.leg, other
        self._bridge = bridge

    def start(self) -> None:
        self._stage.outbox.note(Kind.STATE, {"status": "joined", "with": self._other.sid})
        self._stage.adopt(self._other, self)
        self._leg.media.stop_playing()
        self._bridge.put(self._leg)

    def stop(self, stop: Stop) -> None:
        self._bridge.clear()
        self._other.bye(CallEnded(Cause.COMPLETED, stop.by, 200, stop.text), reason=stop.reason)
        self.result = Finished()

    def caller_connected(self) -> None:
        self._bridge.connected()

    def leg_event(self, leg: Leg, event: events.SessionEvent) -> None:
        if isinstance(event, events.SessionEnded):
            reason = reason_of(event.request.headers) if event.request is not None else None
            leg.finish(leg.session_ended(event))
            self._over(reason)

    def leg_failed(self, leg: Leg, reason: str) -> None:
        leg.bye(CallEnded(Cause.FAILED, By.SERVER, 200, reason))
        self._over(None)

    def leg_vanished(self, leg: Leg, text: str) -> None:
        leg.bye(CallEnded(Cause.COMPLETED, By.SERVER, 200, text), reason=sip_reason(200, text))
        self._over(None)

    def leg_canceled(self, leg: Leg) -> None:
        leg.bye(CallEnded(Cause.COMPLETED, By.OPERATOR, 200))
        self._over(None)

    def leg_taken(self, leg: Leg, into: Bridge | None) -> None:
        self._bridge.move(leg, into)
        self._over(None)

    def media_lost(self, text: str) -> None:
        self.leg_failed(self._other, text)

    def _over(self, reason: str | None) -> None:
        self._bridge.clear()
        if self.result is None:
            self.result = HungUp("the other party has left", reason)
