"""STUN on the ports of media: phones send it to see whether somebody is there, or to open their NAT (Linphone does both)."""

from __future__ import annotations

import asyncio
import base64
import os
import struct

import msgspec
import pytest

from media.engine import Latched, SrtpKeys, Stranger
from tests.support.rtp import RtpEndpoint, build_packet
from tests.support.worker import Controller

pytestmark = pytest.mark.worker

KEYS = SrtpKeys(suite="AES_CM_128_HMAC_SHA1_80", **{key: base64.b64encode(os.urandom(30)).decode() for key in ("local_key", "remote_key")})


def binding_request(cookie: int = 0x2112A442) -> bytes:
    """Without attributes, as Linphone sends it."""
    return struct.pack("!HHI", 0x0001, 0, cookie) + os.urandom(12)


async def counters(media: Controller, **awaited: int) -> dict[str, int]:
    await asyncio.sleep(0.1)
    told = await media.counters("a", **awaited)
    named = {name: getattr(told, name) for name in ("packets_in", "strangers", "malformed", "unauthentic")}
    return {name: count for name, count in named.items() if count}


@pytest.mark.parametrize("encrypted", [False, True])
async def test_it_is_nothing_malformed__rfc7983_7(media: Controller, encrypted: bool) -> None:
    """On either port; octets that only look like it are counted."""
    async with await RtpEndpoint.open("127.0.0.2") as alice:
        at = await media.open("a")
        media.connect_to("a", alice, srtp=KEYS if encrypted else msgspec.UNSET)
        await media.synchronize()
        assert alice._control
        for request in (binding_request(), binding_request()):
            alice.send_raw(request, (at.address, at.port))
            alice._control.sendto(request, (at.address, at.rtcp_port))
        assert await counters(media) == {}
        alice.send_raw(binding_request(cookie=1), (at.address, at.port))
        alice._control.sendto(binding_request(cookie=1), (at.address, at.rtcp_port))
        for _ in range(20):
            if sum((found := await counters(media)).values()) == 2:
                break
        assert sum(found.values()) == 2
        assert alice.packets == [] and alice.malformed == 0  # nothing is answered


async def test_it_neither_moves_the_latch_nor_is_a_stranger_s(media: Controller) -> None:
    """The peer comes from another port than its SDP says: its RTP decides."""
    async with await RtpEndpoint.open("127.0.0.2") as alice:
        at = await media.open("a")
        media.connect_to("a", alice, remote_port=alice.port + 100)
        await media.synchronize()
        alice.send_raw(binding_request(), (at.address, at.port))
        assert await counters(media) == {}
        assert media.seen(Latched) == [] and media.seen(Stranger) == []
        alice.send_raw(build_packet(0, 1, 160, 7, bytes(160)), (at.address, at.port))
        assert (await media.expect(Latched)).port == alice.port
        assert await counters(media, packets_in=1) == {"packets_in": 1}
