"""An application written for TwiML, on the wire (docs/rcml.md, The other dialect)."""

from __future__ import annotations

import pytest

from tests.support.app import nothing, rcml
from tests.support.pace import judged_by_time
from tests.support.scene import Scene
from tests.support.server import TWIML

pytestmark = pytest.mark.sipp

BUSY = "SIP/2.0 486 Busy Here"


async def test_the_other_dialect_answers_first_and_says_what_was_connected__rcml_the_other_dialect(scene: Scene) -> None:
    busy = await scene.called("callee_rejects", ring_ms=300, status_line=BUSY, refusal="none")
    answers = await scene.called("callee_hangs_up", ring_ms=300, talk_ms=500)
    again = await scene.called("callee_hangs_up", ring_ms=100, talk_ms=300)
    on = "statusCallback='/leg'"
    scene.app.answer("/voice", rcml(f"<Dial action='/busy'><Sip {on}>{busy.uri}</Sip></Dial>"))
    scene.app.answer(
        "/busy", rcml(f"<Dial><Sip {on} statusCallbackEvent='answered completed'>{answers.uri}</Sip></Dial><Dial>{again.uri}</Dial>")
    )
    scene.app.answer("/leg", nothing())
    caller = await scene.calling("caller_waits", TWIML)
    await scene.through(caller, busy, answers, again)
    assert caller.statuses() == [180, 200]
    with judged_by_time():
        assert caller.first("SIP/2.0 200").at < busy.first("SIP/2.0 486", received=False).at
    asked = await scene.app.asked("/busy")
    assert (asked["DialCallStatus"], asked["DialBridged"], asked["ApiVersion"]) == ("busy", "false", "2010-04-01")
    assert asked["To"] == TWIML
    await scene.app.asked("/leg", 3)
    told = [(request["To"], request["CallStatus"], request["SequenceNumber"]) for request in scene.app.asked_for("/leg")]
    assert sorted(told, key=lambda item: item[2]) == [("called", "busy", "0"), ("called", "in-progress", "0"), ("called", "completed", "1")]


async def test_a_slow_document_is_waited_for_longer__rcml_the_other_dialect(scene: Scene) -> None:
    scene.app.answer("/voice", rcml("<Reject reason='busy'/>", delay_s=6.5))
    scene.app.answer("/fallback", rcml("<Reject/>"))
    caller = await scene.calling("caller_rejected", TWIML)
    await scene.through(caller)
    assert caller.statuses() == [180, 486]
    assert scene.app.asked_for("/fallback") == []
