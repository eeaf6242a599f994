"""A whole server and its phones in virtual time, over a seeded lossy wire.

The server is the real one from the datagram to the action request: `sip.core.Endpoint`, `server.calls.Registry`, documents,
SDP. Only the sockets, the clock, the media worker and the web are stand-ins (`tests.support.virtual`). The phones have
endpoints of their own, so the wire carries real SIP both ways.
"""

from __future__ import annotations

import heapq
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from server.calls.legs.requests import SERVED
from server.calls.policy import Application, Refusal
from server.calls.registry import Registry
from server.calls.targets import Outbound, Targets
from server.wiring import sip_extensions
from sip.core import commands, events, flows
from sip.core.endpoint import Endpoint
from sip.core.referring import ReferAnswered, ReferId, ReferNotified, SendRefer
from sip.core.session_timer import RefreshDue
from sip.core.usage import Extension
from sip.message import Response
from sip.settings import SipSettings
from tests.support.descriptions import sdp
from tests.support.shell import Shell, policy
from tests.support.virtual import FakeEngine, FakeWeb
from tests.support.wire import Wire

SERVER = flows.Address("10.0.0.1", 5060)
CALLER = flows.Address("10.0.0.2", 5060)
VOICE_URL = "http://app/voice"


@dataclass
class Script:
    """What a called phone does. Times in seconds; None = never.

    ring_after: 180 so long after the INVITE. answer_after: the final so long after the INVITE. status: 200 or a refusal.
    hang_up_after: BYE so long after our 200 was ACKed. silent: not a single answer to anything.
    """

    ring_after: float | None = 0.1
    answer_after: float | None = 2.0
    status: int = 200
    hang_up_after: float | None = None
    silent: bool = False
    early_media: bool = False
    headers: commands.HeaderList = ()
    answer_body: bytes | None = None


class Phone:
    """A user agent with an endpoint of its own. `log` keeps what it saw: (time, event's name, status)."""

    def __init__(self, world: World, address: flows.Address, script: Script | None = None, extensions: tuple[Extension, ...] = ()) -> None:
        self.world = world
        self.address = address
        self.script = script or Script()
        rng = world.rng
        listener = flows.Listener("udp", address, address)
        self.endpoint = Endpoint(SipSettings(), [listener], lambda size: rng.randbytes(size), extensions=extensions)
        self.log: list[tuple[float, str, int]] = []
        self.sessions: set[commands.SessionId] = set()
        self.bodies: list[bytes] = []
        self.told: list[tuple[float, str, int]] = []  # of its REFERs: the answer, then what NOTIFY says, the last as "over"
        self.answers: list[Response | None] = []  # to requests of its own inside a dialog, and outside of one

    def saw(self, name: str) -> bool:
        return any(entry[1] == name for entry in self.log)

    def when(self, name: str) -> float:
        return next(entry[0] for entry in self.log if entry[1] == name)

    def statuses(self) -> list[int]:
        return [entry[2] for entry in self.log if entry[2]]

    # caller

    def call(self, number: str, *, body: bytes | None = None, headers: commands.HeaderList = (), name: str = "a") -> None:
        session = commands.SessionId(name)
        self.sessions.add(session)
        offer = sdp(self.address.host) if body is None else body
        uri = f"sip:{number}@{SERVER}"
        self.do(commands.SendInvite(session, uri, f"sip:bob@{self.address.host}", offer, headers=headers, from_display="Bob"))

    def cancel(self) -> None:
        if commands.SessionId("a") in self.sessions and not self.saw("answered"):
            self.do(commands.SendCancel(commands.SessionId("a")))

    def hang_up(self) -> None:
        if commands.SessionId("a") in self.sessions:
            self.do(commands.SendBye(commands.SessionId("a")))

    def do(self, command: commands.Command) -> None:
        self.world.apply(self, self.endpoint.command(command, self.world.now))

    def event(self, event: events.Event) -> None:
        now = self.world.now
        match event:
            case events.InviteProgressed(response=response):
                self.log.append((now, "progress", response.status))
                self.bodies.append(response.body)
            case events.InviteAnswered(response=response):
                self.log.append((now, "answered", response.status))
                self.bodies.append(response.body)
                self.world.answered(self)
            case events.InviteFailed(session=session, response=response):
                self.log.append((now, "failed", response.status if isinstance(response, Response) else 0))
                self.sessions.discard(session)
            case events.SessionEnded(session=session):
                self.log.append((now, "ended", 0))
                self.sessions.discard(session)
            case events.InviteReceived():
                self._invited(event)
            case events.CancelReceived(session=session):
                self.log.append((now, "cancel", 0))
                self.do(commands.SendReject(session, 487))
            case RefreshDue(session=session):
                self.do(commands.SendReinvite(session, sdp(self.address.host)))
            case events.RequestAnswered(response=response) | events.OutOfDialogAnswered(response=response):
                self.answers.append(response)
            case ReferAnswered(response=response):
                self.told.append((now, "answer", 0 if response is None else response.status))
            case ReferNotified(status=status, over=over):
                self.told.append((now, "over" if over else "notify", status))
            case events.AnswerAcked(session=session):
                self.log.append((now, "acked", 0))
                if self.script.hang_up_after is not None:
                    self.world.at(now + self.script.hang_up_after, lambda: self.bye(session))
            case (
                events.ReinviteReceived(session=session, transaction=transaction)
                | events.RequestReceived(session=session, transaction=transaction)
            ):
                self.do(commands.AnswerRequest(transaction, 200, body=sdp(self.address.host)))
            case _:
                pass

    def _invited(self, event: events.InviteReceived) -> None:
        now, script, session = self.world.now, self.script, event.session
        self.log.append((now, "invite", 0))
        self.bodies.append(event.request.body)
        self.sessions.add(session)
        body = sdp(self.address.host) if script.answer_body is None else script.answer_body
        if script.ring_after is not None:
            early = body if script.early_media else b""
            status = 183 if script.early_media else 180
            self.world.at(now + script.ring_after, lambda: self._do_in(session, commands.SendProvisional(session, status, body=early)))
        if script.answer_after is not None:
            final: commands.Command = (
                commands.SendAnswer(session, body, headers=script.headers)
                if script.status == 200
                else commands.SendReject(session, script.status, headers=script.headers)
            )
            self.world.at(now + script.answer_after, lambda: self._do_in(session, final))

    def replaces(self, session: str) -> str:
        """What names a dialog of this phone to whom it is with (RFC 3891)."""
        dialog = self.endpoint._core.sessions[commands.SessionId(session)].dialog
        assert dialog is not None
        return f"{dialog.call_id};to-tag={dialog.remote_tag};from-tag={dialog.local_tag}"

    def refer(self, target: str, *more: tuple[str, str]) -> None:
        """In its only session."""
        if self.sessions:
            session = min(self.sessions)
            self.do(SendRefer(ReferId(f"refer-{len(self.told)}-{self.world.now}"), session, target, more))

    def _do_in(self, session: commands.SessionId, command: commands.Command) -> None:
        if session in self.sessions and not self.saw("cancel"):
            self.do(command)

    def bye(self, session: commands.SessionId) -> None:
        if session in self.sessions:
            self.do(commands.SendBye(session))


