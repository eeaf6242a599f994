r"""Regular expressions for dialled numbers, matched in linear time whatever the pattern and whoever dials.

A backtracking matcher needs half a minute for `(1+)+$` and thirty digits; a caller chooses the digits. Here a pattern becomes a finite
automaton, and a text is read once, a symbol at a time, with the set of all states that it may be in (K. Thompson, CACM 11(6), 1968).
Numbers are made of thirteen symbols, so the sets recur: each step is remembered, and most texts cost a table look-up a symbol.

A pattern is Java's (behaviour.md 1.4), searched for and not anchored:

    alternative = sequence *("|" sequence)
    sequence    = *(atom [quantifier ["?"]])
    quantifier  = "*" / "+" / "?" / "{" n ["," [m]] "}"
    atom        = symbol / "." / class / escape / "^" / "$" / "(" [kind] alternative ")"
    kind        = "?:" / "?<name>" / "?P<name>" / "?=" / "?!" / "?<=" / "?<!" / "?i:" ...
    class       = "[" ["^"] (symbols, ranges, escapes, classes, "&&" class) "]"
    escape      = "\d" "\D" "\w" "\W" "\s" "\S" "\h" "\H" "\A" "\z" "\Z" "\b" "\B" "\Q...\E" "\xhh" "\uhhhh"
                / "\" and what is no letter or digit

A quantifier after `^` repeats an assertion, as in Java: `^*77` is `77`, not anchored. What only a backtracking matcher can do is refused:
back-references, possessive repeats and atomic groups. Look-around is done by an automaton of its own, ahead by reading backwards.
"""

from __future__ import annotations

import enum
import string
from collections.abc import Iterator
from dataclasses import dataclass

SYMBOLS = frozenset("0123456789*#+")
MAX_LENGTH = 1000  # characters of a pattern
MAX_STATES = 500  # of its automaton: a search looks at no more of them for each symbol
MAX_NESTING = 40
MAX_REMEMBERED = 4000  # steps of one automaton

_DIGITS = frozenset(string.digits)
_NONE: frozenset[str] = frozenset()
_CLASSES = {"d": _DIGITS, "w": _DIGITS, "s": _NONE, "h": _NONE, "v": _NONE}  # of the symbols that numbers are made of
_CONTROLS = frozenset("tnrfae")  # characters that no number has
_FLAGS = frozenset("imsdu")  # change nothing for digits


class PatternError(ValueError):
    """A pattern that cannot be used; the text says why, for the operator."""


class _Assertion(enum.Enum):
    START = enum.auto()
    END = enum.auto()
    BOUNDARY = enum.auto()
    NO_BOUNDARY = enum.auto()


@dataclass(frozen=True, slots=True)
class _Symbol:
    """One of these."""

    symbols: frozenset[str]


@dataclass(frozen=True, slots=True)
class _Assert:
    what: _Assertion


@dataclass(frozen=True, slots=True)
class _Sequence:
    parts: tuple[_Node, ...]


@dataclass(frozen=True, slots=True)
class _Choice:
    parts: tuple[_Node, ...]


@dataclass(frozen=True, slots=True)
class _Repeat:
    """high None: without end."""

    part: _Node
    low: int
    high: int | None


@dataclass(frozen=True, slots=True)
class _Look:
    part: _Node
    behind: bool
    negated: bool


_Node = _Symbol | _Assert | _Sequence | _Choice | _Repeat | _Look


class Pattern:
    """A pattern ready for use. PatternError when it cannot be read, or would be too large."""

    def __init__(self, text: str) -> None:
        if len(text) > MAX_LENGTH:
            raise PatternError(f"it is longer than {MAX_LENGTH} characters")
        node = _Reader(text).read()
        if _size(node) > MAX_STATES:
            raise PatternError(f"its repeats make more than {MAX_STATES} states; write shorter ones")
        self._machine = _Machine(node)

    def search(self, dialled: str) -> bool:
        """Whether it matches anywhere in a text of SYMBOLS. Takes time in proportion to the text's length."""
        return any(self._machine.ends(dialled))


# --- reading --------------------------------------------------------------------------------------------------------


