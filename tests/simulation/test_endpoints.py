"""Two SIP endpoints joined by a bad network, in virtual time: whatever happens, both end, once, and keep nothing.

Each seed is a network (loss, duplicates, reordering, delay, UDP or TCP with connections that break) and a plan of what the two
users do and when: answer, refuse or let ring, cancel, re-INVITE from either side (glare included), INFO, hang up from either
side or both at once. A failing seed is run again alone with `run(seed)`; `World.log` then tells the story.
"""

from __future__ import annotations

import random
from collections import Counter
from itertools import count

import pytest

from sip.core.commands import (
    AnswerRequest,
    Command,
    SendAnswer,
    SendBye,
    SendCancel,
    SendInvite,
    SendProvisional,
    SendReinvite,
    SendReject,
    SendRequest,
    SessionId,
)
from sip.core.endpoint import Endpoint
from sip.core.events import (
    CancelReceived,
    Dropped,
    InviteAnswered,
    InviteFailed,
    InviteReceived,
    OutOfDialogAnswered,
    OutOfDialogReceived,
    Output,
    RegistrationChanged,
    ReinviteAnswered,
    ReinviteReceived,
    RequestAnswered,
    RequestReceived,
    SessionEnded,
    Traced,
)
from sip.core.flows import Address, CloseConnection, Flow, Listener, Resolve, Transmit
from sip.settings import SipSettings
from tests.support.wire import Wire, mirrored

ALICE, BOB = Address("192.0.2.1", 5060), Address("192.0.2.2", 5060)
SEEDS = 400
BATCH = 50

pytestmark = pytest.mark.simulation


