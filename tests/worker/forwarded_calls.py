"""Bridges whose plain packets the kernel forwards: what peers hear and what is told is as ever, and the worker sleeps meanwhile.

The worker has no rights here; the kernel is prepared for it as an operator would do it. All of it wants network and mount namespaces
of its own, so that the loopback of this machine stays as it is: `test_forwarding.py` makes them and runs this file in them. By
itself pytest does not find it.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import shutil
import struct
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from media.engine import (
    Bridge,
    Close,
    Closed,
    Digit,
    Listing,
    MediaTimeout,
    Mute,
    Play,
    PlayEnded,
    Record,
    RecordingEnded,
    RecordingStarted,
    SendDigits,
    StopRecord,
    Unbridge,
)
from media.engine import List as ListAll
from tests.support import sound
from tests.support.codec_phone import PCMU, CodecPhone, Network
from tests.support.pace import judged_by_time
from tests.support.worker import Controller, Worker, build, running
from tests.worker.test_transcoding import assert_one_stream, hears_chirp

pytestmark = pytest.mark.worker

NOBODY = 65534
WITHOUT_RIGHTS = ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--no-new-privs")


@dataclass(frozen=True, slots=True)
class Call:
    """A bridged call that talks. Alice is on stream "a", Bob on "b"."""

    media: Controller
    worker: Worker
    alice: CodecPhone
    bob: CodecPhone

    async def down(self, *streams: str, timeout_s: float = 8.0) -> None:
        """Until the kernel forwards what these peers say."""
        for stream in streams or ("a", "b"):
            end = time.monotonic() + timeout_s
            while not (await self.media.stats(stream)).forwarded:
                assert time.monotonic() < end, f"{stream} stays up:\n{self.worker.errors.read_text()}"
                await asyncio.sleep(0.1)

    async def assert_down(self, alice: bool, bob: bool) -> None:
        """Whether the kernel forwards what they say now. It does some time after it may: whoever asks too late is told otherwise."""
        found = [(await self.media.stats(stream)).forwarded for stream in ("a", "b")]
        with judged_by_time(time.monotonic() - 3.0, allowed_s=0.1):
            assert found == [alice, bob]

    def wakeups(self) -> int:
        """How often the media threads of the worker fell asleep until now."""
        count = 0
        for task in Path(f"/proc/{self.worker.process.pid}/task").iterdir():
            if (task / "comm").read_text().startswith("media-"):
                lines = (task / "status").read_text().splitlines()
                count += sum(int(line.split()[1]) for line in lines if line.startswith("voluntary_ctxt_switches"))
        return count


async def fall_silent(*phones: CodecPhone) -> None:
    """They talk no more, and what is on its way arrives."""
    for phone in phones:
        assert phone._talking is not None
        phone._talking.cancel()
        await asyncio.gather(phone._talking, return_exceptions=True)
    await asyncio.sleep(0.1)
    if len(phones) > 1:  # or the other one goes on
        await asyncio.gather(*(phone.until_silence(of_s=0.1) for phone in phones))


def sent(phone: CodecPhone) -> int:
    return phone._sequence - 4711


def prepare(folder: Path, *arguments: str) -> None:
    done = subprocess.run([build(), "forward", "--pin", folder / "kernel", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@contextlib.asynccontextmanager
async def talking(*arguments: str, network: Network | None = None, prepared: bool = True, **session: object) -> AsyncIterator[Call]:
    """Both talk when everything is agreed, so that each of their packets counts."""
    folder = Path(tempfile.mkdtemp(prefix="forwarding"))
    os.chown(folder, NOBODY, NOBODY)
    if prepared:
        prepare(folder, "--interface", "lo", "--user", str(NOBODY))
    more = ("--forward", str(folder / "kernel"), "--threads", "2", "--log-level", "debug", *arguments)
    try:
        async with running(folder, *more, within=WITHOUT_RIGHTS) as worker:
            media = await worker.controller()
            alice = await CodecPhone.open_as(PCMU, "127.0.0.2", network=network)
            bob = await CodecPhone.open_as(PCMU, "127.0.0.3")
            opened = [await media.open(stream, call="CA") for stream in ("a", "b")]
            for stream, phone in (("a", alice), ("b", bob)):
                media.connect_to(stream, phone, phone.codecs, **session)
            media.send(Bridge(bridge="ab", first="a", second="b"))
            await media.synchronize()
            await asyncio.sleep(0.1)
            for at, phone in zip(opened, (alice, bob), strict=True):
                phone.send_to((at.address, at.port))
            yield Call(media, worker, alice, bob)
            for phone in (alice, bob):
                await phone.close()
            await media.close()
    finally:
        prepare(folder, "--remove")
        shutil.rmtree(folder, ignore_errors=True)


class TestForwarded:
    async def test_both_ways_are_forwarded_and_the_worker_sleeps(self) -> None:
        async with talking() as call:
            await asyncio.sleep(1.0)
            await call.assert_down(False, False)
            await call.down()
            before, began = call.wakeups(), time.monotonic()
            await asyncio.gather(hears_chirp(call.alice, call.bob), hears_chirp(call.bob, call.alice))
            # Ten times a second each of both threads looks after its streams; with packets it would be a hundred times and more.
            assert call.wakeups() - before < 60 * max(1.0, time.monotonic() - began)
            call.media.send(ListAll())
            listing = await call.media.expect(Listing)
            assert [stream.forwarded for stream in listing.streams] == [True, True]
            await fall_silent(call.alice, call.bob)
            await call.assert_down(True, True)
            for phone in (call.alice, call.bob):
                assert_one_stream(phone)
            for stream, talker, listener in (("a", call.alice, call.bob), ("b", call.bob, call.alice)):
                counters = (await call.media.stats(stream)).counters
                assert counters.packets_in == sent(talker) == len(listener.packets)
                assert counters.packets_out == sent(listener) == len(talker.packets)
                assert counters.bytes_in == 172 * counters.packets_in and counters.bytes_out == 172 * counters.packets_out
                assert (counters.lost_in, counters.flooded, counters.strangers) == (0, 0, 0)
                with judged_by_time():
                    assert counters.jitter_ms < 20

    async def test_keys_come_up_once_and_down_it_goes_again(self) -> None:
        async with talking() as call:
            await call.down()
            call.alice.press("5")
            digit = await call.media.expect(Digit, stream="a")
            assert digit.digit == "5"
            await call.assert_down(False, True)
            await call.bob.hears_digits("5")
            await call.down()
            await hears_chirp(call.alice, call.bob)
            assert len(call.media.seen(Digit)) == 1
            await fall_silent(call.alice, call.bob)
            assert (await call.media.stats("a")).counters.packets_in == sent(call.alice) == len(call.bob.packets)
            assert_one_stream(call.bob)

    async def test_whatever_is_asked_for_brings_it_back_and_leaves_no_jump(self) -> None:
        async with talking() as call:
            media, alice, bob = call.media, call.alice, call.bob

            await call.down()
            media.send(Play(stream="a", play="p", tone="ringback", duration_ms=1500))
            await alice.hears_tone(440, seconds=0.8)
            await media.expect(PlayEnded, play="p")

            await call.down()
            path = call.worker.socket.parent / "r.wav"
            media.send(Record(recording="r", path=str(path), bridge="ab", channels=2))
            await media.expect(RecordingStarted, recording="r")
            said = sound.chirp(0.6)
            alice.say(said)
            await alice.said()
            await asyncio.sleep(0.3)
            await call.assert_down(False, False)
            media.send(StopRecord(recording="r"))
            await media.expect(RecordingEnded, recording="r")
            frames, _ = sound.read_wav(path)
            assert sound.find(said, frames[:, 0]).likeness > 0.9

            await call.down()
            media.send(Mute(stream="a", muted=True))
            await media.settled("a", "b")
            await asyncio.sleep(0.2)
            since = bob.mark()
            alice.say(said)
            await alice.said()
            await asyncio.sleep(0.4)
            assert sound.loud_seconds(bob.heard(since)) == 0
            media.send(Mute(stream="a"))

            await call.down()
            media.send(SendDigits(stream="b", digits="7"))
            await bob.hears_digits("7")

            await call.down()
            media.connect_to("b", bob, bob.codecs)
            await call.assert_down(False, False)

            await call.down()
            await asyncio.gather(hears_chirp(alice, bob), hears_chirp(bob, alice))
            await fall_silent(alice, bob)
            for phone in (alice, bob):
                assert_one_stream(phone)
            for stream, talker in (("a", alice), ("b", bob)):
                assert (await media.stats(stream)).counters.packets_in == sent(talker)

    async def test_a_hold_stops_it_at_once_and_leaves_no_jump(self) -> None:
        async with talking() as call:
            await call.down()
            call.media.connect_to("b", call.bob, call.bob.codecs, direction="recvonly")
            await call.media.settled("a", "b")
            await asyncio.sleep(0.1)
            since = call.bob.mark()
            await call.down("b")
            await asyncio.sleep(1.0)
            assert call.bob.mark() == since
            await call.assert_down(False, True)
            call.media.connect_to("b", call.bob, call.bob.codecs)
            await call.down()
            await hears_chirp(call.alice, call.bob)
            await fall_silent(call.alice, call.bob)
            assert_one_stream(call.bob)

    async def test_what_the_sender_lost_is_counted_and_reported(self) -> None:
        async with talking("--max-packets-per-second", "1000", network=Network(seed=5, loss=0.1)) as call:
            await call.down()
            await asyncio.sleep(6.0)
            await fall_silent(call.alice, call.bob)
            heard = [packet.sequence for packet in call.bob.packets]
            trailing = next(count for count in itertools.count() if call.alice.sent - 1 - count not in call.alice.lost)
            lost = (heard[-1] - heard[0]) % 65536 + 1 - len(heard)
            stats = await call.media.stats("a")
            assert stats.counters.lost_in == lost > 20 and stats.counters.packets_in == len(heard)
            assert min(second.mos_in for second in stats.seconds if second.lost) < 4.0
            assert stats.forwarded
            await asyncio.sleep(7.6)  # 7.5 s is the longest that may lie between two reports
            # The last sender report counts all packets and octets (RFC 3550 6.4.1); behind nothing that was sent comes another kind.
            sender = [report for report, _ in call.bob.rtcp if report[1] == 200][-1]
            assert struct.unpack_from("!II", sender, 20) == (len(heard), 160 * len(heard))
            report, _ = call.alice.rtcp[-1]
            told, highest = struct.unpack_from("!II", report, 32 if report[1] == 200 else 12)
            assert (told & 0xFFFFFF, highest & 0xFFFF) == (lost, (call.alice._sequence - 1 - trailing) & 0xFFFF)

    async def test_silence_is_told_as_ever(self) -> None:
        async with talking(media_timeout_ms=1000) as call:
            await call.down()
            await asyncio.sleep(3.0)
            with judged_by_time(allowed_s=0.3):
                assert call.media.seen(MediaTimeout) == []
            await call.assert_down(True, True)
            await fall_silent(call.alice)
            at = time.monotonic()
            await call.media.expect(MediaTimeout, stream="a", timeout_s=3)
            with judged_by_time(at):
                assert 0.7 < time.monotonic() - at < 1.3
            await call.assert_down(True, True)

    async def test_beyond_the_limit_is_dropped_and_counted(self) -> None:
        async with talking("--max-packets-per-second", "100") as call:
            await call.down()
            for _ in range(400):
                call.alice._depart(0, bytes(160), call.alice._timestamp, False)
                call.alice._timestamp += 160
            await fall_silent(call.alice, call.bob)
            stats = await call.media.stats("a")
            assert stats.forwarded
            with judged_by_time():
                assert 250 < stats.counters.flooded <= 310
            assert stats.counters.flooded + stats.counters.packets_in == sent(call.alice)
            assert len(call.bob.packets) == stats.counters.packets_in

    async def test_when_the_worker_is_killed_nobody_goes_on_for_it(self) -> None:
        async with talking() as call:
            await call.down()
            call.worker.process.kill()
            call.worker.process.wait()
            at = asyncio.get_running_loop().time()
            await asyncio.sleep(2.5)
            after = max(packet.at for packet in call.bob.packets) - at
            with judged_by_time(at):
                assert 0.5 < after < 1.3, f"{after:.2f} s"

    async def test_the_end_of_a_leg_or_of_the_bridge_ends_it_at_once(self) -> None:
        async with talking() as call:
            await call.down()
            call.media.send(Unbridge(bridge="ab"))
            await call.assert_down(False, False)
            since = call.bob.mark()
            await asyncio.sleep(0.5)
            with judged_by_time():
                assert call.bob.mark() <= since + 1
            call.media.send(Bridge(bridge="ab", first="a", second="b"))
            await call.down()
            call.media.send(Close(stream="a"))
            closed = await call.media.expect(Closed, stream="a")
            since = call.bob.mark()
            await asyncio.sleep(0.5)
            with judged_by_time():
                assert call.bob.mark() <= since + 1
            assert closed.counters.packets_out == len(call.alice.packets)

    async def test_without_the_kernel_calls_go_on_and_with_it_again_they_go_down(self) -> None:
        async with talking(prepared=False) as call:
            await asyncio.sleep(2.5)
            await call.assert_down(False, False)
            assert "event=forwarding_unavailable" in call.worker.errors.read_text()
            folder = call.worker.socket.parent
            prepare(folder, "--interface", "lo", "--user", str(NOBODY))
            await call.down()
            prepare(folder, "--remove")
            await asyncio.sleep(1.5)
            await asyncio.gather(hears_chirp(call.alice, call.bob), hears_chirp(call.bob, call.alice))
            await call.assert_down(False, False)
            prepare(folder, "--interface", "lo", "--user", str(NOBODY))
            await call.down()
            await fall_silent(call.alice, call.bob)
            for phone in (call.alice, call.bob):  # a gap where nobody knows, but no number twice and none that is older
                steps = {(after.sequence - before.sequence) % 65536 for before, after in itertools.pairwise(phone.packets)}
                assert 0 not in steps and max(steps) < 1000, steps
                assert len({packet.ssrc for packet in phone.packets}) == 1
                assert len(phone.packets) > 0.98 * sent(call.alice)

    async def test_why_it_stays_up_is_in_the_log(self) -> None:
        async with talking() as call:
            call.media.send(Play(stream="a", play="p", tone="ringback", loop=0))
            await call.down("a")
            await asyncio.sleep(1.5)
            await call.assert_down(True, False)
            assert 'event=not_forwarded stream=b reason="a play"' in call.worker.errors.read_text()
