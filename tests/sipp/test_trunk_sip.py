"""SIP that trunks expect, with SIPp on the other side (docs/trunks.md)."""

from __future__ import annotations

import pytest

from tests.support.app import rcml
from tests.support.scene import Scene

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
