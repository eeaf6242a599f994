"""Numbers as a trunk wants them, and those that documents may not dial."""

from __future__ import annotations

import pytest

from config.denied import DENIED_NUMBERS
from server.calls.numbering import NO_PLAN, DenyList, NumberFormat, NumberPlan, canonical, written

GERMANY, AMERICA, ITALY = NumberPlan("49"), NumberPlan("1", "1", "011"), NumberPlan("39", "", "00")


@pytest.mark.parametrize(
    ("text", "plan", "number"),
    [
        ("+4930123", GERMANY, "+4930123"),
        ("004930123", GERMANY, "+4930123"),
        ("030123", GERMANY, "+4930123"),
        ("110", GERMANY, None),
        ("*72", GERMANY, None),
        ("", GERMANY, None),
        ("+", GERMANY, None),
        ("12025550123", AMERICA, "+12025550123"),
        ("2025550123", AMERICA, "+12025550123"),
        ("0114930123", AMERICA, "+4930123"),
        ("0612345", ITALY, "+390612345"),
        ("030123", NO_PLAN, None),
        ("0030123", NO_PLAN, "+30123"),
        ("+0019005551212", GERMANY, "+19005551212"),
    ],
)
def test_a_number_is_understood_by_the_plan_of_its_trunk(text: str, plan: NumberPlan, number: str | None) -> None:
    assert canonical(text, plan) == number


@pytest.mark.parametrize(
    ("text", "form", "prefix", "sent"),
    [
        ("030123", "as_dialled", "", "030123"),
        ("030123", "e164", "", "+4930123"),
        ("+4930123", "e164_plain", "", "4930123"),
        ("+4930123", "national", "", "030123"),
        ("+12025550123", "national", "", "0012025550123"),
        ("+4930123", "national", "9", "9030123"),
        ("110", "e164", "", "110"),
        ("110", "e164", "9", "9110"),
        ("*72", "e164", "9", "*72"),
    ],
)
def test_a_number_is_written_as_the_trunk_wants_it(text: str, form: NumberFormat, prefix: str, sent: str) -> None:
    assert written(text, GERMANY, form, prefix) == sent


@pytest.mark.parametrize(
    "text",
    ["+19005551212", "0019005551212", "01119005551212", "19005551212", "+0019005551212", "+881612345678", "00881612345678", "+4490912345"],
)
@pytest.mark.parametrize("plan", [NO_PLAN, GERMANY, AMERICA])
def test_premium_and_satellite_numbers_are_denied_however_they_are_written(text: str, plan: NumberPlan) -> None:
    assert DenyList(DENIED_NUMBERS).rule_for(text, plan) in DENIED_NUMBERS


@pytest.mark.parametrize("text", ["9005551212"])
def test_a_national_premium_number_is_denied_by_the_plan(text: str) -> None:
    assert DenyList(DENIED_NUMBERS).rule_for(text, AMERICA) == "+1900*"
    assert DenyList(DENIED_NUMBERS).rule_for("0900123456", GERMANY) == "+49900*"


@pytest.mark.parametrize("text", ["+12025550123", "8705551234", "9795551234", "110", "030900", "+4930900900", "*72", "", "900"])
@pytest.mark.parametrize("plan", [NO_PLAN, AMERICA])
def test_ordinary_numbers_are_not_denied(text: str, plan: NumberPlan) -> None:
    assert DenyList(DENIED_NUMBERS).rule_for(text, plan) is None


def test_a_rule_without_plus_is_held_against_what_was_dialled() -> None:
    deny = DenyList(["0900*", "118??"])
    assert deny.rule_for("0900123", NO_PLAN) == "0900*"
    assert deny.rule_for("+49900123", NumberPlan("49")) is None
    assert [deny.rule_for(text, NO_PLAN) for text in ("11833", "1183", "118334")] == ["118??", None, None]


def test_the_longer_rule_wins() -> None:
    deny = DenyList(["+881*", "+8816999*"], ["+88169*"])
    assert deny.rule_for("+8816123", NO_PLAN) == "+881*"
    assert deny.rule_for("+88169123", NO_PLAN) is None
    assert deny.rule_for("+88169991", NO_PLAN) == "+8816999*"


def test_a_rule_that_matches_all_shuts_everything_but_the_exceptions() -> None:
    deny = DenyList(["+?*"], ["+49*"])
    assert deny.rule_for("+12025550123", NO_PLAN) == "+?*"
    assert deny.rule_for("+4930123", NO_PLAN) is None
    assert DenyList(["+49*"], ["+49*"]).rule_for("+4930123", NO_PLAN) == "+49*", "of equal length the denial holds"
