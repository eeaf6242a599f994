"""The worker's SRTP against libsrtp: each protects what the other unprotects, in every suite."""

from __future__ import annotations

import base64
import random
import subprocess
from collections.abc import Iterator

import pytest

from tests.support import libsrtp
from tests.support.libsrtp import LibsrtpError
from tests.support.worker import CRATE

pytestmark = pytest.mark.worker

SSRC = 0x1234_5678
EXAMPLE = CRATE / "target" / "release" / "examples" / "srtp_peer"


class Ours:
    """The example program of the crate: our SRTP behind a pipe."""

    def __init__(self) -> None:
        self._process = subprocess.Popen([EXAMPLE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)

    def ask(self, *words: str) -> str:
        assert self._process.stdin and self._process.stdout
        self._process.stdin.write(" ".join(words) + "\n")
        self._process.stdin.flush()
        return self._process.stdout.readline().strip()

    def keys(self, direction: str, suite: str, master: bytes, mki: bytes = b"") -> None:
        assert self.ask(direction, direction, suite, base64.b64encode(master).decode(), mki.hex()) == "ok"

    def protect(self, packet: bytes) -> bytes:
        return bytes.fromhex(self.ask("protect", "out", packet.hex()))

    def protect_control(self, packet: bytes) -> bytes:
        return bytes.fromhex(self.ask("protect_control", "out", packet.hex()))

    def unprotect(self, packet: bytes) -> bytes:
        return bytes.fromhex(self.ask("unprotect", "in", packet.hex()))

    def unprotect_control(self, packet: bytes) -> bytes:
        return bytes.fromhex(self.ask("unprotect_control", "in", packet.hex()))

    def close(self) -> None:
        assert self._process.stdin
        self._process.stdin.close()
        assert self._process.wait(5) == 0


@pytest.fixture(scope="module", autouse=True)
def _built() -> None:
    try:
        libsrtp.library()
    except OSError:
        pytest.fail("libsrtp is not installed (Debian: libsrtp2-1)")
    subprocess.run(["cargo", "build", "--release", "--locked", "--quiet", "--example", EXAMPLE.name], cwd=CRATE, check=True)


@pytest.fixture
def ours() -> Iterator[Ours]:
    peer = Ours()
    yield peer
    peer.close()


def master_of(suite: str, seed: int = 1) -> bytes:
    return random.Random(f"{suite} {seed}").randbytes(libsrtp.KEY_OCTETS[suite])


def rtp(sequence: int, octets: int = 160, head: bytes = b"\x80\x00", extra: bytes = b"") -> bytes:
    numbers = (sequence % 65536).to_bytes(2, "big") + (sequence * 160 % 2**32).to_bytes(4, "big") + SSRC.to_bytes(4, "big")
    return head + numbers + extra + bytes(octets)


def report(words: int = 6) -> bytes:
    return b"\x81\xc9" + (words + 1).to_bytes(2, "big") + SSRC.to_bytes(4, "big") + bytes(range(4 * words))


@pytest.mark.parametrize("suite", libsrtp.SUITES)
def test_each_understands_the_other(suite: str, ours: Ours) -> None:
    master, back = master_of(suite, 1), master_of(suite, 2)
    ours.keys("out", suite, master)
    ours.keys("in", suite, back)
    receiver = libsrtp.Session(suite, master, inbound=True)
    sender = libsrtp.Session(suite, back, inbound=False)
    extension = b"CCCC\xbe\xde\x00\x01EEEE"
    packets = [rtp(1, 0), rtp(2, 1), rtp(3), rtp(4, 1200), rtp(5, 20, b"\x91\x80", extension)]
    for packet in packets:
        assert receiver.unprotect(ours.protect(packet)) == packet
        assert ours.unprotect(sender.protect(packet)) == packet
    for words in (0, 6, 30):
        assert receiver.unprotect_control(ours.protect_control(report(words))) == report(words)
        assert ours.unprotect_control(sender.protect_control(report(words))) == report(words)


@pytest.mark.parametrize("suite", ["AES_CM_128_HMAC_SHA1_80", "AEAD_AES_256_GCM"])
def test_the_octets_are_the_same(suite: str, ours: Ours) -> None:
    master = master_of(suite)
    ours.keys("out", suite, master)
    theirs = libsrtp.Session(suite, master, inbound=False)
    for sequence in (65534, 65535, 0, 1):
        assert ours.protect(rtp(sequence)) == theirs.protect(rtp(sequence))


@pytest.mark.parametrize("suite", ["AES_CM_128_HMAC_SHA1_32", "AES_256_CM_HMAC_SHA1_80", "AEAD_AES_128_GCM"])
def test_both_roll_over_with_loss_and_disorder(suite: str, ours: Ours) -> None:
    master = master_of(suite)
    ours.keys("out", suite, master)
    ours.keys("in", suite, master)
    receiver, sender = libsrtp.Session(suite, master, inbound=True), libsrtp.Session(suite, master, inbound=False)
    chance = random.Random(7)
    for block in range(0, 3 * 65536, 12000):
        packets = [rtp(60000 + block + step, 20) for step in range(30)]
        to_them, to_us = [ours.protect(packet) for packet in packets], [sender.protect(packet) for packet in packets]
        order = chance.sample(range(30), 25)
        for index in order:
            assert receiver.unprotect(to_them[index]) == packets[index]
            assert ours.unprotect(to_us[index]) == packets[index]


@pytest.mark.parametrize("suite", libsrtp.SUITES)
def test_each_refuses_what_is_wrong(suite: str, ours: Ours) -> None:
    master = master_of(suite)
    ours.keys("out", suite, master_of(suite, 2))
    ours.keys("in", suite, master)
    receiver, sender = libsrtp.Session(suite, master, inbound=True), libsrtp.Session(suite, master, inbound=False)
    with pytest.raises(LibsrtpError, match="auth_fail"):
        receiver.unprotect(ours.protect(rtp(1)))
    with pytest.raises(LibsrtpError, match="auth_fail"):
        receiver.unprotect_control(ours.protect_control(report()))
    protected = sender.protect(rtp(1))
    changed = protected[:20] + bytes([protected[20] ^ 1]) + protected[21:]
    assert ours.ask("unprotect", "in", changed.hex()) == "! Unauthentic"
    assert ours.unprotect(protected) == rtp(1)
    assert ours.ask("unprotect", "in", protected.hex()) == "! Replayed"


@pytest.mark.parametrize("suite", ["AES_CM_128_HMAC_SHA1_80", "AES_256_CM_HMAC_SHA1_32", "AEAD_AES_128_GCM"])
def test_packets_with_a_key_identifier(suite: str, ours: Ours) -> None:
    master = master_of(suite)
    ours.keys("in", suite, master, mki=b"\x01")
    sender = libsrtp.Session(suite, master, inbound=False, mki=b"\x01")
    assert ours.unprotect(sender.protect(rtp(1))) == rtp(1)
    assert ours.unprotect_control(sender.protect_control(report())) == report()


@pytest.mark.parametrize("suite", ["AES_CM_128_HMAC_SHA1_80", "AEAD_AES_128_GCM"])
def test_a_change_of_keys_keeps_or_restarts_the_counter(suite: str, ours: Ours) -> None:
    first, second, third = (master_of(suite, seed) for seed in (1, 2, 3))
    ours.keys("in", suite, first)
    ours.keys("out", suite, first)
    sender, receiver = libsrtp.Session(suite, first, inbound=False), libsrtp.Session(suite, first, inbound=True)
    for sequence in (50000, 65000, 20000):
        assert ours.unprotect(sender.protect(rtp(sequence))) == rtp(sequence)
        assert receiver.unprotect(ours.protect(rtp(sequence))) == rtp(sequence)
    # libsrtp's update keeps it, on both of its sides
    ours.keys("in", suite, second)
    ours.keys("out", suite, second)
    sender.rekey(suite, second)
    receiver.rekey(suite, second)
    assert ours.unprotect(sender.protect(rtp(20001))) == rtp(20001)
    assert receiver.unprotect(ours.protect(rtp(20001))) == rtp(20001)
    # a peer that makes a new session begins at zero
    ours.keys("in", suite, third)
    sender = libsrtp.Session(suite, third, inbound=False)
    for sequence in (20002, 50000, 10000):
        assert ours.unprotect(sender.protect(rtp(sequence))) == rtp(sequence)
