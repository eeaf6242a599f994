"""The official client of Twilio's for Python, unmodified, pointed at the server: calls made, listed, paged, changed and ended."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any, TypeVar

import pytest
from twilio.base.exceptions import TwilioRestException
from twilio.rest import Client

from tests.support import sound
from tests.support.app import audio, nothing, rcml
from tests.support.pace import judged_by_time
from tests.support.scene import Scene, ear
from tests.support.server import PLAIN

pytestmark = pytest.mark.interop
T = TypeVar("T")


class Twilio:
    """The client, which blocks, in a thread of its own."""

    def __init__(self, scene: Scene) -> None:
        state = scene.server.state
        self.account = str(json.loads((state / "identity.json").read_text())["account_sid"])
        self.client = Client(self.account, (state / "api_token").read_text().strip())
        self.client.api.base_url = scene.server.http_url

    async def __call__(self, ask: Callable[[Any], T]) -> T:
        return await asyncio.to_thread(ask, self.client)

    async def until(self, sid: str, status: str) -> Any:
        """The call, once it has that status."""
        for _ in range(200):
            call = await self(lambda client: client.calls(sid).fetch())
            if call.status == status:
                return call
            await asyncio.sleep(0.05)
        raise AssertionError(f"{sid} is {call.status} and not {status}")


def refused(failure: pytest.ExceptionInfo[TwilioRestException]) -> tuple[int, int]:
    return failure.value.status, failure.value.code


async def test_a_call_is_made_runs_its_document_and_is_told__behaviour_5_3(scene: Scene) -> None:
    twilio = Twilio(scene)
    callee = await scene.called("callee_waits", ring_ms=300)
    scene.app.answer("/answered", rcml("<Play>/tone.wav</Play>"))
    scene.app.answer("/tone.wav", audio(sound.wav(sound.tone(700, 1.0))))
    scene.app.answer("/told", nothing())
    made = await twilio(
        lambda client: client.calls.create(
            to=callee.uri,
            from_="+15550123",
            url=f"{scene.server.app_url}/answered",
            status_callback=f"{scene.server.app_url}/told",
            status_callback_event=["initiated", "ringing", "answered", "completed"],
        )
    )
    assert made.status in ("queued", "ringing") and made.direction == "outbound-api" and made.account_sid == twilio.account
    await scene.through(callee)
    done = await twilio.until(made.sid, "completed")
    asked = await scene.app.asked("/answered")
    assert (asked["CallSid"], asked["Direction"], asked["CallStatus"], asked["From"]) == (
        made.sid,
        "outbound-api",
        "in-progress",
        "+15550123",
    )
    with judged_by_time():
        assert sound.tone_seconds(ear(callee).heard(), 700) == pytest.approx(1.0, abs=0.15)
    await scene.app.asked("/told", 4)
    told = scene.app.asked_for("/told")
    assert sorted(one["CallStatus"] for one in told) == ["answered", "completed", "initiated", "ringing"]
    assert {(one["CallSid"], one["Direction"]) for one in told} == {(made.sid, "outbound-api")}
    assert int(done.duration) >= 1 and done.end_time >= done.start_time
    assert callee.first("INVITE").text.count("+15550123") >= 1


@pytest.mark.parametrize(("line", "status"), [("SIP/2.0 486 Busy Here", "busy"), ("SIP/2.0 500 Server Error", "failed")])
async def test_a_call_that_is_refused_never_asks_its_url__behaviour_5_3(scene: Scene, line: str, status: str) -> None:
    twilio = Twilio(scene)
    callee = await scene.called("callee_rejects", ring_ms=100, status_line=line, refusal="none")
    url = f"{scene.server.app_url}/never"
    made = await twilio(lambda client: client.calls.create(to=callee.uri, from_="bob", url=url))
    await scene.through(callee)
    await twilio.until(made.sid, status)
    assert scene.app.asked_for("/never") == []


async def test_a_ringing_call_is_cancelled__behaviour_5_4(scene: Scene) -> None:
    twilio = Twilio(scene)
    callee = await scene.called("callee_rings")
    made = await twilio(lambda client: client.calls.create(to=callee.uri, from_="bob", twiml="<Response><Hangup/></Response>"))
    await twilio.until(made.sid, "ringing")
    with pytest.raises(TwilioRestException) as failure:
        await twilio(lambda client: client.calls(made.sid).update(twiml="<Response><Hangup/></Response>"))
    assert refused(failure) == (400, 21220)
    await twilio(lambda client: client.calls(made.sid).update(status="canceled"))
    await scene.through(callee)
    await twilio.until(made.sid, "canceled")


async def test_another_document_takes_over_and_the_callee_is_hung_up__behaviour_5_4(scene: Scene) -> None:
    """By the caller's call; then the call is ended, which is over for good."""
    twilio = Twilio(scene)
    callee = await scene.called("callee_waits", ring_ms=100)
    scene.app.answer("/voice", rcml(f"<Dial action='/never'>{callee.uri}</Dial>"))
    caller = await scene.calling("caller_waits")
    for _ in range(200):
        live = await twilio(lambda client: client.calls.list(status="in-progress"))
        if len(live) == 2:
            break
        await asyncio.sleep(0.05)
    parent = next(call for call in live if call.direction == "inbound")
    child = next(call for call in live if call.direction == "outbound-dial")
    assert child.parent_call_sid == parent.sid and parent.to == PLAIN
    children = await twilio(lambda client: client.calls.list(parent_call_sid=parent.sid))
    assert [call.sid for call in children] == [child.sid]
    await twilio(lambda client: client.calls(parent.sid).update(twiml="<Response><Pause length='30'/></Response>"))
    await scene.through(callee)
    assert (await twilio.until(child.sid, "completed")).parent_call_sid == parent.sid
    assert (await twilio(lambda client: client.calls(parent.sid).fetch())).status == "in-progress"
    await twilio(lambda client: client.calls(parent.sid).update(status="completed"))
    await scene.through(caller)
    await twilio.until(parent.sid, "completed")
    assert scene.app.asked_for("/never") == []
    with pytest.raises(TwilioRestException) as failure:
        await twilio(lambda client: client.calls(parent.sid).update(status="completed"))
    assert refused(failure) == (400, 21220)


