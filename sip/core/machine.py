"""What the four transaction machines share: their inputs, their outputs, and the rule that a state owns its timers.

    client:  CALLING|TRYING ─▶ PROCEEDING ─▶ ACCEPTED|COMPLETED ─▶ TERMINATED
    server:  PROCEEDING|TRYING ─▶ ACCEPTED|COMPLETED ─▶ CONFIRMED ─▶ TERMINATED

A machine knows one message exchange and nothing else: no address, no table, no dialog. Messages come in parsed; what goes out is
a `Packet` built beforehand, so that every repetition is the same octets (docs/sip-rules.md 7).
"""

from __future__ import annotations

import enum
from abc import ABC, abstractmethod
from dataclasses import dataclass

from sip.core.timers import Timer, Times
from sip.message import Message, Request, build_message


class State(enum.Enum):
    CALLING = "calling"
    TRYING = "trying"
    PROCEEDING = "proceeding"
    ACCEPTED = "accepted"  # RFC 6026
    COMPLETED = "completed"
    CONFIRMED = "confirmed"
    TERMINATED = "terminated"


@dataclass(frozen=True, slots=True)
class Packet:
    """The octets of one message, and what the timeline says about it."""

    data: bytes
    call_id: str
    summary: str


def pack(message: Message) -> Packet:
    """Raises UsageError for text that must not be put on the wire."""
    return Packet(build_message(message), message.headers.get("Call-ID") or "", summarize(message))


def summarize(message: Message) -> str:
    """`INVITE sip:bob@example.com` or `180 Ringing (INVITE)`."""
    if isinstance(message, Request):
        return f"{message.method} {message.uri}"
    method = (message.headers.get("CSeq") or "").rpartition(" ")[2]
    return f"{message.status} {message.reason} ({method})"


@dataclass(frozen=True, slots=True)
class Send:
    """Put this on the wire. repeated: it has been there before."""

    packet: Packet
    repeated: bool = False


@dataclass(frozen=True, slots=True)
class PassUp:
    """For the transaction user."""

    message: Message


class Cause(enum.Enum):
    TIMEOUT = "timeout"  # timers B, F, H
    TRANSPORT = "transport"


@dataclass(frozen=True, slots=True)
class GaveUp:
    """For the transaction user: there will be no answer (client), or no ACK (server)."""

    cause: Cause


Action = Send | PassUp | GaveUp


class Machine(ABC):
    """State and deadlines."""

    __slots__ = ("deadlines", "reliable", "state", "times")

    def __init__(self, state: State, reliable: bool, times: Times) -> None:
        self.state = state
        self.reliable = reliable
        self.times = times
        self.deadlines: dict[Timer, float] = {}

    def deadline(self) -> float | None:
        deadlines = self.deadlines
        return min(deadlines.values()) if deadlines else None

    def expire(self, now: float) -> list[Action]:
        """Fire every timer that is due, the earliest first."""
        actions: list[Action] = []
        while self.deadlines:
            timer = min(self.deadlines, key=self.deadlines.__getitem__)
            if self.deadlines[timer] > now:
                break
            del self.deadlines[timer]
            actions += self._fired(timer, now)
        return actions

    def abandon(self) -> None:
        """End without a word: the user has given the transaction up (RFC 3261 9.1)."""
        self._enter(State.TERMINATED)

    @abstractmethod
    def _fired(self, timer: Timer, now: float) -> list[Action]:
        """This timer is due."""

    def _enter(self, state: State, deadlines: dict[Timer, float] | None = None) -> None:
        self.state, self.deadlines = state, deadlines or {}  # a state owns its timers

    def _linger(self, state: State, timer: Timer, seconds: float, now: float) -> None:
        """Enter a state that only absorbs repetitions: over reliable transports there are none (RFC 3261 table 4)."""
        if self.reliable:
            self._enter(State.TERMINATED)
        else:
            self._enter(state, {timer: now + seconds})
