"""A phone with several lines: this project's own SIP core on real sockets, for what no SIPp scenario can say about two calls at once."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from typing import Self
from urllib.parse import quote

from media.sdp.description import extract_sdp
from sip.core import commands, events
from sip.core.endpoint import Endpoint
from sip.core.refer import Refer
from sip.core.referring import ReferAnswered, ReferId, ReferNotified, SendRefer
from sip.settings import SipSettings
from sip.transport.driver import SipDriver
from tests.support.descriptions import sdp
from tests.support.rtp import RtpEndpoint


class TwoLines:
    """lines: the sound of each call, by the name that `call` gave it. told: of its REFERs, ("answer" | "notify" | "over", status)."""

    def __init__(self, host: str = "127.0.0.1") -> None:
        self.host = host
        self.port = 0
        self.lines: dict[str, RtpEndpoint] = {}
        self.told: list[tuple[str, int]] = []
        self.ended: set[str] = set()
        self._answered: set[str] = set()
        self._news = asyncio.Event()
        self._endpoint = Endpoint(SipSettings(user_agent="two lines"), (), secrets.token_bytes, extensions=(Refer(),))
        self._driver = SipDriver(self._endpoint, self._on_event)

    async def __aenter__(self) -> Self:
        (listener,) = await self._driver.start([("udp", self.host, 0)])
        self.port = listener.bind.port
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._driver.stop()
        for line in self.lines.values():
            await line.close()

    async def call(self, name: str, uri: str) -> RtpEndpoint:
        """Until it is answered."""
        line = self.lines[name] = await RtpEndpoint.open(self.host)
        body = sdp(self.host, line.port)
        self._driver.command(commands.SendInvite(commands.SessionId(name), uri, f"sip:bob@{self.host}:{self.port}", body))
        await self.until(lambda: name in self._answered)
        return line

    def transfer(self, name: str, to: str) -> None:
        """The party of one line meets that of another: REFER with Replaces."""
        dialog = self._endpoint._core.sessions[commands.SessionId(to)].dialog
        assert dialog is not None
        named = quote(f"{dialog.call_id};to-tag={dialog.remote_tag};from-tag={dialog.local_tag}", safe="")
        self._driver.command(SendRefer(ReferId("transfer"), commands.SessionId(name), f"{dialog.remote_target}?Replaces={named}"))

    async def until(self, so: Callable[[], bool], timeout_s: float = 20.0) -> None:
        """Raises TimeoutError."""
        async with asyncio.timeout(timeout_s):
            while not so():
                self._news.clear()
                await self._news.wait()

    def _on_event(self, event: events.Event | events.Traced | events.Dropped) -> None:
        match event:
            case events.InviteAnswered(session=session, response=response):
                body = extract_sdp(response.body, "application/sdp") or b""
                self.lines[session].send_to(_media_of(body.decode()))
                self._answered.add(session)
            case events.SessionEnded(session=session) | events.InviteFailed(session=session):
                self.ended.add(session)
            case ReferAnswered(response=response):
                self.told.append(("answer", 0 if response is None else response.status))
            case ReferNotified(status=status, over=over):
                self.told.append(("over" if over else "notify", status))
            case _:
                pass
        self._news.set()


def _media_of(text: str) -> tuple[str, int]:
    lines = text.splitlines()
    host = next(line.split()[-1] for line in lines if line.startswith("c="))
    return host, int(next(line.split()[1] for line in lines if line.startswith("m=audio")))
