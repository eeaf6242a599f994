"""Trunks and clients as the configuration knows them: what does not go together is told, secrets are not."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from config.settings import Settings


@pytest.mark.parametrize(
    ("trunk", "told"),
    [
        ({"registers": True, "username": "u"}, "name where"),
        ({"registers": True, "proxy": "sip:192.0.2.1"}, "an address has a user"),
        ({"fallback_proxy": "sip:192.0.2.1"}, "write the first choice into proxy"),
        ({"password": "x"}, "a digest challenge needs both"),
    ],
)
def test_what_a_trunk_lacks_is_told(trunk: dict[str, object], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        Settings.model_validate({"trunks": [{"name": "gw", **trunk}]})


@pytest.mark.parametrize(
    "client",
    [
        {"name": "a b", "password": "x"},
        {"name": "a@b", "password": "x"},
        {"name": "a?b", "password": "x"},
        {"name": "", "password": "x"},
        {"name": "alice", "password": "x", "ha1_md5": "0" * 32},
        {"name": "alice", "ha1_md5": "0" * 64},
        {"name": "alice", "ha1_sha256": "0" * 32},
        {"name": "alice", "ha1_sha256": "hunter2"},
    ],
)
def test_what_is_no_client_is_told_without_its_secret(client: dict[str, str]) -> None:
    with pytest.raises(ValidationError) as raised:
        Settings.model_validate({"clients": [client]})
    assert "hunter2" not in str(raised.value.errors(include_input=False))


def test_two_of_a_name_are_one_too_many() -> None:
    with pytest.raises(ValidationError, match=r"clients\[1\].name"):
        Settings.model_validate({"clients": [{"name": "alice", "password": "x"}, {"name": "alice", "password": "y"}]})
