"""What the dialect of an application flips in its documents (docs/rcml.md, The other dialect)."""

from __future__ import annotations

import pytest

from rcml.dialect import EVENTS, RCML, TWIML, Dialect, joined
from rcml.document import Document, parse_document
from rcml.settings import RcmlSettings
from rcml.verbs import Dial, Sip


def read(text: str, dialect: Dialect) -> Document:
    return parse_document(text.encode(), content_type="text/xml", url="http://app/voice", settings=RcmlSettings(), dialect=dialect)


def events(attributes: str, dialect: Dialect) -> tuple[str, ...]:
    (verb,) = read(f"<Response><Dial><Sip statusCallback='/leg' {attributes}>sip:a@b</Sip></Dial></Response>", dialect).verbs
    assert isinstance(verb, Dial) and isinstance(verb.nouns[0], Sip)
    return verb.nouns[0].status_callback_events


@pytest.mark.parametrize(("dialect", "expected"), [(RCML, EVENTS), (TWIML, ("completed",))])
def test_events_of_a_noun_that_names_none__rcml_the_other_dialect(dialect: Dialect, expected: tuple[str, ...]) -> None:
    assert events("", dialect) == events("statusCallbackEvent='nonsense'", dialect) == expected
    assert events("statusCallbackEvent='answered ringing'", dialect) == ("ringing", "answered")


def test_a_header_that_comes_twice_is_told_once__rfc3261_7_3_1() -> None:
    assert joined((("X-A", "1"), ("X-B", "2"), ("x-a", "3"))) == (("X-A", "1, 3"), ("X-B", "2"))
    assert joined(()) == ()
