"""Two phones for the demo, made of dialplane's own SIP core and a little RTP in Python.

A phone plays one call at a time. Its owner waits for what happens: `ringing`, `talking`, `over`.
"""

from __future__ import annotations

import asyncio
import contextlib
import enum
import secrets

from media.errors import SdpError
from media.sdp.description import Connection, Description, Media, Origin, build_description, connection_to, parse_description
from server.demo.rtp import Audio
from server.demo.sound import Samples
from sip.core import commands, events
from sip.core.endpoint import Endpoint
from sip.settings import SipSettings
from sip.transport.driver import SipDriver

BYE_GRACE_S = 2.0


class State(enum.Enum):
    IDLE = "idle"
    CALLING = "calling"
    RINGING = "ringing"
    TALKING = "talking"


class Phone:
    """One user agent on `host`, over UDP."""

    def __init__(self, name: str, host: str, ring_s: float = 0.0, greeting: Samples | None = None) -> None:
        """ring_s: how long a call to it rings before it answers. greeting: what it says then."""
        self.name = name
        self.host = host
        self.port = 0
        self.audio: Audio
        self.state = State.IDLE
        self.heard_while_ringing: Samples = []
        self.failure = ""
        self.talking = asyncio.Event()
        self.over = asyncio.Event()
        self._ring_s = ring_s
        self._greeting = greeting or []
        self._session: commands.SessionId | None = None
        self._incoming = False
        self._version = 1
        self._answering: asyncio.TimerHandle | None = None
        self._endpoint = Endpoint(SipSettings(user_agent=f"dialplane-demo ({name})"), (), secrets.token_bytes)
        self._driver = SipDriver(self._endpoint, self._on_event)

    @property
    def uri(self) -> str:
        return f"sip:{self.name}@{self.host}:{self.port}"

    async def start(self, port: int = 0) -> None:
        (listener,) = await self._driver.start([("udp", self.host, port)])
        self.port = listener.bind.port
        self.audio = await Audio.open(self.host)

    async def stop(self) -> None:
        """Hang up, wait a moment for the goodbye's answer, close."""
        if self._session is not None:
            self.hang_up()
            with contextlib.suppress(TimeoutError):  # the other side is gone: nothing to wait for
                await asyncio.wait_for(self.over.wait(), BYE_GRACE_S)
        await self._driver.stop()
        self.audio.close()

    def become_echo(self, ring_s: float) -> None:
        """From the next call on: ring so long, then repeat what is heard."""
        self._ring_s = ring_s
        self._greeting = []
        self.audio.echo = True

    # --- what its owner does ------------------------------------------------------------------------------------------

    def call(self, uri: str) -> None:
        """Call somebody; hear early media if there is any."""
        self._begin(commands.SessionId(f"{self.name}-{secrets.token_hex(4)}"), State.CALLING, incoming=False)
        assert self._session is not None
        self._do(commands.SendInvite(session=self._session, request_uri=uri, from_uri=self.uri, from_display=self.name, body=self._sdp()))

    def hang_up(self) -> None:
        """Whatever that takes at the moment."""
        session = self._session
        if session is None:
            return
        if self.state is State.TALKING:
            self._do(commands.SendBye(session))
        elif self._incoming:
            self._do(commands.SendReject(session, 480))
        else:
            self._do(commands.SendCancel(session))

    # --- what happens to it -------------------------------------------------------------------------------------------

    def _on_event(self, event: events.Event | events.Traced | events.Dropped) -> None:
        match event:
            case events.InviteReceived(session, request, _):
                if self._session is not None:
                    self._do(commands.SendReject(session, 486))
                    return
                self._begin(session, State.RINGING, incoming=True)
                self._do(commands.SendProvisional(session, 180))
                if not self._connect(request.body):
                    self._do(commands.SendReject(session, 488))
                    return
                self._answering = asyncio.get_running_loop().call_later(self._ring_s, self._answer)
            case events.InviteProgressed(_, response, _):
                self.state = State.RINGING
                self._connect(response.body)
            case events.InviteAnswered(session, response):
                self.heard_while_ringing, self.audio.heard = self.audio.heard, []
                if self._connect(response.body):
                    self._talk()
                else:
                    self._do(commands.SendBye(session))
            case events.CancelReceived(session, _):
                self._do(commands.SendReject(session, 487))
            case events.InviteFailed(_, cause, response, detail):
                self._end(f"{response.status} {response.reason}" if response is not None else detail or cause.value)
            case events.SessionEnded():
                self._end("")
            case events.ReinviteReceived(session, transaction, request):
                self._connect(request.body)
                self._do(commands.AnswerRequest(transaction, 200, body=self._sdp()))
            case events.RequestReceived(session, transaction, _):
                self._do(commands.AnswerRequest(transaction, 200))
            case _:
                pass  # acknowledgements and traces: nothing to do for so simple a phone

    def _begin(self, session: commands.SessionId, state: State, *, incoming: bool) -> None:
        self._session, self.state, self._incoming = session, state, incoming
        self.failure = ""
        self.audio.heard = []
        self.talking.clear()
        self.over.clear()

    def _answer(self) -> None:
        self._answering = None
        if self._session is not None and self.state is State.RINGING:
            self._do(commands.SendAnswer(self._session, self._sdp()))
            self._talk()

    def _talk(self) -> None:
        self.state = State.TALKING
        self.talking.set()
        self.audio.say(self._greeting)

    def _end(self, failure: str) -> None:
        if self._answering is not None:
            self._answering.cancel()
            self._answering = None
        self.failure = failure
        self.state = State.IDLE
        self._session = None
        self.audio.silence()
        self.over.set()

    def _do(self, command: commands.Command) -> None:
        self._driver.command(command)

    # --- its session description --------------------------------------------------------------------------------------

    def _sdp(self) -> bytes:
        where: Connection = connection_to(self.host)
        origin = Origin(username="demo", session_id="1", version=str(self._version), address=self.host)
        audio = Media(kind="audio", port=self.audio.port, protocol="RTP/AVP", formats=("0",), attributes=(("rtpmap", "0 PCMU/8000"),))
        return build_description(Description(origin=origin, connection=where, media=(audio,)))

    def _connect(self, body: bytes) -> bool:
        """Send audio to where a session description says; False when it says nothing usable."""
        if not body:
            return False
        try:
            description = parse_description(body)
        except SdpError:
            return False
        for media in description.media:
            where = description.connection_of(media)
            if media.audio and media.port and where is not None and "0" in media.formats:
                self.audio.send_to(where.address, media.port)
                return True
        return False
