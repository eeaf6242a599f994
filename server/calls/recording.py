"""One recording, from asked to ended. It may outlast the verb that asked for it, and the call.

```
  ASKED --first sample--> RUNNING --stop()--> STOPPING --RecordingEnded, engine lost--> OVER
    +---------------------------refused, ended, engine lost-----------------------------> OVER
```
"""

from __future__ import annotations

import enum

from media import engine
from rcml.parameters import API_VERSION
from rcml.verbs.recording_callback import RecordingCallback
from server.calls.effects import Discard, Kind
from server.calls.names import RECORDING, new_sid
from server.calls.outbox import Outbox
from server.calls.records import RecordingRecord

# Less than that nobody hears: parties that are joined and part at once leave some packets of silence, and no recording (behaviour.md 7).
LEAST_MS = 100
# What ends as silence and is hardly longer than that silence held not a word; the engine counts in packets.
SILENCE_SLACK_MS = 60


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
        self._duration_ms = 0
        self._silence_ms = 0
        self._source = "DialVerb"
        self._channels = outbox.policy.recording_channels
        self._callback: RecordingCallback | None = None
        self.key = ""  # that ended it

    @property
    def over(self) -> bool:
        return self.state is RecordingState.OVER

    @property
    def stopping(self) -> bool:
        """It was stopped, and its end has not been told."""
        return self.state is RecordingState.STOPPING

    @property
    def duration_s(self) -> int:
        """Whole seconds, rounded; what can be heard lasts at least one."""
        return max(1, round((self._duration_ms if self.over else self._elapsed_ms) / 1000))

    @property
    def url(self) -> str | None:
        """Where it can be heard, or soon will be, which the reference page allows; None when there is nothing to hear."""
        short = self._stopped_at is not None and self._elapsed_ms < LEAST_MS
        if not (self._kept if self.over else self._began_at is not None and not short):
            return None
        policy = self._outbox.policy
        query = policy.recording_query(self.sid, self._outbox.now)
        return f"{policy.public_url}/restcomm/{API_VERSION}/Accounts/{policy.account_sid}/Recordings/{self.sid}.wav{query}"

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

    def start(self, bridge: str = "", *, stream: str = "", channels: int | None = None, callback: RecordingCallback | None = None) -> None:
        """What is said in a bridge, by its name, or what the peer of a stream says and hears. callback: who is told of it.

        channels: 2 for one each (the bridge's first leg, the stream's peer on the left), None for the setting.
        """
        self._channels, self._callback = channels or self._channels, callback
        self._outbox.emit(engine.Record(recording=self.sid, path=self._path, bridge=bridge, stream=stream, channels=self._channels))
        self._outbox.note(Kind.MEDIA, {"event": "record", "recording": self.sid})

    def start_voice(
        self, stream: str, *, max_s: int, silence_s: int, finish_keys: str, with_beep: bool, callback: RecordingCallback | None
    ) -> None:
        """What the peer of a stream says, after a beep; see `media.engine.Record` for what ends it. callback: who is told of it."""
        self._silence_ms = silence_s * 1000
        self._source, self._channels, self._callback = "RecordVerb", 1, callback
        self._outbox.emit(
            engine.Record(
                recording=self.sid,
                path=self._path,
                stream=stream,
                max_ms=max_s * 1000,
                beep=with_beep,
                silence_ms=self._silence_ms,
                finish_keys=finish_keys,
            )
        )
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
            self._tell("in-progress")
        if self.state is RecordingState.ASKED:
            self.state = RecordingState.RUNNING

    def ended(self, event: engine.RecordingEnded) -> None:
        if self.over:
            return
        if event.lost_ms:
            text = f"Recording {self.sid} lacks {event.lost_ms} ms, which are silence: the disk could not keep up"
            self._outbox.notify(13610, "warning", text, line=self._line)
        if event.reason == "key":
            self.key = event.detail
        heard = event.duration_ms
        if event.reason == "silence" and heard <= self._silence_ms + SILENCE_SLACK_MS:
            heard = 0  # not a word
        self._finish(heard, event.path, event.detail if event.reason == "disk" else "")
        if not self._kept and event.size_bytes:  # what has no octets is looked after by the shell: it tells of a full disk
            self._outbox.emit(Discard(event.path))

    def refused(self, reason: str) -> None:
        """The engine cannot record."""
        if not self.over:
            self._finish(0, "", reason)

    def engine_lost(self) -> None:
        """What was recorded is on the disk: the worker writes as it goes."""
        if self.over:
            return
        if self._began_at is None:
            self._finish(0, "", "")
        else:
            self._finish(self._elapsed_ms, self._path, "the media worker ended")

    def _finish(self, duration_ms: int, path: str, trouble: str) -> None:
        self.state = RecordingState.OVER
        self._duration_ms = duration_ms
        if trouble:
            self._outbox.notify(13610, "error", f"Recording {self.sid} stopped early: {trouble}", line=self._line)
        if duration_ms >= LEAST_MS:
            self._kept = True
            account = self._outbox.policy.account_sid
            self._outbox.emit(RecordingRecord(self.sid, self._outbox.call_sid, account, path, duration_ms, self._outbox.now))
        self._tell("completed" if self._kept else "absent")

    def _tell(self, event: str) -> None:
        """The progress to whom the document names; nobody waits for the answer."""
        callback, policy = self._callback, self._outbox.policy
        if callback is None or event not in callback.events:
            return
        began = None if self._began_at is None else policy.wall_rfc2822(self._began_at)
        values = (
            ("AccountSid", policy.account_sid),
            ("CallSid", self._outbox.call_sid),
            ("RecordingSid", self.sid),
            ("RecordingUrl", self.url),
            ("RecordingStatus", event),
            ("RecordingDuration", str(self.duration_s) if event == "completed" else None),
            ("RecordingChannels", str(self._channels)),
            ("RecordingStartTime", began),
            ("RecordingSource", self._source),
        )
        parameters = tuple((name, value) for name, value in values if value is not None)
        self._outbox.ask("recording-status", callback.url, callback.method, parameters)
