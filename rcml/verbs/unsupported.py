"""Verbs of RCML that this release knows by name only."""

from __future__ import annotations

from dataclasses import dataclass

from rcml import notices
from rcml.reader import Element, Reader
from rcml.verbs.verb import Verb

NAMES = frozenset({"Sms", "Message", "Email", "Fax", "Video", "UssdMessage", "UssdCollect"})


@dataclass(frozen=True, slots=True)
class Unsupported(Verb):
    """Skipped. why: the sentence of its notice."""

    line: int
    name: str
    why: str

    @property
    def does_nothing(self) -> str:
        return ""  # `why` is in the document's notices


def parse(element: Element, read: Reader) -> Unsupported:
    why = f"<{element.name}> is not supported yet and is skipped"
    read.warning(notices.NOT_CARRIED_OUT, element.line, why)
    return Unsupported(element.line, element.name, why)
