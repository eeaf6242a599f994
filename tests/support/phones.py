"""Two phones whose call is bridged by a media worker, and files for them to hear."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from media.engine import Bridge, Opened
from tests.support import sound
from tests.support.codec_phone import CodecPhone
from tests.support.rtp import RtpEndpoint
from tests.support.sound import Samples
from tests.support.worker import Controller


@dataclass(frozen=True, slots=True)
class Phones:
    """Two phones; Alice on stream "a" and Bob on stream "b", bridged as "ab", unless it is said otherwise."""

    alice: RtpEndpoint
    bob: RtpEndpoint
    to_alice: tuple[str, int]
    to_bob: tuple[str, int]


@contextlib.asynccontextmanager
async def bridged_phones(media: Controller, *, streams: tuple[str, str] = ("a", "b"), **session: Any) -> AsyncIterator[Phones]:
    """streams: their names; the bridge is called by both. session: what both streams' `Connect` says beside the address."""
    async with await RtpEndpoint.open("127.0.0.2") as alice, await RtpEndpoint.open("127.0.0.3") as bob:
        opened = [await media.open(name, call="CA") for name in streams]
        for name, phone, at in zip(streams, (alice, bob), opened, strict=True):
            media.connect_to(name, phone, **session)
            phone.send_to((at.address, at.port))
        media.send(Bridge(bridge="".join(streams), first=streams[0], second=streams[1]))
        await media.synchronize()
        yield Phones(alice, bob, *((at.address, at.port) for at in opened))


@contextlib.asynccontextmanager
async def bridged(media: Controller, *phones: CodecPhone, name: str = "") -> AsyncIterator[list[Opened]]:
    """Two phones on streams "{name}0" and "{name}1", bridged as "{name}"; both talk, and hang up at the end."""
    opened = []
    for index, phone in enumerate(phones):
        opened.append(await media.open(f"{name}{index}", call=name or "CA"))
        media.connect_to(f"{name}{index}", phone, phone.codecs, ptime_ms=phone.ptime_ms)
        phone.send_to((opened[-1].address, opened[-1].port))
    media.send(Bridge(bridge=name or "b", first=f"{name}0", second=f"{name}1"))
    await media.synchronize()
    try:
        yield opened
    finally:
        for phone in phones:
            await phone.close()


def prompt(folder: Path, name: str, samples: Samples) -> str:
    """A file that can be played."""
    path = folder / name
    path.write_bytes(sound.wav(samples))
    return str(path)
