"""The server's own HTTP, over loopback."""

from __future__ import annotations

import asyncio
import datetime
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from config.load import load
from config.settings import Settings
from server.api.app import Api
from server.calls.effects import Kind, Note
from server.observability.metrics import Metrics
from server.storage.database import Database
from server.storage.rows import CallRow, Entry, NotificationRow, RecordingRow
from server.timeline.recorder import Recorder

T0 = datetime.datetime(2026, 5, 26, 17, 59, 16, tzinfo=datetime.UTC)
CALL, LEG, LIVE = "CA" + "1" * 32, "CA" + "2" * 32, "CA" + "3" * 32
RE, AC = "RE" + "a" * 32, "AC" + "b" * 32
RECORDING = f"/restcomm/2012-04-24/Accounts/{AC}/Recordings/{RE}.wav"


@dataclass
class Deps:
    settings: Settings
    metrics: Metrics
    recorder: Recorder
    database: Database
    live: dict[str, int] = field(default_factory=lambda: {"calls": 1})
    ill: str = ""

    def counts(self) -> dict[str, int]:
        return self.live

    def ailment(self) -> str:
        return self.ill


class Server:
    def __init__(self, deps: Deps, url: str, session: aiohttp.ClientSession) -> None:
        self.deps, self.url, self._session = deps, url, session

    async def get(self, path: str, **headers: str) -> tuple[int, bytes, Any]:
        async with self._session.get(self.url + path, headers=headers) as response:
            return response.status, await response.read(), response.headers

    async def json(self, path: str, **headers: str) -> Any:
        status, body, _ = await self.get(path, **headers)
        assert status == 200, body
        return json.loads(body)


async def serve(tmp_path: Path, token: str = "") -> AsyncIterator[Server]:
    environ = {"DIALPLANE_STATE": str(tmp_path), "DIALPLANE_SERVER__HTTP_LISTEN": "127.0.0.1:0", "DIALPLANE_STORAGE__RETENTION_DAYS": "0"}
    settings = load(environ=environ | {"DIALPLANE_SERVER__API_TOKEN": token})
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
    api = Api(deps)
    address = await api.start()
    async with aiohttp.ClientSession() as session:
        yield Server(deps, f"http://{address}", session)
    await api.stop()
    await database.stop()


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    async for made in serve(tmp_path):
        yield made


@pytest.fixture
async def guarded(tmp_path: Path) -> AsyncIterator[Server]:
    async for made in serve(tmp_path, "t0ken"):
        yield made


async def test_health_tells_what_lives(server: Server) -> None:
    document = await server.json("/healthz")
    assert document["status"] == "ok"
    assert document["counts"] == {"calls": 1}
    assert document["storage"] == {"waiting": 0, "dropped": 0}


async def test_health_is_503_when_no_call_could_be_served(server: Server) -> None:
    server.deps.ill = "no media worker"
    status, body, _ = await server.get("/healthz")
    assert status == 503
    assert json.loads(body)["status"] == "no media worker"
    assert json.loads(body)["counts"] == {"calls": 1}


async def test_metrics_are_prometheus_text(server: Server) -> None:
    status, body, headers = await server.get("/metrics")
    assert status == 200
    assert headers["Content-Type"].startswith("text/plain; version=0.0.4")
    assert b'dialplane_live{what="calls"} 1.0' in body
    assert b"dialplane_storage_written 5.0" in body


# --- recordings


async def test_recording_is_fetched_without_credentials__behaviour_5_5(guarded: Server) -> None:
    status, body, headers = await guarded.get(RECORDING)
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
        RECORDING.removesuffix(".wav"),
    ],
)
async def test_recording_that_is_not_there_is_404__behaviour_7(server: Server, path: str) -> None:
    assert (await server.get(path))[0] == 404


async def test_recording_whose_file_is_gone_is_404__behaviour_7(server: Server, tmp_path: Path) -> None:
    (tmp_path / "x.wav").unlink()
    assert (await server.get(RECORDING))[0] == 404


# --- timelines


async def test_timeline_tells_everything(server: Server) -> None:
    document = await server.json(f"/calls/{CALL}/timeline")
    assert document["call"]["status"] == "busy"
    assert document["call"]["created_at"] == "2026-05-26T17:59:16.000Z"
    assert [leg["sid"] for leg in document["legs"]] == [LEG]
    assert document["entries"] == [{"at": "2026-05-26T17:59:16.000Z", "kind": "verb", "leg": "", "data": {"verb": "Dial"}}]
    assert document["notifications"][0]["code"] == 11205
    assert document["recordings"][0]["sid"] == RE


@pytest.mark.parametrize("sid", [CALL, LEG, "ID" + "f" * 32 + "-" + CALL])
async def test_timeline_as_a_ladder(server: Server, sid: str) -> None:
    status, body, _ = await server.get(f"/calls/{sid}/timeline.txt?width=100")
    assert status == 200
    assert "▸ Dial" in body.decode()


async def test_timeline_of_a_live_call_comes_from_memory(server: Server) -> None:
    server.deps.recorder.note(Note(LIVE, 1.0, Kind.VERB, {"verb": "Play"}))
    document = await server.json(f"/calls/{LIVE}/timeline")
    assert document["call"] is None
    assert document["entries"][0]["data"] == {"verb": "Play"}


@pytest.mark.parametrize("sid", ["CA" + "9" * 32, "x", "%00", "CA' OR 1=1"])
async def test_unknown_call_is_404(server: Server, sid: str) -> None:
    assert (await server.get(f"/calls/{sid}/timeline"))[0] == 404


async def test_calls_are_listed(server: Server) -> None:
    assert [call["sid"] for call in (await server.json("/calls"))["calls"]] == [CALL]
    assert (await server.get("/calls?limit=0"))[0] == 400
    assert (await server.get("/calls?limit=x"))[0] == 400


# --- who may see them


@pytest.mark.parametrize("path", ["/calls", f"/calls/{CALL}/timeline", f"/calls/{CALL}/timeline.txt"])
async def test_token_is_wanted_where_it_is_set(guarded: Server, path: str) -> None:
    status, _, headers = await guarded.get(path)
    assert (status, headers["WWW-Authenticate"]) == (401, "Bearer")
    assert (await guarded.get(path, Authorization="Bearer wrong"))[0] == 401
    assert (await guarded.get(path, Authorization="Bearer t0ken"))[0] == 200


@pytest.mark.parametrize("header", ["X-Forwarded-For", "Forwarded", "X-Real-IP", "Via"])
async def test_request_through_a_proxy_is_not_local(server: Server, header: str) -> None:
    assert (await server.get("/calls", **{header: "203.0.113.1"}))[0] == 403


async def test_web_page_that_points_its_name_at_us_is_not_local(server: Server) -> None:
    assert (await server.get("/calls", Host="evil.example.com"))[0] == 403
    assert (await server.get("/calls", Host="localhost:8080"))[0] == 200


# --- the edge


async def test_fault_of_ours_is_a_500_without_details(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(*_: object) -> list[CallRow]:
        raise RuntimeError("secret inside")

    monkeypatch.setattr(server.deps.database.reader, "recent_calls", broken)
    status, body, headers = await server.get("/calls")
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
    server.deps.metrics = Metrics()
    with pytest.raises(OSError):
        await other.start()
    await asyncio.sleep(0)
