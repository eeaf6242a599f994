"""Who the peer of a stream is: the latch, and what comes from others."""

from __future__ import annotations

import asyncio
import os

import numpy as np
import pytest

from media.engine import (
    Bridge,
    Latched,
    Stranger,
)
from tests.support import sound
from tests.support.rtp import RtpEndpoint
from tests.support.worker import Controller
from tests.worker.pairs import bridged, either_worker, rtp

pytestmark = pytest.mark.worker


worker = either_worker


async def test_a_phone_behind_a_nat_is_found_and_a_stranger_never_heard(media: Controller) -> None:
    async with (
        await RtpEndpoint.open("127.0.0.2") as alice,
        await RtpEndpoint.open("127.0.0.3") as bob,
        await RtpEndpoint.open("127.0.0.9") as mallory,
    ):
        opened = [await media.open(name, call="CA") for name in ("a", "b")]
        media.connect_to("a", alice, remote_address="127.0.0.77", remote_port=4000)
        media.connect_to("b", bob)
        media.send(Bridge(bridge="ab", first="a", second="b"))
        bob.send_to((opened[1].address, opened[1].port))
        alice.send_to((opened[0].address, opened[0].port))
        latched = await media.expect(Latched, stream="a")
        assert (latched.address, latched.port) == (alice.host, alice.port)
        await media.counters("a", packets_in=10)
        mallory.say(sound.tone(1000, 2.0))
        mallory.send_to((opened[0].address, opened[0].port))
        stranger = await media.expect(Stranger, stream="a")
        assert (stranger.address, stranger.port) == (mallory.host, mallory.port)
        alice.say(sound.chirp_up(0.5))
        await bob.hears(sound.chirp_up(0.5), likeness=0.99)
        assert sound.tone_seconds(bob.heard(), 1000) == 0
        assert mallory.packets == []
        assert len(media.seen(Stranger)) == 1
        for _ in range(200):
            if (strangers := (await media.stats("a")).counters.strangers) > 10:
                break
            await asyncio.sleep(0.02)
        assert strangers > 10


async def test_without_leave_to_latch_only_the_signalled_address_is_heard(media: Controller) -> None:
    async with await RtpEndpoint.open("127.0.0.2") as alice, await RtpEndpoint.open("127.0.0.3") as bob:
        pair = await bridged(media, alice, bob)
        media.connect_to("a", alice, remote_port=alice.port + 2, latch=False)
        await media.expect(Stranger, stream="a")
        await media.settled("a", "b")
        await asyncio.sleep(0.1)
        since = bob.mark()
        await asyncio.sleep(0.2)
        assert len(bob.packets) == since
        assert pair.media.seen(Latched) == []


async def test_implausible_packets_do_not_move_the_latch(media: Controller) -> None:
    async with await RtpEndpoint.open("127.0.0.2") as alice, await RtpEndpoint.open("127.0.0.9") as mallory:
        at = await media.open("a")
        target = (at.address, at.port)
        media.connect_to("a", alice, remote_address="127.0.0.77", remote_port=4000)
        await media.synchronize()
        for junk in (b"", b"\x80", os.urandom(172)[:1], b"\x00" + rtp(1)[1:], rtp(1, payload_type=96), b"\x80\xc8" + bytes(26)):
            mallory.send_raw(junk, target)
        await asyncio.sleep(0.1)
        await media.settled("a")
        assert media.seen(Latched) == []
        alice.send_to(target)
        await media.expect(Latched, stream="a", port=alice.port)


async def test_a_new_address_in_the_session_opens_the_latch_again(media: Controller) -> None:
    async with (
        await RtpEndpoint.open("127.0.0.2") as alice,
        await RtpEndpoint.open("127.0.0.3") as bob,
        await RtpEndpoint.open("127.0.0.4") as carol,
    ):
        pair = await bridged(media, alice, bob)
        await asyncio.sleep(0.2)
        media.connect_to("a", carol)
        carol.send_to((pair.to_alice.address, pair.to_alice.port))
        carol.say(sound.chirp_up(0.5))
        alice.say(sound.chirp_down(0.5))
        await bob.hears(sound.chirp_up(0.5))
        await alice.said()
        assert sound.find(sound.chirp_down(0.5), bob.heard()).likeness < 0.5
        bob.say(sound.chirp_down(0.5))
        await carol.hears(sound.chirp_down(0.5))


async def test_the_same_session_again_changes_nothing(media: Controller) -> None:
    async with await RtpEndpoint.open("127.0.0.2") as alice, await RtpEndpoint.open("127.0.0.3") as bob:
        await bridged(media, alice, bob)
        alice.say(sound.chirp_up(0.6))
        for _ in range(20):
            media.connect_to("a", alice)
            media.connect_to("b", bob)
            media.send(Bridge(bridge="ab", first="a", second="b"))
            await asyncio.sleep(0.02)
        await bob.hears(sound.chirp_up(0.6), likeness=0.99)


async def test_any_bytes_on_the_ports_leave_it_running(media: Controller) -> None:
    async with await RtpEndpoint.open("127.0.0.2") as alice, await RtpEndpoint.open("127.0.0.3") as bob:
        pair = await bridged(media, alice, bob)
        generator = np.random.default_rng(1)
        for round_ in range(3000):
            junk = bytearray(generator.bytes(int(generator.integers(0, 200))))
            if junk and round_ % 2:
                junk[0] = 0x80 | junk[0] & 0x3F
            alice.send_raw(bytes(junk), (pair.to_alice.address, pair.to_alice.port + round_ % 3 % 2))
            if round_ % 100 == 0:
                await asyncio.sleep(0.005)
        alice.say(sound.chirp_up(0.5))
        await bob.hears(sound.chirp_up(0.5))
        assert (await media.stats("a")).counters.malformed > 100
