"""Pauses of recordings, and what `<Record>` needs of the media worker: the beep, silence and keys that end it."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import numpy as np
import pytest

from media.engine import (
    Bridge,
    Close,
    Failed,
    PauseRecord,
    Play,
    PlayEnded,
    Record,
    RecordingEnded,
    RecordingStarted,
    ResumeRecord,
    StopPlay,
    StopRecord,
)
from tests.support import sound
from tests.support.pace import judged_by_time
from tests.support.phones import Phones, bridged_phones, prompt
from tests.support.recordings import begun, finish, recorded, send_together
from tests.support.rtp import RtpEndpoint
from tests.support.worker import PCMU, Controller

pytestmark = [pytest.mark.worker, pytest.mark.sound]


# --- pauses -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("keep_time", [True, False])
async def test_a_pause_is_silence_or_left_out_and_the_sides_stay_aligned(
    media: Controller, phones: Phones, tmp_path: Path, keep_time: bool
) -> None:
    at = await begun(media, Record(recording="r", path=str(tmp_path / "r.wav"), bridge="ab", channels=2))
    first = time.monotonic()
    await send_together(phones, sound.chirp_up(0.4))
    for _ in range(2):
        media.send(PauseRecord(recording="r", keep_time=keep_time))
    paused = time.monotonic()
    await send_together(phones, sound.tone(1200, 0.6), first=20)
    for _ in range(2):
        media.send(ResumeRecord(recording="r"))
    resumed = time.monotonic()
    await asyncio.sleep(0.06)
    second = time.monotonic()
    await send_together(phones, sound.chirp_down(0.4), first=int((second - first) / 0.02))
    await asyncio.sleep(0.05)
    media.send(StopRecord(recording="r"))
    lasted = time.monotonic() - at - (0 if keep_time else resumed - paused)
    done = await finish(media, "r", "stopped")
    with judged_by_time(at):
        assert abs(done.duration_ms - 1000 * lasted) <= 20
    left, right = recorded(Path(done.path))
    assert len(left) == done.duration_ms * 8 or abs(len(left) / 8 - done.duration_ms) < 1
    with judged_by_time(at):
        assert sound.tone_seconds(left, 1200) <= 0.05 and sound.tone_seconds(right, 1200) <= 0.05
        for chirp in (sound.chirp_up(0.4), sound.chirp_down(0.4)):
            one, other = sound.find(chirp, left), sound.find(chirp, right)
            assert one.likeness > 0.97 and other.likeness > 0.97
            assert abs(one.at_s - other.at_s) <= 0.001
        between = sound.find(sound.chirp_down(0.4), left).at_s - sound.find(sound.chirp_up(0.4), left).at_s
        assert abs(between - (second - first) + (0 if keep_time else resumed - paused)) <= 0.03


async def test_the_longest_counts_what_is_in_the_file(media: Controller, phones: Phones, tmp_path: Path) -> None:
    at = await begun(media, Record(recording="r", path=str(tmp_path / "r.wav"), bridge="ab", max_ms=500))
    media.send(PauseRecord(recording="r"))
    await asyncio.sleep(0.8)
    with judged_by_time(at, allowed_s=0.2):
        assert media.seen(RecordingEnded) == []
    media.send(ResumeRecord(recording="r"))
    done = await finish(media, "r", "max")
    assert done.duration_ms == 500 and time.monotonic() - at > 1.2


async def test_a_recording_that_ends_in_a_pause_ends_with_it(media: Controller, phones: Phones, tmp_path: Path) -> None:
    await begun(media, Record(recording="r", path=str(tmp_path / "r.wav"), bridge="ab"))
    await asyncio.sleep(0.25)
    media.send(PauseRecord(recording="r"))
    await asyncio.sleep(0.5)
    media.send(StopRecord(recording="r"))
    done = await finish(media, "r", "stopped")
    with judged_by_time():
        assert 280 <= done.duration_ms <= 400


async def test_only_recordings_can_be_paused(media: Controller) -> None:
    media.send(PauseRecord(recording="none"))
    await media.expect(Failed, op="pause_record", subject="none", code="unknown_recording")
    media.send(ResumeRecord(recording="none"))
    await media.expect(Failed, op="resume_record", subject="none", code="unknown_recording")


# --- what <Record> needs ------------------------------------------------------------------------------------------


async def test_the_peer_hears_a_beep_first_and_the_file_begins_after_it(media: Controller, phones: Phones, tmp_path: Path) -> None:
    since = phones.alice.mark()
    media.send(Record(recording="r", path=str(tmp_path / "r.wav"), stream="a", channels=2, beep=True))
    await asyncio.sleep(0.3)
    with judged_by_time(allowed_s=0.1):
        assert media.seen(RecordingStarted) == []
    await media.expect(RecordingStarted, recording="r")
    at = time.monotonic()
    with judged_by_time():
        assert 0.4 <= sound.tone_seconds(phones.alice.heard(since), 1000) <= 0.55
    await asyncio.sleep(0.05)
    phones.alice.say(sound.chirp_up(0.4))
    phones.bob.say(sound.chirp_down(0.4))
    await asyncio.gather(phones.alice.said(), phones.bob.said())
    await asyncio.sleep(0.3)
    media.send(StopRecord(recording="r"))
    lasted_ms = 1000 * (time.monotonic() - at)
    done = await finish(media, "r", "stopped")
    left, right = recorded(Path(done.path))
    with judged_by_time():
        assert abs(done.duration_ms - lasted_ms) <= 20
        assert sound.find(sound.chirp_up(0.4), left).likeness > 0.99
        assert sound.find(sound.chirp_down(0.4), right).likeness > 0.99
    # Nothing of the tone, which is as loud as speech.
    assert sound.loudness(right[:200]) < 20
    assert media.seen(PlayEnded) == []


async def test_a_play_replaces_the_beep_and_the_recording_begins(media: Controller, phones: Phones, tmp_path: Path) -> None:
    media.send(Record(recording="r", path=str(tmp_path / "r.wav"), stream="a", channels=2, beep=True))
    await asyncio.sleep(0.2)
    media.send(Play(stream="a", play="p", files=[prompt(tmp_path, "p.wav", sound.chirp_up(1.0))]))
    with judged_by_time():
        await media.expect(RecordingStarted, recording="r", timeout_s=0.25)
    await media.expect(PlayEnded, play="p", reason="finished")
    media.send(StopRecord(recording="r"))
    done = await finish(media, "r", "stopped")
    with judged_by_time():
        assert sound.find(sound.chirp_up(1.0)[2400:], recorded(Path(done.path))[1]).likeness > 0.98
    assert len(media.seen(PlayEnded)) == 1


async def test_a_recording_stopped_during_its_beep_never_began(media: Controller, phones: Phones, tmp_path: Path) -> None:
    for name in ("r", "s"):  # both wait for one beep
        media.send(Record(recording=name, path=str(tmp_path / f"{name}.wav"), stream="a", beep=True))
    await asyncio.sleep(0.1)
    since = phones.alice.mark()
    for name in ("r", "s"):
        media.send(StopRecord(recording=name))
        done = await finish(media, name, "stopped")
        with judged_by_time(allowed_s=0.1):
            assert done.duration_ms == 0
    await asyncio.sleep(0.3)
    with judged_by_time():
        assert sound.tone_seconds(phones.alice.heard(since), 1000) <= 0.1
    media.send(StopPlay(stream="a", play=""))
    await media.expect(Failed, op="stop_play", code="frame")
    with judged_by_time(allowed_s=0.1):
        assert media.seen(RecordingStarted) == []
    assert media.seen(PlayEnded) == []


@pytest.mark.parametrize("beep", [True, False])
async def test_a_recording_of_a_stream_that_is_never_connected_ends_once(media: Controller, tmp_path: Path, beep: bool) -> None:
    await media.open("a")
    media.send(Record(recording="r", path=str(tmp_path / "r.wav"), stream="a", beep=beep))
    await asyncio.sleep(0.7)
    media.send(Close(stream="a"))
    done = await finish(media, "r", "ended")
    assert (done.duration_ms == 0) == beep and len(media.seen(RecordingStarted)) == (0 if beep else 1)
    assert media.seen(PlayEnded) == []


async def test_a_beep_that_nobody_would_keep_is_not_heard(media: Controller, phones: Phones) -> None:
    since = phones.alice.mark()
    media.send(Record(recording="r", path="/no/such/folder/r.wav", stream="a", beep=True))
    await media.expect(RecordingEnded, recording="r", reason="disk")
    await asyncio.sleep(0.6)
    with judged_by_time():
        assert sound.tone_seconds(phones.alice.heard(since), 1000) <= 0.15
    phones.bob.say(sound.chirp_up(0.4))
    await phones.alice.hears(sound.chirp_up(0.4), likeness=0.99)
    assert media.seen(PlayEnded) == [] and media.seen(RecordingStarted) == []


async def test_silence_of_the_peer_ends_it_where_the_silence_had_lasted_so_long(media: Controller, phones: Phones, tmp_path: Path) -> None:
    """Comfort noise counts as silence, and so does what the other side says."""
    noise = (np.random.default_rng(1).standard_normal(32_000) * 130).astype(np.int16)
    phones.bob.say(sound.tone(500, 4.0))
    await begun(media, Record(recording="r", path=str(tmp_path / "r.wav"), stream="a", channels=2, silence_ms=800))
    phones.alice.say(np.concatenate([noise[:4000], sound.tone(700, 0.5), noise]))
    done = await finish(media, "r", "silence")
    left, _ = recorded(Path(done.path))
    spoken = np.flatnonzero(np.abs(left) > 2000)
    with judged_by_time():
        assert abs((len(left) - spoken[-1]) / 8 - 800) <= 25
    assert abs(len(left) / 8 - done.duration_ms) <= 1


async def test_silence_is_counted_from_the_beginning(media: Controller, phones: Phones, tmp_path: Path) -> None:
    phones.alice.mute()
    at = time.monotonic()
    media.send(Record(recording="r", path=str(tmp_path / "r.wav"), stream="a", silence_ms=700))
    done = await finish(media, "r", "silence")
    assert done.duration_ms == 700 and time.monotonic() - at >= 0.7
    with judged_by_time(at):
        assert time.monotonic() - at <= 1.2


async def test_a_key_ends_it_if_it_is_one_of_those(media: Controller, phones: Phones, tmp_path: Path) -> None:
    media.send(Record(recording="r", path=str(tmp_path / "r.wav"), stream="a", finish_keys="#*1"))
    media.send(Record(recording="s", path=str(tmp_path / "s.wav"), stream="a"))
    media.send(Record(recording="t", path=str(tmp_path / "t.wav"), stream="b", finish_keys="*"))
    await media.expect(RecordingStarted, recording="t")
    phones.alice.press("52")
    await phones.alice.said()
    await asyncio.sleep(0.2)
    assert media.seen(RecordingEnded) == []
    phones.alice.press("*")
    done = await finish(media, "r", "key")
    assert done.detail == "*" and done.duration_ms >= 500
    with judged_by_time():
        assert done.duration_ms <= 2000
    await asyncio.sleep(0.2)
    assert len(media.seen(RecordingEnded)) == 1


async def test_a_key_that_is_heard_as_tones_ends_it_too(media: Controller, tmp_path: Path) -> None:
    async with bridged_phones(media, codecs=[PCMU], inband_digits=True) as phones:
        await begun(media, Record(recording="r", path=str(tmp_path / "r.wav"), stream="a", finish_keys="5"))
        phones.alice.say(sound.tone(770, 0.1, level=6000) + sound.tone(1336, 0.1, level=6000))
        assert (await finish(media, "r", "key")).detail == "5"


async def test_a_key_ends_what_waits_for_its_beep(media: Controller, phones: Phones, tmp_path: Path) -> None:
    media.send(Record(recording="r", path=str(tmp_path / "r.wav"), stream="a", beep=True, finish_keys="#"))
    await asyncio.sleep(0.05)
    phones.alice.press("#", tone_ms=60)
    done = await finish(media, "r", "key")
    assert done.detail == "#"
    with judged_by_time(allowed_s=0.1):  # the beep lasts half a second
        assert done.duration_ms == 0


@pytest.mark.parametrize("more", [{"beep": True}, {"silence_ms": 1000}, {"finish_keys": "#"}])
async def test_what_is_for_a_stream_is_refused_for_a_bridge(media: Controller, phones: Phones, more: dict[str, object]) -> None:
    media.send(Record(recording="r", path="/x", bridge="ab", **more))  # type: ignore[arg-type]  # each has its type
    await media.expect(Failed, op="record", subject="r", code="file")


async def test_a_key_that_no_phone_has_is_refused(media: Controller, phones: Phones) -> None:
    media.send(Record(recording="r", path="/x", stream="a", finish_keys="12x"))
    await media.expect(Failed, op="record", subject="r", code="file")


async def test_a_recording_that_waits_for_its_beep_goes_with_its_stream_to_another_thread(media: Controller, tmp_path: Path) -> None:
    async with await RtpEndpoint.open("127.0.0.2") as alice, await RtpEndpoint.open("127.0.0.3") as bob:
        for name, phone in (("a", alice), ("b", bob)):
            at = await media.open(name, call=name)
            media.connect_to(name, phone)
            phone.send_to((at.address, at.port))
        media.send(Record(recording="r", path=str(tmp_path / "r.wav"), stream="b", beep=True))
        await asyncio.sleep(0.1)
        media.send(Bridge(bridge="ab", first="a", second="b"))
        await media.expect(RecordingStarted, recording="r")
        with judged_by_time():
            assert sound.tone_seconds(bob.heard(), 1000) >= 0.4
        await asyncio.sleep(0.05)
        bob.say(sound.chirp_down(0.4))
        await alice.hears(sound.chirp_down(0.4), likeness=0.99)
        media.send(StopRecord(recording="r"))
        done = await finish(media, "r", "stopped")
        with judged_by_time():
            assert sound.find(sound.chirp_down(0.4), recorded(Path(done.path))[0]).likeness > 0.99
