"""The reference of all knobs, made from the models: annotated TOML, a Markdown table, and the effective settings.

`config/defaults.toml` and the table in `docs/configuration.md` are this module's output; a test holds them equal. Write them
anew with `dialplane config --reference` and `dialplane config --markdown`.
"""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator
from enum import Enum
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

from config.hiding import HIDDEN, hide_arguments, hide_headers, hide_url, hide_urls
from config.load import KeyPath, is_list_of_tables, model_of, plain_type, variable_of
from config.settings import Settings

_WIDTH = 118


def toml_value(value: Any) -> str:
    """A value as TOML writes it. Secrets are hidden, except that an empty one is seen to be empty."""
    match value:
        case SecretStr():
            return toml_value(HIDDEN if value.get_secret_value() else "")
        case bool():
            return "true" if value else "false"
        case int() | float():
            return repr(value)
        case Enum():
            return toml_value(value.value)
        case dict():
            inner = ", ".join(f"{json.dumps(str(key), ensure_ascii=False)} = {toml_value(entry)}" for key, entry in value.items())
            return f"{{ {inner} }}" if inner else "{}"
        case list() | tuple():
            return "[" + ", ".join(toml_value(entry) for entry in value) + "]"
        case _:
            return json.dumps(str(value), ensure_ascii=False)  # JSON's escapes are TOML's


def reference_toml() -> str:
    """Every knob with its sentence, its default and its limits. Reading it back gives the defaults."""
    out = [
        "# Every setting of dialplane with its default. This page is made from the program; a file of your own needs only what differs.",
        "# Each can be set by an environment variable too: DIALPLANE_HTTP__TIMEOUT_S=3 is timeout_s of [http].",
        "# Lines that begin with # and a blank explain; settings that begin with # are examples.",
    ]
    for path, name, model in _sections(Settings):
        field = _field_of(path)
        listed = is_list_of_tables(field.annotation)
        out += ["", *_comment(_sentence(model)), f"#[[{name}]]" if listed else f"[{name}]"]
        if listed:
            out += _comment(f"One for each; the variables are {variable_of((*path, 0, '...')).replace('...', '<KEY>')} and so on.")
        for key, knob in model.model_fields.items():
            if model_of(knob.annotation) is not None:
                continue
            out += _comment(_about(knob))
            value = _default(knob)
            shown = _wrapped(key, value if value is not None else _example(name, key))
            out.append(f"#{shown}" if listed or value is None else shown)
    return "\n".join(out) + "\n"


def reference_markdown() -> str:
    """The same as Markdown, a table for each section."""
    out: list[str] = []
    for path, name, model in _sections(Settings):
        listed = is_list_of_tables(_field_of(path).annotation)
        out += [
            f"### `[[{name}]]`" if listed else f"### `[{name}]`",
            "",
            _sentence(model),
            "",
            "| key | default | what it is |",
            "|---|---|---|",
        ]
        for key, knob in model.model_fields.items():
            if model_of(knob.annotation) is not None:
                continue
            value = _default(knob)
            shown = (
                "*required*" if knob.is_required() else "*left out*" if value is None else f"`{value}`" if len(value) < 80 else "see below"
            )
            out.append(f"| `{key}` | {shown} | {_about(knob)} |".replace("|`", "| `"))
            if len(value or "") >= 80:
                out[-1] = out[-1].replace("see below", "*a list; see `config/defaults.toml`*")
        out.append("")
    return "\n".join(out).rstrip("\n") + "\n"


def effective_toml(settings: Settings) -> str:
    """The settings as they are in force, as TOML, secrets hidden."""
    out: list[str] = []
    for path, name, model in _sections(Settings):
        if is_list_of_tables(_field_of(path).annotation):
            for entry in getattr(settings, str(path[0])):
                out += [*([""] if out else []), f"[[{name}]]", *_lines(entry, model)]
        else:
            here: Any = settings
            for part in path:
                here = getattr(here, str(part))
            out += [*([""] if out else []), f"[{name}]", *_lines(here, model)]
    return "\n".join(out) + "\n"


def _lines(values: BaseModel, model: type[BaseModel]) -> Iterator[str]:
    for key, field in model.model_fields.items():
        if model_of(field.annotation) is not None:
            continue
        value = getattr(values, key)
        if value is None:
            continue
        yield f"{key} = {toml_value(_hidden(value))}"


def _hidden(value: Any) -> Any:
    match value:
        case str():
            return hide_url(value) if value.startswith("/") and "?" in value else hide_urls(value)
        case dict():
            return hide_headers(value)
        case tuple() if value and all(isinstance(entry, str) for entry in value):
            return hide_arguments(value)
    return value


def _sections(model: type[BaseModel], at: KeyPath = ()) -> Iterator[tuple[KeyPath, str, type[BaseModel]]]:
    for name, field in model.model_fields.items():
        inner = model_of(field.annotation)
        if inner is not None:
            path = (*at, name)
            yield path, ".".join(str(part) for part in path), inner
            yield from _sections(inner, path)


def _field_of(path: KeyPath) -> FieldInfo:
    model: type[BaseModel] = Settings
    field: FieldInfo | None = None
    for part in path:
        field = model.model_fields[str(part)]
        model = model_of(field.annotation) or model
    assert field is not None
    return field


def _sentence(model: type[BaseModel]) -> str:
    return " ".join((model.__doc__ or "").strip().split("\n\n")[0].split())


def _default(field: FieldInfo) -> str | None:
    if field.is_required() or field.default is None:
        return None
    return toml_value(field.get_default(call_default_factory=True))


def _example(section: str, key: str) -> str:
    if (section, key) == ("clients", "name"):
        return '"alice"'
    return {
        "name": '"carrier"',
        "number": '"+12223334455"',
        "voice_url": '"https://app.example.com/voice"',
        "answer_delay": "true",
        "srtp": '"mandatory"',
    }.get(key, '""')


def _wrapped(key: str, value: str) -> str:
    """`key = value`; a long list with its entries on lines of their own."""
    line = f"{key} = {value}"
    if len(line) <= _WIDTH or not value.startswith("["):
        return line
    rows = textwrap.wrap(value[1:-1] + ",", _WIDTH - 4, break_long_words=False, break_on_hyphens=False)
    return "\n".join([f"{key} = [", *(f"    {row}" for row in rows), "]"])


def _about(field: FieldInfo) -> str:
    """Its sentence, with the choices or limits that the type has and the sentence does not say."""
    kind = plain_type(field.annotation)
    text = field.description or ""
    if get_origin(kind) is Literal:
        choices = [str(choice) for choice in get_args(kind)]
        if not all(choice in text for choice in choices):
            text += f" One of: {', '.join(choices)}."
    limits = []
    for metadata in field.metadata:
        for word, sign in (("ge", "at least"), ("gt", "more than"), ("le", "at most"), ("lt", "less than")):
            limit = getattr(metadata, word, None)
            if limit is not None:
                limits.append(f"{sign} {limit:g}" if isinstance(limit, float) else f"{sign} {limit}")
    if limits and limits != ["at least 0"]:
        text += f" ({', '.join(limits)})"
    return text


def _comment(text: str) -> list[str]:
    return [f"# {line}" for line in textwrap.wrap(text, _WIDTH, break_long_words=False, break_on_hyphens=False)]
