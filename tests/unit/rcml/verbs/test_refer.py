"""Refer as it is read (docs/rcml.md, Refer; behaviour 9)."""

from __future__ import annotations

import pytest

from rcml.verbs import Refer
from tests.unit.rcml.reading import codes, give_verb


@pytest.mark.parametrize("text", ["sip:carol@example.com", " <Sip>sip:carol@example.com</Sip> "])
def test_refer_reads_its_target_and_its_action__behaviour_9(text: str) -> None:
    verb, told = give_verb(f"<Refer action='/next' method='get'>{text}</Refer>", Refer)
    assert (verb, told) == (Refer(2, "sip:carol@example.com", "http://app.example.com/next", "GET"), ())


@pytest.mark.parametrize("text", ["", "two words", "a&lt;b", "x" * 256, "sip:a@b&#10;Via: c"])
def test_a_refer_to_nobody_is_skipped_with_an_error__behaviour_9(text: str) -> None:
    verb, told = give_verb(f"<Refer>{text}</Refer>", Refer)
    assert (verb.target, verb.does_nothing) == ("", "")
    assert codes(told) == [(12200, "error", 2)]


def test_an_action_that_is_no_url_is_told__behaviour_0_11() -> None:
    verb, told = give_verb("<Refer action='not a url' method='PUT'>carol</Refer>", Refer)
    assert verb.action_invalid
    assert sorted(code for code, _, _ in codes(told)) == [11100, 12200]
