"""Any events in any order leave a call that ends once, asks each Dial's action once, and is then forgotten.

The simulation drives calls over a whole SIP stack, which lets only sensible orders through. Here a monkey gives the events
itself, as far as the contract of `sip.core.events` and `media.engine` allows: crossing ones too, which were under way
when call control changed its mind.
"""

from __future__ import annotations

import random
from collections import Counter

import pytest

from media import engine
from media.settings import KNOWN_CODECS, MediaSettings
from server.calls.conferences.room import Hold
from server.calls.destination import Destination, Placed
from server.calls.effects import Fetched, Kind
from server.calls.legs.leg import LegState
from server.calls.legs.party import Party
from server.calls.policy import Application
from server.calls.targets import Outbound
from sip.core import commands, events
from sip.message import Headers, Request
from tests.support.descriptions import sdp
from tests.unit.server.calls.bench import ACTION, IN, VOICE, Bench

SEEDS = 400
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


class MonkeyWithG729(Monkey):
    """All phones know G.729, and most prefer it; calls under answer delay to one or two of them."""

    phones = ("18 0 101", "18 0 101", "18 8", "18 111", "18 0", "0 18 101")

    def document(self) -> str:
        music = self.rng.choice((*[""] * 6, 'record="true"', 'dialMusic="/music.wav"'))
        one = "<Sip>sip:a@192.0.2.8</Sip>"
        dials = [f"<Dial timeout='100' {music}>{self.rng.choice((one, one + one))}</Dial>" for _ in range(self.rng.choice((1, 2)))]
        return f"<Response>{self.rng.choice(('', '', '', '', '<Say>hi</Say>'))}{'<Say>hi</Say>'.join(dials)}</Response>"


def test_what_can_only_pass_always_has_its_counterpart__sdp_md() -> None:
    ways: Counter[str] = Counter()
    for seed in range(300):
        monkey = MonkeyWithG729(seed)
        for _ in range(100):
            monkey.step()
        monkey.finish()
        ways.update(str(note.data["audio"]) for note in monkey.bench.notes if "audio" in note.data)
        assert monkey.bench.engine.complaints == [], seed
        assert "none" not in ways, seed
    assert ways["passes G729"] > 10 and ways["passes PCMU"] > 10, ways


@pytest.mark.parametrize("first", range(0, SEEDS, 50))
def test_any_order_of_events_ends_once_and_leaves_nothing__behaviour_2_7(first: int) -> None:
    for seed in range(first, first + 50):
        monkey = Monkey(seed)
        for _ in range(monkey.rng.randint(5, 120)):
            monkey.step()
        deaf = monkey.bench.engine.deaf
        monkey.finish()
        bench = monkey.bench
        where = f"seed {seed}: {bench.order()}"
        assert bench.engine.complaints == [], where
        if not deaf:
            assert bench.engine.empty, where
            assert not any(bench.registry.counts().values()), f"{where} {bench.registry.counts()}"
        assert sum(not record.parent_sid for record in bench.records) == 1, where
        told = Counter(record.sid for record in bench.records)
        assert max(told.values()) == 1, where
        assert not [note for note in bench.notes if note.data.get("audio") == "none"], where
        over = [note for note in bench.notes if note.kind is Kind.OUTCOME and note.data.get("event") == "dial"]
        dials = [note for note in bench.notes if note.data.get("verb") == "Dial"]
        assert len(over) == len(dials), where
        assert len(bench.web.of("action")) == sum(bool(note.data["action"]) for note in dials), where
        finals = [name for name in bench.order() if name.isdigit() and int(name) >= 200]
        assert len(finals) == 1, where
        assert len([bye for bye in bench.of(commands.SendBye) if bye.session == IN]) <= 1, where
        for action in bench.web.of("action"):
            status = action["DialCallStatus"]
            assert ("FailureReason" in action) == (status == "failed"), where
            assert status != "completed" or "200" in bench.order(), where
            assert "DialSipResponseCode" not in action or (int(action["DialSipResponseCode"]) >= 400 and status != "completed"), where
            assert action["DialCallDuration"] == "0" or status in ("completed", "failed"), where
            assert "DialCallSid" not in action or action["DialCallSid"] in told, where


