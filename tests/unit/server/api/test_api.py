"""The server's own HTTP, over loopback."""

from __future__ import annotations

import asyncio
import base64
import datetime
import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from pydantic import SecretStr

from config.load import load
from config.settings import Settings
from server.api.access import signed_query
from server.api.app import Api
from server.calls.effects import Kind, Note
from server.observability.metrics import Metrics
from server.orders import Orders
from server.storage.database import Database
from server.storage.rows import CallRow, Entry, EventRow, NotificationRow, RecordingRow
from server.timeline.recorder import Recorder

T0 = datetime.datetime(2026, 5, 26, 17, 59, 16, tzinfo=datetime.UTC)
CALL, LEG, LIVE = "CA" + "1" * 32, "CA" + "2" * 32, "CA" + "3" * 32
RE, AC = "RE" + "a" * 32, "AC" + "b" * 32
TOKEN = "a-token-of-an-operator"
BEARER = {"Authorization": f"Bearer {TOKEN}"}
RECORDING = f"/restcomm/2012-04-24/Accounts/{AC}/Recordings/{RE}.wav"


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


@dataclass
class Deps:
    settings: Settings
    metrics: Metrics
    recorder: Recorder
    database: Database
    live: dict[str, int] = field(default_factory=lambda: {"calls": 1})
    ill: str = ""
    overloaded: bool = False

    @property
    def orders(self) -> Orders:
        raise AssertionError("nobody gives an order here")

    async def send_event_again(self, sid: str) -> EventRow | None:
        return await self.database.lists.event(sid)

    def counts(self) -> dict[str, int]:
        return self.live

    def trunk_troubles(self) -> dict[str, int]:
        return {"unregistered": 0, "dead": 0}

    def ailment(self) -> str:
        return self.ill


class Server:
    def __init__(self, deps: Deps, url: str, session: aiohttp.ClientSession) -> None:
        self.deps, self.url, self._session = deps, url, session

    async def get(self, path: str, **headers: str) -> tuple[int, bytes, Any]:
        async with self._session.get(self.url + path, headers=headers) as response:
            return response.status, await response.read(), response.headers

    def set(self, **settings: object) -> None:
        changed = self.deps.settings.server.model_copy(update=settings)
        self.deps.settings = self.deps.settings.model_copy(update={"server": changed})

    async def json(self, path: str, **headers: str) -> Any:
        status, body, _ = await self.get(path, **headers)
        assert status == 200, body
        return json.loads(body)


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    environ = {"DIALPLANE_STATE": str(tmp_path), "DIALPLANE_SERVER__HTTP_LISTEN": "127.0.0.1:0", "DIALPLANE_STORAGE__RETENTION_DAYS": "0"}
    settings = load(environ=environ | {"DIALPLANE_SERVER__API_TOKEN": TOKEN})
    database, metrics = Database(settings), Metrics()
    await database.start()
    wav = tmp_path / "x.wav"
    wav.write_bytes(bytes(range(100)))
    ended = {"ended_at": T0, "cause": "busy", "ended_by": "callee", "sip_status": 486}
    for item in (
        CallRow(CALL, "", AC, "inbound", "+1", "+2", T0, **ended),  # type: ignore[arg-type]
        CallRow(LEG, CALL, AC, "outbound-dial", "+1", "+3", T0, **ended),  # type: ignore[arg-type]
        Entry(CALL, T0, Kind.VERB, {"verb": "Dial"}),
        NotificationRow("NO1", CALL, T0, 11205, "error", "down"),
        RecordingRow(RE, CALL, AC, str(wav), 1000, T0),
    ):
        database.writer.put(item)
    await database.writer.flush()
    deps = Deps(settings, metrics, Recorder(settings.storage, database.writer, metrics), database)
    metrics.watch_live(deps.counts)
    metrics.watch_storage(database.writer)
    api = Api(deps)
    address = await api.start()
    async with aiohttp.ClientSession() as session:
        yield Server(deps, f"http://{address}", session)
    await api.stop()
    await database.stop()


@pytest.mark.parametrize("headers", [{}, BEARER, {"Authorization": "Bearer wrong"}], ids=["nobody", "operator", "a wrong token"])
async def test_health_tells_everybody_what_lives_in_numbers(server: Server, headers: dict[str, str]) -> None:
    document = await server.json("/healthz", **headers)
    assert document.pop("trunks") == {"unregistered": 0, "dead": 0}
    assert document == {"status": "ok", "counts": {"calls": 1}, "storage": {"waiting": 0, "dropped": 0}}


