"""Pause: wait, without answering the call (behaviour 1.8, 9)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from rcml import notices
from rcml.reader import Element, Reader
from rcml.verbs.verb import Verb


@dataclass(frozen=True, slots=True)
class Pause(Verb):
    line: int
    length_s: int = 1

    only_waits: ClassVar[bool] = True


def parse(element: Element, read: Reader) -> Pause:
    read.names(element, "length")
    return Pause(element.line, read.whole(element, "length", 1, notices.PAUSE_LENGTH))
