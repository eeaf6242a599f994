"""Play: play an audio file to the caller, or press keys (behaviour 9; docs/rcml.md, Play)."""

from __future__ import annotations

from dataclasses import dataclass

from rcml import notices
from rcml.reader import Element, Reader
from rcml.verbs.invalid import Invalid
from rcml.verbs.nouns import keys_to_press
from rcml.verbs.verb import Verb


@dataclass(frozen=True, slots=True)
class Play(Verb):
    """url: absolute; "" when `digits` are pressed instead. loop: 0 is for ever."""

    line: int
    url: str
    loop: int = 1
    digits: str = ""

    def answers(self, answer_delay: bool) -> bool:
        return True


def parse(element: Element, read: Reader) -> Play | Invalid | None:
    read.names(element, "loop", "digits")
    digits = keys_to_press(element, read, "digits")
    if digits and element.text:
        read.warning(notices.NOT_CARRIED_OUT, element.line, "<Play> holds a URL and digits: the file is played, no keys are pressed")
    elif digits:
        return Play(element.line, "", read.whole(element, "loop", 1, notices.PLAY_LOOP, least=0), digits)
    if not element.text:
        read.warning(notices.NOT_CARRIED_OUT, element.line, "<Play> holds no URL and is skipped")
        return None
    url = read.address(element, element.text, "the text of <Play>", "error")
    loop = read.whole(element, "loop", 1, notices.PLAY_LOOP, least=0)
    return Invalid(element.line, "Play") if url is None else Play(element.line, url, loop)
