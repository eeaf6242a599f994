"""SIP that trunks expect, with SIPp on the other side (docs/trunks.md)."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from tests.sipp.test_timeline import timeline
from tests.support.app import Application, nothing, rcml
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
