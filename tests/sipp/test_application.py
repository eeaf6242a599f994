"""What the application is asked and how, and what becomes of the call when it answers badly (behaviour 1.6, 1.7, 1.9, 1.10)."""

from __future__ import annotations

import asyncio
import re
from urllib.parse import urlencode

import pytest
from multidict import MultiDict
from twilio.request_validator import RequestValidator

from tests.support.app import Answer, Handler, broken_off, closed_at_once, endless, rcml, redirect, trickle
from tests.support.pace import judged_by_time
from tests.support.scene import Scene
from tests.support.server import APP_DOWN, APP_FORBIDDEN, BY_GET, PLAIN, WITH_FALLBACK, WITH_STATUS

pytestmark = pytest.mark.sipp

VOICE = ["CallSid", "InstanceId", "AccountSid", "From", "To", "CallStatus", "ApiVersion", "Direction", "CallTimestamp"]
BUSY = "SIP/2.0 486 Busy Here"
REJECT = rcml("<Reject reason='busy'/>")


async def test_every_request_is_signed_as_the_official_validator_wants_it__callbacks_md(scene: Scene) -> None:
    """The document, a redirect's target by GET, and the status callbacks."""
    token = (scene.server.state / "api_token").read_text().strip()
    scene.app.answer("/voice", rcml(f"<Redirect method='GET'>{scene.server.app_url}/next?a=1</Redirect>"))
    scene.app.answer("/next", REJECT)
    caller = await scene.calling("caller_rejected", WITH_STATUS)
    await scene.through(caller)
    await scene.app.asked("/status", 2)
    assert {asked.path for asked in scene.app.requests} == {"/voice", "/next", "/status"}
    for asked in scene.app.requests:
        url = scene.server.app_url + asked.path + (f"?{urlencode(asked.query)}" if asked.query else "")
        signature = dict(asked.headers)["X-Twilio-Signature"]
        assert RequestValidator(token).validate(url, MultiDict(asked.form), signature), asked.path
        assert dict(asked.headers)["webhook-signature"].startswith("v1,")


