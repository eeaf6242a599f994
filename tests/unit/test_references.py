"""The numbers that sources and tests cite lead somewhere: sections of docs/behaviour.md, rules of docs/sip-rules.md."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BEHAVIOUR = (ROOT / "docs/behaviour.md").read_text()
RULES = (ROOT / "docs/sip-rules.md").read_text()
TESTS = "".join(file.read_text() for file in (ROOT / "tests").rglob("test_*.py"))
SOURCES = TESTS + "".join(file.read_text() for name in ("server", "rcml", "sip", "media", "config") for file in (ROOT / name).rglob("*.py"))


def cited(pattern: str) -> set[str]:
    return {number.replace("_", ".") for number in re.findall(pattern, SOURCES)}


def test_every_cited_section_of_the_behaviour_stands_there() -> None:
    headings = re.findall(r"^#+ (\d+(?:\.\d+)?)\.? ", BEHAVIOUR, re.MULTILINE)
    sections = {*headings, *re.findall(r"^\| (10\.\d+) \|", BEHAVIOUR, re.MULTILINE)}
    found = cited(r"behaviour(?:\.md)?[ _](\d+(?:[._]\d+)?)")
    assert len(found) > 20
    assert found - sections == set()


def test_every_cited_decision_stands_there() -> None:
    decisions = set(re.findall(r"^\| decision (\d+) \|", BEHAVIOUR, re.MULTILINE))
    assert decisions == {str(number) for number in range(1, 15)}
    assert cited(r"[dD]ecision[ _](\d+)") - decisions == set()


def test_every_rule_of_sip_stands_there_with_a_test_that_exists() -> None:
    rows = re.findall(r"^\| (\d+) \|.*\| ([^|]+) \|$", RULES, re.MULTILINE)
    assert [int(number) for number, _ in rows] == list(range(1, 39))
    assert cited(r"trap[ _]?(\d+)") - {number for number, _ in rows} == set()
    named = [(number, name) for number, held in rows for name in re.findall(r"`(test_\w+)`", held)]
    assert len(named) > 30
    assert [name for number, name in named if not re.search(rf"_trap_?{number}$", name) or f"def {name}(" not in TESTS] == []
