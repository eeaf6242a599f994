"""Codecs that are off unless `media.codecs` names them: G.729, which only passes, and L16."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest

from tests.support import ports, sound
from tests.support.app import Application, audio, nothing, rcml
from tests.support.baresip import Baresip
from tests.support.pace import judged_by_time
from tests.support.rtp import build_packet
from tests.support.scene import Scene, ear
from tests.support.server import PLAIN, ServerProcess, serving

pytestmark = pytest.mark.sipp

CODECS = 'codecs = ["PCMU", "L16", "G729", "telephone-event"]'


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    with serving(ServerProcess(tmp_path / "server", media=CODECS, rtp_ports=ports.OTHER_SERVER)) as server:
        async with Application(port=server.app_port) as app, Scene(server, app, tmp_path) as scene:
            yield scene


async def test_g729_passes_octet_for_octet_and_the_prompt_after_it_is_heard__sdp_md(scene: Scene) -> None:
    callee = await scene.called("callee_hangs_up", ring_ms=100, talk_ms=2000, payloads="18")
    scene.app.answer("/voice", rcml(f"<Dial action='/done'>{callee.uri}</Dial>"))
    scene.app.answer("/done", rcml("<Play>/tone.wav</Play>"))
    scene.app.answer("/tone.wav", audio(sound.wav(sound.tone(700, 1.0))))
    caller = await scene.calling("caller_waits", payloads="18 0")
    for phone in (caller, callee):
        ear(phone).mute()  # it would talk PCMU
    await caller.until("SIP/2.0 200")
    await callee.until("ACK")
    await asyncio.sleep(0.2)
    frames = [bytes([number]) * 20 for number in range(40)]
    for number, frame in enumerate(frames):
        for phone, ssrc in ((caller, 1), (callee, 2)):
            ear(phone).send_raw(build_packet(18, number, 160 * number, ssrc, frame))
        await asyncio.sleep(0.02)
    await scene.through(caller, callee)
    for phone in (caller, callee):
        assert [packet.payload for packet in ear(phone).packets if packet.payload_type == 18] == frames
    answer = next(message.body for message in caller.received if message.status == 200)
    assert "RTP/AVP 18 0 101" in answer and "a=fmtp:18 annexb=no" in answer
    await ear(caller).hears_tone(700, seconds=0.9, timeout_s=0)


async def test_l16_is_transcoded__sdp_md(scene: Scene, tmp_path: Path) -> None:
    words = np.concatenate((sound.silence(1.5), sound.chirp_down(), sound.silence(9)))
    callee = await scene.called("callee_waits", payloads="0")
    scene.app.answer("/voice", rcml(f"<Dial action='/done'>{callee.uri}</Dial>"))
    scene.app.answer("/done", nothing())
    async with Baresip(tmp_path / "baresip", words, codecs="L16/16000/1") as baresip:
        await baresip.command("dial", f"sip:{PLAIN}@127.0.0.1:{scene.server.sip_port}")
        await baresip.event("CALL_ESTABLISHED")
        ear(callee).say(np.concatenate((sound.silence(1.0), sound.chirp_up())))
        await asyncio.sleep(3.5)
        await baresip.command("hangup")
        await scene.through(callee)
    assert baresip.codec() == "L16"
    with judged_by_time():
        assert sound.share_found(sound.chirp_down(), ear(callee).heard()) >= 0.8
        assert sound.share_found(sound.chirp_up(), baresip.heard()) >= 0.8
