"""The last provisional response of an unanswered call, once a minute: a proxy forgets an INVITE that says nothing for three.

Source: RFC 3261 13.3.1.1.
"""

from __future__ import annotations

from collections.abc import Callable

from sip.core.commands import SendProvisional
from sip.core.context import Context
from sip.core.parts import SessionPart


class ProvisionalRefresh(SessionPart):
    """send: sends it, and tells `sent` of it as of every other."""

    def __init__(self, context: Context, send: Callable[[SendProvisional, float], None]) -> None:
        self._context = context
        self._send = send
        self._last: SendProvisional | None = None
        self._at = 0.0

    def sent(self, command: SendProvisional, now: float) -> None:
        self._last, self._at = command, now + self._context.settings.provisional_refresh_s
        self._context.agenda.arm(self)

    def deadline(self) -> float | None:
        return None if self._last is None else self._at

    def expire(self, now: float) -> None:
        if self._last is not None:
            self._send(self._last, now)

    def close(self, now: float) -> None:
        self._last = None
