"""REST over loopback, both faces, beside calls on the bench: forms, pages, filters, formats, and what hostile clients get."""

from __future__ import annotations

import base64
import datetime
import json
import xml.etree.ElementTree as ElementTree
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlencode

import aiohttp
import pytest

from config.load import load
from server.api.app import Api
from server.calls.outbox import Action
from server.observability.clock import WallClock
from server.observability.metrics import Metrics
from server.orders import Orders
from server.storage.database import Database
from server.storage.rows import CallRow, NotificationRow, RecordingRow
from server.timeline.recorder import Recorder
from sip.core import commands
from tests.unit.server.calls.bench import ONE, Bench, dial

T = TypeVar("T")
AC, TOKEN = "AC" + "0" * 32, "a-token"
RESTCOMM, TWILIO = f"/restcomm/2012-04-24/Accounts/{AC}", f"/2010-04-01/Accounts/{AC}"
DAY = datetime.datetime(2026, 3, 1, 12, 0, tzinfo=datetime.UTC)
OLD = ["CA" + f"{number:032x}" for number in range(5)]
RE = "RE" + "a" * 32


class Rest:
    """`deps` of the API, with a call on the bench that lives: a caller, and a callee who has answered."""

    def __init__(self, state: Path) -> None:
        environ = {"DIALPLANE_STATE": str(state), "DIALPLANE_SERVER__HTTP_LISTEN": "127.0.0.1:0", "DIALPLANE_STORAGE__RETENTION_DAYS": "0"}
        environ |= {"DIALPLANE_SERVER__API_TOKEN": TOKEN, "DIALPLANE_SERVER__ACCOUNT_SID": AC}
        self.settings = load(environ=environ)
        self.database, self.metrics = Database(self.settings), Metrics()
        self.recorder = Recorder(self.settings.storage, self.database.writer, self.metrics)
        self.bench = Bench(dial(ONE, ""))
        self.bench.answer(0)
        self.overloaded = False
        clock = WallClock(self.bench.now, (DAY + datetime.timedelta(days=9)).timestamp())
        self.orders = Orders(lambda: self.bench.registry, self._give, clock, lambda: self.overloaded)
        self.url = ""
        self.session: aiohttp.ClientSession

    async def _give(self, handle: Callable[[float], tuple[T, list[Action]]]) -> T:
        result, actions = handle(self.bench.now)
        self.bench.act(actions)
        self.bench.media()
        return result

    async def send_event_again(self, sid: str) -> None:
        raise AssertionError("nobody asks for that here")

    def counts(self) -> dict[str, int]:
        return {}

    def trunk_troubles(self) -> dict[str, int]:
        return {"unregistered": 0, "dead": 0}

    def ailment(self) -> str:
        return ""

    async def ask(self, method: str, path: str, form: list[tuple[str, str]] | None = None, **headers: str) -> tuple[int, str]:
        user = base64.b64encode(f"{AC}:{TOKEN}".encode()).decode()
        headers = {"Authorization": f"Basic {user}", "Content-Type": "application/x-www-form-urlencoded"} | headers
        async with self.session.request(method, self.url + path, data=urlencode(form or []), headers=headers) as response:
            return response.status, await response.text()

    async def get(self, path: str) -> Any:
        status, text = await self.ask("GET", path)
        assert status == 200, text
        return json.loads(text)


@pytest.fixture
async def rest(tmp_path: Path) -> AsyncIterator[Rest]:
    rest = Rest(tmp_path)
    await rest.database.start()
    wav = tmp_path / "x.wav"
    wav.write_bytes(b"RIFF")
    for number, sid in enumerate(OLD):
        at = DAY + datetime.timedelta(days=number)
        end = {"ended_at": at, "cause": "busy" if number % 2 else "completed", "ended_by": "callee", "sip_status": 486}
        rest.database.writer.put(CallRow(sid, "", AC, "inbound", f"+1{number}", "+2", at, **end))  # type: ignore[arg-type]
    rest.database.writer.put(NotificationRow("NO1", OLD[0], DAY, 11205, "error", "down <&>", "http://app/", 3))
    rest.database.writer.put(RecordingRow(RE, OLD[0], AC, str(wav), 3040, DAY))
    await rest.database.writer.flush()
    api = Api(rest)
    rest.url = f"http://{await api.start()}"
    async with aiohttp.ClientSession() as rest.session:
        yield rest
    await api.stop()
    await rest.database.stop()