class _Reader:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._depth = 0

    def read(self) -> _Node:
        node = self._choice()
        if self._at < len(self._text):
            raise self._wrong('")" without "("')
        return node

    def _wrong(self, what: str) -> PatternError:
        return PatternError(f"{what} at position {min(self._at, len(self._text)) + 1}")

    def _next(self, text: str) -> bool:
        """Step over `text` if it comes now."""
        if self._text.startswith(text, self._at):
            self._at += len(text)
            return True
        return False

    def _take(self) -> str:
        if self._at >= len(self._text):
            raise self._wrong("it ends too early")
        self._at += 1
        return self._text[self._at - 1]

    def _peek(self) -> str:
        return self._text[self._at : self._at + 1]

    def _choice(self) -> _Node:
        parts = [self._sequence()]
        while self._next("|"):
            parts.append(self._sequence())
        return parts[0] if len(parts) == 1 else _Choice(tuple(parts))

    def _sequence(self) -> _Node:
        parts: list[_Node] = []
        while self._peek() not in ("", "|", ")"):
            if self._next(r"\Q"):
                end = self._text.find(r"\E", self._at)
                quoted = self._text[self._at : end if end >= 0 else len(self._text)]
                self._at = end + 2 if end >= 0 else len(self._text)
                atoms: list[_Node] = [_symbol(symbol) for symbol in quoted]
            else:
                atoms = [] if (atom := self._atom()) is None else [atom]
            if atoms:
                atoms[-1] = self._repeated(atoms[-1])
            parts += atoms
        return _Sequence(tuple(parts))

    def _repeated(self, atom: _Node) -> _Node:
        bounds = self._quantifier()
        if bounds is None:
            return atom
        low, high = bounds
        if self._peek() == "+":
            raise self._wrong("a possessive repeat is not read: leave out the second +")
        self._next("?")  # lazy or not: whether there is a match does not depend on it
        if self._peek() and self._peek() in "*+?":
            raise self._wrong("nothing to repeat")
        return _Repeat(atom, low, high)

    def _quantifier(self) -> tuple[int, int | None] | None:
        for sign, bounds in (("*", (0, None)), ("+", (1, None)), ("?", (0, 1))):
            if self._next(sign):
                return bounds
        if not self._next("{"):
            return None
        first, comma, second = self._text[self._at : self._text.find("}", self._at)].partition(",")
        if "}" not in self._text[self._at :] or any(part and not (part.isascii() and part.isdigit()) for part in (first, second)):
            raise self._wrong("{ is no repeat such as {3} or {2,5}; write \\{ for the character")
        self._at = self._text.index("}", self._at) + 1
        if len(first) > 4 or len(second) > 4 or not (first or second):
            raise self._wrong("a repeat that is too large or empty")
        low = int(first or 0)
        high = (int(second) if second else None) if comma else low
        if high is not None and high < low:
            raise self._wrong("a repeat whose end is before its beginning")
        return low, high

    def _atom(self) -> _Node | None:
        """None: a flag, which is nothing to match."""
        taken = self._take()
        match taken:
            case ".":
                return _Symbol(SYMBOLS)
            case "^":
                return _Assert(_Assertion.START)
            case "$":
                return _Assert(_Assertion.END)
            case "[":
                return _Symbol(self._class())
            case "(":
                return self._group()
            case "\\":
                return self._escape()
            case "*" | "+" | "?" | "{":
                self._at -= 1
                raise self._wrong("nothing to repeat")
        return _symbol(taken)

    def _group(self) -> _Node | None:
        self._depth += 1
        if self._depth > MAX_NESTING:
            raise self._wrong(f"more than {MAX_NESTING} groups inside each other")
        look: tuple[bool, bool] | None = None  # behind, negated
        if self._next("?"):
            for sign, kind in (("=", (False, False)), ("!", (False, True)), ("<=", (True, False)), ("<!", (True, True))):
                if self._next(sign):
                    look = kind
                    break
            else:
                if self._next("<") or self._next("P<"):
                    name = self._text[self._at : self._text.find(">", self._at)]
                    if ">" not in self._text[self._at :] or not name.isidentifier():
                        raise self._wrong("a group without a proper name")
                    self._at += len(name) + 1
                elif self._next(">"):
                    raise self._wrong("an atomic group (?>...) is not read: write (?:...)")
                else:
                    while self._peek() and self._peek() in _FLAGS:
                        self._at += 1
                    if self._next(")"):  # (?i) and the like
                        self._depth -= 1
                        return None
                    if not self._next(":"):
                        raise self._wrong("this kind of group is not known")
        node = self._choice()
        if not self._next(")"):
            raise self._wrong('"(" without ")"')
        self._depth -= 1
        return node if look is None else _Look(node, *look)

    def _escape(self) -> _Node:
        match self._peek():
            case "A" | "z" | "Z" | "b" | "B" as name:
                self._at += 1
                kinds = {"A": _Assertion.START, "b": _Assertion.BOUNDARY, "B": _Assertion.NO_BOUNDARY}
                return _Assert(kinds.get(name, _Assertion.END))
        return _Symbol(self._escaped())

    def _escaped(self) -> frozenset[str]:
        """What an escape stands for, inside a class or outside; the backslash has been taken."""
        name = self._take()
        if name.lower() in _CLASSES:
            symbols = _CLASSES[name.lower()]
            return symbols if name.islower() else SYMBOLS - symbols
        if name in "xu":
            width = 2 if name == "x" else 4
            digits = self._text[self._at : self._at + width]
            if len(digits) < width or not set(digits) <= set(string.hexdigits):
                raise self._wrong(f"\\{name} wants {width} hexadecimal digits")
            self._at += width
            return SYMBOLS & {chr(int(digits, 16))}
        if name in _CONTROLS:
            return _NONE
        if name.isalnum():
            what = "a back-reference" if name.isdigit() or name == "k" else f"the escape \\{name}"
            raise self._wrong(f"{what} is not read")
        return SYMBOLS & {name}

    def _class(self) -> frozenset[str]:
        """What stands between brackets; the first one has been taken."""
        self._depth += 1
        if self._depth > MAX_NESTING:
            raise self._wrong(f"more than {MAX_NESTING} brackets inside each other")
        negated = self._next("^")
        found: set[str] = set(SYMBOLS & {"]"}) if self._next("]") else set()
        limit: frozenset[str] = SYMBOLS
        while not self._next("]"):
            if self._next("&&"):  # Java: both sides
                limit &= frozenset(found)
                found = set()
                continue
            low = self._take()
            if low == "[":
                found |= self._class()
            elif low == "\\":
                found |= self._escaped()
            elif self._peek() == "-" and self._text[self._at + 1 : self._at + 2] not in ("]", "[", ""):
                self._at += 1
                high = self._take()
                if high == "\\":
                    high = self._take()
                if high < low:
                    raise self._wrong(f"the range {low}-{high} is backwards")
                found |= {symbol for symbol in SYMBOLS if low <= symbol <= high}
            else:
                found |= SYMBOLS & {low}
        self._depth -= 1
        inside = limit & frozenset(found)
        return SYMBOLS - inside if negated else inside


