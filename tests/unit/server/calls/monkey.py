"""A monkey that gives a bench events in any order, as far as the contract of `sip.core.events` and `media.engine` allows."""

from __future__ import annotations

import random

from media import engine
from media.settings import KNOWN_CODECS, MediaSettings
from server.calls.effects import Fetched
from server.calls.policy import Application
from server.calls.targets import Outbound
from sip.core import commands, events
from sip.message import Headers, Request
from tests.support.descriptions import sdp
from tests.unit.server.calls.bench import ACTION, IN, VOICE, Bench

STATUSES = (302, 401, 404, 408, 480, 486, 487, 500, 503, 603)


class Monkey:
    """Gives events to a bench; keeps the contract's side of each session, and the rest to chance."""

    nouns = ('<Sip statusCallback="/leg">sip:a@192.0.2.8</Sip>', "<Number>1234</Number>") * 2
    screened = (
        '<Sip url="/screen" timeout="3">sip:b@192.0.2.9</Sip>',
        '<Number url="/screen" sendDigits="w1">1</Number>',
        '<Number sendDigits="1W">2</Number>',
    )
    phones: tuple[str, ...] = ("0 8 101", "0 8 101", "18 0 101", "0 18", "111 9 0 101", "9", "111", "8 13")

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.more = random.Random(f"more {seed}")  # for what came later, so that it changes nothing else
        rng = self.rng
        application = Application("2222", VOICE, answer_delay=rng.random() < 0.7, status_callback="http://app/status")
        self.bench = Bench(
            self.document(),
            application=application,
            offer=b"" if rng.random() < 0.2 else self.description("192.0.2.7"),
            media=MediaSettings(codecs=KNOWN_CODECS),
            outbound=Outbound("c", ("sip:gw1.example.com", "sip:gw2.example.com")) if rng.random() < 0.9 else None,
            broken_prompts=("http://app/broken.wav",),
            before=self.prepare,
        )
        self.caller_open = True
        self.acked = False
        self.over: set[commands.SessionId] = set()  # sessions of legs that will report nothing more
        self.answered: set[commands.SessionId] = set()

    def description(self, host: str, *, offer: bytes | None = None) -> bytes:
        """Any phone's: an offer, or what it takes of one."""
        rng = self.rng
        codecs = rng.choice((*self.phones, *(["18", "18 101"] if offer else [])))
        if offer is not None:
            offered = next(line for line in offer.decode().splitlines() if line.startswith("m=audio")).split()[3:]
            common = [number for number in codecs.split() if number in offered]
            codecs = " ".join(common) if any(number != "101" for number in common) else "0"
        return sdp(host, 4000, codecs)

    def offered_to(self, session: commands.SessionId) -> bytes:
        return next(invite.body for invite in self.bench.of(commands.SendInvite) if invite.session == session)

    def prepare(self, bench: Bench) -> None:
        bench.web.pages[ACTION] = lambda request: Fetched(
            request.request, self.rng.choice((200, 200, 200, 500)), request.url, "text/xml", self.document().encode()
        )
        bench.web.pages["http://app/screen"] = lambda request: Fetched(
            request.request, self.rng.choice((200, 200, 200, 500)), request.url, "text/xml", self.document().encode()
        )
        bench.web.delay_s = self.rng.choice((0.0, 0.01, 3.0))
        bench.engine.slow_disk = self.rng.random() < 0.3
        bench.engine.deaf = self.rng.random() < 0.02
        if self.rng.random() < 0.05:
            bench.engine.fail_open = lambda stream: self.rng.random() < 0.3

    # --- documents ------------------------------------------------------------------------------------------------

    def document(self) -> str:
        return f"<Response>{''.join(self.verb() for _ in range(self.rng.choice((0, 1, 2, 2, 3, 3, 4))))}</Response>"

    def verb(self) -> str:
        rng = self.rng
        music = rng.choice(("", "", 'dialMusic="/music.wav"', 'dialMusic="/broken.wav"', 'dialMusic="disabled"'))
        attributes = [f'action="{ACTION}"' if rng.random() < 0.4 else "", f'timeout="{rng.choice((1, 3, 30))}"', music]
        attributes += [f'timeLimit="{rng.choice((1, 5, 100))}"', self.record() if rng.random() < 0.5 else ""]
        attributes += [rng.choice(("", 'answerOnBridge="true"', 'answerOnBridge="false"'))]
        attributes += [name for name in ('sequential="true"', 'hangupOnStar="true"') if self.more.random() < 0.2]
        nouns = "".join(rng.choice((*self.nouns, *self.screened)) for _ in range(rng.choice((1, 1, 1, 1, 2, 2, 3))))
        nouns += "<Client>ghost</Client>" if rng.random() < 0.1 else ""
        dial = f"<Dial {' '.join(attributes)}>{nouns}</Dial>"
        others = ("<Say>hi</Say>", "<Play>/a.wav</Play>", "<Play>/broken.wav</Play>", "<Pause/>", "<Reject/>", "<Hangup/>")
        return dial if rng.random() < 0.8 else rng.choice((*others, f"<Redirect>{ACTION}</Redirect>"))

    def record(self) -> str:
        return self.more.choice(('record="true"', 'record="record-from-ringing-dual"'))

    # --- events ---------------------------------------------------------------------------------------------------

    def step(self) -> None:
        rng, bench = self.rng, self.bench
        what = rng.choices(
            (self.leg, self.caller, self.media, self.operator, lambda: bench.run(rng.choice((0.0, 0.02, 1.0, 4.0)))), (8, 3, 3, 0.15, 6)
        )[0]
        what()

    def leg(self) -> None:
        open_legs = [invite.session for invite in self.bench.of(commands.SendInvite) if invite.session not in self.over]
        if not open_legs:
            return
        session = self.rng.choice(open_legs)
        response = self.bench.response
        canceled = any(command.session == session for command in self.bench.of(commands.SendCancel))
        hung_up = any(command.session == session for command in self.bench.of(commands.SendBye))
        if session in self.answered:
            if hung_up and self.rng.random() < 0.7:
                self.end_leg(
                    session, events.SessionEnded(session, events.EndCause.BYE_ANSWERED, response=response(0, self.rng.choice((200, 481))))
                )
            elif self.rng.random() < 0.3:
                cause = self.rng.choice((events.EndCause.BYE_RECEIVED, events.EndCause.DIALOG_GONE))
                self.end_leg(session, events.SessionEnded(session, cause, request=_bye(cause)))
            else:
                self.inside(session)
        elif canceled and self.rng.random() < 0.8:
            self.end_leg(session, events.InviteFailed(session, events.FailureCause.CANCELED, response(0, 487)))
        else:
            match self.rng.randrange(4):
                case 0 | 1:
                    body = self.description("192.0.2.8", offer=self.offered_to(session)) if self.rng.random() < 0.4 else b""
                    self.bench.give(events.InviteProgressed(session, response(0, self.rng.choice((180, 181, 183, 199)), body), "t"))
                case 2:
                    answer = self.description("192.0.2.8", offer=self.offered_to(session))
                    body = self.rng.choice((answer, answer, answer, answer, b"", b"junk"))
                    self.answered.add(session)
                    self.bench.give(events.InviteAnswered(session, response(0, 200, body)))
                case _:
                    why = self.rng.choice([why for why in events.FailureCause if why is not events.FailureCause.CANCELED])
                    final = response(0, self.rng.choice(STATUSES)) if why is events.FailureCause.RESPONSE else None
                    self.end_leg(session, events.InviteFailed(session, why, final))

    def end_leg(self, session: commands.SessionId, event: events.InviteFailed | events.SessionEnded) -> None:
        self.over.add(session)
        self.bench.give(event)

    def caller(self) -> None:
        bench, rng = self.bench, self.rng
        if not self.caller_open:
            return
        rejected, answered = bool(bench.of(commands.SendReject)), bool(bench.of(commands.SendAnswer))
        hung_up = any(command.session == IN for command in bench.of(commands.SendBye))
        if rejected:
            self.end_caller(events.EndCause.REJECTED)
        elif not answered:
            if rng.random() < 0.06:
                bench.cancel()
        elif not self.acked:
            if rng.random() < 0.9:
                self.acked = True
                late = bench.of(commands.SendAnswer)[0].body
                body = self.description("192.0.2.7", offer=late) if rng.random() < 0.8 else b""
                bench.give(events.AnswerAcked(IN, body, "application/sdp" if body else ""))
            else:
                self.end_caller(rng.choice((events.EndCause.ACK_TIMEOUT, events.EndCause.BYE_RECEIVED)))
        elif hung_up:
            self.end_caller(rng.choice((events.EndCause.BYE_ANSWERED, events.EndCause.BYE_RECEIVED)))
        elif rng.random() < 0.1:
            self.end_caller(events.EndCause.BYE_RECEIVED)
        else:
            self.inside(IN)

    def end_caller(self, cause: events.EndCause) -> None:
        self.caller_open = False
        self.bench.give(events.SessionEnded(IN, cause, request=_bye(cause)))

    def inside(self, session: commands.SessionId) -> None:
        """A request inside the dialog."""
        method = self.rng.choice(("INVITE", "UPDATE", "INFO", "REFER"))
        offer = self.description("192.0.2.99")
        body = self.rng.choice((b"", b"junk", offer, offer.replace(b"sendrecv", b"inactive")))
        request = Request(method, "sip:x", Headers([("Content-Type", "application/sdp")] if body else []), body)
        kind = events.ReinviteReceived if method == "INVITE" else events.RequestReceived
        self.bench.give(kind(session, commands.TransactionId("t"), request))
        if self.rng.random() < 0.5:
            ours = self.bench.of(commands.AnswerRequest)[-1].body
            answer = self.description("192.0.2.99", offer=ours) if ours else sdp("192.0.2.99")
            self.bench.give(events.ReinviteAcked(session, self.rng.choice((b"", b"junk", answer)), "application/sdp"))

    def media(self) -> None:
        bench, rng = self.bench, self.rng
        streams = list(bench.engine.streams)
        match rng.randrange(7):
            case 0 | 1 if streams:
                bench.give_engine(engine.MediaTimeout(stream=rng.choice(streams), silent_ms=60000))
            case 2 if bench.engine.played:
                play = rng.choice(bench.engine.played)
                reason = rng.choice(("finished", "failed", "stopped"))
                bench.give_engine(engine.PlayEnded(stream=play.stream, play=play.play, reason=reason))
            case 3 if bench.engine.slow_disk:
                self.end_recordings()
            case 4 if rng.random() < 0.08:
                bench.engine.die(bench.now)
            case 5 if streams and rng.random() < 0.08:
                op = rng.choice(("connect", "play", "bridge", "stats"))
                bench.give_engine(engine.Failed(op=op, subject=rng.choice(streams), code="internal", reason="so be it"))
            case 6 if streams:
                bench.give_engine(engine.Latched(stream=rng.choice(streams), address="192.0.2.9", port=4))

    def end_recordings(self) -> None:
        for note in self.bench.notes:
            if note.data.get("event") == "record":
                name = str(note.data["recording"])
                length = self.rng.choice((0, 3000))
                self.bench.give_engine(
                    engine.RecordingEnded(recording=name, path="/rec/x.wav", duration_ms=length, size_bytes=44, reason="ended")
                )

    def operator(self) -> None:
        legs = [str(session) for session in self.over | self.answered] + [invite.session for invite in self.bench.of(commands.SendInvite)]
        sid = self.rng.choice([*self.bench.registry.calls, *legs, "CA-unknown"])
        self.bench.act(self.bench.registry.operator_end(sid, self.bench.now))

    def finish(self) -> None:
        """Everything that is owed comes, in the end: the operator ends the call, each session its last event."""
        bench = self.bench
        for sid in list(bench.registry.calls):
            bench.act(bench.registry.operator_end(sid, bench.now))
        bench.engine.deaf = False
        for _ in range(4):
            for invite in bench.of(commands.SendInvite):
                session = invite.session
                if session in self.over:
                    continue
                if session in self.answered:
                    self.end_leg(session, events.SessionEnded(session, events.EndCause.BYE_ANSWERED, response=bench.response(0, 200)))
                else:
                    self.end_leg(session, events.InviteFailed(session, events.FailureCause.CANCELED, bench.response(0, 487)))
            if self.caller_open:
                self.end_caller(events.EndCause.REJECTED if bench.of(commands.SendReject) else events.EndCause.BYE_ANSWERED)
            self.end_recordings()
            bench.run(20.0)


def _bye(cause: events.EndCause) -> Request | None:
    return Request("BYE", "sip:x", Headers([("Reason", "Q.850;cause=16")])) if cause is events.EndCause.BYE_RECEIVED else None
