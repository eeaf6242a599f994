"""What is recorded of a Dial: nothing, or one recording (behaviour.md 4.6, 7).

It is of the bridge; from ringing on it is of the caller's stream, which hears all there is: ringback, music, the called party. It begins as
soon as that stream is connected, for an unanswered caller with early media or the answer.
"""

from __future__ import annotations

from collections.abc import Sequence

from rcml.verbs.dial import Dial
from server.calls.bridge import Bridge
from server.calls.legs.leg import Leg
from server.calls.recording import Recording
from server.calls.verbs.running import Stage


class DialRecording:
    def __init__(self, stage: Stage, verb: Dial) -> None:
        self._stage = stage
        self._verb = verb
        self._recording: Recording | None = None
        self._told = False  # that nothing can be recorded

    @property
    def pending(self) -> bool:
        """There is one, and it is not over."""
        return self._recording is not None and not self._recording.over

    @property
    def url(self) -> str | None:
        return self._recording.url if self._recording is not None else None

    def ringing(self, caller: Leg) -> None:
        """The caller may hear something now, or soon; told more than once."""
        record = self._verb.record
        if record is not None and record.from_ringing and self._recording is None and caller.media_connected and self._can_be((caller,)):
            self._begin().start(stream=caller.media.stream, channels=record.channels, callback=record.callback)

    def bridged(self, bridge: Bridge, caller: Leg, callee: Leg) -> None:
        """They hear each other now."""
        record = self._verb.record
        if record is not None and self._recording is None and self._can_be((caller, callee)):
            source = {"stream": caller.media.stream} if record.from_ringing else {"bridge": bridge.name}
            self._begin().start(**source, channels=record.channels, callback=record.callback)

    def _begin(self) -> Recording:
        self._recording = self._stage.record(self._verb.line)
        return self._recording

    def _can_be(self, legs: Sequence[Leg]) -> bool:
        if not self._stage.outbox.policy.recordings_dir:
            return False
        if not any(leg.media.relays for leg in legs):
            return True
        if not self._told:
            self._told = True
            text = "The call is not recorded: its parties speak a codec that only passes here (G729)"
            self._stage.outbox.notify(13610, "error", text, line=self._verb.line)
        return False

    def stop(self) -> None:
        """Before its bridge is gone."""
        if self._recording is not None:
            self._recording.stop()
