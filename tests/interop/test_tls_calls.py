"""Calls over TLS with a softphone that nobody here wrote (baresip, whose TLS is OpenSSL's): both sides look at the other's certificate."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest

from tests.support import sound
from tests.support.app import Application, nothing, rcml
from tests.support.baresip import Baresip
from tests.support.certificates import Authority
from tests.support.ports import free_port
from tests.support.scene import Scene, ear
from tests.support.server import PLAIN, ServerProcess, serving

pytestmark = pytest.mark.interop

VOICE = np.concatenate((sound.silence(0.4), sound.chirp_down(), sound.silence(3.0)))  # it hangs up at the end


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture
async def secure_scene(tmp_path: Path, authority: Authority) -> AsyncIterator[Scene]:
    """A server of its own that listens for TLS."""
    mine = authority.issue("server", "IP:127.0.0.1")
    tls = f'''
[sip.tls]
certificate = "{mine.certificate}"
private_key = "{mine.key}"
ca_file = "{authority.ca}"
'''
    process = ServerProcess(tmp_path / "server", extra=tls, tls_port=free_port("127.0.0.1"))
    with serving(process):
        async with Application(port=process.app_port) as app, Scene(process, app, tmp_path) as scene:
            yield scene


def secured(directory: Path, authority: Authority, *names: str) -> Baresip:
    mine = authority.issue("phone", *names)
    both = directory / "phone.pem"
    both.write_text(mine.key.read_text() + mine.certificate.read_text())
    lines = (f"sip_certificate {both}", f"sip_cafile {authority.ca}", "sip_verify_server yes")
    return Baresip(directory / "baresip", VOICE, more=lines)


async def test_a_phone_is_called_by_tls(secure_scene: Scene, authority: Authority, tmp_path: Path) -> None:
    scene, baresip = secure_scene, secured(tmp_path, authority, "IP:127.0.0.1")
    await baresip.start()
    try:
        scene.app.answer("/voice", rcml(f"<Dial action='/done'><Sip>sip:baresip@127.0.0.1:{baresip.port + 1};transport=tls</Sip></Dial>"))
        scene.app.answer("/done", nothing())
        caller = await scene.calling("caller_waits")
        ear(caller).say(sound.silence(0.2))
        await scene.through(caller)
    finally:
        await baresip.stop()
    assert (await scene.app.asked("/done"))["DialCallStatus"] == "completed"
    assert "SIP/2.0/TLS" in baresip.output
    await ear(caller).hears(sound.chirp_down(), likeness=0.9, timeout_s=0)


async def test_a_phone_whose_certificate_is_for_somebody_else_is_not_called__rfc5922_4(
    secure_scene: Scene, authority: Authority, tmp_path: Path
) -> None:
    scene, baresip = secure_scene, secured(tmp_path, authority, "DNS:somebody.example.com")
    await baresip.start()
    try:
        scene.app.answer("/voice", rcml(f"<Dial action='/done'><Sip>sip:baresip@127.0.0.1:{baresip.port + 1};transport=tls</Sip></Dial>"))
        scene.app.answer("/done", nothing())
        caller = await scene.calling("caller_rejected")
        await scene.through(caller)
    finally:
        await baresip.stop()
    asked = await scene.app.asked("/done")
    assert asked["DialCallStatus"] == "failed"
    assert "INVITE" not in baresip.output
    assert "not for 127.0.0.1" in scene.server.log(20000)


async def test_a_phone_calls_by_tls(secure_scene: Scene, authority: Authority, tmp_path: Path) -> None:
    scene, baresip = secure_scene, secured(tmp_path, authority, "IP:127.0.0.1")
    callee = await scene.called("callee_hangs_up", ring_ms=300, talk_ms=2500)
    ear(callee).say(sound.silence(0.2))
    scene.app.answer("/voice", rcml(f"<Dial action='/done'>{callee.uri}</Dial>"))
    scene.app.answer("/done", nothing())
    await baresip.start(dial=f"sip:{PLAIN}@127.0.0.1:{scene.server.tls_port};transport=tls")
    try:
        await callee.wait()
        await baresip.until("terminated")
    finally:
        await baresip.stop()
    assert (await scene.app.asked("/done"))["DialCallStatus"] == "completed"
    await ear(callee).hears(sound.chirp_down(), likeness=0.9, timeout_s=0)
