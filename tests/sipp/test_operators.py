"""What operators do to a running server: reload it, send it signals, drain it, start a second one, remove its directories."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import stat
import time
import wave

import pytest

from tests.support import ports
from tests.support.app import nothing, rcml
from tests.support.scene import Scene
from tests.support.server import ServerProcess

pytestmark = pytest.mark.sipp

ADDED = "+15550199"


def configure(server: ServerProcess, text: str) -> None:
    (server.directory / "dialplane.toml").write_text(text)


async def logged(server: ServerProcess, text: str) -> None:
    for _ in range(100):
        if text in server.log(100_000):
            return
        await asyncio.sleep(0.05)
    raise AssertionError(f"{text} is not in the log\n{server.log()}")


async def test_a_reload_changes_numbers_and_trunks_while_calls_go_on(own: Scene) -> None:
    callee = await own.called("callee_waits")
    own.app.answer("/voice", rcml(f"<Dial action='/done'>{callee.uri}</Dial>"), rcml("<Reject reason='busy'/>"))
    own.app.answer("/done", nothing())
    caller = await own.calling("caller_hangs_up", talk_ms=4000)
    await callee.until("ACK")

    number = f'\n[[numbers]]\nnumber = "{ADDED}"\nvoice_url = "{own.server.app_url}/voice"\n'
    moved = own.server.configuration().replace(f"port_min = {ports.OWN_SERVER[0]}", f"port_min = {ports.OWN_SERVER[0] + 2}")
    configure(own.server, moved + number)
    own.server.process.send_signal(signal.SIGHUP)
    await logged(own.server, "changed=numbers")
    await logged(own.server, "reload_wants_restart settings=media.port_min")

    second = await own.calling("caller_rejected", ADDED)
    await own.through(second)
    assert second.statuses()[-1] == 486
    await own.through(caller, callee)
    assert callee.requests() == ["INVITE", "ACK", "BYE"]

    configure(own.server, own.server.configuration().replace('allow = ["127.0.0.1/32", "::1/128"]', 'allow = ["192.0.2.0/24"]'))
    own.server.process.send_signal(signal.SIGHUP)
    await logged(own.server, 'changed="trunks, numbers"')
    third = await own.calling("caller_rejected")
    await own.through(third)
    assert third.statuses()[-1] == 403
    await asyncio.to_thread(own.server.stop)


async def test_a_reload_of_a_broken_file_and_harmless_signals_leave_calls_alone(own: Scene) -> None:
    callee = await own.called("callee_waits")
    own.app.answer("/voice", rcml(f"<Dial action='/done'>{callee.uri}</Dial>"))
    own.app.answer("/done", nothing())
    caller = await own.calling("caller_hangs_up", talk_ms=2500)
    await callee.until("ACK")
    configure(own.server, "[nonsense")
    for number in (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
        own.server.process.send_signal(number)
    await logged(own.server, "reload_failed")
    await logged(own.server, "signal_ignored signal=SIGUSR2")
    await own.through(caller, callee)
    assert (await own.app.asked("/done"))["DialCallStatus"] == "completed"
    await asyncio.to_thread(own.server.stop)


async def test_a_draining_server_refuses_new_calls_and_lets_the_others_finish(own: Scene) -> None:
    configure(own.server, own.server.configuration().replace("[server]\n", "[server]\ndrain_s = 30.0\n", 1))
    own.server.process.send_signal(signal.SIGHUP)
    await logged(own.server, "changed=server.drain_s")
    callee = await own.called("callee_waits")
    own.app.answer("/voice", rcml(f"<Dial action='/done'>{callee.uri}</Dial>"))
    own.app.answer("/done", nothing())
    caller = await own.calling("caller_hangs_up", talk_ms=3000)
    await callee.until("ACK")

    own.server.process.send_signal(signal.SIGTERM)
    await logged(own.server, "draining calls=")
    status, health = await asyncio.to_thread(own.server.health)
    assert (status, health["status"]) == (503, "stopping")
    refused = await own.calling("caller_rejected")
    await own.through(refused)
    assert refused.statuses()[-1] == 503
    await own.through(caller, callee)
    assert caller.requests() == []  # it hung up itself; nobody said BYE to it
    assert await asyncio.to_thread(own.server.process.wait, 20) == 0


async def test_a_second_stop_ends_a_drain_politely(own: Scene) -> None:
    configure(own.server, own.server.configuration().replace("[server]\n", "[server]\ndrain_s = 60.0\n", 1))
    own.server.process.send_signal(signal.SIGHUP)
    await logged(own.server, "changed=server.drain_s")
    callee = await own.called("callee_waits")
    own.app.answer("/voice", rcml(f"<Dial>{callee.uri}</Dial>"))
    caller = await own.calling("caller_waits")
    await callee.until("ACK")
    own.server.process.send_signal(signal.SIGTERM)
    await logged(own.server, "draining calls=")
    started = time.monotonic()
    own.server.process.send_signal(signal.SIGTERM)
    await own.through(caller, callee)
    assert caller.requests() == ["BYE"]
    assert await asyncio.to_thread(own.server.process.wait, 20) == 0
    assert time.monotonic() - started < 15


async def test_a_second_server_on_the_state_directory_touches_nothing_and_says_who_is_there(own: Scene) -> None:
    other = ServerProcess(own.server.directory.parent / "other", rtp_ports=ports.OWN_SERVER)
    other.directory.mkdir()
    text = other.configuration().replace(str(other.state), str(own.server.state))
    (other.directory / "dialplane.toml").write_text(text)
    database = own.server.state / "dialplane.db"
    before = database.read_bytes(), sorted(os.listdir(own.server.state))
    code, said = await asyncio.to_thread(other.run_once)
    assert code == 1
    assert f"a server runs on {own.server.state} already (process {own.server.process.pid})" in said
    assert "server.state_dir" in said
    assert (database.read_bytes(), sorted(os.listdir(own.server.state))) == before
    await asyncio.to_thread(own.server.stop)


async def test_a_recording_is_kept_although_its_directory_was_removed(own: Scene) -> None:
    shutil.rmtree(own.server.state / "recordings")
    callee = await own.called("callee_waits")
    own.app.answer("/voice", rcml(f"<Dial record='true' action='/done'>{callee.uri}</Dial>"))
    own.app.answer("/done", nothing())
    caller = await own.calling("caller_hangs_up", talk_ms=1500)
    await own.through(caller, callee)
    name = (await own.app.asked("/done"))["RecordingUrl"].rsplit("/", 1)[1]
    await asyncio.to_thread(own.server.wait_idle, 8.0, ("sip_", "storage"))
    with wave.open(str(own.server.state / "recordings" / name)) as kept:
        assert kept.getnframes() > 4000
    await asyncio.to_thread(own.server.stop)


async def test_what_the_server_keeps_is_for_its_user_alone(own: Scene) -> None:
    own.app.answer("/voice", rcml("<Reject reason='busy'/>"))
    await own.through(await own.calling("caller_rejected"))
    for path in (own.server.state, *own.server.state.rglob("*")):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path
    await asyncio.to_thread(own.server.stop)
