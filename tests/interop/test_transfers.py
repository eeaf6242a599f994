"""Softphones that nobody here wrote hand their calls over: baresip blind, Linphone with two calls (behaviour 6)."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.support import sound
from tests.support.app import rcml
from tests.support.baresip import Baresip
from tests.support.linphone import Linphone
from tests.support.scene import Scene, ear
from tests.support.server import PLAIN, REFERABLE

pytestmark = pytest.mark.interop

HUM = sound.tone(440.0, 30.0)  # longer than any of these calls


async def test_baresip_hands_its_caller_over__behaviour_6(scene: Scene, tmp_path: Path) -> None:
    target = await scene.called("callee_hangs_up", ring_ms=300, talk_ms=4000)
    async with Baresip(tmp_path / "baresip", HUM) as baresip:
        scene.app.answer("/voice", rcml(f"<Dial>{baresip.uri}</Dial>"))
        scene.app.answer("/refer", rcml(f"<Dial>{target.uri}</Dial>"))
        caller = await scene.calling("caller_waits", REFERABLE)
        await baresip.event("CALL_ESTABLISHED")
        await baresip.command("transfer", "sip:carol@example.com")
        await target.until("ACK")
        await baresip.event("CALL_CLOSED")
        mark = ear(target).mark()
        ear(caller).say(sound.chirp_up())
        await ear(target).hears(sound.chirp_up(), since=mark)
        await scene.through(caller, target)
    asked = await scene.app.asked("/refer")
    assert (asked["ReferTarget"], asked["Transferee"]) == ("carol", "bob")


async def test_linphone_lets_its_two_parties_meet__behaviour_6(scene: Scene, tmp_path: Path) -> None:
    ann, carol = await scene.called("callee_hangs_up", talk_ms=14000), await scene.called("callee_waits")
    scene.app.answer("/voice", rcml(f"<Dial>{ann.uri}</Dial>"), rcml(f"<Dial>{carol.uri}</Dial>"))
    async with Linphone(tmp_path / "linphone", HUM) as linphone:
        linphone.command(f"call sip:{PLAIN}@127.0.0.1:{scene.server.sip_port}")
        await ann.until("ACK")
        linphone.command("pause")
        await linphone.until_logged("LinphoneCallPaused")
        linphone.command(f"call sip:{PLAIN}@127.0.0.1:{scene.server.sip_port}")
        await carol.until("ACK")
        await linphone.until_logged("LinphoneCallStreamsRunning", occurrence=2)
        linphone.command("transfer 1 --to-call 2")
        await linphone.until_logged("LinphoneCallReleased", occurrence=2, timeout_s=15.0)
        marks = ear(ann).mark(), ear(carol).mark()
        ear(ann).say(sound.chirp_up())
        ear(carol).say(sound.chirp_down())
        await asyncio.gather(ear(carol).hears(sound.chirp_up(), since=marks[1]), ear(ann).hears(sound.chirp_down(), since=marks[0]))
    await scene.through(ann, carol)
