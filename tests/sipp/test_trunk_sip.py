"""SIP that trunks expect, with SIPp on the other side (docs/trunks.md)."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import ssl
import time
from pathlib import Path

import pytest

from tests.sipp.test_timeline import timeline
from tests.support.app import Application, nothing, rcml
from tests.support.certificates import Authority, Certificate
from tests.support.ports import free_port
from tests.support.scene import Scene
from tests.support.server import ServerProcess, serving
from tests.support.sipp import Phone

pytestmark = pytest.mark.sipp


async def test_a_session_timer_is_agreed_and_refreshed__rfc4028(scene: Scene) -> None:
    callee = await scene.called("callee_waits")
    scene.app.answer("/voice", rcml(f"<Dial>{callee.uri}</Dial>"))
    caller = await scene.calling("caller_wants_timer")
    await scene.through(caller, callee)
    assert caller.statuses() == [422, 180, 200]
    assert caller.first("SIP/2.0 422").header("Min-SE") == "90"
    answer = next(message for message in caller.received if message.status == 200 and message.method == "INVITE")
    assert answer.header("Session-Expires") == "90;refresher=uac"
    assert "timer" in answer.header("Require")
    refreshed = next(message for message in caller.received if message.status == 200 and message.method == "UPDATE")
    assert refreshed.header("Session-Expires") == "90;refresher=uac"
    invite = callee.first("INVITE")
    assert (invite.header("Session-Expires"), "timer" in invite.header("Supported")) == ("1800", True)


async def test_provisional_responses_are_reliable_on_both_legs__rfc3262(scene: Scene) -> None:
    callee = await scene.called("callee_wants_prack", ring_ms=600)
    scene.app.answer("/voice", rcml(f"<Dial>{callee.uri}</Dial>"))
    caller = await scene.calling("caller_requires_100rel")
    await scene.through(caller, callee)
    assert caller.statuses() == [180, 183, 200]
    numbers = [int(message.header("RSeq")) for message in caller.received if message.status in (180, 183)]
    assert numbers[-1] == numbers[0] + 1
    assert callee.first("PRACK").header("RAck").split() == ["4711", "1", "INVITE"]


async def test_a_trunk_is_registered_at_refreshed_and_left__rfc3261_10_2(tmp_path: Path) -> None:
    registrar = Phone("trunk_registrar", tmp_path / "sipp", keys={"granted": 2}, timeout_s=60.0)
    async with registrar:
        trunk = f"""
[[trunks]]
name = "line"
proxy = "sip:{registrar.address}"
from_host = "trunk.example.com"
username = "line1"
password = "secret"
registers = true
"""
        process = ServerProcess(tmp_path / "server", extra=trunk)
        with serving(process):
            await registrar.until("REGISTER", occurrence=3, received=True)
            until = time.monotonic() + 10
            while process.health()[1].get("trunks") != {"unregistered": 0, "dead": 0}:
                assert time.monotonic() < until, process.log()
                await asyncio.sleep(0.1)
            assert b'dialplane_trunk_registered{trunk="line"} 1.0' in process.get("/metrics")[1]
        await registrar.wait()
    numbers = [int(message.header("CSeq").split()[0]) for message in registrar.received]
    assert numbers == sorted(set(numbers)), "one row under one Call-ID"
    assert len({message.header("Call-ID") for message in registrar.received}) == 1
    assert registrar.received[0].header("To") == "<sip:line1@trunk.example.com>"
    assert "trunk_registered" in process.log(50000)


async def test_a_trunk_that_does_not_answer_is_passed_over__behaviour_8(tmp_path: Path) -> None:
    nobody, reached = free_port("127.0.0.1"), free_port("127.0.0.1")
    process = ServerProcess(
        tmp_path / "server",
        extra=f"""
[[trunks]]
name = "watched"
proxy = "sip:127.0.0.1:{nobody}"
fallback_proxy = "sip:127.0.0.1:{reached}"
options_s = 600.0

