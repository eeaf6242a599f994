"""The shape of the project: who may import whom, that what stands side by side has an order, and that decisions are made without I/O.

Imports inside functions and those for types only (`TYPE_CHECKING`) count like all others: they tie two files together just as much.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator, Mapping

import pytest

from tests.support.sources import PACKAGES, Module, is_within, sources

# --- arrows -----------------------------------------------------------------------------------------------------------

SAID = ("server.calls.effects", "server.calls.records")  # what call control says to the others, as values

# What the modules below a name may import beside each other; the longest name that fits a module counts.
ARROWS: Mapping[str, tuple[str, ...]] = {
    # Three leaves that do not know each other. `sip` treats bodies as octets: whoever reads SDP is `media`.
    "sip": (),
    "sip.message": ("sip.errors",),
    "sip.core": ("sip.errors", "sip.message", "sip.settings"),
    "media": (),
    "media.sdp": ("media.engine", "media.errors", "media.settings"),
    "media.prompts": ("media.errors", "media.settings"),
    "rcml": (),
    # The only reader of files and environment puts the settings of all parts together.
    "config": ("sip.settings", "sip.transport.settings", "media.settings", "rcml.settings"),
    # Call control gets its policy as a value: it knows neither the configuration nor whoever carries out what it asks for.
    "server.calls": (
        "sip.core",
        "sip.errors",
        "sip.message",
        "sip.settings",
        "media.engine",
        "media.errors",
        "media.sdp",
        "media.settings",
        "rcml",
    ),
    "server.applications": ("config", "rcml.urls", *SAID),
    "server.observability": ("config", "media.engine", "sip.core", *SAID),
    "server.storage": ("config", *SAID),
    "server.timeline": ("config", "server.observability", "server.storage", *SAID),
    "server.api": (
        "config",
        "rcml.parameters",
        "server.calls.names",
        "server.calls.policy",
        "server.observability",
        "server.orders",
        "server.storage",
        "server.timeline",
        *SAID,
    ),
    # One file each on top of them; `server.app` is the shell around all, which only the command line and the demo start.
    "server.patterns": (),
    "server.overload": ("server.calls.effects",),
    "server.lag": ("media.engine", "server.overload"),
    "server.routing": ("config", "rcml.dialect", "server.calls.policy", "server.patterns", "sip.settings"),
    "server.trunks": ("sip.core", "sip.errors", "sip.message", *SAID),
    "server.reach": (
        "config",
        "server.applications.guard",
        "sip.core",
        "sip.errors",
        "sip.message",
        "sip.transport.resolver",
        "sip.transport.dns",
    ),
    "server.clients": ("config", "sip.core"),
    "server.events": ("config", "server.applications", "server.observability", "server.storage", *SAID),
    "server.limits": ("config",),
    "server.orders": ("rcml", "server.calls", "server.observability.clock", "server.storage.rows"),
    "server.recordings": (),
    "server.registrations": ("server.observability.clock", "server.storage.rows", "sip.core", "sip.message"),
    "server.signals": (),
    "server.turns": ("server.calls",),
    "server.voice": ("media.errors", "media.settings", "server.applications.failures"),
    "server.preflight": ("config", "media", "server.applications", "server.limits", "server.routing", "server.storage", "sip.transport"),
    "server.reload": ("config", "server.preflight", "server.routing"),
    "server.wiring": (
        "config",
        "media.engine",
        "server.api.access",
        "server.applications.signing",
        "server.calls",
        "server.observability.clock",
        "server.reach",
        "server.routing",
        "server.trunks.account",
        "sip.core",
        "sip.message",
        "sip.settings",
        "sip.transport.address",
    ),
    "server.app": (
        "config",
        "media",
        "sip",
        "server.api",
        "server.applications",
        "server.calls",
        "server.clients",
        "server.events",
        "server.lag",
        "server.observability",
        "server.orders",
        "server.overload",
        "server.reach",
        "server.recordings",
        "server.registrations",
        "server.routing",
        "server.signals",
        "server.storage",
        "server.timeline",
        "server.trunks",
        "server.turns",
        "server.voice",
        "server.wiring",
    ),
    "server.cli": (
        "config",
        "media",
        "server.app",
        "server.applications",
        "server.calls",
        "server.clients",
        "server.limits",
        "server.observability",
        "server.preflight",
        "server.reload",
        "server.routing",
        "server.signals",
        "server.storage",
        "server.timeline",
    ),
    "server.demo": ("config", "media", "sip", "server"),
    "server.__main__": ("server.cli",),
}


def arrows_of(module: Module) -> tuple[str, tuple[str, ...]] | None:
    """The name in the table that the module belongs to, and what it may import."""
    found = [name for name in ARROWS if module.within(name)]
    return (best := max(found, key=len), ARROWS[best]) if found else None


def ours(module: Module) -> Iterator[tuple[Module, int]]:
    """What a module imports of the project."""
    return ((sources()[name], line) for name, line in module.imports if name in sources())


def test_imports_follow_the_arrows_of_the_design() -> None:
    wrong = []
    for module in sources().values():
        if (arrows := arrows_of(module)) is None:
            if module.name != "server":
                wrong.append(f"{module.path}: say in ARROWS what it may import")
            continue
        name, allowed = arrows
        for imported, line in ours(module):
            if not imported.within(name, *allowed):
                wrong.append(f"{module.path}:{line} imports {imported.name}: `{name}` may import {', '.join(allowed) or 'nothing else'}")
    assert wrong == []


def test_every_arrow_is_of_a_module_that_exists() -> None:
    named = {*ARROWS, *(name for allowed in ARROWS.values() for name in allowed)}
    assert sorted(named - sources().keys()) == []


def test_programs_are_imported_by_nobody() -> None:
    """A `__main__.py` or a `..._child.py` is started, not imported, but for what a test wants of it."""
    programs = {name for name in sources() if name.endswith((".__main__", "_child"))}
    assert programs
    assert [f"{module.path}:{line}" for module in sources().values() for name, line in module.imports if name in programs] == []


def test_only_the_five_packages_and_their_requirements_are_imported() -> None:
    """The sources use nothing of the tests: they are installed without them."""
    assert [f"{module.path}:{line}" for module in sources().values() for name, line in module.imports if is_within(name, ("tests",))] == []


# --- order ------------------------------------------------------------------------------------------------------------


def side_by_side() -> dict[str, dict[str, set[str]]]:
    """For each folder its files and folders, and which of these imports which, a folder standing for all that is in it.

    With no circle in any of these graphs there is none among files or folders anywhere: the files of a circle part ways in one folder.
    """
    levels: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for module in sources().values():
        for imported, _ in ours(module):
            a, b = module.place, imported.place
            depth = next((i for i, (one, other) in enumerate(zip(a, b, strict=False)) if one != other), min(len(a), len(b)))
            if depth < min(len(a), len(b)):
                levels["/".join(a[:depth])][a[depth]].add(b[depth])
    return levels


def in_circles(graph: Mapping[str, set[str]]) -> set[str]:
    """The nodes from which a way leads back to them."""
    found = set()
    for start in graph:
        seen: set[str] = set()
        ahead = set(graph[start])
        while ahead:
            node = ahead.pop()
            seen.add(node)
            ahead |= graph.get(node, set()) - seen
        if start in seen:
            found.add(start)
    return found


def test_what_stands_side_by_side_has_an_order() -> None:
    """No circle of files, and none of folders."""
    found = {folder: sorted(in_circles(graph)) for folder, graph in side_by_side().items()}
    assert {folder: names for folder, names in found.items() if names} == {}, "these import each other"


@pytest.mark.parametrize(
    ("graph", "circles"),
    [
        ({"a": {"b"}, "b": {"c"}}, set()),
        ({"a": {"b"}, "b": {"a"}, "c": {"a"}}, {"a", "b"}),
        ({"a": {"b", "d"}, "b": {"c"}, "c": {"a"}, "d": set()}, {"a", "b", "c"}),
    ],
)
def test_circles_are_found(graph: dict[str, set[str]], circles: set[str]) -> None:
    assert in_circles(graph) == circles


# --- purity -----------------------------------------------------------------------------------------------------------

# Decisions, and values: no sockets, no clock, no chance, no files, no tasks and no log (docs/decisions/0004-sans-io-core.md).
PURE = (
    "config.denied",
    "config.errors",
    "config.peers",
    "config.section",
    "config.settings",
    "config.types",
    "media.engine",
    "media.errors",
    "media.sdp",
    "media.settings",
    "rcml",
    "server.calls",
    "server.lag",
    "server.observability.redaction",
    "server.overload",
    "server.patterns",
    "server.routing",
    "server.storage.rows",
    "server.timeline.ladder",
    "sip.core",
    "sip.errors",
    "sip.message",
    "sip.settings",
    "sip.transport.settings",
)

# All that they import from elsewhere. None of these looks at the world; `datetime` for its types only, see CLOCKS.
HARMLESS = (
    *("__future__", "abc", "collections", "contextlib", "dataclasses", "enum", "functools", "heapq", "itertools", "re", "types", "typing"),
    *("base64", "binascii", "codecs", "datetime", "hashlib", "hmac", "ipaddress", "math", "textwrap", "unicodedata", "urllib.parse"),
    *("lxml", "msgspec", "pydantic"),
)
CLOCKS = {"now", "utcnow", "today"}  # of datetime and date
OPENING = {"open", "print", "input", "breakpoint", "exec", "eval", "__import__"}


def pure() -> list[Module]:
    return [module for module in sources().values() if module.within(*PURE)]


def test_every_pure_part_exists() -> None:
    assert sorted(set(PURE) - sources().keys()) == []
    assert len(pure()) > 80


def test_pure_parts_import_nothing_that_looks_at_the_world() -> None:
    """`asyncio socket time random os secrets threading subprocess logging` and all else that is not on the list of the harmless."""
    wrong = [
        f"{module.path}:{line} imports {name}"
        for module in pure()
        for name, line in module.imports
        if not is_within(name, HARMLESS) and not is_within(name, PACKAGES)
    ]
    assert wrong == []


def test_pure_parts_import_only_pure_parts() -> None:
    found = ((module, imported, line) for module in pure() for imported, line in ours(module))
    assert [f"{module.path}:{line} imports {imported.name}" for module, imported, line in found if not imported.within(*PURE)] == []


def test_pure_parts_read_no_clock_and_open_no_file() -> None:
    wrong = []
    for node, where in (
        (node, f"{module.path}:{node.lineno}") for module in pure() for node in ast.walk(module.tree) if isinstance(node, ast.Call)
    ):
        match node.func:
            case ast.Attribute(value=ast.Name(id="datetime" | "date") | ast.Attribute(attr="datetime" | "date"), attr=name) if (
                name in CLOCKS
            ):
                wrong.append(f"{where} reads the clock")
            case ast.Name(id=name) if name in OPENING:
                wrong.append(f"{where} calls {name}()")
    assert wrong == []


def test_pure_parts_are_no_coroutines() -> None:
    """A wait is a state with a name: nothing in them is awaited."""
    waits = (ast.AsyncFunctionDef, ast.Await, ast.AsyncFor, ast.AsyncWith)
    assert [f"{module.path}:{node.lineno}" for module in pure() for node in ast.walk(module.tree) if isinstance(node, waits)] == []
