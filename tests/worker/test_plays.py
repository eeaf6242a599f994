"""Plays of the real worker to phones that talk no G.711: what is in the file arrives, whole and in time, in each codec."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest

from media.engine import Bridge, Play, PlayEnded, SendDigits, Stats, StopPlay, StreamStats
from tests.support import sound
from tests.support.codec_phone import G722, OPUS, PCMU, CodecPhone, Format, l16, resample
from tests.support.likeness import compare, find_at, level_at
from tests.support.pace import judged_by_time
from tests.support.sound import Samples
from tests.support.worker import Controller

pytestmark = [pytest.mark.worker, pytest.mark.sound]

EXACT, NARROW = l16(8000), l16(16_000)
ALL = [G722, OPUS, EXACT, NARROW]


@contextlib.asynccontextmanager
async def listening(media: Controller, formats: list[Format]) -> AsyncIterator[list[CodecPhone]]:
    """A phone of each format, on streams "0", "1" and so on."""
    async with contextlib.AsyncExitStack() as stack:
        phones = []
        for index, format in enumerate(formats):
            phone = await CodecPhone.open_as(format)
            await stack.enter_async_context(phone)
            opened = await media.open(str(index), call="CA")
            media.connect_to(str(index), phone, phone.codecs)
            phone.send_to((opened.address, opened.port))
            phones.append(phone)
        await media.synchronize()
        yield phones


def files(folder: Path, *sounds: Samples) -> list[str]:
    paths = [folder / f"{index}.wav" for index in range(len(sounds))]
    for path, samples in zip(paths, sounds, strict=True):
        path.write_bytes(sound.wav(samples))
    return [str(path) for path in paths]


def likeness_db(said: Samples, phone: CodecPhone, since: int = 0) -> float:
    """The median SNR of pieces of 100 ms; `said` is at 8000 Hz."""
    rate_hz = phone.format.rate_hz
    found = compare(resample(said, 8000, rate_hz), phone.heard(since), rate_hz, piece_s=0.1)
    return float(np.median([piece.snr_db for piece in found]))


def assert_contains(said: Samples, heard: Samples) -> None:
    """Sample by sample."""
    first = int(np.flatnonzero(said)[0])
    for at in np.flatnonzero(heard == said[first]) - first:
        if at >= 0 and np.array_equal(heard[at : at + len(said)], said):
            return
    raise AssertionError("what was said is not in what was heard")


async def test_files_follow_each_other_without_a_gap_and_loop(media: Controller, tmp_path: Path) -> None:
    # Lengths that end in the middle of a packet.
    once = [sound.chirp_up(0.4)[:3011], sound.chirp_down(0.4)[:2777], sound.tone(1000, 0.2)[:1003]]
    said = np.tile(np.concatenate(once), 2)
    names = files(tmp_path, *once)
    async with listening(media, ALL) as phones:
        await asyncio.sleep(0.2)
        for index in range(len(phones)):
            media.send(Play(stream=str(index), play=f"p{index}", files=names, loop=2))
        for index in range(len(phones)):
            ended = await media.expect(PlayEnded, play=f"p{index}", reason="finished")
            assert abs(ended.position_ms - len(said) / 8) <= 20
        await asyncio.sleep(0.1)
        assert_contains(said, phones[ALL.index(EXACT)].heard())
        least = {G722: 30.0, OPUS: 10.0, EXACT: 60.0, NARROW: 45.0}
        found = {str(phone.format): likeness_db(said, phone) for phone in phones}
        assert all(found[str(format)] > least[format] for format in ALL), found


async def test_tones_have_their_cadence(media: Controller) -> None:
    """A busy tone of the USA: 480 and 620 Hz, half a second on and half a second off."""
    async with listening(media, ALL) as phones:
        for index in range(len(phones)):
            media.send(Play(stream=str(index), play=f"p{index}", tone="busy", loop=3))
        for index in range(len(phones)):
            assert abs((await media.expect(PlayEnded, play=f"p{index}", reason="finished")).position_ms - 3000) <= 20
        for phone in phones:
            heard, rate_hz = phone.heard(), phone.format.rate_hz
            loud = np.array([sound.loudness(heard[at : at + rate_hz // 50]) > 300 for at in range(0, len(heard), rate_hz // 50)])
            edges = np.flatnonzero(np.diff(np.concatenate(([False], loud, [False])).astype(int)))
            lengths = np.diff(edges) * 20
            assert len(lengths) == 5 and (np.abs(lengths - 500) <= 40).all(), f"{phone.format}: {lengths}"
            part = heard[(edges[0] * 20 + 100) * rate_hz // 1000 :][: rate_hz * 3 // 10]
            levels = [level_at(part, hz, rate_hz) for hz in (480, 620, 440, 1000)]
            assert min(levels[:2]) > 20 * max(levels[2:]), f"{phone.format}: {levels}"


async def test_a_play_is_replaced_and_stopped_in_the_middle_and_tells_how_far_it_came(media: Controller, tmp_path: Path) -> None:
    low, high = files(tmp_path, sound.tone(500, 5.0), sound.tone(1500, 5.0))
    async with listening(media, ALL) as phones:
        names = [str(index) for index in range(len(phones))]
        began = time.monotonic()
        for name in names:
            media.send(Play(stream=name, play=f"low{name}", files=[low]))
        await asyncio.sleep(0.8)
        for name in names:
            media.send(Stats(stream=name))
            stats = await media.expect(StreamStats, stream=name)
            assert stats.play == f"low{name}"
            media.send(Play(stream=name, play=f"high{name}", files=[high]))
            replaced = await media.expect(PlayEnded, play=f"low{name}", reason="replaced")
            passed_ms = 1000 * (time.monotonic() - began)
            assert stats.position_ms <= replaced.position_ms <= passed_ms + 20
            with judged_by_time(began):
                assert stats.position_ms >= 700 and replaced.position_ms > passed_ms - 150
        await asyncio.sleep(0.1)
        marks = [phone.mark() for phone in phones]
        await asyncio.sleep(0.5)
        for phone, since in zip(phones, marks, strict=True):
            levels = [level_at(phone.heard(since), hz, phone.format.rate_hz) for hz in (500, 1500)]
            with judged_by_time():
                assert levels[1] > 5000 and levels[0] < 200, f"{phone.format}: {levels}"
        for name in names:
            media.send(StopPlay(stream=name, play=f"high{name}"))
            stopped = await media.expect(PlayEnded, play=f"high{name}", reason="stopped")
            assert 550 <= stopped.position_ms <= 1000 * (time.monotonic() - began) - 700
        await asyncio.sleep(0.1)
        marks = [phone.mark() for phone in phones]
        await asyncio.sleep(0.2)
        for phone, since in zip(phones, marks, strict=True):
            assert sound.loudness(phone.heard(since)) < 50 if phone.mark() > since else True
        for name in names:
            media.send(Stats(stream=name))
            assert (await media.expect(StreamStats, stream=name)).play == ""


async def test_keys_are_sent_while_a_play_runs(media: Controller, tmp_path: Path) -> None:
    names = files(tmp_path, sound.tone(1000, 2.0))
    async with listening(media, ALL) as phones:
        for index in range(len(phones)):
            media.send(Play(stream=str(index), play=f"p{index}", files=names))
            media.send(SendDigits(stream=str(index), digits="w12#"))
        for index in range(len(phones)):
            ended = await media.expect(PlayEnded, play=f"p{index}", reason="finished")
            assert abs(ended.position_ms - 2000) <= 20
        for phone in phones:
            assert phone.digits() == "12#", phone.format
            audible = sound.tone_seconds(resample(phone.heard(), phone.format.rate_hz, 8000), 1000)
            # Three keys of 100 ms are events instead of audio, and windows of 50 ms at their edges do not count.
            assert 1.25 < audible < 1.8, f"{phone.format}: {audible}"


@pytest.mark.parametrize("other", [G722, OPUS, NARROW], ids=str)
async def test_a_play_over_a_transcoded_bridge_and_back(media: Controller, tmp_path: Path, other: Format) -> None:
    prompt = sound.chirp_down(0.6)
    names = files(tmp_path, prompt)
    async with listening(media, [other, PCMU]) as phones:
        media.send(Bridge(bridge="b", first="0", second="1"))
        phones[1].say(sound.tone(700, 4.0))
        await asyncio.sleep(0.7)
        media.send(Play(stream="0", play="p", files=names))
        await media.expect(PlayEnded, play="p", reason="finished")
        await asyncio.sleep(0.7)
        rate_hz = other.rate_hz
        # Decoded as a whole, because a decoder of Opus that begins in the middle does not know how loud it was before.
        heard = phones[0].heard()
        at_s, likeness = (found := find_at(resample(prompt, 8000, rate_hz), heard, rate_hz)).at_s, found.likeness
        assert likeness > 0.9
        before, after = (heard[int(s * rate_hz) :][: rate_hz * 3 // 10] for s in (at_s - 0.35, at_s + 0.75))
        with judged_by_time():
            assert min(level_at(part, 700, rate_hz) for part in (before, after)) > 6000
        assert sound.loudness(phones[1].heard()) < 50
        assert len({packet.ssrc for packet in phones[0].packets}) == 1
