"""Proof that a request comes from this server, in the two forms that applications know how to check. Pure.

- `X-Twilio-Signature`: HMAC-SHA1 by the account's token over the URL as requested and, for a form, its names and values.
- Standard Webhooks 1.0.0: `webhook-id`, `webhook-timestamp`, `webhook-signature` over id, time and body, by one secret, or by two while
  it is being changed.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import urldefrag

from server.calls.effects import Parameters

PREFIX = "whsec_"


@dataclass(frozen=True, slots=True)
class Signer:
    """token: of the account, empty for no signature of the first kind; secrets: `whsec_...`, none for no signature of the second."""

    token: str = field(default="", repr=False)
    secrets: tuple[str, ...] = field(default=(), repr=False)

    def headers(self, url: str, form: Parameters, body: bytes, request_id: str, now: float) -> Mapping[str, str]:
        """url: as requested, with the parameters of a GET. form: of a POST. request_id: the same when it is asked again.

        now: seconds since 1970.
        """
        found: dict[str, str] = {}
        if self.token:
            found["X-Twilio-Signature"] = twilio_signature(self.token, url, form)
        if self.secrets:
            at = int(now)
            found |= {
                "webhook-id": request_id,
                "webhook-timestamp": str(at),
                "webhook-signature": webhook_signature(self.secrets, request_id, at, body),
            }
        return found


def twilio_signature(token: str, url: str, form: Parameters) -> str:
    """Names sorted, of each name its values sorted and each once, all of it behind the URL; a fragment is not part of it."""
    pairs = sorted(set(form))
    text = urldefrag(url).url + "".join(name + value for name, value in pairs)
    digest = hmac.new(token.encode(), text.encode("utf-8", "replace"), "sha1").digest()
    return base64.b64encode(digest).decode("ascii")


def webhook_signature(secrets: Sequence[str], request_id: str, at: int, body: bytes) -> str:
    """at: seconds since 1970."""
    content = f"{request_id}.{at}.".encode() + body
    digests = [hmac.new(key_of(secret), content, "sha256").digest() for secret in secrets]
    return " ".join("v1," + base64.b64encode(digest).decode("ascii") for digest in digests)


def key_of(secret: str) -> bytes:
    """The octets of `whsec_...`. Raises ValueError when it is none."""
    try:
        return base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except binascii.Error as error:
        raise ValueError(f"no Base64 behind {PREFIX}: {error}") from None
