"""Judges digest answers, and makes them, by arithmetic of its own. Source: RFC 2617 3.2.2, RFC 7616 3.4."""

from __future__ import annotations

import hashlib
import re

from tests.support.sipp import SippMessage

HASHES = {"MD5": hashlib.md5, "SHA-256": hashlib.sha256}


def digest_of(algorithm: str, *parts: str) -> str:
    return HASHES[algorithm](":".join(parts).encode()).hexdigest()


def parameters(header: str) -> dict[str, str]:
    """Of a Digest challenge or answer, without quotes."""
    found = re.findall(r'(\w+)=(?:"([^"]*)"|([^",\s]+))', header)
    return {name.lower(): quoted or plain for name, quoted, plain in found}


def answers(request: SippMessage, challenge: SippMessage, username: str, password: str) -> bool:
    """Whether a request answers the challenge of a 401 or 407 with these credentials (MD5 or SHA-256, qop auth)."""
    proxy = challenge.status == 407
    asked = parameters(challenge.header("Proxy-Authenticate" if proxy else "WWW-Authenticate"))
    given = parameters(request.header("Proxy-Authorization" if proxy else "Authorization"))
    if given.get("username") != username or any(given.get(key) != asked[key] for key in ("realm", "nonce")):
        return False
    algorithm = asked.get("algorithm", "MD5")
    secret = digest_of(algorithm, username, given["realm"], password)
    subject = digest_of(algorithm, request.method, given["uri"])
    proof = digest_of(algorithm, secret, given["nonce"], given["nc"], given["cnonce"], given["qop"], subject)
    return given["response"] == proof and given["nc"] == "00000001" and given["uri"] == request.start_line.split()[1]


def answer_of(
    challenge: str,
    user: str,
    password: str,
    method: str,
    uri: str,
    *,
    count: int = 1,
    qop: bool = True,
    **changed: str,
) -> str:
    """The value of an Authorization or Proxy-Authorization."""
    asked = parameters(challenge)
    algorithm = asked["algorithm"]
    secret = digest_of(algorithm, user, asked["realm"], password)
    subject = digest_of(algorithm, method, uri)
    given = {"username": user, "realm": asked["realm"], "nonce": asked["nonce"], "uri": uri}
    if qop:
        given["response"] = digest_of(algorithm, secret, asked["nonce"], f"{count:08x}", "c0ffee", "auth", subject)
        given |= {"cnonce": "c0ffee"}
        tail = f", qop=auth, nc={count:08x}"
    else:
        given["response"] = digest_of(algorithm, secret, asked["nonce"], subject)
        tail = ""
    given |= changed
    return "Digest " + ", ".join(f'{name}="{value}"' for name, value in given.items()) + f", algorithm={algorithm}{tail}"
