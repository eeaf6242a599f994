"""What the parts of one call share: the policy, the outbox, the clock of the current input, and fresh names.

A call's machines (caller, dial, branches, bridge) mutate themselves and emit into the desk; `Call` hands out what has
been emitted when its input is dealt with. Nothing here does I/O.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from media import engine
from server.calls.outputs import Json, Kind, Note, Notification, Output
from server.calls.policy import Policy
from sip.core import outputs as sip

API_VERSION = "2012-04-24"

Action = sip.Command | engine.Command | Output


class Desk:
    def __init__(self, policy: Policy, call_sid: str, number: Callable[[], int], now: float) -> None:
        self.policy = policy
        self.call_sid = call_sid
        self.now = now
        self._number = number
        self._out: list[Action] = []

    def emit(self, action: Action) -> None:
        self._out.append(action)

    def drain(self) -> list[Action]:
        out, self._out = self._out, []
        return out

    def number(self) -> int:
        """A number for a Fetch or a prompt, unique in this process."""
        return self._number()

    def sid(self, prefix: str) -> str:
        return new_sid(self.policy, prefix)

    def note(self, kind: Kind, data: Mapping[str, Json], leg: str = "") -> None:
        self.emit(Note(self.call_sid, self.now, kind, data, leg))

    def notify(self, code: int, level: str, message: str, *, url: str = "", line: int = 0) -> None:
        """A notification for the application's author; it stands in the timeline too."""
        self.emit(Notification(self.call_sid, self.now, code, level, message, url, line))
        self.note(Kind.NOTICE, {"code": code, "level": level, "message": message, "url": url, "line": line})

    def session_headers(self, sid: str) -> sip.HeaderList:
        """The three headers that every message of ours on a leg carries (behaviour.md 1.1)."""
        if not self.policy.session_headers:
            return ()
        return (
            ("X-RestComm-ApiVersion", API_VERSION),
            ("X-RestComm-AccountSid", self.policy.account_sid),
            ("X-RestComm-CallSid", sid),
        )


def new_sid(policy: Policy, prefix: str) -> str:
    """`CA`, `RE` ... and 32 hexadecimal digits."""
    return prefix + policy.random_bytes(16).hex()


def sip_reason(code: int, text: str) -> str:
    """A Reason header field's value (RFC 3326 section 2)."""
    return f'SIP;cause={code};text="{text}"'
