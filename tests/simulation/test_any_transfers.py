"""Phones that transfer, hold, take over and hang up as they like: whatever they do, every call ends once and nothing is left.

A seed draws the wire, who calls whom, and what everybody does when. Afterwards: no session, stream, bridge, timer or subscription lives;
one record for each leg; at most one action for each Dial; and whoever talks, talks with somebody.
"""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Callable
from urllib.parse import quote

import pytest

from server.calls.effects import Fetch, Fetched
from server.calls.policy import Application
from sip.core import commands
from sip.core.commands import SessionId
from sip.core.refer import Refer
from sip.core.referring import ReferId, SendRefer
from tests.simulation.world import VOICE_URL, Phone, Script, World
from tests.support.descriptions import sdp

pytestmark = pytest.mark.simulation

SEEDS = max(100, int(os.environ.get("DIALPLANE_SEEDS", "600")) // 5)  # each costs several times one of the races
CHUNK = 100
TOLD = ("transferred", "joined", "transferring", "taking-over")
HOSTS = ("10.0.1.1", "10.0.1.2", "10.0.1.3", "10.0.1.4")
ACTIONS = (
    "call", "call", "refer", "refer", "refer", "refer", "attended", "attended", "attended", "foreign", "take-over", "take-over", "hold",
    "resume", "mood", "mood", "hang-up", "redirect", "end", "worker-dies",
)  # fmt: skip


class Story:
    def __init__(self, seed: int) -> None:
        self.rng = rng = random.Random(f"transfers {seed}")
        bad = rng.random() < 0.4
        self.world = world = World(
            seed,
            loss=rng.choice((0.0, 0.05, 0.2)) if bad else 0.0,
            duplicate=rng.choice((0.0, 0.2)) if bad else 0.0,
            delay=rng.choice((0.005, 0.05, 0.3)),
            reorder=rng.choice((0.0, 0.2)) if bad else 0.0,
            application=Application("2222", VOICE_URL, status_callback="http://app/status", refer_url="http://app/refer"),
            policy_changes={"transferor_s": rng.choice((0.0, 2.0, 20.0))},
        )
        self.phones = [world.phone(host, self._script(), extensions=(Refer(),)) for host in HOSTS]
        world.web.pages[VOICE_URL] = world.web.pages["http://app/refer"] = world.web.pages["http://app/next"] = self._document
        world.web.pages["http://app/action"] = rng.choice(("", "<Response><Pause length='1'/></Response>"))
        self._count = 0
        self.done: Counter[str] = Counter()

    def _script(self) -> Script:
        rng = self.rng
        hang_up = rng.uniform(0.0, 5.0) if rng.random() < 0.08 else None
        answer = None if rng.random() < 0.08 else rng.choice((0.1, 0.5, 1.2))
        return Script(rng.choice((None, 0.1)), answer, rng.choice((200, 200, 200, 200, 486)), hang_up_after=hang_up)

    def _document(self, request: Fetch) -> Fetched:
        rng = self.rng
        if rng.random() < 0.04:
            return Fetched(request.request, 500, url=request.url)
        nouns = "".join(f"<Sip>sip:x@{host}</Sip>" for host in rng.sample(HOSTS, rng.choice((1, 1, 2))))
        action = rng.choice(("", 'action="http://app/action"'))
        record = rng.choice(("", 'record="true"'))
        dial = f'<Dial {action} {record} timeout="{rng.choice((2, 8))}" timeLimit="{rng.choice((5, 40))}">{nouns}</Dial>'
        before = rng.choice(("", "", "<Pause length='1'/>", "<Hold/>", "<Say>x</Say>"))
        return self.world.web.answer(request, f"<Response>{before}{dial}</Response>")

    def tell(self) -> None:
        world, rng = self.world, self.rng
        at = world.now
        for _ in range(rng.choice((1, 2, 2, 3))):
            world.at(at, self._deed("call", rng.choice(self.phones)))
        at += 2.5
        for _ in range(rng.randint(4, 14)):
            at += rng.choice((0.0, 0.01, 0.3, 1.0, 3.0))
            world.at(at, self._deed(rng.choice(ACTIONS), rng.choice(self.phones)))
        world.at(at + 60, self._all_hang_up)
        world.at(at + 400, lambda: world.checkpoint(with_phones=world.loss == 0.0))
        world.at(at + 401, self._all_hang_up)

    def _deed(self, name: str, phone: Phone) -> Callable[[], None]:
        return lambda: self._act(name, phone)

    def _act(self, name: str, phone: Phone) -> None:
        world, rng = self.world, self.rng
        self._count += 1
        mine = sorted(phone.sessions)
        one = rng.choice(mine) if mine else None
        self.done[name] += 1
        match name:
            case "call":
                phone.call("2222", name=f"call-{self._count}")
            case "refer" if one is not None:
                phone.do(SendRefer(self._name(), one, f"sip:carol@{rng.choice(HOSTS)}", rng.choice(((), (("Refer-Sub", "false"),)))))
            case "attended" if one is not None:
                named = self._named(phone, rng.choice(mine))
                if named:
                    phone.do(SendRefer(self._name(), one, f"sip:x@{HOSTS[0]}?Replaces={quote(named, safe='')}"))
            case "foreign" if one is not None:
                other = rng.choice(self.phones)
                named = self._named(other, rng.choice(sorted(other.sessions))) if other.sessions else "x;to-tag=1;from-tag=2"
                if named:
                    phone.do(SendRefer(self._name(), one, f"sip:x@{HOSTS[0]}?Replaces={quote(named, safe='')}"))
            case "take-over":
                other = rng.choice(self.phones)
                named = self._named(other, rng.choice(sorted(other.sessions))) if other.sessions else None
                if named:
                    phone.call("2222", name=f"over-{self._count}", headers=(("Replaces", named),))
            case "hold" | "resume" if one is not None:
                body = sdp(phone.address.host).replace(b"a=sendrecv", b"a=sendonly" if name == "hold" else b"a=sendrecv")
                phone.do(commands.SendReinvite(one, body))
            case "hang-up" if one is not None:
                phone.bye(one)
            case "redirect" | "end":
                legs = [leg.sid for call in world.registry.calls.values() for leg in call.all_legs]
                if legs and name == "end":
                    world.act(world.registry.operator_end(rng.choice(legs), world.now))
                elif legs:
                    world.act(world.registry.redirect(rng.choice(legs), Application("", "http://app/next"), world.now))
            case "mood":
                phone.script = self._script()
            case "worker-dies" if rng.random() < 0.2:
                world.engine.die(world.now)
            case _:
                self.done[name] -= 1

    def _name(self) -> ReferId:
        return ReferId(f"refer-{self._count}")

    def _named(self, phone: Phone, session: SessionId) -> str | None:
        found = phone.endpoint._core.sessions.get(session)
        return None if found is None or found.dialog is None else phone.replaces(session)

    def _all_hang_up(self) -> None:
        for phone in self.world.phones.values():
            for session in sorted(phone.sessions):
                phone.do(commands.SendBye(session))


def check(seed: int) -> Counter[str]:
    story = Story(seed)
    world = story.world
    story.tell()
    world.run()
    assert world.left_over == [], f"seed {seed}"
    assert world.leaks() == [], f"seed {seed}"
    assert world.registry.counts()["transfers"] == 0, f"seed {seed}"
    sids = [record.sid for record in world.records]
    assert len(sids) == len(set(sids)), f"seed {seed}: a leg ended twice"
    begun = {note.call_sid for note in world.notes}
    assert set(world.forgotten) >= begun - {""}, f"seed {seed}: a call is remembered"
    dials = sum(note.data.get("verb") == "Dial" for note in world.notes)
    assert len(world.web.of("action")) <= dials, f"seed {seed}: more actions than Dials"
    for sid in begun:
        statuses = [parameters["CallStatus"] for parameters in world.web.of("status") if parameters["CallSid"] == sid]
        assert len(statuses) == len(set(statuses)), f"seed {seed}: a status was told twice"
    met = Counter(str(note.data["status"]) for note in world.notes if note.data.get("status") in TOLD)
    over = Counter(f"over {status}" for phone in story.phones for _, what, status in phone.told if what == "over")
    return met + over


@pytest.mark.parametrize("first", range(0, SEEDS, CHUNK))
def test_whoever_transfers_every_call_ends_once__behaviour_6(first: int) -> None:
    seeds = range(first, min(first + CHUNK, SEEDS))
    told: Counter[str] = Counter()
    for seed in seeds:
        told += check(seed)
    if len(seeds) == CHUNK:  # the stories must go somewhere, or the checks looked at nothing
        assert {"transferred", "transferring", "joined", "taking-over", "over 200"} <= set(told)
