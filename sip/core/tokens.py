"""Tags, branches, Call-IDs and back-off times out of the randomness that the shell injects."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import blake2b

BRANCH_COOKIE = "z9hG4bK"  # RFC 3261 8.1.1.7
_POOL_BYTES = 960


class Tokens:
    """Draws random octets in bulk. `random_bytes` must be cryptographically strong outside of tests (RFC 3261 19.3)."""

    def __init__(self, random_bytes: Callable[[int], bytes]) -> None:
        self._random_bytes = random_bytes
        self._pool = ""
        self._at = 0
        self._key = random_bytes(32)

    def token(self, size_bytes: int = 8) -> str:
        """Lower-case hexadecimal text, twice as long as `size_bytes`."""
        end = self._at + 2 * size_bytes
        if end > len(self._pool):
            self._pool, self._at, end = self._random_bytes(_POOL_BYTES).hex(), 0, 2 * size_bytes
        text = self._pool[self._at : end]
        self._at = end
        return text

    def branch(self) -> str:
        return BRANCH_COOKIE + self.token()

    def uniform(self, low: float, high: float) -> float:
        """Seconds in units of 10 ms, as RFC 3261 14.1 wants them."""
        steps = round((high - low) * 100)
        return low + int(self.token(4), 16) % (steps + 1) / 100

    def stateless_tag(self, *parts: str) -> str:
        """A To tag that is the same for every copy of a request that no transaction remembers (RFC 3261 8.2.7)."""
        return blake2b("\0".join(parts).encode("utf-8", "replace"), digest_size=8, key=self._key).hexdigest()
