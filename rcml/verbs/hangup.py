"""Hangup: end the call."""

from __future__ import annotations

from dataclasses import dataclass

from rcml.reader import Element, Reader
from rcml.verbs.verb import Verb


@dataclass(frozen=True, slots=True)
class Hangup(Verb):
    line: int


def parse(element: Element, read: Reader) -> Hangup:
    read.names(element)
    return Hangup(element.line)
