"""A call and all that is known of it as one JSON document, the same on the command line and over HTTP."""

from __future__ import annotations

import dataclasses
import datetime
import json
from collections.abc import Sequence
from typing import Any

from server.observability.clock import iso
from server.observability.redaction import hide_url_secrets
from server.storage.rows import CallRow, Entry, EventRow, NotificationRow, RecordingRow


def call_document(row: CallRow) -> dict[str, Any]:
    """One leg. `status` is `live` until it has ended, then its cause."""
    document = _plain(row)
    document["status"] = document.pop("cause") or "live"
    return document


def timeline_document(
    call: CallRow | None,
    legs: Sequence[CallRow],
    entries: Sequence[Entry],
    notifications: Sequence[NotificationRow],
    recordings: Sequence[RecordingRow],
) -> dict[str, Any]:
    """Everything: the call (null when it is not stored yet), its dialled legs, its entries in the order of time, and the rest."""
    return {
        "call": None if call is None else call_document(call),
        "legs": [call_document(leg) for leg in legs],
        "entries": [entry_document(entry) for entry in entries],
        "notifications": [_plain(row) for row in notifications],
        "recordings": [_plain(row) for row in recordings],
    }


def event_document(row: EventRow) -> dict[str, Any]:
    """Secrets of its URL hidden."""
    document = _plain(row)
    return document | {"url": hide_url_secrets(row.url), "parameters": json.loads(row.parameters)}


def entry_document(entry: Entry) -> dict[str, Any]:
    return {"at": iso(entry.at), "kind": entry.kind.value, "leg": entry.leg, "data": dict(entry.data)}


def _plain(row: CallRow | NotificationRow | RecordingRow | EventRow) -> dict[str, Any]:
    return {key: iso(value) if isinstance(value, datetime.datetime) else value for key, value in dataclasses.asdict(row).items()}
