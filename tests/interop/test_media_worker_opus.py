"""Opus as RFC 7587 has it: copies against losses in what we send."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import struct
from collections.abc import AsyncIterator

import numpy as np
import pytest

from media.engine import Bridge, Opened
from tests.support import opus as libopus
from tests.support import sound
from tests.support.codec_phone import PCMU, CodecPhone, opus, speech
from tests.support.opus import carries_copy
from tests.support.worker import Controller

pytestmark = pytest.mark.interop


@contextlib.asynccontextmanager
async def bridged(media: Controller, *phones: CodecPhone) -> AsyncIterator[list[Opened]]:
    """Phones on streams "0" and "1", bridged as "b"; both talk."""
    opened = []
    for index, phone in enumerate(phones):
        opened.append(await media.open(str(index), call="CA"))
        media.connect_to(str(index), phone, phone.codecs, ptime_ms=phone.ptime_ms)
        phone.send_to((opened[-1].address, opened[-1].port))
    media.send(Bridge(bridge="b", first="0", second="1"))
    await media.synchronize()
    try:
        yield opened
    finally:
        for phone in phones:
            await phone.close()


# --- copies against losses --------------------------------------------------------------------------------------------


async def report_loss(media: Controller, phone: CodecPhone, opened: Opened, fraction: int) -> None:
    """A receiver report: so many of 256 packets were lost (RFC 3550 6.4.2)."""
    block = struct.pack("!IIIIII", phone.packets[-1].ssrc, fraction << 24, 0, 0, 0, 0)
    assert phone._control
    phone._control.sendto(struct.pack("!BBHI", 0x81, 201, 7, 77) + block, (opened.address, opened.rtcp_port))
    await asyncio.sleep(0.1)


async def heard_while_losses_are_reported(media: Controller, fmtp: str) -> tuple[list[bytes], list[bytes], list[bytes]]:
    """What a phone with Opus is sent of speech in G.711: before it reports losses, while it does, and afterwards."""
    said = speech(8000, below_hz=3300)[: 3 * 8000]
    speaker, listener = await CodecPhone.open_as(PCMU), await CodecPhone.open_as(opus(fmtp))
    parts = []
    async with bridged(media, speaker, listener) as (_, opened):
        for fraction in (0, 51, 0):
            if listener.packets:
                await report_loss(media, listener, opened, fraction)
            since = len(listener.packets)
            speaker.say(said)
            await speaker.said()
            await asyncio.sleep(0.2)
            parts.append([packet.payload for packet in listener.packets[since:] if packet.payload_type == listener.payload_type])
    before, meanwhile, after = parts
    return before, meanwhile, after


@pytest.mark.parametrize("fmtp", ["useinbandfec=1", "useinbandfec=0", ""])
async def test_copies_are_sent_while_the_peer_loses_packets_if_both_agreed__rfc7587_3_2(media: Controller, fmtp: str) -> None:
    shares = []
    for part in await heard_while_losses_are_reported(media, fmtp):
        assert len(part) > 140
        flags = [carries_copy(payload) for payload in part]
        shares.append(sum(flag is True for flag in flags) / sum(flag is not None for flag in flags))
    before, meanwhile, after = shares
    # The first packet of a part may have been made before the report came.
    assert before == 0 and after < 0.02
    assert meanwhile > 0.5 if fmtp == "useinbandfec=1" else meanwhile == 0


async def test_copies_that_are_sent_repair_what_the_peer_loses__rfc6716_2_1_7(media: Controller) -> None:
    _, packets, _ = await heard_while_losses_are_reported(media, "useinbandfec=1")
    whole, repairing, concealing = libopus.Decoder(), libopus.Decoder(), libopus.Decoder()
    errors = []
    for index, (payload, following) in enumerate(itertools.pairwise(packets)):
        sent = whole.decode(payload).astype(float)
        if index % 5 != 4:
            repairing.decode(payload)
            concealing.decode(payload)
            continue
        # Lost: one asks the next packet, the other has to guess.
        pair = (repairing.decode(following, copy=True), concealing.decode(None))
        if carries_copy(following) and sound.loudness(sent.astype(np.int16)) > 300:
            errors.append([float(np.mean((heard - sent) ** 2) / np.mean(sent**2)) for heard in pair])
    assert len(errors) > 10
    repaired_db, concealed_db = (float(np.median(-10 * np.log10(column))) for column in zip(*errors, strict=True))
    assert repaired_db > concealed_db + 3, (repaired_db, concealed_db)
