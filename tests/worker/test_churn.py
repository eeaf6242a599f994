"""Whatever is asked of the media worker in whatever order: everything that began ends once, and nothing is left."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from pathlib import Path

import pytest

from media.engine import (
    Bridge,
    Close,
    Closed,
    Command,
    Connect,
    Failed,
    List,
    Listing,
    Open,
    Opened,
    PauseRecord,
    Play,
    PlayEnded,
    Record,
    RecordingEnded,
    RecordingStarted,
    ResumeRecord,
    SendDigits,
    Stats,
    StopPlay,
    StopRecord,
    Unbridge,
)
from tests.support import sound
from tests.support.rtp import RtpEndpoint, build_packet
from tests.support.worker import EVENTS, PCMA, PCMU, Controller, running

pytestmark = pytest.mark.worker

STREAMS = [f"s{i}" for i in range(6)]
BRIDGES = [f"b{i}" for i in range(4)]
CODECS = [[PCMU, EVENTS], [PCMA, EVENTS], [PCMA, PCMU], [PCMU]]


class Chaos:
    """Makes commands from a seed; each play and recording has a name of its own."""

    def __init__(self, seed: int, folder: Path, phone: RtpEndpoint) -> None:
        self.random, self.folder, self.phone = random.Random(seed), folder, phone
        self.plays: list[str] = []
        self.recordings: list[str] = []
        self.file = folder / "prompt.wav"
        self.file.write_bytes(sound.wav(sound.chirp_up(0.05)))

    def command(self) -> Command:
        pick = self.random.choice
        stream, bridge = pick(STREAMS), pick(BRIDGES)
        match self.random.randrange(16):
            case 0 | 1:
                return Open(stream=stream, call=pick(["", "x", "y"]), address=pick(["127.0.0.1", "127.0.0.1", "::1"]))
            case 2 | 3:
                return Connect(
                    stream=stream,
                    remote_address=pick(["127.0.0.2", "127.0.0.3", "0.0.0.0", "::1"]),
                    remote_port=self.phone.port + pick([0, 0, 10]),
                    codecs=pick(CODECS),
                    direction=pick(["sendrecv", "sendrecv", "sendonly", "recvonly", "inactive"]),
                    rtcp_mux=pick([False, True]),
                    latch=pick([False, True]),
                    ptime_ms=pick([10, 20, 30]),
                )
            case 4 | 5:
                return Bridge(bridge=bridge, first=stream, second=pick(STREAMS))
            case 6:
                return Unbridge(bridge=bridge)
            case 7:
                self.plays.append(f"p{len(self.plays)}")
                files = pick([[str(self.file)], ["/none.wav"], []])
                return Play(stream=stream, play=self.plays[-1], loop=pick([0, 1]), files=files, tone="" if files else "busy")
            case 8:
                return StopPlay(stream=stream, play=pick(self.plays[-3:] or ["p"]))
            case 9:
                name = f"r{len(self.recordings)}"
                self.recordings.append(name)
                path = str(self.folder / f"{name}.wav")
                of_bridge = pick([True, False])
                return Record(
                    recording=name,
                    path=path,
                    bridge=bridge if of_bridge else "",
                    stream="" if of_bridge else stream,
                    channels=pick([1, 2]),
                    max_ms=pick([50, 14_400_000]),
                    beep=not of_bridge and pick([False, True]),
                    silence_ms=0 if of_bridge else pick([0, 0, 60]),
                    finish_keys=pick(["", "", "" if of_bridge else "1#"]),
                )
            case 10:
                return StopRecord(recording=pick(self.recordings[-3:] or ["r"]))
            case 13:
                return PauseRecord(recording=pick(self.recordings[-3:] or ["r"]), keep_time=pick([False, True]))
            case 14:
                return ResumeRecord(recording=pick(self.recordings[-3:] or ["r"]))
            case 11:
                return SendDigits(stream=stream, digits=pick(["1", "12w#", "?"]), tone_ms=40, gap_ms=60)
            case 12:
                return Stats(stream=stream)
            case _:
                return Close(stream=stream)


async def talk(media: Controller, phone: RtpEndpoint) -> None:
    """Keep sending to every port that was ever opened."""
    sequence = 0
    while True:
        sequence += 1
        for opened in media.seen(Opened):
            if "." in opened.address:
                payload_type = sequence % 3 * 4 if sequence % 50 else 101
                phone.send_raw(
                    build_packet(payload_type, sequence, 160 * sequence, 1, b"\x05\x80\x01\x40" * 40), (opened.address, opened.port)
                )
        await asyncio.sleep(0.01)


@pytest.mark.parametrize("seed", range(3))
async def test_everything_that_began_ends_once_and_nothing_is_left(tmp_path: Path, seed: int) -> None:
    async with running(tmp_path, "--threads", "2") as worker, await RtpEndpoint.open("127.0.0.2") as phone:
        media = await worker.controller()
        before = await worker.settled_descriptors(media)
        chaos = Chaos(seed, tmp_path, phone)
        talking = asyncio.create_task(talk(media, phone))
        for step in range(600):
            media.send(chaos.command())
            if step % 5 == 0:
                await asyncio.sleep(0.005)
        for stream in STREAMS:
            media.send(Close(stream=stream))
            await media.expect(Closed, stream=stream)
        await asyncio.sleep(0.3)
        talking.cancel()
        for _ in range(200):  # a recording ends a little after its stream: its writer has a thread of its own
            media.send(List())
            if not (listing := await media.expect(Listing)).recordings:
                break
            await asyncio.sleep(0.02)
        assert (listing.streams, listing.bridges, listing.recordings) == ([], [], [])
        failed = media.seen(Failed)
        assert not [event for event in failed if event.code in ("internal", "frame")]
        refused = {(event.op, event.subject) for event in failed}
        ends = Counter(event.play for event in media.seen(PlayEnded))
        assert ends == Counter(play for play in chaos.plays if ("play", play) not in refused)
        done = Counter(event.recording for event in media.seen(RecordingEnded))
        assert done == Counter(name for name in chaos.recordings if ("record", name) not in refused)
        for event in media.seen(RecordingEnded):
            frames, _ = sound.read_wav(Path(event.path))
            assert abs(len(frames) / 8 - event.duration_ms) <= 1
        # What was ended during its beep never began, and so it is empty.
        started = {event.recording for event in media.seen(RecordingStarted)}
        assert started == {event.recording for event in media.seen(RecordingEnded) if event.duration_ms or event.recording in started}
        assert len(ends) > 5 and len(done) > 5 and 5 < len(started) == len(media.seen(RecordingStarted))
        assert await worker.until_descriptors(before) == before
