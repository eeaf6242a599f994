r"""What a pattern says: Java's syntax, read into a tree. Pure.

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
back-references, possessive repeats and atomic groups.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

SYMBOLS = frozenset("0123456789*#+")
DIGITS = frozenset("0123456789")
MAX_NESTING = 40

_HEXADECIMAL = frozenset("0123456789abcdefABCDEF")
_NONE: frozenset[str] = frozenset()
_CLASSES = {"d": DIGITS, "w": DIGITS, "s": _NONE, "h": _NONE, "v": _NONE}  # of the symbols that numbers are made of
_CONTROLS = frozenset("tnrfae")  # characters that no number has
_FLAGS = frozenset("imsdu")  # change nothing for digits


class PatternError(ValueError):
    """A pattern that cannot be used; the text says why, for the operator."""


class Assertion(enum.Enum):
    START = enum.auto()
    END = enum.auto()
    BOUNDARY = enum.auto()
    NO_BOUNDARY = enum.auto()


@dataclass(frozen=True, slots=True)
class Symbol:
    """One of these."""

    symbols: frozenset[str]


@dataclass(frozen=True, slots=True)
class Assert:
    what: Assertion


@dataclass(frozen=True, slots=True)
class Sequence:
    parts: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Choice:
    parts: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Repeat:
    """high None: without end."""

    part: Node
    low: int
    high: int | None


@dataclass(frozen=True, slots=True)
class Look:
    part: Node
    behind: bool
    negated: bool


Node = Symbol | Assert | Sequence | Choice | Repeat | Look


def read(text: str) -> Node:
    """PatternError says what is wrong, and where."""
    return _Reader(text).read()


class _Reader:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._depth = 0

    def read(self) -> Node:
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

    def _choice(self) -> Node:
        parts = [self._sequence()]
        while self._next("|"):
            parts.append(self._sequence())
        return parts[0] if len(parts) == 1 else Choice(tuple(parts))

    def _sequence(self) -> Node:
        parts: list[Node] = []
        while self._peek() not in ("", "|", ")"):
            if self._next(r"\Q"):
                end = self._text.find(r"\E", self._at)
                quoted = self._text[self._at : end if end >= 0 else len(self._text)]
                self._at = end + 2 if end >= 0 else len(self._text)
                atoms: list[Node] = [_symbol(symbol) for symbol in quoted]
            else:
                atoms = [] if (atom := self._atom()) is None else [atom]
            if atoms:
                atoms[-1] = self._repeated(atoms[-1])
            parts += atoms
        return Sequence(tuple(parts))

    def _repeated(self, atom: Node) -> Node:
        bounds = self._quantifier()
        if bounds is None:
            return atom
        low, high = bounds
        if self._peek() == "+":
            raise self._wrong("a possessive repeat is not read: leave out the second +")
        self._next("?")  # lazy or not: whether there is a match does not depend on it
        if self._peek() and self._peek() in "*+?":
            raise self._wrong("nothing to repeat")
        return Repeat(atom, low, high)

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

    def _atom(self) -> Node | None:
        """None: a flag, which is nothing to match."""
        taken = self._take()
        match taken:
            case ".":
                return Symbol(SYMBOLS)
            case "^":
                return Assert(Assertion.START)
            case "$":
                return Assert(Assertion.END)
            case "[":
                return Symbol(self._class())
            case "(":
                return self._group()
            case "\\":
                return self._escape()
            case "*" | "+" | "?" | "{":
                self._at -= 1
                raise self._wrong("nothing to repeat")
            case _:
                return _symbol(taken)

    def _group(self) -> Node | None:
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
        return node if look is None else Look(node, *look)

    def _escape(self) -> Node:
        match self._peek():
            case "A" | "z" | "Z" | "b" | "B" as name:
                self._at += 1
                kinds = {"A": Assertion.START, "b": Assertion.BOUNDARY, "B": Assertion.NO_BOUNDARY}
                return Assert(kinds.get(name, Assertion.END))
            case _:
                return Symbol(self._escaped())

    def _escaped(self) -> frozenset[str]:
        """What an escape stands for, inside a class or outside; the backslash has been taken."""
        name = self._take()
        if name.lower() in _CLASSES:
            symbols = _CLASSES[name.lower()]
            return symbols if name.islower() else SYMBOLS - symbols
        if name in "xu":
            width = 2 if name == "x" else 4
            digits = self._text[self._at : self._at + width]
            if len(digits) < width or not set(digits) <= _HEXADECIMAL:
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


def _symbol(text: str) -> Symbol:
    """A character that no number has matches nothing."""
    return Symbol(SYMBOLS & {text})
