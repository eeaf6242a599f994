"""The reference of all knobs: complete, in step with its copies, and free of secrets."""

from __future__ import annotations

import tomllib
from pathlib import Path

from config.load import known_keys, load
from config.reference import effective_toml, reference_markdown, reference_toml
from config.settings import Settings

ROOT = Path(__file__).parents[3]


def test_defaults_file_is_the_generated_reference() -> None:
    assert (ROOT / "config/defaults.toml").read_text(encoding="utf-8") == reference_toml(), "run: dialplane config --reference"


def test_documentation_holds_the_generated_table() -> None:
    assert reference_markdown() in (ROOT / "docs/configuration.md").read_text(encoding="utf-8"), "run: dialplane config --markdown"


def test_reference_read_back_gives_the_defaults() -> None:
    assert Settings.model_validate(tomllib.loads(reference_toml())) == Settings()


def test_examples_in_the_reference_are_valid() -> None:
    """The commented settings too: taken out of their comments they make a configuration."""
    text = "\n".join(
        line.removeprefix("#") if line.startswith("#") and not line.startswith("# ") else line for line in reference_toml().splitlines()
    )
    settings = Settings.model_validate(tomllib.loads(text))
    assert [trunk.name for trunk in settings.trunks] == ["carrier"]
    assert [number.number for number in settings.numbers] == ["+12223334455"]


def test_every_knob_has_one_sentence() -> None:
    for path, field in known_keys():
        assert field.description, path
        assert field.description.endswith("."), path


def test_every_number_of_seconds_or_octets_says_its_unit() -> None:
    for path, field in known_keys():
        if field.annotation is float:
            assert str(path[-1]).endswith(("_s", "_days")), path


def test_effective_settings_hide_secrets(tmp_path: Path) -> None:
    file = tmp_path / "a.toml"
    file.write_text(
        '[server]\napi_token = "hunter1"\n[storage]\nurl = "postgresql+asyncpg://u:hunter2@db/x"\n'
        '[[trunks]]\nname = "a"\nusername = "u"\npassword = "hunter3"\n'
        '[[numbers]]\nnumber = "1"\nvoice_url = "https://u:hunter4@app/x"\n'
    )
    shown = effective_toml(load(file, {"DIALPLANE_STATE": str(tmp_path)}))
    assert "hunter" not in shown
    assert 'url = "postgresql+asyncpg://u:***@db/x"' in shown
    tomllib.loads(shown)
