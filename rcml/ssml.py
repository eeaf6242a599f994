"""Speech markup (SSML) of a `<Say>`: what an engine can carry out is kept, everything else is read as its text.

Only elements and attributes that are listed here get to the engine, each with a value that was looked at: what a document holds besides
(`<audio>`, which would have the engine open files) never does. Digits are spelled here, so that any engine does.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from lxml import etree

from rcml import notices
from rcml.errors import DocumentError
from rcml.reader import Element, Reader, shown
from rcml.source import prepare, tree_of

LONGEST_BREAK_MS = 10_000

_TIME = re.compile(r"([0-9]{1,6}(?:\.[0-9]{1,3})?)(ms|s)", re.IGNORECASE)
_RATE = re.compile(r"x-slow|slow|medium|fast|x-fast|default|[0-9]{1,3}%", re.IGNORECASE)
_PITCH = re.compile(r"x-low|low|medium|high|x-high|default|[+-]?[0-9]{1,3}%", re.IGNORECASE)
_VOLUME = re.compile(r"silent|x-soft|soft|medium|loud|x-loud|default|[+-]?[0-9]{1,2}(?:\.[0-9]{1,2})?(?:dB)?", re.IGNORECASE)
_STRENGTH = re.compile(r"none|x-weak|weak|medium|strong|x-strong", re.IGNORECASE)
_LEVEL = re.compile(r"strong|moderate|none|reduced", re.IGNORECASE)
_NAMES = {"sentence": "s", "paragraph": "p"}
_PLAIN = ("speak", "p", "s", "w")

# element: its attributes, each with what may stand in it
_KEPT: dict[str, dict[str, re.Pattern[str]]] = {
    "break": {"strength": _STRENGTH},  # and time
    "emphasis": {"level": _LEVEL},
    "prosody": {"rate": _RATE, "pitch": _PITCH, "volume": _VOLUME},
}


@dataclass(slots=True)
class _Writer:
    read: Reader
    language: str
    marked: bool = False  # there is markup that does something

    def inside(self, element: Element) -> str:
        return escape(element.head) + "".join(self.element(child) + escape(child.tail) for child in element.children)

    def element(self, element: Element) -> str:
        name = _NAMES.get(element.name, element.name)
        if name in _PLAIN:
            inner = self.inside(element)
            if name not in ("p", "s"):
                return f" {inner} " if name == "w" else inner
            self.marked = True
            return f"<{name}>{inner}</{name}>"
        if name == "sub":
            return escape(alias) if (alias := element.get("alias")) else self.inside(element)
        if name == "say-as":
            return self._say_as(element)
        if name in _KEPT:
            return self._kept(name, element)
        self._no_effect(element, f"<{element.name}> in <Say>: its text is spoken, it has no effect")
        return self.inside(element)

    def _kept(self, name: str, element: Element) -> str:
        attributes = []
        for key, pattern in _KEPT[name].items():
            value = element.get(key)
            if value is not None and pattern.fullmatch(value):
                attributes.append(f'{key}="{value.lower().replace("db", "dB")}"')
            elif value is not None:
                self._no_effect(element, f"{key} of <{name}> cannot be {shown(value)} and is left out")
        if name == "break" and (pause := self._pause(element)):
            attributes = [pause]
        self.marked = True
        opening = " ".join((name, *attributes))
        return f"<{opening}/>{self.inside(element)}" if name == "break" else f"<{opening}>{self.inside(element)}</{name}>"

    def _pause(self, element: Element) -> str:
        value = element.get("time")
        if value is None:
            return ""
        found = _TIME.fullmatch(value)
        if found is None:
            self._no_effect(element, f"time of <break> cannot be {shown(value)} and is left out")
            return ""
        wanted_ms = float(found[1]) * (1 if found[2].lower() == "ms" else 1000)
        if wanted_ms > LONGEST_BREAK_MS:
            self._no_effect(element, f"time of <break> is at most {LONGEST_BREAK_MS // 1000} s, not {shown(value)}")
        return f'time="{round(min(wanted_ms, LONGEST_BREAK_MS))}ms"'

    # --- say-as ---------------------------------------------------------------------------------------------------

    def _say_as(self, element: Element) -> str:
        kind = (element.get("interpret-as") or "").lower()
        text = " ".join(element.spoken.split())
        how = _HOW.get(kind)
        if how is not None:
            return f" {escape(how(text))} "
        if kind in ("characters", "spell-out", "verbatim"):
            self.marked = True
            return f'<say-as interpret-as="characters">{escape(text)}</say-as>'
        if kind == "ordinal" and self.language.startswith("en") and re.fullmatch(r"[0-9]{1,9}", text):
            return _ordinal(int(text))
        if kind not in ("cardinal", "number"):
            self._no_effect(element, f"interpret-as of <say-as> cannot be {shown(kind)}: the text is spoken as it stands")
        return escape(text)

    def _no_effect(self, element: Element, message: str) -> None:
        self.read.warning(notices.NOT_CARRIED_OUT, element.line, message)


def _digit_by_digit(text: str) -> str:
    return " ".join(text.replace(" ", ""))


def _telephone(text: str) -> str:
    """One digit after another, with a pause where somebody has written one."""
    groups = re.split(r"[^0-9*#+]+", text)
    return ", ".join(" ".join(group) for group in groups if group)


_HOW: dict[str, Callable[[str], str]] = {"digits": _digit_by_digit, "telephone": _telephone}


def _ordinal(number: int) -> str:
    ending = {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th") if number % 100 not in (11, 12, 13) else "th"
    return f"{number}{ending}"


# --- the whole -----------------------------------------------------------------------------------------------------


def escape(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def unescape(text: str) -> str:
    return text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")


def speech_of(element: Element, read: Reader, language: str) -> str:
    """What is to be spoken: plain text, or SSML in `<speak>` when there is markup that does something. White space is collapsed.

    The markup may also stand in the text, escaped or as CDATA: then that begins with `<speak`, and plain text never does.
    """
    if not element.children and element.text.startswith("<speak"):
        quoted = _from_text(element.text, element.line, read.settings.max_depth)
        if quoted is None:
            read.warning(notices.NOT_CARRIED_OUT, element.line, "the text of <Say> begins with <speak and is no markup: it is read as text")
            return " ".join(element.text.replace("<", " ").replace(">", " ").split())
        element = quoted
    writer = _Writer(read, language)
    inner = " ".join(writer.inside(element).split())
    text = f"<speak>{inner}</speak>" if writer.marked else unescape(inner)
    return text if writer.marked or not text.startswith("<speak") else text.lstrip("<")


def _from_text(text: str, line: int, depth: int) -> Element | None:
    """The markup in a text that is markup itself; None when it does not parse."""
    try:
        return _plain(tree_of(prepare(text)), line, depth)
    except (DocumentError, etree.XMLSyntaxError):
        return None


def _plain(node: etree._Element, line: int, depth: int) -> Element:
    if depth == 0:
        raise DocumentError("too deep", line)
    children = tuple([_plain(child, line, depth - 1) for child in node])
    attributes = {str(name): str(value) for name, value in node.attrib.items()}
    return Element(str(node.tag).rpartition("}")[2], line, attributes, node.text or "", node.tail or "", children)
