"""Any order of joins, other documents and conferences, of many calls at once, leaves none of them hanging and each told once.

The monkey of `test_any_order`, with operators who move legs between calls.
"""

from __future__ import annotations

import pytest

from media import engine
from server.calls.conferences.room import Hold
from server.calls.destination import Destination, Placed
from server.calls.effects import Kind
from server.calls.legs.leg import LegState
from server.calls.legs.party import Party
from server.calls.policy import Application
from sip.core import commands, events
from tests.unit.server.calls.bench import ACTION
from tests.unit.server.calls.monkey import Monkey


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


def expect_rest(monkey: MonkeyWithManyCalls, seed: int) -> None:
    """The monkey has done enough: nothing is stuck, nothing is left once what is owed has come, and each thing was told once."""
    bench, deaf = monkey.bench, monkey.bench.engine.deaf
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


@pytest.mark.parametrize("first", range(0, 200, 50))
def test_any_order_of_joins_and_other_documents_leaves_nothing__call_control_md(first: int) -> None:
    joined = 0
    for seed in range(first, first + 50):
        monkey = MonkeyWithManyCalls(seed)
        for _ in range(monkey.rng.randint(20, 150)):
            monkey.step()
        joined += monkey.joined
        expect_rest(monkey, seed)
        bench = monkey.bench
        for once in (
            [line.facts["call_sid"] for line in bench.logs if line.event == "call_started"],
            [line.facts["call_sid"] for line in bench.logs if line.event == "call_ended"],
            [bye.session for bye in bench.of(commands.SendBye)],
        ):
            assert len(set(once)) == len(once), seed
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
        in_rooms += monkey.in_rooms
        expect_rest(monkey, seed)
        assert [text for text in monkey.bench.engine.complaints if "busy" in text] == [], seed
    assert in_rooms > 10
