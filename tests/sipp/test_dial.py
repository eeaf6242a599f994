"""What a Dial calls, with what, and what comes after it (behaviour 2)."""

from __future__ import annotations

import pytest

from tests.support import digest
from tests.support.app import Answer, nothing, rcml
from tests.support.pace import judged_by_time
from tests.support.ports import free_port
from tests.support.scene import Scene
from tests.support.server import TRUNK_PASSWORD, TRUNK_USER

pytestmark = pytest.mark.sipp

BUSY = "SIP/2.0 486 Busy Here"


async def test_sequential_dials_go_on_until_one_answers__behaviour_4_4(scene: Scene) -> None:
    """A second Dial keeps the caller waiting at 180, and so does a Pause."""
    rings = await scene.called("callee_rings")
    busy = await scene.called("callee_rejects", ring_ms=100, status_line=BUSY, refusal="none")
    answers = await scene.called("callee_waits", ring_ms=300)
    dials = f"<Dial timeout='1'>{rings.uri}</Dial><Pause length='1'/><Dial>{busy.uri}</Dial><Dial>{answers.uri}</Dial>"
    scene.app.answer("/voice", rcml(dials))
    caller = await scene.calling("caller_hangs_up", talk_ms=500)
    await scene.through(caller, rings, busy, answers)
    assert caller.statuses() == [180, 200]
    with judged_by_time():
        assert busy.first("INVITE").at - rings.first("CANCEL").at > 0.9
        assert busy.first("ACK").at <= answers.first("INVITE").at + 0.05
    assert len(scene.app.requests) == 1


async def test_after_an_answered_dial_no_other_one_follows__behaviour_2_8(scene: Scene) -> None:
    """`after_answer = skip-dials`; a Pause that only leads up to skipped Dials is skipped too (behaviour 0.3)."""
    answers = await scene.called("callee_hangs_up", talk_ms=500)
    never = await scene.called("callee_silent")
    scene.app.answer("/voice", rcml(f"<Dial>{answers.uri}</Dial><Pause length='5'/><Dial>{never.uri}</Dial>"))
    caller = await scene.calling("caller_waits")
    await scene.through(caller, answers)
    assert never.messages == []
    ended = caller.first("BYE").at - answers.first("BYE", received=False).at
    with judged_by_time():
        assert ended < 1.0


async def test_the_actions_document_is_run__behaviour_2_8(scene: Scene) -> None:
    """A chain: the first action dials again, relative to its own URL, with an action of its own."""
    busy = await scene.called("callee_rejects", ring_ms=100, status_line=BUSY, refusal="none")
    answers = await scene.called("callee_hangs_up", talk_ms=400)
    scene.app.answer("/voice", rcml(f"<Dial action='/deep/first'>{busy.uri}</Dial><Reject/>"))
    scene.app.answer("/deep/first", rcml(f"<Dial action='second'>{answers.uri}</Dial><Reject/>"))
    scene.app.answer("/deep/second", nothing())
    caller = await scene.calling("caller_waits")
    await scene.through(caller, busy, answers)
    assert caller.statuses() == [180, 200]
    assert [(r.path, r["DialCallStatus"]) for r in scene.app.requests[1:]] == [("/deep/first", "busy"), ("/deep/second", "completed")]


async def test_the_action_is_asked_by_its_method__behaviour_2_2(scene: Scene) -> None:
    busy = await scene.called("callee_rejects", ring_ms=100, status_line=BUSY, refusal="none")
    scene.app.answer("/voice", rcml(f"<Dial action='/done?a=1&amp;b=two%20words' method='get'>{busy.uri}</Dial>"))
    scene.app.answer("/done", nothing())
    caller = await scene.calling("caller_rejected")
    await scene.through(caller, busy)
    asked = await scene.app.asked("/done")
    assert asked.method == "GET"
    assert asked.query[:2] == (("a", "1"), ("b", "two words"))
    assert asked["DialCallStatus"] == "busy"
    assert asked.form == ()


