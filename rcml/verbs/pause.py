"""Pause: wait, without answering the call (behaviour 1.8, 9)."""

from __future__ import annotations

from dataclasses import dataclass

from rcml import notices
from rcml.reader import Element, Reader


@dataclass(frozen=True, slots=True)
class Pause:
    line: int
    length_s: int = 1


def parse(element: Element, read: Reader) -> Pause:
    read.names(element, "length")
    return Pause(element.line, read.whole(element, "length", 1, notices.PAUSE_LENGTH))
