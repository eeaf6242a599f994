"""Who the peer is, over real RTP: a phone behind NAT, strays before and after it, holds and session refreshes."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from media.engine import Bridge, Latched, Open, Opened, Stranger
from tests.support import sound
from tests.support.rtp import RtpEndpoint, build_packet
from tests.support.worker import Controller

pytestmark = pytest.mark.worker

PRIVATE = {"remote_address": "127.0.0.77", "remote_port": 4000}  # what the SDP of a phone behind NAT says


class Call:
    """Stream "a" of a phone behind NAT, bridged with "b" of one that is where it says."""

    def __init__(self, media: Controller, alice: RtpEndpoint, bob: RtpEndpoint, at: Opened) -> None:
        self.media, self.alice, self.bob = media, alice, bob
        self.at = (at.address, at.port)

    def agree(self, **more: Any) -> None:
        self.media.connect_to("a", self.alice, **{**PRIVATE, **more})

    async def hears(self, phone: RtpEndpoint) -> None:
        """`phone` is heard by bob, and hears him."""
        since, from_bob = self.bob.mark(), phone.mark()
        phone.say(sound.chirp_up(0.5))
        self.bob.say(sound.chirp_down(0.5))
        await self.bob.hears(sound.chirp_up(0.5), since=since, likeness=0.95)
        await phone.hears(sound.chirp_down(0.5), since=from_bob, likeness=0.95)


@contextlib.asynccontextmanager
async def call(media: Controller, signalling: str = "", **more: Any) -> AsyncIterator[Call]:
    async with await RtpEndpoint.open("127.0.0.2") as alice, await RtpEndpoint.open("127.0.0.3") as bob:
        media.send(Open(stream="a", call="CA", address="127.0.0.1", signalling_address=signalling))
        opened = [await media.expect(Opened, stream="a"), await media.open("b", call="CA")]
        made = Call(media, alice, bob, opened[0])
        made.agree(**more)
        media.connect_to("b", bob)
        media.send(Bridge(bridge="ab", first="a", second="b"))
        bob.send_to((opened[1].address, opened[1].port))
        await media.settled("a", "b")
        yield made


HOLDS: list[dict[str, Any]] = [
    {},
    {"direction": "inactive"},
    {"direction": "sendonly"},
    {"direction": "recvonly"},
    {"remote_address": "0.0.0.0"},  # the old way to hold (RFC 3264 8.4)
]


@pytest.mark.parametrize("hold", HOLDS, ids=["refresh", "inactive", "sendonly", "recvonly", "no_address"])
async def test_after_an_exchange_the_phone_is_found_at_another_port_of_its_nat__rfc3264_8(media: Controller, hold: dict[str, Any]) -> None:
    async with call(media) as made, await RtpEndpoint.open("127.0.0.2") as moved:
        made.alice.send_to(made.at)
        await media.expect(Latched, stream="a", port=made.alice.port)
        await made.hears(made.alice)
        made.alice.mute()
        if hold:
            made.agree(**hold)
            await asyncio.sleep(0.3)
        made.agree()
        await media.synchronize()
        moved.send_to(made.at)
        await media.expect(Latched, stream="a", port=moved.port)
        await made.hears(moved)


async def test_without_an_exchange_another_port_is_a_stranger_s(media: Controller) -> None:
    async with call(media) as made, await RtpEndpoint.open("127.0.0.2") as moved:
        made.alice.send_to(made.at)
        await made.hears(made.alice)
        await asyncio.sleep(3.2)  # as long as a likelier peer may come
        made.alice.mute()
        moved.send_to(made.at)
        await media.expect(Stranger, stream="a", port=moved.port)
        await asyncio.sleep(0.6)
        assert moved.packets == [] and len(media.seen(Latched)) == 1


async def test_an_exchange_that_says_the_same_disturbs_no_audio(media: Controller) -> None:
    """As a 183 and its 200 do."""
    async with call(media) as made, await RtpEndpoint.open("127.0.0.9") as mallory:
        made.alice.send_to(made.at)
        await made.hears(made.alice)
        mallory.send_to(made.at)
        made.alice.say(sound.chirp_up(1.0))
        since = made.bob.mark()
        for _ in range(20):
            made.agree()
            await asyncio.sleep(0.04)
        await made.bob.hears(sound.chirp_up(1.0), since=since, likeness=0.99)
        assert made.bob.missing(since) == 0 and mallory.packets == []
        assert [latched.port for latched in media.seen(Latched)] == [made.alice.port]


async def test_a_stray_packet_before_the_caller_s_first_costs_a_moment(media: Controller) -> None:
    async with call(media) as made, await RtpEndpoint.open("127.0.0.9") as stray:
        stray.send_raw(build_packet(0, 7, 160, 9, bytes(160)), made.at)
        await media.expect(Latched, stream="a", address=stray.host, port=stray.port)
        made.alice.send_to(made.at)
        await media.expect(Latched, stream="a", port=made.alice.port)
        assert (await media.stats("a")).counters.strangers <= 12
        await made.hears(made.alice)


@pytest.mark.parametrize("hint", ["sdp", "signalling"])
async def test_a_flood_loses_to_the_host_of_the_sdp_and_of_the_signalling(media: Controller, hint: str) -> None:
    more = {"remote_address": "127.0.0.2"} if hint == "sdp" else {"signalling": "127.0.0.2"}
    async with call(media, **more) as made, await RtpEndpoint.open("127.0.0.9") as mallory:

        async def flood() -> None:
            for sequence in range(20_000):
                mallory.send_raw(build_packet(0, sequence, 160 * sequence, 9, bytes(160)), made.at)
                if sequence % 20 == 19:
                    await asyncio.sleep(0.01)

        task = asyncio.create_task(flood())
        await media.expect(Latched, stream="a", address=mallory.host)
        made.alice.send_to(made.at)
        await media.expect(Latched, stream="a", address=made.alice.host, port=made.alice.port)
        await made.hears(made.alice)
        await media.expect(Stranger, stream="a", address=mallory.host)
        task.cancel()
        assert media.seen(Latched)[-1].port == made.alice.port
