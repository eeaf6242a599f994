"""Reading the configuration: the file, the environment over it, and what is said when something is wrong."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from config.errors import ConfigError, Problem
from config.load import load
from config.settings import Settings


def give(tmp_path: Path, text: str, environ: Mapping[str, str] = {}) -> Settings:
    file = tmp_path / "dialplane.toml"
    file.write_text(text, encoding="utf-8")
    return load(file, {"DIALPLANE_STATE": str(tmp_path / "state"), **environ})


def problems(tmp_path: Path, text: str, environ: Mapping[str, str] = {}) -> tuple[Problem, ...]:
    with pytest.raises(ConfigError) as caught:
        give(tmp_path, text, environ)
    return caught.value.problems


def only(tmp_path: Path, text: str, environ: Mapping[str, str] = {}) -> Problem:
    found = problems(tmp_path, text, environ)
    assert len(found) == 1, found
    return found[0]


def test_without_a_file_the_defaults_hold(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    settings = load(environ={"DIALPLANE_STATE": str(tmp_path)})
    assert settings.http.timeout_s == 5.0
    assert settings.sip.listen == ("udp:0.0.0.0:5060", "tcp:0.0.0.0:5060")


def test_file_is_read(tmp_path: Path) -> None:
    settings = give(
        tmp_path,
        """
        [http]
        timeout_s = 3
        [[trunks]]
        name = "gw"
        allow = ["192.0.2.0/24", "2001:db8::1"]
        headers = { "X-Tenant" = "7" }
        [[numbers]]
        number = "+12223334455"
        voice_url = "https://app.example.com/voice"
        voice_method = "get"
        """,
    )
    assert settings.http.timeout_s == 3.0
    assert settings.trunks[0].allow == ("192.0.2.0/24", "2001:db8::1/128")
    assert settings.trunks[0].headers == {"X-Tenant": "7"}
    assert settings.numbers[0].voice_method == "GET"
    assert settings.numbers[0].answer_delay is None


@pytest.mark.parametrize(
    ("variable", "value", "read"),
    [
        ("DIALPLANE_HTTP__TIMEOUT_S", "2.5", lambda s: s.http.timeout_s == 2.5),
        ("DIALPLANE_SIP__LISTEN", "udp:127.0.0.1:5070, tcp:[::1]:5070", lambda s: s.sip.listen == ("udp:127.0.0.1:5070", "tcp:[::1]:5070")),
        ("DIALPLANE_SIP__LISTEN", '["udp:127.0.0.1:5070"]', lambda s: s.sip.listen == ("udp:127.0.0.1:5070",)),
        ("DIALPLANE_HTTP__ALLOW", "", lambda s: s.http.allow == ()),
        ("DIALPLANE_DIAL__ANSWER_DELAY", "false", lambda s: s.dial.answer_delay is False),
        ("DIALPLANE_MEDIA__PROMPTS__DECODERS", "3", lambda s: s.media.prompts.decoders == 3),
        ("DIALPLANE_TRUNKS__0__PASSWORD", "p=1", lambda s: s.trunks[0].password.get_secret_value() == "p=1"),
        ("DIALPLANE_TRUNKS__0__HEADERS", '{ "X-A" = "1" }', lambda s: s.trunks[0].headers == {"X-A": "1"}),
        ("DIALPLANE_TRUNKS__1__NAME", "second", lambda s: [t.name for t in s.trunks] == ["first", "second"]),
    ],
)
def test_variable_overrides_the_file(tmp_path: Path, variable: str, value: str, read: object) -> None:
    text = '[http]\ntimeout_s = 9\nallow = ["10.0.0.0/8"]\n[[trunks]]\nname = "first"\nusername = "u"\n'
    assert callable(read)
    assert read(give(tmp_path, text, {variable: value}))


def test_unknown_key_names_the_nearest_and_the_line(tmp_path: Path) -> None:
    problem = only(tmp_path, "[http]\n# a comment\ntimeout_sec = 3\n")
    assert problem.source == f"{tmp_path / 'dialplane.toml'}:3"
    assert problem.key == "http.timeout_sec"
    assert problem.remedy == "Did you mean timeout_s?"


def test_unknown_key_that_belongs_elsewhere_says_where(tmp_path: Path) -> None:
    assert "media.port_min" in only(tmp_path, "[sip]\nport_min = 1\n").remedy


def test_unknown_section_names_the_nearest(tmp_path: Path) -> None:
    assert only(tmp_path, '[[trunk]]\nname = "x"\n').remedy == "Did you mean trunks?"


def test_bad_value_names_field_meaning_and_default(tmp_path: Path) -> None:
    problem = only(tmp_path, '[http]\ntimeout_s = "soon"\n')
    assert problem.key == "http.timeout_s"
    assert "'soon'" in problem.message
    assert problem.remedy.startswith("timeout_s: Seconds")
    assert "Default: 5.0" in problem.remedy


def test_bad_value_of_a_variable_names_the_variable(tmp_path: Path) -> None:
    assert only(tmp_path, "", {"DIALPLANE_HTTP__TIMEOUT_S": "soon"}).source == "DIALPLANE_HTTP__TIMEOUT_S"


@pytest.mark.parametrize(
    ("text", "remedy"),
    [
        ('[http]\nallow = ["10.1.2.3/8"]', '"10.0.0.0/8" for the whole range or "10.1.2.3" for the one address'),
        ('[[trunks]]\nname = "x"\nproxy = "gw.example.com"', '"sip:gw.example.com;transport=udp"'),
        ('[[trunks]]\nname = "x"\nproxy = "sip:me@gw.example.com"', 'write "sip:gw.example.com" and use username'),
        ('[sip]\nlisten = ["5060"]', '"udp:0.0.0.0:5060"'),
        ('[sip]\nlisten = ["udp:sip.example.com:5060"]', "sip.advertise"),
        ('[server]\nhttp_listen = "8080"', '"0.0.0.0:5060"'),
        ('[[numbers]]\nnumber = "1"\nvoice_url = "ftp://x/"', '"https://app.example.com/voice"'),
        ('[[trunks]]\nname = "x"\nheaders = { Via = "x" }', "X-Via"),
        ('[[trunks]]\nname = "x"\npassword = "x"', "needs both"),
        ('[outbound]\ntrunk = "b"\n[[trunks]]\nname = "a"', 'known: "a"'),
        ('[outbound]\ntrunk = "a"\n[[trunks]]\nname = "a"', "SIP URI into proxy"),
        ('[[trunks]]\nname = "a"\n[[trunks]]\nname = "a"', "its own name"),
        ('[[numbers]]\nnumber = "1"\nvoice_url = "/v"\n[[numbers]]\nnumber = "1"\nvoice_url = "/w"', "stands twice"),
        ("[rcml]\nmax_document_bytes = 100000", "raise http.max_body_bytes"),
        ('[trunks]\nname = "x"', "[[trunks]]"),
        ("http = 3", "[http]"),
        ('[server]\ninstance_id = "me"', "leave it out"),
    ],
)
def test_mistake_gets_its_remedy(tmp_path: Path, text: str, remedy: str) -> None:
    assert remedy in str(only(tmp_path, text))


def test_every_mistake_is_told_at_once(tmp_path: Path) -> None:
    assert len(problems(tmp_path, "[http]\ntimeout_s = 0\nmax_redirects = -1\n[dial]\nringback = 'xx'\n")) == 3


def test_secret_of_the_wrong_type_is_not_shown(tmp_path: Path) -> None:
    said = str(only(tmp_path, '[[trunks]]\nname = "x"\npassword = ["hunter2"]\n'))
    assert "hunter2" not in said


def test_unknown_variable_names_the_nearest(tmp_path: Path) -> None:
    problem = only(tmp_path, "", {"DIALPLANE_HTTP__TIMEOUTS": "3"})
    assert problem.remedy == "Did you mean DIALPLANE_HTTP__TIMEOUT_S?"


def test_variable_with_single_underscores_is_told(tmp_path: Path) -> None:
    assert "DIALPLANE_HTTP__TIMEOUT_S" in only(tmp_path, "", {"DIALPLANE_HTTP_TIMEOUT_S": "3"}).remedy


def test_variables_that_container_platforms_inject_are_left_alone(tmp_path: Path) -> None:
    give(tmp_path, "", {"DIALPLANE_PORT": "tcp://10.0.0.1:5060", "DIALPLANE_SERVICE_HOST": "10.0.0.1", "DIALPLANE_PORT_5060_UDP_ADDR": "x"})


def test_variable_beyond_a_list_is_told(tmp_path: Path) -> None:
    assert "the next free one is 0" in problems(tmp_path, "", {"DIALPLANE_TRUNKS__2__NAME": "x"})[0].message


def test_missing_file_and_broken_toml_are_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no such file"):
        load(tmp_path / "none.toml", {})
    assert "this is not TOML" in only(tmp_path, "[http\n").message


def test_paths_are_derived_from_the_state_directory(tmp_path: Path) -> None:
    settings = give(tmp_path, "")
    state = tmp_path / "state"
    assert settings.server.state_dir == str(state)
    assert settings.media.recordings_dir == str(state / "recordings")
    assert settings.media.socket_path == str(state / "media.sock")
    assert settings.storage.url == f"sqlite+aiosqlite:///{state}/dialplane.db"


def test_relative_paths_count_from_the_file(tmp_path: Path) -> None:
    settings = give(tmp_path, '[media]\nrecordings_dir = "var"\n[http]\nca_file = "../ca.pem"')
    assert settings.media.recordings_dir == str(tmp_path / "var")
    assert settings.http.ca_file == str(tmp_path / "../ca.pem")


def test_state_directory_is_a_whole_path__tools_and_server_start_in_different_directories(tmp_path: Path) -> None:
    problem = only(tmp_path, '[server]\nstate_dir = "var"')
    assert (problem.source, problem.key) == (f"{tmp_path / 'dialplane.toml'}:2", "server.state_dir")
    assert str(tmp_path / "var") in problem.remedy
    assert only(tmp_path, "", {"DIALPLANE_STATE": "var"}).source == "DIALPLANE_STATE"
    assert only(tmp_path, "", {"DIALPLANE_SERVER__STATE_DIR": "./var"}).source == "DIALPLANE_SERVER__STATE_DIR"


@pytest.mark.parametrize(
    ("text", "base"),
    [
        ("", "http://127.0.0.1:8080"),
        ('http_listen = "0.0.0.0:9000"', "http://127.0.0.1:9000"),
        ('http_listen = "[::]:9000"', "http://[::1]:9000"),
        ('public_url = "https://pbx.example.com/"', "https://pbx.example.com"),
    ],
)
def test_base_url(tmp_path: Path, text: str, base: str) -> None:
    assert give(tmp_path, f"[server]\n{text}").server.base_url == base


@pytest.mark.parametrize("policy", ["forbidden", "optional", "mandatory"])
def test_encryption_is_a_policy(tmp_path: Path, policy: str) -> None:
    assert give(tmp_path, f'[media]\nsrtp = "{policy}"').media.srtp == policy
