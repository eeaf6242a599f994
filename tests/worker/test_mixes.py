"""Conferences of the real worker: who hears whom, and what all hear; phones of mixed codecs and rates."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import numpy as np
import pytest

from media.engine import (
    Bridge,
    Close,
    Failed,
    Join,
    Joined,
    Leave,
    Left,
    List,
    Listing,
    Mute,
    Play,
    PlayEnded,
    Record,
    RecordingEnded,
    StopPlay,
    StopRecord,
)
from tests.support import sound
from tests.support.codec_phone import G722, OPUS, PCMA, PCMU, CodecPhone, Format, encode_all, l16, silence_packet
from tests.support.likeness import level_at, tone
from tests.support.pace import in_time, judged_by_time
from tests.support.rtp import RtpEndpoint
from tests.support.worker import Controller, Worker, running

pytestmark = [pytest.mark.worker, pytest.mark.sound]

MIXED = [PCMU, PCMA, G722, OPUS, l16(48_000, 2)]
TONES_HZ = [500.0, 700.0, 1100.0, 1700.0, 2600.0]
LEVEL = 4000


@pytest.fixture
async def worker(tmp_path: Path) -> AsyncIterator[Worker]:
    async with running(tmp_path, "--threads", "2", "--mix-members", "40") as worker:
        yield worker


@contextlib.asynccontextmanager
async def conference(media: Controller, formats: list[Format], *, say: bool = True) -> AsyncIterator[list[CodecPhone]]:
    """Members "0", "1", … of the mix "m", each in a call of its own, so that threads differ; each says its own tone for 60 s."""
    said = [encode_all(format, tone(format.rate_hz, TONES_HZ[i], 10.0, LEVEL)) * 6 for i, format in enumerate(formats)] if say else []
    async with contextlib.AsyncExitStack() as stack:
        phones = []
        for format in formats:
            silence_packet(format)
            phones.append(await stack.enter_async_context(await CodecPhone.open_as(format)))
        for index, phone in enumerate(phones):
            assert isinstance(phone, CodecPhone)
            opened = await media.open(str(index), call=f"CA{index}")
            media.connect_to(str(index), phone, phone.codecs)
            media.send(Join(mix="m", stream=str(index)))
            assert (await media.expect(Joined, stream=str(index))).members == index + 1
            phone.send_to((opened.address, opened.port))
            if say:
                phone.say_encoded(said[index])
        yield [phone for phone in phones if isinstance(phone, CodecPhone)]


async def levels(phones: list[CodecPhone], settle_s: float = 0.5, for_s: float = 0.8) -> list[list[float]]:
    """How loud each phone hears each tone, from now on."""
    await asyncio.sleep(settle_s)
    marks = [phone.mark() for phone in phones]
    await asyncio.sleep(for_s)
    found = []
    for phone, since in zip(phones, marks, strict=True):
        heard = phone.heard(since)
        heard = heard[len(heard) // 8 :]
        found.append([level_at(heard, hz, phone.format.rate_hz) if len(heard) else 0.0 for hz in TONES_HZ])
    return found


async def hear(phones: list[CodecPhone], expected: dict[int, set[int]], settle_s: float = 0.5) -> None:
    """From now on they do; they are listened to again where somebody was held up."""

    async def listen() -> None:
        assert_hears(await levels(phones, settle_s), expected)

    await in_time(listen, rest_s=1.0, memory_s=5.0)


def assert_hears(found: list[list[float]], expected: dict[int, set[int]]) -> None:
    """Each member hears these others at about the level they speak at, and nobody else: 34 dB below at the most."""
    for listener, others in expected.items():
        for index in range(len(TONES_HZ)):
            level = found[listener][index]
            text = f"{listener} hears {index} at {level:.0f}: {np.round(found)}"
            assert 0.55 * LEVEL < level < 1.3 * LEVEL if index in others else level < LEVEL / 50, text


def all_but_themselves(count: int) -> dict[int, set[int]]:
    return {i: set(range(count)) - {i} for i in range(count)}


async def test_each_hears_all_but_themselves_whatever_their_codecs(media: Controller) -> None:
    async with conference(media, MIXED) as phones:
        await hear(phones, all_but_themselves(5), settle_s=2.0)
        media.send(Mute(stream="2", muted=True))
        await media.synchronize()
        muted = {i: set(range(5)) - {i, 2} for i in range(5)}
        await hear(phones, muted)
        media.send(Mute(stream="2", deaf=True))
        await media.synchronize()
        await hear(phones, all_but_themselves(5) | {2: set()})
        media.send(Mute(stream="2"))
        media.send(Leave(mix="m", stream="0"))
        assert (await media.expect(Left, mix="m", stream="0")).members == 4
        expected = {i: {1, 2, 3, 4} - {i} for i in (1, 2, 3, 4)}
        await hear(phones, expected)
        since = phones[0].mark()
        await asyncio.sleep(0.2)
        assert phones[0].mark() == since
        media.send(Close(stream="1"))
        assert (await media.expect(Left, mix="m", stream="1")).members == 3
        await hear(phones[2:], {0: {3, 4}, 1: {2, 4}, 2: {2, 3}})


async def test_another_codec_inside_a_mix(media: Controller) -> None:
    async with conference(media, [PCMU, PCMU, G722]) as phones:
        for format in (G722, l16(8000), PCMA):
            phones[0].change(format)
            media.connect_to("0", phones[0], phones[0].codecs)
            phones[0].say_encoded(encode_all(format, tone(format.rate_hz, TONES_HZ[0], 10.0, LEVEL)) * 3)
            await media.synchronize()
            await hear(phones, all_but_themselves(3), settle_s=1.5)


async def test_a_member_may_join_before_it_is_connected(media: Controller) -> None:
    async with conference(media, [PCMU, G722]) as phones, await CodecPhone.open_as(PCMA) as late:
        assert isinstance(late, CodecPhone)
        opened = await media.open("late", call="CL")
        media.send(Join(mix="m", stream="late"))
        assert (await media.expect(Joined, stream="late")).members == 3
        media.connect_to("late", late, late.codecs)
        late.send_to((opened.address, opened.port))
        late.say_encoded(encode_all(PCMA, tone(8000, TONES_HZ[2], 20.0, LEVEL)))
        await hear([*phones, late], all_but_themselves(3), settle_s=1.0)


async def test_music_is_heard_by_all_beside_what_they_say(media: Controller, tmp_path: Path) -> None:
    music, other = tmp_path / "music.wav", tmp_path / "other.wav"
    music.write_bytes(sound.wav(sound.tone(TONES_HZ[3], 10.0, LEVEL)))
    other.write_bytes(sound.wav(sound.tone(TONES_HZ[4], 10.0, LEVEL)))
    async with conference(media, [PCMU, G722, OPUS]) as phones:
        three = all_but_themselves(3)
        media.send(Play(mix="m", play="music", files=[str(music)], loop=0))
        await hear(phones, {i: others | {3} for i, others in three.items()}, settle_s=1.5)
        media.send(Play(mix="m", play="other", files=[str(other)], loop=0))
        assert (await media.expect(PlayEnded, mix="m", play="music", reason="replaced")).position_ms > 1500
        await hear(phones, {i: others | {4} for i, others in three.items()})
        media.send(StopPlay(mix="m", play="other"))
        await media.expect(PlayEnded, mix="m", play="other", reason="stopped")
        # A play on one member's stream is heard by that one, and instead of the mix.
        media.send(Play(stream="1", play="own", files=[str(music)]))
        await hear(phones, three | {1: {3}})
        media.send(StopPlay(stream="1", play="own"))
        await media.expect(PlayEnded, stream="1", play="own", reason="stopped")
        await hear(phones, three)


async def test_a_beep_tells_of_those_who_come_and_go(media: Controller) -> None:
    async with conference(media, [PCMU, G722], say=False) as phones, await RtpEndpoint.open("127.0.0.4") as guest:
        opened = await media.open("guest", call="CG")
        media.connect_to("guest", guest)
        guest.send_to((opened.address, opened.port))
        for command in (Join(mix="m", stream="guest", beep=True), Leave(mix="m", stream="guest", beep=True)):
            marks = [phone.mark() for phone in phones]
            media.send(command)
            await asyncio.sleep(0.8)
            for phone, since in zip(phones, marks, strict=True):
                heard = phone.heard(since)
                with judged_by_time():
                    assert 0.15 < sound.loud_seconds(heard) * sound.RATE_HZ / phone.format.rate_hz < 0.3


@pytest.mark.parametrize("last", [Close(stream="1"), Leave(mix="m", stream="1")], ids=["closed", "left"])
async def test_a_mix_ends_with_its_last_member(media: Controller, last: Close | Leave) -> None:
    async with conference(media, [PCMU, PCMA], say=False):
        media.send(Play(mix="m", play="music", tone="ringback", loop=0))
        await media.synchronize()
        media.send(Leave(mix="m", stream="0"))
        media.send(last)
        await media.expect(PlayEnded, mix="m", play="music", reason="closed")
        for _ in range(100):
            media.send(List())
            if (listing := await media.expect(Listing)).mixes == []:
                break
            await asyncio.sleep(0.02)
        assert listing.mixes == []
        media.send(Play(mix="m", play="more", tone="busy"))
        await media.expect(Failed, op="play", subject="more", code="unknown_mix")


async def test_who_is_being_closed_is_in_no_mix_any_more(media: Controller) -> None:
    """What comes right behind the Close is not lost between the threads: it is answered."""
    async with conference(media, [PCMU], say=False):
        bodies = [msgspec.msgpack.encode(command) for command in (Close(stream="0"), Play(mix="m", play="late", tone="busy"))]
        media.send_raw(b"".join(len(body).to_bytes(4, "big") + body for body in bodies))
        await media.expect(Failed, op="play", subject="late", code="unknown_mix")
        await media.expect(Left, mix="m", stream="0", members=0)


async def test_what_cannot_be_joined_is_refused(media: Controller, tmp_path: Path) -> None:
    async with conference(media, [PCMU, PCMA], say=False):
        media.send(Join(mix="m", stream="0"))
        assert (await media.expect(Joined, mix="m", stream="0")).members == 2
        media.send(Join(mix="m", stream="nobody"))
        await media.expect(Failed, op="join", code="unknown_stream")
        media.send(Join(mix="other", stream="0"))
        await media.expect(Failed, op="join", subject="other", code="busy")
        for name in ("x", "y"):
            await media.open(name, call="CX")
        media.send(Bridge(bridge="b", first="x", second="0"))
        await media.expect(Failed, op="bridge", subject="b", code="busy")
        media.send(Bridge(bridge="b", first="x", second="y"))
        await media.synchronize()
        media.send(Join(mix="m", stream="x"))
        await media.expect(Failed, op="join", subject="m", code="busy")


async def test_a_full_mix_takes_nobody_else(tmp_path: Path) -> None:
    async with running(tmp_path, "--mix-members", "2") as worker:
        media = await worker.controller()
        for index in range(3):
            await media.open(str(index))
            media.send(Join(mix="m", stream=str(index)))
        await media.expect(Failed, op="join", subject="m", code="limit")
        media.send(Leave(mix="m", stream="0"))
        media.send(Join(mix="m", stream="2"))
        assert (await media.expect(Joined, stream="2")).members == 2
        await media.close()


async def test_many_loud_voices_are_bent_and_not_wrapped_around(media: Controller) -> None:
    async with conference(media, [PCMU, PCMU, PCMU, PCMU, l16(8000)], say=False) as phones:
        for phone in phones[:4]:
            phone.say(sound.tone(400, 3.0, 30_000))
        await asyncio.sleep(1.0)
        since = phones[4].mark()
        await asyncio.sleep(0.8)
        heard = phones[4].heard(since).astype(int)
        with judged_by_time():
            assert heard.max() > 25_000 and heard.min() < -25_000
        # A sum that wraps around jumps from one end of the range to the other.
        assert np.abs(np.diff(heard)).max() < 33_000


async def test_a_members_stream_is_recorded(media: Controller, tmp_path: Path) -> None:
    path = tmp_path / "member.wav"
    async with conference(media, [PCMU, PCMA, PCMU]) as phones:
        await asyncio.sleep(0.5)
        media.send(Record(recording="r", path=str(path), stream="0", channels=2))
        await asyncio.sleep(1.5)
        media.send(StopRecord(recording="r"))
        await media.expect(RecordingEnded, recording="r", reason="stopped")
        frames, _ = sound.read_wav(path)
        for side, hears in ((0, {0}), (1, {1, 2})):
            found = [level_at(frames[4000:, side], hz, 8000) for hz in TONES_HZ[:3]]
            with judged_by_time():
                assert all((level > LEVEL / 2) == (index in hears) for index, level in enumerate(found)), (side, found)
        assert phones


async def test_forty_members_without_loss(media: Controller) -> None:
    speech = encode_all(PCMU, tone(8000, TONES_HZ[0], 5.0, LEVEL))
    async with conference(media, [PCMU] * 40, say=False) as phones:
        phones[0].say_encoded(speech)
        await asyncio.sleep(1.0)
        marks, began = [phone.mark() for phone in phones], time.monotonic()
        await asyncio.sleep(2.0)
        for phone, since in list(zip(phones, marks, strict=True))[1:]:
            packets = phone.packets[since:]
            assert all((b.sequence - a.sequence) % 65536 == 1 for a, b in itertools.pairwise(packets))
            with judged_by_time(began - 5.0):
                assert 90 <= len(packets) <= 110
                assert level_at(phone.heard(since), TONES_HZ[0], 8000) > 0.6 * LEVEL
