"""Admission by lag: who cannot keep up refuses new calls early, so that those that are up are finished.

    every TICK_S: lag ─▶ the least of a window ─┬─ above max_lag_s, and not falling: a smaller share of new calls is let in
                                                ├─ below it: a larger one
                                                └─▶ share, times what the lag leaves of it: all at max_lag_s, nothing at HOPELESS of it

The least lag of a window tells a queue that stands from a burst, and from a machine that stood still for a moment: after those the lag is
gone with the next measurement. The share finds the rate that can be served, the second factor drains the queue that grew meanwhile.

Who was refused is refused again when the same INVITE comes once more: the refusal is stateless (RFC 3261 8.2.7), and a copy that was let in
would ring a phone for a caller who has been told to come later. So the last refused are remembered, as a number each.

Lag is what stands in line anywhere in the server: before the event loop, or before the media worker, which often has the same core.

Pure: `now` and the lag are arguments. `server.lag` measures; the SIP core asks (`sip.core.admission.Admission`).
Source: Nichols and Jacobson, Controlling delay (RFC 8289 3: the minimum of a window as the sign of a standing queue); RFC 7339 (share of
requests that is let in); RFC 6357 (why refusals have to be cheap).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable

from server.calls.effects import Log

TICK_S = 0.05  # between two measurements
WINDOW = 5  # measurements
HOPELESS = 3.0  # times max_lag_s: none is let in
LESS = 0.7  # of the share, when it is too large
MORE, STEP = 1.15, 0.02  # of it, and beside that, when it may be too small
LEAST = 0.02
QUIET_S = 2.0  # with all let in and little lag, until it is over
REMEMBERED_S = 32.0  # 64*T1: for so long a caller repeats an INVITE
MAX_REMEMBERED = 50_000


class Overload:
    """max_lag_s: lag that is borne, in seconds; 0 lets everybody in. lag_s: as measured last. refused: since the start."""

    def __init__(self, max_lag_s: float) -> None:
        self.max_lag_s = max_lag_s
        self.lag_s = 0.0
        self.refused = 0
        self.active = False
        self._share = 1.0
        self._lags: deque[float] = deque(maxlen=WINDOW)
        self._until_adjusted = WINDOW
        self._lag_before = 0.0
        self._credit = 1.0
        self._began_at = 0.0
        self._refused_before = 0
        self._well_since: float | None = None
        self._told: set[int] = set()
        self._told_before: set[int] = set()
        self._turn_at = 0.0

    @property
    def admission(self) -> float:
        """The share of new calls that is let in, from 0 to 1."""
        if not self.active:
            return 1.0
        left = 1.0 - (self.lag_s - self.max_lag_s) / (self.max_lag_s * (HOPELESS - 1.0)) if self.max_lag_s else 1.0
        return self._share * min(1.0, max(0.0, left))

    def measured(self, lag_s: float, now: float) -> Log | None:
        """One measurement, every TICK_S. Returns what is to be told: that overload has begun, or that it is over."""
        self._forget(now)
        self._lags.append(lag_s)
        if len(self._lags) < WINDOW:
            return None
        self.lag_s = min(self._lags)
        too_late = 0 < self.max_lag_s < self.lag_s
        if too_late and not self.active:
            return self._begin(now)
        if not self.active:
            return None
        self._until_adjusted -= 1
        if not self._until_adjusted:
            self._adjust(too_late=too_late)
        if too_late or self._share < 1.0:
            self._well_since = None
        elif self._well_since is None:
            self._well_since = now
        elif now - self._well_since >= QUIET_S:
            return self._end(now)
        return None

    def admits(self, call: Hashable, now: float) -> bool:
        """Whether a call is let in. call: what is the same in every copy of its INVITE, and in no other."""
        if not self.active and not self._told and not self._told_before:
            return True
        key = hash(call)
        if key in self._told or key in self._told_before:
            return False
        if not self.active:
            return True
        self._credit += self.admission
        if self._credit >= 1.0:
            self._credit -= 1.0
            return True
        if len(self._told) >= MAX_REMEMBERED:
            self._turn(now)
        self._told.add(key)
        self.refused += 1
        return False

    # --- inside ---------------------------------------------------------------------------------------------------

    def _begin(self, now: float) -> Log:
        self.active = True
        self._began_at, self._refused_before, self._well_since = now, self.refused, None
        self._share, self._credit, self._until_adjusted, self._lag_before = LESS, 0.0, WINDOW, self.lag_s
        return Log("warning", "overloaded", {"lag_ms": round(1000 * self.lag_s), "max_lag_ms": round(1000 * self.max_lag_s)})

    def _adjust(self, *, too_late: bool) -> None:
        self._until_adjusted = WINDOW
        if not too_late:
            self._share = min(1.0, self._share * MORE + STEP)
        elif self.lag_s >= self._lag_before:
            self._share = max(LEAST, self._share * LESS)
        self._lag_before = self.lag_s

    def _end(self, now: float) -> Log:
        self.active = False
        return Log("info", "overload_over", {"refused": self.refused - self._refused_before, "lasted_s": round(now - self._began_at, 1)})

    def _forget(self, now: float) -> None:
        if now - self._turn_at >= REMEMBERED_S and (self._told or self._told_before):
            self._turn(now)

    def _turn(self, now: float) -> None:
        """Two generations: what was told is remembered for one to two of REMEMBERED_S."""
        self._told_before, self._told, self._turn_at = self._told, set(), now
