"""Recordings of calls with codecs other than G.711, and of those that are transcoded."""

from __future__ import annotations

import asyncio
import base64
from pathlib import Path

import numpy as np
import pytest

from media.engine import (
    Bridge,
    Codec,
    Connect,
    Play,
    PlayEnded,
    Record,
    SrtpKeys,
    StopRecord,
    Unbridge,
)
from tests.support import sound
from tests.support.codec_phone import COMFORT_NOISE, CodecPhone, Format, chirp
from tests.support.pace import judged_by_time
from tests.support.phones import bridged_phones, prompt
from tests.support.recordings import begun, finish, recorded
from tests.support.worker import EVENTS, PCMA, PCMU, Controller

pytestmark = [pytest.mark.worker, pytest.mark.sound]

G722 = Codec(payload_type=9, name="G722")
OPUS = Codec(payload_type=96, name="opus", clock_rate_hz=48_000, channels=2, fmtp="useinbandfec=1")
L16 = Codec(payload_type=97, name="L16", clock_rate_hz=44_100)


@pytest.mark.parametrize(("codec", "likeness"), [(PCMA, 0.99), (G722, 0.99), (OPUS, 0.9), (L16, 0.99)])
async def test_every_codec_is_recorded_as_it_was_sent_and_as_it_was_heard(
    media: Controller, tmp_path: Path, codec: Codec, likeness: float
) -> None:
    """One stream of the worker plays to another."""
    ends = {name: await media.open(name, call="CA") for name in ("c", "d")}
    for name, far in (("c", ends["d"]), ("d", ends["c"])):
        media.send(Connect(stream=name, remote_address=far.address, remote_port=far.port, codecs=[codec]))
    for name in ends:
        await begun(media, Record(recording=name, path=str(tmp_path / f"{name}.wav"), stream=name, channels=2))
    media.send(Play(stream="c", play="p", files=[prompt(tmp_path, "p.wav", sound.chirp_up(1.0))]))
    await media.expect(PlayEnded, play="p", reason="finished")
    await asyncio.sleep(0.1)
    for name in ends:
        media.send(StopRecord(recording=name))
        await finish(media, name, "stopped")
    _, sent = recorded(tmp_path / "c.wav")
    heard, _ = recorded(tmp_path / "d.wav")
    with judged_by_time():
        assert sound.find(sound.chirp_up(1.0), sent).likeness > likeness
        assert sound.find(sound.chirp_up(1.0), heard).likeness > likeness
    assert sound.loudness(recorded(tmp_path / "c.wav")[0]) < 10


async def test_an_encrypted_stream_is_recorded_in_the_clear(media: Controller, tmp_path: Path) -> None:
    ends = {name: await media.open(name, call="CA") for name in ("c", "d")}
    keys = [base64.b64encode(bytes([first]) * 30).decode() for first in (1, 2)]
    for (name, far), (local, remote) in zip((("c", ends["d"]), ("d", ends["c"])), (keys, keys[::-1]), strict=True):
        srtp = SrtpKeys(suite="AES_CM_128_HMAC_SHA1_80", local_key=local, remote_key=remote)
        media.send(Connect(stream=name, remote_address=far.address, remote_port=far.port, codecs=[PCMU], srtp=srtp))
        await begun(media, Record(recording=name, path=str(tmp_path / f"{name}.wav"), stream=name, channels=2))
    media.send(Play(stream="c", play="p", files=[prompt(tmp_path, "p.wav", sound.chirp_up(1.0))]))
    await media.expect(PlayEnded, play="p", reason="finished")
    await asyncio.sleep(0.1)
    for name in ends:
        media.send(StopRecord(recording=name))
        await finish(media, name, "stopped")
    with judged_by_time():
        assert sound.find(sound.chirp_up(1.0), recorded(tmp_path / "c.wav")[1]).likeness > 0.99
        assert sound.find(sound.chirp_up(1.0), recorded(tmp_path / "d.wav")[0]).likeness > 0.99


async def test_a_bridge_that_needs_transcoding_is_recorded_from_both_sides(media: Controller, tmp_path: Path) -> None:
    async with bridged_phones(media) as phones:
        media.connect_to("b", phones.bob, [PCMU, EVENTS])
        # Stream "e" speaks Opus to stream "f", which is bridged with nobody and plays to it.
        ends = {name: await media.open(name, call="CA") for name in ("e", "f")}
        for name, far in (("e", ends["f"]), ("f", ends["e"])):
            media.send(Connect(stream=name, remote_address=far.address, remote_port=far.port, codecs=[OPUS]))
        media.send(Unbridge(bridge="ab"))
        media.send(Bridge(bridge="ae", first="a", second="e"))
        await begun(media, Record(recording="r", path=str(tmp_path / "r.wav"), bridge="ae", channels=2))
        phones.alice.say(sound.chirp_up(0.5))
        media.send(Play(stream="f", play="p", files=[prompt(tmp_path, "p.wav", sound.chirp_down(0.5))]))
        await media.expect(PlayEnded, play="p", reason="finished")
        await asyncio.sleep(0.2)
        media.send(StopRecord(recording="r"))
        await finish(media, "r", "stopped")
    left, right = recorded(tmp_path / "r.wav")
    with judged_by_time():
        assert sound.find(sound.chirp_up(0.5), left).likeness > 0.99
        assert sound.find(sound.chirp_down(0.5), right).likeness > 0.9


async def test_pauses_that_are_told_as_noise_are_silence_in_the_recording__rfc3389(media: Controller, tmp_path: Path) -> None:
    """The octets of a noise packet are levels, not samples."""
    alice, bob = await CodecPhone.open_as(Format(G722, 16_000)), await CodecPhone.open_as(Format(PCMU, 8000))
    for name, phone, more in (("a", alice, list[Codec]()), ("b", bob, [COMFORT_NOISE])):
        opened = await media.open(name, call="CA")
        media.connect_to(name, phone, [*phone.codecs, *more])
        phone.send_to((opened.address, opened.port))
    media.send(Bridge(bridge="ab", first="a", second="b"))
    await begun(media, Record(recording="r", path=str(tmp_path / "r.wav"), stream="b", channels=2))
    background = np.random.default_rng(1).normal(0, 30, 16_000).astype(np.int16)
    alice.say(np.concatenate((chirp(16_000, 0.5), background, chirp(16_000, 0.5), background)))
    await alice.said()
    await asyncio.sleep(0.5)
    media.send(StopRecord(recording="r"))
    await finish(media, "r", "stopped")
    await alice.close()
    await bob.close()
    assert any(packet.payload_type == COMFORT_NOISE.payload_type for packet in bob.packets)
    _, sent = recorded(tmp_path / "r.wav")
    with judged_by_time():
        assert sound.find(chirp(8000, 0.5), sent).likeness > 0.9
    # Between and behind the words nothing is louder than the background; a level taken for a sample would be.
    words = np.convolve(np.abs(sent) > 1000, np.ones(800), "same") > 40
    assert np.max(np.abs(sent[~words])) < 1000
