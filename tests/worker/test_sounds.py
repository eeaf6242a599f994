"""The media worker's own sounds: plays, tones, digits. Real socket, real RTP, real files."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator
from pathlib import Path
from typing import get_args

import numpy as np
import pytest

from media.engine import (
    Close,
    Closed,
    Codec,
    Connect,
    Digit,
    Failed,
    Play,
    PlayEnded,
    SendDigits,
    StopPlay,
)
from media.settings import ToneCountry
from tests.support import sound
from tests.support.pace import PACE, judged_by_time
from tests.support.phones import Phones, prompt
from tests.support.rtp import RtpEndpoint
from tests.support.sound import Samples
from tests.support.worker import EVENTS, PCMA, PCMU, Controller

pytestmark = [pytest.mark.worker, pytest.mark.sound]


@contextlib.asynccontextmanager
async def listener(media: Controller, payload_type: int = 0) -> AsyncIterator[RtpEndpoint]:
    """A phone on stream "a" that only listens, as a caller who hears early media may."""
    async with await RtpEndpoint.open("127.0.0.2", payload_type) as phone:
        await media.open("a")
        media.connect_to("a", phone, [PCMA if payload_type == 8 else PCMU, EVENTS])
        yield phone


def assert_same(heard: Samples, sent: Samples) -> None:
    """The same samples, each within half a step of G.711 (which grows with the level)."""
    assert len(heard) == len(sent)
    error = np.abs(heard.astype(np.int32) - sent)
    wrong = np.flatnonzero(error > (np.abs(sent.astype(np.int32)) + 132) // 32 + 6)
    assert len(wrong) == 0, f"{len(wrong)} samples differ, the first at {wrong[0]}: {heard[wrong[0]]} for {sent[wrong[0]]}"


def assert_unbroken(phone: RtpEndpoint) -> None:
    """One SSRC, and sequence numbers that rise by one."""
    assert len({packet.ssrc for packet in phone.packets}) == 1
    assert {(after.sequence - before.sequence) % 65536 for before, after in itertools.pairwise(phone.packets)} == {1}


async def ended(media: Controller, play: str, reason: str, timeout_s: float = 5.0) -> PlayEnded:
    return await media.expect(PlayEnded, play=play, reason=reason, timeout_s=timeout_s)


# --- plays --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("payload_type", [0, 8])
async def test_a_file_is_played_whole_and_its_end_is_told(media: Controller, tmp_path: Path, payload_type: int) -> None:
    chirp = sound.chirp_up(0.73)
    async with listener(media, payload_type) as phone:
        media.send(Play(stream="a", play="p", files=[prompt(tmp_path, "a.wav", chirp)]))
        finished = await ended(media, "p", "finished")
        assert finished.position_ms == 730
        heard = phone.heard()
        assert_same(heard[: len(chirp)], chirp)
        assert len(heard) == 740 * 8 and sound.loudness(heard[len(chirp) :]) < 10
        assert phone.packets[0].marker and not any(packet.marker for packet in phone.packets[1:])


async def test_packets_leave_at_an_even_pace(media: Controller, tmp_path: Path) -> None:
    async with listener(media) as phone:
        media.send(Play(stream="a", play="p", files=[prompt(tmp_path, "a.wav", sound.chirp_up(2.5))]))
        await ended(media, "p", "finished")
        assert len(phone.packets) == 125
        late = np.array([packet.at - 0.02 * index for index, packet in enumerate(phone.packets)])
        late -= np.percentile(late, 5)
        # Of what left while the worker wanted to run and could not, nothing is said.
        stalls = PACE.within(phone.packets[0].at)
        free = [not any(one.at - one.seconds - 0.01 < packet.at < one.at + 0.04 for one in stalls) for packet in phone.packets]
        late = late[free]
        with judged_by_time(phone.packets[0].at):
            assert len(late) >= 25
            assert np.median(late) < 0.003 and np.percentile(late, 90) < 0.01 and np.max(late) < 0.015, np.round(1000 * late)


async def test_files_follow_one_another_and_loop_without_a_gap(media: Controller, tmp_path: Path) -> None:
    first, second = sound.chirp_up(0.1301), sound.chirp_down(0.0707)
    files = [prompt(tmp_path, "1.wav", first), prompt(tmp_path, "2.wav", second)]
    async with listener(media) as phone:
        media.send(Play(stream="a", play="p", files=files, loop=4))
        finished = await ended(media, "p", "finished")
        whole = np.tile(np.concatenate((first, second)), 4)
        assert_same(phone.heard()[: len(whole)], whole)
        assert finished.position_ms == len(whole) // 8


async def test_zero_loops_go_on_until_stopped(media: Controller, tmp_path: Path) -> None:
    short = sound.chirp_up(0.0331)
    async with listener(media) as phone:
        media.send(Play(stream="a", play="p", files=[prompt(tmp_path, "a.wav", short)], loop=0))
        await asyncio.sleep(1.0)
        media.send(StopPlay(stream="a", play="p"))
        stopped = await ended(media, "p", "stopped")
        with judged_by_time():
            assert 900 <= stopped.position_ms <= 1200
        heard = phone.heard()
        assert_same(heard, np.resize(short, len(heard)))
        await asyncio.sleep(0.1)
        assert len(phone.heard()) == len(heard)


async def test_the_duration_ends_a_play(media: Controller, tmp_path: Path) -> None:
    async with listener(media) as phone:
        media.send(Play(stream="a", play="p", files=[prompt(tmp_path, "a.wav", sound.tone(700, 0.2))], loop=0, duration_ms=410))
        assert (await ended(media, "p", "finished")).position_ms == 410
        assert len(phone.heard()) == 420 * 8


async def test_a_play_replaces_the_one_before(media: Controller, tmp_path: Path) -> None:
    async with listener(media) as phone:
        media.send(Play(stream="a", play="one", files=[prompt(tmp_path, "1.wav", sound.tone(600, 5.0))]))
        await phone.hears_tone(600, seconds=0.3)
        media.send(Play(stream="a", play="two", files=[prompt(tmp_path, "2.wav", sound.tone(1500, 0.5))]))
        replaced = await ended(media, "one", "replaced")
        assert replaced.position_ms >= 300
        await ended(media, "two", "finished")
        assert sound.tone_seconds(phone.heard(), 1500) >= 0.4
        assert_unbroken(phone)


async def test_a_name_used_again_while_its_first_files_are_read_plays_the_second_ones(media: Controller, tmp_path: Path) -> None:
    first, second = (prompt(tmp_path, f"{hz}.wav", sound.tone(hz, 0.5)) for hz in (600, 1500))
    async with listener(media) as phone:
        media.send(Play(stream="a", play="p", files=[first]))
        media.send(StopPlay(stream="a", play="p"))
        media.send(Play(stream="a", play="p", files=[second], loop=2))
        await ended(media, "p", "stopped")
        finished = await ended(media, "p", "finished")
        assert finished.position_ms == 1000
        assert sound.tone_seconds(phone.heard(), 1500) >= 0.9
        assert sound.tone_seconds(phone.heard(), 600) == 0.0


async def test_the_same_play_again_and_stopping_what_is_over_do_no_harm(media: Controller, tmp_path: Path) -> None:
    async with listener(media) as phone:
        play = Play(stream="a", play="p", files=[prompt(tmp_path, "a.wav", sound.chirp_up(0.5))])
        for _ in range(3):
            media.send(play)
        await asyncio.sleep(0.2)
        media.send(play)
        media.send(StopPlay(stream="a", play="other"))
        await ended(media, "p", "finished")
        media.send(StopPlay(stream="a", play="p"))
        media.send(StopPlay(stream="nobody", play="p"))
        await media.synchronize()
        assert len(media.seen(PlayEnded)) == 1 and not media.seen(Failed)
        assert_same(phone.heard(), sound.chirp_up(0.5))


async def test_a_play_stopped_while_its_file_is_read_never_begins(media: Controller, tmp_path: Path) -> None:
    async with listener(media) as phone:
        media.send(Play(stream="a", play="p", files=[prompt(tmp_path, "a.wav", sound.tone(600, 60.0))]))
        media.send(StopPlay(stream="a", play="p"))
        position_ms = (await ended(media, "p", "stopped")).position_ms
        with judged_by_time():
            assert position_ms <= 20
        await asyncio.sleep(0.2)
        with judged_by_time():
            assert len(phone.packets) <= 1
        assert len(media.seen(PlayEnded)) == 1


async def test_bridged_audio_is_withheld_while_a_play_runs(media: Controller, phones: Phones, tmp_path: Path) -> None:
    phones.alice.say(sound.tone(2000, 3.0))
    await phones.bob.hears_tone(2000, seconds=0.3)
    since = phones.bob.mark()
    media.send(Play(stream="b", play="p", files=[prompt(tmp_path, "a.wav", sound.tone(700, 0.6))]))
    await ended(media, "p", "finished")
    during = phones.bob.heard(since + 5)[: 8 * 500]
    with judged_by_time():
        assert sound.tone_seconds(during, 2000) == 0 and sound.tone_seconds(during, 700) >= 0.4
    after = phones.bob.mark()
    await phones.bob.hears_tone(2000, seconds=0.5, since=after)
    assert_unbroken(phones.bob)


async def test_a_play_waits_for_its_listener(media: Controller, tmp_path: Path) -> None:
    chirp = sound.chirp_up(0.4)
    await media.open("a")
    media.send(Play(stream="a", play="p", files=[prompt(tmp_path, "a.wav", chirp)]))
    await asyncio.sleep(0.5)
    async with await RtpEndpoint.open("127.0.0.2") as phone:
        media.connect_to("a", phone)
        await ended(media, "p", "finished")
        assert_same(phone.heard(), chirp)


async def test_a_play_goes_on_unheard_while_the_peer_is_on_hold(media: Controller, tmp_path: Path) -> None:
    async with listener(media) as phone:
        media.connect_to("a", phone, direction="recvonly")
        media.send(Play(stream="a", play="p", files=[prompt(tmp_path, "a.wav", sound.tone(600, 0.4))]))
        assert (await ended(media, "p", "finished")).position_ms == 400
        assert phone.packets == []


async def test_closing_ends_a_play(media: Controller) -> None:
    async with listener(media):
        media.send(Play(stream="a", play="p", tone="ringback", loop=0))
        await media.synchronize()
        media.send(Close(stream="a"))
        await ended(media, "p", "closed")
        await media.expect(Closed, stream="a")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "No such file"),
        (b"", "no WAV"),
        (b"ID3 this is an MP3", "no WAV"),
        (sound.wav(sound.silence(0.1), rate_hz=16000), "16000 Hz"),
        (sound.wav(sound.silence(0.1), channels=2), "2 channels"),
        (sound.wav(sound.silence(0.1))[:40], "without samples"),
    ],
)
async def test_what_cannot_be_played_is_told_and_the_call_goes_on(
    media: Controller, phones: Phones, tmp_path: Path, content: bytes | None, said: str
) -> None:
    path = tmp_path / "bad.wav"
    if content is not None:
        path.write_bytes(content)
    media.send(Play(stream="b", play="p", files=[str(path)]))
    failed = await ended(media, "p", "failed")
    assert said in failed.detail and str(path) in failed.detail
    phones.alice.say(sound.chirp_up(0.3))
    await phones.bob.hears(sound.chirp_up(0.3))


async def test_a_play_of_nothing_or_of_two_things_is_refused(media: Controller) -> None:
    await media.open("a")
    for play in (
        Play(stream="a", play="p"),
        Play(stream="a", play="p", files=["x.wav"], tone="busy"),
        Play(stream="a", play="p", tone="whistle"),
        Play(stream="a", play="p", tone="busy", tone_country="xx"),
    ):
        media.send(play)
        await media.expect(Failed, op="play", subject="p", code="file")
    media.send(Play(stream="nobody", play="p", tone="busy"))
    await media.expect(Failed, op="play", subject="p", code="unknown_stream")
    assert media.seen(PlayEnded) == []


@pytest.mark.parametrize(
    ("tone", "country", "hz", "on_s", "period_s"),
    [("ringback", "us", 460, 2.0, 6.0), ("busy", "us", 550, 0.5, 1.0), ("busy", "eu", 425, 0.5, 1.0), ("congestion", "eu", 425, 0.25, 0.5)],
)
async def test_tones_have_the_cadence_of_their_country__itut_e180(
    media: Controller, tone: str, country: str, hz: int, on_s: float, period_s: float
) -> None:
    async with listener(media) as phone:
        media.send(Play(stream="a", play="p", tone=tone, tone_country=country, loop=0, duration_ms=2400))
        await ended(media, "p", "finished")
        loud = sound.loud_seconds(phone.heard())
        cadences = 2.4 / period_s if period_s < 2.4 else 1
        expected = on_s * int(cadences) + min(on_s, (cadences % 1) * period_s)
        assert abs(loud - expected) < 0.06, hz


async def test_every_country_of_the_settings_has_its_tones__itut_e180(media: Controller) -> None:
    nominal = {"us": 460, "uk": 425, "fr": 440, "jp": 400, "in": 400, "cn": 450}  # of two that beat: between them
    heard: dict[str, float] = {}
    async with contextlib.AsyncExitStack() as stack:
        phones = {country: await stack.enter_async_context(await RtpEndpoint.open("127.0.0.2")) for country in get_args(ToneCountry)}
        for country, phone in phones.items():
            await media.open(country)
            media.connect_to(country, phone, [PCMU])
            media.send(Play(stream=country, play=country, tone="ringback", tone_country=country, duration_ms=600))
        for country, phone in phones.items():
            await ended(media, country, "finished")
            spectrum = np.abs(np.fft.rfft(phone.heard()[:3200].astype(np.float64), 32_000)) ** 2
            heard[country] = float(np.sum(spectrum * np.arange(len(spectrum)) / 4) / np.sum(spectrum))
    assert heard == {country: pytest.approx(nominal.get(country, 425), abs=3) for country in heard}
    assert len(heard) == 12


async def test_silence_lasts_as_long_as_it_was_given(media: Controller) -> None:
    async with listener(media) as phone:
        media.send(Play(stream="a", play="p", tone="silence", duration_ms=1500))
        assert (await ended(media, "p", "finished")).position_ms == 1500
        assert sound.loudness(phone.heard()) < 10 and len(phone.packets) == 75


# --- digits -------------------------------------------------------------------------------------------------------


async def test_digits_are_sent_as_events__rfc4733(media: Controller, phones: Phones) -> None:
    phones.alice.say(sound.tone(1000, 5.0))
    await phones.bob.hears_tone(1000, seconds=0.2)
    media.send(SendDigits(stream="b", digits="1#w9D", tone_ms=80, gap_ms=80))
    bob = phones.bob
    await bob.hears_digits("1#9D")
    events = [packet for packet in bob.packets if packet.payload_type == 101]
    for key in (1, 11, 9, 15):
        of_key = [packet for packet in events if packet.payload[0] == key]
        durations = [int.from_bytes(packet.payload[2:4], "big") for packet in of_key]
        assert durations == [160, 320, 480, 640, 640, 640, 640]
        assert [packet.payload[1] >> 7 for packet in of_key] == [0, 0, 0, 0, 1, 1, 1]
        assert [packet.marker for packet in of_key] == [True] + [False] * 6
        assert len({packet.timestamp for packet in of_key}) == 1
    assert_unbroken(bob)
    since = bob.mark()
    await bob.hears_tone(1000, seconds=0.3, since=since)


async def test_what_one_stream_sends_another_tells(media: Controller) -> None:
    one, other = await media.open("c"), await media.open("d")
    for name, far in (("c", other), ("d", one)):
        media.send(Connect(stream=name, remote_address=far.address, remote_port=far.port, codecs=[PCMU, EVENTS]))
    media.send(SendDigits(stream="c", digits="0123456789*#ABCD", tone_ms=40, gap_ms=60))
    await media.expect(Digit, stream="d", digit="D")
    assert "".join(digit.digit for digit in media.seen(Digit)) == "0123456789*#ABCD"


async def test_digits_need_an_agreement_and_must_be_keys(media: Controller) -> None:
    async with await RtpEndpoint.open("127.0.0.2") as phone:
        await media.open("a")
        media.connect_to("a", phone, [Codec(payload_type=18, name="G729")])
        media.send(SendDigits(stream="a", digits="1"))
        await media.expect(Failed, op="send_digits", subject="a", code="codec")
        media.connect_to("a", phone)
        media.send(SendDigits(stream="a", digits="1x"))
        failed = await media.expect(Failed, op="send_digits", subject="a", code="codec")
        assert "'x'" in failed.reason
