"""Say: speak a text to the caller (behaviour 9; docs/rcml.md, Say)."""

from __future__ import annotations

from dataclasses import dataclass

from rcml import notices
from rcml.reader import Element, Reader, shown
from rcml.verbs.verb import Verb

VOICES = ("man", "woman")
LANGUAGES = (
    "en", "en-gb", "bf", "bp", "ca", "cf", "cs", "dan", "de", "el", "es", "fi", "fr", "it", "nl", "no", "pl", "pt", "ru", "ar", "sv", "tr",
)  # fmt: skip
# What everybody else calls them
_ALIASES = {"da": "dan", "nb": "no", "nn": "no", "pt-br": "bp", "fr-ca": "cf", "fr-be": "bf"}


@dataclass(frozen=True, slots=True)
class Say(Verb):
    """text: never empty, white space collapsed. language: one of LANGUAGES. loop: 0 is for ever."""

    line: int
    text: str
    voice: str = "man"
    language: str = "en"
    loop: int = 1

    def answers(self, answer_delay: bool) -> bool:
        return True


def parse(element: Element, read: Reader) -> Say | None:
    read.names(element, "voice", "language", "loop")
    text = " ".join(element.spoken.split())
    if not text:
        read.warning(notices.NOT_CARRIED_OUT, element.line, "<Say> holds no text and is skipped")
        return None
    if element.children:
        first = element.children[0]
        read.warning(notices.NOT_CARRIED_OUT, first.line, f"<{first.name}> in <Say>: the text is spoken, its markup has no effect")
    voice = read.choice(element, "voice", VOICES, notices.NOT_CARRIED_OUT)
    loop = read.whole(element, "loop", 1, notices.SAY_LOOP, least=0)
    return Say(element.line, text, voice, _language(element, read), loop)


def _language(element: Element, read: Reader) -> str:
    """One of the documented codes; also `da`, `pt-BR` or `de_AT`, whose meaning is clear."""
    asked = (element.get("language") or "en").lower().replace("_", "-")
    for code in (asked, asked.partition("-")[0]):
        if code in LANGUAGES or code in _ALIASES:
            return _ALIASES.get(code, code)
    value = shown(element.get("language") or "")
    read.warning(notices.SAY_LANGUAGE, element.line, f"language of <Say> cannot be {value}; en is used")
    return "en"
