"""Two phones whose call is bridged by a media worker, and files for them to hear."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from media.engine import Bridge
from tests.support import sound
from tests.support.rtp import RtpEndpoint
from tests.support.sound import Samples
from tests.support.worker import Controller


@dataclass(frozen=True, slots=True)
class Phones:
    """Alice on stream "a" and Bob on stream "b", bridged as "ab"."""

    alice: RtpEndpoint
    bob: RtpEndpoint
    to_alice: tuple[str, int]
    to_bob: tuple[str, int]


@contextlib.asynccontextmanager
async def bridged_phones(media: Controller, **session: Any) -> AsyncIterator[Phones]:
    """session: what both streams' `Connect` says beside the address."""
    async with await RtpEndpoint.open("127.0.0.2") as alice, await RtpEndpoint.open("127.0.0.3") as bob:
        opened = [await media.open(name, call="CA") for name in ("a", "b")]
        for name, phone, at in zip(("a", "b"), (alice, bob), opened, strict=True):
            media.connect_to(name, phone, **session)
            phone.send_to((at.address, at.port))
        media.send(Bridge(bridge="ab", first="a", second="b"))
        await media.synchronize()
        yield Phones(alice, bob, *((at.address, at.port) for at in opened))


def prompt(folder: Path, name: str, samples: Samples) -> str:
    """A file that can be played."""
    path = folder / name
    path.write_bytes(sound.wav(samples))
    return str(path)
