"""Patterns of numbers give the same answers as a backtracking matcher, and never take its time (behaviour.md 1.4)."""

from __future__ import annotations

import itertools
import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.patterns import SYMBOLS, Pattern, PatternError

SHORT = ["".join(text) for length in range(6) for text in itertools.product("79*#", repeat=length)]


@pytest.mark.parametrize(
    ("java", "python"),
    [
        (r"^*77", "77"),
        (r"^?7", "7"),
        (r"^+7", "^7"),
        (r"(^*7|9)", "(7|9)"),
        (r"[^*]7", "[^*]7"),  # a class, no anchor
        (r"\^*7", r"\^*7"),
        (r"\Q*7#\E\d", r"\*7\#\d"),
        (r"(?<a>7)", "(?P<a>7)"),
        (r"(?<=7)9", "(?<=7)9"),
        (r"7\z", r"7\Z"),
        ("[]7]", "[]7]"),
    ],
)
def test_java_pattern_means_what_it_does_in_pythons_words(java: str, python: str) -> None:
    pattern, model = Pattern(java), re.compile(python)
    for text in SHORT:
        assert pattern.search(text) is (model.search(text) is not None), text


@pytest.mark.parametrize("text", ["(1+)+$", "(1|1?)+$", "(.*)*(.*)*(.*)*#$", "((1?){20}){6}#", "(?=(1+)+$)(?!(.*)*#)1", "(1*)*(1*)*[^1]"])
def test_no_pattern_takes_more_than_linear_time(text: str) -> None:
    """A backtracking matcher needs years for each of these: hypothesis and patience would not see the end."""
    pattern = Pattern(text)
    started = time.process_time()
    for dialled in ("1" * 127 + "*", "1" * 128, "1*" * 64):
        pattern.search(dialled)
    assert time.process_time() - started < 1.0


def test_what_is_remembered_of_many_texts_is_bounded() -> None:
    pattern = Pattern("1.{40}2")
    for number in range(300):
        pattern.search(f"{number * 7919:0128b}".replace("0", "2"))
    assert pattern._machine._remembered <= 4000


# Patterns that both matchers read alike, without the depth that Python would need years for.
_ATOMS = st.sampled_from(["1", "2", r"\*", "[12]", "[^1]", ".", "^", "$", r"\b", r"\d", r"\D", "(?:)"])


def _grown(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(
        st.lists(inner, min_size=1, max_size=3).map("".join),
        st.lists(inner, min_size=1, max_size=3).map(lambda parts: "(?:" + "|".join(parts) + ")"),
        st.tuples(inner, st.sampled_from(["*", "+", "?", "{2}", "{0,2}", "{1,}", "*?"])).map(lambda pair: f"(?:{pair[0]}){pair[1]}"),
        st.tuples(st.sampled_from(["?=", "?!"]), inner).map(lambda pair: f"({pair[0]}{pair[1]})"),
        st.tuples(st.sampled_from(["?<=", "?<!"]), st.sampled_from(["1", "[12]", "1.", "(?:12|21)", "^", r"\D1"])).map(
            lambda pair: f"({pair[0]}{pair[1]})"
        ),
    )


@given(st.recursive(_ATOMS, _grown, max_leaves=6), st.lists(st.text("12*", max_size=7), min_size=1, max_size=5))
def test_the_same_answer_as_a_backtracking_matcher(text: str, dialled: list[str]) -> None:
    try:
        pattern = Pattern(text)
    except PatternError:
        return  # its repeats inside each other make too many states
    model = re.compile(text)
    for one in dialled:
        assert pattern.search(one) is (model.search(one) is not None)


@given(st.text(max_size=30) | st.text(r"01*#+()[]{}|\^$?.-&<>=!:,d", max_size=30), st.text("".join(sorted(SYMBOLS)), max_size=20))
def test_any_text_gives_a_pattern_or_a_pattern_error(text: str, dialled: str) -> None:
    try:
        pattern = Pattern(text)
    except PatternError:
        return
    assert pattern.search(dialled) in (True, False)
