"""One recording, from asked to ended. It may outlast the verb that asked for it, and the call.

```
  ASKED --first sample--> RUNNING --stop()--> STOPPING --RecordingEnded, engine lost--> OVER
    +---------------------------refused, ended, engine lost-----------------------------> OVER
```
"""

from __future__ import annotations

import enum

from media import engine
from server.calls.effects import Kind
from server.calls.names import RECORDING, new_sid
from server.calls.outbox import Outbox
from server.calls.records import RecordingRecord

# Less than that nobody hears: parties that are joined and part at once leave some packets of silence, and no recording (behaviour.md 7).
LEAST_MS = 100


class RecordingState(enum.Enum):
    ASKED = "asked"
    RUNNING = "running"
    STOPPING = "stopping"
    OVER = "over"


class Recording:
    """line: of the verb, for its notifications."""

    def __init__(self, outbox: Outbox, line: int) -> None:
        self._outbox = outbox
        self._line = line
        self.sid = new_sid(outbox.policy, RECORDING)
        self.state = RecordingState.ASKED
        self._began_at: float | None = None  # when its first sample came
        self._stopped_at: float | None = None
        self._kept = False  # it is over, and there is something to hear

    @property
    def over(self) -> bool:
        return self.state is RecordingState.OVER

    @property
    def url(self) -> str | None:
        """Where it can be heard, or soon will be, which the reference page allows; None when there is nothing to hear."""
        short = self._stopped_at is not None and self._elapsed_ms < LEAST_MS
        if not (self._kept if self.over else self._began_at is not None and not short):
            return None
        policy = self._outbox.policy
        query = policy.recording_query(self.sid, self._outbox.now)
        return f"{policy.public_url}/restcomm/2012-04-24/Accounts/{policy.account_sid}/Recordings/{self.sid}.wav{query}"

    @property
    def _elapsed_ms(self) -> int:
        """By our own clock: since its first sample, until it was stopped."""
        if self._began_at is None:
            return 0
        until = self._outbox.now if self._stopped_at is None else self._stopped_at
        return int((until - self._began_at) * 1000)

    @property
    def _path(self) -> str:
        return f"{self._outbox.policy.recordings_dir}/{self.sid}.wav"

    # --- commands -------------------------------------------------------------------------------------------------

    def start(self, bridge: str) -> None:
        """What is said in a bridge, by its name."""
        channels = self._outbox.policy.recording_channels
        self._outbox.emit(engine.Record(recording=self.sid, path=self._path, bridge=bridge, channels=channels))
        self._outbox.note(Kind.MEDIA, {"event": "record", "recording": self.sid})

    def stop(self) -> None:
        if self.state in (RecordingState.ASKED, RecordingState.RUNNING):
            self.state = RecordingState.STOPPING
            self._stopped_at = self._outbox.now
            self._outbox.emit(engine.StopRecord(recording=self.sid))

    # --- events ---------------------------------------------------------------------------------------------------

    def started(self) -> None:
        if self._began_at is None:
            self._began_at = self._outbox.now
        if self.state is RecordingState.ASKED:
            self.state = RecordingState.RUNNING

    def ended(self, event: engine.RecordingEnded) -> None:
        if self.over:
            return
        if event.lost_ms:
            text = f"Recording {self.sid} lacks {event.lost_ms} ms, which are silence: the disk could not keep up"
            self._outbox.notify(13610, "warning", text, line=self._line)
        self._finish(event.duration_ms, event.path, event.detail if event.reason == "disk" else "")

    def refused(self, reason: str) -> None:
        """The engine cannot record."""
        if not self.over:
            self._finish(0, "", reason)

    def engine_lost(self) -> None:
        """What was recorded is on the disk: the worker writes as it goes."""
        if self.over:
            return
        if self._began_at is None:
            self.state = RecordingState.OVER
        else:
            self._finish(self._elapsed_ms, self._path, "the media worker ended")

    def _finish(self, duration_ms: int, path: str, trouble: str) -> None:
        self.state = RecordingState.OVER
        if trouble:
            self._outbox.notify(13610, "error", f"Recording {self.sid} stopped early: {trouble}", line=self._line)
        if duration_ms >= LEAST_MS:
            self._kept = True
            account = self._outbox.policy.account_sid
            self._outbox.emit(RecordingRecord(self.sid, self._outbox.call_sid, account, path, duration_ms, self._outbox.now))