@pytest.mark.parametrize("size", [1, 2, 3, 50])
async def test_pages_hold_every_call_once_with_those_that_live_first__rest_md(rest: Rest, size: int) -> None:
    """By the token that the page before gave, and by its number alone."""
    live = sorted(one.row.sid for one in rest.orders.live())
    assert len(live) == 2
    by_token: list[str] = []
    path: str | None = f"{TWILIO}/Calls.json?PageSize={size}"
    while path is not None:
        page = await rest.get(path)
        assert page["total"] == 7 and page["page_size"] == size
        by_token += [call["sid"] for call in page["calls"]]
        path = page["next_page_uri"]
    by_number: list[str] = []
    for number in range(7):
        by_number += [call["sid"] for call in (await rest.get(f"{TWILIO}/Calls.json?PageSize={size}&Page={number}"))["calls"]]
    assert by_token == by_number
    assert sorted(by_token[:2]) == live and by_token[2:] == OLD[::-1]


async def test_a_page_stays_the_same_while_calls_are_added__rest_md(rest: Rest) -> None:
    first = await rest.get(f"{TWILIO}/Calls.json?PageSize=3")
    new = "CA" + "f" * 32
    end = {"ended_at": DAY, "cause": "busy"}
    rest.database.writer.put(CallRow(new, "", AC, "inbound", "+1", "+2", DAY + datetime.timedelta(days=8), **end))  # type: ignore[arg-type]
    await rest.database.writer.flush()
    second = await rest.get(first["next_page_uri"])
    assert [call["sid"] for call in second["calls"]] == OLD[3:0:-1]


@pytest.mark.parametrize(
    ("query", "sids"),
    [
        ("Status=busy", [OLD[3], OLD[1]]),
        ("From=%2B12", [OLD[2]]),
        ("From=%252", [OLD[2]]),
        ("StartTime=2026-03-02", [OLD[1]]),
        ("StartTime%3E=2026-03-03T12:00:00Z&Status=completed", [OLD[4], OLD[2]]),
        ("StartTime%3C=2026-03-02", [OLD[1], OLD[0]]),
        ("EndTime%3E=2026-03-05&To=%2B2", [OLD[4]]),
        ("Status=no-answer", []),
    ],
)
async def test_lists_are_filtered__behaviour_5_2(rest: Rest, query: str, sids: list[str]) -> None:
    for base in (TWILIO, RESTCOMM):
        assert [call["sid"] for call in (await rest.get(f"{base}/Calls.json?{query}"))["calls"]] == sids


async def test_live_legs_are_filtered_as_they_stand__behaviour_5_2(rest: Rest) -> None:
    parent = next(one.row.sid for one in rest.orders.live() if not one.row.parent_sid)
    (child,) = (await rest.get(f"{TWILIO}/Calls.json?ParentCallSid={parent}"))["calls"]
    assert (child["direction"], child["status"], child["duration"], child["end_time"]) == ("outbound-dial", "in-progress", None, None)
    assert len((await rest.get(f"{TWILIO}/Calls.json?Status=in-progress"))["calls"]) == 2
    assert (await rest.get(f"{TWILIO}/Calls.json?Status=ringing"))["calls"] == []
    assert (await rest.get(f"{TWILIO}/Calls/{child['sid']}.json")) == child


@pytest.mark.parametrize(
    "query", ["Page=-1", "PageSize=x", "PageToken=%00", "PageToken=bm8", "Status=dead", "StartTime=soon", "StartTime=9999-12-31", "Page=9"]
)
async def test_a_bad_query_names_what_is_wrong__behaviour_5_2(rest: Rest, query: str) -> None:
    status, text = await rest.ask("GET", f"{RESTCOMM}/Calls.json?{query}")
    assert status == 400 and json.loads(text)["message"].startswith(query.partition("=")[0])


