"""How a pattern is matched: a finite automaton that reads a text once, with the set of all states that it may be in. Pure.

The symbols are few, so the sets recur: each step is remembered, and most texts cost a table look-up a symbol. Look-around is done by an
automaton of its own, ahead by reading backwards.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from server.patterns.syntax import DIGITS, Assert, Assertion, Choice, Look, Node, Repeat, Sequence, Symbol

MAX_REMEMBERED = 4000  # steps of one automaton


@dataclass(frozen=True, slots=True)
class _Reads:
    symbols: frozenset[str]
    next: int


@dataclass(frozen=True, slots=True)
class _Splits:
    """next: where it goes on without reading."""

    next: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class _Holds:
    what: Assertion
    next: int


@dataclass(frozen=True, slots=True)
class _Looks:
    """look: which of the machine's look-arounds."""

    look: int
    next: int


_State = _Reads | _Splits | _Holds | _Looks
_MATCHED = -1


class _Place:
    """Where the automaton may be: the states it is in, and what was read last (a digit, another symbol, nothing yet)."""

    __slots__ = ("before", "states", "steps")

    def __init__(self, states: frozenset[int], before: str) -> None:
        self.states, self.before = states, before
        # By the next symbol ("" at the end) and the truth of the look-arounds here: does a match end here, and the place after it.
        self.steps: dict[str | tuple[str, tuple[bool, ...]], tuple[bool, _Place]] = {}


class Machine:
    """The automaton of one node, and of its look-arounds one each."""

    def __init__(self, node: Node) -> None:
        self._states: list[_State] = []
        self._looks: list[tuple[Machine, Look]] = []
        self._start = self._build(node, _MATCHED)
        self._forget()

    def _forget(self) -> None:
        self._places: dict[tuple[frozenset[int], str], _Place] = {}
        self._remembered = 0
        self._first = self._place(frozenset(), "")

    def ends(self, text: str) -> Iterator[bool]:
        """For each place of the text, its end included: does a match end there?"""
        truths = [_truths(machine, look, text) for machine, look in self._looks]
        place = self._first
        for at in range(len(text) + 1):
            symbol = text[at : at + 1]
            here = tuple(truth[at] for truth in truths) if truths else ()
            step = place.steps.get((symbol, here) if truths else symbol)
            matched, place = self._step(place, symbol, here) if step is None else step
            yield matched

    def _step(self, place: _Place, symbol: str, truths: tuple[bool, ...]) -> tuple[bool, _Place]:
        """All states that can be had without reading, from those of the place and from a fresh start; then what reading leads to."""
        seen = {self._start, *place.states}
        waiting = list(seen)
        after: set[int] = set()
        while waiting:
            at = waiting.pop()
            if at == _MATCHED:
                continue
            follow: tuple[int, ...] = ()
            match self._states[at]:
                case _Reads(symbols, next_one):
                    if symbol in symbols:
                        after.add(next_one)
                case _Splits(next_ones):
                    follow = next_ones
                case _Holds(what, next_one):
                    follow = (next_one,) if _holds(what, place.before, symbol) else ()
                case _Looks(look, next_one):
                    follow = (next_one,) if truths[look] else ()
            for one in follow:
                if one not in seen:
                    seen.add(one)
                    waiting.append(one)
        if self._remembered >= MAX_REMEMBERED:
            self._forget()
        self._remembered += 1
        step = (_MATCHED in seen, self._place(frozenset(after), "0" if symbol in DIGITS else "*"))
        place.steps[(symbol, truths) if self._looks else symbol] = step
        return step

    def _place(self, states: frozenset[int], before: str) -> _Place:
        return self._places.setdefault((states, before), _Place(states, before))

    def _add(self, state: _State) -> int:
        self._states.append(state)
        return len(self._states) - 1

    def _build(self, node: Node, after: int) -> int:
        """The first state of `node`, which goes on at `after`."""
        match node:
            case Symbol(symbols):
                return self._add(_Reads(symbols, after))
            case Assert(what):
                return self._add(_Holds(what, after))
            case Sequence(parts):
                for part in reversed(parts):
                    after = self._build(part, after)
                return after
            case Choice(parts):
                return self._add(_Splits(tuple(self._build(part, after) for part in parts)))
            case Repeat(part, low, high):
                first = after
                if high is None:
                    first = self._add(_Splits(()))
                    self._states[first] = _Splits((self._build(part, first), after))
                for _ in range(0 if high is None else high - low):
                    first = self._add(_Splits((self._build(part, first), after)))
                for _ in range(low):
                    first = self._build(part, first)
                return first
            case Look(part, behind):
                self._looks.append((Machine(part if behind else _backwards(part)), node))
                return self._add(_Looks(len(self._looks) - 1, after))


def _truths(machine: Machine, look: Look, text: str) -> list[bool]:
    """For each place of the text: does the look-around hold there? What lies ahead is behind when read backwards."""
    found = list(machine.ends(text)) if look.behind else list(machine.ends(text[::-1]))[::-1]
    return [truth is not look.negated for truth in found]


def _holds(what: Assertion, before: str, symbol: str) -> bool:
    match what:
        case Assertion.START:
            return not before
        case Assertion.END:
            return not symbol
        case Assertion.BOUNDARY | Assertion.NO_BOUNDARY:
            return ((before in DIGITS) is not (symbol in DIGITS)) is (what is Assertion.BOUNDARY)


def _backwards(node: Node) -> Node:
    """What matches the reversed text."""
    match node:
        case Sequence(parts):
            return Sequence(tuple(_backwards(part) for part in reversed(parts)))
        case Choice(parts):
            return Choice(tuple(map(_backwards, parts)))
        case Repeat(part, low, high):
            return Repeat(_backwards(part), low, high)
        case Look(part, behind, negated):
            return Look(_backwards(part), not behind, negated)
        case Assert(Assertion.START):
            return Assert(Assertion.END)
        case Assert(Assertion.END):
            return Assert(Assertion.START)
        case Symbol() | Assert():
            return node
