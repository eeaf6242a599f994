"""The flows of the reference page's two diagrams: the caller is not answered before the called party is (behaviour 4.2, 4.3)."""

from __future__ import annotations

import asyncio

import pytest

from tests.support.app import nothing, rcml
from tests.support.pace import judged_by_time
from tests.support.scene import Scene
from tests.support.server import ANSWERING
from tests.support.sipp import Phone

pytestmark = pytest.mark.sipp

VOICE = ["CallSid", "InstanceId", "AccountSid", "From", "To", "CallStatus", "ApiVersion", "Direction", "CallTimestamp"]
ACTION = [*VOICE[:2], "OutboundCallSid", *VOICE[2:], "DialCallStatus", "DialCallSid", "DialCallDuration", "DialRingDuration"]
ELSEWHERE = 'SIP;cause=200;text="Call completed elsewhere"'


def dial(*phones: Phone, attributes: str = "action='/done'") -> str:
    return f"<Dial {attributes}>" + "".join(f"<Sip>{phone.uri}</Sip>" for phone in phones) + "</Dial>"


async def test_answered_and_the_called_party_hangs_up__behaviour_4_2(scene: Scene) -> None:
    callee = await scene.called("callee_hangs_up", ring_ms=1300, talk_ms=2300)
    scene.app.answer("/voice", rcml(dial(callee)))
    scene.app.answer("/done", rcml("<Hangup/>"))
    caller = await scene.calling("caller_waits")
    await scene.through(caller, callee)

    assert caller.statuses() == [180, 200]
    assert caller.requests() == ["BYE"]
    assert callee.requests() == ["INVITE", "ACK"]
    with judged_by_time():
        assert caller.first("SIP/2.0 200").at >= callee.first("ACK").at - 0.05  # after the called party's ACK
    asked = await scene.app.asked("/done")
    assert asked.names == ACTION
    with judged_by_time():
        assert (asked["DialCallStatus"], asked["DialRingDuration"], asked["DialCallDuration"]) == ("completed", "1", "2")
    assert asked["CallStatus"] == "in-progress"
    assert asked["OutboundCallSid"] == asked["DialCallSid"] != asked["CallSid"]
    assert len(scene.app.asked_for("/done")) == 1


async def test_answered_and_the_caller_hangs_up__behaviour_2_8(scene: Scene) -> None:
    callee = await scene.called("callee_waits", ring_ms=300)
    scene.app.answer("/voice", rcml(dial(callee)))
    scene.app.answer("/done", nothing())
    caller = await scene.calling("caller_hangs_up", talk_ms=1200)
    await scene.through(caller, callee)

    assert caller.statuses() == [180, 200]
    assert callee.requests() == ["INVITE", "ACK", "BYE"]
    asked = await scene.app.asked("/done")
    assert asked.names == ACTION
    with judged_by_time():
        assert (asked["CallStatus"], asked["DialCallStatus"], asked["DialCallDuration"]) == ("completed", "completed", "1")


async def test_every_message_of_ours_names_the_call__behaviour_1_1(scene: Scene) -> None:
    callee = await scene.called("callee_hangs_up", talk_ms=300)
    scene.app.answer("/voice", rcml(dial(callee)))
    scene.app.answer("/done", nothing())
    caller = await scene.calling("caller_waits")
    await scene.through(caller, callee)

    asked = await scene.app.asked("/done")
    for message in [m for m in caller.received if m.status != 100]:
        assert message.header("X-RestComm-CallSid") == asked["CallSid"], str(message)
        assert message.header("X-RestComm-ApiVersion") == "2012-04-24"
        assert message.header("X-RestComm-AccountSid") == asked["AccountSid"]
    for message in callee.received:
        assert message.header("X-RestComm-CallSid") == asked["DialCallSid"], str(message)


