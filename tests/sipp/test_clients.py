"""Clients: phones that register and prove who they are, by UDP and TCP, from trunks' addresses and others (behaviour 8)."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from sip.message import Request
from tests.support.app import Application, rcml
from tests.support.descriptions import sdp
from tests.support.scene import Scene
from tests.support.server import NEVER, PLAIN, ServerProcess, serving
from tests.support.sipp import Phone, SippFailed
from tests.support.tcp_phone import TcpPhone

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
name = "robin"
password = "builder"

[[clients]]
name = "carol"
password = "singer"
voice_url = "http://127.0.0.1:{app_port}/carols"
"""


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    process = ServerProcess(tmp_path_factory.mktemp("office"))
    process.extra = CLIENTS.format(app_port=process.app_port)
    with serving(process):
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
    for _ in range(100):  # the line comes with the answer, not before it
        if "guesser_banned" in scene.server.log(1_000_000):
            break
        await asyncio.sleep(0.05)
    assert "guesser_banned" in scene.server.log(1_000_000)
    late = await registers(scene, source="127.0.0.10")  # SIPp asks again until the ban is over
    await scene.through(late)
    await scene.through(await registers(scene, source="127.0.0.10", expires=0))


async def test_registrations_survive_a_restart__behaviour_8(tmp_path: Path) -> None:
    """Also one by kill -9, but for the last moment before it; a phone behind a connection has to come back by itself."""
    process = ServerProcess(tmp_path / "server", extra=CLIENTS.replace("{app_port}", "1"))
    with serving(process):
        async with Application(port=process.app_port) as app, Scene(process, app, tmp_path) as scene:
            phone = await scene.called("callee_waits", host="127.0.0.9")
            await scene.through(await registers(scene, source="127.0.0.9", contact_port=phone.port))
            await asyncio.to_thread(written, process)
            await asyncio.to_thread(process.kill)
            await asyncio.to_thread(process.start)
            assert metric(process, "dialplane_registrations") == 1
            caller = await scene.calling("caller_hangs_up", "alice", talk_ms=300)
            await scene.through(caller, phone)
            assert caller.statuses() == [180, 200]
            await forget(scene, "127.0.0.9", phone.port)
            await asyncio.to_thread(process.stop)
            await asyncio.to_thread(process.start)
            assert metric(process, "dialplane_registrations") == 0


def written(process: ServerProcess) -> None:
    """Until nothing waits for the database."""
    until = time.monotonic() + 10
    while time.monotonic() < until:
        _, document = process.health()
        storage = document["storage"]
        if isinstance(storage, dict) and storage["waiting"] == 0:
            return
        time.sleep(0.05)
    raise AssertionError("still waiting for the database")


# --- calls --------------------------------------------------------------------------------------------------------------


async def test_a_client_with_three_phones_rings_thrice_and_the_first_answer_takes_it__behaviour_2_4(scene: Scene) -> None:
    quick = await scene.called("callee_waits", host="127.0.0.9", ring_ms=300)
    slow = [await scene.called("callee_rings", host="127.0.0.9") for _ in range(2)]
    for phone in (quick, *slow):
        await scene.through(await registers(scene, source="127.0.0.9", contact_port=phone.port))
    scene.app.answer("/voice", rcml("<Dial><Client>alice?tag=7</Client></Dial>"))
    caller = await scene.calling("caller_hangs_up", talk_ms=800)
    await scene.through(caller, quick, *slow)
    assert caller.statuses() == [180, 200]
    for phone in (quick, *slow):
        assert phone.first("INVITE").header("X-tag") == "7"
        assert phone.first("INVITE").start_line.startswith(f"INVITE sip:alice@127.0.0.9:{phone.port}")
    assert all("Call completed elsewhere" in phone.first("CANCEL").header("Reason") for phone in slow)
    await forget(scene, "127.0.0.9", *(phone.port for phone in (quick, *slow)))


async def forget(scene: Scene, source: str, *ports: int) -> None:
    for port in ports:
        await scene.through(await registers(scene, source=source, contact_port=port, expires=0))
    assert metric(scene.server, "dialplane_registrations") == 0


async def test_a_phone_behind_a_connection_is_called_over_it__rfc5626_5_3(scene: Scene) -> None:
    """Its Contact leads nowhere; the ACK and the BYE take the same way."""
    async with TcpPhone(("127.0.0.1", scene.server.sip_port), "alice", "wonderland") as phone:
        assert (await phone.register()).status == 200
        scene.app.answer("/voice", rcml("<Dial><Client>alice</Client></Dial>"))
        caller = await scene.calling("caller_hangs_up", talk_ms=500)
        invite = await phone.request("INVITE")
        assert invite.uri == "sip:alice@10.7.7.7:5060;transport=tcp"
        phone.answer(invite, 180)
        phone.answer(invite, 200, sdp("127.0.0.9"))
        await phone.request("ACK")
        phone.answer(await phone.request("BYE"), 200)
        await scene.through(caller)
        assert caller.statuses() == [180, 200]
    await gone(scene)