async def test_restcomm_s_face_has_its_keys_and_its_xml__behaviour_5_1(rest: Rest) -> None:
    call = await rest.get(f"{RESTCOMM}/Calls.json/{OLD[1]}")
    assert call == await rest.get(f"{RESTCOMM}/Calls/{OLD[1]}.json")
    assert call["date_created"] == "Mon, 2 Mar 2026 12:00:00 +0000" and call["start_time"] == "2026-03-02T12:00:00Z"
    assert "price" not in call and call["ring_duration"] == 0 and call["uri"] == f"{RESTCOMM}/Calls/{OLD[1]}.json"
    status, text = await rest.ask("GET", f"{RESTCOMM}/Calls/{OLD[1]}")
    root = ElementTree.fromstring(text)
    assert (status, root.tag) == (200, "RestcommResponse")
    assert (root.findtext("Call/Sid"), root.findtext("Call/Status"), root.findtext("Call/Ring_duration")) == (OLD[1], "busy", "0")
    _, text = await rest.ask("GET", f"{RESTCOMM}/Calls?PageSize=2")
    calls = ElementTree.fromstring(text).find("Calls")
    assert calls is not None and (calls.get("total"), calls.get("pagesize"), len(calls)) == ("7", "2", 2)
    recording = await rest.get(f"{RESTCOMM}/Recordings/{RE}.json")
    assert recording["duration"] == "3.0" and recording["file_uri"] == f"{rest.settings.server.base_url}{RESTCOMM}/Recordings/{RE}.wav"
    _, text = await rest.ask("GET", f"{RESTCOMM}/Calls/{OLD[0]}/Notifications")
    assert ElementTree.fromstring(text).findtext("Notifications/Notification/MessageText") == "down <&> (line 3)"


async def test_restcomm_s_clients_know_what_cannot_be_changed_by_its_status__behaviour_5_4(rest: Rest) -> None:
    end = [("Status", "completed")]
    assert await rest.ask("POST", f"{RESTCOMM}/Calls/{OLD[0]}", end) == (410, "Call is already completed.\n")
    assert (await rest.ask("POST", f"{RESTCOMM}/Calls/CA{'e' * 32}", end))[0] == 406
    (live, *_) = [one.row.sid for one in rest.orders.live()]
    for form in (
        [],
        [("Status", "completed"), ("Url", "http://a/")],
        [("Status", "gone")],
        [("Url", "x")],
        [("Rcml", "a"), ("Twiml", "b")],
    ):
        assert (await rest.ask("POST", f"{RESTCOMM}/Calls/{live}", form))[0] == 400, form


async def test_a_number_a_client_and_a_sip_uri_are_called_as_a_dial_would__behaviour_5_3(rest: Rest) -> None:
    for to, where in (("+1 (555) 010-0199", "sip:+15550100199@gw.example.com:5070"), ("bob@192.0.2.9?X-A=b", "sip:bob@192.0.2.9")):
        before = len(rest.bench.of(commands.SendInvite))
        status, text = await rest.ask("POST", f"{RESTCOMM}/Calls.json", [("To", to), ("From", "ann"), ("Url", "http://app/x")])
        assert status == 200 and json.loads(text)["status"] == "queued", text
        (invite,) = rest.bench.of(commands.SendInvite)[before:]
        assert invite.request_uri == where
        assert (("X-A", "b") in invite.headers) == ("?" in to)


async def test_no_call_is_made_beyond_the_limit_or_while_the_server_stops__behaviour_1_5(rest: Rest) -> None:
    form = [("To", "sip:bob@192.0.2.9"), ("From", "ann"), ("Url", "http://app/x")]
    rest.overloaded = True
    status, text = await rest.ask("POST", f"{TWILIO}/Calls.json", form)
    assert status == 503 and "overloaded" in json.loads(text)["message"]
    rest.bench.registry.closing = True
    status, text = await rest.ask("POST", f"{TWILIO}/Calls.json", form)
    assert status == 503 and "shutting down" in json.loads(text)["message"]
    assert len(rest.bench.registry.calls) == 1


async def test_the_time_limit_of_a_call_ends_it__behaviour_5_3(rest: Rest) -> None:
    form = [("To", "sip:bob@192.0.2.9"), ("From", "ann"), ("Twiml", "<Response><Pause length='99'/></Response>"), ("TimeLimit", "5")]
    _, text = await rest.ask("POST", f"{TWILIO}/Calls.json", form)
    sid = json.loads(text)["sid"]
    rest.bench.answer(1)
    rest.bench.run(4.0)
    assert rest.orders.standing(sid) is not None
    rest.bench.run(2.0)
    assert rest.orders.standing(sid) is None
    (record,) = [record for record in rest.bench.records if record.sid == sid]
    assert (record.ended.by.value, record.ended.text) == ("timer", "The call's time limit is reached")


