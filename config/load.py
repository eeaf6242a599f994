"""Reads the configuration: one TOML file, then environment variables over it, then the checks of the models.

A variable is `DIALPLANE_` and the key's path in capitals, two underscores between the parts: `DIALPLANE_SIP__LISTEN`,
`DIALPLANE_MEDIA__PROMPTS__CACHE_DIR`, `DIALPLANE_TRUNKS__0__PASSWORD` (entries of a list by number, from 0; the next number
adds one). Lists are separated by commas, or written as in TOML: `["a", "b"]`; tables as in TOML: `{ "X-Id" = "7" }`.

Two variables are not settings: DIALPLANE_CONFIG names the file, DIALPLANE_STATE the default of server.state_dir. Variables
without two underscores are otherwise left alone (container platforms inject such names: DIALPLANE_PORT_5060_UDP), unless
they spell a setting with single underscores, which is a slip worth telling.
"""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, SecretStr, ValidationError
from pydantic.fields import FieldInfo

from config.errors import ConfigError, Problem
from config.hiding import HIDDEN, hide_urls, is_secret_name
from config.settings import Settings

PREFIX = "DIALPLANE_"
CONFIG_VARIABLE = "DIALPLANE_CONFIG"
STATE_VARIABLE = "DIALPLANE_STATE"
SEARCHED = (Path("dialplane.toml"), Path("/etc/dialplane/dialplane.toml"))

KeyPath = tuple[str | int, ...]


class Source:
    """Where a key came from: a variable, or a line of the file."""

    def __init__(self, file: Path | None, text: str) -> None:
        self._file = file
        self._lines = _lines_of_keys(text)
        self.variables: dict[KeyPath, str] = {}

    def is_in_file(self, path: KeyPath) -> bool:
        """Whether the file says it, and no variable instead."""
        return path in self._lines and path not in self.variables

    def of(self, path: KeyPath) -> str:
        for end in range(len(path), 0, -1):
            if path[:end] in self.variables:
                return self.variables[path[:end]]
        if path and any(known[: len(path)] == path for known in self.variables):
            return "environment"
        if self._file is None:
            return "settings"
        for end in range(len(path), 0, -1):
            if path[:end] in self._lines:
                return f"{self._file}:{self._lines[path[:end]]}"
        return str(self._file)


@dataclass(frozen=True, slots=True)
class Loaded:
    """Settings, and where each came from."""

    settings: Settings
    source: Source
    file: Path | None


def load(path: str | os.PathLike[str] | None = None, environ: Mapping[str, str] | None = None) -> Settings:
    """The effective settings. See `load_with_source`."""
    return load_with_source(path, environ).settings


def load_with_source(path: str | os.PathLike[str] | None = None, environ: Mapping[str, str] | None = None) -> Loaded:
    """The effective settings, each valid for itself; whether they fit together and the machine, `server.preflight` says.

    Args:
        path: the file; None looks at $DIALPLANE_CONFIG, ./dialplane.toml and /etc/dialplane/dialplane.toml, and does without.
        environ: the environment; None means the process's own.
    Raises:
        ConfigError: with everything that is wrong.
    """
    environ = os.environ if environ is None else environ
    file = find_file(path, environ)
    raw, text = _read(file) if file is not None else ({}, "")
    source = Source(file, text)
    problems = _apply_environment(raw, environ, source) + _relative_state(raw, file, environ, source)
    try:
        settings = Settings.model_validate(raw)
    except ValidationError as error:
        found = error.errors(include_url=False)
        inner = {detail["loc"][:-1] for detail in found}  # a list is too short because its entries are wrong: said already
        problems += [_problem(dict(detail), source) for detail in found if not (detail["type"] == "too_short" and detail["loc"] in inner)]
    if problems:
        raise ConfigError(problems)
    return Loaded(_resolve_paths(settings, file, environ), source, file)


def find_file(path: str | os.PathLike[str] | None, environ: Mapping[str, str]) -> Path | None:
    """The file that `load` reads. ConfigError when one is named that is not there."""
    named = path if path is not None else environ.get(CONFIG_VARIABLE)
    if named:
        file = Path(named).expanduser()
        if not file.is_file():
            said = "" if path is not None else f" (named by ${CONFIG_VARIABLE})"
            raise ConfigError([Problem(str(file), "", f"there is no such file{said}")])
        return file
    return next((file for file in SEARCHED if file.is_file()), None)


