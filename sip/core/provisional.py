"""The last provisional response of an unanswered call, once a minute: a proxy forgets an INVITE that says nothing for three.

Source: RFC 3261 13.3.1.1.
"""

from __future__ import annotations

from typing import Protocol

from sip.core.commands import SendProvisional
from sip.core.context import Context
from sip.core.parts import SessionPart


class Ringing(Protocol):
    """The session, as far as its provisional responses need it."""

    context: Context

    def send_provisional(self, command: SendProvisional, now: float) -> None:
        """Send it, and tell `ProvisionalRefresh.sent` of it as of every other."""


class ProvisionalRefresh(SessionPart):
    __slots__ = ("_at", "_last", "_session")

    def __init__(self, session: Ringing) -> None:
        super().__init__()
        self._session = session
        self._last: SendProvisional | None = None
        self._at = 0.0

    def sent(self, command: SendProvisional, now: float) -> None:
        self._last, self._at = command, now + self._session.context.settings.provisional_refresh_s
        self._session.context.agenda.arm(self)

    def deadline(self) -> float | None:
        return None if self._last is None else self._at

    def expire(self, now: float) -> None:
        if self._last is not None:
            self._at = now + self._session.context.settings.provisional_refresh_s  # it may be held back
            self._session.send_provisional(self._last, now)

    def close(self, now: float) -> None:
        self._last = None