def _symbol(text: str) -> _Symbol:
    """A character that no number has matches nothing."""
    return _Symbol(SYMBOLS & {text})


def _size(node: _Node) -> int:
    """States that it will take, or MAX_STATES + 1 when they are more."""
    match node:
        case _Symbol() | _Assert():
            size = 1
        case _Sequence(parts):
            size = sum(map(_size, parts))
        case _Choice(parts):
            size = 1 + sum(map(_size, parts))
        case _Repeat(part, low, None):
            size = _size(part) * (low + 1) + 1
        case _Repeat(part, low, int(high)):
            size = _size(part) * high + high - low
        case _Look(part):
            size = 1 + _size(part)
    return min(size, MAX_STATES + 1)


# --- matching -------------------------------------------------------------------------------------------------------


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
    what: _Assertion
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


class _Machine:
    """The automaton of one node, and of its look-arounds one each."""

    def __init__(self, node: _Node) -> None:
        self._states: list[_State] = []
        self._looks: list[tuple[_Machine, _Look]] = []
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
        step = (_MATCHED in seen, self._place(frozenset(after), "0" if symbol in _DIGITS else "*"))
        place.steps[(symbol, truths) if self._looks else symbol] = step
        return step

    def _place(self, states: frozenset[int], before: str) -> _Place:
        return self._places.setdefault((states, before), _Place(states, before))

    def _add(self, state: _State) -> int:
        self._states.append(state)
        return len(self._states) - 1

    def _build(self, node: _Node, after: int) -> int:
        """The first state of `node`, which goes on at `after`."""
        match node:
            case _Symbol(symbols):
                return self._add(_Reads(symbols, after))
            case _Assert(what):
                return self._add(_Holds(what, after))
            case _Sequence(parts):
                for part in reversed(parts):
                    after = self._build(part, after)
                return after
            case _Choice(parts):
                return self._add(_Splits(tuple(self._build(part, after) for part in parts)))
            case _Repeat(part, low, high):
                first = after
                if high is None:
                    first = self._add(_Splits(()))
                    self._states[first] = _Splits((self._build(part, first), after))
                for _ in range(0 if high is None else high - low):
                    first = self._add(_Splits((self._build(part, first), after)))
                for _ in range(low):
                    first = self._build(part, first)
                return first
            case _Look(part, behind):
                self._looks.append((_Machine(part if behind else _backwards(part)), node))
                return self._add(_Looks(len(self._looks) - 1, after))


def _truths(machine: _Machine, look: _Look, text: str) -> list[bool]:
    """For each place of the text: does the look-around hold there? What lies ahead is behind when read backwards."""
    found = list(machine.ends(text)) if look.behind else list(machine.ends(text[::-1]))[::-1]
    return [truth is not look.negated for truth in found]


def _holds(what: _Assertion, before: str, symbol: str) -> bool:
    match what:
        case _Assertion.START:
            return not before
        case _Assertion.END:
            return not symbol
    return ((before in _DIGITS) is not (symbol in _DIGITS)) is (what is _Assertion.BOUNDARY)


def _backwards(node: _Node) -> _Node:
    """What matches the reversed text."""
    match node:
        case _Sequence(parts):
            return _Sequence(tuple(_backwards(part) for part in reversed(parts)))
        case _Choice(parts):
            return _Choice(tuple(map(_backwards, parts)))
        case _Repeat(part, low, high):
            return _Repeat(_backwards(part), low, high)
        case _Look(part, behind, negated):
            return _Look(_backwards(part), not behind, negated)
        case _Assert(_Assertion.START):
            return _Assert(_Assertion.END)
        case _Assert(_Assertion.END):
            return _Assert(_Assertion.START)
    return node
