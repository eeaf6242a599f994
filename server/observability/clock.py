"""From the monotonic seconds that call control counts in to wall time that people and databases understand."""

from __future__ import annotations

import datetime
import time

UTC = datetime.UTC


class WallClock:
    """Maps monotonic time to wall time from one common reading of both.

    Taken once, when the server starts: the entries of one timeline then never go backwards, even when the machine's clock is
    set in mid-call. Slow corrections of the clock (slewing) move both, so the pair does not drift apart.
    """

    def __init__(self, monotonic: float, wall: float) -> None:
        """monotonic: as the event loop's time(). wall: the same moment in seconds since 1970, UTC."""
        self._offset = wall - monotonic

    @classmethod
    def here(cls, monotonic: float) -> WallClock:
        """From the machine's clock, read now."""
        return cls(monotonic, time.time())

    def at(self, monotonic: float) -> datetime.datetime:
        """Aware, in UTC."""
        return datetime.datetime.fromtimestamp(monotonic + self._offset, UTC)

    def iso(self, monotonic: float) -> str:
        """ISO 8601 with milliseconds: 2020-05-26T17:59:16.555Z (behaviour.md 1.6, CallTimestamp)."""
        return iso(self.at(monotonic))


def iso(moment: datetime.datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
