"""Whole calls with encrypted media: the server offers and answers keys in the SDP, a softphone that nobody here wrote does too."""

from __future__ import annotations

import asyncio
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.support import ports, sound
from tests.support.app import nothing, rcml
from tests.support.baresip import Baresip
from tests.support.pace import judged_by_time
from tests.support.scene import Scene, ear
from tests.support.server import PLAIN, ROOT, ServerProcess, serving

pytestmark = pytest.mark.interop


async def timeline(scene: Scene, sid: str) -> str:
    """All that is kept of a call, its messages too, once its end is written."""
    command = [sys.executable, "-m", "server", "timeline", "--config", str(scene.server.directory / "dialplane.toml"), "--json", sid]
    for _ in range(20):
        process = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdout=asyncio.subprocess.PIPE)
        printed = (await process.communicate())[0].decode()
        if json.loads(printed)["call"] is not None:
            return printed
        await asyncio.sleep(0.1)
    raise AssertionError(f"no record of {sid}")


DOWN = np.concatenate((sound.silence(0.6), sound.chirp_down(), sound.silence(3.0)))  # it hangs up at the end
UP = np.concatenate((sound.silence(0.6), sound.chirp_up(), sound.silence(6.0)))


@pytest.fixture(scope="module", params=["optional", "mandatory"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """One server for each policy, beside that of the other tests."""
    with serving(
        ServerProcess(tmp_path_factory.mktemp(request.param), media=f'srtp = "{request.param}"', rtp_ports=ports.OWN_SERVER)
    ) as process:
        yield process


@pytest.fixture
def policy(request: pytest.FixtureRequest, server: ServerProcess) -> str:
    return "mandatory" if "mandatory" in server.media else "optional"


async def test_both_legs_are_encrypted_each_with_its_own_keys(scene: Scene, tmp_path: Path, policy: str) -> None:
    async with Baresip(tmp_path / "callee", DOWN, encrypts="srtp-mand" if policy == "mandatory" else "srtp") as callee:
        scene.app.answer("/voice", rcml(f"<Dial action='/done' record='true'>{callee.uri}</Dial>"))
        scene.app.answer("/done", nothing())
        caller = Baresip(tmp_path / "caller", UP, encrypts="srtp-mand")
        await caller.start(dial=f"sip:{PLAIN}@127.0.0.1:{scene.server.sip_port}")
        try:
            await callee.event("CALL_ESTABLISHED")
            await callee.event("CALL_CLOSED")
            asked = await scene.app.asked("/done")
            await caller.event("CALL_CLOSED")
        finally:
            await caller.stop()
    assert asked["DialCallStatus"] == "completed"
    for phone in (caller, callee):
        assert "a=crypto" in phone.output
    assert "RTP/SAVP" in caller.output and ("RTP/SAVP" in callee.output) == (policy == "mandatory")
    with judged_by_time():
        assert sound.find(sound.chirp_up(), callee.heard()).likeness > 0.95
        assert sound.find(sound.chirp_down(), caller.heard()).likeness > 0.95
    keys = set(re.findall(r"inline:([A-Za-z0-9+/]{20,})", caller.output + callee.output))
    assert len(keys) >= 4  # each leg's two at least
    messages = await timeline(scene, asked["CallSid"])
    assert "inline:***" in messages and "encryption" in messages
    kept = [messages, scene.server.log(10_000_000)]
    assert not [key for key in keys for text in kept if key in text]
    # The recording holds what was said.
    (recording,) = (scene.server.state / "recordings").glob("*.wav")
    samples, _ = sound.read_wav(recording)
    recording.unlink()
    for said in (sound.chirp_up(), sound.chirp_down()):
        with judged_by_time():
            assert sound.find(said, samples[:, 0]).likeness > 0.5


async def test_a_plain_caller_is_bridged_with_an_encrypted_party_or_refused(scene: Scene, tmp_path: Path, policy: str) -> None:
    async with Baresip(tmp_path / "callee", DOWN, encrypts="srtp") as callee:
        scene.app.answer("/voice", rcml(f"<Dial action='/done'>{callee.uri}</Dial>"))
        scene.app.answer("/done", nothing())
        if policy == "mandatory":
            caller = await scene.calling("caller_rejected")
            await scene.through(caller)
            assert caller.statuses()[-1] == 488
            await asyncio.sleep(0.2)
            assert callee.events == [] or all(event["type"] != "CALL_INCOMING" for event in callee.events)
            return
        caller = await scene.calling("caller_waits")
        ear(caller).say(np.concatenate((sound.silence(0.6), sound.chirp_up())))
        await callee.event("CALL_ESTABLISHED")
        await scene.through(caller)
    assert "a=crypto" in callee.output
    await ear(caller).hears(sound.chirp_down(), likeness=0.95, timeout_s=0)
    with judged_by_time():
        assert sound.find(sound.chirp_up(), callee.heard()).likeness > 0.95
