"""Signatures of requests, held to the official validators (`twilio`, `standardwebhooks`) by what an application receives."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import MultiDict
from standardwebhooks import Webhook
from standardwebhooks.webhooks import WebhookVerificationError
from twilio.request_validator import RequestValidator

from server.applications.signing import Signer, key_of, twilio_signature, webhook_signature
from tests.unit.server.applications.asking import SECRETS, ask
from tests.unit.server.peers import Asked, peer, response, says


def verified(asked: Asked, url: str, token: str = "token") -> bool:
    """As an application checks it, which has the URL of the request and the values of the form."""
    form = MultiDict(parse_qsl(asked.body.decode(), keep_blank_values=True))
    return bool(RequestValidator(token).validate(url, form, asked.headers["x-twilio-signature"]))


@pytest.mark.parametrize("query", ["", "?a=1&b=%2F+c", "?"])
@pytest.mark.parametrize("method", ["POST", "GET"])
async def test_the_official_validator_takes_every_request__callbacks_md(method: str, query: str) -> None:
    """With a port, by name or literal, over IPv6, with credentials in the URL, which the application does not see in its own."""
    many = (("X", "2"), ("X", "1"), ("X", "2"), ("Empty", ""), ("Ü", "ö &="))
    for host in ("127.0.0.1", "user:pass%40word@127.0.0.1"):
        async with peer(says(response("200 OK"))) as app:
            await ask(f"http://{host}:{app.port}/voice{query}#part", method, many)
        (asked,) = app.asked
        url = f"http://127.0.0.1:{app.port}{asked.target}"
        assert verified(asked, url)
        assert not verified(asked, url + "x") and not verified(asked, url, "another")


def test_over_ipv6_and_without_a_port_it_is_the_url_as_requested__callbacks_md() -> None:
    for url in ("http://[::1]:8080/voice?a=1", "https://app.example.com/voice", "https://app.example.com:8443/"):
        signature = twilio_signature("token", url + "#fragment", (("A", "1"),))
        assert RequestValidator("token").validate(url, {"A": "1"}, signature), url


@given(st.lists(st.tuples(st.text(min_size=1), st.text())))
def test_any_form_has_the_signature_that_the_official_validator_computes__callbacks_md(pairs: list[tuple[str, str]]) -> None:
    pairs = [(name, value) for name, value in pairs if not any("\ud800" <= char <= "\udfff" for char in name + value)]
    url = "https://app.example.com/voice"
    assert twilio_signature("token", url, tuple(pairs)) == RequestValidator("token").compute_signature(url, MultiDict(pairs))


async def test_standard_webhooks_sign_id_time_and_body_by_both_secrets__callbacks_md() -> None:
    async with peer(says(response("200 OK"))) as app:
        await ask(app.url + "/status")
    (asked,) = app.asked
    assert asked.headers["webhook-id"] == asked.headers["idempotency-key"] == asked.headers["i-twilio-idempotency-token"]
    assert abs(int(asked.headers["webhook-timestamp"]) - time.time()) < 60
    for secret in SECRETS:
        with pytest.raises(json.JSONDecodeError):  # the signature holds; then the library reads what it takes for JSON
            Webhook(secret).verify(asked.body, dict(asked.headers))
    with pytest.raises(WebhookVerificationError):
        Webhook("whsec_" + base64.b64encode(b"x" * 24).decode()).verify(asked.body, dict(asked.headers))
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRETS[0]).verify(asked.body + b"x", dict(asked.headers))


def test_json_is_verified_by_the_unmodified_library__callbacks_md() -> None:
    body = json.dumps({"type": "call.ended"}).encode()
    at = int(time.time())
    headers = {"webhook-id": "e1", "webhook-timestamp": str(at), "webhook-signature": webhook_signature(SECRETS, "e1", at, body)}
    for secret in SECRETS:
        assert Webhook(secret).verify(body, headers) == {"type": "call.ended"}


async def test_a_redirect_is_signed_for_where_it_leads_under_the_same_id__callbacks_md() -> None:
    async def answer(asked: Asked, writer: asyncio.StreamWriter) -> None:
        writer.write(response("302 Found", b"", "Location: /b?x=1") if asked.target == "/a" else response("200 OK"))

    async with peer(answer) as app:
        await ask(app.url + "/a")
    first, second = app.asked
    assert verified(first, f"{app.url}/a") and verified(second, f"{app.url}/b?x=1")
    assert first.headers["webhook-id"] == second.headers["webhook-id"]


def test_without_a_token_and_secrets_nothing_is_signed__callbacks_md() -> None:
    assert Signer().headers("http://a/", (), b"", "1", 0.0) == {}
    assert "s3cret" not in repr(Signer("s3cret", ("whsec_s3cret",)))


@pytest.mark.parametrize("secret", ["whsec_!", "whsec_a"])
def test_a_secret_that_is_no_base64_is_told(secret: str) -> None:
    with pytest.raises(ValueError, match="no Base64"):
        key_of(secret)


def test_the_parameters_of_a_get_are_part_of_its_url__callbacks_md() -> None:
    signer = Signer("token")
    one = signer.headers("http://a/?A=1", (), b"", "1", 0.0)
    assert RequestValidator("token").validate("http://a/?A=1", {}, one["X-Twilio-Signature"])