class World:
    """Carries out what the endpoints ask for, and plays their users."""

    def __init__(self, seed: int) -> None:
        self.random = rng = random.Random(seed)
        self.tcp = rng.random() < 0.25
        self.breaks = rng.choice([0.0, 0.0, 0.1]) if self.tcp else 0.0
        self.wire = Wire(
            seed,
            loss=rng.choice([0.0, 0.1, 0.3]),
            duplicate=rng.choice([0.0, 0.2]),
            delay=(0.005, rng.choice([0.02, 0.3, 0.9])),
            reorder=rng.choice([0.0, 0.3]),
        )
        self.now = 0.0
        self.ends = {at: self._endpoint(at, seed) for at in (ALICE, BOB)}
        self.log: list[tuple[float, Address, object]] = []
        self.opened: Counter[tuple[Address, SessionId]] = Counter()
        self.ended: dict[tuple[Address, SessionId], Output] = {}
        self.cancelled: set[SessionId] = set()
        self._todo: list[tuple[float, int, Address, Command]] = []
        self._serial = count(1)
        self._connections: dict[int, Flow] = {}  # open ones, as the side that opened them sees them

    def _endpoint(self, at: Address, seed: int) -> Endpoint:
        return Endpoint(SipSettings(), (Listener("udp", at, at), Listener("tcp", at, at)), random.Random(f"{seed} {at}").randbytes)

    # --- the network ----------------------------------------------------------------------------------------------

    def apply(self, at: Address, outputs: list[Output]) -> None:
        for output in outputs:
            match output:
                case Transmit(flow, data):
                    self._transmit(at, flow, data)
                case CloseConnection(flow):
                    self._break(flow.connection)
                case Traced():
                    self.log.append((self.now, at, f"{output.direction.value} {output.summary}{' again' if output.repeated else ''}"))
                case Dropped():
                    self.log.append((self.now, at, output))
                case Resolve():
                    raise AssertionError("nothing here has a name")
                case _:
                    self.log.append((self.now, at, output))
                    self._event(at, output)

    def _transmit(self, at: Address, flow: Flow, data: bytes) -> None:
        if flow.reliable:
            opened = self._connect(at, flow)
            if opened is None:
                self.apply(at, self.ends[at].transmit_failed(flow, "refused", self.now))
                return
            flow = opened
        self.wire.send(self.now, flow, data)

    def _connect(self, at: Address, flow: Flow) -> Flow | None:
        if flow.connection:
            known = self._connections.get(flow.connection)
            return flow if known is not None else None
        for known in self._connections.values():
            for seen in (known, mirrored(known)):
                if seen.local.host == at.host and seen.remote == flow.remote:
                    return seen
        if self.random.random() < self.breaks:
            return None
        number = next(self._serial)
        opened = self._connections[number] = Flow("tcp", Address(at.host, 40000 + number), flow.remote, number)
        self.apply(at, self.ends[at].connection_opened(opened, self.now))
        self.apply(flow.remote, self.ends[flow.remote].connection_opened(mirrored(opened), self.now))
        return opened

    def _break(self, number: int) -> None:
        flow = self._connections.pop(number, None)
        if flow is not None:
            opener = ALICE if flow.local.host == ALICE.host else BOB
            other = BOB if opener is ALICE else ALICE
            self.apply(opener, self.ends[opener].connection_lost(flow, self.now))
            self.apply(other, self.ends[other].connection_lost(mirrored(flow), self.now))

    def _arrive(self, flow: Flow, data: bytes) -> None:
        if flow.reliable and flow.connection not in self._connections:
            return
        at = ALICE if flow.local.host == ALICE.host else BOB
        self.apply(at, self.ends[at].receive(data, flow, self.now))

    # --- the users ------------------------------------------------------------------------------------------------

    def later(self, least: float, most: float, at: Address, command: Command) -> None:
        self._todo.append((self.now + self.random.uniform(least, most), next(self._serial), at, command))

    def _event(self, at: Address, event: Output) -> None:
        assert not isinstance(event, (Transmit, CloseConnection, Resolve, Traced, Dropped))
        assert not isinstance(event, (OutOfDialogReceived, OutOfDialogAnswered, RegistrationChanged))
        key = (at, event.session)
        assert key not in self.ended, f"{event} after {self.ended.get(key)}"
        rng = self.random
        match event:
            case InviteReceived(session=session):
                self.opened[key] += 1
                self.later(0, 0.5, at, SendProvisional(session, 180))
                if rng.random() < 0.75:
                    self.later(0, 6, at, SendAnswer(session, b"answer"))
                else:
                    self.later(0, 6, at, SendReject(session, 486))
                self.later(50, 60, at, SendBye(session))  # nobody talks for ever
            case CancelReceived(session=session):
                self.later(0, 0.2, at, SendReject(session, 487))
            case InviteAnswered(session=session):
                assert session not in self.cancelled, "answered after SendCancel"
                self._talk(at, session)
            case InviteFailed() | SessionEnded():
                self.ended[key] = event
            case ReinviteReceived(session=session, transaction=transaction):
                status = 200 if rng.random() < 0.8 else 488
                self.later(0, 0.4, at, AnswerRequest(transaction, status, body=b"answer" if status == 200 else b""))
            case RequestReceived(session=session, transaction=transaction):
                self.later(0, 0.4, at, AnswerRequest(transaction, 200))
            case ReinviteAnswered() | RequestAnswered():
                pass
            case _:
                if at is BOB:
                    self._talk(at, event.session)

    def _talk(self, at: Address, session: SessionId) -> None:
        rng = self.random
        for _ in range(rng.choice([0, 0, 1, 2])):
            self.later(0, 5, at, SendReinvite(session, b"offer"))
        if rng.random() < 0.3:
            self.later(0, 5, at, SendRequest(session, "INFO", b"Signal=1", "application/dtmf-relay"))
        if rng.random() < 0.6:
            self.later(0, 10, at, SendBye(session))

    # --- time -----------------------------------------------------------------------------------------------------

    def run(self) -> None:
        rng = self.random
        for number in range(rng.choice([1, 1, 3])):
            session = SessionId(f"call-{number}")
            uri = f"sip:bob@{BOB}" + (";transport=tcp" if self.tcp else "")
            self.later(0, 1, ALICE, SendInvite(session, uri, f"sip:alice@{ALICE}", b"offer"))
            if rng.random() < 0.4:
                self.later(1, 8, ALICE, SendCancel(session))
            self.later(50, 60, ALICE, SendBye(session))
        while (now := self._next()) is not None:
            assert now >= self.now
            assert now < 1000, "this never ends"
            self.now = now
            for flow, data in self.wire.due(now):
                self._arrive(flow, data)
            for at, end in self.ends.items():
                self.apply(at, end.timeout(now))
            while self._todo and min(self._todo)[0] <= now:
                item = min(self._todo)
                self._todo.remove(item)
                self._command(item[2], item[3])
            if self._connections and rng.random() < self.breaks / 10:
                self._break(rng.choice(list(self._connections)))
        for number in list(self._connections):
            self._break(number)

    def _command(self, at: Address, command: Command) -> None:
        if isinstance(command, SendInvite):
            self.opened[(at, command.session)] += 1
        if isinstance(command, SendCancel):
            self.cancelled.add(command.session)
        self.log.append((self.now, at, command))
        self.apply(at, self.ends[at].command(command, self.now))

    def _next(self) -> float | None:
        times = [
            self.wire.next_deadline(),
            *(end.next_deadline() for end in self.ends.values()),
            min(self._todo)[0] if self._todo else None,
        ]
        return min((at for at in times if at is not None), default=None)


