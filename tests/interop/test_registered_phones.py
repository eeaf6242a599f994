"""Softphones that nobody here wrote, registered as clients of this server: called, calling, over UDP and TCP (baresip, Linphone)."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from sip.core.digest_server import ha1
from tests.support import ports, sound
from tests.support.app import Application, nothing, rcml
from tests.support.baresip import Baresip
from tests.support.linphone import Linphone
from tests.support.scene import Scene, ear
from tests.support.server import ServerProcess, serving

pytestmark = pytest.mark.interop

HUM = sound.tone(440.0, 20.0)


def by_md5(name: str, password: str) -> str:
    """baresip takes the first challenge whatever it is, and knows MD5 alone: its client has that digest only."""
    return f'\n[[clients]]\nname = "{name}"\nha1_md5 = "{ha1("MD5", name, "dialplane", password)}"\n'


CLIENTS = by_md5("alice", "wonderland") + by_md5("robin", "builder") + '\n[[clients]]\nname = "lin"\npassword = "phone"\n'


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with serving(ServerProcess(tmp_path_factory.mktemp("office"), extra=CLIENTS, rtp_ports=ports.OTHER_SERVER)) as process:
        yield process


@pytest.fixture
async def scene(office: ServerProcess, tmp_path: Path) -> AsyncIterator[Scene]:
    async with Application(port=office.app_port) as app, Scene(office, app, tmp_path) as scene:
        yield scene


async def registrations(server: ServerProcess, count: int) -> None:
    """Until so many are registered."""
    for _ in range(400):
        _, body = await asyncio.to_thread(server.get, "/metrics")
        found = re.search(rb"^dialplane_registrations (\S+)$", body, re.MULTILINE)
        if found is not None and float(found[1]) == count:
            return
        await asyncio.sleep(0.05)
    raise AssertionError(f"not {count} registrations: {found}\n{server.log()}")


def account(server: ServerProcess, user: str, password: str, transport: str = "udp") -> str:
    address = f"<sip:{user}@127.0.0.1:{server.sip_port};transport={transport}>"
    return f"{address};auth_user={user};auth_pass={password};regint=600;answermode=auto"


@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_baresip_registers_is_called_and_leaves__behaviour_8(scene: Scene, tmp_path: Path, transport: str) -> None:
    async with Baresip(tmp_path / "baresip", HUM) as baresip:
        await baresip.command("uanew", account(scene.server, "alice", "wonderland", transport))
        await registrations(scene.server, 1)
        scene.app.answer("/voice", rcml("<Dial action='/done'><Client>alice</Client></Dial>"))
        scene.app.answer("/done", nothing())
        caller = await scene.calling("caller_hangs_up", talk_ms=1500)
        await baresip.event("CALL_ESTABLISHED")
        await scene.through(caller)
        asked = await scene.app.asked("/done")
    assert asked["DialCallStatus"] == "completed"
    await ear(caller).hears_tone(440.0, seconds=0.8, timeout_s=0)
    await registrations(scene.server, 0)


async def test_a_client_calls_another_one__behaviour_1_3(scene: Scene, tmp_path: Path) -> None:
    """One over UDP and one over TCP; no application is asked."""
    async with Baresip(tmp_path / "alice", HUM) as alice, Baresip(tmp_path / "robin", HUM) as robin:
        await alice.command("uanew", account(scene.server, "alice", "wonderland"))
        await robin.command("uanew", account(scene.server, "robin", "builder", "tcp"))
        await registrations(scene.server, 2)
        await robin.command("uafind", f"sip:robin@127.0.0.1:{scene.server.sip_port}")
        await robin.command("dial", f"sip:alice@127.0.0.1:{scene.server.sip_port}")
        await alice.event("CALL_ESTABLISHED")
        await robin.event("CALL_ESTABLISHED")
        await robin.command("hangup")
        await alice.event("CALL_CLOSED")
    assert scene.app.requests == []
    await registrations(scene.server, 0)


async def test_linphone_registers_and_is_called__behaviour_8(scene: Scene, tmp_path: Path) -> None:
    async with Linphone(tmp_path / "linphone", HUM) as linphone:
        linphone.command(f"register sip:lin@127.0.0.1:{scene.server.sip_port} sip:127.0.0.1:{scene.server.sip_port} phone")
        await registrations(scene.server, 1)
        scene.app.answer("/voice", rcml("<Dial action='/done'><Client>lin</Client></Dial>"))
        scene.app.answer("/done", nothing())
        caller = await scene.calling("caller_hangs_up", talk_ms=1500)
        await scene.through(caller)
        asked = await scene.app.asked("/done")
        assert asked["DialCallStatus"] == "completed"
        linphone.command("unregister")
        await registrations(scene.server, 0)
