"""How often each text is in use: it is known as long as somebody holds it."""

from __future__ import annotations

from collections.abc import Iterator


class Tally:
    __slots__ = ("_held",)

    def __init__(self) -> None:
        self._held: dict[str, int] = {}

    def hold(self, text: str) -> None:
        self._held[text] = self._held.get(text, 0) + 1

    def release(self, text: str) -> None:
        """Once for each `hold`."""
        left = self._held[text] - 1
        if left:
            self._held[text] = left
        else:
            del self._held[text]

    def __contains__(self, text: object) -> bool:
        return text in self._held

    def __iter__(self) -> Iterator[str]:
        return iter(self._held)

    def __len__(self) -> int:
        return len(self._held)
