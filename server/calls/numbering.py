"""How telephone numbers are written on a trunk, and which of them documents may not dial. Pure.

A number is understood by the plan of the trunk that it goes out by: `+` and the country code (E.164), the same behind an international
prefix, or national behind a national prefix. What cannot be understood (short codes, `*72`) is sent as it was dialled.

A rule is a number in which `?` is any digit and a `*` at its end is any rest: `+1900*`, `0900*`, `118??`. One that begins with `+` is
held against the number however it is written, for whoever may write `+1 900`, `001900` and `0111900` would get around it else. Others are
held against what was dialled. The rule that excepts a number wins over the one that denies it when it is the longer one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

NumberFormat = Literal["as_dialled", "e164", "e164_plain", "national"]
INTERNATIONAL = ("00", "011")  # the prefixes that are understood everywhere, beside that of the trunk
SHORTEST_BARE = 11  # digits of a number that may be E.164 without its plus; national ones are shorter
_DIGITS = re.compile(r"\+?[0-9]+")


@dataclass(frozen=True, slots=True)
class NumberPlan:
    """country_code: of the national numbers, "" for none. national_prefix, international_prefix: what is dialled before a number."""

    country_code: str = ""
    national_prefix: str = "0"
    international_prefix: str = "00"


NO_PLAN = NumberPlan()


def canonical(text: str, plan: NumberPlan) -> str | None:
    """E.164 with its plus; None for what is no such number."""
    if not _DIGITS.fullmatch(text):
        return None
    if text.startswith("+"):
        return _international(text[1:], plan)
    for prefix in (plan.international_prefix, *INTERNATIONAL):
        if prefix and text.startswith(prefix):
            return _international(text[len(prefix) :], plan)
    if not plan.country_code:
        return None
    if plan.national_prefix and text.startswith(plan.national_prefix):
        return f"+{plan.country_code}{text[len(plan.national_prefix) :]}"
    if not plan.national_prefix or (plan.country_code == "1" and len(text) == 10):
        return f"+{plan.country_code}{text}"
    return None


def _international(digits: str, plan: NumberPlan) -> str:
    """Without what people write twice: `+00`."""
    for prefix in (plan.international_prefix, *INTERNATIONAL):
        if prefix.startswith("0") and digits.startswith(prefix):
            digits = digits[len(prefix) :]
    return f"+{digits}"


def written(text: str, plan: NumberPlan, form: NumberFormat, prefix: str = "") -> str:
    """A number as the trunk wants it. prefix: put before all that is digits."""
    if not _DIGITS.fullmatch(text):
        return text
    number = canonical(text, plan)
    if number is None or form == "as_dialled":
        return prefix + text
    digits = number[1:]
    match form:
        case "e164":
            return prefix + number
        case "e164_plain":
            return prefix + digits
        case "national":
            if plan.country_code and digits.startswith(plan.country_code):
                return prefix + plan.national_prefix + digits[len(plan.country_code) :]
            return prefix + plan.international_prefix + digits


class DenyList:
    """allow: rules that except numbers from those of `deny`."""

    def __init__(self, deny: Iterable[str] = (), allow: Iterable[str] = ()) -> None:
        self._deny = tuple((rule, _pattern(rule)) for rule in deny)
        self._allow = tuple((rule, _pattern(rule)) for rule in allow)

    def rule_for(self, text: str, plan: NumberPlan) -> str | None:
        """The rule by which a number may not be dialled; None: it may."""
        forms = tuple(dict.fromkeys(_forms(text, plan)))
        denied = max((rule for rule, pattern in self._deny if any(map(pattern.fullmatch, forms))), key=len, default=None)
        if denied is None:
            return None
        allowed = max((rule for rule, pattern in self._allow if any(map(pattern.fullmatch, forms))), key=len, default="")
        return None if len(allowed) > len(denied) else denied


def _forms(text: str, plan: NumberPlan) -> Iterator[str]:
    yield text
    number = canonical(text, plan)
    if number is not None:
        yield number
    for prefix in INTERNATIONAL:  # whatever the trunk may take for one
        if text.startswith(prefix) and text.isdigit():
            yield f"+{text[len(prefix) :]}"
    if text.isdigit() and len(text) >= SHORTEST_BARE and not text.startswith("0"):
        yield f"+{text}"


def _pattern(rule: str) -> re.Pattern[str]:
    body = rule.removesuffix("*")
    text = "".join("[0-9]" if character == "?" else re.escape(character) for character in body)
    return re.compile(text + ("[0-9]*" if rule.endswith("*") else ""))
