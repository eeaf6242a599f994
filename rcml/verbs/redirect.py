"""Redirect: go on with another document (behaviour 9)."""

from __future__ import annotations

from dataclasses import dataclass

from rcml import notices
from rcml.reader import Element, Reader
from rcml.verbs.invalid import Invalid
from rcml.verbs.verb import Verb


@dataclass(frozen=True, slots=True)
class Redirect(Verb):
    """url: absolute."""

    line: int
    url: str
    method: str = "POST"


def parse(element: Element, read: Reader) -> Redirect | Invalid | None:
    read.names(element, "method")
    if not element.text:
        read.warning(notices.REDIRECT, element.line, "<Redirect> holds no URL and is skipped")
        return None
    url = read.address(element, element.text, "the text of <Redirect>", "error")
    method = read.method(element, "method", notices.REDIRECT)
    return Invalid(element.line, "Redirect") if url is None else Redirect(element.line, url, method)