@pytest.mark.parametrize(("status", "relayed"), [(404, 404), (500, 500), (204, 500)])
async def test_an_action_that_fails_ends_the_call__behaviour_2_8(scene: Scene, status: int, relayed: int) -> None:
    busy = await scene.called("callee_rejects", ring_ms=100, status_line=BUSY, refusal="none")
    scene.app.answer("/voice", rcml(f"<Dial action='/done'>{busy.uri}</Dial>"))
    scene.app.answer("/done", Answer(status=status, content_type=""))
    caller = await scene.calling("caller_rejected")
    await scene.through(caller, busy)
    assert caller.statuses() == [180, relayed]


async def test_an_action_that_fails_after_the_answer_hangs_up__behaviour_1_9(scene: Scene) -> None:
    answers = await scene.called("callee_hangs_up", talk_ms=300)
    scene.app.answer("/voice", rcml(f"<Dial action='/done'>{answers.uri}</Dial>"))
    scene.app.answer("/done", Answer(status=500))
    caller = await scene.calling("caller_waits")
    await scene.through(caller, answers)
    assert caller.requests() == ["BYE"]


async def test_time_limit_ends_the_dial_and_the_caller_goes_on__behaviour_2_9(scene: Scene) -> None:
    callee = await scene.called("callee_waits")
    scene.app.answer("/voice", rcml(f"<Dial timeLimit='2' action='/done'>{callee.uri}</Dial>"))
    scene.app.answer("/done", rcml("<Pause length='1'/><Hangup/>"))
    caller = await scene.calling("caller_waits")
    await scene.through(caller, callee)
    talked = callee.first("BYE").at - callee.first("ACK").at
    with judged_by_time():
        assert 1.9 < talked < 2.4
        assert caller.first("BYE").at - callee.first("BYE").at > 0.9
    asked = await scene.app.asked("/done")
    with judged_by_time():
        assert (asked["DialCallStatus"], asked["DialCallDuration"], asked["CallStatus"]) == ("completed", "2", "in-progress")


async def test_a_dial_without_a_destination_is_nothing__behaviour_2_11(scene: Scene) -> None:
    scene.app.answer("/voice", rcml("<Dial action='/done'> </Dial><Reject reason='busy'/>"))
    caller = await scene.calling("caller_rejected")
    await scene.through(caller)
    assert caller.statuses() == [180, 486]
    assert scene.app.asked_for("/done") == []


# --- what is dialled, and as whom -----------------------------------------------------------------------------------


async def test_a_number_goes_to_the_trunks_proxy_without_its_dashes__behaviour_2_4(scene: Scene) -> None:
    proxy = await scene.called("callee_rejects", port=scene.server.proxy_port, ring_ms=100, status_line=BUSY, refusal="none")
    scene.app.answer("/voice", rcml("<Dial>1-444-555-6666</Dial>"))
    caller = await scene.calling("caller_rejected", caller="bob")
    await scene.through(caller, proxy)
    invite = proxy.first("INVITE")
    assert invite.start_line == f"INVITE sip:14445556666@127.0.0.1:{scene.server.proxy_port} SIP/2.0"
    assert invite.header("X-Trunk") == "phones"
    assert "sip:bob@" in invite.header("From")
    assert "restcomm" not in invite.header("From").lower()


async def test_a_proxys_challenge_is_answered_with_the_trunks_credentials__behaviour_2_4(scene: Scene) -> None:
    proxy = await scene.called("callee_challenges", port=scene.server.proxy_port)
    scene.app.answer("/voice", rcml("<Dial><Number>+14445556666</Number></Dial>"))
    caller = await scene.calling("caller_hangs_up", talk_ms=400)
    await scene.through(caller, proxy)
    assert caller.statuses() == [180, 200]
    assert proxy.first("INVITE").start_line.startswith("INVITE sip:+14445556666@")
    invites = [m for m in proxy.received if m.method == "INVITE" and not m.status]
    assert digest.answers(invites[-1], proxy.first("SIP/2.0 407", received=False), TRUNK_USER, TRUNK_PASSWORD)


