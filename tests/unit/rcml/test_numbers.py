"""Telephone numbers as they are copied into documents."""

from __future__ import annotations

import pytest

from rcml.numbers import is_number, telephone_number, trimmed, visible

NUMBER = "+12025550177"


@pytest.mark.parametrize(
    "text",
    [
        NUMBER,
        "+1 (202) 555-0177",
        "+1.202.555.0177",
        *(f"{mark}{NUMBER}{mark}" for mark in "\u202a\u202c\u202d\u200e\u200f\u2066\u2069\u061c"),  # marks of the writing direction
        *(f"+1{dash}202{dash}555{dash}0177" for dash in "\u2010\u2011\u2012\u2013\u2014\u2212\u00ad\ufe63\uff0d\u30fc\u02d7\u2043"),
        *(f"+1{blank}202{blank}5550177" for blank in "\u00a0\u2002\u2007\u2009\u202f\u205f\u3000\u1680\u2800\t\n\u0085"),
        *(f"{nothing}+1202{nothing}5550177{nothing}" for nothing in "\u200b\u200c\u200d\u2060\ufeff\u180e\u034f\ufe0f\u3164\x7f\x80"),
        "\U000e0020+12025550177\U000e007f",  # tag characters
        *(f"{plus}12025550177" for plus in "\uff0b\ufe62\u207a\u2795"),
        "+\uff11\uff12\uff10\uff12\uff15\uff15\uff15\uff10\uff11\uff17\uff17",
        "+\u0661\u0662\u0660\u0662\u0665\u0665\u0665\u0660\u0661\u0667\u0667",  # Arabic-Indic
        "+\u09672025550177",  # Devanagari
        "+1\ufe0f\u20e32025550177",  # the keycap of an emoji
        "\uff0b1\uff08202\uff09555\uff0e0177",
        "+1\u00b7202\u30fb5550177",
    ],
)
def test_what_is_only_there_for_the_eye_is_left_out__rfc3966_5_1_1(text: str) -> None:
    assert telephone_number(text) == (NUMBER, "")


@pytest.mark.parametrize(
    ("text", "number", "strange"),
    [
        ("1-800-FLOWERS", "1800FLOWERS", ""),
        ("*31#030", "*31#030", ""),
        ("\uff0a31\uff03030", "*31#030", ""),
        ("030/1234", "030/1234", "/"),
        ("030/12/34:5", "030/12/34:5", "/:"),
        ("\u260e 030", "\u260e030", "\u260e"),
        ("12@evil", "12@evil", "@"),
        ("(-) \u200b", "", ""),
        ("", "", ""),
    ],
)
def test_what_no_number_has_stays_and_is_named(text: str, number: str, strange: str) -> None:
    assert telephone_number(text) == (number, strange)


@pytest.mark.parametrize(
    ("text", "expected"), [("+123", True), ("*31#", True), ("", False), ("+", False), ("*", False), ("1a", False), ("1+2", False)]
)
def test_numbers_and_names(text: str, expected: bool) -> None:
    assert is_number(text) is expected


def test_unseen_characters_go_and_blanks_stay() -> None:
    assert visible("\u202asip:a@\u200bb\ufeff x\u202c") == "sip:a@b x"
    assert visible("sip:\u00e4@b") == "sip:\u00e4@b"
    assert trimmed("\u200b \u202aal\u200cice\u202c\u00a0") == "al\u200cice"
    assert trimmed("\u200b") == ""
