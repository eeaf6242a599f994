"""A call on the bench: call control alone, its SIP events written by hand, in virtual time.

`give_*` puts something in; `sent` holds the SIP commands that came out, in order.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import TypeVar

from media import engine
from rcml.settings import RcmlSettings
from server.calls.effects import Kind
from server.calls.phones import Locator
from server.calls.policy import Application, Refusal
from server.calls.registry import Registry
from server.calls.targets import Outbound, Targets
from sip.core import commands, events, flows
from sip.message import Headers, Request, Response
from tests.support.descriptions import sdp
from tests.support.shell import Shell, policy
from tests.support.virtual import FakeEngine, FakeWeb, Page

VOICE = "http://app/voice"
ACTION = "http://app/action"
IN = commands.SessionId("in-1")
CARRIER = Outbound("carrier", ("sip:gw.example.com:5070",))
C = TypeVar("C")


# What is dialled: one destination, two, three.
ONE = "<Sip>sip:alice@192.0.2.8</Sip>"
TWO = ONE + "<Number>1-444-555-6666</Number>"
THREE = TWO + "<Sip>sip:carol@192.0.2.10</Sip>"


class Bench(Shell):
    """One number whose document is `document`; the engine answers at once, the web after 10 ms. changes: fields of the policy.

    before: what to change in the world before the INVITE comes. phones: where clients are; client: who has proved to be calling.
    """

    def __init__(
        self,
        document: str | Page,
        *,
        action: str = "",
        application: Application | Refusal | None = None,
        offer: bytes | None = None,
        invite_headers: tuple[tuple[str, str], ...] = (),
        outbound: Outbound | None = CARRIER,
        rcml: RcmlSettings | None = None,
        broken_prompts: tuple[str, ...] = (),
        caller: str = '"Bob" <sip:bob@192.0.2.7>;tag=1',
        before: Callable[[Bench], None] | None = None,
        phones: Locator | None = None,
        client: str = "",
        **changes: object,
    ) -> None:
        rng = random.Random(1)
        super().__init__(100.0, FakeEngine(rng, delay_s=0.0), FakeWeb(rng, delay_s=0.01))
        self.web.pages = {VOICE: document, ACTION: action}
        self.web.broken_prompts = set(broken_prompts)
        self.sent: list[commands.Command] = []
        self.dead: set[commands.SessionId] = set()  # their peers answer nothing any more
        self._asked: list[commands.SessionId] = []  # by OPTIONS
        admitted = application or Application("2222", VOICE)

        class One:
            def admit(self, source: str, dialled: str, otherwise: str = "", client: str = "") -> Application | Refusal:
                return admitted

        own = {"account_sid": "AC1", "instance_id": "ID1", "public_url": "http://server", "recordings_dir": "/rec"}
        settings = {
            **{name: value for name, value in own.items() if name not in changes},
            "wall_iso": lambda at: "2026-01-01T00:00:00.000Z",
            "rcml": rcml or RcmlSettings(),
        }
        self.registry = Registry(policy(rng, "192.0.2.1", **settings, **changes), Targets(outbound, "server.example.com", phones), One())
        body = sdp("192.0.2.7") if offer is None else offer
        headers = [
            ("Via", "SIP/2.0/UDP 192.0.2.7;branch=z9hG4bK1"),
            ("From", caller),
            ("To", "<sip:2222@192.0.2.1>"),
            ("Call-ID", "call-1"),
            ("CSeq", "1 INVITE"),
            *([("Content-Type", "application/sdp")] if body else []),
            *invite_headers,
        ]
        invite = Request("INVITE", "sip:2222@192.0.2.1", Headers(headers), body)
        flow = flows.Flow("udp", flows.Address("192.0.2.1", 5060), flows.Address("192.0.2.7", 5060))
        if before is not None:
            before(self)
        self.give(events.InviteReceived(IN, invite, flow, client=client))
        self.run(0.1)

    def command(self, command: commands.Command) -> None:
        self.sent.append(command)
        if isinstance(command, commands.SendRequest) and command.method == "OPTIONS" and command.session not in self.dead:
            self._asked.append(command.session)

    def asked(self) -> None:
        """Phones answer an OPTIONS by themselves."""
        while self._asked:
            self.act(self.registry.sip_event(events.RequestAnswered(self._asked.pop(0), "OPTIONS", Response(200, "", Headers())), self.now))

    # --- in -------------------------------------------------------------------------------------------------------

    def give(self, event: events.Event) -> None:
        self.act(self.registry.sip_event(event, self.now))
        self.media()

    def give_trace(self, trace: events.Traced) -> None:
        self.act(self.registry.sip_event(trace, self.now))

    def give_engine(self, event: engine.Event | engine.EngineLost) -> None:
        self.act(self.registry.media_event(event, self.now))
        self.media()
        self.asked()

    def progress(self, leg: int, status: int = 180, body: bytes = b"") -> None:
        self.give(events.InviteProgressed(self.leg(leg), self.response(leg, status, body), "tag"))

    def answer(self, leg: int, body: bytes | None = None, headers: tuple[tuple[str, str], ...] = ()) -> None:
        answer = sdp("192.0.2.8") if body is None else body
        self.give(events.InviteAnswered(self.leg(leg), self.response(leg, 200, answer, headers)))

    def fail(self, leg: int, status: int, reason: str = "", headers: tuple[tuple[str, str], ...] = ()) -> None:
        response = self.response(leg, status, b"", headers, reason)
        self.give(events.InviteFailed(self.leg(leg), events.FailureCause.RESPONSE, response))

    def bye_from(self, session: commands.SessionId, reason: str | None = None) -> None:
        headers = Headers([("Reason", reason)] if reason else [])
        self.give(events.SessionEnded(session, events.EndCause.BYE_RECEIVED, request=Request("BYE", "sip:x", headers)))

    def bye_answered(self, leg: int, status: int = 200, headers: tuple[tuple[str, str], ...] = ()) -> None:
        self.give(events.SessionEnded(self.leg(leg), events.EndCause.BYE_ANSWERED, response=self.response(leg, status, b"", headers)))

    def cancel(self) -> None:
        self.give(events.CancelReceived(IN, Request("CANCEL", "sip:2222@192.0.2.1", Headers())))

    def run(self, seconds: float) -> None:
        """Let time pass, carrying out all that falls due."""
        end = self.now + seconds
        while True:
            times = (self.registry.next_deadline(), self.web.next_deadline(), self.engine.next_deadline())
            at = min((at for at in times if at is not None), default=None)
            if at is None or at > end:
                break
            self.now = max(self.now, at)
            self.media()
            self.hear()
            self.act(self.registry.timeout(self.now))
            self.asked()
        self.now = end

    # --- out ------------------------------------------------------------------------------------------------------

    @property
    def sid(self) -> str:
        """Of the first call that lives."""
        return next(iter(self.registry.calls))

    def leg(self, n: int) -> commands.SessionId:
        return self.of(commands.SendInvite)[n].session

    def of(self, kind: type[C]) -> list[C]:
        return [command for command in self.sent if isinstance(command, kind)]

    def verbs(self) -> list[str]:
        return [str(note.data["verb"]) for note in self.notes if note.kind is Kind.VERB]

    def order(self) -> list[str]:
        """The SIP commands' names with what matters, in the order in which they went out."""
        names = []
        for command in self.sent:
            match command:
                case commands.SendProvisional(status=status) | commands.SendReject(status=status):
                    names.append(str(status))
                case commands.SendAnswer():
                    names.append("200")
                case commands.SetSessionHeaders():
                    pass
                case _:
                    names.append(type(command).__name__.removeprefix("Send").upper())
        return names

    @property
    def action(self) -> dict[str, str]:
        """Parameters of the one action request."""
        (parameters,) = self.web.of("action")
        return parameters

    def response(self, leg: int, status: int, body: bytes = b"", headers: tuple[tuple[str, str], ...] = (), reason: str = "") -> Response:
        base = [("Call-ID", f"leg-{leg}"), *([("Content-Type", "application/sdp")] if body else []), *headers]
        return Response(status, reason, Headers(base), body)


def dial(nouns: str, attributes: str = f'action="{ACTION}"', after: str = "") -> str:
    return f"<Response><Dial {attributes}>{nouns}</Dial>{after}</Response>"


def clean(bench: Bench) -> None:
    """The call comes to its end by itself, and leaves nothing."""
    bench.run(100.0)
    if IN in {command.session for command in bench.of(commands.SendBye)}:
        bench.give(events.SessionEnded(IN, events.EndCause.BYE_ANSWERED))
    bench.run(10.0)
    assert bench.engine.complaints == [] and bench.engine.empty
    assert not any(bench.registry.counts().values()), bench.registry.counts()
