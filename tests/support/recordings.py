"""Recordings by a media worker: asking for them, and what is in their files."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from media.engine import Record, RecordingEnded, RecordingStarted
from tests.support import sound
from tests.support.phones import Phones
from tests.support.rtp import build_packet
from tests.support.sound import Samples
from tests.support.worker import Controller


def recorded(path: Path) -> tuple[Samples, Samples]:
    """Left and right; the same for mono."""
    frames, rate_hz = sound.read_wav(path)
    assert rate_hz == 8000
    return frames[:, 0], frames[:, -1]


def size_of(path: str) -> int:
    return Path(path).stat().st_size


async def begun(media: Controller, record: Record) -> float:
    """Record; when it began. A packet's audio lies before its arrival, so what is to be whole is said a packet later."""
    media.send(record)
    at = time.monotonic()
    await media.expect(RecordingStarted, recording=record.recording)
    await asyncio.sleep(0.05)
    return at


async def finish(media: Controller, recording: str, reason: str) -> RecordingEnded:
    done = await media.expect(RecordingEnded, recording=recording, reason=reason)
    assert len([event for event in media.seen(RecordingEnded) if event.recording == recording]) == 1
    assert size_of(done.path) == done.size_bytes
    return done


async def send_together(phones: Phones, samples: Samples, first: int = 0) -> None:
    """Both phones send the same audio at the same instants; `first`: the number of the packet it begins with."""
    phones.alice.mute()
    phones.bob.mute()
    begin = asyncio.get_running_loop().time()
    for index, frame in enumerate(samples.reshape(-1, 160), first):
        payload = sound.encode(frame)
        phones.alice.send_raw(build_packet(0, index, 160 * index, 1, payload), phones.to_alice)
        phones.bob.send_raw(build_packet(0, index + 5, 160 * index + 99, 2, payload), phones.to_bob)
        await asyncio.sleep(max(0.0, begin + 0.02 * (index - first + 1) - asyncio.get_running_loop().time()))