async def test_health_is_503_when_no_call_could_be_served(server: Server) -> None:
    server.deps.ill = "no media worker"
    status, body, _ = await server.get("/healthz", **BEARER)
    assert status == 503
    assert json.loads(body)["status"] == "no media worker"
    assert json.loads(body)["counts"] == {"calls": 1}


async def test_an_overloaded_server_is_up_and_says_so(server: Server) -> None:
    server.deps.overloaded = True
    assert (await server.json("/healthz"))["status"] == "overloaded"


async def test_metrics_are_prometheus_text(server: Server) -> None:
    assert (await server.get("/metrics"))[0] == 401
    status, body, headers = await server.get("/metrics", **BEARER)
    assert status == 200
    assert headers["Content-Type"].startswith("text/plain; version=0.0.4")
    assert b'dialplane_live{what="calls"} 1.0' in body
    assert b"dialplane_storage_written 5.0" in body


async def test_metrics_can_be_open(server: Server) -> None:
    server.set(metrics_open=True)
    assert (await server.get("/metrics"))[0] == 200


# --- recordings


async def test_recording_is_fetched_without_credentials__behaviour_5_5(server: Server) -> None:
    status, body, headers = await server.get(RECORDING)
    assert (status, body, headers["Content-Type"]) == (200, bytes(range(100)), "audio/x-wav")


async def test_part_of_a_recording(server: Server) -> None:
    status, body, headers = await server.get(RECORDING, Range="bytes=10-19")
    assert (status, body, headers["Content-Range"]) == (206, bytes(range(10, 20)), "bytes 10-19/100")


@pytest.mark.parametrize(
    "path",
    [
        RECORDING.replace("a" * 32, "c" * 32),
        RECORDING.replace("b" * 32, "d" * 32),  # another account's
        RECORDING.replace(RE, "..%2f..%2fetc%2fpasswd"),
        RECORDING.replace(RE, "x"),
    ],
)
async def test_recording_that_is_not_there_is_404__behaviour_7(server: Server, path: str) -> None:
    assert (await server.get(path))[0] == 404


async def test_what_is_said_of_a_recording_wants_the_token__rest_md(server: Server) -> None:
    assert (await server.get(RECORDING.removesuffix(".wav")))[0] == 401


async def test_recording_whose_file_is_gone_is_404__behaviour_7(server: Server, tmp_path: Path) -> None:
    (tmp_path / "x.wav").unlink()
    assert (await server.get(RECORDING))[0] == 404


async def test_recording_behind_a_login_wants_the_token(server: Server) -> None:
    server.set(recording_access="login")
    status, body, headers = await server.get(RECORDING)
    assert (status, headers.getall("WWW-Authenticate")) == (401, ["Bearer", 'Basic realm="dialplane"'])
    assert bytes(range(100)) not in body
    assert (await server.get(RECORDING, Authorization="Bearer wrong"))[0] == 401
    assert (await server.get(RECORDING, **BEARER))[:2] == (200, bytes(range(100)))
    assert (await server.get(RECORDING, Authorization=basic(AC, TOKEN)))[0] == 200
    assert (await server.get(RECORDING.replace("a" * 32, "c" * 32)))[0] == 401  # whether it is there is nobody's business


async def test_recording_with_a_signed_url_is_had_until_it_expires(server: Server) -> None:
    server.set(recording_access="signed", recording_key=SecretStr("key"))
    later, past = round(time.time()) + 60, round(time.time()) - 1
    assert (await server.get(RECORDING + signed_query("key", RE, later)))[:2] == (200, bytes(range(100)))
    for query in ("", signed_query("key", RE, past), signed_query("other", RE, later), signed_query("key", "RE" + "b" * 32, later)):
        assert (await server.get(RECORDING + query))[0] == 403
    assert (await server.get(RECORDING + signed_query("key", RE, past).replace(str(past), str(later))))[0] == 403
    assert (await server.get(RECORDING, **BEARER))[0] == 200


# --- timelines


async def test_timeline_tells_everything(server: Server) -> None:
    document = await server.json(f"/calls/{CALL}/timeline", **BEARER)
    assert document["call"]["status"] == "busy"
    assert document["call"]["created_at"] == "2026-05-26T17:59:16.000Z"
    assert [leg["sid"] for leg in document["legs"]] == [LEG]
    assert document["entries"] == [{"at": "2026-05-26T17:59:16.000Z", "kind": "verb", "leg": "", "data": {"verb": "Dial"}}]
    assert document["notifications"][0]["code"] == 11205
    assert document["recordings"][0]["sid"] == RE


