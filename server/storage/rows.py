"""What is stored and read back, as values. Times are aware datetimes in UTC."""

from __future__ import annotations

import datetime
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from server.calls.effects import Json, Kind

_LONG_SID = re.compile(r"ID[0-9A-Fa-f]{32}-(?=[A-Z]{2})")


def short_sid(sid: str) -> str:
    """`CA...` of the long form `ID...-CA...` (behaviour.md 1.6, row 1)."""
    return _LONG_SID.sub("", sid.strip(), count=1)


@dataclass(frozen=True, slots=True)
class CallStarted:
    """A call that began; overwritten by its CallRow at its end, and how a crash is noticed when there is none."""

    sid: str
    created_at: datetime.datetime
    from_user: str = ""
    to_user: str = ""
    account_sid: str = ""
    direction: str = "inbound"
    parent_sid: str = ""


@dataclass(frozen=True, slots=True)
class CallRow:
    """A leg. cause "" and ended_at None: it still lives."""

    sid: str
    parent_sid: str
    account_sid: str
    direction: str
    from_user: str
    to_user: str
    created_at: datetime.datetime
    answered_at: datetime.datetime | None = None
    ended_at: datetime.datetime | None = None
    duration_s: int = 0
    ring_duration_s: int = 0
    cause: str = ""
    ended_by: str = ""
    sip_status: int = 0
    detail: str = ""
    sip_call_id: str = ""

    @property
    def live(self) -> bool:
        return not self.cause


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of a call's timeline: secrets removed, long texts cut. data, by kind: see `server.calls.effects.Note`."""

    call_sid: str
    at: datetime.datetime
    kind: Kind
    data: Mapping[str, Json] = field(default_factory=dict)
    leg: str = ""


@dataclass(frozen=True, slots=True)
class NotificationRow:
    """A problem that the author of the application should see. line 0: none."""

    sid: str
    call_sid: str
    at: datetime.datetime
    code: int
    level: str
    message: str
    url: str = ""
    line: int = 0


@dataclass(frozen=True, slots=True)
class EventRow:
    """An event for an application, and what became of it so far.

    parameters: JSON, pairs in order. due_at: of the next attempt, None when there is none. status, detail: of the last one.
    """

    sid: str
    call_sid: str
    at: datetime.datetime
    purpose: str
    url: str
    method: str
    parameters: str
    state: str
    attempts: int
    due_at: datetime.datetime | None
    status: int
    detail: str


@dataclass(frozen=True, slots=True)
class RegistrationRow:
    """A phone of a client and the way to it (`sip.core.bindings.Binding`). One that is gone has expired.

    sid: the same for what is the same registration. urn: its instance (RFC 5626), "" for none.
    """

    sid: str
    client: str
    contact: str
    call_id: str
    cseq: int
    transport: str
    local_host: str
    local_port: int
    remote_host: str
    remote_port: int
    hops: int
    urn: str
    reg_id: int
    user_agent: str
    heard_at: datetime.datetime
    expires_at: datetime.datetime


@dataclass(frozen=True, slots=True)
class RecordingRow:
    """A finished recording and where its file is."""

    sid: str
    call_sid: str
    account_sid: str
    path: str
    duration_ms: int
    created_at: datetime.datetime
