"""A stream goes from one bridge into another, as an attended transfer has it: three phones, what they hear, and for how long nothing."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator

import pytest

from media.engine import Bridge, Unbridge
from tests.support.codec_phone import G722, PCMA, PCMU, CodecPhone, Format, encode_all
from tests.support.likeness import level_at, tone
from tests.support.pace import HARMLESS_S, in_time, judged_by_time
from tests.support.worker import Controller

pytestmark = pytest.mark.worker

LEVEL = 4000
HZ = {"alice": 500.0, "bob": 900.0, "carol": 1400.0}
# Nobody hears nothing for longer: a packet of the old clock, one of the new, and what a wake-up takes.
GAP_S = 0.04 + HARMLESS_S


@contextlib.asynccontextmanager
async def three(media: Controller, formats: dict[str, Format]) -> AsyncIterator[dict[str, CodecPhone]]:
    """Each says a tone of its own. Alice and Bob are bridged as "old"; Carol waits."""
    async with contextlib.AsyncExitStack() as stack:
        phones: dict[str, CodecPhone] = {}
        for name, format in formats.items():
            phones[name] = await CodecPhone.open_as(format)
            stack.push_async_callback(phones[name].close)
            opened = await media.open(name, call=name)
            media.connect_to(name, phones[name], phones[name].codecs)
            phones[name].send_to((opened.address, opened.port))
            phones[name].say_encoded(encode_all(format, tone(format.rate_hz, HZ[name], 10.0, LEVEL)) * 3)
        media.send(Bridge(bridge="old", first="alice", second="bob"))
        await media.synchronize()
        yield phones


async def hear(phones: dict[str, CodecPhone], expected: dict[str, set[str]]) -> None:
    """From now on they do, and nobody else."""

    async def listen() -> None:
        await asyncio.sleep(0.5)
        marks = {name: phone.mark() for name, phone in phones.items()}
        await asyncio.sleep(0.8)
        for name, others in expected.items():
            heard = phones[name].heard(marks[name])
            for other, hz in HZ.items():
                level = level_at(heard[len(heard) // 8 :], hz, phones[name].format.rate_hz) if len(heard) else 0.0
                text = f"{name} hears {other} at {level:.0f}"
                assert 0.5 * LEVEL < level < 1.4 * LEVEL if other in others else level < LEVEL / 40, text

    await in_time(listen, rest_s=1.0, memory_s=5.0)


@pytest.mark.parametrize(
    "formats",
    [{"alice": PCMU, "bob": PCMU, "carol": PCMU}, {"alice": PCMU, "bob": PCMU, "carol": PCMA}, {"alice": G722, "bob": PCMA, "carol": G722}],
    ids=["same codec", "to another codec", "from one to another"],
)
async def test_a_stream_moves_into_another_bridge_without_a_gap__behaviour_6(media: Controller, formats: dict[str, Format]) -> None:
    async with three(media, formats) as phones:
        await hear(phones, {"alice": {"bob"}, "bob": {"alice"}, "carol": set()})
        since = phones["bob"].mark()
        media.send_together(Unbridge(bridge="old"), Bridge(bridge="new", first="carol", second="bob"))
        await media.synchronize()
        await hear(phones, {"alice": set(), "bob": {"carol"}, "carol": {"bob"}})
        at = [packet.at for packet in phones["bob"].packets[since - 1 :]]
        gaps = [later - earlier for earlier, later in itertools.pairwise(at)]
        assert len(gaps) > 40
        with judged_by_time():
            assert max(gaps) <= GAP_S
        media.send_together(Unbridge(bridge="new"), Bridge(bridge="back", first="alice", second="bob"))
        await media.synchronize()
        await hear(phones, {"alice": {"bob"}, "bob": {"alice"}, "carol": set()})
