"""Digest credentials, the client's side.

The memory of one session: a nonce per realm with its count, so that a BYE or re-INVITE carries fresh credentials at once and a
challenge in the middle of a dialog is met like the first one. The rules of giving up are the point:
  - the first challenge of a realm that we support is taken (RFC 8760 2.4), several realms are answered together;
  - a request is answered once per realm; a second challenge means that the credentials are wrong, unless it says stale=true;
    where a realm offers several algorithms, the next one is tried then, since a server may hold the secret for one of them only;
  - a nonce that was answered already is never answered again.
Source: RFC 7616 3.3-3.5, RFC 8760, RFC 3261 22.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

from sip.core.commands import Credentials
from sip.message import Headers, ParseError, Request, Response, build_auth, parse_auth, parse_cseq

_FIELDS = (("WWW-Authenticate", "Authorization"), ("Proxy-Authenticate", "Proxy-Authorization"))
_MAX_ANSWERS = 4  # of one request to one realm, however often it says stale=true


def _md5(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _sha512_256(data: bytes) -> str:
    return hashlib.new("sha512_256", data).hexdigest()


ALGORITHMS: dict[str, Callable[[bytes], str]] = {"MD5": _md5, "SHA-256": _sha256}
if "sha512_256" in hashlib.algorithms_available:
    ALGORITHMS["SHA-512-256"] = _sha512_256

Realm = tuple[str, str]  # (name of the header field of our answer, realm)


@dataclass(slots=True)
class _Challenge:
    nonce: str
    name: str  # of the algorithm, in upper case
    algorithm: str | None  # as the server wrote it
    session_variant: bool  # ...-sess
    digest: Callable[[bytes], str]
    qop: str | None
    opaque: str | None
    count: int = 0


class DigestClient:
    def __init__(self, credentials: Credentials, token: Callable[[], str]) -> None:
        self._credentials = credentials
        self._token = token
        self._challenges: dict[Realm, _Challenge] = {}
        self._tried: dict[Realm, set[str]] = {}  # algorithms

    def learn(self, response: Response, answered: dict[Realm, int]) -> bool:
        """Take the challenges of a 401 or 407 in.

        Args:
            answered: how often the request at hand has answered each realm so far; counted on here.
        Returns:
            Whether it is worth sending the request again with `headers`.
        """
        offered: dict[Realm, list[tuple[_Challenge, bool]]] = {}
        for challenge_name, answer_name in _FIELDS:
            for text in response.headers.get_all(challenge_name):
                parsed = _parse_challenge(text)
                if parsed is not None:
                    realm, challenge, stale = parsed
                    offered.setdefault((answer_name, realm), []).append((challenge, stale))
        if not offered:
            return False
        chosen: dict[Realm, _Challenge] = {}
        for key, challenges in offered.items():
            one = self._choose(key, challenges, answered.get(key, 0))
            if one is None:
                return False
            chosen[key] = one
        for key, challenge in chosen.items():
            self._challenges[key] = challenge
            self._tried.setdefault(key, set()).add(challenge.name)
            answered[key] = answered.get(key, 0) + 1
        return True

    def _choose(self, key: Realm, challenges: list[tuple[_Challenge, bool]], times: int) -> _Challenge | None:
        """The challenge of a realm to answer, after so many answers to it in this request."""
        known = self._challenges.get(key)
        fresh = [(one, stale) for one, stale in challenges if known is None or one.nonce != known.nonce or one.name != known.name]
        if known is None or not times:
            same = (one for one, _ in fresh if known is not None and one.name == known.name)
            return next(same, None) or next((one for one, _ in fresh), None)
        if times >= _MAX_ANSWERS:
            return None
        again = next((one for one, stale in fresh if stale and one.nonce != known.nonce and one.name == known.name), None)
        return again or next((one for one, _ in fresh if one.name not in self._tried.get(key, ())), None)

    def headers(self, method: str, uri: str, body: bytes) -> list[tuple[str, str]]:
        """Credentials for one request: one field per realm that has challenged; each call takes the next nonce count."""
        return [(name, self._answer(realm, challenge, method, uri, body)) for (name, realm), challenge in self._challenges.items()]

    def _answer(self, realm: str, challenge: _Challenge, method: str, uri: str, body: bytes) -> str:
        username, password = self._credentials.username, self._credentials.password
        digest = challenge.digest
        cnonce = self._token()
        a1 = digest(f"{username}:{realm}:{password}".encode())
        if challenge.session_variant:
            a1 = digest(f"{a1}:{challenge.nonce}:{cnonce}".encode())
        a2 = f"{method}:{uri}"
        if challenge.qop == "auth-int":
            a2 += f":{digest(body)}"
        params = {"username": username, "realm": realm, "nonce": challenge.nonce, "uri": uri}
        if challenge.qop is None:
            params["response"] = digest(f"{a1}:{challenge.nonce}:{digest(a2.encode())}".encode())
            if challenge.session_variant:
                params["cnonce"] = cnonce
        else:
            challenge.count += 1
            count = f"{challenge.count:08x}"
            params["response"] = digest(f"{a1}:{challenge.nonce}:{count}:{cnonce}:{challenge.qop}:{digest(a2.encode())}".encode())
            params |= {"cnonce": cnonce, "nc": count, "qop": challenge.qop}
        if challenge.algorithm is not None:
            params["algorithm"] = challenge.algorithm
        if challenge.opaque is not None:
            params["opaque"] = challenge.opaque
        return build_auth("Digest", params)


def _parse_challenge(text: str) -> tuple[str, _Challenge, bool] | None:
    """(realm, challenge, stale) of a challenge that we can answer, else None."""
    try:
        scheme, params = parse_auth(text, "WWW-Authenticate")
    except ParseError:
        return None
    realm, nonce = params.get("realm"), params.get("nonce")
    if scheme.lower() != "digest" or realm is None or nonce is None:
        return None
    algorithm = params.get("algorithm")
    name = (algorithm or "MD5").upper()
    session_variant = name.endswith("-SESS")
    digest = ALGORITHMS.get(name.removesuffix("-SESS"))
    offered = [one.strip().lower() for one in params["qop"].split(",")] if "qop" in params else []
    qop = next((one for one in ("auth", "auth-int") if one in offered), None)
    if digest is None or (offered and qop is None):
        return None
    stale = params.get("stale", "").lower() == "true"
    return realm, _Challenge(nonce, name, algorithm, session_variant, digest, qop, params.get("opaque")), stale


def with_credentials(request: Request, digest: DigestClient, cseq: int) -> Request:
    """The request once more: a new CSeq number and credentials, all else the same (RFC 3261 22.2)."""
    again = renumbered(request, cseq)
    for name in ("Authorization", "Proxy-Authorization"):
        again.headers.remove(name)
    for name, value in digest.headers(request.method, request.uri, request.body):
        again.headers.add(name, value)
    return again


def renumbered(request: Request, cseq: int) -> Request:
    """The request under another CSeq number."""
    headers = Headers()
    for name, value in request.headers:
        headers.add(name, f"{cseq} {parse_cseq(value).method}" if name == "CSeq" else value)
    return Request(request.method, request.uri, headers, request.body)