@pytest.mark.parametrize(
    ("status_line", "relayed"),
    [
        ("403 Forbidden", 403),
        ("404 Not Found", 404),
        ("480 Temporarily Unavailable", 480),
        ("486 Busy Here", 486),
        ("500 Server Internal Error", 500),
        ("503 Service Unavailable", 503),
        ("600 Busy Everywhere", 600),
        ("603 Decline", 603),
        ("302 Moved Temporarily", 480),
        ("487 Request Terminated", 480),
        ("401 Unauthorized", 403),
        ("407 Proxy Authentication Required", 403),
    ],
)
async def test_a_refusal_is_relayed__behaviour_4_3(scene: Scene, status_line: str, relayed: int) -> None:
    callee = await scene.called("callee_rejects", ring_ms=100, status_line=f"SIP/2.0 {status_line}", refusal="none")
    scene.app.answer("/voice", rcml(dial(callee, attributes="")))
    caller = await scene.calling("caller_rejected")
    await scene.through(caller, callee)
    assert caller.statuses() == [180, relayed]
    assert callee.requests() == ["INVITE", "ACK"]


async def test_the_code_is_remembered_while_the_action_is_asked__behaviour_4_3(scene: Scene) -> None:
    callee = await scene.called("callee_rejects", ring_ms=1300, status_line="SIP/2.0 486 Busy Here", refusal="in a meeting")
    scene.app.answer("/voice", rcml(dial(callee)))
    scene.app.answer("/done", nothing())
    caller = await scene.calling("caller_rejected")
    await scene.through(caller, callee)

    assert caller.statuses() == [180, 486]
    asked = await scene.app.asked("/done")
    assert asked.names == [*ACTION, "DialSipCallId", "DialSipResponseCode", "DialSipHeader_X-Refusal"]
    with judged_by_time():
        assert (asked["DialCallStatus"], asked["DialRingDuration"], asked["DialCallDuration"]) == ("busy", "1", "0")
    assert (asked["DialSipResponseCode"], asked["DialSipHeader_X-Refusal"]) == ("486", "in a meeting")
    assert asked["DialSipCallId"] == callee.first("INVITE").header("Call-ID")
    assert asked["CallStatus"] == "ringing"
    assert asked.at < asyncio.get_running_loop().time()


async def test_a_failure_tells_its_reason__behaviour_3_1(scene: Scene) -> None:
    callee = await scene.called("callee_rejects", ring_ms=100, status_line="SIP/2.0 404 Not Found", refusal="none")
    scene.app.answer("/voice", rcml(dial(callee)))
    scene.app.answer("/done", nothing())
    caller = await scene.calling("caller_rejected")
    await scene.through(caller, callee)
    asked = await scene.app.asked("/done")
    assert (asked["DialCallStatus"], asked["FailureReason"], asked["DialSipResponseCode"]) == ("failed", "404 Not Found", "404")


async def test_the_caller_cancels__behaviour_4_2(scene: Scene) -> None:
    callee = await scene.called("callee_rings")
    scene.app.answer("/voice", rcml(dial(callee)))
    scene.app.answer("/done", nothing())
    caller = await scene.calling("caller_cancels", ring_ms=1000)
    await scene.through(caller, callee)

    assert caller.statuses() == [180, 487]
    assert caller.statuses("CANCEL") == [200]
    assert callee.requests() == ["INVITE", "CANCEL", "ACK"]
    asked = await scene.app.asked("/done")
    assert (asked["CallStatus"], asked["DialCallStatus"], asked["DialCallDuration"]) == ("canceled", "canceled", "0")
    assert "DialSipResponseCode" not in asked


async def test_nobody_answers_in_time__behaviour_4_2(scene: Scene) -> None:
    callee = await scene.called("callee_rings")
    scene.app.answer("/voice", rcml(dial(callee, attributes="timeout='2'")))
    caller = await scene.calling("caller_rejected")
    await scene.through(caller, callee)
    assert caller.statuses() == [180, 408]
    assert callee.requests() == ["INVITE", "CANCEL", "ACK"]
    rang = caller.first("SIP/2.0 408").at - callee.first("INVITE").at
    with judged_by_time():
        assert 1.9 < rang < 2.5
        assert callee.first("CANCEL").at > caller.first("SIP/2.0 408").at - 0.05  # the caller hears of it first


