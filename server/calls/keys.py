"""The keys of a leg's peer: each press once, and those that no verb has taken yet.

A phone may tell a press in two ways (as a telephone-event or a tone, and by INFO); both are one press. Who knows a menu types ahead:
what comes while the application is asked for the next document is kept for the verb that takes keys next. What comes during any other
verb counts for nothing.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from media import engine

# Two reports of one press come this close to each other: a tone is told when it ends, and an INFO that is lost comes again after 0.5, 1
# and 2 s (RFC 3261 17.1.2.2). No phone takes turns with its ways, so that a long time harms nobody.
ECHO_S = 5.0
# So long after what ended a verb its finishing key may still come: who types 1234# means one entry, also where four keys are enough.
SURPLUS_S = 2.0
MOST_EARLY = 32

TONE_MS = GAP_MS = 100  # of keys that we press (behaviour 2.4)
PAUSES_S = {"w": 0.5, "W": 1.0}


def pressing_s(keys: str) -> float:
    """How long it takes to press them."""
    return sum(PAUSES_S.get(key, (TONE_MS + GAP_MS) / 1000) for key in keys)


@dataclass(slots=True)
class _Press:
    digit: str
    source: str
    at: float
    echoed: bool = False  # it was told the other way, too


class Keys:
    def __init__(self) -> None:
        self._early: deque[str] = deque(maxlen=MOST_EARLY)
        self._heard: deque[_Press] = deque(maxlen=32)
        self._surplus = ""
        self._surplus_until = 0.0

    def is_new(self, event: engine.Digit, now: float) -> bool:
        """False for what was told before in another way, and for the surplus key that is waited for no longer than a moment."""
        for press in self._heard:
            if press.digit == event.digit and press.source != event.source and not press.echoed and now - press.at <= ECHO_S:
                press.echoed = True
                return False
        self._heard.append(_Press(event.digit, event.source, now))
        surplus, self._surplus = self._surplus, ""
        return not (surplus == event.digit and now <= self._surplus_until)

    def swallow(self, digit: str, now: float) -> None:
        """The next key, if it is this one and comes soon, belongs to the verb that is over."""
        self._surplus, self._surplus_until = digit, now + SURPLUS_S

    def keep(self, digit: str) -> None:
        """Nobody takes it now; the oldest go when there are too many."""
        self._early.append(digit)

    def take(self) -> str | None:
        """The oldest that was kept."""
        return self._early.popleft() if self._early else None

    def drop(self) -> None:
        """What was kept counts no more."""
        self._early.clear()