@dataclass
class World(Shell):
    """policy_changes: fields of the policy."""

    seed: int
    loss: float = 0.0
    duplicate: float = 0.0
    delay: float = 0.01
    reorder: float = 0.0
    policy_changes: dict[str, object] = field(default_factory=dict)
    application: Application | Refusal = field(default_factory=lambda: Application("2222", VOICE_URL))

    def __post_init__(self) -> None:
        self.rng = random.Random(self.seed)
        rng = self.rng
        self.wire = Wire(self.seed, loss=self.loss, duplicate=self.duplicate, delay=self.delay, reorder=self.reorder)
        super().__init__(1000.0, FakeEngine(rng), FakeWeb(rng))
        self.phones: dict[str, Phone] = {}
        self.server_events: list[tuple[float, events.Event]] = []
        self._agenda: list[tuple[float, int, Callable[[], None]]] = []
        self._tick = 0
        self._inbox: deque[events.Event | events.Traced | events.Dropped] = deque()
        self._draining = False
        self.left_over: list[str] = []
        self._on_answer: Callable[[Phone], None] = lambda phone: None
        world = self

        class OneNumber:
            def admit(self, source: str, dialled: str, otherwise: str = "", client: str = "") -> Application | Refusal:
                return world.application

        listener = flows.Listener("udp", SERVER, SERVER)
        self.server = Endpoint(SipSettings(), [listener], lambda size: rng.randbytes(size), SERVED, sip_extensions(SipSettings()))
        self.registry = Registry(
            policy(rng, SERVER.host, **self.policy_changes), Targets(Outbound("carrier", ("sip:10.0.0.9",)), SERVER.host), OneNumber()
        )
        self.caller = self.phone(CALLER.host)

    # --- building -------------------------------------------------------------------------------------------------

    def phone(self, host: str, script: Script | None = None, extensions: tuple[Extension, ...] = ()) -> Phone:
        phone = Phone(self, flows.Address(host, 5060), script, extensions)
        self.phones[host] = phone
        return phone

    def at(self, when: float, act: Callable[[], None]) -> None:
        self._tick += 1
        heapq.heappush(self._agenda, (when, self._tick, act))

    def after_answer(self, seconds: float, act: Callable[[], None]) -> None:
        """When the caller's phone has seen the 200."""
        self._on_answer = lambda phone: self.at(self.now + seconds, act)

    def answered(self, phone: Phone) -> None:
        if phone is self.caller:
            self._on_answer(phone)

    # --- running --------------------------------------------------------------------------------------------------

    def run(self, until: float = 4 * 3600.0) -> None:
        """Until nothing is due any more, or for `until` seconds."""
        end = self.now + until
        for _ in range(200_000):
            at = self._next()
            if at is None:
                return
            if at > end:
                self.now = end
                return
            self.now = max(self.now, at)
            self._step()
        raise AssertionError("the world does not come to rest")

    def _next(self) -> float | None:
        times = [self.wire.next_deadline(), self.engine.next_deadline(), self.web.next_deadline()]
        times += [self.server.next_deadline(), self.registry.next_deadline()]
        times += [phone.endpoint.next_deadline() for phone in self.phones.values()]
        times.append(self._agenda[0][0] if self._agenda else None)
        return min((at for at in times if at is not None), default=None)

    def _step(self) -> None:
        now = self.now
        for flow, data in self.wire.due(now):
            self._arrive(flow, data)
        for media_event in self.engine.due(now):
            self.act(self.registry.media_event(media_event, now))
        self.hear()
        if (self.server.next_deadline() or now + 1) <= now:
            self.apply(None, self.server.timeout(now))
        if (self.registry.next_deadline() or now + 1) <= now:
            self.act(self.registry.timeout(now))
        for phone in self.phones.values():
            if (phone.endpoint.next_deadline() or now + 1) <= now:
                self.apply(phone, phone.endpoint.timeout(now))
        while self._agenda and self._agenda[0][0] <= now:
            heapq.heappop(self._agenda)[2]()

    def _arrive(self, flow: flows.Flow, data: bytes) -> None:
        """flow: as the receiver sees it."""
        if flow.local == SERVER:
            self.apply(None, self.server.receive(data, flow, self.now))
            return
        phone = self.phones.get(flow.local.host)
        if phone is not None and not phone.script.silent:
            self.apply(phone, phone.endpoint.receive(data, flow, self.now))

    def apply(self, phone: Phone | None, outputs: list[events.Output]) -> None:
        """Carry out what an endpoint asks for; phone None: the server's."""
        for output in outputs:
            match output:
                case flows.Transmit(flow, data):
                    self.wire.send(self.now, flow, data)
                case flows.CloseConnection() | flows.Resolve():
                    raise AssertionError(f"nobody asked for {output}")
                case event:
                    if phone is None:
                        self._inbox.append(event)
                    elif not isinstance(event, events.Traced | events.Dropped):
                        phone.event(event)
        self._drain()

    def _drain(self) -> None:
        """Hand the server's SIP events to call control one after another, never inside each other, as the shell does."""
        if self._draining:
            return
        self._draining = True
        while self._inbox:
            event = self._inbox.popleft()
            if not isinstance(event, events.Traced | events.Dropped):
                self.server_events.append((self.now, event))
            self.act(self.registry.sip_event(event, self.now))
        self._draining = False

    def command(self, command: commands.Command) -> None:
        self.apply(None, self.server.command(command, self.now))

    # --- what must be true at the end -----------------------------------------------------------------------------

    def checkpoint(self, *, with_phones: bool) -> None:
        """Note what lives now, although all should be over."""
        self.left_over = self.leaks(with_phones=with_phones)

    def leaks(self, *, with_phones: bool = True) -> list[str]:
        """Everything that still lives."""
        found = [f"server {name}={n}" for name, n in self.server.counts().items() if n]
        found += [f"registry {name}={n}" for name, n in self.registry.counts().items() if n]
        owners = self.registry.owners
        owned = (owners._by_session, owners._by_stream, owners._by_recording)
        found += [f"registry owns {list(names)}" for names in owned if names]
        for host, phone in self.phones.items():
            if with_phones and not phone.script.silent:
                found += [f"phone {host} {name}={n}" for name, n in phone.endpoint.counts().items() if n]
                found += [f"phone {host} session {session}" for session in phone.sessions]
        if not self.engine.empty:
            found.append(f"engine {list(self.engine.streams)} {list(self.engine.bridges)} {list(self.engine.recordings)}")
        return found + self.engine.complaints
