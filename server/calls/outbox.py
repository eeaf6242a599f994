"""What the parts of one call share: the policy, what goes out, the clock of the current input, and fresh names.

A call's machines (legs, bridges, recordings, verbs) mutate themselves and emit into the outbox; `Call` hands out what has
been emitted when its input is dealt with. Nothing here does I/O.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from media import engine
from rcml.parameters import API_VERSION
from server.calls.effects import Fetch, Fetched, Json, Kind, Note, Notification, Output, Parameters
from server.calls.policy import Policy
from server.calls.records import CallRecord
from server.calls.signals import Signal
from sip.core import commands
from sip.message import Headers

BODY_IN_TIMELINE = 4096  # octets
_CONTROLS = re.compile(r"[\x00-\x1f\x7f]+")

Action = commands.Command | engine.Command | Output


class Outbox:
    def __init__(self, policy: Policy, call_sid: str, number: Callable[[], int], now: float) -> None:
        self.policy = policy
        self.call_sid = call_sid
        self.now = now
        self._number = number
        self._out: list[Action] = []
        self._signals: list[Signal] = []
        self._asked: dict[int, tuple[Fetch, str]] = {}  # by number: what was asked, and the leg that it is about
        self._about = ""  # the leg that all of this is about

    def emit(self, action: Action) -> None:
        self._out.append(action)

    def drain(self) -> list[Action]:
        out, self._out = self._out, []
        return out

    @contextmanager
    def about(self, leg: str) -> Iterator[None]:
        """What is noted and asked meanwhile belongs to this leg, when it names no other: a script runs on it."""
        before, self._about = self._about, leg
        try:
            yield
        finally:
            self._about = before

    def signal(self, signal: Signal) -> None:
        """For other calls; the registry carries it when the input has been dealt with."""
        self._signals.append(signal)

    def take_signals(self) -> list[Signal]:
        out, self._signals = self._signals, []
        return out

    def number(self) -> int:
        """A number for a Fetch or a prompt, unique in this process."""
        return self._number()

    def ask(self, purpose: str, url: str, method: str, parameters: Parameters, leg: str = "", timeout_s: float = 0.0) -> Fetch:
        """Send a request to the application; its exchange stands in the timeline when `answered`."""
        request = Fetch(self.number(), self.call_sid, purpose, url, method, parameters, timeout_s)
        self._asked[request.request] = (request, leg or self._about)
        self.emit(request)
        return request

    @property
    def asks(self) -> bool:
        """Some exchange with the application is not over."""
        return bool(self._asked)

    def give_up_asking(self) -> None:
        """The answers that are still out were waited for long enough."""
        self._asked.clear()

    def answered(self, event: Fetched) -> None:
        """Note what came of a request, whoever waits for it."""
        request, leg = self._asked.pop(event.request, (None, ""))
        if request is None:
            return
        parameters: list[Json] = [[name, value] for name, value in request.parameters]
        facts: dict[str, Json] = {"purpose": request.purpose, "method": request.method, "url": event.url or request.url}
        facts |= {"parameters": parameters, "status": event.status, "content_type": event.content_type}
        facts |= {"elapsed_ms": event.elapsed_ms, "error": event.error, "detail": event.detail}
        self.note(Kind.HTTP, facts | {"body": event.body[:BODY_IN_TIMELINE].decode("utf-8", "replace")}, leg)

    def note(self, kind: Kind, data: Mapping[str, Json], leg: str = "") -> None:
        self.emit(Note(self.call_sid, self.now, kind, data, leg or self._about))

    def notify(self, code: int, level: str, message: str, *, url: str = "", line: int = 0) -> None:
        """A notification for the application's author; it stands in the timeline too."""
        self.emit(Notification(self.call_sid, self.now, code, level, message, url, line))
        self.note(Kind.NOTICE, {"code": code, "level": level, "message": message, "url": url, "line": line})

    def ended(self, record: CallRecord) -> None:
        """A leg, or the call, is over: its record goes out, and its outcome into the timeline."""
        end = record.ended
        facts: dict[str, Json] = {"cause": end.cause.value, "by": end.by.value, "sip_status": end.sip_status, "text": end.text}
        facts |= {"duration_s": record.duration_s, "ring_duration_s": record.ring_duration_s}
        if record.sid == self.call_sid:
            self.note(Kind.OUTCOME, {"event": "call"} | facts)
        else:
            self.note(Kind.OUTCOME, facts, record.sid)
        self.emit(record)

    def session_headers(self, sid: str) -> commands.HeaderList:
        """The three headers that every message of ours on a leg carries (behaviour.md 1.1)."""
        if not self.policy.session_headers:
            return ()
        return (
            ("X-RestComm-ApiVersion", API_VERSION),
            ("X-RestComm-AccountSid", self.policy.account_sid),
            ("X-RestComm-CallSid", sid),
        )


def sip_reason(code: int, text: str) -> str:
    """A Reason header field's value (RFC 3326 section 2). text: any; it is quoted."""
    quoted = _CONTROLS.sub(" ", text).replace("\\", "\\\\").replace('"', '\\"')
    return f'SIP;cause={code};text="{quoted}"'


def reason_of(headers: Headers) -> str | None:
    """What a message says of its reason, to be passed to the other side (behaviour 0.4); several fields become one."""
    return ", ".join(headers.get_all("Reason")) or None
