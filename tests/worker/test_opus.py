"""Opus as RFC 7587 has it: copies against losses in what we send, and two channels of which we make one."""

from __future__ import annotations

import asyncio
import itertools
import struct
from pathlib import Path

import numpy as np
import pytest

from media.engine import Opened, Play, PlayEnded, Record, StopRecord
from tests.support import opus as libopus
from tests.support import sound
from tests.support.codec_phone import PCMU, CodecPhone, Encoder, Format, l16, opus, speech
from tests.support.likeness import level_at, tone
from tests.support.opus import carries_copy
from tests.support.pace import judged_by_time
from tests.support.phones import bridged, prompt
from tests.support.recordings import begun, finish, recorded
from tests.support.sound import Samples
from tests.support.worker import Controller

pytestmark = [pytest.mark.worker, pytest.mark.sound]


# --- copies against losses --------------------------------------------------------------------------------------------


async def report_loss(media: Controller, phone: CodecPhone, opened: Opened, fraction: int) -> None:
    """A receiver report: so many of 256 packets were lost (RFC 3550 6.4.2)."""
    block = struct.pack("!IIIIII", phone.packets[-1].ssrc, fraction << 24, 0, 0, 0, 0)
    assert phone._control
    phone._control.sendto(struct.pack("!BBHI", 0x81, 201, 7, 77) + block, (opened.address, opened.rtcp_port))
    await asyncio.sleep(0.1)
    await media.settled(opened.stream)


async def heard_while_losses_are_reported(media: Controller, fmtp: str, name: str = "") -> tuple[list[bytes], list[bytes], list[bytes]]:
    """What a phone with Opus is sent of speech in G.711: before it reports losses, while it does, and afterwards."""
    said = speech(8000, below_hz=3300)[: 3 * 8000]
    speaker, listener = await CodecPhone.open_as(PCMU), await CodecPhone.open_as(opus(fmtp))
    parts = []
    async with bridged(media, speaker, listener, name=name) as (_, opened):
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


async def test_copies_are_sent_while_the_peer_loses_packets_if_both_agreed__rfc7587_3_2(media: Controller) -> None:
    """With an agreement, with a refusal, and with nothing said of it, at the same time."""
    every = ["useinbandfec=1", "useinbandfec=0", ""]
    heard = await asyncio.gather(*(heard_while_losses_are_reported(media, fmtp, f"{number}-") for number, fmtp in enumerate(every)))
    for fmtp, parts in zip(every, heard, strict=True):
        shares = []
        for part in parts:
            with judged_by_time():
                assert len(part) > 140
            flags = [carries_copy(payload) for payload in part]
            shares.append(sum(flag is True for flag in flags) / sum(flag is not None for flag in flags))
        before, meanwhile, after = shares
        # The first packet of a part may have been made before the report came.
        assert before == 0 and after < 0.02, fmtp
        if fmtp != "useinbandfec=1":
            assert meanwhile == 0, fmtp
        with judged_by_time():  # the encoder makes none of what was made up for speech that came late
            assert meanwhile > 0.5 or fmtp != "useinbandfec=1"


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
    with judged_by_time():
        assert len(errors) > 10
    repaired_db, concealed_db = (float(np.median(-10 * np.log10(column))) for column in zip(*errors, strict=True))
    with judged_by_time():
        assert repaired_db > concealed_db + 3, (repaired_db, concealed_db)


# --- two channels -----------------------------------------------------------------------------------------------------

STEREO = [opus("stereo=1; sprop-stereo=1", channels=2, bit_rate="96000"), l16(16_000, 2), l16(48_000, 2)]


def say_sides(phone: CodecPhone, left: Samples, right: Samples) -> None:
    """Another sound on each side."""
    encoder = Encoder(phone.format)
    sides = np.stack((left, right), axis=1).reshape(-1, phone.frame, 2)
    phone.say_encoded([encoder.encode(frame) for frame in sides])


@pytest.mark.parametrize("format", STEREO, ids=str)
async def test_of_two_channels_the_mean_is_heard_and_recorded(media: Controller, tmp_path: Path, format: Format) -> None:
    """Left and right differ, then one is silent, then one is the other upside down."""
    low, high = (tone(format.rate_hz, hz, 1.0, 6000) for hz in (500, 1300))
    silent = np.zeros_like(low)
    speaker, listener = await CodecPhone.open_as(format), await CodecPhone.open_as(PCMU)
    async with bridged(media, speaker, listener):
        await begun(media, Record(recording="r", path=str(tmp_path / "r.wav"), stream="0", channels=2))
        since = len(listener.packets)
        for left, right in ((low, high), (silent, silent), (silent, high), (silent, silent), (low, -low)):
            say_sides(speaker, left, right)
        await speaker.said()
        await asyncio.sleep(0.5)
        media.send(StopRecord(recording="r"))
        await finish(media, "r", "stopped")
        bridged_audio = listener.heard(since)
    for heard in (bridged_audio, recorded(tmp_path / "r.wav")[0]):
        begin = int(np.argmax(np.abs(heard) > 1000))
        # The middles of the first, the third and the fifth second.
        both, one, none = (heard[begin + at : begin + at + 4800] for at in (1600, 17_600, 33_600))
        with judged_by_time():
            assert level_at(both, 500, 8000) == pytest.approx(3000, rel=0.1)
            assert level_at(both, 1300, 8000) == pytest.approx(3000, rel=0.1)
            assert level_at(one, 500, 8000) < 100
            assert level_at(one, 1300, 8000) == pytest.approx(3000, rel=0.1)
            assert sound.loudness(none) < 150


@pytest.mark.parametrize("format", STEREO, ids=str)
async def test_who_hears_two_channels_hears_the_same_in_both(media: Controller, tmp_path: Path, format: Format) -> None:
    """Opus says in each packet that it holds one channel (RFC 6716 3.1), L16 has no way to."""
    phone = await CodecPhone.open_as(format)
    async with phone:
        opened = await media.open("0")
        media.connect_to("0", phone, phone.codecs)
        phone.send_to((opened.address, opened.port))
        media.send(Play(stream="0", play="p", files=[prompt(tmp_path, "p.wav", sound.tone(1000, 1.0))]))
        await media.expect(PlayEnded, play="p", reason="finished")
        await phone.until_silence()
        payloads = [packet.payload for packet in phone.packets if packet.payload_type == format.payload_type]
    assert len(payloads) >= 50
    for payload in payloads:
        if format.name == "opus":
            assert payload[0] & 0x04 == 0
        else:
            sides = np.frombuffer(payload, dtype=">i2").reshape(-1, 2)
            assert (sides[:, 0] == sides[:, 1]).all()