class MonkeyWithManyCalls(Monkey):
    """Legs are joined, get other documents, and calls are made without a caller, at any moment."""

    joined = 0

    def document(self) -> str:
        if self.rng.random() < 0.4:
            return super().document()
        record, after = self.rng.choice(("", 'record="true"')), self.rng.choice(("", "<Play>/a.wav</Play>"))
        attributes = f'action="{ACTION}" timeLimit="{self.rng.choice((3, 100))}" {record}'
        return f"<Response><Dial {attributes}><Number>1234</Number></Dial>{after}</Response>"

    def step(self) -> None:
        if self.rng.random() < 0.85:
            super().step()
            return
        bench, application = self.bench, Application("9", ACTION, status_callback="http://app/status")
        registry = bench.registry
        legs = [leg for call in registry.calls.values() for leg in call.all_legs]
        match self.rng.randrange(4):
            case 0 if len(registry.calls) < 5:
                placed = Placed([Destination("sip:ann@192.0.2.8", "192.0.2.8", "sip:s@192.0.2.1")] * 2, "s", "ann")
                bench.act(registry.originate(placed, Party("s", "ann"), application, self.rng.choice((2.0, 20.0)), bench.now))
            case 1 if legs:
                bench.act(registry.redirect(self.rng.choice(legs).sid, application, bench.now))
            case _:
                answered = [(call, leg) for call in registry.calls.values() for leg in call.all_legs if leg.answered]
                pairs = [(one.sid, two.sid) for its, one in answered for other, two in answered if its is not other]
                if pairs:
                    actions = registry.join(*self.rng.choice(pairs), bench.now)
                    self.joined += bool(actions)
                    bench.act(actions)

    def leg(self) -> None:
        """They answer more often, and stay longer, than those of other monkeys."""
        bench = self.bench
        canceled = {cancel.session for cancel in bench.of(commands.SendCancel)}
        ringing = [invite.session for invite in bench.of(commands.SendInvite) if invite.session not in self.over | self.answered | canceled]
        if ringing and self.rng.random() < 0.6:
            session = self.rng.choice(ringing)
            self.answered.add(session)
            answer = self.description("192.0.2.8", offer=self.offered_to(session))
            bench.give(events.InviteAnswered(session, bench.response(0, 200, answer)))
        elif self.rng.random() < 0.5:
            super().leg()

    def stuck(self) -> list[str]:
        """Calls that nothing leads on, long after the last event of a peer: all but those who talk, and those who owe us an ACK."""
        self.end_recordings()
        self.bench.run(4000.0)
        self.end_recordings()
        self.bench.run(50.0)
        live = [call for call in self.bench.registry.calls.values() if call.ended is None and call.leg.state is not LegState.ANSWERING]
        return [call.sid for call in live if call.leg.bridge is None or not call.leg.bridge.talking]

    def finish(self) -> None:
        for _ in range(6):
            super().finish()


@pytest.mark.parametrize("first", range(0, 200, 50))
def test_any_order_of_joins_and_other_documents_leaves_nothing__call_control_md(first: int) -> None:
    joined = 0
    for seed in range(first, first + 50):
        monkey = MonkeyWithManyCalls(seed)
        for _ in range(monkey.rng.randint(20, 150)):
            monkey.step()
        bench, deaf = monkey.bench, monkey.bench.engine.deaf
        joined += monkey.joined
        assert deaf or monkey.stuck() == [], seed
        monkey.finish()
        if not deaf:
            assert bench.engine.empty and not any(bench.registry.counts().values()), (seed, bench.registry.counts())
        for once in (
            [record.sid for record in bench.records],
            bench.forgotten,
            [line.facts["call_sid"] for line in bench.logs if line.event == "call_started"],
            [line.facts["call_sid"] for line in bench.logs if line.event == "call_ended"],
            [bye.session for bye in bench.of(commands.SendBye)],
        ):
            assert len(set(once)) == len(once), seed
        over = [note for note in bench.notes if note.kind is Kind.OUTCOME and note.data.get("event") == "dial"]
        dials = [note for note in bench.notes if note.data.get("verb") == "Dial"]
        assert len(over) == len(dials), seed
        assert len(bench.web.of("action")) <= sum(bool(note.data["action"]) for note in dials), seed
    assert joined > 2