async def gone(scene: Scene) -> None:
    """Until nobody is registered."""
    for _ in range(200):
        if metric(scene.server, "dialplane_registrations") == 0:
            return
        await asyncio.sleep(0.02)
    raise AssertionError("still registered")


async def test_a_client_that_is_not_registered_is_480_to_its_caller__behaviour_4_3(scene: Scene) -> None:
    scene.app.answer("/voice", rcml("<Dial><Client>alice</Client></Dial>"))
    caller = await scene.calling("caller_rejected")
    await scene.through(caller)
    assert caller.statuses() == [180, 480]


async def test_a_trunks_call_to_a_client_needs_no_application__behaviour_1_3(scene: Scene) -> None:
    phone = await scene.called("callee_waits", host="127.0.0.9")
    await scene.through(await registers(scene, source="127.0.0.9", contact_port=phone.port))
    caller = await scene.calling("caller_hangs_up", "alice", talk_ms=500)
    await scene.through(caller, phone)
    assert caller.statuses() == [180, 200]
    assert scene.app.requests == []
    await forget(scene, "127.0.0.9", phone.port)


@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_a_client_calls_another_from_anywhere_once_it_has_proved_itself__behaviour_1_3(scene: Scene, transport: str) -> None:
    phone = await scene.called("callee_waits", host="127.0.0.9")
    await scene.through(await registers(scene, source="127.0.0.9", contact_port=phone.port))
    caller = await scene.calling(
        "client_calls", "alice", source="127.0.0.11", transport=transport, talk_ms=500, user="robin", password="builder"
    )
    await scene.through(caller, phone)
    assert caller.statuses() == [407, 180, 200]
    assert "<sip:robin@" in phone.first("INVITE").header("From")
    assert scene.app.requests == []
    await forget(scene, "127.0.0.9", phone.port)


async def test_a_client_with_an_application_has_it_whatever_it_dials__behaviour_1_3(scene: Scene) -> None:
    scene.app.answer("/carols", rcml("<Reject reason='busy'/>"))
    caller = await scene.calling("client_calls", "alice", user="carol", password="singer")
    with pytest.raises(SippFailed):  # it expects to be answered
        await scene.through(caller)
    assert caller.statuses() == [407, 180, 486]
    (request,) = scene.app.requests
    told = dict(request.parameters)
    assert (request.path, told["From"], told["To"]) == ("/carols", "carol", "alice")


async def test_a_client_calls_a_number_and_the_trunk__behaviour_1_3(scene: Scene) -> None:
    scene.app.answer("/voice", rcml("<Dial>+15551234</Dial>"))
    for number in (PLAIN, NEVER):  # a number of ours, and one that goes out as it is
        out = await scene.called("callee_waits", port=scene.server.proxy_port)
        caller = await scene.calling("client_calls", number, source="127.0.0.11", talk_ms=400, user="robin", password="builder")
        await scene.through(caller, out)
        wanted = "+15551234" if number == PLAIN else number
        assert out.first("INVITE").start_line.startswith(f"INVITE sip:{wanted}@127.0.0.1")
    assert [dict(request.parameters)["To"] for request in scene.app.requests] == [PLAIN]


# --- liveness -----------------------------------------------------------------------------------------------------------


async def test_a_phone_that_is_no_longer_there_loses_its_registration_and_its_calls__behaviour_8(tmp_path: Path) -> None:
    """It is asked by OPTIONS over its connection, and answers as somebody else would who has its address by now."""
    extra = CLIENTS.replace("{app_port}", "1").replace("ping_s = 0", "ping_s = 1.0")
    process = ServerProcess(tmp_path / "server", extra=extra)
    with serving(process):
        async with (
            Application(port=process.app_port) as app,
            Scene(process, app, tmp_path) as scene,
            TcpPhone(("127.0.0.1", process.sip_port), "alice", "wonderland") as phone,
        ):
            assert (await phone.register()).status == 200
            for _ in range(2):  # as long as it lives
                phone.answer(await phone.request("OPTIONS"), 200)
            caller = await scene.calling("caller_waits", "alice")
            invite = await next_of(phone, "INVITE", 200)
            phone.answer(invite, 200, sdp("127.0.0.9"))
            await next_of(phone, "ACK", 200)
            bye = await next_of(phone, "BYE", 404)
            assert "Registration_Removed" in (bye.headers.get("Reason") or "")
            phone.answer(bye, 200)
            await scene.through(caller)
            assert metric(process, "dialplane_registrations") == 0
            await asyncio.to_thread(process.wait_idle, 10.0, ("sip_",))
            assert "why=unreachable" in process.log(20_000)


async def next_of(phone: TcpPhone, method: str, options: int) -> Request:
    """The next request of a kind; OPTIONS before it get this status."""
    while True:
        message = await phone.receive()
        assert isinstance(message, Request), message
        if message.method == method:
            return message
        assert message.method == "OPTIONS"
        phone.answer(message, options)
