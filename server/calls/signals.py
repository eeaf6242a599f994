"""What a call tells the registry, which knows the others. Signals never get to the shell."""

from __future__ import annotations

from dataclasses import dataclass

from sip.core.commands import SessionId
from sip.core.referring import ReferId, ReferReceived


@dataclass(frozen=True, slots=True)
class ReferAsked:
    """A party of a call asks to be replaced by somebody else; the answer to its REFER is owed."""

    event: ReferReceived


@dataclass(frozen=True, slots=True)
class TransferSettled:
    """It has been told how its transfer ended. back: the call returns to it."""

    refer: ReferId
    back: bool


@dataclass(frozen=True, slots=True)
class Unlinked:
    """The party that the leg of another call talks with has left. reason: value of a Reason header, None for none."""

    call_sid: str
    reason: str | None


@dataclass(frozen=True, slots=True)
class TakeOver:
    """A call has its stream, and is to take the place of a leg: that of the session `replaces` (RFC 3891)."""

    call_sid: str
    replaces: SessionId


Signal = ReferAsked | TransferSettled | Unlinked | TakeOver
