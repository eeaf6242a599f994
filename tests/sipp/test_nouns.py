"""Whom a Dial calls and what is told of each leg (behaviour 2.1, 2.2, 2.6, 2.7), on the wire."""

from __future__ import annotations

import pytest

from tests.support.app import nothing, rcml
from tests.support.scene import Scene

pytestmark = pytest.mark.sipp

BUSY = "SIP/2.0 486 Busy Here"


async def test_text_beside_nouns_is_dialled_and_the_nouns_are_not__behaviour_2_1(scene: Scene) -> None:
    by_text = await scene.called("callee_hangs_up", ring_ms=100, talk_ms=200)
    by_noun = await scene.called("callee_silent")
    scene.app.answer("/voice", rcml(f"<Dial>{by_text.uri}<Sip>{by_noun.uri}</Sip></Dial>"))
    caller = await scene.calling("caller_waits")
    await scene.through(caller, by_text)
    assert by_noun.messages == []


async def test_nouns_that_name_nobody_are_left_out__behaviour_2_1(scene: Scene) -> None:
    callee = await scene.called("callee_hangs_up", ring_ms=100, talk_ms=200)
    scene.app.answer("/voice", rcml(f"<Dial><Sip> </Sip><Number/><Telex>1</Telex><Sip>{callee.uri}</Sip></Dial>"))
    caller = await scene.calling("caller_waits")
    await scene.through(caller, callee)
    assert caller.statuses() == [180, 200]


async def test_bad_values_take_the_defaults_and_the_dial_runs__behaviour_2_2(scene: Scene) -> None:
    callee = await scene.called("callee_hangs_up", ring_ms=1500, talk_ms=300)
    bad = "timeout='abc' timeLimit='-1' method='PUT' record='maybe' callerId='&lt;&gt;' dialMusic='no url' answerOnBridge='perhaps'"
    scene.app.answer("/voice", rcml(f"<Dial {bad} action='/done'>{callee.uri}</Dial>"))
    scene.app.answer("/done", nothing())
    caller = await scene.calling("caller_waits")
    await scene.through(caller, callee)
    asked = await scene.app.asked("/done")
    assert (asked.method, asked["DialCallStatus"], "RecordingUrl" in asked) == ("POST", "completed", False)
    assert caller.statuses() == [180, 200]


async def test_an_action_that_is_no_url_ends_the_call_with_its_dial__behaviour_0_11(scene: Scene) -> None:
    callee = await scene.called("callee_hangs_up", ring_ms=100, talk_ms=300)
    scene.app.answer("/voice", rcml(f"<Dial action='no url'>{callee.uri}</Dial><Pause length='20'/>"))
    caller = await scene.calling("caller_waits")
    await scene.through(caller, callee)
    assert caller.requests() == ["BYE"]
    assert [request.path for request in scene.app.requests] == ["/voice"]


async def test_a_leg_tells_what_it_was_asked_for_by_get__behaviour_2_6(scene: Scene) -> None:
    callee = await scene.called("callee_hangs_up", ring_ms=100, talk_ms=1200)
    on = "statusCallback='/leg?which=7' statusCallbackMethod='get' statusCallbackEvent='completed, nonsense ringing'"
    scene.app.answer("/voice", rcml(f"<Dial><Sip {on}>{callee.uri}</Sip></Dial>"))
    scene.app.answer("/leg", nothing())
    caller = await scene.calling("caller_waits")
    await scene.through(caller, callee)
    await scene.app.asked("/leg", 2)
    told = {request["CallStatus"]: request for request in scene.app.asked_for("/leg")}
    assert set(told) == {"ringing", "completed"}
    completed = told["completed"]
    assert (completed.method, completed.form, completed.query[0]) == ("GET", (), ("which", "7"))
    voice = scene.app.asked_for("/voice")[0]
    assert (completed["ParentCallSid"], completed["AccountSid"]) == (voice["CallSid"], voice["AccountSid"])
    assert completed["CallSid"] == callee.first("INVITE").header("X-RestComm-CallSid")
    assert (completed["SequenceNumber"], completed["CallbackSource"], completed["Direction"], completed["CallDuration"]) == (
        "3", "call-progress-events", "outbound-dial", "1",
    )  # fmt: skip
    assert completed["Timestamp"].endswith("+0000") and "CallDuration" not in told["ringing"]


async def test_the_caller_who_leaves_cancels_every_branch__behaviour_2_7(scene: Scene) -> None:
    ringing = [await scene.called("callee_rings") for _ in range(3)]
    nouns = "".join(f"<Sip>{phone.uri}</Sip>" for phone in ringing)
    scene.app.answer("/voice", rcml(f"<Dial action='/done'>{nouns}</Dial>"))
    scene.app.answer("/done", nothing())
    caller = await scene.calling("caller_cancels", ring_ms=1000)
    await scene.through(caller, *ringing)
    asked = await scene.app.asked("/done")
    assert (asked["DialCallStatus"], asked["CallStatus"]) == ("canceled", "canceled")
    for phone in ringing:
        assert phone.first("CANCEL").at <= caller.first("SIP/2.0 487").at + 0.05