def run(seed: int) -> World:
    world = World(seed)
    world.run()
    return world


def expect_one_end(world: World, seed: int) -> None:
    assert set(world.opened) == set(world.ended), f"seed {seed}: a session without an end"
    for at, end in world.ends.items():
        assert not any(end.counts().values()), f"seed {seed}: {at} keeps {end.counts()}"


@pytest.mark.parametrize("batch", range(SEEDS // BATCH))
def test_whatever_the_network_does_both_sides_end_once_and_nothing_is_left(batch: int) -> None:
    for seed in range(batch * BATCH, (batch + 1) * BATCH):
        world = run(seed)
        expect_one_end(world, seed)
        assert set(world.opened.values()) == {1}, f"seed {seed}: a session opened twice"


def test_the_plans_reach_what_they_are_meant_to_reach() -> None:
    """A simulation that never meets glare or a crossing CANCEL would prove nothing."""
    seen: Counter[str] = Counter()
    for seed in range(150):
        for _, _, entry in run(seed).log:
            match entry:
                case InviteFailed(cause=cause) | SessionEnded(cause=cause):
                    seen[cause.value] += 1
                case ReinviteAnswered() | RequestAnswered() | CancelReceived():
                    seen[type(entry).__name__] += 1
                case str():
                    seen[" ".join(entry.split()[:2])] += 1
                    seen["again"] += entry.endswith(" again")
                case _:
                    pass
    for wanted in (
        "response",
        "canceled",
        "bye_received",
        "bye_answered",
        "rejected",
        "ReinviteAnswered",
        "RequestAnswered",
        "CancelReceived",
        "in 491",
        "in 487",
        "in CANCEL",
        "again",
    ):
        assert seen[wanted] > 3, f"{wanted}: {seen[wanted]}"


def test_a_perfect_network_carries_every_call() -> None:
    world = World(1)
    world.tcp, world.breaks = False, 0.0
    world.wire = Wire(1, delay=0.01)
    world.later(0, 0, ALICE, SendInvite(SessionId("one"), f"sip:bob@{BOB}", f"sip:alice@{ALICE}", b"offer"))
    events = []
    while (now := world._next()) is not None and now < 200:
        world.now = now
        for flow, data in world.wire.due(now):
            world._arrive(flow, data)
        for at, end in world.ends.items():
            world.apply(at, end.timeout(now))
        while world._todo and min(world._todo)[0] <= now:
            item = min(world._todo)
            world._todo.remove(item)
            world._command(item[2], item[3])
    events = [entry for _, _, entry in world.log if isinstance(entry, str)]
    assert not any(entry.endswith("again") for entry in events)
    assert len(world.ended) == 2
