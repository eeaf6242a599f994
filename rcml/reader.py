"""The means of every verb's parser: an element as plain data, and its attributes as values.

A bad value never stops a document: its default takes over and a notice names it with its line (behaviour 2.2).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from rcml import notices
from rcml.dialect import RCML, Dialect
from rcml.notices import Level, Notice
from rcml.settings import RcmlSettings
from rcml.urls import resolve

_SHOWN = 80  # characters of the application's text that a notice repeats
_INTEGER = re.compile(r"[+]?[0-9]{1,9}")


@dataclass(frozen=True, slots=True)
class Element:
    """One element. line: where its tag starts. head: text up to its first child. tail: text after its end tag."""

    name: str
    line: int
    attributes: dict[str, str] = field(default_factory=dict)
    head: str = ""
    tail: str = ""
    children: tuple[Element, ...] = ()

    @property
    def text(self) -> str:
        """What stands directly in it, trimmed."""
        return (self.head + "".join([child.tail for child in self.children])).strip()

    @property
    def spoken(self) -> str:
        """All text in it, at any depth."""
        return self.head + "".join([child.spoken + child.tail for child in self.children])

    def get(self, name: str) -> str | None:
        """The trimmed value; None when absent or blank."""
        return self.attributes.get(name, "").strip() or None


def shown(value: str) -> str:
    """The application's text as a notice repeats it: quoted, and short."""
    return repr(value if len(value) <= _SHOWN else value[: _SHOWN - 1] + "…")


class Reader:
    """Reads the elements of one document; keeps what it has to complain about."""

    def __init__(self, url: str, settings: RcmlSettings, dialect: Dialect = RCML) -> None:
        self.url = url
        self.settings = settings
        self.dialect = dialect
        self._notices: list[Notice] = []

    @property
    def notices(self) -> tuple[Notice, ...]:
        return tuple(self._notices)

    def notice(self, level: Level, code: int, line: int, message: str) -> None:
        room = self.settings.max_notices - len(self._notices)
        if room > 1:
            self._notices.append(Notice(code, level, message, line, self.url))
        elif room == 1:
            more = "this document has more mistakes; the rest are not listed"
            self._notices.append(Notice(notices.NOT_CARRIED_OUT, "warning", more, line, self.url))

    def error(self, code: int, line: int, message: str) -> None:
        self.notice("error", code, line, message)

    def warning(self, code: int, line: int, message: str) -> None:
        self.notice("warning", code, line, message)

    def names(self, element: Element, *known: str) -> None:
        """Point at attributes that are not known here, and at those that are but for the case of their letters; all of them are ignored."""
        for name in element.attributes:
            if name in known or name.startswith("{"):  # of another namespace
                continue
            meant = next((right for right in known if right.lower() == name.lower()), None)
            if meant is not None and meant in element.attributes:
                continue  # written twice: what counts is there
            why = "none of this name is known here" if meant is None else f"it is written {meant}"
            message = f"<{element.name}> has an attribute {name[:_SHOWN]}, which is ignored: {why}"
            self.warning(notices.NOT_CARRIED_OUT, element.line, message)

    def address(self, element: Element, reference: str, what: str, level: Level) -> str | None:
        """An absolute URL, or None and a notice 11100."""
        try:
            return resolve(self.url, reference)
        except ValueError as why:
            self.notice(level, notices.BAD_URL, element.line, f"{what} is no usable URL: {shown(reference)}: {why}")
            return None

    def url_of(self, element: Element, name: str, level: Level = "warning") -> str | None:
        """An attribute that holds a URL; None when it is absent, blank or no URL."""
        value = element.get(name)
        return None if value is None else self.address(element, value, f"{name} of <{element.name}>", level)

    def action(self, element: Element) -> tuple[str | None, bool]:
        """The URL of the attribute, and whether one was given that cannot be used: then the call ends with the verb (behaviour 0.11)."""
        url = self.url_of(element, "action", "error")
        return url, url is None and element.get("action") is not None

    def method(self, element: Element, name: str, code: int) -> str:
        """GET or POST, in any case of letters; POST for anything else."""
        value = element.get(name) or "POST"
        if value.upper() in ("GET", "POST"):
            return value.upper()
        self._bad(element, name, code, "GET or POST", "POST")
        return "POST"

    def whole(self, element: Element, name: str, default: int, code: int, *, least: int = 1, most: int | None = None) -> int:
        """A whole number from `least` up; more than `most` is taken as `most`."""
        value = element.get(name)
        if value is None:
            return default
        number = int(value) if _INTEGER.fullmatch(value) else -1
        if number < least:
            self._bad(element, name, code, f"a whole number of at least {least}", str(default))
            return default
        if most is not None and number > most:
            self._bad(element, name, code, f"at most {most}", str(most))
            return most
        return number

    def truth(self, element: Element, name: str, default: bool | None, otherwise: bool | None) -> bool | None:
        """true or false in any case of letters; `otherwise` for anything else, with a notice."""
        value = element.get(name)
        if value is None:
            return default
        if value.lower() in ("true", "false"):
            return value.lower() == "true"
        taken = "the server's setting" if otherwise is None else str(otherwise).lower()
        self._bad(element, name, notices.NOT_CARRIED_OUT, "true or false", taken)
        return otherwise

    def choice(self, element: Element, name: str, allowed: tuple[str, ...], code: int) -> str:
        """One word of several, in any case of letters; the first is the default."""
        value = (element.get(name) or allowed[0]).lower()
        if value in allowed:
            return value
        self._bad(element, name, code, " or ".join(allowed), allowed[0])
        return allowed[0]

    def _bad(self, element: Element, name: str, code: int, expected: str, taken: str) -> None:
        value = shown(element.get(name) or "")
        self.warning(code, element.line, f"{name} of <{element.name}> must be {expected}, not {value}; {taken} is used")
