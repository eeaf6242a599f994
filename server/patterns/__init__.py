r"""Regular expressions for dialled numbers, matched in linear time whatever the pattern and whoever dials.

A backtracking matcher needs half a minute for `(1+)+$` and thirty digits; a caller chooses the digits. Here a pattern becomes a finite
automaton, and a text is read once, a symbol at a time, with the set of all states that it may be in (K. Thompson, CACM 11(6), 1968).
Numbers are made of thirteen symbols, so the sets recur: each step is remembered, and most texts cost a table look-up a symbol.
"""

from __future__ import annotations

from server.patterns.automaton import Machine
from server.patterns.syntax import SYMBOLS, Assert, Choice, Look, Node, PatternError, Repeat, Sequence, Symbol, read

__all__ = ["SYMBOLS", "Pattern", "PatternError"]

MAX_LENGTH = 1000  # characters of a pattern
MAX_STATES = 500  # of its automaton: a search looks at no more of them for each symbol


class Pattern:
    """A pattern ready for use. PatternError when it cannot be read, or would be too large."""

    def __init__(self, text: str) -> None:
        if len(text) > MAX_LENGTH:
            raise PatternError(f"it is longer than {MAX_LENGTH} characters")
        node = read(text)
        if _size(node) > MAX_STATES:
            raise PatternError(f"its repeats make more than {MAX_STATES} states; write shorter ones")
        self._machine = Machine(node)

    def search(self, dialled: str) -> bool:
        """Whether it matches anywhere in a text of SYMBOLS. Takes time in proportion to the text's length."""
        return any(self._machine.ends(dialled))


def _size(node: Node) -> int:
    """States that it will take, or MAX_STATES + 1 when they are more."""
    match node:
        case Sequence(parts):
            size = sum(map(_size, parts))
        case Choice(parts):
            size = 1 + sum(map(_size, parts))
        case Repeat(part, low, high):
            size = _size(part) * (low + 1) + 1 if high is None else _size(part) * high + high - low
        case Look(part):
            size = 1 + _size(part)
        case Symbol() | Assert():
            size = 1
    return min(size, MAX_STATES + 1)
