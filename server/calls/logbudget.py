"""How many lines of one kind a flood may write: strangers and rubbish must not fill the disk."""

from __future__ import annotations

from collections.abc import Mapping

from server.calls.effects import Json, Log

LINES_PER_WINDOW = 50
WINDOW_S = 10.0


class LogBudget:
    """Each event name has its own budget. The first line of a new window says how many the last one suppressed."""

    def __init__(self) -> None:
        self._windows: dict[str, tuple[float, int]] = {}  # event -> when the window began, lines asked for

    def spend(self, level: str, event: str, facts: Mapping[str, Json], now: float) -> list[Log]:
        """The line, or nothing when the budget of the window is used up."""
        began, asked = self._windows.get(event, (now, 0))
        suppressed = 0
        if now - began >= WINDOW_S:
            suppressed = max(0, asked - LINES_PER_WINDOW)
            began, asked = now, 0
        self._windows[event] = (began, asked + 1)
        if asked >= LINES_PER_WINDOW:
            return []
        return [Log(level, event, {**facts, "suppressed": suppressed} if suppressed else facts)]
