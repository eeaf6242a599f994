"""What a pattern says: Java's words (behaviour.md 1.4), and what is refused."""

from __future__ import annotations

import re

import pytest

from server.patterns import MAX_STATES, Pattern, PatternError


@pytest.mark.parametrize(
    ("java", "matches", "others"),
    [
        ("[1[56]]", ["1", "5"], ["2"]),  # a union
        ("[0-9&&[^5]]", ["1"], ["5"]),  # an intersection
        (r"\x31\u0032", ["12"], ["1", "2"]),
        (r"[\d*]#", ["5#", "*#"], ["+#"]),
        (r"\D", ["*", "1+"], ["123"]),
        ("(?i)alice", [], ["1"]),  # letters are no numbers
        ("(?i:1)2", ["12"], ["1"]),
        ("^(?!911)[0-9]{3,}$", ["112", "9110"[1:]], ["911", "9112"]),
        ("1(?=2(?=3))", ["123"], ["12", "132"]),
        ("(?<!1)(?<!2)3", ["3", "53"], ["13", "23"]),
        (r"1\b", ["1", "1#"], ["12"]),
        (r"1\B", ["12"], ["1", "1#"]),
        ("1{0}2", ["2"], ["1"]),
        ("()*1", ["1"], ["2"]),
        ("", ["", "1"], []),
    ],
)
def test_words_of_java(java: str, matches: list[str], others: list[str]) -> None:
    pattern = Pattern(java)
    assert [text for text in (*matches, *others) if pattern.search(text)] == matches


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[0-9", "ends too early"),
        ("*1", "nothing to repeat"),
        ("1**", "nothing to repeat"),
        ("1++", "possessive"),
        ("(?>1)", "atomic"),
        (r"(1)\1", "back-reference"),
        (r"(?<a>1)\k<a>", "back-reference"),
        (r"\p{Digit}", "escape"),
        ("(1", '"("'),
        ("1)", '")"'),
        ("1{", "repeat"),
        ("1{3,2}", "before its beginning"),
        ("1{99999}", "too large"),
        ("((1{30}){30}){30}", f"{MAX_STATES} states"),
        ("1{501}", "states"),
        ("[9-0]", "backwards"),
        ("(?x)1", "not known"),
        ("(?<>1)", "name"),
        ("\\", "ends too early"),
        (r"\x3", "hexadecimal"),
        ("(" * 50 + ")" * 50, "inside each other"),
        ("[" * 50, "inside each other"),
        ("1" * 1001, "longer"),
    ],
)
def test_what_cannot_be_read_says_why(text: str, why: str) -> None:
    with pytest.raises(PatternError, match=re.escape(why)):
        Pattern(text)
