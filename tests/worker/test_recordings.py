"""What the media worker keeps: recordings of bridges and streams. Real socket, real RTP, real files.

Sample alignment over ten minutes, for each codec, is proven in virtual time by the crate's own tests (`record/`).
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import resource
import shutil
import signal
import subprocess
import time
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest

from media.engine import (
    Bridge,
    Close,
    Command,
    Failed,
    List,
    Listing,
    Play,
    PlayEnded,
    Record,
    RecordingEnded,
    RecordingStarted,
    StopRecord,
    Unbridge,
)
from tests.support import sound
from tests.support.pace import judged_by_time
from tests.support.phones import Phones, bridged_phones, prompt
from tests.support.recordings import begun, finish, recorded, send_together
from tests.support.rtp import RtpEndpoint
from tests.support.stalled import stalled
from tests.support.worker import Controller, Worker, running

pytestmark = [pytest.mark.worker, pytest.mark.sound]


async def test_both_directions_are_mixed_and_the_duration_is_the_bridges(media: Controller, phones: Phones, tmp_path: Path) -> None:
    path = tmp_path / "r.wav"
    at = await begun(media, Record(recording="r", path=str(path), bridge="ab"))
    phones.alice.say(sound.chirp_up(0.5))
    phones.bob.say(sound.chirp_down(0.5))
    await asyncio.gather(phones.alice.said(), phones.bob.said())
    await asyncio.sleep(1.0)
    media.send(Unbridge(bridge="ab"))
    lasted_ms = 1000 * (time.monotonic() - at)
    done = await finish(media, "r", "ended")
    with judged_by_time(at):
        assert abs(done.duration_ms - lasted_ms) <= 20
    left, _ = recorded(path)
    assert abs(1000 * len(left) / 8000 - done.duration_ms) <= 1
    assert done.size_bytes == 44 + 2 * len(left)
    with judged_by_time(at):  # what comes later than a recording waits for it has no place
        assert sound.find(sound.chirp_up(0.5), left).likeness > 0.65
        assert sound.find(sound.chirp_down(0.5), left).likeness > 0.65


async def test_stereo_keeps_the_sides_apart_and_aligned(media: Controller, phones: Phones, tmp_path: Path) -> None:
    path = tmp_path / "r.wav"
    await begun(media, Record(recording="r", path=str(path), bridge="ab", channels=2))
    await send_together(phones, sound.chirp_up(1.0))
    phones.alice.mute(False)
    phones.alice.say(sound.chirp_down(0.5))
    await phones.alice.said()
    await asyncio.sleep(0.2)
    media.send(StopRecord(recording="r"))
    await finish(media, "r", "stopped")
    left, right = recorded(path)
    at_left, at_right = sound.find(sound.chirp_up(1.0), left), sound.find(sound.chirp_up(1.0), right)
    with judged_by_time():
        assert at_left.likeness > 0.99 and at_right.likeness > 0.99
        assert abs(at_left.at_s - at_right.at_s) <= 0.001
        assert sound.find(sound.chirp_down(0.5), left).likeness > 0.99
    assert sound.find(sound.chirp_down(0.5), right).likeness < 0.3


async def test_nothing_said_is_recorded_as_silence_of_the_same_length(media: Controller, phones: Phones, tmp_path: Path) -> None:
    phones.alice.mute()
    phones.bob.mute()
    at = await begun(media, Record(recording="r", path=str(tmp_path / "r.wav"), bridge="ab"))
    await asyncio.sleep(1.0)
    media.send(StopRecord(recording="r"))
    lasted_ms = 1000 * (time.monotonic() - at)
    done = await finish(media, "r", "stopped")
    with judged_by_time(at):
        assert abs(done.duration_ms - lasted_ms) <= 20


async def test_loud_talk_on_both_sides_is_bent_and_never_wraps(media: Controller, phones: Phones, tmp_path: Path) -> None:
    path = tmp_path / "r.wav"
    await begun(media, Record(recording="r", path=str(path), bridge="ab"))
    await send_together(phones, sound.tone(200, 0.5, level=30000))
    media.send(StopRecord(recording="r"))
    await finish(media, "r", "stopped")
    mixed, _ = recorded(path)
    with judged_by_time():  # both sides at the same place
        assert mixed.max() > 32000 and mixed.min() < -32000
    # Not cut off flat: nearly a third of the samples would be the largest.
    assert (mixed == mixed.max()).mean() < 0.15
    # A wrapped sum would jump across the whole range from one sample to the next.
    assert np.abs(np.diff(mixed.astype(np.int32))).max() < 16000


async def test_a_stream_is_recorded_with_what_it_is_sent(media: Controller, phones: Phones, tmp_path: Path) -> None:
    path = tmp_path / "r.wav"
    await begun(media, Record(recording="r", path=str(path), stream="a", channels=2))
    phones.alice.say(sound.chirp_up(0.4))
    phones.bob.say(sound.chirp_down(0.4))
    await asyncio.gather(phones.alice.said(), phones.bob.said())
    await asyncio.sleep(0.3)
    media.send(Play(stream="a", play="p", files=[prompt(tmp_path, "p.wav", sound.tone(1200, 0.5))]))
    await media.expect(PlayEnded, play="p", reason="finished")
    media.send(Close(stream="a"))
    await finish(media, "r", "ended")
    left, right = recorded(path)
    with judged_by_time():
        assert sound.find(sound.chirp_up(0.4), left).likeness > 0.99
        assert sound.find(sound.chirp_down(0.4), right).likeness > 0.99
        assert sound.tone_seconds(right, 1200) >= 0.4
    assert sound.tone_seconds(left, 1200) == 0


async def test_a_recording_ends_at_its_longest(media: Controller, phones: Phones, tmp_path: Path) -> None:
    media.send(Record(recording="r", path=str(tmp_path / "r.wav"), bridge="ab", max_ms=700))
    done = await finish(media, "r", "max")
    assert done.duration_ms == 700


async def test_the_same_recording_again_does_no_harm(media: Controller, phones: Phones, tmp_path: Path) -> None:
    for _ in range(3):
        media.send(Record(recording="r", path=str(tmp_path / "r.wav"), bridge="ab"))
    media.send(StopRecord(recording="unknown"))
    await asyncio.sleep(0.3)
    for _ in range(3):
        media.send(StopRecord(recording="r"))
    await finish(media, "r", "stopped")
    await media.synchronize()
    assert len(media.seen(RecordingStarted)) == len(media.seen(RecordingEnded)) == 1


@pytest.mark.parametrize("end", [StopRecord(recording="r"), Unbridge(bridge="ab"), Close(stream="a")])
async def test_a_recording_under_the_name_of_one_that_is_ending_is_refused_and_not_taken_for_a_repetition(
    media: Controller, phones: Phones, tmp_path: Path, end: Command
) -> None:
    stream = "a" if isinstance(end, Close) else ""
    record = Record(recording="r", path=str(tmp_path / "r.wav"), bridge="" if stream else "ab", stream=stream)
    await begun(media, record)
    # In one piece, so that the end cannot have been written in between.
    media.send_together(end, record)
    failed = await media.expect(Failed, op="record", subject="r", code="busy")
    assert "recording:" in failed.reason and "RecordingEnded" in failed.reason
    await media.expect(RecordingEnded, recording="r")
    await begun(media, Record(recording="r", path=str(tmp_path / "again.wav"), stream="b"))
    media.send(StopRecord(recording="r"))
    assert (await media.expect(RecordingEnded, recording="r")).path.endswith("again.wav")
    assert len(media.seen(RecordingEnded)) == 2


async def test_another_recording_under_the_name_of_one_that_goes_on_is_refused(media: Controller, phones: Phones, tmp_path: Path) -> None:
    await begun(media, Record(recording="r", path=str(tmp_path / "r.wav"), bridge="ab"))
    media.send(Record(recording="r", path=str(tmp_path / "other.wav"), bridge="ab"))
    await media.expect(Failed, op="record", subject="r", code="busy")
    media.send(StopRecord(recording="r"))
    await finish(media, "r", "stopped")
    assert not (tmp_path / "other.wav").exists()


async def test_a_file_that_is_there_is_not_overwritten(media: Controller, phones: Phones, tmp_path: Path) -> None:
    path = tmp_path / "r.wav"
    path.write_bytes(b"precious")
    media.send(Record(recording="r", path=str(path), bridge="ab"))
    await media.expect(RecordingEnded, recording="r", reason="disk")
    assert path.read_bytes() == b"precious"


async def test_what_cannot_be_recorded_is_refused(media: Controller, phones: Phones) -> None:
    media.send(Record(recording="r", path="/x", bridge="none"))
    await media.expect(Failed, op="record", subject="r", code="unknown_bridge")
    media.send(Record(recording="r", path="/x", stream="none"))
    await media.expect(Failed, op="record", subject="r", code="unknown_stream")
    media.send(Record(recording="r", path="/x", stream="a", bridge="ab"))
    await media.expect(Failed, op="record", subject="r", code="file")
    assert media.seen(RecordingEnded) == []


async def test_an_unwritable_place_ends_the_recording_and_not_the_call(media: Controller, phones: Phones) -> None:
    media.send(Record(recording="r", path="/no/such/folder/r.wav", bridge="ab"))
    done = await media.expect(RecordingEnded, recording="r", reason="disk")
    assert (done.duration_ms, done.size_bytes) == (0, 0) and "No such file" in done.detail
    phones.alice.say(sound.chirp_up(0.4))
    await phones.bob.hears(sound.chirp_up(0.4), likeness=0.99)


async def expect_full(media: Controller, phones: Phones, folder: Path, seen: Path) -> RecordingEnded:
    """Record until the disk refuses. `seen`: where we see what the worker sees as `folder`."""
    media.send(Record(recording="r", path=str(folder / "r.wav"), bridge="ab"))
    done = await media.expect(RecordingEnded, recording="r", reason="disk")
    left, _ = recorded(seen / "r.wav")
    assert abs(1000 * len(left) / 8000 - done.duration_ms) <= 1 and len(left) > 4000
    phones.alice.say(sound.chirp_up(0.4))
    await phones.bob.hears(sound.chirp_up(0.4), likeness=0.99)
    media.send(List())
    assert (await media.expect(Listing)).recordings == []
    return done


async def test_a_file_that_may_not_grow_ends_the_recording_and_not_the_call(
    worker: Worker, media: Controller, phones: Phones, tmp_path: Path
) -> None:
    """A limit on the size of files fails where a full disk does, and needs no leave of the system."""
    resource.prlimit(worker.process.pid, resource.RLIMIT_FSIZE, (20_000, 20_000))
    done = await expect_full(media, phones, tmp_path, tmp_path)
    assert "too large" in done.detail.lower() and done.size_bytes <= 20_000


def small_disk(at: Path) -> list[str]:
    """How to run a program that has a disk of 28 KiB there; nothing where mounting is not allowed."""
    within = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c"]
    within += ['mount -t tmpfs -o size=28k none "$0" && exec "$@"', str(at)]
    able = shutil.which("unshare") and subprocess.run([*within, "true"], capture_output=True, check=False).returncode == 0
    return within if able else []


@contextlib.asynccontextmanager
async def on_a_small_disk(folder: Path) -> AsyncIterator[tuple[Worker, Path]]:
    """A worker whose `folder / "disk"` has 28 KiB, and where we see that; a limit on files where nothing may be mounted."""
    disk = folder / "disk"
    disk.mkdir()
    within = small_disk(disk)
    async with running(folder, within=within) as worker:
        if not within:
            resource.prlimit(worker.process.pid, resource.RLIMIT_FSIZE, (28_672, 28_672))
        yield worker, Path(f"/proc/{worker.process.pid}/root{disk}")


async def test_a_full_disk_ends_the_recording_and_not_the_call(tmp_path: Path) -> None:
    async with on_a_small_disk(tmp_path) as (worker, seen):
        media = await worker.controller()
        async with bridged_phones(media) as phones:
            done = await expect_full(media, phones, tmp_path / "disk", seen)
        await media.close()
    assert "space" in done.detail.lower() or "too large" in done.detail.lower()
    assert done.size_bytes <= 28_672


def resident_kib(pid: int) -> int:
    return int(Path(f"/proc/{pid}/status").read_text().split("VmRSS:")[1].split()[0])


async def test_a_disk_that_does_not_answer_costs_parts_of_recordings_and_nothing_else(tmp_path: Path) -> None:
    """60 recordings in stereo make 1.9 MB a second, and 2 MiB may wait: after a second there is no room."""
    names = ["r", *(f"more-{number}" for number in range(59))]
    async with running(tmp_path, "--record-buffer-mib", "2") as worker, contextlib.AsyncExitStack() as stack:
        media = await worker.controller()
        recorded_call = await stack.enter_async_context(bridged_phones(media))
        other_call = await stack.enter_async_context(bridged_phones(media, streams=("c", "d")))
        for name in names:
            media.send(Record(recording=name, path=str(tmp_path / f"{name}.wav"), bridge="ab", channels=2))
        for name in names:
            await media.expect(RecordingStarted, recording=name)
        began = time.monotonic()
        await asyncio.sleep(1.0)
        before_kib = resident_kib(worker.process.pid)
        with stalled(worker.process.pid, "writer"):
            until = time.monotonic() + 4.0
            while time.monotonic() < until:
                calls = [(phones, len(phones.bob.packets)) for phones in (recorded_call, other_call)]
                for phones, _ in calls:
                    phones.alice.say(sound.chirp_up(0.4))
                for phones, since in calls:
                    await phones.bob.hears(sound.chirp_up(0.4), since=since, likeness=0.99)
            grown_kib = resident_kib(worker.process.pid) - before_kib
        await asyncio.sleep(1.0)
        said_at = time.monotonic() - began
        recorded_call.bob.say(sound.chirp_down(0.5))
        await recorded_call.alice.hears(sound.chirp_down(0.5), likeness=0.99)
        await asyncio.sleep(0.5)
        lasted_ms = 1000 * (time.monotonic() - began)
        for name in names:
            media.send(StopRecord(recording=name))
        ends = [await finish(media, name, "stopped") for name in names]
        await media.close()
    # 7.6 MB were heard meanwhile.
    assert grown_kib < 4 * 1024
    lost_ms = sum(end.lost_ms for end in ends)
    with judged_by_time(began):
        assert 60 * 1500 < lost_ms < 60 * 5500
    for end in ends:
        with judged_by_time(began):
            assert abs(end.duration_ms - lasted_ms) < 100
        left, right = recorded(Path(end.path))
        assert abs(1000 * len(left) / 8000 - end.duration_ms) <= 1
        # What came afterwards lies in its place.
        found = sound.find(sound.chirp_down(0.5), right)
        with judged_by_time(began):
            assert found.likeness > 0.95 and abs(found.at_s - said_at) < 0.2


async def test_a_worker_killed_at_any_moment_leaves_a_valid_file_with_at_most_a_second_lost(tmp_path: Path) -> None:
    moments = random.Random(20)

    async def at_moment(index: int, lasts: float) -> None:
        folder = tmp_path / str(index)
        folder.mkdir()
        path = folder / "r.wav"
        async with running(folder) as worker:
            media = await worker.controller()
            async with bridged_phones(media) as phones:
                at = await begun(media, Record(recording="r", path=str(path), bridge="ab", channels=1 + index % 2))
                phones.alice.say(sound.chirp_up(0.2))
                await asyncio.sleep(lasts)
                worker.process.kill()
                lasted = time.monotonic() - at
                await worker.ended()
            await media.close()
        left, _ = recorded(path)
        assert len(left) / 8000 <= lasted + 0.05
        with judged_by_time(at):
            assert lasted - 1.0 <= len(left) / 8000
        if lasts > 1.4:
            with judged_by_time(at):
                assert sound.find(sound.chirp_up(0.2), left).likeness > 0.99

    every = [0.05, *(moments.uniform(0.3, 3.0) for _ in range(5))]
    await asyncio.gather(*(at_moment(index, lasts) for index, lasts in enumerate(every)))


async def test_a_polite_end_finishes_recordings(worker: Worker, media: Controller, phones: Phones, tmp_path: Path) -> None:
    await begun(media, Record(recording="r", path=str(tmp_path / "r.wav"), bridge="ab"))
    await asyncio.sleep(0.45)
    worker.process.send_signal(signal.SIGTERM)
    assert await worker.ended() == 0
    done = await finish(media, "r", "ended")
    with judged_by_time():
        assert 450 <= done.duration_ms <= 700


async def test_calls_and_recordings_outlive_their_controller(worker: Worker, media: Controller, phones: Phones, tmp_path: Path) -> None:
    media.send(Record(recording="long", path=str(tmp_path / "long.wav"), bridge="ab"))
    media.send(Record(recording="short", path=str(tmp_path / "short.wav"), stream="a", max_ms=400))
    await media.synchronize()
    await media.close()
    await asyncio.sleep(0.05)
    phones.alice.say(sound.chirp_up(0.5))
    await phones.bob.hears(sound.chirp_up(0.5), likeness=0.99)
    await asyncio.sleep(0.3)
    heir = await worker.controller()
    assert (await finish(heir, "short", "max")).duration_ms == 400
    heir.send(List())
    listing = await heir.expect(Listing)
    assert (listing.recordings, listing.bridges) == (["long"], ["ab"])
    heir.send(StopRecord(recording="long"))
    done = await finish(heir, "long", "stopped")
    with judged_by_time():
        assert sound.find(sound.chirp_up(0.5), recorded(Path(done.path))[0]).likeness > 0.99


async def test_a_recorded_and_playing_stream_keeps_both_when_it_changes_threads(media: Controller, tmp_path: Path) -> None:
    async with await RtpEndpoint.open("127.0.0.2") as alice, await RtpEndpoint.open("127.0.0.3") as bob:
        for name, phone in (("a", alice), ("b", bob)):
            at = await media.open(name, call=name)
            media.connect_to(name, phone)
            phone.send_to((at.address, at.port))
        await begun(media, Record(recording="r", path=str(tmp_path / "r.wav"), stream="b", channels=2))
        media.send(Play(stream="b", play="p", files=[prompt(tmp_path, "p.wav", sound.chirp_up(1.0))]))
        await asyncio.sleep(0.4)
        media.send(Bridge(bridge="ab", first="a", second="b"))
        await media.expect(PlayEnded, play="p", reason="finished")
        assert sound.find(sound.chirp_up(1.0), bob.heard()).likeness > 0.99
        bob.say(sound.chirp_down(0.4))
        await alice.hears(sound.chirp_down(0.4), likeness=0.99)
        media.send(StopRecord(recording="r"))
        done = await finish(media, "r", "stopped")
        left, right = recorded(Path(done.path))
        with judged_by_time():
            assert sound.find(sound.chirp_up(1.0), right).likeness > 0.98
            assert sound.find(sound.chirp_down(0.4), left).likeness > 0.99
