"""From the monotonic seconds that call control counts in to wall time that people and databases understand."""

from __future__ import annotations

import datetime
import logging
import time
from collections.abc import Callable

log = logging.getLogger(__name__)

UTC = datetime.UTC
TOLERANCE_S = 0.1  # more than two readings of clocks are ever apart; less than anybody sees in a timeline


class WallClock:
    """Maps monotonic time to wall time by the distance between the two.

    Slow corrections of the machine's clock (slewing) move both. When it is set (a boot before NTP, an operator) or the machine slept,
    the distance changes: what is mapped from then on follows it, whenever that moment was. Who wants moments that stay in
    order across such a step, as in one timeline, maps them all by one `pinned` clock.
    """

    def __init__(self, monotonic: float, wall: float, read: Callable[[], tuple[float, float]] | None = None) -> None:
        """monotonic: as the event loop's time(). wall: the same moment in seconds since 1970, UTC.

        read: both clocks, read just now, to follow them; None stays with the first pair.
        """
        self._offset = wall - monotonic
        self._read = read

    @classmethod
    def here(cls) -> WallClock:
        """The machine's clock, followed."""
        return cls(*_machine(), _machine)

    def pinned(self) -> WallClock:
        """This clock as it stands now, which then follows nothing."""
        self._follow()
        return WallClock(0.0, self._offset)

    def at(self, monotonic: float) -> datetime.datetime:
        """Aware, in UTC."""
        self._follow()
        return datetime.datetime.fromtimestamp(monotonic + self._offset, UTC)

    def iso(self, monotonic: float) -> str:
        """ISO 8601 with milliseconds: 2020-05-26T17:59:16.555Z (behaviour.md 1.6, CallTimestamp)."""
        return iso(self.at(monotonic))

    def _follow(self) -> None:
        if self._read is None or abs(self._step(self._read)) <= TOLERANCE_S:
            return
        # On a busy machine a process may be kept waiting between the two clocks: the nearest of several readings is the true one.
        step = min((self._step(self._read) for _ in range(3)), key=abs)
        if abs(step) > TOLERANCE_S:
            self._offset += step
            log.warning("clock_was_set", extra={"by_s": round(step, 3)})

    def _step(self, read: Callable[[], tuple[float, float]]) -> float:
        monotonic, wall = read()
        return wall - monotonic - self._offset


def _machine() -> tuple[float, float]:
    return time.monotonic(), time.time()


def iso(moment: datetime.datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
