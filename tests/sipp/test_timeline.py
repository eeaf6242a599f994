"""When something fails, you can see why: the call's timeline and its notifications, as the command line shows them."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

import pytest

from tests.support.app import Answer, Handler, nothing, rcml
from tests.support.scene import Scene
from tests.support.server import PLAIN, ROOT, ServerProcess

pytestmark = pytest.mark.sipp

BUSY = "SIP/2.0 486 Busy Here"
SECRET = "open sesame 4711"


async def dialplane(server: ServerProcess, command: str, *arguments: str) -> str:
    """What `dialplane COMMAND ...` prints, beside the running server."""
    words = [sys.executable, "-m", "server", command, "--config", str(server.directory / "dialplane.toml"), *arguments]
    process = await asyncio.create_subprocess_exec(*words, cwd=ROOT, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE)
    out, errors = await process.communicate()
    assert process.returncode == 0, errors.decode()
    return out.decode()


async def timeline(scene: Scene, sid: str) -> dict[str, Any]:
    """The call's timeline, once its end is written (entries are written a little later than they happen)."""
    for _ in range(20):
        document: dict[str, Any] = json.loads(await dialplane(scene.server, "timeline", "--json", sid))
        if document["call"] is not None:
            return document
        await asyncio.sleep(0.1)
    raise AssertionError(f"no record of {sid}")


async def test_a_timeline_holds_the_whole_call_and_no_secret__issue_call_control(scene: Scene) -> None:
    callee = await scene.called("callee_challenges")
    scene.app.answer("/voice", rcml(f"<Dial action='/done'><Sip username='ali' password='{SECRET}'>{callee.uri}</Sip></Dial>"))
    scene.app.answer("/done", nothing())
    caller = await scene.calling("caller_hangs_up", talk_ms=500)
    await scene.through(caller, callee)
    sid = (await scene.app.asked("/voice"))["CallSid"]
    document = await timeline(scene, sid)

    assert (document["call"]["sid"], document["call"]["status"], document["call"]["to_user"]) == (sid, "completed", PLAIN)
    assert [leg["status"] for leg in document["legs"]] == ["completed"]
    entries = document["entries"]
    assert {entry["kind"] for entry in entries} >= {"sip", "http", "verb", "media", "state", "outcome"}
    assert [entry["at"] for entry in entries] == sorted(entry["at"] for entry in entries)
    seen = [(e["data"]["direction"], e["data"]["summary"].split()[0]) for e in entries if e["kind"] == "sip" and e["leg"] == sid]
    assert seen == [("in", "INVITE"), ("out", "100"), ("out", "180"), ("out", "200"), ("in", "ACK"), ("in", "BYE"), ("out", "200")]
    assert SECRET not in json.dumps(document)
    messages = await dialplane(scene.server, "timeline", "--messages", sid)
    assert SECRET not in messages
    proof = callee.messages[3].header("Proxy-Authorization").partition('response="')[2][:32]
    assert len(proof) == 32
    assert proof not in messages


async def test_the_ladder_is_found_by_the_beginning_of_its_sid_and_by_the_call_id(scene: Scene) -> None:
    scene.app.answer("/voice", rcml("<Reject reason='busy'/>"))
    caller = await scene.calling("caller_rejected")
    await scene.through(caller)
    sid = (await scene.app.asked("/voice"))["CallSid"]
    await timeline(scene, sid)
    whole = await dialplane(scene.server, "timeline", "--ascii", sid)
    assert "INVITE" in whole
    assert "486 Busy Here" in whole
    assert "/voice" in whole
    assert await dialplane(scene.server, "timeline", "--ascii", sid[:12]) == whole
    assert await dialplane(scene.server, "timeline", "--ascii", caller.first("INVITE", received=False).header("Call-ID")) == whole
    assert sid in await dialplane(scene.server, "calls")


@pytest.mark.parametrize(
    ("answer", "code", "said"),
    [
        pytest.param(rcml("<Dial><Client>alice</Client></Dial>"), 11008, "alice", id="client"),
        pytest.param(rcml("<Dial timeout='abc' action='/none'>1</Dial>"), 13212, "abc", id="timeout"),
        pytest.param(rcml("<Dial timeLimit='x' action='/none'>1</Dial>"), 13216, "x", id="time-limit"),
        pytest.param(rcml("<Dial method='PUT' action='/none'>1</Dial>"), 13210, "PUT", id="method"),
        pytest.param(rcml("<Pause length='soon'/>"), 13910, "soon", id="pause"),
        pytest.param(rcml("<Redirect/>"), 13710, "", id="redirect"),
        pytest.param(rcml("\n\n<Play>/missing.wav</Play>"), 13233, "missing.wav", id="play"),
        pytest.param(Answer(b"<Response>\n<Dial>\n</Response>"), 12100, "line", id="not-xml"),
        pytest.param(Answer(b"%PDF-1.7", content_type="application/pdf"), 12300, "application/pdf", id="type"),
        pytest.param(Answer(status=503), 11206, "503", id="status"),
    ],
)
async def test_what_is_wrong_with_a_document_is_notified__behaviour_9(scene: Scene, answer: Handler, code: int, said: str) -> None:
    scene.app.answer("/voice", answer)
    scene.app.answer("/none", nothing())
    caller = await scene.calling("caller_ends_somehow")
    await scene.through(caller)
    document = await timeline(scene, (await scene.app.asked("/voice"))["CallSid"])
    found = [note for note in document["notifications"] if note["code"] == code]
    assert found, document["notifications"]
    assert said in f"{found[0]['message']} line {found[0]['line']}" if said else True
    assert found[0]["url"].startswith(scene.app.url) or code == 11008  # that one is about a place, not about a document
