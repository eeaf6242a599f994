"""Digest credentials, the server's side.

    challenge ─▶ nonce (time, chance, MAC over both and the peer's address: nothing is kept of it)
    judge ─▶ the nonce: ours, of this address, young ─▶ the proof ─▶ the count: higher than ever before under this nonce

A challenge costs no memory, so that a flood of requests without credentials leaves nothing behind. Only a nonce that was answered
*rightly* is remembered, with the highest count it was used with; when there are too many the oldest is forgotten, and everything that
was issued before it counts as stale. Under a nonce that is old, of another address or of another run of this program nothing is judged,
so that nobody can try passwords there: the answer is always `Judgement.STALE`, and a phone asks once more without its user's help.
Wrong credentials under a nonce that this very address was given are `Judgement.WRONG`: a guess, which somebody may count.
Without qop (RFC 2069) there is no count, so such a nonce is good for one request.
Source: RFC 7616 3.3-3.7, RFC 8760 2.4, RFC 3261 22.4.
"""

from __future__ import annotations

import enum
import hmac
import re
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b

from sip.core.digest import ALGORITHMS
from sip.core.tokens import Tokens
from sip.message import ParseError, build_auth, parse_auth, parse_uri

MAX_NONCES = 50_000  # that are remembered: twice as many phones as a server of this kind has, each with one
_NONCE_RE = re.compile(r"([0-9a-f]{12})([0-9a-f]{16})([0-9a-f]{32})")
_COUNT_RE = re.compile(r"[0-9a-fA-F]{8}")


def ha1(algorithm: str, user: str, realm: str, password: str) -> str:
    """What is kept of a password: H(user:realm:password) in lower-case hexadecimal (RFC 7616 3.4.2)."""
    return ALGORITHMS[algorithm](f"{user}:{realm}:{password}".encode())


@dataclass(frozen=True, slots=True)
class Secrets:
    """Of one user: HA1 by the name of its algorithm, `MD5` or `SHA-256`; never shown."""

    by_algorithm: tuple[tuple[str, str], ...]

    def of(self, algorithm: str) -> str | None:
        return dict(self.by_algorithm).get(algorithm)

    def __repr__(self) -> str:
        return "Secrets(***)"


class Judgement(enum.Enum):
    RIGHT = "right"
    STALE = "stale"  # not under this nonce: ask again, the user need not know
    WRONG = "wrong"
    BROKEN = "broken"  # they do not belong to this request (RFC 7616 3.4.6)


@dataclass(frozen=True, slots=True)
class Answer:
    """The credentials of one request, as they came."""

    user: str
    algorithm: str
    params: dict[str, str]


