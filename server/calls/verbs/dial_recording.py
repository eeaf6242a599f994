"""What is recorded of a Dial: nothing, or one recording from the bridge to its end (behaviour.md 4.6, 7)."""

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

    @property
    def pending(self) -> bool:
        """There is one, and it is not over."""
        return self._recording is not None and not self._recording.over

    @property
    def url(self) -> str | None:
        return self._recording.url if self._recording is not None else None

    def bridged(self, bridge: Bridge, legs: Sequence[Leg]) -> None:
        """They hear each other now."""
        if not self._verb.record or not self._stage.outbox.policy.recordings_dir:
            return
        if any(leg.media.relays for leg in legs):
            text = "The call is not recorded: its parties speak a codec that only passes here (G729)"
            self._stage.outbox.notify(13610, "error", text, line=self._verb.line)
            return
        self._recording = self._stage.record(self._verb.line)
        self._recording.start(bridge.name)

    def stop(self) -> None:
        """Before its bridge is gone."""
        if self._recording is not None:
            self._recording.stop()
