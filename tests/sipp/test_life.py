"""The life of the server itself: what becomes of calls when it is told to stop, and when its media worker dies."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import resource
import signal
import time
import wave

import pytest

from tests.sipp.test_media import fetch_recording, talk_both_ways
from tests.support import sound
from tests.support.app import nothing, rcml
from tests.support.pace import judged_by_time
from tests.support.scene import Scene, ear
from tests.support.server import ServerProcess

pytestmark = pytest.mark.sipp


async def serves_a_call(own: Scene) -> None:
    """The next one is answered, and both hear each other."""
    callee = await own.called("callee_waits")
    own.app.answer("/voice", rcml(f"<Dial>{callee.uri}</Dial>"))
    caller = await own.calling("caller_hangs_up", talk_ms=3000)
    await talk_both_ways(caller, callee)
    await own.through(caller, callee)


async def said(server: ServerProcess, status: int, within_s: float) -> object:
    """What /healthz says once it answers with this status, or at the end of the time."""
    health: tuple[int, dict[str, object]] = (0, {})
    for _ in range(round(within_s / 0.1)):
        health = await asyncio.to_thread(server.health)
        if health[0] == status:
            break
        await asyncio.sleep(0.1)
    return health[1].get("status")


async def test_a_stopping_server_ends_its_calls_politely__issue_newcomer(own: Scene) -> None:
    callee = await own.called("callee_waits")
    ringing = await own.called("callee_rings")
    own.app.answer("/voice", rcml(f"<Dial action='/done'>{callee.uri}</Dial>"), rcml(f"<Dial>{ringing.uri}</Dial>"))
    own.app.answer("/done", nothing())
    caller = await own.calling("caller_waits")
    await callee.until("ACK")
    waiting = await own.calling("caller_rejected")
    await ringing.until("SIP/2.0 180")
    stopping = asyncio.create_task(asyncio.to_thread(own.server.stop))
    await own.through(caller, callee, waiting, ringing)
    await stopping
    assert caller.requests() == ["BYE"]
    assert callee.requests() == ["INVITE", "ACK", "BYE"]
    assert ringing.requests() == ["INVITE", "CANCEL", "ACK"]
    assert waiting.statuses()[-1] == 503


async def test_the_next_call_is_served_when_the_worker_was_killed__issue_bad_input(own: Scene) -> None:
    callee = await own.called("callee_waits")
    own.app.answer("/voice", rcml(f"<Dial action='/done'>{callee.uri}</Dial>"))
    own.app.answer("/done", nothing())
    caller = await own.calling("caller_waits")
    await callee.until("ACK")
    (worker,) = own.server.worker_pids()
    os.kill(worker, signal.SIGKILL)
    await own.through(caller, callee)
    asked = await own.app.asked("/done")
    assert (asked["DialCallStatus"], asked["FailureReason"]) == ("failed", "Media failure")

    await asyncio.to_thread(own.server.wait_idle, 8.0, ("sip_",))
    assert await said(own.server, 200, within_s=60) == "ok"
    await serves_a_call(own)
    await asyncio.to_thread(own.server.stop)


async def test_a_hung_worker_is_told_and_refused_at_once_and_replaced__issue_hung_worker(own: Scene) -> None:
    other = await own.called("callee_waits")
    own.app.answer("/voice", rcml(f"<Dial>{other.uri}</Dial>"))
    first = await own.calling("caller_waits")
    await other.until("ACK")
    (worker,) = own.server.worker_pids()
    os.kill(worker, signal.SIGSTOP)
    try:
        assert await said(own.server, 503, within_s=8) == "the media worker does not answer"
        since = time.monotonic()
        refused = await own.calling("caller_rejected")
        await own.through(refused)
        with judged_by_time():
            assert time.monotonic() - since < 2.0, "it is not left waiting"
        assert refused.statuses()[-1] in (500, 503)
        assert await said(own.server, 200, within_s=30) == "ok"
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(worker, signal.SIGCONT)
    assert own.server.worker_pids() not in ([], [worker])
    await own.through(first, other)
    await serves_a_call(own)
    await asyncio.to_thread(own.server.stop)


async def test_the_call_goes_on_when_the_disk_is_full_while_recording__issue_bad_input(own: Scene) -> None:
    callee = await own.called("callee_waits")
    own.app.answer("/voice", rcml(f"<Dial record='true' action='/done'>{callee.uri}</Dial>"))
    own.app.answer("/done", nothing())
    (worker,) = own.server.worker_pids()
    resource.prlimit(worker, resource.RLIMIT_FSIZE, (16_000, 16_000))  # as much as a full disk: a second of audio fits
    caller = await own.calling("caller_hangs_up", talk_ms=4000)
    await talk_both_ways(caller, callee)  # also after that second: both chirps must come out whole
    await own.through(caller, callee)
    asked = await own.app.asked("/done")
    with judged_by_time():
        assert (asked["DialCallStatus"], asked["DialCallDuration"]) == ("completed", "4")

    name = asked["RecordingUrl"].rsplit("/", 1)[1]
    with wave.open(str(own.server.state / "recordings" / name)) as kept:  # what was written is a valid file
        assert 0 < kept.getnframes() <= 8000
    await asyncio.to_thread(own.server.wait_idle, 8.0, ("sip_", "storage"))
    _, timeline = await asyncio.to_thread(own.server.get, f"/calls/{asked['CallSid']}/timeline")
    assert 13610 in [notification["code"] for notification in json.loads(timeline)["notifications"]]
    await serves_a_call(own)


async def test_a_stopped_server_can_be_started_again_on_its_state(own: Scene) -> None:
    own.app.answer("/voice", rcml("<Reject reason='busy'/>"))
    first = await own.calling("caller_rejected")
    await own.through(first)
    account = (await own.app.asked("/voice"))["AccountSid"]
    await asyncio.to_thread(own.server.stop)
    await asyncio.to_thread(own.server.start)
    second = await own.calling("caller_rejected")
    await own.through(second)
    assert (await own.app.asked("/voice", 2))["AccountSid"] == account
    await asyncio.to_thread(own.server.stop)


async def test_what_was_said_is_kept_when_the_worker_is_killed__behaviour_7(own: Scene) -> None:
    """The file is brought up to date while it is written; the call ends, and its action is told."""
    own.app.answer("/voice", rcml("<Record action='/said' playBeep='false' timeout='30'/>"))
    own.app.answer("/said", nothing())
    caller = await own.calling("caller_waits")
    await caller.until("ACK")
    ear(caller).say(sound.chirp_up())
    await ear(caller).said()
    await asyncio.sleep(1.5)  # at the latest then what was said is on the disk
    os.kill(own.server.worker_pids()[0], signal.SIGKILL)
    await own.through(caller)
    asked = await own.app.asked("/said")
    assert (asked["Digits"], asked["CallStatus"]) == ("hangup", "failed")
    samples, rate = sound.read_wav(await fetch_recording(own, asked["RecordingUrl"]))
    with judged_by_time():
        assert len(samples) / rate > 1.4  # a second of chirp and half a one behind it: the file is a second late at most
        assert sound.find(sound.chirp_up(), samples[:, 0]).likeness > 0.95
    assert len(own.app.asked_for("/said")) == 1


async def test_an_application_that_hangs_behind_a_gather_ends_the_call_and_nothing_is_left__behaviour_1_9(own: Scene) -> None:
    own.app.answer("/voice", rcml("<Gather action='/keys' numDigits='1'/>"))
    own.app.answer("/keys", rcml("<Hangup/>", delay_s=60))
    caller = await own.calling("caller_waits")
    await caller.until("ACK")
    ear(caller).press("1234567890" * 5, tone_ms=40)
    await own.through(caller)
    await asyncio.to_thread(own.server.wait_idle, 10.0, ("sip_",))
    assert [one["Digits"] for one in own.app.asked_for("/keys")] == ["1"]
