"""A softphone that nobody here wrote, on either side of a Dial (baresip)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.support import sound
from tests.support.app import nothing, rcml
from tests.support.baresip import Baresip
from tests.support.pace import judged_by_time
from tests.support.scene import Scene, ear
from tests.support.server import PLAIN

pytestmark = pytest.mark.interop

VOICE = np.concatenate((sound.silence(0.4), sound.chirp_down(), sound.silence(4.0)))  # it hangs up at the end


@pytest.mark.parametrize("codecs", ["PCMU", "PCMA"])
async def test_baresip_is_called_and_both_are_heard(scene: Scene, tmp_path: Path, codecs: str) -> None:
    baresip = Baresip(tmp_path / "baresip", VOICE, codecs=codecs)
    payload_type = 0 if codecs == "PCMU" else 8
    await baresip.start()
    try:
        scene.app.answer("/voice", rcml(f"<Dial action='/done'>{baresip.uri}</Dial>"))
        scene.app.answer("/done", nothing())
        caller = await scene.calling("caller_waits", payload_type=payload_type)
        ear(caller).say(np.concatenate((sound.silence(0.5), sound.chirp_up())))
        await scene.through(caller)  # baresip hangs up when it has said its words
    finally:
        await baresip.stop()
    assert (await scene.app.asked("/done"))["DialCallStatus"] == "completed"
    await ear(caller).hears(sound.chirp_down(), likeness=0.95, timeout_s=0)
    with judged_by_time():
        assert sound.find(sound.chirp_up(), baresip.heard()).likeness > 0.95


async def test_baresip_calls_and_both_are_heard(scene: Scene, tmp_path: Path) -> None:
    callee = await scene.called("callee_hangs_up", ring_ms=500, talk_ms=3000)
    ear(callee).say(sound.silence(0.2))
    scene.app.answer("/voice", rcml(f"<Dial record='true' action='/done'>{callee.uri}</Dial>"))
    scene.app.answer("/done", nothing())
    baresip = Baresip(tmp_path / "baresip", VOICE)
    await baresip.start(dial=f"sip:{PLAIN}@127.0.0.1:{scene.server.sip_port}")
    try:
        await callee.until("ACK")
        ear(callee).say(sound.chirp_up())
        await callee.wait()
        await baresip.until("terminated")
    finally:
        await baresip.stop()
    asked = await scene.app.asked("/done")
    assert (asked["DialCallStatus"], asked["From"]) == ("completed", "baresip")
    await ear(callee).hears(sound.chirp_down(), likeness=0.95, timeout_s=0)
    with judged_by_time():
        assert sound.find(sound.chirp_up(), baresip.heard()).likeness > 0.95