async def test_the_first_request_tells_the_call__behaviour_1_6(scene: Scene) -> None:
    scene.app.answer("/voice", REJECT)
    caller = await scene.calling("caller_rejected", caller="bob")
    await scene.through(caller)
    (asked,) = scene.app.requests
    assert (asked.method, asked.content_type) == ("POST", "application/x-www-form-urlencoded")
    assert asked.names == VOICE
    assert re.fullmatch(r"CA[0-9a-f]{32}", asked["CallSid"])
    assert re.fullmatch(r"ID[0-9a-f]{32}", asked["InstanceId"])
    assert re.fullmatch(r"AC[0-9a-f]{32}", asked["AccountSid"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", asked["CallTimestamp"])
    assert (asked["From"], asked["To"]) == ("bob", PLAIN)
    assert (asked["CallStatus"], asked["Direction"], asked["ApiVersion"]) == ("ringing", "inbound", "2012-04-24")
    assert caller.first("SIP/2.0 180").header("X-RestComm-CallSid") == asked["CallSid"]


async def test_the_caller_hears_that_it_rings_before_the_application_is_asked__behaviour_1_1(scene: Scene) -> None:
    scene.app.answer("/voice", rcml("<Reject reason='busy'/>", delay_s=1.0))
    caller = await scene.calling("caller_rejected")
    await scene.through(caller)
    with judged_by_time():
        assert caller.first("SIP/2.0 180").at - caller.first("INVITE", received=False).at < 0.5
        assert caller.first("SIP/2.0 486").at - caller.first("SIP/2.0 180").at > 0.9


async def test_names_and_custom_headers_of_the_invite_are_passed_on__behaviour_1_6(scene: Scene) -> None:
    scene.app.answer("/voice", rcml("<Pause length='1'/><Play>/t.wav</Play>"))
    caller = await scene.calling("caller_sends_headers", caller_name="Bob B.")
    await scene.through(caller)
    asked = await scene.app.asked("/voice")
    assert asked.names == [*VOICE[:-1], "CallerName", "ForwardedFrom", VOICE[-1], "SipHeader_X-My-Custom-Header", "SipHeader_Diversion"]
    assert (asked["CallerName"], asked["ForwardedFrom"]) == ("Bob B.", "11223344")
    assert asked["SipHeader_X-My-Custom-Header"] == "My Custom Value"
    assert asked["SipHeader_Diversion"] == "<sip:11223344@xyz.example>;counter=1;reason=UNKNOWN"


async def test_get_puts_the_parameters_behind_the_urls_own__behaviour_1_7(scene: Scene) -> None:
    scene.app.answer("/voice", REJECT)
    caller = await scene.calling("caller_rejected", BY_GET)
    await scene.through(caller)
    (asked,) = scene.app.requests
    assert asked.method == "GET"
    assert asked.names == ["from", *VOICE]
    assert asked["To"] == BY_GET


@pytest.mark.parametrize("dialled", [PLAIN.removeprefix("+"), "%2B" + PLAIN.removeprefix("+")], ids=["no-plus", "escaped-plus"])
async def test_a_number_is_found_in_its_other_forms__behaviour_1_4(scene: Scene, dialled: str) -> None:
    scene.app.answer("/voice", REJECT)
    caller = await scene.calling("caller_rejected", dialled)
    await scene.through(caller)
    assert caller.statuses() == [180, 486]


@pytest.mark.parametrize("status", [301, 302, 303, 307])
async def test_redirects_are_followed_with_method_and_parameters__behaviour_1_7(scene: Scene, status: int) -> None:
    scene.app.answer("/voice", redirect("/elsewhere?x=1", status))
    scene.app.answer("/elsewhere", REJECT)
    caller = await scene.calling("caller_rejected")
    await scene.through(caller)
    assert caller.statuses() == [180, 486]
    first, second = scene.app.requests
    assert (second.method, second.path) == ("POST", "/elsewhere")
    assert second.form == first.form


# --- failures of the first fetch --------------------------------------------------------------------------------------

UNPARSABLE = "Problem_to_parse_downloaded_RCML"


@pytest.mark.parametrize(
    ("answer", "status", "reason"),
    [
        pytest.param(Answer(status=404), 404, "", id="404"),
        pytest.param(Answer(status=500), 500, "", id="500"),
        pytest.param(Answer(status=204, content_type=""), 500, "", id="204"),
        pytest.param(Answer(status=201, body=b"<Response/>"), 500, "", id="201"),
        pytest.param(rcml("<Reject/>", delay_s=4.0), 500, "", id="slow"),
        pytest.param(trickle, 500, "", id="trickle"),
        pytest.param(endless, 500, "", id="endless"),
        pytest.param(broken_off, 500, "", id="broken-off"),
        pytest.param(closed_at_once, 500, "", id="closed"),
        pytest.param(redirect("/voice"), 500, "", id="redirect-loop"),
        pytest.param(redirect("http://169.254.169.254/latest/meta-data"), 500, "", id="redirect-to-metadata"),
        pytest.param(redirect("file:///etc/passwd"), 500, "", id="redirect-to-file"),
        pytest.param(Answer(b"Hello?", content_type="application/xml"), 500, UNPARSABLE, id="no-xml"),
        pytest.param(Answer(b"<Response><Reject></Response>"), 500, UNPARSABLE, id="not-closed"),
        pytest.param(Answer(b"<html><body/></html>", content_type="text/html"), 500, UNPARSABLE, id="wrong-root"),
        pytest.param(
            Answer(b'<!DOCTYPE r [<!ENTITY x SYSTEM "file:///etc/passwd">]><Response><Say>&x;</Say></Response>'),
            500,
            UNPARSABLE,
            id="doctype",
        ),
        pytest.param(Answer(b"<Response>" + b"<Say>" * 500 + b"</Say>" * 500 + b"</Response>"), 500, UNPARSABLE, id="deep"),
        pytest.param(Answer(b"<Response>" + b" " * 66_000 + b"<Reject/></Response>"), 500, "", id="65-KiB"),
        pytest.param(Answer(b"\xff\xfe\x00<", content_type="text/xml"), 500, UNPARSABLE, id="bad-encoding"),
    ],
)
async def test_a_bad_answer_refuses_the_call_and_the_next_call_is_served__behaviour_1_9(
    scene: Scene, answer: Handler, status: int, reason: str
) -> None:
    scene.app.answer("/voice", answer)
    caller = await scene.calling("caller_rejected")
    await scene.through(caller)
    assert caller.statuses() == [180, status]
    if reason:
        assert reason in caller.first(f"SIP/2.0 {status}").header("Reason")
    scene.app.answer("/voice", REJECT)
    again = await scene.calling("caller_rejected")
    await scene.through(again)
    assert again.statuses() == [180, 486]


@pytest.mark.parametrize("number", [APP_DOWN, APP_FORBIDDEN])
async def test_an_application_that_cannot_be_reached_refuses_the_call__behaviour_1_9(scene: Scene, number: str) -> None:
    scene.app.answer("/voice", REJECT)
    caller = await scene.calling("caller_rejected", number)
    await scene.through(caller)
    assert caller.statuses() == [180, 500]
    assert "Problem" in caller.first("SIP/2.0 500").header("Reason")
    assert scene.app.requests == []


@pytest.mark.parametrize(
    "answer",
    [Answer(status=404), Answer(status=500), Answer(b"no", content_type="text/xml"), closed_at_once],
    ids=["404", "500", "no-xml", "closed"],
)
async def test_the_fallback_is_asked_with_the_same_parameters__behaviour_1_9(scene: Scene, answer: Handler) -> None:
    scene.app.answer("/voice", answer)
    scene.app.answer("/fallback", REJECT)
    caller = await scene.calling("caller_rejected", WITH_FALLBACK)
    await scene.through(caller)
    assert caller.statuses() == [180, 486]
    first = scene.app.asked_for("/voice")[0]
    (second,) = scene.app.asked_for("/fallback")
    assert second.parameters == first.parameters


async def test_a_fallback_that_fails_too_refuses_the_call__behaviour_1_9(scene: Scene) -> None:
    scene.app.answer("/voice", Answer(status=404))
    scene.app.answer("/fallback", Answer(status=500))
    caller = await scene.calling("caller_rejected", WITH_FALLBACK)
    await scene.through(caller)
    assert caller.statuses() == [180, 500]


async def test_the_caller_may_cancel_while_the_application_thinks__behaviour_1_9(scene: Scene) -> None:
    scene.app.answer("/voice", rcml("<Reject/>", delay_s=1.5))
    caller = await scene.calling("caller_cancels", ring_ms=300)
    await scene.through(caller)
    assert caller.statuses() == [180, 487]
    assert caller.statuses("CANCEL") == [200]


# --- the status callback ------------------------------------------------------------------------------------------------


async def test_a_call_tells_its_status_three_times__behaviour_1_10(scene: Scene) -> None:
    callee = await scene.called("callee_hangs_up", ring_ms=500, talk_ms=500)
    scene.app.answer("/voice", rcml(f"<Dial action='/done'>{callee.uri}</Dial>"))
    scene.app.answer("/done", rcml("<Hangup/>"))
    scene.app.answer("/status", Answer())
    caller = await scene.calling("caller_waits", WITH_STATUS)
    await scene.through(caller, callee)
    await scene.app.asked("/status", 3)
    await asyncio.sleep(0.5)
    told = scene.app.asked_for("/status")
    assert [r["CallStatus"] for r in told] == ["ringing", "in-progress", "completed"]
    for request in told:
        assert set(VOICE) <= set(request.names)
    assert len({r["CallSid"] for r in told}) == 1


async def test_an_unanswered_call_tells_its_status_twice__behaviour_0_8(scene: Scene) -> None:
    callee = await scene.called("callee_rejects", ring_ms=300, status_line=BUSY, refusal="none")
    scene.app.answer("/voice", rcml(f"<Dial>{callee.uri}</Dial>"))
    scene.app.answer("/status", Answer())
    caller = await scene.calling("caller_rejected", WITH_STATUS)
    await scene.through(caller, callee)
    await scene.app.asked("/status", 2)
    await asyncio.sleep(0.5)
    assert [r["CallStatus"] for r in scene.app.asked_for("/status")] == ["ringing", "busy"]


async def test_a_status_callback_that_fails_changes_nothing__behaviour_1_10(scene: Scene) -> None:
    callee = await scene.called("callee_hangs_up", ring_ms=200, talk_ms=300)
    scene.app.answer("/voice", rcml(f"<Dial>{callee.uri}</Dial>"))
    scene.app.answer("/status", closed_at_once)
    caller = await scene.calling("caller_waits", WITH_STATUS)
    await scene.through(caller, callee)
    assert caller.statuses() == [180, 200]
