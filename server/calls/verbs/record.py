"""Record: what the caller says, until it is silent, presses a key, has said enough, or leaves (behaviour.md 7).

```
  start ──Record──▶ beep, speech ──RecordingEnded──▶ result
                      └──stop, key by INFO, limit──StopRecord──RecordingEnded, or not in time──▶ result
```
"""

from __future__ import annotations

from media import engine
from rcml.verbs import Record
from server.calls.effects import Kind
from server.calls.recording import LEAST_MS, Recording
from server.calls.verbs.running import Finished, Stage, Stop, VerbOf

# The engine ends it by itself; should it not, we do, so long after the most that it may take (its beep included).
MARGIN_S = 5.0


class RunningRecord(VerbOf[Record]):
    def __init__(self, stage: Stage, verb: Record) -> None:
        super().__init__(stage, verb)
        self._recording: Recording | None = None
        self._key = ""  # that ended it
        self._seen = ""  # keys that were told to us
        self._began_at = self.outbox.now
        self._left = False  # the caller, or whoever ended the call

    def start(self) -> None:
        verb, policy, media = self.verb, self.outbox.policy, self.leg.media
        self.outbox.note(Kind.VERB, {"verb": "Record", "line": verb.line, "max_s": verb.max_length_s, "silence_s": verb.silence_s})
        if media.relays or not policy.recordings_dir or not self.leg.media_connected:
            why = "the caller speaks a codec that only passes here (G729)" if media.relays else "there is nothing to record, or nowhere to"
            self.outbox.notify(13610, "error", f"Record cannot record: {why}", line=verb.line)
            self.result = Finished(waited=False, asks=False)
            return
        self._recording = self.stage.record(verb.line)
        self._recording.start_voice(
            media.stream,
            max_s=verb.max_length_s,
            silence_s=verb.silence_s,
            finish_keys=verb.finish_on_keys,
            with_beep=verb.play_beep,
            callback=verb.callback,
        )
        self.leg.media.await_beep(verb.play_beep)
        self.deadline = self.outbox.now + verb.max_length_s + MARGIN_S

    def digit(self, event: engine.Digit) -> None:
        """The engine ends it by the keys that it hears; of those by INFO it does not know."""
        self._seen += event.digit
        if event.source == "info" and event.digit in self.verb.finish_on_keys and not self._key:
            self._key = event.digit
            self._stop_recording()

    def timeout(self) -> None:
        if self._recording is None or self._recording.stopping:
            self._conclude()
        else:
            self._stop_recording()

    def stop(self, stop: Stop) -> None:
        """The action is asked all the same: what was said is there (behaviour.md 7)."""
        self._left = True
        self._stop_recording()
        if stop.abandoned:
            self.leg.media.await_beep(False)
            self.result = Finished(asks=False)

    def recording_begun(self, recording: Recording) -> None:
        self.leg.media.await_beep(False)

    def recording_over(self, recording: Recording) -> None:
        if recording is self._recording and self.result is None:
            self._conclude()

    def _stop_recording(self) -> None:
        if self._recording is None or self._recording.over:
            self._conclude()
        else:
            self._recording.stop()
            self.deadline = self.outbox.now + self.outbox.policy.recording_wait_s

    def _conclude(self) -> None:
        recording, now = self._recording, self.outbox.now
        self.leg.media.await_beep(False)
        url = recording.url if recording is not None else None
        if recording is None or url is None:
            self.result = Finished(waited=now - self._began_at >= LEAST_MS / 1000, asks=False)
            return
        key = self._key or recording.key
        if recording.key and recording.key not in self._seen:
            self.stage.keys.swallow(recording.key, now)  # its Digit is still under way
        digits = "hangup" if self._left else key
        parameters = [("RecordingUrl", url), ("PublicRecordingUrl", url), ("RecordingDuration", str(recording.duration_s))]
        self.result = Finished(parameters=(*parameters, *((("Digits", digits),) if digits else ())))
