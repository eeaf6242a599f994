"""Status callbacks that an application could not take: tried again in order, under one id, over the death of the server too."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from tests.support import ports
from tests.support.app import Answer, Asked, nothing, rcml
from tests.support.scene import Scene
from tests.support.server import WITH_STATUS, ServerProcess

pytestmark = pytest.mark.sipp

REJECT = rcml("<Reject reason='busy'/>")
BROKEN = Answer(status=500)


@pytest.fixture
def own_server(tmp_path: Path) -> ServerProcess:
    """One that tries ten times."""
    return ServerProcess(tmp_path / "server", event_retries=str([0.3] * 2 + [1.0] * 8), rtp_ports=ports.OWN_SERVER)


def ids(asked: list[Asked]) -> list[tuple[str, str]]:
    """Each event by its id and its status, in the order of its first attempt."""
    return list(dict.fromkeys((dict(one.headers)["webhook-id"], one["CallStatus"]) for one in asked))


def listed(server: ServerProcess, query: str) -> list[dict[str, object]]:
    status, body = server.get(f"/events?{query}")
    assert status == 200, body
    events = json.loads(body)["events"]
    assert isinstance(events, list)
    return events


async def until_listed(server: ServerProcess, query: str, count: int) -> list[dict[str, object]]:
    for _ in range(200):
        found = await asyncio.to_thread(listed, server, query)
        if len(found) == count:
            return found
        await asyncio.sleep(0.1)
    raise AssertionError(f"{query}: {found}")


async def test_events_are_tried_again_in_order_under_one_id__callbacks_md(own: Scene) -> None:
    own.app.answer("/voice", REJECT)
    own.app.answer("/status", BROKEN, BROKEN, BROKEN, nothing())
    await own.through(await own.calling("caller_rejected", WITH_STATUS))
    events = await until_listed(own.server, "state=delivered", 2)
    assert sorted(str(event["attempts"]) for event in events) == ["1", "4"]
    asked = own.app.asked_for("/status")
    assert [status for _, status in ids(asked)] == ["ringing", "busy"]
    assert [one["CallStatus"] for one in asked] == ["ringing"] * 4 + ["busy"]
    assert {str(event["sid"]) for event in events} == {sid for sid, _ in ids(asked)}


async def test_what_the_death_of_the_server_left_is_delivered_by_the_next_one__callbacks_md(own: Scene) -> None:
    own.app.answer("/voice", REJECT)
    own.app.answer("/status", BROKEN)
    await own.through(await own.calling("caller_rejected", WITH_STATUS))
    await until_listed(own.server, "state=waiting", 2)
    await own.app.asked("/status", 2)
    await asyncio.to_thread(own.server.kill)
    before = len(own.app.asked_for("/status"))
    own.app.answer("/status", nothing())
    await asyncio.to_thread(own.server.start)
    events = await until_listed(own.server, "state=delivered", 2)
    asked = own.app.asked_for("/status")
    assert [one["CallStatus"] for one in asked[before:]] == ["ringing", "busy"]
    assert [status for _, status in ids(asked)] == ["ringing", "busy"]  # each under the id of its first attempt
    assert {str(event["sid"]) for event in events} == {sid for sid, _ in ids(asked)}


async def test_what_is_given_up_is_listed_and_sent_by_hand__callbacks_md(own: Scene) -> None:
    own.app.answer("/voice", REJECT)
    own.app.answer("/status", Answer(status=410))
    await own.through(await own.calling("caller_rejected", WITH_STATUS))
    stopped = await until_listed(own.server, "state=stopped", 2)
    assert sum(event["attempts"] == 1 for event in stopped) == 1 and len(own.app.asked_for("/status")) == 1
    own.app.answer("/status", nothing())
    sid = str(next(event["sid"] for event in stopped if event["attempts"]))
    status, _ = await asyncio.to_thread(own.server.post, f"/events/{sid}/send")
    assert status == 202
    (delivered,) = await until_listed(own.server, "state=delivered", 1)
    assert delivered["sid"] == sid
    assert dict(own.app.asked_for("/status")[-1].headers)["webhook-id"] == sid
    assert (await asyncio.to_thread(own.server.post, "/events/EV0/send"))[0] == 404
