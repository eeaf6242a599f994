"""The server's own HTTP: health, metrics, recordings, timelines.

`/healthz` and `/metrics` tell numbers only. Recordings are fetched without credentials, as applications expect (behaviour.md 5.5): their
names are 128 bits of chance. Timelines say who called whom, so they are for operators: with `server.api_token` set they want it
as a Bearer token; without one they are shown to requests from this machine itself, and to nobody else.
"""

from __future__ import annotations

import hmac
import ipaddress
import json
import logging
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol

from aiohttp import web

from config.settings import Settings
from config.types import HostPort, parse_host_port
from server.observability.metrics import Metrics
from server.storage.database import Database
from server.storage.rows import Entry, short_sid
from server.timeline.export import call_document, timeline_document
from server.timeline.ladder import render
from server.timeline.recorder import Recorder

log = logging.getLogger(__name__)

API_VERSION = "2012-04-24"
INDEX = f"""dialplane

/healthz                     is it up, and what lives at the moment
/metrics                     for Prometheus
/calls                       the latest calls, as JSON (?limit=)
/calls/CALLSID/timeline      everything about one call, as JSON
/calls/CALLSID/timeline.txt  the same as a ladder diagram (?width=)
/restcomm/{API_VERSION}/Accounts/ACCOUNTSID/Recordings/RECORDINGSID.wav
"""
_RECORDING = re.compile(r"RE[0-9a-f]{32}")
_CALL = re.compile(r"CA[0-9a-f]{32}")
_LOCAL_NAMES = ("localhost", "ip6-localhost")


class Deps(Protocol):
    """What of the server the API looks at. `server.app.Server` has it all."""

    settings: Settings
    metrics: Metrics
    recorder: Recorder
    database: Database

    def counts(self) -> Mapping[str, int]:
        """What lives at the moment, by name."""

    def ailment(self) -> str:
        """Why no call could be served now; empty: one could."""


class Api:
    """The listening API. `start` raises OSError when its address cannot be had."""

    def __init__(self, deps: Deps) -> None:
        self._deps = deps
        self._runner: web.AppRunner | None = None

    async def start(self) -> HostPort:
        """Where it listens."""
        place = parse_host_port(self._deps.settings.server.http_listen)
        self._runner = web.AppRunner(make_app(self._deps), access_log=None, shutdown_timeout=2.0)
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, place.host, place.port).start()
        except OSError:
            await self.stop()
            raise
        host, port = self._runner.addresses[0][:2]
        log.info("http_listening", extra={"address": str(HostPort(host, port))})
        return HostPort(host, port)

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None


def make_app(deps: Deps) -> web.Application:
    app = web.Application(middlewares=[_edge], client_max_size=64 * 1024)
    resources = _Resources(deps)
    base = f"/restcomm/{API_VERSION}/Accounts/{{account}}"
    app.add_routes(
        [
            web.get("/", resources.index),
            web.get("/healthz", resources.health),
            web.get("/metrics", resources.metrics),
            web.get(base + "/Recordings/{sid}.wav", resources.recording),
            web.get("/calls", resources.calls),
            web.get("/calls/{sid}/timeline", resources.timeline),
            web.get("/calls/{sid}/timeline.txt", resources.timeline_text),
        ]
    )
    deps.metrics.watch_live(deps.counts)
    writer = deps.database.writer
    deps.metrics.watch_storage(lambda: writer.waiting, lambda: writer.written, lambda: writer.dropped)
    return app


