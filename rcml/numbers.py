"""Telephone numbers as people write them into documents: what counts of them, and what is only there for the eye.

Numbers are copied out of address books, spreadsheets and web pages, and bring along what nobody sees: marks of the writing
direction, hyphens that do not break, blanks without width, the wide digits of East Asian keyboards. A carrier answers 404 or
484 to such a number and nobody can see why. So all of it is left out or made ASCII here, and what is then still strange is
named to the application's author.

Source: RFC 3966 5.1.1 (separators mean nothing); UAX #44 5.7.1 (general categories), UAX #15 (compatibility forms).
"""

from __future__ import annotations

import re
import unicodedata

# A number that is ready to be dialled or shown: what is left of one when separators are out.
_NUMBER = re.compile(r"\+?[0-9*#]+")
_PLAIN = re.compile(r"[+*#0-9A-Za-z]*")
# RFC 3966 5.1.1, and what stands for a dash, a dot or a blank without being one by its category.
_SEPARATORS = frozenset("-.()\u00b7\u02d7\u2022\u2043\u2212\u30fb\u30fc\u2800")
# Never shown, though no format characters by their category: joiners, fillers, variation selectors, the keycap.
_UNSEEN = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u20e3\u3164\uffa0") | frozenset(map(chr, range(0xFE00, 0xFE10)))
_INVISIBLE = ("Cc", "Cf", "Zl", "Zp")
_DROPPED = (*_INVISIBLE, "Pd", "Zs")
_SIGNS = {"\u2795": "+"}


def telephone_number(text: str) -> tuple[str, str]:
    """What of `text` is dialled, and the characters in it that no number has (each once).

    Separators, all dashes and blanks, and what cannot be seen are left out; digits and signs of any writing become ASCII.
    Letters stay (1-800-FLOWERS), and so does what is strange.
    """
    if _PLAIN.fullmatch(text):
        return text, ""
    kept: list[str] = []
    strange: dict[str, None] = {}
    for char in unicodedata.normalize("NFKC", text):
        category = unicodedata.category(char)
        if char in _SEPARATORS or char in _UNSEEN or category in _DROPPED:
            continue
        if category == "Nd":
            kept.append(str(unicodedata.decimal(char)))
            continue
        char = _SIGNS.get(char, char)
        if char not in "+*#" and not char.isalpha():
            strange[char] = None
        kept.append(char)
    return "".join(kept), "".join(strange)


def is_number(text: str) -> bool:
    """Whether a cleaned text is a telephone number, and not a name."""
    return _NUMBER.fullmatch(text) is not None and any(char.isdigit() for char in text)


def visible(text: str) -> str:
    """Without what cannot be seen, for what is ASCII by its nature, such as a SIP URI; blanks stay."""
    if text.isascii() and text.isprintable():
        return text
    return "".join([char for char in text if char not in _UNSEEN and unicodedata.category(char) not in _INVISIBLE])


def trimmed(text: str) -> str:
    """Without blanks and unseen characters around it; those within a name stay, some writings need them."""
    first, last = 0, len(text)
    while first < last and _is_nothing(text[first]):
        first += 1
    while last > first and _is_nothing(text[last - 1]):
        last -= 1
    return text[first:last]


def _is_nothing(char: str) -> bool:
    return char in _UNSEEN or char.isspace() or unicodedata.category(char) == "Cf"
