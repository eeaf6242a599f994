"""The server's own HTTP: health, metrics, recordings, timelines.

Timelines say who called whom, metrics how much; they are for operators, who send `server.api_token`. Where a request comes from proves
nothing, as it may have come through a proxy. `/healthz` is open: whether calls can be served, and how much lives, in numbers without
names, is what load balancers and tests ask. Recordings are fetched without credentials, as applications expect (behaviour.md 5.5): their
names are 128 bits of chance; `server.recording_access` can ask for more.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol, assert_never

from aiohttp import web

from config.settings import Settings
from config.types import HostPort, parse_host_port
from rcml.parameters import API_VERSION
from server.api.access import Credentials, credentials, is_signed
from server.api.documents import as_json
from server.api.faces import Face
from server.api.routes import routes
from server.observability.metrics import Metrics
from server.orders import Orders
from server.storage.database import Database
from server.storage.lists import Slice
from server.storage.rows import Entry, EventRow, short_sid
from server.timeline.export import call_document, event_document, timeline_document
from server.timeline.ladder import render
from server.timeline.recorder import Recorder

log = logging.getLogger(__name__)

INDEX = f"""dialplane

/healthz                     is it up, and how much lives at the moment
/metrics                     for Prometheus
/calls                       the latest calls, as JSON (?limit=)
/events                      what applications were told (?state=failed&call=&limit=); POST /events/EVENTSID/send tries again
/calls/CALLSID/timeline      everything about one call, as JSON
/calls/CALLSID/timeline.txt  the same as a ladder diagram (?width=)
/restcomm/{API_VERSION}/Accounts/ACCOUNTSID/Recordings/RECORDINGSID.wav

/2010-04-01/Accounts/ACCOUNTSID/Calls.json   REST, see docs/rest.md; and under /restcomm/{API_VERSION}

