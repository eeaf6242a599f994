"""Hangup: end the call."""

from __future__ import annotations

from dataclasses import dataclass

from rcml.reader import Element, Reader


@dataclass(frozen=True, slots=True)
class Hangup:
    line: int


def parse(element: Element, _read: Reader) -> Hangup:
    return Hangup(element.line)
