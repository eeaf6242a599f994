"""Secrets of the settings are not shown, wherever an operator may have written them."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from config.errors import ConfigError
from config.hiding import hide_arguments, hide_headers, hide_url, hide_urls
from config.load import load
from config.reference import effective_toml


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://app.example.com/voice", "https://app.example.com/voice"),
        ("https://u:hush@app.example.com/voice", "https://u:***@app.example.com/voice"),
        ("https://app.example.com/voice?token=hush&k=hush&flag&empty=", "https://app.example.com/voice?token=***&k=***&flag&empty="),
        ("https://app.example.com/v#hush", "https://app.example.com/v#***"),
        ("https://u:hush@[::1]:8080/v?a=hush", "https://u:***@[::1]:8080/v?a=***"),
        ("postgresql+asyncpg://u:hush@db/x?password=hush", "postgresql+asyncpg://u:***@db/x?password=***"),
        ("sqlite+aiosqlite:////var/lib/dialplane/dialplane.db", "sqlite+aiosqlite:////var/lib/dialplane/dialplane.db"),
        ("http://u:hush@[broken/?a=hush", "http://***@[broken/"),
        ("/voice?token=hush", "/voice?token=***"),
    ],
)
def test_a_url_keeps_its_place_and_loses_what_opens_it(url: str, shown: str) -> None:
    assert hide_url(url) == shown


def test_urls_inside_a_text_are_found() -> None:
    assert hide_urls('"ftp://u:hush@x/?t=hush" is not an http URL') == '"ftp://u:***@x/?t=***" is not an http URL'


def test_headers_that_are_named_like_a_secret_are_hidden() -> None:
    headers = {"X-Api-Key": "hush", "Authorization": "hush", "X-Sig": "hush", "X-Tenant": "7", "X-Hook": "https://h/?t=hush"}
    assert hide_headers(headers) == {
        "X-Api-Key": "***",
        "Authorization": "***",
        "X-Sig": "***",
        "X-Tenant": "7",
        "X-Hook": "https://h/?t=***",
    }


def test_options_that_are_named_like_a_secret_are_hidden() -> None:
    given = ("say", "--api-key=hush", "--token", "hush", "--voice", "{voice}", "-o", "{output}", "--url=https://h/?k=hush")
    shown = ("say", "--api-key=***", "--token", "***", "--voice", "{voice}", "-o", "{output}", "--url=https://h/?k=***")
    assert hide_arguments(given) == shown


SECRETS = """
[server]
api_token = "hush1"
recording_key = "hush2"
[storage]
url = "postgresql+asyncpg://u:hush3@db/x?password=hush4"
[media.speech]
command = ["say", "--key", "hush5", "--secret=hush6", "{output}"]
[[trunks]]
name = "a"
username = "u"
password = "hush7"
proxy = "sip:gw.example.com"
headers = { "X-Token" = "hush8", "X-Id" = "7" }
[[numbers]]
number = "1"
voice_url = "https://u:hush9@app/x?token=hush10&tenant=hush11"
fallback_url = "https://app/x?key=hush12"
status_callback = "/x?sig=hush13"
"""


def test_the_settings_in_force_are_shown_without_any_secret(tmp_path: Path) -> None:
    file = tmp_path / "a.toml"
    file.write_text(SECRETS)
    shown = effective_toml(load(file, {"DIALPLANE_STATE": str(tmp_path)}))
    assert "hush" not in shown
    assert tomllib.loads(shown)["trunks"][0]["headers"] == {"X-Token": "***", "X-Id": "7"}


@pytest.mark.parametrize(
    "text",
    [
        '[[numbers]]\nnumber = "1"\nvoice_url = "ftp://u:hush@x/?token=hush"\n',
        '[[numbers]]\nnumber = "1"\nvoice_url = "https://u:hush@a b/"\n',
        '[server]\napi_token = ["hush"]\n',
        '[server]\napi_token = "hush hush"\n',
        '[server]\npublic_url = "https://u:hush@h/?token=hush"\n',
        '[[trunks]]\nname = "t"\nheaders = { "X-Token" = ["hush"] }\n',
        '[[trunks]]\nname = "t"\nusername = "u"\npassword = { a = "hush" }\n',
    ],
)
def test_what_is_wrong_is_told_without_secrets(tmp_path: Path, text: str) -> None:
    file = tmp_path / "a.toml"
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load(file, {"DIALPLANE_STATE": str(tmp_path)})
    assert "hush" not in str(caught.value)
