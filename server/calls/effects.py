"""What call control asks of its shell, and what the shell tells it: HTTP, prompts, the timeline, notifications, logs.

Call control (`server.calls`) is sans-I/O; SIP goes through `sip.core` and media through `media.engine`. The values here are the
rest. `at` is monotonic seconds; whoever writes it down maps it to wall time.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field

from server.calls.records import CallRecord, RecordingRecord

Json = str | int | float | bool | None | list["Json"] | dict[str, "Json"]
Parameters = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Fetch:
    """One request to the application; answered by exactly one Fetched with the same number.

    purpose: "voice", "fallback", "redirect", "action", "refer", "screening", "wait", for documents; "status", "leg-status",
    "recording-status", "conference-status" (their answers are thrown away).
    """

    request: int
    call_sid: str
    purpose: str
    url: str
    method: str  # GET or POST
    parameters: Parameters
    timeout_s: float = 0.0  # for the answer, 0 for the setting


@dataclass(frozen=True, slots=True)
class Fetched:
    """What came back. status 0: nothing did; `error` says why, one of the constants below, and `detail` in words."""

    request: int
    status: int
    url: str = ""  # after redirects
    content_type: str = ""
    body: bytes = b""
    error: str = ""  # "", timeout, connect, blocked, too_large, redirects, tls, url, protocol
    detail: str = ""
    elapsed_ms: int = 0


# The music that we have ourselves for those who wait, as `media.prompts.music` names it; no document can have such a URL, it is no http.
WAIT_MUSIC = "builtin:wait-music"


@dataclass(frozen=True, slots=True)
class Prepare:
    """Fetch and decode an audio file to canonical PCM; answered by exactly one Prepared."""

    prompt: int
    call_sid: str
    url: str


@dataclass(frozen=True, slots=True)
class Synthesize:
    """Speak a text into canonical PCM; answered by exactly one Prepared."""

    prompt: int
    call_sid: str
    text: str
    voice: str
    language: str


@dataclass(frozen=True, slots=True)
class Prepared:
    prompt: int
    path: str  # "" on failure
    duration_ms: int = 0
    error: str = ""  # "", fetch, format, too_large, blocked, engine, language
    detail: str = ""


class Kind(enum.Enum):
    SIP = "sip"
    HTTP = "http"
    VERB = "verb"
    MEDIA = "media"
    STATE = "state"
    NOTICE = "notice"
    OUTCOME = "outcome"


@dataclass(frozen=True, slots=True)
class Note:
    """One entry of a call's timeline, secrets and all: they are removed where it is kept (`server.timeline.timelines.clean`).

    leg: sid of the leg that it belongs to, "" for the call. data, by kind:
      SIP      direction in|out, peer "host:port", transport, summary, raw (text), repeated
      HTTP     purpose, method, url, parameters, status, content_type, elapsed_ms, error, body (start of it)
      VERB     verb, line, and its attributes that matter
      MEDIA    event and its fields
      STATE    what changed: status, reason
      NOTICE   code, level, message, line, url
      OUTCOME  cause, by, sip_status, duration_s ...
    """

    call_sid: str
    at: float
    kind: Kind
    data: Mapping[str, Json] = field(default_factory=dict)
    leg: str = ""


@dataclass(frozen=True, slots=True)
class Notification:
    """A problem that the application's author should see. level: "error" or "warning". line 0: none."""

    call_sid: str
    at: float
    code: int
    level: str
    message: str
    url: str = ""
    line: int = 0


@dataclass(frozen=True, slots=True)
class Log:
    """A line for the server's log. event: a constant name; level: "debug", "info", "warning" or "error"."""

    level: str
    event: str
    facts: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Discard:
    """A file of ours in which there is nothing to hear: remove it."""

    path: str


@dataclass(frozen=True, slots=True)
class Forgotten:
    """Nothing of a call lives any more: whoever keeps something for it may let go. The last that is said of it."""

    call_sid: str


Output = Discard | Forgotten | Log | Fetch | Prepare | Synthesize | Note | Notification | RecordingRecord | CallRecord
