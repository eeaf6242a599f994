"""Legs on which nothing is heard any more: their peers are asked whether they still live, and those that do not are gone.

```
  nothing --told--> ASKED --no answer in time--> COUNTED --still nothing heard--> gone
                      +---an answer--> WAITING --still nothing heard--> ASKED
  told of a leg that cannot be asked yet, or that came from another call --> WAITING
  from anywhere: --it is heard, on hold, or over--> nothing
```
The engine tells of a silence once and says nothing when it ends, so packets are counted. Silence alone is no end: people mute their
phones, and some phones send nothing then. A peer that answers an OPTIONS in its dialog, with whatever but 408 and 481, lives
(RFC 3261 11, RFC 5057 5.1).
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from media import engine
from server.calls.effects import Kind
from server.calls.legs.leg import Leg, LegState
from server.calls.outbox import Outbox
from sip.core import commands, events

METHOD = "OPTIONS"
GONE = (408, 481)  # RFC 5057 5.1: says that there is nobody, or no dialog


class Step(enum.Enum):
    WAITING = "waiting"  # until `due` the leg is left in peace
    ASKED = "asked"
    COUNTED = "counted"  # the last look, whether it was heard meanwhile


@dataclass(slots=True)
class _Silent:
    leg: Leg
    step: Step
    due: float | None  # None: the counters are awaited
    packets: int | None = None  # heard until it fell silent, None: not known yet
    reports: tuple[float, int] | None = None  # what its RTCP said last


class Silence:
    """Of all legs of one call."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self._silent: dict[str, _Silent] = {}

    # --- inputs ---------------------------------------------------------------------------------------------------

    def told(self, leg: Leg) -> None:
        """By the engine, that nothing has been heard of this leg for long."""
        silent = self._silent[leg.sid] = _Silent(leg, Step.WAITING, None)
        if leg.state is LegState.ANSWERED:
            self._ask(silent)
        else:
            self._wait(silent)

    def watch(self, leg: Leg) -> None:
        """A leg of another call: the engine may have told that one."""
        if self._outbox.policy.media.media_timeout_s > 0 and self._outbox.policy.media_timeout_ends_call:
            self._wait(self._silent.setdefault(leg.sid, _Silent(leg, Step.WAITING, None)))

    def answered(self, leg: Leg, event: events.RequestAnswered) -> None:
        silent = self._silent.get(leg.sid)
        if event.method != METHOD or silent is None or silent.step is not Step.ASKED:
            return
        if event.response is None or event.response.status in GONE:
            self._count(silent)
            return
        self._lives(silent, str(event.response.status))

    def counted(self, leg: Leg, counters: engine.Counters) -> bool:
        """True when the leg's peer is gone. One that sends reports (RTCP) is there, whatever it says to an OPTIONS."""
        silent = self._silent.get(leg.sid)
        if silent is None:
            return False
        before, silent.packets = silent.packets, counters.packets_in
        last, silent.reports = silent.reports, (counters.round_trip_ms, counters.remote_lost)
        if before is not None and counters.packets_in != before:
            del self._silent[leg.sid]  # it is heard, and the engine will tell of the next silence
        elif silent.due is None and silent.step is Step.COUNTED and last is not None and silent.reports != last:
            self._lives(silent, "RTCP")
        elif silent.due is None and silent.step is Step.COUNTED:
            del self._silent[leg.sid]
            return not leg.over
        elif silent.due is None and silent.step is Step.WAITING:
            if before is None or leg.state is not LegState.ANSWERED:
                self._wait(silent)
            else:
                self._ask(silent)
        return False

    # --- time -----------------------------------------------------------------------------------------------------

    def next_deadline(self) -> float | None:
        if not self._silent:
            return None
        return min((silent.due for silent in self._silent.values() if silent.due is not None), default=None)

    def timeout(self, now: float) -> None:
        for silent in [silent for silent in self._silent.values() if silent.due is not None and now >= silent.due]:
            if silent.leg.over or silent.leg.outbox is not self._outbox or not silent.leg.media.should_be_heard:
                del self._silent[silent.leg.sid]  # gone, another call's, or on hold: from its end the engine counts anew
            elif silent.step is Step.ASKED:
                self._count(silent)
            else:
                self._look(silent)

    # --- steps ----------------------------------------------------------------------------------------------------

    def _ask(self, silent: _Silent) -> None:
        policy = self._outbox.policy
        if policy.media_timeout_ask_s <= 0:
            self._count(silent)
            return
        silent.step, silent.due = Step.ASKED, self._outbox.now + policy.media_timeout_ask_s
        silent.leg.media.ask_counters()
        self._outbox.note(Kind.MEDIA, {"event": "silent-and-asked", "by": METHOD}, silent.leg.sid)
        self._outbox.emit(commands.SendRequest(silent.leg.session, METHOD))

    def _lives(self, silent: _Silent, sign: str) -> None:
        self._outbox.note(Kind.MEDIA, {"event": "silent-but-there", "by": sign}, silent.leg.sid)
        self._wait(silent)

    def _wait(self, silent: _Silent) -> None:
        silent.step, silent.due = Step.WAITING, self._outbox.now + self._outbox.policy.media.media_timeout_s

    def _count(self, silent: _Silent) -> None:
        silent.step = Step.COUNTED
        self._look(silent)

    def _look(self, silent: _Silent) -> None:
        silent.due = None
        silent.leg.media.ask_counters()
