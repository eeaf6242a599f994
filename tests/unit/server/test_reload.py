"""What a reload takes over, what it leaves as it is, and that both are named."""

from __future__ import annotations

from typing import Any

import pytest

from config.load import dotted, known_keys
from config.settings import Settings
from server.reload import CHANGEABLE, plan_reload

IDENTITY = {
    "instance_id": "ID" + "1" * 32,
    "account_sid": "AC" + "2" * 32,
    "api_token": "t",
    "recording_key": "k",
    "webhook_secret": "whsec_" + "A" * 32,
}


def wanted(tables: dict[str, Any]) -> Settings:
    return Settings.model_validate({**tables, "server": IDENTITY | tables.get("server", {})})


RUNNING = wanted({})
NUMBER = {"number": "1", "voice_url": "https://app.example.com/"}


@pytest.mark.parametrize(
    ("tables", "changed"),
    [
        ({}, ()),
        ({"numbers": [NUMBER]}, ("numbers",)),
        ({"trunks": [{"name": "t", "allow": ["192.0.2.0/24"]}]}, ("trunks",)),
        ({"dial": {"ringback": "uk"}, "rcml": {"max_nouns": 3}}, ("rcml.max_nouns", "dial.ringback")),
        ({"server": {"use_to": False, "max_calls": 7}}, ("server.max_calls", "server.use_to")),
        ({"server": {"webhook_secret_before": "whsec_" + "B" * 32}}, ("server.webhook_secret_before",)),
        ({"media": {"codecs": ["PCMA"]}, "http": {"allow": ["10.0.0.0/8"]}}, ("media.codecs", "http.allow")),
    ],
)
def test_what_can_change_is_taken_over_and_named(tables: dict[str, Any], changed: tuple[str, ...]) -> None:
    plan = plan_reload(RUNNING, wanted(tables))
    assert (plan.changed, plan.waiting) == (changed, ())
    for name in changed:
        section, _, key = name.partition(".")
        given: Any = getattr(wanted(tables), section)
        taken: Any = getattr(plan.settings, section)
        assert (getattr(taken, key) == getattr(given, key)) if key else (taken == given)


def test_certificates_change_and_sockets_do_not() -> None:
    plan = plan_reload(RUNNING, wanted({"sip": {"tls": {"ca_file": "/etc/ca.pem"}, "listen": ["udp:127.0.0.1:5070"]}}))
    assert (plan.changed, plan.waiting) == (("sip.tls.ca_file",), ("sip.listen",))
    assert (plan.settings.sip.tls.ca_file, plan.settings.sip.listen) == ("/etc/ca.pem", RUNNING.sip.listen)


@pytest.mark.parametrize(
    ("tables", "waiting"),
    [
        ({"sip": {"listen": ["udp:127.0.0.1:5070"]}}, ("sip.listen",)),
        ({"media": {"port_min": 30000, "port_max": 31000}}, ("media.port_min", "media.port_max")),
        ({"media": {"prompts": {"decoders": 3}}}, ("media.prompts.decoders",)),
        ({"storage": {"batch_max": 7}, "server": {"http_listen": "127.0.0.1:9000"}}, ("server.http_listen", "storage.batch_max")),
        ({"server": {"account_sid": "AC" + "3" * 32}}, ("server.account_sid",)),
    ],
)
def test_what_cannot_change_stays_and_is_named(tables: dict[str, Any], waiting: tuple[str, ...]) -> None:
    plan = plan_reload(RUNNING, wanted(tables))
    assert (plan.changed, plan.waiting) == ((), waiting)
    assert plan.settings == RUNNING


def test_every_changeable_name_is_a_setting() -> None:
    names = {dotted(path).partition("[")[0] for path, _ in known_keys()}
    assert {name for name in CHANGEABLE if name not in names and not any(n.startswith(f"{name}.") for n in names)} == set()
