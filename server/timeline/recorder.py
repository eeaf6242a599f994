"""Where everything that a call wants remembered goes: to its timeline, to the database, to the metrics. Never waits, never fails."""

from __future__ import annotations

import secrets

from config.settings import StorageSettings
from server.calls.effects import Kind, Note, Notification
from server.calls.records import CallRecord, RecordingRecord
from server.observability.clock import WallClock
from server.observability.metrics import Metrics
from server.observability.redaction import hide_secrets, hide_url_secrets
from server.storage.rows import CallRow, CallStarted, Entry, NotificationRow, RecordingRow
from server.storage.writer import Writer
from server.timeline.timelines import Timelines


class Recorder:
    def __init__(self, settings: StorageSettings, writer: Writer, metrics: Metrics, clock: WallClock | None = None) -> None:
        """clock: None follows the machine's, with the event loop's monotonic seconds."""
        self._writer, self._metrics = writer, metrics
        self.clock = clock or WallClock.here()
        self._timelines = Timelines(self.clock, writer.put, settings.timeline_max_entries_per_call, settings.timeline_max_text)

    def note(self, note: Note) -> None:
        """One entry of a call's timeline. The first one that says from whom to whom opens the call's row."""
        entry = self._timelines.add(note)
        if note.kind is Kind.STATE and not note.leg and "from" in note.data:
            self._writer.put(CallStarted(note.call_sid, entry.at, str(note.data["from"]), str(note.data.get("to", ""))))

    def keep(self, item: Notification | CallRecord | RecordingRecord) -> None:
        match item:
            case Notification():
                self._metrics.notified(item)
                self._writer.put(self._notification(item))
            case RecordingRecord():
                self._metrics.recorded(item)
                self._writer.put(
                    RecordingRow(item.sid, item.call_sid, item.account_sid, item.path, item.duration_ms, self.clock.at(item.at))
                )
            case CallRecord():
                self._metrics.ended(item)
                self._writer.put(self._row(item))
                if not item.parent_sid:
                    self._timelines.end(item.sid)

    def timeline(self, call_sid: str) -> list[Entry] | None:
        """The entries of a live call so far, newer than what the database has; None when no such call lives."""
        return self._timelines.of(call_sid)

    def _notification(self, item: Notification) -> NotificationRow:
        return NotificationRow(
            sid=f"NO{secrets.token_hex(16)}",
            call_sid=item.call_sid,
            at=self.clock.at(item.at),
            code=item.code,
            level=item.level,
            message=hide_secrets(item.message),
            url=hide_url_secrets(item.url),
            line=item.line,
        )

    def _row(self, record: CallRecord) -> CallRow:
        return CallRow(
            sid=record.sid,
            parent_sid=record.parent_sid,
            account_sid=record.account_sid,
            direction=record.direction,
            from_user=record.from_user,
            to_user=record.to_user,
            created_at=self.clock.at(record.created_at),
            answered_at=None if record.answered_at is None else self.clock.at(record.answered_at),
            ended_at=self.clock.at(record.ended_at),
            duration_s=record.duration_s,
            ring_duration_s=record.ring_duration_s,
            cause=record.ended.cause.value,
            ended_by=record.ended.by.value,
            sip_status=record.ended.sip_status,
            detail=hide_secrets(record.ended.text),  # it may be a peer's
            sip_call_id=record.sip_call_id,
        )