class MonkeyInRooms(MonkeyWithManyCalls):
    """Most documents are conferences; participants are held, muted, told things, sent out, and mixes are lost, at any moment."""

    in_rooms = 0

    def document(self) -> str:
        if self.rng.random() < 0.3:
            return super().document()
        attributes = self.rng.choice(("", 'startConferenceOnEnter="false"', 'endConferenceOnExit="true"', 'muted="true"', 'record="true"'))
        heard = self.rng.choice(("", 'waitUrl=""', 'waitUrl="/wait"', 'waitUrl="/wait.wav"', 'beepUrl="/bell.wav"', 'maxParticipants="2"'))
        room = f'<Conference {attributes} {heard} statusCallback="/room">{self.rng.choice(("blue", "blue", "red"))}</Conference>'
        return f'<Response><Dial action="{ACTION}" timeLimit="{self.rng.choice((3, 30, 100))}">{room}</Dial></Response>'

    def step(self) -> None:
        bench, rng = self.bench, self.rng
        registry, now = bench.registry, bench.now
        rooms = registry.conferences.rooms
        if rooms and len(registry.calls) < 6 and rng.random() < 0.2:
            placed = Placed([Destination("sip:ann@192.0.2.8", "192.0.2.8", "sip:s@192.0.2.1")], "s", "ann")
            bench.act(registry.originate(placed, Party("s", "ann"), Application("9", ACTION), 20.0, now))
        if not rooms or rng.random() < 0.6:
            super().step()
            return
        room = rng.choice(list(rooms.values()))
        call = rng.choice(room.members).call
        self.in_rooms += len(room.members) > 1
        match rng.randrange(7):
            case 0:
                bench.act(registry.kick(room.sid, call, now))
            case 1:
                bench.act(registry.mute(room.sid, call, rng.random() < 0.5, now))
            case 2 | 3:
                bench.act(registry.hold(room.sid, call, rng.choice((None, None, Hold(None), Hold("http://app/wait"))), now))
            case 4:
                bench.act(registry.announce(room.sid, rng.choice((ACTION, "http://app/a.wav")), "POST", now, rng.choice(("", call))))
            case 5:
                bench.engine.send(engine.Leave(mix=room.mix, stream=call), now)  # by a bug of its own
            case _ if rng.random() < 0.3:
                bench.act(registry.end_room(room.sid, now))
            case _:
                pass


@pytest.mark.parametrize("first", range(0, 200, 50))
def test_any_order_of_events_in_rooms_leaves_nothing__behaviour_2_10(first: int) -> None:
    in_rooms = 0
    for seed in range(first, first + 50):
        monkey = MonkeyInRooms(seed)
        for _ in range(monkey.rng.randint(20, 150)):
            monkey.step()
        bench, deaf = monkey.bench, monkey.bench.engine.deaf
        in_rooms += monkey.in_rooms
        assert deaf or monkey.stuck() == [], seed
        monkey.finish()
        if not deaf:
            assert bench.engine.empty and not any(bench.registry.counts().values()), (seed, bench.registry.counts())
        for once in ([record.sid for record in bench.records], bench.forgotten):
            assert len(set(once)) == len(once), seed
        over = [note for note in bench.notes if note.kind is Kind.OUTCOME and note.data.get("event") == "dial"]
        dials = [note for note in bench.notes if note.data.get("verb") == "Dial"]
        assert len(over) == len(dials), seed
        assert len(bench.web.of("action")) <= sum(bool(note.data["action"]) for note in dials), seed
        assert [text for text in bench.engine.complaints if "busy" in text] == [], seed
    assert in_rooms > 10