def _read(file: Path) -> tuple[dict[str, Any], str]:
    try:
        text = file.read_text(encoding="utf-8")
        return tomllib.loads(text), text
    except tomllib.TOMLDecodeError as error:
        raise ConfigError([Problem(str(file), "", f"this is not TOML: {error}")]) from None
    except UnicodeDecodeError:
        raise ConfigError([Problem(str(file), "", "this is not UTF-8 text")]) from None
    except OSError as error:
        raise ConfigError([Problem(str(file), "", f"cannot be read: {error.strerror}")]) from None


# --- the environment ----------------------------------------------------------------------------------------------


def _apply_environment(raw: dict[str, Any], environ: Mapping[str, str], source: Source) -> list[Problem]:
    """Write the variables into `raw`; what does not fit comes back."""
    problems = []
    flat = {"_".join(str(part) for part in path).upper(): path for path, _ in known_keys()}
    # Sorted with the numbers as numbers, so that TRUNKS__10 comes after TRUNKS__9.
    named = sorted((n for n in environ if n.startswith(PREFIX)), key=lambda n: [p.zfill(6) for p in n.split("__")])
    for name in named:
        if name in (CONFIG_VARIABLE, STATE_VARIABLE):
            continue
        rest = name.removeprefix(PREFIX)
        if "__" not in rest:
            if (slip := flat.get(rest.upper())) is not None:
                problems.append(
                    Problem(name, "", "this is no setting", f"Write {variable_of(slip)}, with two underscores between the parts.")
                )
            continue
        path: KeyPath = tuple(int(part) if part.isdigit() else part.lower() for part in rest.split("__"))
        field = field_at(path)
        if field is None:
            near = _nearest_variable(rest)
            problems.append(Problem(name, "", "there is no such setting", f"Did you mean {near}?" if near else ""))
            continue
        try:
            value = _from_text(field.annotation, environ[name])
        except ValueError as error:
            problems.append(Problem(name, dotted(path), str(error)))
            continue
        if (trouble := _put(raw, path, value)) is not None:
            problems.append(Problem(name, dotted(path), trouble))
            continue
        source.variables[path] = name
    return problems


def _from_text(annotation: Any, text: str) -> Any:
    """What a variable's text says, given the type of its field. Scalars are left to the model."""
    kind = plain_type(annotation)
    if get_origin(kind) in (tuple, list):
        stripped = text.strip()
        return _toml_value(stripped) if stripped.startswith("[") else [part.strip() for part in stripped.split(",") if part.strip()]
    if get_origin(kind) is dict:
        return _toml_value(text.strip()) if text.strip() else {}
    return text


def _toml_value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"cannot be read as a TOML value: {error}") from None


def _put(raw: dict[str, Any], path: KeyPath, value: Any) -> str | None:
    """Write into nested tables and lists, making what is missing. Returns what hinders it."""
    here: Any = raw
    for depth, part in enumerate(path):
        last = depth == len(path) - 1
        made: Any = value if last else ([] if isinstance(path[depth + 1], int) else {})
        if isinstance(part, int):
            if not isinstance(here, list):
                return "stands in something that is no list"
            if part > len(here):
                return f"entry {part} would leave a gap: the next free one is {len(here)}"
            if part == len(here):
                here.append(made)
            elif last:
                here[part] = value
        else:
            if not isinstance(here, dict):
                return "stands in something that is no table"
            if last:
                here[part] = value
            else:
                here.setdefault(part, made)
        here = here[part]
    return None


def variable_of(path: KeyPath) -> str:
    return PREFIX + "__".join(str(part) for part in path).upper()


def _nearest_variable(rest: str) -> str | None:
    known = {variable_of(path): None for path, _ in known_keys()}
    found = difflib.get_close_matches(PREFIX + rest.upper(), list(known), n=1, cutoff=0.6)
    return found[0] if found else None


# --- walking the models -------------------------------------------------------------------------------------------


def plain_type(annotation: Any) -> Any:
    """A type without Annotated and without the None of an optional."""
    while True:
        if get_origin(annotation) is Annotated:
            annotation = get_args(annotation)[0]
        elif get_origin(annotation) in (Union, UnionType):
            kinds = [kind for kind in get_args(annotation) if kind is not NoneType]
            if len(kinds) != 1:
                return annotation
            annotation = kinds[0]
        else:
            return annotation


