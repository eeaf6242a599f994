"""The CANCEL of an INVITE of ours.

    wanted ──first 1xx──▶ sent ──487, 2xx──▶ closed
       └─ nothing has gone out: closed   └── 64*T1: the INVITE counts as cancelled, answered or not

Source: RFC 3261 9.1.
"""

from __future__ import annotations

from typing import Protocol

from sip.core.commands import HeaderList
from sip.core.context import Context
from sip.core.parts import SessionPart
from sip.core.transactions import ClientTransaction


class Canceller(Protocol):
    """The session, as far as its CANCEL needs it."""

    context: Context
    headers: HeaderList

    def cancel_unanswered(self, now: float) -> None:
        """The patience is at its end."""


class Cancelling(SessionPart):
    """wanted: the user has given the INVITE up. reason: value of the Reason header field, for CANCEL or for a BYE in its place."""

    __slots__ = ("_give_up_at", "_sent", "_session", "reason", "wanted")

    def __init__(self, session: Canceller) -> None:
        super().__init__()
        self._session: Canceller | None = session
        self._sent = False
        self._give_up_at: float | None = None
        self.wanted = False
        self.reason: str | None = None

    def want(self, reason: str | None) -> None:
        self.wanted, self.reason = True, reason

    def send(self, invite: ClientTransaction, now: float) -> None:
        """Once; the INVITE has had a 1xx."""
        session = self._session
        if self._sent or session is None:
            return
        self._sent = True
        context = session.context
        self._give_up_at = now + context.times.timeout
        context.agenda.arm(self)
        reason = () if self.reason is None else (("Reason", self.reason),)
        invite.cancel((*session.headers, *reason), now)

    def deadline(self) -> float | None:
        return self._give_up_at

    def expire(self, now: float) -> None:
        if self._session is not None and self._give_up_at is not None and self._give_up_at <= now:
            self._give_up_at = None
            self._session.cancel_unanswered(now)

    def close(self, now: float) -> None:
        self._give_up_at = None
        self._session = None  # what we know is asked for by late forks; the session shall not be held for that
