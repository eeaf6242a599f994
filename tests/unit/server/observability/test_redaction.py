"""What must not be read in logs and timelines."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.observability import redaction
from server.observability.redaction import hide_secrets, hide_url_secrets, is_secret_name, redact, redact_fields

INVITE = (
    "INVITE sip:alice:pa55@example.com SIP/2.0\r\n"
    "Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1\r\n"
    'proxy-authorization : Digest username="bob", realm="example.com",\r\n'
    ' nonce="n0nce", uri="sip:x", response="deadbeef",\r\n'
    '\tcnonce="c"\r\n'
    "Authorization: Basic Ym9iOnNlY3JldA==\r\n"
    "Content-Length: 60\r\n\r\n"
    "v=0\r\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:c2VjcmV0a2V5|2^31\r\n"
)


def test_digest_response_is_removed_and_its_user_stays() -> None:
    shown = hide_secrets(INVITE)
    for secret in ("deadbeef", "n0nce", "cnonce", "Ym9iOnNlY3JldA", "pa55", "c2VjcmV0a2V5"):
        assert secret not in shown
    assert 'proxy-authorization : Digest username="bob", realm="example.com", ***\r\nAuthorization: Basic ***\r\n' in shown
    assert "Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1\r\n" in shown
    assert "sip:alice:***@example.com" in shown


@pytest.mark.parametrize(
    "line",
    [
        "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:S3cretOne==|2^20|1:4;inline:S3cretTwo+/|2^20|2:4",
        "a=crypto:1  AES_CM_128_HMAC_SHA1_80\tinline:S3cretOne",
        "A=CRYPTO:1 AES_CM_128_HMAC_SHA1_80 INLINE:S3cretOne",
        "k=clear:S3cretOne",
        "k=base64:S3cretOne",
    ],
)
def test_every_media_key_is_removed_however_it_is_written__rfc4568_9_1(line: str) -> None:
    shown = hide_secrets(f"SIP/2.0 200 OK\r\n\r\nv=0\r\n{line}\r\na=sendrecv\r\n")
    assert "S3cret" not in shown
    assert shown.endswith("\r\na=sendrecv\r\n")


@pytest.mark.parametrize("raw", ["", "Authorization:", "Authorization:\r\n", "\ud800 Authorization: x", "Authorization: Digest"])
def test_any_text_is_survived(raw: str) -> None:
    hide_secrets(raw)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("http://user:secret@host/x", "http://user:***@host/x"),
        ("POST https://host/x?a=1&password=hunter2&b=2", "POST https://host/x?a=1&password=***&b=2"),
        ("api_key=abc token=def", "api_key=*** token=***"),
        ('<Sip username="u" password="hunter2">sip:a@b</Sip>', '<Sip username="u" password="***">sip:a@b</Sip>'),
        ("http://sip:secret@host/", "http://sip:***@host/"),
        ("sip:sip:secret@host", "sip:sip:***@host"),
        ("<sips:a:b@c>,<sip:d@e>,<sip:f:g@h>", "<sips:a:***@c>,<sip:d@e>,<sip:f:***@h>"),
        ("sip:a@b:5060", "sip:a@b:5060"),
        ("http://host:8080/x", "http://host:8080/x"),
        ("the passwordless way", "the passwordless way"),
    ],
)
def test_secrets_in_text(text: str, shown: str) -> None:
    assert hide_secrets(text) == shown


def test_password_of_a_url() -> None:
    assert hide_url_secrets("https://user:a%40b@host:1/x?token=1") == "https://user:***@host:1/x?token=***"
    assert hide_url_secrets("http://[broken") == "http://[broken"


@pytest.mark.parametrize("name", ["password", "Password", "auth_token", "AuthToken", "api_key", "sip.password"])
def test_name_of_a_secret(name: str) -> None:
    assert is_secret_name(name)
    assert not is_secret_name("tokens_left")


@pytest.mark.parametrize(
    ("text", "level", "shown"),
    [
        ("+12223334455", "numbers", "+***455"),
        ("call from +1 (222) 333-4455 now", "numbers", "call from +***455 now"),
        ("sip:+12223334455@192.0.2.10:5060", "numbers", "sip:+***455@192.0.2.10:5060"),
        ("1234", "numbers", "1234"),
        ("CA12345678901234567890123456789012", "numbers", "CA12345678901234567890123456789012"),
        ("z9hG4bK123456789", "numbers", "z9hG4bK123456789"),
        ("192.0.2.10:50600", "numbers", "192.0.2.10:50600"),
        ("192.0.2.10:5060", "all", "192.0.x.x:5060"),
        ("[2001:db8::5]:5060", "all", "[2001:db8::x]:5060"),
        ("17:59:16", "all", "17:59:16"),
        ("+12223334455", "none", "+12223334455"),
    ],
)
def test_numbers_and_addresses(text: str, level: str, shown: str) -> None:
    assert redact(text, level) == shown  # type: ignore[arg-type]


def test_facts_of_a_log_line() -> None:
    shown = redact_fields({"to": "+12223334455", "password": "x", "count": 12345678, "url": "http://u:p@h/"}, "numbers")
    assert shown == {"to": "+***455", "password": "***", "count": 12345678, "url": "http://u:***@h/"}


@pytest.mark.parametrize(
    "evil",
    [
        "sip:" * 15000,
        "sip:a:" * 10000 + "@",
        "a@" * 30000,
        "Authorization:" + "\r\n " * 20000,
        "password" + " " * 60000,
        "password=" * 6000,
        "a=crypto:1 " * 5000,
        "inline:" * 8000,
        "k=clear:" * 8000,
        "\r\n" * 30000,
        "a" * 65000 + "password",
        "token " * 10000,
        'password="' * 6000,
        "password='x\\" * 5000,
        "<secret" * 9000,
        "<secret " + "a " * 30000,
        'name="password"\r\n' * 3500,
        ("password: x\r\n " * 4000),
        "bearer " * 9000,
        "bearer " + "a" * 60000,
        "token=%2" * 8000,
        "\\" * 60000 + 'token="',
        'token="' + "\\" * 60000,
        "-token" * 10000,
        "://:" * 15000 + "@",
        "x://a:b" * 100 + "@h " * 20000,
        "\n" + "token:\n " * 8000,
    ],
)
def test_no_message_makes_it_slow(evil: str) -> None:
    """A message of 64 KiB is a peer's choice; its time must grow with its length and no faster."""
    started = time.process_time()
    hide_secrets(evil)
    assert time.process_time() - started < 1.0


_PIECES = (
    *(
        "sip:",
        "sips:",
        "http://",
        "redis://",
        "alice",
        "pa55",
        ":",
        "@",
        "example.com",
        " ",
        "\r\n",
        "<",
        ">",
        ";",
        "=",
        '"',
        "'",
        "&",
        "?",
        "\\",
    ),
    *(
        "password",
        "Token",
        "X-Secret",
        "cookie",
        "api_key",
        "Authorization",
        "Digest",
        "username",
        "Bearer",
        "a=crypto:1 ",
        "inline:",
        "k=clear:",
    ),
    *("signature", "jwt", "jsessionid", "Authentication-Info", "key-mgmt:mikey ", "ice-pwd", "%3D", "%26", "form-data; name=", "abc1", ","),
)


@given(st.lists(st.sampled_from(_PIECES), max_size=14).map("".join))
@settings(max_examples=1500, deadline=None)
def test_a_text_that_is_passed_over_holds_nothing_that_the_patterns_find(text: str) -> None:
    assert redaction.hide_secrets(text) == redaction._hide_named(redaction._hide_userinfo(text))