All but the first and the sound of recordings want the token: Authorization: Bearer $(dialplane token)
"""
STATES = ("waiting", "delivered", "failed", "stopped")
_RECORDING = re.compile(r"RE[0-9a-f]{32}")
_CALL = re.compile(r"CA[0-9a-f]{32}")
# Basic second: a browser asks its user then. The token is the password of any user name.
_CHALLENGES = (("WWW-Authenticate", "Bearer"), ("WWW-Authenticate", 'Basic realm="dialplane"'))


class Deps(Protocol):
    """What of the server the API looks at. `server.app.Server` has it all."""

    settings: Settings
    metrics: Metrics
    recorder: Recorder
    database: Database

    def trunk_troubles(self) -> Mapping[str, int]:
        """What is not as it should be of the trunks, by name."""

    def counts(self) -> Mapping[str, int]:
        """What lives at the moment, by name."""

    @property
    def orders(self) -> Orders:
        """To the calls that live."""

    async def send_event_again(self, sid: str) -> EventRow | None:
        """None: there is no such event, or it waits anyway."""

    def ailment(self) -> str:
        """Why no call could be served now; empty: one could."""

    @property
    def overloaded(self) -> bool:
        """New calls are refused because those that are up need all there is."""


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
            web.get(Face.TWILIO.value + "/Accounts/{account}/Recordings/{sid}.wav", resources.recording),
            web.get("/calls", resources.calls),
            web.get("/calls/{sid}/timeline", resources.timeline),
            web.get("/calls/{sid}/timeline.txt", resources.timeline_text),
            web.get("/events", resources.events),
            web.post("/events/{sid}/send", resources.send_event),
            *routes(deps),
        ]
    )
    return app


@web.middleware
async def _edge(request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> web.StreamResponse:
    """A fault of ours is a 500 and a log line, never a broken connection."""
    try:
        response = await handler(request)
    except web.HTTPException as error:
        response = _json({"error": error.reason}, error.status)
        response.headers.extend([pair for pair in error.headers.items() if pair[0] not in ("Content-Type", "Content-Length")])
    except Exception:
        log.exception("api_failed", extra={"method": request.method, "path": request.path})
        response = _json({"error": "internal error"}, 500)
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Server"] = "dialplane"  # and not the versions of what it is made of
    return response


class _Resources:
    def __init__(self, deps: Deps) -> None:
        self._deps = deps

    async def index(self, request: web.Request) -> web.Response:
        """What there is, for whoever types the address into a browser."""
        return web.Response(text=INDEX)

    async def health(self, request: web.Request) -> web.Response:
        """200 while the server takes calls, also when not all of them ("overloaded"), else 503 with what ails it.

        counts: what lives at the moment; all 0 when it is idle. trunks: how many registrations and places are not as they should be.
        """
        ailment = self._deps.ailment()
        writer = self._deps.database.writer
        storage = {"waiting": writer.waiting, "dropped": writer.dropped}
        document = {
            "status": ailment or ("overloaded" if self._deps.overloaded else "ok"),
            "counts": dict(self._deps.counts()),
            "storage": storage,
            "trunks": dict(self._deps.trunk_troubles()),
        }
        return _json(document, 503 if ailment else 200)

    async def metrics(self, request: web.Request) -> web.Response:
        if not self._deps.settings.server.metrics_open:
            self._operator(request)
        headers = {"Content-Type": "text/plain; version=0.0.4; charset=utf-8"}
        return web.Response(body=self._deps.metrics.text(), headers=headers)

    async def recording(self, request: web.Request) -> web.StreamResponse:
        """The file of a finished recording; 404 until it is finished. Ranges and conditional requests are understood."""
        sid = request.match_info["sid"]
        self._may_hear(request, sid)
        row = await self._deps.database.reader.recording(sid) if _RECORDING.fullmatch(sid) else None
        if row is None or row.account_sid != request.match_info["account"]:
            raise web.HTTPNotFound(reason="There is no such recording")
        return web.FileResponse(row.path, headers={"Content-Type": "audio/x-wav", "Content-Disposition": f'inline; filename="{sid}.wav"'})

    async def calls(self, request: web.Request) -> web.Response:
        """The latest calls, live ones included; ?limit= up to 1000."""
        self._operator(request)
        return _json({"calls": [call_document(row) for row in await self._deps.database.reader.recent_calls(_limit(request))]})

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

    async def events(self, request: web.Request) -> web.Response:
        """What applications were told, and what could not be delivered: ?state=, ?call=, ?limit= up to 1000."""
        self._operator(request)
        state = request.query.get("state", "")
        if state and state not in STATES:
            raise web.HTTPBadRequest(reason=f"state must be one of {', '.join(STATES)}")
        part = Slice(_limit(request))
        rows, total = await self._deps.database.lists.events(state, request.query.get("call", ""), part)
        return _json({"events": [event_document(row) for row in rows], "total": total})

    async def send_event(self, request: web.Request) -> web.Response:
        """Try once more what was delivered, given up or stopped."""
        self._operator(request)
        row = await self._deps.send_event_again(request.match_info["sid"])
        if row is None:
            raise web.HTTPNotFound(reason="There is no such event, or it waits for its delivery anyway")
        return _json(event_document(row), 202)

    async def _entries(self, request: web.Request) -> tuple[str, list[Entry]]:
        """The call's own sid (of a leg, its call's), and the entries: of a live call those in memory, else those stored."""
        sid = short_sid(request.match_info["sid"])
        if _CALL.fullmatch(sid):
            entries = self._deps.recorder.timeline(sid) or await self._deps.database.reader.timeline(sid)
            if entries:
                return entries[0].call_sid, entries
        raise web.HTTPNotFound(reason="There is no such call")

    def _may_hear(self, request: web.Request, sid: str) -> None:
        """As `server.recording_access` says; the token always does. Asked before anybody looks whether there is such a recording."""
        server = self._deps.settings.server
        match server.recording_access:
            case "name":
                return
            case "signed":
                if is_signed(server.recording_key.get_secret_value(), sid, request.query, time.time()):
                    return
                if self._credentials(request) is not Credentials.RIGHT:
                    raise web.HTTPForbidden(reason="The URL of this recording is not signed, or its time is up")
            case "login":
                self._operator(request)
            case access:
                assert_never(access)

    def _credentials(self, request: web.Request) -> Credentials:
        return credentials(request.headers.get("Authorization", ""), self._deps.settings.server.api_token.get_secret_value())

    def _operator(self, request: web.Request) -> None:
        """401 unless the token came along."""
        if self._credentials(request) is not Credentials.RIGHT:
            refusal = web.HTTPUnauthorized(reason="The token that `dialplane token` shows is wanted, as Bearer token or as password")
            refusal.headers.extend(_CHALLENGES)
            raise refusal


def _limit(request: web.Request) -> int:
    limit = request.query.get("limit", "50")
    if not limit.isascii() or not limit.isdigit() or not 1 <= int(limit[:5]) <= 1000:
        raise web.HTTPBadRequest(reason="limit must be a number from 1 to 1000")
    return int(limit)


def _json(document: Mapping[str, object], status: int = 200) -> web.Response:
    return web.Response(text=as_json(document), status=status, content_type="application/json")