async def test_a_document_that_came_with_the_order_and_is_none_ends_the_call_with_a_notice__behaviour_5_3(rest: Rest) -> None:
    form = [("To", "sip:bob@192.0.2.9"), ("From", "ann"), ("Twiml", "<Response><Pause")]
    _, text = await rest.ask("POST", f"{TWILIO}/Calls.json", form)
    rest.bench.answer(1)
    rest.bench.run(1.0)
    assert rest.orders.standing(json.loads(text)["sid"]) is None
    assert 12100 in [notice.code for notice in rest.bench.notifications]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Authorization": ""}, 401),
        ({"Authorization": "Basic !"}, 401),
        ({"Authorization": "Basic " + base64.b64encode(f"AC{'1' * 32}:{TOKEN}".encode()).decode()}, 401),
        ({"Authorization": "Basic " + base64.b64encode(f"{AC}:wrong".encode()).decode()}, 401),
        ({"Authorization": f"Bearer {TOKEN}"}, 200),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
    ],
)
async def test_nobody_gives_orders_without_the_token_nor_a_foreign_page_with_it__rest_md(
    rest: Rest, headers: dict[str, str], status: int
) -> None:
    found = [(await rest.ask("DELETE", f"{base}/Recordings/{RE}.json", None, **headers))[0] for base in (RESTCOMM, TWILIO)]
    assert found == ([200, 404] if status == 200 else [status, status])


async def test_another_account_and_another_place_are_told_apart__rest_md(rest: Rest) -> None:
    assert (await rest.ask("GET", f"/2010-04-01/Accounts/AC{'1' * 32}/Calls.json"))[0] == 403
    status, text = await rest.ask("GET", f"{TWILIO}/Queues.json")
    assert status == 404 and json.loads(text)["code"] == 20404
    assert (await rest.get(f"/2010-04-01/Accounts/{AC}.json"))["sid"] == AC


@pytest.mark.parametrize(
    "form",
    [
        [("To", "sip:a@b\r\nX: y"), ("From", "a"), ("Url", "http://a/")],
        [("To", "sip:a@192.0.2.9"), ("From", "a\r\nX: y"), ("Url", "http://a/")],
        [("To", "a" * 2000), ("From", "a"), ("Url", "http://a/")],
        [("To", "sip:a@192.0.2.9"), ("To", "sip:b@192.0.2.9"), ("From", "a"), ("Url", "http://a/")],
        [("To", "sip:a@192.0.2.9"), ("From", "a"), ("Url", "http://a b/")],
        [("To", "sip:a@192.0.2.9"), ("From", "a"), ("Url", "http://a:99999/")],
        [("To", "sip:a@192.0.2.9"), ("From", "a"), ("Url", "http://a/"), ("Timeout", "1e9")],
        [("To", "sip:a@192.0.2.9"), ("From", "a"), ("Url", "http://a/"), ("StatusCallbackEvent", "exploded")],
        [("To", "sip:a@192.0.2.9"), ("From", "a"), ("Url", "http://a/"), ("Method", "DELETE")],
    ],
)
async def test_a_hostile_form_is_400_and_nothing_happens__rest_md(rest: Rest, form: list[tuple[str, str]]) -> None:
    status, text = await rest.ask("POST", f"{TWILIO}/Calls.json", form)
    assert status == 400 and json.loads(text)["message"]
    assert len(rest.bench.registry.calls) == 1 and len(rest.bench.of(commands.SendInvite)) == 1


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("application/x-www-form-urlencoded; charset=klingon", "To=a"),
        ("application/x-www-form-urlencoded; charset=ascii", "To=%C3%A4\u00e4"),
        ("multipart/form-data; boundary=x", "--x\r\nnonsense"),
        ("multipart/form-data", "To=a"),
        ("application/json", '{"To": "a"}'),
        ("", "To=a"),
    ],
)
async def test_a_body_that_is_no_form_is_refused__rest_md(rest: Rest, kind: str, body: str) -> None:
    headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": kind}
    async with rest.session.post(rest.url + f"{TWILIO}/Calls.json", data=body.encode(), headers=headers) as response:
        assert response.status == (400 if kind.startswith("application/x-www-form") else 415) and (await response.json())["message"]


async def test_a_body_that_is_too_long_is_413__rest_md(rest: Rest) -> None:
    status, text = await rest.ask("POST", f"{TWILIO}/Calls.json", [("Twiml", "x" * 70_000)])
    assert status == 413 and json.loads(text)["code"] == 20413