def model_of(annotation: Any) -> type[BaseModel] | None:
    """The model of a table, or of the entries of a list of tables."""
    kind = plain_type(annotation)
    if get_origin(kind) in (tuple, list):
        kind = plain_type(get_args(kind)[0])
    return kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None


def is_list_of_tables(annotation: Any) -> bool:
    return get_origin(plain_type(annotation)) in (tuple, list) and model_of(annotation) is not None


def field_at(path: KeyPath) -> FieldInfo | None:
    """The field that a path names, a number standing for an entry of a list. None: there is none, or it is a table."""
    model: type[BaseModel] | None = Settings
    field: FieldInfo | None = None
    for part in path:
        if isinstance(part, int):
            if field is None or not is_list_of_tables(field.annotation):
                return None
            continue
        if model is None:
            return None
        field = model.model_fields.get(part)
        if field is None:
            return None
        model = model_of(field.annotation)
    return field if model is None else None


def _model_at(path: KeyPath) -> type[BaseModel] | None:
    model: type[BaseModel] | None = Settings
    for part in path:
        if isinstance(part, int) or model is None:
            continue
        field = model.model_fields.get(part)
        model = model_of(field.annotation) if field is not None else None
    return model


def known_keys(model: type[BaseModel] = Settings, at: KeyPath = ()) -> Iterator[tuple[KeyPath, FieldInfo]]:
    """Every knob with its path; entries of lists of tables appear as number 0."""
    for name, field in model.model_fields.items():
        inner = model_of(field.annotation)
        if inner is None:
            yield (*at, name), field
        else:
            yield from known_keys(inner, (*at, name, 0) if is_list_of_tables(field.annotation) else (*at, name))


def dotted(path: KeyPath) -> str:
    """`trunks[0].proxy`"""
    out = ""
    for part in path:
        out += f"[{part}]" if isinstance(part, int) else f".{part}" if out else part
    return out


# --- saying what is wrong -----------------------------------------------------------------------------------------


def _problem(error: dict[str, Any], source: Source) -> Problem:
    """One finding of the models, in the operator's words."""
    path: KeyPath = tuple(part for part in error["loc"] if part != "[key]")
    where, key = source.of(path), dotted(path)
    if error["type"] == "extra_forbidden":
        return Problem(where, key, "there is no such setting", _hint(path))
    if error["type"] == "missing":
        name = str(path[-1])
        field = field_at(path)
        return Problem(where, key, f"{name} is missing", f"{name}: {field.description}" if field is not None else "")
    message = hide_urls(str(error["msg"]).removeprefix("Value error, "))
    if not path and (found := _NAMED.fullmatch(message)) is not None:
        path = tuple(int(part) if part.isdigit() else part for part in re.findall(r"\w+", found[1]))
        return Problem(source.of(path), found[1], found[2])
    model = _model_at(path)
    if model is not None and path:
        name = str(path[0])
        message = "is a list of tables" if len(path) == 1 and is_list_of_tables(Settings.model_fields[name].annotation) else "is a table"
        brackets = f"[[{name}]]" if message == "is a list of tables" else f"[{key}]"
        if error["type"] == "value_error":
            return Problem(where, key, str(error["msg"]).removeprefix("Value error, "))
        return Problem(where, key, message, f"Write {brackets} on a line of its own and its settings below it.")
    field = field_at(path) or field_at(path[:-1])  # of a list's entry, the list
    if field is None:
        return Problem(where, key, message)
    if error["type"] != "value_error":
        is_secret = plain_type(field.annotation) is SecretStr or is_secret_name(str(path[-1]))
        said = HIDDEN if is_secret else hide_urls(repr(error["input"]))
        message = f"{said} will not do: {message[0].lower()}{message[1:]}"
    default = f" Default: {field.default}." if isinstance(field.default, str | int | float) and field.default != "" else ""
    return Problem(where, key, message, f"{path[-1] if not isinstance(path[-1], int) else path[-2]}: {field.description}{default}")


def _hint(path: KeyPath) -> str:
    """The nearest key that exists: beside the unknown one, or in another section."""
    name = str(path[-1])
    model = _model_at(path[:-1])
    siblings = list(model.model_fields) if model is not None else []
    if near := difflib.get_close_matches(name.lower().replace("-", "_"), siblings, n=1, cutoff=0.6):
        return f"Did you mean {near[0]}?"
    elsewhere = [dotted(known).replace("[0]", "[]") for known, _ in known_keys() if known[-1] == name]
    if elsewhere:
        return f"That name is known as {', '.join(elsewhere)}."
    everywhere = {str(known[-1]): known for known, _ in known_keys()}
    if near := difflib.get_close_matches(name, list(everywhere), n=1, cutoff=0.75):
        return f"Did you mean {dotted(everywhere[near[0]]).replace('[0]', '[]')}?"
    return f"Known here: {', '.join(siblings)}." if siblings else ""


