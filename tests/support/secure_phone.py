"""A phone that speaks SRTP by libsrtp: what it sends is protected, and of what comes only what libsrtp accepts is heard."""

from __future__ import annotations

import asyncio
import base64
import random
from dataclasses import dataclass

from media.engine import SrtpKeys
from tests.support import libsrtp
from tests.support.libsrtp import LibsrtpError
from tests.support.rtp import RtpEndpoint


@dataclass(frozen=True)
class Keys:
    """The master keys of a call as the phone sees them: its own, and the worker's."""

    suite: str
    own: bytes
    theirs: bytes
    mki: bytes = b""

    @classmethod
    def some(cls, suite: str, seed: object = 0, mki: bytes = b"") -> Keys:
        octets = libsrtp.KEY_OCTETS[suite]
        return cls(suite, random.Random(f"{seed} own").randbytes(octets), random.Random(f"{seed} theirs").randbytes(octets), mki)

    @property
    def for_worker(self) -> SrtpKeys:
        own, theirs = (base64.b64encode(master).decode() for master in (self.own, self.theirs))
        return SrtpKeys(suite=self.suite, local_key=theirs, remote_key=own, remote_mki=self.mki.hex())


class SecurePhone(RtpEndpoint):
    """Made by `open`, then given its keys; until then it speaks in the clear."""

    _keys: Keys | None = None

    def secure(self, keys: Keys) -> None:
        """New sessions under these keys: every roll-over counter begins at zero."""
        self._keys = keys
        self._outbound = libsrtp.Session(keys.suite, keys.own, inbound=False, mki=keys.mki)
        self._inbound = libsrtp.Session(keys.suite, keys.theirs, inbound=True)
        self.refused: list[str] = []
        self.wire: list[bytes] = []

    def number_from(self, sequence: int) -> None:
        """The sequence number of the next packet."""
        self._sequence = sequence

    def send_raw(self, data: bytes, target: tuple[str, int] | None = None) -> None:
        super().send_raw(data if self._keys is None else self._outbound.protect(data), target)

    def send_clear(self, data: bytes, target: tuple[str, int] | None = None) -> None:
        """Octets as they are."""
        super().send_raw(data, target)

    def send_report(self, data: bytes, target: tuple[str, int], *, muxed: bool) -> None:
        """A protected RTCP packet, from the RTP port or from the one above."""
        socket = self._media if muxed else self._control
        assert socket is not None
        socket.sendto(self._outbound.protect_control(data), target)

    def receive(self, data: bytes, source: tuple[str, int]) -> None:
        if self._keys is None:
            return super().receive(data, source)
        self.wire.append(data)
        if 192 <= data[1] <= 223:
            self.rtcp.append((data, source))
            return None
        try:
            return super().receive(self._inbound.unprotect(data), source)
        except LibsrtpError as error:
            self.refused.append(str(error))

    def reports(self) -> list[bytes]:
        """The control packets that came, decrypted; each once."""
        came, self.rtcp[:] = list(self.rtcp), []
        return [self._inbound.unprotect_control(data) for data, _ in came]

    async def report(self, timeout_s: float = 6.0) -> bytes:
        """The next control packet, decrypted."""
        for _ in range(round(timeout_s / 0.05)):
            if self.rtcp:
                return self._inbound.unprotect_control(self.rtcp.pop(0)[0])
            await asyncio.sleep(0.05)
        raise AssertionError(f"no report in {timeout_s} s")
