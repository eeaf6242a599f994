"""What the media engine reports of a call: handed to the leg, recording or verb that it is about.

What concerns the call as a whole comes back as news: its leg can be heard, cannot be, nobody says anything any more, or a peer is gone.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import assert_never

from media import engine
from server.calls.effects import Kind
from server.calls.legs.leg import Leg
from server.calls.mediafacts import facts_of
from server.calls.names import is_mix_play, leg_of
from server.calls.silence import Silence
from server.calls.verbs.running import RunningVerb, Stage


class News(enum.Enum):
    OPENED = "opened"  # the stream of the primary leg
    SILENT = "silent"  # both sides of its bridge


@dataclass(frozen=True, slots=True)
class NoMedia:
    """The engine cannot serve the primary leg. reason: as it says."""

    reason: str


@dataclass(frozen=True, slots=True)
class Vanished:
    """A leg sends nothing, and its peer does not answer either."""

    leg: Leg


class EngineEvents:
    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self.silence = Silence(stage.outbox)

    def receive(self, event: engine.Event, verb: RunningVerb | None) -> News | NoMedia | Vanished | None:
        """verb: the one that runs."""
        stage = self._stage
        noted = facts_of(event)
        if noted is not None:
            stage.outbox.note(Kind.MEDIA, *noted)
        match event:
            case engine.Opened():
                return self._opened(event)
            case engine.Closed(stream=stream):
                self._closed(stream)
            case engine.PlayEnded():
                self._play_ended(event, verb)
            case engine.RecordingStarted(recording=sid):
                self._recording_begun(sid, verb)
            case engine.RecordingEnded(recording=sid):
                if sid in stage.recordings:
                    stage.recordings[sid].ended(event)
                    self._recording_over(sid, verb)
            case engine.MediaTimeout(stream=stream):
                self._fell_silent(stream)
            case engine.StreamStats():
                return self._counted(event)
            case engine.Failed():
                return self._command_failed(event, verb)
            case engine.Digit() | engine.Left():
                self._of_a_leg(event, verb)
            case engine.Latched() | engine.Stranger() | engine.Welcome() | engine.Listing() | engine.Pong() | engine.Joined():
                pass
            case _:
                assert_never(event)
        return None

    def pressed(self, event: engine.Digit, verb: RunningVerb | None) -> None:
        """A key of the primary leg's peer, by event, as a tone or by INFO. verb: the one that runs; without one it is kept for the next."""
        keys, now = self._stage.keys, self._stage.outbox.now
        if not keys.is_new(event, now):
            return
        if verb is None:
            keys.keep(event.digit)
        elif verb.result is None:
            verb.digit(event)

    def lost(self, reason: str) -> None:
        """The worker is gone, and with it every stream of this call."""
        stage = self._stage
        stage.outbox.note(Kind.MEDIA, {"event": "worker-lost", "reason": reason})
        for leg in (stage.leg, *(leg for leg, _ in stage.legs.values())):
            leg.media.lost()
            if leg.bridge is not None:
                leg.bridge.lost()
        for recording in stage.recordings.values():
            recording.engine_lost()

    def _of_a_leg(self, event: engine.Digit | engine.Left, verb: RunningVerb | None) -> None:
        stage = self._stage
        if isinstance(event, engine.Left):
            if verb is not None and event.stream == stage.leg.sid:
                verb.mix_left(event.mix)
        elif event.stream == stage.leg.sid:
            self.pressed(event, verb)
        elif event.stream in stage.legs:
            leg, owner = stage.legs[event.stream]
            owner.leg_digit(leg, event)

    # --- streams --------------------------------------------------------------------------------------------------

    def _leg(self, sid: str) -> Leg | None:
        stage = self._stage
        if sid == stage.leg.sid:
            return stage.leg
        found = stage.legs.get(sid)
        return found[0] if found is not None else None

    def _opened(self, event: engine.Opened) -> News | None:
        found = self._stage.legs.get(event.stream)
        if found is not None:
            leg, verb = found
            verb.leg_opened(leg, event)
            return None
        return News.OPENED if event.stream == self._stage.leg.sid and self._stage.leg.media.opened(event) else None

    def _closed(self, stream: str) -> None:
        leg = self._leg(stream)
        if leg is not None:
            leg.media.closed()

    def _command_failed(self, event: engine.Failed, verb: RunningVerb | None) -> NoMedia | None:
        sid = leg_of(event.subject)
        match event.op:
            case "open" | "connect":
                if event.op == "open":
                    self._closed(sid)
                if sid == self._stage.leg.sid:
                    return NoMedia(event.reason)
                if sid in self._stage.legs:
                    leg, owner = self._stage.legs[sid]
                    owner.leg_failed(leg, event.reason)
            case "close":
                self._closed(sid)
            case "play":
                mix = "gone" if is_mix_play(event.subject) else ""  # which one it was the engine does not say
                ended = engine.PlayEnded(stream=sid, play=event.subject, reason="failed", detail=event.reason, mix=mix)
                self._play_ended(ended, verb)
            case "record" if event.subject in self._stage.recordings:
                self._stage.recordings[event.subject].refused(event.reason)
                self._recording_over(event.subject, verb)
            case _:
                pass
        return None

    # --- plays and recordings ---------------------------------------------------------------------------------------

    def _recording_begun(self, sid: str, verb: RunningVerb | None) -> None:
        recording = self._stage.recordings.get(sid)
        if recording is not None:
            recording.started()
            if verb is not None:
                verb.recording_begun(recording)

    def _play_ended(self, event: engine.PlayEnded, verb: RunningVerb | None) -> None:
        leg = self._leg(event.stream)
        if event.mix and verb is not None:
            verb.play_ended(event)
        if leg is None or not leg.media.play_ended(event):
            return
        if leg is not self._stage.leg:
            self._stage.legs[leg.sid][1].leg_play_ended(leg, event)
        elif verb is not None:
            verb.play_ended(event)

    def _recording_over(self, sid: str, verb: RunningVerb | None) -> None:
        if verb is not None:
            verb.recording_over(self._stage.recordings[sid])

    # --- silence --------------------------------------------------------------------------------------------------

    def _fell_silent(self, stream: str) -> None:
        """One side is silent, and is asked. The call is ended when both are; the counters tell whether the other still is."""
        leg = self._leg(stream)
        if leg is None or not self._stage.outbox.policy.media_timeout_ends_call:
            return
        leg.media.fell_silent()
        self.silence.told(leg)
        for other in self._talking():
            if other is not leg:
                other.media.count()

    def _counted(self, event: engine.StreamStats) -> News | Vanished | None:
        leg = self._leg(event.stream)
        if leg is None:
            return None
        leg.media.counted(event.counters.packets_in)
        found = self._stage.legs.get(event.stream)
        if found is not None:
            found[1].leg_counted(leg, event.counters.packets_in)
        both = self._talking()
        if both and all(side.media.dead for side in both):
            return News.SILENT
        return Vanished(leg) if self.silence.counted(leg, event.counters) else None

    def _talking(self) -> tuple[Leg, ...]:
        """The two sides of the primary leg's bridge, or ()."""
        leg = self._stage.leg
        peer = leg.peer
        return (leg, peer) if peer is not None and leg.bridge is not None and leg.bridge.talking else ()