@web.middleware
async def _edge(request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> web.StreamResponse:
    """A fault of ours is a 500 and a log line, never a broken connection."""
    try:
        response = await handler(request)
    except web.HTTPException as error:
        response = _json({"error": error.reason}, error.status)
        response.headers.extend({name: value for name, value in error.headers.items() if name not in ("Content-Type", "Content-Length")})
    except Exception:
        log.exception("api_failed", extra={"method": request.method, "path": request.path})
        response = _json({"error": "internal error"}, 500)
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response


class _Resources:
    def __init__(self, deps: Deps) -> None:
        self._deps = deps

    async def index(self, request: web.Request) -> web.Response:
        """What there is, for whoever types the address into a browser."""
        return web.Response(text=INDEX)

    async def health(self, request: web.Request) -> web.Response:
        """200 while the server takes calls, else 503 with what ails it. counts: what lives at the moment; all 0 when it is idle."""
        writer = self._deps.database.writer
        storage = {"waiting": writer.waiting, "dropped": writer.dropped}
        ailment = self._deps.ailment()
        document = {"status": ailment or "ok", "counts": dict(self._deps.counts()), "storage": storage}
        return _json(document, 503 if ailment else 200)

    async def metrics(self, request: web.Request) -> web.Response:
        headers = {"Content-Type": "text/plain; version=0.0.4; charset=utf-8"}
        return web.Response(body=self._deps.metrics.text(), headers=headers)

    async def recording(self, request: web.Request) -> web.StreamResponse:
        """The file of a finished recording; 404 until it is finished. Ranges and conditional requests are understood."""
        sid = request.match_info["sid"]
        row = await self._deps.database.reader.recording(sid) if _RECORDING.fullmatch(sid) else None
        if row is None or row.account_sid != request.match_info["account"]:
            raise web.HTTPNotFound(reason="There is no such recording")
        return web.FileResponse(row.path, headers={"Content-Type": "audio/x-wav", "Content-Disposition": f'inline; filename="{sid}.wav"'})

    async def calls(self, request: web.Request) -> web.Response:
        """The latest calls, live ones included; ?limit= up to 1000."""
        self._operator(request)
        limit = request.query.get("limit", "50")
        if not limit.isdigit() or not 1 <= int(limit) <= 1000:
            raise web.HTTPBadRequest(reason="limit must be a number from 1 to 1000")
        return _json({"calls": [call_document(row) for row in await self._deps.database.reader.recent_calls(int(limit))]})

    async def timeline(self, request: web.Request) -> web.Response:
        self._operator(request)
        sid, entries = await self._entries(request)
        reader = self._deps.database.reader
        call, legs = await reader.call(sid), await reader.legs(sid)
        return _json(timeline_document(call, legs, entries, await reader.notifications(sid), await reader.recordings(sid)))

    async def timeline_text(self, request: web.Request) -> web.Response:
        """The ladder; ?width= columns."""
        self._operator(request)
        _, entries = await self._entries(request)
        width = request.query.get("width", "120")
        return web.Response(text=render(entries, min(int(width), 400) if width.isdigit() else 120))

    async def _entries(self, request: web.Request) -> tuple[str, list[Entry]]:
        """The call's own sid (of a leg, its call's), and the entries: of a live call those in memory, else those stored."""
        sid = short_sid(request.match_info["sid"])
        if _CALL.fullmatch(sid):
            entries = self._deps.recorder.timeline(sid) or await self._deps.database.reader.timeline(sid)
            if entries:
                return entries[0].call_sid, entries
        raise web.HTTPNotFound(reason="There is no such call")

    def _operator(self, request: web.Request) -> None:
        token = self._deps.settings.server.api_token.get_secret_value()
        if token:
            given = request.headers.get("Authorization", "").removeprefix("Bearer ")
            if not hmac.compare_digest(given.encode("utf-8", "replace"), token.encode()):
                raise web.HTTPUnauthorized(reason="server.api_token is wanted as a Bearer token", headers={"WWW-Authenticate": "Bearer"})
        elif not _is_local(request):
            raise web.HTTPForbidden(reason="Timelines are shown to this machine only, unless server.api_token is set")


def _is_local(request: web.Request) -> bool:
    """From this machine itself: not through a proxy on it, and not by a web page that gave its own name our address."""
    if any(name in request.headers for name in ("Forwarded", "X-Forwarded-For", "X-Real-IP", "Via")):
        return False
    try:
        named = request.url.host or ""
        literal = named in _LOCAL_NAMES or ipaddress.ip_address(named).is_loopback
        return literal and ipaddress.ip_address(request.remote or "").is_loopback
    except ValueError:
        return False


def _json(document: object, status: int = 200) -> web.Response:
    return web.Response(text=json.dumps(document, ensure_ascii=False) + "\n", status=status, content_type="application/json")
