"""What sources, tests and pages cite is there: sections and decisions by number, rules of SIP, files by path, modules by name."""

from __future__ import annotations

import fnmatch
import os
import re
from collections.abc import Iterator
from pathlib import Path

from config.load import model_of
from config.settings import Settings
from tests.support.sources import PACKAGES, ROOT, defines, files, prose, sources

BEHAVIOUR = (ROOT / "docs/behaviour.md").read_text()
RULES = (ROOT / "docs/sip-rules.md").read_text()
TESTS = "".join(file.read_text() for file in (ROOT / "tests").rglob("test_*.py"))
SOURCES = TESTS + "".join((ROOT / module.path).read_text() for module in sources().values())

# --- numbers ----------------------------------------------------------------------------------------------------------


def cited(pattern: str) -> set[str]:
    return {number.replace("_", ".") for number in re.findall(pattern, SOURCES)}


def test_every_cited_section_of_the_behaviour_stands_there() -> None:
    headings = re.findall(r"^#+ (\d+(?:\.\d+)?)\.? ", BEHAVIOUR, re.MULTILINE)
    sections = {*headings, *re.findall(r"^\| ((?:0|10)\.\d+) \|", BEHAVIOUR, re.MULTILINE)}
    found = cited(r"[bB]ehaviour(?:\.md)?[ _](\d+(?:[._]\d+)?)")
    assert len(found) > 20
    assert found - sections == set()


def test_every_cited_decision_is_a_page() -> None:
    """One series: `decision 5` is docs/decisions/0005-*.md, wherever it is cited."""
    pages = {int(path.name[:4]) for path in files() if path.match("docs/decisions/0*.md")}
    named = {int(number) for text in (*prose().values(), TESTS) for number in re.findall(r"[dD]ecision[ _](\d+)", text)}
    assert {4, 5} <= named
    assert named - pages == set()


def test_tests_are_named_after_rules_and_not_after_issues() -> None:
    named = [
        (path, name)
        for path in files()
        if path.suffix == ".py"
        for name in re.findall(r"def (test_\w*issue_?\d\w*)", (ROOT / path).read_text())
    ]
    assert [f"{path}: {name}" for path, name in named] == []


def test_every_rule_of_sip_stands_there_with_a_test_that_exists() -> None:
    rows = re.findall(r"^\| (\d+) \|.*\| ([^|]+) \|$", RULES, re.MULTILINE)
    assert [int(number) for number, _ in rows] == list(range(1, 39))
    assert cited(r"trap[ _]?(\d+)") - {number for number, _ in rows} == set()
    named = [(number, name) for number, held in rows for name in re.findall(r"`(test_\w+)`", held)]
    assert len(named) > 30
    assert [name for number, name in named if not re.search(rf"_trap_?{number}$", name) or f"def {name}(" not in TESTS] == []


# --- paths ------------------------------------------------------------------------------------------------------------

# A path from the project's folder, a star in it standing for anything; and in backticks the end of one: `net/polled.rs`.
PATH = re.compile(rf"(?<![\w./:<@-])((?:\.ci|docs|tests|{'|'.join(PACKAGES)})/[\w./*<>-]*[\w*>/])")
TAIL = re.compile(r"`([\w-]+(?:/[\w.-]+)+\.(?:py|rs|md|toml|c|h|o|xml|json|txt|cfg))`")
LINK = re.compile(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)")
FILES = {str(path) for path in files()}
PLACES = FILES | {str(folder) for path in files() for folder in path.parents}


def exists(path: str) -> bool:
    """From the project's folder or, in the crate's own comments, from the crate's."""
    both = (path.rstrip("/"), f"media/worker/{path.rstrip('/')}")
    return "<" in path or any(each in PLACES or ("*" in each and fnmatch.filter(PLACES, each)) for each in both)


def test_every_path_that_is_named_exists() -> None:
    found = [(where, path) for where, text in prose().items() for path in PATH.findall(text)]
    assert len(found) > 100
    assert [f"{where} names {path}" for where, path in found if not exists(path)] == []
    tails = [(where, tail) for where, text in prose().items() for tail in TAIL.findall(text)]
    assert len(tails) > 20
    assert [f"{where} names {tail}" for where, tail in tails if not any(f"/{file}".endswith(f"/{tail}") for file in FILES)] == []