class DigestServer:
    """algorithms: those that are offered, the best first (RFC 8760 2.4)."""

    def __init__(self, realm: str, algorithms: Sequence[str], nonce_s: float, tokens: Tokens) -> None:
        self.realm = realm
        self._algorithms = tuple(algorithms)
        self._nonce_s = nonce_s
        self._tokens = tokens
        self._key = bytes.fromhex(tokens.token(32))
        self._used: OrderedDict[str, tuple[int, int]] = OrderedDict()  # nonce -> (when it was issued in ms, its highest count)
        self._forgotten_at = -1  # what was issued until then and is not remembered, may have been used

    def __len__(self) -> int:
        """Nonces that are remembered."""
        return len(self._used)

    # --- asking ---------------------------------------------------------------------------------------------------

    def challenges(self, secrets: Secrets | None, host: str, now: float, *, stale: bool = False) -> list[str]:
        """The values of WWW- or Proxy-Authenticate for a peer at this address. secrets: of whom it says it is; None when nobody is."""
        nonce = self._nonce(host, now)
        values = []
        for algorithm in self._algorithms:
            if secrets is None or secrets.of(algorithm) is not None:
                params = {"realm": self.realm, "nonce": nonce, "algorithm": algorithm, "qop": "auth"}
                values.append(build_auth("Digest", params | ({"stale": "true"} if stale else {})))
        return values

    def _nonce(self, host: str, now: float) -> str:
        body = f"{max(0, int(now * 1000)) & 0xFFFF_FFFF_FFFF:012x}{self._tokens.token(8)}"
        return body + self._mac(body, host)

    def _mac(self, body: str, host: str) -> str:
        return blake2b(f"{body}{host}".encode(), digest_size=16, key=self._key).hexdigest()

    # --- judging --------------------------------------------------------------------------------------------------

    def read(self, values: Sequence[str]) -> Answer | None:
        """The first credentials of our realm among the values of Authorization and Proxy-Authorization."""
        for text in values:
            try:
                scheme, params = parse_auth(text)
            except ParseError:
                continue
            algorithm = (params.get("algorithm") or "MD5").upper()
            ours = params.get("realm") == self.realm and algorithm in self._algorithms and params.get("qop", "auth").lower() == "auth"
            if scheme.lower() == "digest" and ours and all(params.get(name) for name in ("username", "nonce", "uri", "response")):
                return Answer(params["username"], algorithm, params)
        return None

    def judge(self, answer: Answer, secrets: Secrets | None, method: str, uri: str, host: str, now: float) -> Judgement:
        """uri: the Request-URI. secrets: of `answer.user`; None when there is nobody of that name."""
        params, nonce = answer.params, answer.params["nonce"]
        issued_at = self._issued_at(nonce, host)
        if issued_at is None or not 0 <= now * 1000 - issued_at <= self._nonce_s * 1000:
            return Judgement.STALE
        digest = ALGORITHMS[answer.algorithm]
        secret = None if secrets is None else secrets.of(answer.algorithm)
        tail, count = digest(f"{method}:{params['uri']}".encode()), 0
        if "qop" in params:
            text = params.get("nc", "")
            if _COUNT_RE.fullmatch(text) is None or not params.get("cnonce"):
                return Judgement.BROKEN
            count = int(text, 16)
            tail = f"{text}:{params['cnonce']}:{params['qop']}:{tail}"
        proof = digest(f"{secret or ''}:{nonce}:{tail}".encode())
        right = hmac.compare_digest(proof.encode(), params["response"].lower().encode("utf-8", "replace")) and secret is not None
        if not right:
            return Judgement.WRONG
        if not _means_same(params["uri"], uri):
            return Judgement.BROKEN
        return Judgement.RIGHT if self._use(nonce, issued_at, count, now) else Judgement.STALE

    def _issued_at(self, nonce: str, host: str) -> int | None:
        """When we gave it to this address, in ms; None: we never did."""
        match = _NONCE_RE.fullmatch(nonce)
        if match is None or not hmac.compare_digest(match[3], self._mac(match[1] + match[2], host)):
            return None
        return int(match[1], 16)

    def _use(self, nonce: str, issued_at: int, count: int, now: float) -> bool:
        """Count strictly up (RFC 7616 3.4). False: it has been used with this count or a higher one, or perhaps has."""
        while self._used and next(iter(self._used.values()))[0] + self._nonce_s * 1000 < now * 1000:
            self._used.popitem(last=False)  # stale anyhow
        known = self._used.get(nonce)
        if known is None and issued_at <= self._forgotten_at:
            return False
        if known is not None and count <= known[1]:
            return False
        self._used[nonce] = (issued_at, count)
        while len(self._used) > MAX_NONCES:
            self._forgotten_at = max(self._forgotten_at, self._used.popitem(last=False)[1][0])
        return True


def _means_same(told: str, uri: str) -> bool:
    """Whether the URI that was signed is the request's. A proxy on the way may have changed its host, and some phones and test tools sign
    the server's URI instead; but what was signed for one user part is not good for another."""
    if told == uri:
        return True
    try:
        one, other = parse_uri(told), parse_uri(uri)
    except ParseError:
        return False
    return one.user is None or one.user == other.user