_NAMED = re.compile(r"([a-z]\w*(?:\[\d+\])?(?:\.\w+)+): (.*)", re.DOTALL)
_HEADER = re.compile(r"\s*(\[\[?)\s*([A-Za-z0-9_.\-\s]+?)\s*\]\]?\s*(?:#.*)?$")
_KEY = re.compile(r"\s*([A-Za-z0-9_\-]+(?:\s*\.\s*[A-Za-z0-9_\-]+)*)\s*=")


def _lines_of_keys(text: str) -> dict[KeyPath, int]:
    """Line numbers of tables and keys, as far as a glance tells (bare keys; the contents of long strings may mislead)."""
    lines: dict[KeyPath, int] = {}
    counts: dict[str, int] = {}
    at: KeyPath = ()
    for number, line in enumerate(text.splitlines(), 1):
        if found := _HEADER.match(line):
            name = found[2].replace(" ", "")
            at = tuple(name.split("."))
            if found[1] == "[[":
                counts[name] = counts.get(name, -1) + 1
                at = (*at, counts[name])
            elif len(at) > 1 and at[0] in counts:  # [trunks.headers] belongs to the last [[trunks]]
                at = (at[0], counts[str(at[0])], *at[1:])
            lines.setdefault(at, number)
        elif found := _KEY.match(line):
            lines.setdefault((*at, *(part.strip() for part in found[1].split("."))), number)
    return lines


# --- paths --------------------------------------------------------------------------------------------------------


def _relative_state(raw: Mapping[str, Any], file: Path | None, environ: Mapping[str, str], source: Source) -> list[Problem]:
    """Two programs that are started in two directories would have two states: tools would look at one, the server at the other."""
    server = raw.get("server")
    named = server.get("state_dir") if isinstance(server, dict) else None
    where = source.of(("server", "state_dir"))
    if not named:
        named, where = environ.get(STATE_VARIABLE), STATE_VARIABLE
    if not isinstance(named, str) or not named.strip() or Path(named.strip()).expanduser().is_absolute():
        return []
    base = file.parent if file is not None and where.startswith(str(file)) else Path()
    whole = (base / named.strip()).absolute()
    return [Problem(where, "server.state_dir", f'"{named}" is a relative path', f'Write the whole path, such as "{whole}".')]


def default_state_dir(environ: Mapping[str, str]) -> Path:
    if named := environ.get(STATE_VARIABLE):
        return Path(named).expanduser()
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        return Path("/var/lib/dialplane")
    base = environ.get("XDG_STATE_HOME")
    return (Path(base) if base else Path("~/.local/state").expanduser()) / "dialplane"


def _resolve_paths(settings: Settings, file: Path | None, environ: Mapping[str, str]) -> Settings:
    """Fill in what is derived from the state directory; relative paths count from the file's directory, or the current one."""
    base = file.parent if file is not None else Path()

    def absolute(text: str) -> str:
        return str((base / Path(text).expanduser()).absolute())

    server, media, http, storage = settings.server, settings.media, settings.http, settings.storage
    state = Path(absolute(server.state_dir) if server.state_dir else str(default_state_dir(environ).absolute()))

    def derived(text: str, name: str) -> str:
        return absolute(text) if text else str(state / name)

    return settings.model_copy(
        update={
            "server": server.model_copy(update={"state_dir": str(state)}),
            "http": http.model_copy(update={"ca_file": absolute(http.ca_file) if http.ca_file else ""}),
            "storage": storage.model_copy(update={"url": storage.url or f"sqlite+aiosqlite:///{state / 'dialplane.db'}"}),
            "media": media.model_copy(
                update={
                    "socket_path": derived(media.socket_path, "media.sock"),
                    "recordings_dir": derived(media.recordings_dir, "recordings"),
                    "prompts": media.prompts.model_copy(update={"cache_dir": derived(media.prompts.cache_dir, "prompts")}),
                    "speech": media.speech.model_copy(update={"cache_dir": derived(media.speech.cache_dir, "speech")}),
                }
            ),
        }
    )