@pytest.mark.parametrize("sid", [CALL, LEG, "ID" + "f" * 32 + "-" + CALL])
async def test_timeline_as_a_ladder(server: Server, sid: str) -> None:
    status, body, _ = await server.get(f"/calls/{sid}/timeline.txt?width=100", **BEARER)
    assert status == 200
    assert "▸ Dial" in body.decode()


async def test_timeline_of_a_live_call_comes_from_memory(server: Server) -> None:
    server.deps.recorder.note(Note(LIVE, 1.0, Kind.VERB, {"verb": "Play"}))
    document = await server.json(f"/calls/{LIVE}/timeline", **BEARER)
    assert document["call"] is None
    assert document["entries"][0]["data"] == {"verb": "Play"}


@pytest.mark.parametrize("sid", ["CA" + "9" * 32, "x", "%00", "CA' OR 1=1"])
async def test_unknown_call_is_404(server: Server, sid: str) -> None:
    assert (await server.get(f"/calls/{sid}/timeline", **BEARER))[0] == 404


async def test_calls_are_listed(server: Server) -> None:
    assert [call["sid"] for call in (await server.json("/calls", **BEARER))["calls"]] == [CALL]
    assert (await server.get("/calls?limit=0", **BEARER))[0] == 400
    assert (await server.get("/calls?limit=x", **BEARER))[0] == 400


# --- who may see them


GUARDED = ["/calls", f"/calls/{CALL}/timeline", f"/calls/{CALL}/timeline.txt", "/metrics"]


@pytest.mark.parametrize("path", GUARDED)
async def test_nothing_is_read_without_the_token(server: Server, path: str) -> None:
    status, body, headers = await server.get(path)
    assert (status, headers["WWW-Authenticate"]) == (401, "Bearer")
    assert "dialplane token" in json.loads(body)["error"]
    assert (await server.get(path, Authorization="Bearer wrong"))[0] == 401
    assert (await server.get(path, Authorization="Bearer"))[0] == 401
    assert (await server.get(path, Authorization=f"Digest {TOKEN}"))[0] == 401
    assert (await server.get(path, Authorization="Basic ~~~"))[0] == 401
    assert (await server.get(path, **BEARER))[0] == 200
    assert (await server.get(path, Authorization=basic("me", TOKEN)))[0] == 200


@pytest.mark.parametrize("path", GUARDED)
async def test_a_request_from_this_machine_proves_nothing__it_may_come_through_a_proxy(server: Server, path: str) -> None:
    """A default `proxy_pass` adds no header and comes from loopback; a web page can give its own name our address."""
    for headers in ({}, {"X-Forwarded-For": "203.0.113.1"}, {"Host": "evil.example.com"}, {"Host": "localhost:8080"}):
        assert (await server.get(path, **headers))[0] == 401


@pytest.mark.parametrize("path", GUARDED)
async def test_without_a_token_of_its_own_the_server_shows_nothing(server: Server, path: str) -> None:
    server.set(api_token=SecretStr(""))
    for headers in ({}, {"Authorization": "Bearer "}, {"Authorization": "Bearer x"}, {"Authorization": "Basic Og=="}):
        assert (await server.get(path, **headers))[0] == 401


# --- the edge


async def test_fault_of_ours_is_a_500_without_details(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(*_: object) -> list[CallRow]:
        raise RuntimeError("secret inside")

    monkeypatch.setattr(server.deps.database.reader, "recent_calls", broken)
    status, body, headers = await server.get("/calls", **BEARER)
    assert (status, json.loads(body)) == (500, {"error": "internal error"})
    assert headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/nothing", 404), ("POST", "/healthz", 405)])
async def test_wrong_path_or_method_is_json(server: Server, method: str, path: str, status: int) -> None:
    async with server._session.request(method, server.url + path) as response:
        assert response.status == status
        assert "error" in await response.json()


async def test_address_in_use_is_an_oserror(server: Server) -> None:
    other = Api(server.deps)
    place = server.url.removeprefix("http://")
    taken = server.deps.settings.server.model_copy(update={"http_listen": place})
    server.deps.settings = server.deps.settings.model_copy(update={"server": taken})
    with pytest.raises(OSError):
        await other.start()
    await asyncio.sleep(0)