async def test_a_timeout_with_an_action_is_told_after_the_action__behaviour_4_3(scene: Scene) -> None:
    callee = await scene.called("callee_rings")
    scene.app.answer("/voice", rcml(dial(callee, attributes="timeout='1' action='/done'")))
    scene.app.answer("/done", nothing())
    caller = await scene.calling("caller_rejected")
    await scene.through(caller, callee)
    asked = await scene.app.asked("/done")
    assert asked.names == ACTION
    with judged_by_time():
        assert (asked["DialCallStatus"], asked["DialRingDuration"], asked["DialCallDuration"]) == ("no-answer", "1", "0")
    assert caller.statuses() == [180, 408]


async def test_a_silent_callee_does_not_hold_up_the_timeout__behaviour_2_7(scene: Scene) -> None:
    """Its first word comes after the caller has gone; it must be cancelled all the same."""
    callee = await scene.called("callee_rings", late_ms=3500)
    scene.app.answer("/voice", rcml(dial(callee, attributes="timeout='2' action='/done'")))
    scene.app.answer("/done", nothing())
    caller = await scene.calling("caller_rejected")
    await scene.through(caller, callee)
    assert caller.statuses() == [180, 408]
    assert callee.requests() == ["INVITE", "CANCEL", "ACK"]
    with judged_by_time():
        assert caller.first("SIP/2.0 408").at < callee.first("SIP/2.0 180", received=False).at
    assert (await scene.app.asked("/done"))["DialCallStatus"] == "no-answer"
    repeats = [m.text for m in callee.received if m.method == "INVITE" and not m.status]
    assert len(repeats) >= 3  # timer A: after 0.5 s, after 1.5 s, ...
    assert len(set(repeats)) == 1


async def test_an_answer_that_crosses_the_cancel_is_hung_up__behaviour_2_11(scene: Scene) -> None:
    callee = await scene.called("callee_answers_on_cancel")
    scene.app.answer("/voice", rcml(dial(callee, attributes="timeout='1' action='/done'")))
    scene.app.answer("/done", nothing())
    caller = await scene.calling("caller_rejected")
    await scene.through(caller, callee)
    assert caller.statuses() == [180, 408]
    assert callee.requests() == ["INVITE", "CANCEL", "ACK", "BYE"]
    assert (await scene.app.asked("/done"))["DialCallStatus"] == "no-answer"


async def test_fork_first_answer_wins_and_the_others_are_cancelled__behaviour_2_7(scene: Scene) -> None:
    winner = await scene.called("callee_waits", ring_ms=900)
    losers = [await scene.called("callee_rings") for _ in range(2)]
    crossing = await scene.called("callee_answers_on_cancel")
    scene.app.answer("/voice", rcml(dial(losers[0], winner, losers[1], crossing)))
    scene.app.answer("/done", nothing())
    caller = await scene.calling("caller_hangs_up", talk_ms=1200)
    await scene.through(caller, winner, *losers, crossing)

    assert caller.statuses() == [180, 200]
    assert winner.requests() == ["INVITE", "ACK", "BYE"]
    assert crossing.requests() == ["INVITE", "CANCEL", "ACK", "BYE"]
    for loser in losers:
        assert loser.requests() == ["INVITE", "CANCEL", "ACK"]
        assert loser.first("CANCEL").header("Reason") == ELSEWHERE
        with judged_by_time():
            assert loser.first("CANCEL").at > winner.first("ACK").at - 0.05
    asked = await scene.app.asked("/done")
    assert asked["DialCallSid"] == winner.first("INVITE").header("X-RestComm-CallSid")
    assert asked["DialCallStatus"] == "completed"


