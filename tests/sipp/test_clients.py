"""Clients: phones that register and prove who they are, by UDP and TCP, from trunks' addresses and others (behaviour 8)."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.support.app import Application
from tests.support.scene import Scene
from tests.support.server import ServerProcess, serving
from tests.support.sipp import Phone

pytestmark = pytest.mark.sipp

CLIENTS = """
[registrar]
algorithms = ["MD5"]  # SIPp knows no other, and takes the first
ping_s = 0
max_failures = 3
ban_s = 2.0

[[clients]]
name = "alice"
password = "wonderland"

[[clients]]
name = "dora"
ha1_md5 = "d2d2a86f1c6e1b3d6de9b3ee2a93b7b0"
active = false
"""


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with serving(ServerProcess(tmp_path_factory.mktemp("office"), extra=CLIENTS)) as process:
        yield process


@pytest.fixture
async def scene(office: ServerProcess, tmp_path: Path) -> AsyncIterator[Scene]:
    async with Application(port=office.app_port) as app, Scene(office, app, tmp_path) as scene:
        yield scene


def metric(server: ServerProcess, name: str) -> float:
    """The value of one line of /metrics; 0 when it is not there."""
    _, body = server.get("/metrics")
    found = re.search(rf"^{re.escape(name)} (\S+)$", body.decode(), re.MULTILINE)
    return float(found[1]) if found is not None else 0.0


async def registers(scene: Scene, scenario: str = "phone_registers", **given: str | int) -> Phone:
    keys: dict[str, str | int] = {"user": "alice", "password": "wonderland", "expires": 600, "contact_port": 5060}
    source, transport = str(given.pop("source", "127.0.0.1")), str(given.pop("transport", "udp"))
    return await scene.calling(scenario, source=source, transport=transport, **(keys | given))  # type: ignore[arg-type]


@pytest.mark.parametrize("transport", ["udp", "tcp"])
@pytest.mark.parametrize("source", ["127.0.0.1", "127.0.0.9"], ids=["trunk", "anywhere"])
async def test_a_phone_registers_and_leaves__behaviour_8(scene: Scene, transport: str, source: str) -> None:
    """From an address that no trunk lists as well; its TCP connection may go, and with it the binding."""
    phone = await registers(scene, transport=transport, source=source)
    await scene.through(phone)
    bound = phone.first("SIP/2.0 200").header("Contact")
    assert re.fullmatch(rf"<sip:alice@{re.escape(source)}:5060;transport={transport.upper()}>;expires=600", bound), bound
    if transport == "udp":
        assert metric(scene.server, "dialplane_registrations") == 1
        await scene.through(await registers(scene, source=source, expires=0))
    for _ in range(100):
        if metric(scene.server, "dialplane_registrations") == 0:
            break
        await asyncio.sleep(0.05)
    assert metric(scene.server, "dialplane_registrations") == 0


async def test_a_wrong_password_is_403_and_nothing_is_kept__behaviour_8(scene: Scene) -> None:
    await scene.through(await registers(scene, "phone_refused", password="guess"))
    assert metric(scene.server, "dialplane_registrations") == 0
    assert "client_denied" in scene.server.log(20_000)
    assert "guess" not in scene.server.log(20_000).replace("guesser", "")
    assert "wonderland" not in scene.server.log(1_000_000)


async def test_who_guesses_is_banned_for_a_while__behaviour_8(scene: Scene) -> None:
    for number in range(4):
        await scene.through(await registers(scene, "phone_refused", password=f"guess{number}", source="127.0.0.10"))
    assert "guesser_banned" in scene.server.log(20_000)
    late = await registers(scene, source="127.0.0.10")  # SIPp asks again until the ban is over
    await scene.through(late)
    await scene.through(await registers(scene, source="127.0.0.10", expires=0))
