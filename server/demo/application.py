"""The demo's web application: what you would write yourself, in any language, to tell dialplane what to do with a call.

It answers POST /voice with a Dial to the demo's second phone, serves the music that the caller hears meanwhile, and gets
the outcome at POST /action.
"""

from __future__ import annotations

import asyncio
from urllib.parse import parse_qsl
from xml.sax.saxutils import escape

from aiohttp import web

from server.demo import sound

Parameters = list[tuple[str, str]]


class Application:
    """Listens on `host`; `outcomes` holds the parameters of every action request, in the order in which they came."""

    def __init__(self, host: str, callee_uri: str) -> None:
        self._host = host
        self._callee = callee_uri
        self._music = sound.wav(sound.melody())
        self._runner: web.AppRunner | None = None
        self.port = 0
        self.calls: list[Parameters] = []
        self.outcomes: asyncio.Queue[Parameters] = asyncio.Queue()

    @property
    def url(self) -> str:
        return f"http://{self._host}:{self.port}"

    @property
    def document(self) -> str:
        """The RCML that answers a call."""
        return (
            "<Response>\n"
            '  <Dial action="/action" record="true" dialMusic="/music.wav">\n'
            f"    <Sip>{escape(self._callee)}</Sip>\n"
            "  </Dial>\n"
            "</Response>"
        )

    async def start(self, port: int = 0) -> None:
        application = web.Application()
        application.router.add_post("/voice", self._voice)
        application.router.add_post("/action", self._action)
        application.router.add_get("/music.wav", self._serve_music)
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=1.0)
        await self._runner.setup()
        site = web.TCPSite(self._runner, self._host, port)
        await site.start()
        self.port = int(self._runner.addresses[0][1])

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    async def _voice(self, request: web.Request) -> web.Response:
        self.calls.append(await _parameters(request))
        return web.Response(text=self.document, content_type="text/xml")

    async def _action(self, request: web.Request) -> web.Response:
        self.outcomes.put_nowait(await _parameters(request))
        return web.Response(text="<Response><Hangup/></Response>", content_type="text/xml")

    async def _serve_music(self, request: web.Request) -> web.Response:
        return web.Response(body=self._music, content_type="audio/wav")


async def _parameters(request: web.Request) -> Parameters:
    """In the order in which they were sent."""
    return parse_qsl(await request.text(), keep_blank_values=True)