async def test_a_sip_nouns_credentials_answer_one_challenge__behaviour_2_4(scene: Scene) -> None:
    """Same Call-ID, CSeq one higher, same SDP."""
    callee = await scene.called("callee_challenges")
    scene.app.answer("/voice", rcml(f"<Dial><Sip username='alice' password='wonder land'>{callee.uri}</Sip></Dial>"))
    caller = await scene.calling("caller_hangs_up", talk_ms=400)
    await scene.through(caller, callee)
    first, second = [m for m in callee.received if m.method == "INVITE" and not m.status]
    assert digest.answers(second, callee.first("SIP/2.0 407", received=False), "alice", "wonder land")
    assert not digest.answers(second, callee.first("SIP/2.0 407", received=False), "alice", "wonderland")
    assert first.header("Call-ID") == second.header("Call-ID")
    assert int(second.header("CSeq").split()[0]) == int(first.header("CSeq").split()[0]) + 1
    assert first.body == second.body


async def test_a_second_challenge_is_a_failure_and_never_reaches_the_caller__behaviour_4_3(scene: Scene) -> None:
    callee = await scene.called("callee_challenges_always")
    scene.app.answer("/voice", rcml(f"<Dial action='/done'>{callee.uri}</Dial>"))
    scene.app.answer("/done", nothing())
    caller = await scene.calling("caller_rejected")
    await scene.through(caller, callee)
    assert caller.statuses() == [180, 403]
    final = caller.first("SIP/2.0 403")
    assert final.header("Proxy-Authenticate") == final.header("WWW-Authenticate") == ""
    asked = await scene.app.asked("/done")
    assert (asked["DialCallStatus"], asked["DialSipResponseCode"]) == ("failed", "407")


async def test_headers_of_a_sip_uri_become_headers_of_the_invite__behaviour_2_4(scene: Scene) -> None:
    callee = await scene.called("callee_rejects", ring_ms=100, status_line=BUSY, refusal="none")
    scene.app.answer("/voice", rcml(f"<Dial><Sip>\n  {callee.uri}?mycustomheader=foo%20bar&amp;X-Other=1&amp;bad\n</Sip></Dial>"))
    caller = await scene.calling("caller_rejected")
    await scene.through(caller, callee)
    invite = callee.first("INVITE")
    assert (invite.header("X-mycustomheader"), invite.header("X-Other")) == ("foo bar", "1")
    assert "?" not in invite.start_line


@pytest.mark.parametrize(("caller_id", "expected"), [("+13055872294", "sip:+13055872294@"), ("client:thomas", "sip:thomas@")])
async def test_caller_id_is_the_from_of_the_dialled_leg__behaviour_2_3(scene: Scene, caller_id: str, expected: str) -> None:
    callee = await scene.called("callee_rejects", ring_ms=100, status_line=BUSY, refusal="none")
    scene.app.answer("/voice", rcml(f"<Dial callerId='{caller_id}'>{callee.uri}</Dial>"))
    caller = await scene.calling("caller_rejected")
    await scene.through(caller, callee)
    assert expected in callee.first("INVITE").header("From")


async def test_a_callee_that_answers_without_sdp_has_failed__behaviour_2_11(scene: Scene) -> None:
    callee = await scene.called("callee_answers_without_sdp")
    scene.app.answer("/voice", rcml(f"<Dial action='/done'>{callee.uri}</Dial>"))
    scene.app.answer("/done", rcml("<Reject/>"))
    caller = await scene.calling("caller_rejected")
    await scene.through(caller, callee)
    assert callee.requests() == ["INVITE", "ACK", "BYE"]
    assert (await scene.app.asked("/done"))["DialCallStatus"] == "failed"
    assert caller.statuses() == [180, 603]


async def test_a_callee_that_is_not_there_ends_the_dial__behaviour_3_1(scene: Scene) -> None:
    port = free_port("127.0.0.1")
    scene.app.answer("/voice", rcml(f"<Dial timeout='3' action='/done'>sip:nobody@127.0.0.1:{port};transport=tcp</Dial>"))
    scene.app.answer("/done", nothing())
    caller = await scene.calling("caller_rejected")
    await scene.through(caller)
    asked = await scene.app.asked("/done")
    assert asked["DialCallStatus"] == "failed"
    assert asked["FailureReason"]
    assert caller.statuses() == [180, 503]
