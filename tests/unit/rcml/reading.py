"""Short ways to give a document to the package and to say what must come of it."""

from __future__ import annotations

from typing import Any, TypeVar

from rcml.document import Document, parse_document
from rcml.notices import Notice
from rcml.settings import RcmlSettings

URL = "http://app.example.com/calls/voice.xml?tenant=7"

V = TypeVar("V")


def give(body: str | bytes, content_type: str = "text/xml", url: str = URL, **settings: Any) -> Document:
    data = body.encode() if isinstance(body, str) else body
    return parse_document(data, content_type=content_type, url=url, settings=RcmlSettings(**settings))


def give_verb(xml: str, kind: type[V]) -> tuple[V, tuple[Notice, ...]]:
    """The one verb of a document that holds nothing else."""
    document = give(f"<Response>\n{xml}\n</Response>")
    (verb,) = document.verbs
    assert isinstance(verb, kind)
    return verb, document.notices


def codes(notices: tuple[Notice, ...]) -> list[tuple[int, str, int]]:
    return [(notice.code, notice.level, notice.line) for notice in notices]
