"""Who may read what over the server's own HTTP: a token for operators, signed URLs for recordings. Pure.

There is no "from this machine": a reverse proxy on the same machine makes every stranger look so.
"""

from __future__ import annotations

import base64
import binascii
import enum
import hmac
from collections.abc import Mapping


class Credentials(enum.Enum):
    """What a request brought along."""

    NONE = "none"
    WRONG = "wrong"
    RIGHT = "right"


def credentials(authorization: str, token: str) -> Credentials:
    """Judge an Authorization header: `Bearer TOKEN` (RFC 6750 2.1), or `Basic` with the token as password of any user (RFC 7617 2).

    token: the server's; empty lets nobody in.
    """
    if not authorization:
        return Credentials.NONE
    _, secret = _user_and_secret(authorization)
    return Credentials.RIGHT if token and hmac.compare_digest(secret, token.encode()) else Credentials.WRONG


def is_account(authorization: str, account_sid: str) -> bool:
    """Whether the user of `Basic` is the account. A Bearer token has no user: it is an operator's."""
    user, _ = _user_and_secret(authorization)
    return user is None or hmac.compare_digest(user, account_sid.encode())


def _user_and_secret(authorization: str) -> tuple[bytes | None, bytes]:
    """No user: there is none in this scheme. An empty secret: none can be read."""
    scheme, _, given = authorization.partition(" ")
    match scheme.lower():
        case "bearer":
            return None, given.strip().encode("utf-8", "replace")
        case "basic":
            try:
                user, _, secret = base64.b64decode(given.strip(), validate=True).partition(b":")
            except binascii.Error:
                return None, b""
            return user, secret
        case _:
            return None, b""


def signed_query(key: str, recording_sid: str, expires: int) -> str:
    """What is added to the URL of a recording. expires: seconds since 1970, UTC."""
    return f"?expires={expires}&signature={_signature(key, recording_sid, expires)}"


def is_signed(key: str, recording_sid: str, query: Mapping[str, str], now: float) -> bool:
    """Whether the query of a request is one that `signed_query` made and whose time is not up. now: seconds since 1970, UTC."""
    expires = query.get("expires", "")
    if not key or not expires.isascii() or not expires.isdigit() or len(expires) > 12 or int(expires) < now:
        return False
    given = query.get("signature", "").encode("utf-8", "replace")
    return hmac.compare_digest(given, _signature(key, recording_sid, int(expires)).encode())


def _signature(key: str, recording_sid: str, expires: int) -> str:
    return hmac.new(key.encode(), f"recording {recording_sid} {expires}".encode(), "sha256").hexdigest()