def test_every_link_of_a_page_leads_somewhere() -> None:
    links = [(Path(page), link) for page, text in prose().items() if page.endswith(".md") for link in LINK.findall(text)]
    assert len(links) > 20
    assert [f"{page} links {link}" for page, link in links if not (ROOT / page.parent / link).exists()] == []


def test_every_page_can_be_reached_from_the_readme() -> None:
    pages = {page for page in prose() if page.endswith(".md")}
    seen, ahead = set(), {"README.md"}
    while ahead:
        page = ahead.pop()
        seen.add(page)
        links = {os.path.normpath(Path(page).parent / link) for link in LINK.findall(prose()[page])}
        ahead |= {link for link in links & pages if link not in seen}
    assert sorted(pages - seen) == []


def test_the_index_of_decisions_has_each_with_its_number() -> None:
    index = prose()["docs/decisions/README.md"]
    rows = {(int(number), page) for number, page in re.findall(r"^\| \[(\d+)\]\(([\w-]+\.md)\) \|", index, re.MULTILINE)}
    pages = {path.name for path in files() if path.match("docs/decisions/0*.md")}
    assert rows == {(int(page[:4]), page) for page in pages}
    assert [page for page in pages if not prose()[f"docs/decisions/{page}"].startswith(f"# {int(page[:4])}. ")] == []


# --- names ------------------------------------------------------------------------------------------------------------

DOTTED = re.compile(rf"(?<![\w./@-])((?:tests|{'|'.join(PACKAGES)})(?:\.[A-Za-z_]\w*)+)(?![\w/-])")
FILE_NAMES = ("md", "py", "sock", "toml")  # `rcml.md`, `media.sock`


def settings(model: object = Settings, above: str = "") -> Iterator[str]:
    """`sip`, `sip.transport`, `sip.transport.max_connections`, ..., as a configuration has them; trunks and numbers by the table's name."""
    for key, field in getattr(model, "model_fields", {}).items():
        yield f"{above}{key}"
        yield from settings(model_of(field.annotation), f"{above}{key}.")


KNOBS = frozenset(settings())


def resolves(name: str) -> bool:
    """A setting, a module, what a module defines, or (as `sip.core.Endpoint`) a class of some module of a package."""
    if name in KNOBS:
        return True
    parts = name.split(".")
    if parts[0] == "tests":
        return any((ROOT / "/".join(parts)).with_suffix(end).exists() for end in ("", ".py"))
    length = next(length for length in range(len(parts), 0, -1) if ".".join(parts[:length]) in sources())
    if defines(sources()[".".join(parts[:length])], parts[length:]):
        return True
    inside = [module for module in sources().values() if module.within(".".join(parts[:length]))]
    return parts[length][0].isupper() and any(defines(module, parts[length:]) for module in inside)


def test_every_name_with_dots_is_one_of_a_module_or_a_setting() -> None:
    named = [(where, name) for where, text in prose().items() for name in DOTTED.findall(text) if name.split(".")[1] not in FILE_NAMES]
    assert len(named) > 60
    assert [f"{where} names {name}" for where, name in named if not resolves(name)] == []


def test_tables_of_modules_name_modules() -> None:
    """The column `module` or `file` of a page's table."""
    paths = [f"/{module.path}" for module in sources().values()]
    crate = list((ROOT / "media/worker/src").rglob("*.rs"))  # those of the media worker's page
    paths += [f"{path.with_suffix('.py')}" for path in crate] + [f"{path.parent}.py" for path in crate]
    wrong, count = [], 0
    for page, text in prose().items():
        for header, rows in re.findall(r"^(\|.*\|)\n\|[-| ]+\|\n((?:\|.*\n)+)", text, re.MULTILINE) if page.endswith(".md") else []:
            titles = [cell.strip() for cell in header.split("|")]
            for column in {"module", "file"} & set(titles):
                cells = [row.split("|")[titles.index(column)] for row in rows.splitlines()]
                names = [name for cell in cells for name in re.findall(r"`([a-z_/]+)`", cell)]
                wrong += [f"{page}: {name}" for name in names if not any(file.endswith(f"/{name.rstrip('/')}.py") for file in paths)]
                count += len(names)
    assert count > 20
    assert wrong == []
