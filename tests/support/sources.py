"""The project's own sources as the guards read them: which modules there are, what each imports and where. Nothing is executed."""

from __future__ import annotations

import ast
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("config", "media", "rcml", "server", "sip")  # the five top-level folders, which are imported by their names
MADE = frozenset({"__pycache__", "target", "build", "dist", "var"})


@dataclass(frozen=True, slots=True)
class Module:
    """name: as it is imported (`sip.core.session`; a package's own file by the package's name). path: from the project's folder."""

    name: str
    path: Path
    tree: ast.Module
    imports: tuple[tuple[str, int], ...]  # what it imports, by full name, and on which line; in functions and for types, too

    @property
    def place(self) -> tuple[str, ...]:
        """Folders and file: ("sip", "core", "session"); the own file of a package is its `__init__`."""
        return self.path.with_suffix("").parts

    def within(self, *names: str) -> bool:
        """Whether it is one of these modules or below one of these packages."""
        return is_within(self.name, names)


def is_within(name: str, names: tuple[str, ...]) -> bool:
    return any(name == each or name.startswith(f"{each}.") for each in names)


@cache
def files() -> tuple[Path, ...]:
    """All files of the project, from its folder; without what was built, installed or kept for speed."""
    found = []
    for folder, below, names in os.walk(ROOT):
        below[:] = sorted(name for name in below if name not in MADE and (not name.startswith(".") or name == ".ci"))
        found += [Path(folder).relative_to(ROOT) / name for name in sorted(names)]
    return tuple(found)


@cache
def sources() -> Mapping[str, Module]:
    """The modules of the five packages by name. Files of the Rust crate are none."""
    paths = [path for path in files() if path.parts[0] in PACKAGES and path.suffix == ".py" and not path.is_relative_to("media/worker")]
    names = {path: ".".join(path.with_suffix("").parts).removesuffix(".__init__") for path in paths}
    known = set(names.values())
    modules = {}
    for path, name in names.items():
        tree = ast.parse((ROOT / path).read_text(), str(path))
        modules[name] = Module(name, path, tree, tuple(sorted(set(_imports(tree, known)), key=lambda found: found[1])))
    return modules


def _imports(tree: ast.Module, known: set[str]) -> Iterator[tuple[str, int]]:
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                yield from ((each.name, node.lineno) for each in names)
            case ast.ImportFrom(module=str(module), names=names, level=0):
                for each in names:  # `from sip.core import events` means the module, `from sip.message import Request` the package
                    full = f"{module}.{each.name}"
                    yield (full if full in known else module), node.lineno
            case ast.ImportFrom():
                raise AssertionError(f"line {node.lineno}: relative imports hide which folder is meant")
            case _:
                pass


@cache
def prose() -> Mapping[str, str]:
    """What is written for people, by file: pages, docstrings and comments. Text that a program prints is not among it."""
    texts = {}
    for path in files():
        match path.suffix:
            case ".md":
                texts[str(path)] = (ROOT / path).read_text()
            case ".py":
                texts[str(path)] = "\n".join(_said((ROOT / path).read_text()))
            case ".rs" | ".c":
                texts[str(path)] = "\n".join(re.findall(r"//.*", (ROOT / path).read_text()))
            case _:
                pass
    return texts


def _said(source: str) -> Iterator[str]:
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    yield from (ast.get_docstring(node) or "" for node in ast.walk(ast.parse(source)) if isinstance(node, documented))
    yield from re.findall(r"(?:^|\s)#.*", source, re.MULTILINE)


def defines(module: Module, names: list[str]) -> bool:
    """Whether `names` lead to something in it: a class and then one of its methods or fields, for example."""
    body = module.tree.body
    for name in names:
        found = next((node for node in body if name in _defined(node)), None)
        if found is None:
            return False
        body = found.body if isinstance(found, ast.ClassDef) else []
    return True


def _defined(node: ast.stmt) -> set[str]:
    match node:
        case ast.ClassDef(name=name) | ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
            return {name}
        case ast.Assign(targets=targets):
            return {target.id for target in targets if isinstance(target, ast.Name)}
        case ast.AnnAssign(target=ast.Name(id=name)):
            return {name}
        case ast.Import(names=names) | ast.ImportFrom(names=names):
            return {each.asname or each.name for each in names}
        case _:
            return set()
