"""Phones that nobody here wrote in a conference of three with a third codec (baresip twice, SIPp): tones told apart."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from tests.support import sound
from tests.support.app import nothing, rcml
from tests.support.baresip import Baresip
from tests.support.codec_phone import G722, CodecPhone, encode_all
from tests.support.likeness import level_at, tone
from tests.support.pace import in_time, judged_by_time
from tests.support.scene import Scene
from tests.support.server import ANSWERING
from tests.support.sipp import Phone

pytestmark = pytest.mark.interop

TONES_HZ = (500.0, 1400.0, 2300.0)
CODECS = ("PCMU", "PCMA")
LEVEL = 4000


async def test_two_softphones_and_a_third_codec_hear_each_other__behaviour_2_10(scene: Scene, tmp_path: Path) -> None:
    """The softphones say their tones from their calls' beginning; each hears the two others, and not itself."""
    everyone = "<Dial action='/done'><Conference beep='false' waitUrl=''>three</Conference></Dial>"
    moderator = "<Dial action='/done'><Conference beep='false' waitUrl='' endConferenceOnExit='true'>three</Conference></Dial>"
    scene.app.answer("/voice", rcml(everyone), rcml(everyone), rcml(moderator))
    scene.app.answer("/done", nothing())
    uri = f"sip:{ANSWERING}@127.0.0.1:{scene.server.sip_port}"
    async with AsyncExitStack() as stack:
        softphones = []
        for index, codec in enumerate(CODECS):
            says = sound.tone(TONES_HZ[index], 60.0, LEVEL)
            softphone = await stack.enter_async_context(Baresip(tmp_path / f"baresip{index}", says, codecs=codec))
            await softphone.command("dial", uri)
            await softphone.event("CALL_ESTABLISHED")
            softphones.append(softphone)
        rtp = await scene.codec(G722)
        keys: dict[str, str | int] = {"number": ANSWERING, "payloads": 9, "talk_ms": 8000}
        third = await scene.playing(
            Phone("caller_hangs_up", scene.directory, remote=("127.0.0.1", scene.server.sip_port), rtp=rtp, keys=keys, timeout_s=40.0)
        )
        await third.until("ACK")
        rtp.say_encoded(encode_all(G722, tone(16_000, TONES_HZ[2], 2.0, LEVEL)) * 30)
        await in_time(lambda: hears(rtp, {0, 1}), rest_s=1.0, memory_s=4.0)
        await scene.through(third)
        for softphone in softphones:
            await softphone.event("CALL_CLOSED")
    assert sorted(told["DialCallStatus"] for told in scene.app.asked_for("/done")) == ["completed"] * 3
    for index, softphone in enumerate(softphones):
        tail = softphone.heard()[-3 * sound.RATE_HZ : -sound.RATE_HZ // 2]
        levels = [level_at(tail, hz, sound.RATE_HZ) for hz in TONES_HZ]
        with judged_by_time():
            assert all((level > LEVEL / 4) == (other != index) for other, level in enumerate(levels)), (index, levels)


async def hears(rtp: CodecPhone, others: set[int]) -> None:
    await asyncio.sleep(0.6)
    mark = rtp.mark()
    await asyncio.sleep(0.8)
    heard = rtp.heard(mark)
    heard = heard[len(heard) // 8 :]
    levels = [level_at(heard, hz, 16_000) for hz in TONES_HZ]
    assert all((level > LEVEL / 3) == (index in others) for index, level in enumerate(levels)), levels
