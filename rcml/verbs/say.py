"""Say: speak a text to the caller (behaviour 9; docs/rcml.md, Say)."""

from __future__ import annotations

from dataclasses import dataclass

from rcml import notices
from rcml.reader import Element, Reader, shown
from rcml.ssml import speech_of
from rcml.verbs.verb import Verb
from rcml.voices import MAN, VOICES, find_language, find_voice


@dataclass(frozen=True, slots=True)
class Say(Verb):
    """text: never empty, white space collapsed; SSML when it begins with `<speak`. language: see `rcml.voices`. loop: 0 is for ever."""

    line: int
    text: str
    voice: str = "man"
    language: str = "en"
    loop: int = 1

    def answers(self, answer_delay: bool) -> bool:
        return True


def parse(element: Element, read: Reader) -> Say | None:
    read.names(element, "voice", "language", "loop")
    language = _language(element, read)
    text = speech_of(element, read, language)
    if not text:
        read.warning(notices.NOT_CARRIED_OUT, element.line, "<Say> holds no text and is skipped")
        return None
    loop = read.whole(element, "loop", 1, notices.SAY_LOOP, least=0)
    return Say(element.line, text, _voice(element, read), language, loop)


def _voice(element: Element, read: Reader) -> str:
    """man or woman; voices of other platforms are mapped to the one that comes nearest, and a notice says so."""
    asked = element.get("voice") or MAN
    found = find_voice(asked)
    if found is None or asked.lower() not in VOICES:
        taken = found or MAN
        why = "is not spoken here" if found is not None else f"must be {' or '.join(VOICES)}"
        read.warning(notices.NOT_CARRIED_OUT, element.line, f"voice of <Say> {why}: {shown(asked)}; {taken} is used")
        return taken
    return found


def _language(element: Element, read: Reader) -> str:
    asked = element.get("language") or "en"
    found = find_language(asked)
    if found is None:
        read.warning(notices.SAY_LANGUAGE, element.line, f"language of <Say> cannot be {shown(asked)}; en is used")
        return "en"
    return found
