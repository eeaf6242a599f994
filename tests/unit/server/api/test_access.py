"""Who may read what: the token, and signed URLs of recordings."""

from __future__ import annotations

import base64
from urllib.parse import parse_qsl

import pytest

from server.api.access import Credentials, credentials, is_account, is_signed, signed_query

RE = "RE" + "a" * 32


def basic(pair: bytes) -> str:
    return "Basic " + base64.b64encode(pair).decode()


@pytest.mark.parametrize(
    ("header", "judged"),
    [
        ("", Credentials.NONE),
        ("Bearer token", Credentials.RIGHT),
        ("bearer  token ", Credentials.RIGHT),  # the scheme in any case (RFC 9110 11.1)
        ("Bearer Token", Credentials.WRONG),
        ("Bearer token2", Credentials.WRONG),
        ("Bearer", Credentials.WRONG),
        ("token", Credentials.WRONG),
        ("Digest token", Credentials.WRONG),
        (basic(b"me:token"), Credentials.RIGHT),
        (basic(b":token"), Credentials.RIGHT),
        (basic(b"token"), Credentials.WRONG),
        (basic(b"token:"), Credentials.WRONG),
        (basic(b"me:token:"), Credentials.WRONG),
        (basic(b"\xff:\xff"), Credentials.WRONG),
        ("Basic ~", Credentials.WRONG),
        ("Basic", Credentials.WRONG),
        ("Bearer \udcff", Credentials.WRONG),
    ],
)
def test_the_token_is_a_bearer_token_or_a_password__rfc6750_rfc7617(header: str, judged: Credentials) -> None:
    assert credentials(header, "token") is judged


@pytest.mark.parametrize("header", ["Bearer", "Bearer ", basic(b""), basic(b":"), basic(b"me:")])
def test_a_server_without_a_token_lets_nobody_in(header: str) -> None:
    assert credentials(header, "") is Credentials.WRONG


@pytest.mark.parametrize(
    ("header", "account"),
    [
        ("Bearer token", True),
        (basic(b"AC1:token"), True),
        (basic(b"AC1:"), True),  # the password is judged by itself
        (basic(b"AC2:token"), False),
        (basic(b":token"), False),
        (basic(b"\xff:token"), False),
    ],
)
def test_whoever_names_a_user_is_the_account__rfc7617(header: str, account: bool) -> None:
    assert is_account(header, "AC1") is account


def query(text: str) -> dict[str, str]:
    return dict(parse_qsl(text.removeprefix("?"), keep_blank_values=True))


def test_a_signature_is_good_for_one_recording_until_its_time_is_up() -> None:
    given = query(signed_query("key", RE, 1000))
    assert is_signed("key", RE, given, 1000.0)
    assert not is_signed("key", RE, given, 1000.5)
    assert not is_signed("key", "RE" + "b" * 32, given, 0.0)
    assert not is_signed("other", RE, given, 0.0)
    assert not is_signed("", RE, query(signed_query("", RE, 1000)), 0.0)


@pytest.mark.parametrize(
    "changed",
    [
        {"expires": "2000"},
        {"expires": "01000"},
        {"expires": "-1"},
        {"expires": "\u0661"},
        {"expires": "9" * 400},
        {"expires": ""},
        {"signature": ""},
        {"signature": "\u00e9"},
        {"signature": "\udcff"},
    ],
)
def test_a_query_that_was_changed_is_not_signed(changed: dict[str, str]) -> None:
    given = query(signed_query("key", RE, 1000)) | changed
    good = changed == {"expires": "01000"}  # the same moment, spelled otherwise
    assert is_signed("key", RE, given, 0.0) is good