async def test_fork_all_refuse_and_the_last_one_is_reported__behaviour_3_3(scene: Scene) -> None:
    first = await scene.called("callee_rejects", ring_ms=900, status_line="SIP/2.0 603 Decline", refusal="last")
    second = await scene.called("callee_rejects", ring_ms=200, status_line="SIP/2.0 486 Busy Here", refusal="first")
    scene.app.answer("/voice", rcml(dial(first, second)))
    scene.app.answer("/done", nothing())
    caller = await scene.calling("caller_rejected")
    await scene.through(caller, first, second)
    assert caller.statuses() == [180, 603]
    asked = await scene.app.asked("/done")
    assert (asked["DialCallStatus"], asked["DialSipResponseCode"], asked["DialSipHeader_X-Refusal"]) == ("busy", "603", "last")
    assert asked["DialSipCallId"] == first.first("INVITE").header("Call-ID")


async def test_fork_a_6xx_ends_its_own_branch_only__behaviour_0_13__trap_16(scene: Scene) -> None:
    refuses = await scene.called("callee_rejects", ring_ms=100, status_line="SIP/2.0 600 Busy Everywhere", refusal="none")
    answers = await scene.called("callee_waits", ring_ms=900)
    scene.app.answer("/voice", rcml(dial(refuses, answers)))
    scene.app.answer("/done", nothing())
    caller = await scene.calling("caller_hangs_up", talk_ms=400)
    await scene.through(caller, refuses, answers)
    assert caller.statuses() == [180, 200]
    assert (await scene.app.asked("/done"))["DialCallStatus"] == "completed"


async def test_fork_times_out__behaviour_3_3(scene: Scene) -> None:
    phones = [await scene.called("callee_rings") for _ in range(3)]
    scene.app.answer("/voice", rcml(dial(*phones, attributes="timeout='1' action='/done'")))
    scene.app.answer("/done", nothing())
    caller = await scene.calling("caller_rejected")
    await scene.through(caller, *phones)
    assert caller.statuses() == [180, 408]
    assert all(phone.requests() == ["INVITE", "CANCEL", "ACK"] for phone in phones)
    assert (await scene.app.asked("/done"))["DialCallStatus"] == "no-answer"


async def test_answer_on_bridge_false_answers_first__behaviour_0_2(scene: Scene) -> None:
    callee = await scene.called("callee_rejects", ring_ms=800, status_line="SIP/2.0 486 Busy Here", refusal="none")
    scene.app.answer("/voice", rcml(dial(callee, attributes="answerOnBridge='false'")))
    caller = await scene.calling("caller_waits")
    await scene.through(caller, callee)
    assert caller.statuses() == [180, 200]
    with judged_by_time():
        assert caller.first("SIP/2.0 200").at < callee.first("SIP/2.0 486", received=False).at
    assert caller.requests() == ["BYE"]


async def test_answer_on_bridge_true_waits_where_the_number_answers__behaviour_0_2(scene: Scene) -> None:
    callee = await scene.called("callee_rejects", ring_ms=300, status_line="SIP/2.0 486 Busy Here", refusal="none")
    scene.app.answer("/voice", rcml(dial(callee, attributes="answerOnBridge='true'")))
    caller = await scene.calling("caller_rejected", ANSWERING)
    await scene.through(caller, callee)
    assert caller.statuses() == [180, 486]


async def test_a_number_without_answer_delay_answers_first__behaviour_4_1(scene: Scene) -> None:
    callee = await scene.called("callee_rejects", ring_ms=800, status_line="SIP/2.0 486 Busy Here", refusal="none")
    scene.app.answer("/voice", rcml(dial(callee)))
    scene.app.answer("/done", nothing())
    caller = await scene.calling("caller_waits", ANSWERING)
    await scene.through(caller, callee)
    assert caller.statuses() == [180, 200]
    assert (await scene.app.asked("/done"))["CallStatus"] == "in-progress"