[outbound]
trunk = "watched"
""",
    )
    with serving(process):
        until = time.monotonic() + 30
        while process.health()[1].get("trunks") != {"unregistered": 0, "dead": 2}:
            assert time.monotonic() < until, process.log()
            await asyncio.sleep(0.1)
        async with Application(port=process.app_port) as app, Scene(process, app, tmp_path) as scene:
            app.answer("/voice", rcml("<Dial action='/done'><Number>12025550123</Number></Dial>"))
            app.answer("/done", nothing())
            caller = await scene.calling("caller_rejected")
            await scene.through(caller)
            assert caller.statuses() == [180, 503]
            asked = await app.asked("/done")
            assert (asked["DialCallStatus"], asked["FailureReason"]) == ("failed", "Trunk watched is dead: it cannot be reached")
    assert process.log(50000).count("trunk_dead") == 2


async def test_a_premium_number_is_not_dialled_and_the_rule_is_named__behaviour_2_4(scene: Scene) -> None:
    scene.app.answer("/voice", rcml("<Dial action='/done'><Number>+1 900 555 1212</Number></Dial>"))
    scene.app.answer("/done", nothing())
    caller = await scene.calling("caller_rejected")
    await scene.through(caller)
    assert caller.statuses() == [180, 403]
    asked = await scene.app.asked("/done")
    assert (asked["DialCallStatus"], asked["FailureReason"]) == ("failed", "Number may not be dialled")
    document = await timeline(scene, asked["CallSid"])
    assert [(one["code"], "+1900*" in one["message"]) for one in document["notifications"]] == [(11008, True)]


async def test_a_renewed_certificate_is_for_new_handshakes_and_no_connection_is_lost(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "ca")
    first, second = (authority.issue(name, f"DNS:{name}.example.com", "IP:127.0.0.1") for name in ("first", "second"))
    mine, key = tmp_path / "mine.pem", tmp_path / "mine.key"

    def install(made: Certificate) -> None:
        mine.write_bytes(made.certificate.read_bytes())
        key.write_bytes(made.key.read_bytes())

    install(first)
    tls = f'\n[sip.tls]\ncertificate = "{mine}"\nprivate_key = "{key}"\n'
    process = ServerProcess(tmp_path / "server", extra=tls, tls_port=free_port("127.0.0.1"))
    with serving(process):
        kept = await asks_options(process, authority, "first.example.com")
        mine.write_text("rubbish")
        await reloaded(process, "sip_tls_kept")
        assert "holds no certificate in PEM" in process.log(50000)
        await leave(await asks_options(process, authority, "first.example.com"))
        install(second)
        before = process.log(100000).count("sip_tls_kept")
        process.process.send_signal(signal.SIGHUP)
        async with asyncio.timeout(20):
            while True:
                try:
                    await leave(await asks_options(process, authority, "second.example.com"))
                    break
                except ssl.SSLError:  # the signal has not been dealt with yet
                    await asyncio.sleep(0.1)
        assert process.log(100000).count("sip_tls_kept") == before
        await ask(*kept)
        await leave(kept)


Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def asks_options(process: ServerProcess, authority: Authority, name: str) -> Connection:
    """A connection whose certificate is for `name`, with one OPTIONS answered."""
    context = ssl.create_default_context(cafile=str(authority.ca))
    reader, writer = await asyncio.open_connection("127.0.0.1", process.tls_port, ssl=context, server_hostname=name)
    await ask(reader, writer)
    return reader, writer


async def ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    branch = f"z9hG4bK{time.monotonic_ns()}"
    head = f"OPTIONS sip:127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/TLS 127.0.0.1:9;branch={branch}\r\nMax-Forwards: 70\r\n"
    head += f"From: <sip:a@127.0.0.1>;tag=1\r\nTo: <sip:127.0.0.1>\r\nCall-ID: {branch}\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
    writer.write(head.encode())
    async with asyncio.timeout(10):
        answer = await reader.readuntil(b"\r\n\r\n")
    assert answer.startswith(b"SIP/2.0 200")


async def leave(connection: Connection) -> None:
    connection[1].close()
    with contextlib.suppress(OSError):
        await connection[1].wait_closed()


async def reloaded(process: ServerProcess, event: str) -> None:
    """Read the settings again, and wait until the log says so."""
    process.process.send_signal(signal.SIGHUP)
    for _ in range(200):
        if event in process.log(100000):
            return
        await asyncio.sleep(0.1)
    raise AssertionError(f"no {event}\n{process.log()}")