async def test_lists_are_paged_through_once_each__rest_md(scene: Scene) -> None:
    twilio = Twilio(scene)
    for _ in range(3):
        scene.app.answer("/voice", rcml("<Reject/>"))
        await scene.through(await scene.calling("caller_rejected"))
    every = await twilio(lambda client: [call.sid for call in client.calls.list()])
    paged = await twilio(lambda client: [call.sid for call in client.calls.list(page_size=2)])
    assert len(every) >= 3 and paged == every == list(dict.fromkeys(every))
    assert await twilio(lambda client: client.calls.list(to=PLAIN, status="in-progress")) == []
    first = await twilio(lambda client: client.calls(every[0]).fetch())
    assert first.status == "busy"  # 603
    assert await twilio(lambda client: len(client.calls.list(start_time_after=first.start_time))) >= 1


async def test_recordings_are_listed_heard_and_deleted__behaviour_5_5(scene: Scene) -> None:
    twilio = Twilio(scene)
    callee = await scene.called("callee_hangs_up", ring_ms=100, talk_ms=1500)
    scene.app.answer("/voice", rcml(f"<Dial record='true' action='/done'>{callee.uri}</Dial>"))
    scene.app.answer("/done", nothing())
    caller = await scene.calling("caller_waits")
    await scene.through(caller, callee)
    asked = await scene.app.asked("/done")
    for _ in range(100):
        found = await twilio(lambda client: client.recordings.list(call_sid=asked["CallSid"]))
        if found:
            break
        await asyncio.sleep(0.05)
    (recording,) = found
    assert recording.call_sid == asked["CallSid"] and int(recording.duration) in (1, 2)
    assert recording.media_url == f"{scene.server.http_url}/2010-04-01/Accounts/{twilio.account}/Recordings/{recording.sid}.wav"
    status, wav = scene.server.get(f"/2010-04-01/Accounts/{twilio.account}/Recordings/{recording.sid}.wav")
    assert status == 200 and wav[:4] == b"RIFF"
    assert await twilio(lambda client: client.recordings(recording.sid).delete())
    with pytest.raises(TwilioRestException) as failure:
        await twilio(lambda client: client.recordings(recording.sid).fetch())
    assert refused(failure) == (404, 20404)
    assert scene.server.get(f"/2010-04-01/Accounts/{twilio.account}/Recordings/{recording.sid}.wav")[0] == 404


async def test_what_cannot_be_done_has_the_code_that_the_client_knows__rest_md(scene: Scene) -> None:
    twilio = Twilio(scene)
    good = f"{scene.server.app_url}/voice"
    wrong: dict[str, tuple[Callable[[Any], Any], tuple[int, int]]] = {
        "no such call": (lambda client: client.calls("CA" + "0" * 32).fetch(), (404, 20404)),
        "bad URL": (lambda client: client.calls.create(to="sip:a@127.0.0.1", from_="b", url="ftp://x/"), (400, 21205)),
        "no document": (lambda client: client.calls.create(to="sip:a@127.0.0.1", from_="b"), (400, 20001)),
        "nobody": (lambda client: client.calls.create(to="sip:", from_="b", url=good), (400, 21217)),
        "forbidden place": (lambda client: client.calls.create(to="sip:a@169.254.169.254", from_="b", url=good), (400, 21217)),
        "not carried out": (
            lambda client: client.calls.create(to="sip:a@127.0.0.1", from_="b", url=good, machine_detection="Enable"),
            (400, 20001),
        ),
    }
    for what, (ask, codes) in wrong.items():
        with pytest.raises(TwilioRestException) as failure:
            await twilio(ask)
        assert refused(failure) == codes, what
    stranger = Client(twilio.account, "wrong")
    stranger.api.base_url = scene.server.http_url
    with pytest.raises(TwilioRestException) as failure:
        await asyncio.to_thread(lambda: stranger.calls("CA" + "0" * 32).fetch())
    assert refused(failure) == (401, 20003)
