"""What is shipped with the sources and is easily forgotten: locked packages, the README's examples, names on the import path."""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from config.load import load

ROOT = Path(__file__).resolve().parents[2]
LOCKS = ["requirements.lock", "requirements-dev.lock", ".ci/build.lock"]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PIN = re.compile(r"(?P<name>[a-z0-9-]+)==(?P<version>[0-9][0-9a-z.]*)(?: ; (?P<marker>[^\\]+?))?(?: \\\n    --hash=sha256:[0-9a-f]{64})+\n")


def pinned(lock: str) -> dict[str, set[str]]:
    """name -> versions (one for each environment marker)."""
    versions: dict[str, set[str]] = {}
    for pin in PIN.finditer((ROOT / lock).read_text()):
        versions.setdefault(pin["name"], set()).add(pin["version"])
    return versions


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_holds_names_versions_and_hashes_and_nothing_else(lock: str) -> None:
    text = (ROOT / lock).read_text()
    assert PIN.sub("", text) == ""
    assert len(pinned(lock)) > 3


@pytest.mark.parametrize(
    ("lock", "wanted"),
    [
        ("requirements.lock", PROJECT["dependencies"] + PROJECT["optional-dependencies"]["uvloop"]),
        ("requirements-dev.lock", PROJECT["dependencies"] + PROJECT["optional-dependencies"]["dev"]),
        (".ci/build.lock", [line for line in (ROOT / ".ci/build.in").read_text().splitlines() if not line.startswith("#")]),
    ],
)
def test_everything_that_is_required_is_locked_in_its_range(lock: str, wanted: list[str]) -> None:
    versions = pinned(lock)
    for requirement in map(Requirement, wanted):
        found = versions[canonicalize_name(requirement.name)]
        assert all(requirement.specifier.contains(version) for version in found), f"{requirement} is locked as {found}: make lock"


def test_the_tests_run_with_what_the_server_runs_with() -> None:
    dev = pinned("requirements-dev.lock")
    assert all(dev[name] == versions for name, versions in pinned("requirements.lock").items())


def test_no_other_distribution_owns_our_names() -> None:
    """The five folders are imported by these bare names, and another package of that name would be imported in their place."""
    owners = packages_distributions()
    for name in ("config", "sip", "media", "rcml", "server"):
        assert set(owners.get(name, [])) <= {"dialplane"}, f"{name} belongs to {owners[name]} too"


def readme_blocks(language: str) -> list[str]:
    """The fenced examples of a language, their indentation taken off."""
    text = (ROOT / "README.md").read_text()
    blocks = re.findall(rf"^( *)```{language}\n(.*?)^ *```", text, re.DOTALL | re.MULTILINE)
    return ["".join(line.removeprefix(indent) for line in body.splitlines(keepends=True)) for indent, body in blocks]


def test_the_readmes_configuration_is_valid(tmp_path: Path) -> None:
    (block,) = readme_blocks("toml")
    file = tmp_path / "dialplane.toml"
    file.write_text(block)
    settings = load(file, {"DIALPLANE_STATE": str(tmp_path), "DIALPLANE_TRUNKS__0__PASSWORD": "secret"})
    assert settings.trunks[0].password.get_secret_value() == "secret"


def test_the_containers_configuration_is_valid(tmp_path: Path) -> None:
    settings = load(ROOT / ".ci/container.toml", {"DIALPLANE_STATE": str(tmp_path)})
    assert settings.trunks == ()


def test_the_readmes_application_is_a_program() -> None:
    (block,) = readme_blocks("python")
    compile(block, "app.py", "exec")


def test_the_changelog_begins_with_this_version() -> None:
    headings = re.findall(r"^## (.+)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    dated = [heading for heading in headings if heading != "Unreleased"]
    assert all(re.fullmatch(r"\d+\.\d+\.\d+ \(20\d\d-\d\d-\d\d\)", heading) for heading in dated)
    assert dated[0].split()[0] == PROJECT["version"]


def test_the_readmes_links_lead_somewhere() -> None:
    links = re.findall(r"\]\(([^)#]+)\)", (ROOT / "README.md").read_text())
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_every_rule_of_the_sip_core_has_a_test_named_after_it() -> None:
    """Rules 1 to 31 of what SIP stacks get wrong: `..._trap_7` or `...__trap7`, see docs/testing.md."""
    sources = "".join(file.read_text() for file in (ROOT / "tests").rglob("test_*.py"))
    found = {int(number) for number in re.findall(r"def test_\w*?_trap_?(\d+)\(", sources)}
    assert set(range(1, 32)) - found == set()
