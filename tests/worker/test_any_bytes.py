"""Any bytes on any socket of the worker leave it running: RTP, RTCP and the controller's, in the clear and with keys."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from media.engine import Bridge, Listing
from tests.support import libsrtp, sound
from tests.support.rtp import RtpEndpoint, build_packet
from tests.support.secure_phone import Keys, SecurePhone
from tests.support.worker import Controller, Worker, running

pytestmark = pytest.mark.worker

FRAMES = Path(__file__).parents[1] / "vectors" / "media" / "frames.json"
ROUNDS = 4000


@pytest.fixture
async def worker(tmp_path: Path) -> AsyncIterator[Worker]:
    async with running(tmp_path, "--threads", "2", "--max-packets-per-second", "0") as worker:
        yield worker


def some_packet(chance: random.Random) -> bytes:
    """Something like RTP or RTCP, mostly not quite."""
    match chance.randrange(4):
        case 0:
            octets = bytearray(chance.randbytes(chance.randrange(1600)))
        case 1:
            octets = bytearray(build_packet(chance.choice((0, 101, 13, 127)), chance.randrange(65536), 0, 1, chance.randbytes(160)))
        case 2:
            words = chance.randrange(60)
            octets = bytearray(bytes((0x80 | chance.randrange(32), chance.randrange(192, 224))) + words.to_bytes(2, "big"))
            octets += chance.randbytes(4 * chance.choice((words, words, chance.randrange(80))))
        case _:
            octets = bytearray(b"\xbf\x80" + chance.randbytes(chance.randrange(400)))
    for _ in range(chance.randrange(3)):
        if octets:
            octets[chance.randrange(len(octets))] ^= 1 << chance.randrange(8)
    return bytes(octets)


@pytest.mark.parametrize("mux", [False, True])
@pytest.mark.parametrize("encrypted", [False, True])
async def test_any_datagrams_leave_a_call_as_it_is(worker: Worker, media: Controller, encrypted: bool, mux: bool) -> None:
    keys = Keys.some("AES_CM_128_HMAC_SHA1_80")
    async with (
        await SecurePhone.open("127.0.0.2") as alice,
        await RtpEndpoint.open("127.0.0.3") as bob,
        await RtpEndpoint.open("127.0.0.9") as mallory,
    ):
        assert isinstance(alice, SecurePhone)
        more = {"srtp": keys.for_worker} if encrypted else {}
        if encrypted:
            alice.secure(keys)
        ports = []
        for name, phone, fields in (("a", alice, more), ("b", bob, {})):
            at = await media.open(name, call="CA")
            media.connect_to(name, phone, None, rtcp_mux=mux, **fields)
            phone.send_to((at.address, at.port))
            ports += [(at.address, at.port), (at.address, at.rtcp_port)]
        media.send(Bridge(bridge="ab", first="a", second="b"))
        await asyncio.sleep(0.2)
        chance = random.Random(f"{encrypted} {mux}")
        # Authentic rubbish too: under keys of its own, only a peer gets beyond the cipher.
        inside = libsrtp.Session(keys.suite, keys.own, inbound=False)
        for round_ in range(ROUNDS):
            sender = chance.choice((alice._media, alice._control, bob._media, bob._control, mallory._media, mallory._control))
            assert sender
            packet = some_packet(chance)
            if encrypted and sender in (alice._media, alice._control) and round_ % 2:
                try:
                    packet = inside.protect_control(packet) if 192 <= packet[1] <= 223 else inside.protect(packet)
                except (libsrtp.LibsrtpError, IndexError):
                    continue
            sender.sendto(packet, chance.choice(ports))
            if round_ % 50 == 0:
                await asyncio.sleep(0.003)
        await asyncio.sleep(0.2)
        await media.settled("a", "b")
        assert worker.process.poll() is None
        a, b = await media.counters("a"), await media.counters("b")
        assert a.strangers > 100 and a.malformed + a.unauthentic > 100 and b.malformed > 100
        # Whoever began anew by what it sent is heard again.
        alice.say(sound.chirp_up(0.5))
        await bob.hears(sound.chirp_up(0.5), since=bob.mark(), timeout_s=4.0)
        assert "panic" not in worker.errors.read_text()


async def test_any_frames_leave_the_worker_and_its_calls_as_they_are(worker: Worker, media: Controller) -> None:
    golden = [bytes.fromhex(one["hex"]) for one in json.loads(FRAMES.read_text()) if one["kind"] == "command"]
    golden = [frame for frame in golden if b"shutdown" not in frame and b"hello" not in frame]
    assert any(b"deadline" in frame for frame in golden) and any(b"join" in frame for frame in golden)
    await media.open("kept")
    chance = random.Random(5)
    for round_ in range(1500):
        body = bytearray(chance.choice(golden)[4:])
        for _ in range(chance.randrange(4)):
            match chance.randrange(3):
                case 0:
                    body[chance.randrange(len(body))] = chance.randrange(256)
                case 1:
                    del body[chance.randrange(len(body)) :]
                case _:
                    at = chance.randrange(len(body) + 1)
                    body[at:at] = chance.randbytes(3)
            if not body:
                break
        if b"kept" not in body:
            media.send_body(bytes(body))
        if round_ % 100 == 0:
            await asyncio.sleep(0.01)
    await media.synchronize()
    # Rubbish in place of frames, on a connection of its own.
    for _ in range(20):
        connection = await worker.raw_connection()
        connection.send_raw(chance.randbytes(chance.randrange(4000)))
        await connection.close()
    await media.synchronize()
    assert worker.process.poll() is None
    assert "kept" in [stream.stream for stream in media.seen(Listing)[-1].streams]
    assert "panic" not in worker.errors.read_text()
