"""The dead man's rule of the real worker: a stream's deadline holds when nobody is there to see to it."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import pytest

from media.engine import Bridge, Closed, Deadline, Failed, List, Listing, Record, RecordingEnded, RecordingStarted
from tests.support import sound
from tests.support.pace import judged_by_time
from tests.support.rtp import RtpEndpoint
from tests.support.worker import Controller, Worker

pytestmark = pytest.mark.worker


async def living(worker: Worker) -> list[str]:
    heir = await worker.controller()
    heir.send(List())
    streams = [listed.stream for listed in (await heir.expect(Listing)).streams]
    await heir.close()
    return streams


async def test_a_deadline_closes_a_stream_whose_controller_is_gone_then(worker: Worker, media: Controller) -> None:
    for name, in_ms in (("soon", 600), ("later", 60_000), ("taken back", 600)):
        name = name.replace(" ", "-")
        await media.open(name, expires_ms=0)
        media.send(Deadline(stream=name, in_ms=in_ms))
    media.send(Deadline(stream="taken-back", in_ms=0))
    await media.open("free")
    await media.synchronize()
    await media.close()
    await asyncio.sleep(2.2)
    assert await living(worker) == ["free", "later", "taken-back"]


async def test_a_connected_controller_keeps_its_own_time(worker: Worker, media: Controller) -> None:
    await media.open("a")
    media.send(Deadline(stream="a", in_ms=300))
    await asyncio.sleep(1.5)
    await media.synchronize()
    assert media.seen(Closed) == []
    # It passed while someone was there: what happens afterwards is not its affair.
    await media.close()
    await asyncio.sleep(1.5)
    assert await living(worker) == ["a"]


async def test_a_controller_that_is_back_before_finds_its_stream(worker: Worker, media: Controller) -> None:
    await media.open("a")
    media.send(Deadline(stream="a", in_ms=1500))
    await media.synchronize()
    await media.close()
    await asyncio.sleep(0.3)
    heir = await worker.controller()
    await asyncio.sleep(2.0)
    heir.send(List())
    assert [listed.stream for listed in (await heir.expect(Listing)).streams] == ["a"]
    await heir.close()


async def test_a_later_deadline_replaces_the_earlier(worker: Worker, media: Controller) -> None:
    await media.open("a")
    media.send(Deadline(stream="a", in_ms=300))
    media.send(Deadline(stream="a", in_ms=2**63))
    await media.synchronize()
    await media.close()
    await asyncio.sleep(1.6)
    assert await living(worker) == ["a"]


async def test_it_holds_whatever_the_stream_s_own_patience_says(worker: Worker, media: Controller) -> None:
    await media.open("a", expires_ms=60_000)
    media.send(Deadline(stream="a", in_ms=300))
    await media.synchronize()
    await media.close()
    await asyncio.sleep(1.8)
    assert await living(worker) == []


async def test_a_deadline_of_an_unknown_stream_is_refused(media: Controller) -> None:
    media.send(Deadline(stream="nobody", in_ms=5))
    await media.expect(Failed, op="deadline", subject="nobody", code="unknown_stream")


async def test_a_bridge_and_its_recording_go_on_without_a_controller(worker: Worker, media: Controller, tmp_path: Path) -> None:
    async with await RtpEndpoint.open("127.0.0.2") as alice, await RtpEndpoint.open("127.0.0.3") as bob:
        for name, phone in (("a", alice), ("b", bob)):
            at = await media.open(name, call="CA")
            media.connect_to(name, phone)
            phone.send_to((at.address, at.port))
        media.send(Bridge(bridge="ab", first="a", second="b"))
        media.send(Record(recording="r", path=str(tmp_path / "r.wav"), bridge="ab"))
        await media.expect(RecordingStarted)
        await media.close()
        alice.say(sound.chirp_up(0.5))
        await bob.hears(sound.chirp_up(0.5), likeness=0.99)
        heir = await worker.controller()
        heir.send(List())
        listing = await heir.expect(Listing)
        assert ([s.stream for s in listing.streams], listing.bridges, listing.recordings) == (["a", "b"], ["ab"], ["r"])
        # A deadline ends it all, and the next controller is told what was kept.
        heir.send(Deadline(stream="a", in_ms=300))
        await heir.synchronize()
        await heir.close()
        await asyncio.sleep(1.8)
        last = await worker.controller()
        ended = await last.expect(RecordingEnded, recording="r", reason="ended")
        assert ended.duration_ms > 500
        samples, _ = sound.read_wav(tmp_path / "r.wav")
        with judged_by_time():
            assert sound.find(sound.chirp_up(0.5), samples[:, 0]).likeness > 0.95
        worker.process.send_signal(signal.SIGTERM)
        assert await worker.ended() == 0
        await last.expect(Closed, stream="b")
