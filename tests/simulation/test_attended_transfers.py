"""Two calls of one party whose others meet (REFER with Replaces, RFC 5589 7), and INVITEs that take a leg over (RFC 3891).

Whole SIP endpoints, in virtual time. Bob is the one who transfers: he talks with ann and with carol, as caller or as callee.
"""

from __future__ import annotations

from urllib.parse import quote

import pytest

from server.calls.effects import Fetch, Fetched
from server.calls.policy import Application, Refusal
from server.calls.records import Cause
from sip.core.commands import SendCancel, SessionId
from sip.core.refer import Refer
from sip.core.referring import ReferId, SendRefer
from tests.simulation.test_legs import at_rest
from tests.simulation.world import CALLER, VOICE_URL, Phone, Script, World

pytestmark = pytest.mark.simulation

ANN, CAROL, DAVE = "10.0.1.1", "10.0.1.3", "10.0.1.4"
ROLES = [("caller", "caller"), ("caller", "callee"), ("callee", "caller"), ("callee", "callee")]


class Scene:
    """first, second: bob's role in his call with ann, and in that with carol."""

    def __init__(self, first: str, second: str, seed: int = 1, **given: object) -> None:
        application = Application("2222", VOICE_URL, refer_url="http://app/refer")
        self.world = world = World(seed, application=application, **given)  # type: ignore[arg-type]
        script = Script(answer_after=0.5)
        self.bob = world.caller = world.phone(CALLER.host, script, extensions=(Refer(),))
        self.ann = world.phone(ANN, script, extensions=(Refer(),))
        self.carol = world.phone(CAROL, script, extensions=(Refer(),))
        world.web.pages[VOICE_URL] = self._document
        self._call(first, self.ann, "to-ann", 0.0)
        self._call(second, self.carol, "to-carol", 2.0)

    def _document(self, request: Fetch) -> Fetched:
        host = dict(request.parameters)["To"].replace("-", ".")
        body = f'<Response><Dial action="http://app/after"><Sip>sip:{host}@{host}</Sip></Dial></Response>'
        return self.world.web.answer(request, body)

    def _call(self, role: str, other: Phone, name: str, after: float) -> None:
        one, two = (self.bob, other) if role == "caller" else (other, self.bob)
        number = two.address.host.replace(".", "-")
        self.world.at(self.world.now + after, lambda: one.call(number, name=name))

    def sessions(self) -> tuple[str, str]:
        """Bob's, with ann and with carol."""
        endpoint = self.bob.endpoint
        theirs = [name for name in sorted(self.bob.sessions) if not name.startswith("to-")]
        names = {"to-ann": None, "to-carol": None} | {name: name for name in self.bob.sessions if name.startswith("to-")}
        names = {key: value if value is not None else theirs.pop(0) for key, value in names.items()}
        assert all(SessionId(name or "") in endpoint._core.sessions for name in names.values())
        return str(names["to-ann"]), str(names["to-carol"])

    def transfer(self, *, swapped: bool = False) -> None:
        """In the call with ann, to who is in that with carol."""
        one, two = self.sessions()[:: -1 if swapped else 1]
        target = f"sip:somebody@{CAROL}?Replaces={quote(self.bob.replaces(two), safe='')}"
        self.bob.do(SendRefer(ReferId("attended"), SessionId(one), target))

    def statuses(self) -> list[tuple[str, int]]:
        return [(what, status) for _, what, status in self.bob.told]


def end(scene: Scene, phone: Phone) -> None:
    for session in sorted(phone.sessions):
        phone.bye(session)
    at_rest(scene.world)


@pytest.mark.parametrize("swapped", [False, True], ids=["from ann's call", "from carol's call"])
@pytest.mark.parametrize(("first", "second"), ROLES)
def test_the_two_others_meet_and_the_transferor_is_let_go__transfer_7(first: str, second: str, swapped: bool) -> None:
    scene = Scene(first, second)
    world = scene.world
    world.run(until=6.0)
    assert len(world.engine.bridges) == 2
    scene.transfer(swapped=swapped)
    world.run(until=3.0)
    assert scene.statuses() == [("answer", 202), ("notify", 100), ("over", 200)]
    assert len(world.engine.bridges) == 1
    assert (len(scene.bob.sessions), len(scene.ann.sessions), len(scene.carol.sessions)) == (0, 1, 1)
    met = {sid for pair in world.engine.bridges.values() for sid in pair}
    assert {world.engine.connects[sid].remote_address for sid in met} == {ANN, CAROL}
    end(scene, scene.ann)
    assert not scene.carol.sessions, "who is left alone is hung up"
    assert [record.ended.cause for record in world.records] == [Cause.COMPLETED] * 4
    assert world.web.of("action") == []


def test_nobody_hears_a_gap_longer_than_the_commands_take__transfer_7() -> None:
    scene = Scene("caller", "caller")
    world = scene.world
    world.run(until=6.0)
    before = set(world.engine.bridges)
    scene.transfer()
    parted: float | None = None
    for _ in range(2000):
        if parted is None and not before <= set(world.engine.bridges):
            parted = world.now
        if set(world.engine.bridges) - before:
            break
        world.run(until=0.001)
    assert parted is not None
    assert world.now - parted <= 0.002


@pytest.mark.parametrize("who", ["ann", "carol"])
def test_either_of_those_who_met_ends_it_for_both__transfer_7(who: str) -> None:
    scene = Scene("callee", "callee")
    scene.world.run(until=6.0)
    scene.transfer()
    scene.world.run(until=2.0)
    end(scene, scene.ann if who == "ann" else scene.carol)
    assert not scene.ann.sessions and not scene.carol.sessions


@pytest.mark.parametrize("text", ["nothing;to-tag=1;from-tag=2", "{call_id};to-tag=x;from-tag={local}"])
def test_a_dialog_that_we_do_not_have_is_refused_and_the_call_goes_on__transfer_7(text: str) -> None:
    scene = Scene("caller", "caller")
    scene.world.run(until=6.0)
    one, two = scene.sessions()
    dialog = scene.bob.endpoint._core.sessions[SessionId(two)].dialog
    assert dialog is not None
    named = quote(text.format(call_id=dialog.call_id, local=dialog.local_tag), safe="")
    scene.bob.do(SendRefer(ReferId("wrong"), SessionId(one), f"sip:x@{CAROL}?Replaces={named}"))
    scene.world.run(until=2.0)
    assert scene.statuses() == [("answer", 404)]
    assert len(scene.world.engine.bridges) == 2
    end(scene, scene.bob)


def test_a_call_is_not_joined_with_itself__transfer_7() -> None:
    scene = Scene("caller", "caller")
    scene.world.run(until=6.0)
    one, _ = scene.sessions()
    named = quote(scene.bob.replaces(one), safe="")
    scene.bob.do(SendRefer(ReferId("itself"), SessionId(one), f"sip:x@{CAROL}?Replaces={named}"))
    scene.world.run(until=2.0)
    assert scene.statuses() == [("answer", 404)]
    end(scene, scene.bob)


def test_a_consultation_that_nobody_has_answered_is_not_joined__transfer_7() -> None:
    scene = Scene("caller", "caller")
    scene.carol.script = Script(answer_after=None)
    scene.world.run(until=6.0)
    one, _ = scene.sessions()
    dialog = next(iter(scene.bob.endpoint._core.sessions[SessionId("to-carol")]._early.values()))  # type: ignore[attr-defined]
    named = quote(f"{dialog.call_id};to-tag={dialog.remote_tag};from-tag={dialog.local_tag}", safe="")
    scene.bob.do(SendRefer(ReferId("early"), SessionId(one), f"sip:x@{CAROL}?Replaces={named}"))
    scene.world.run(until=2.0)
    assert scene.statuses() == [("answer", 404)]
    scene.bob.do(SendCancel(SessionId("to-carol")))
    end(scene, scene.bob)


@pytest.mark.parametrize("who", ["ann", "carol"])
@pytest.mark.parametrize(("first", "second"), ROLES)
def test_who_met_can_transfer_again__transfer_7(first: str, second: str, who: str) -> None:
    scene = Scene(first, second)
    world = scene.world
    dave = world.phone(DAVE, Script(answer_after=0.5))
    world.web.pages["http://app/refer"] = f"<Response><Dial><Sip>sip:dave@{DAVE}</Sip></Dial></Response>"
    world.run(until=6.0)
    scene.transfer()
    world.run(until=2.0)
    one, other = (scene.ann, scene.carol) if who == "ann" else (scene.carol, scene.ann)
    one.refer(f"sip:dave@{DAVE}")
    world.run(until=4.0)
    assert [(what, status) for _, what, status in one.told][-1] == ("over", 200)
    assert (len(one.sessions), len(other.sessions), len(dave.sessions)) == (0, 1, 1)
    end(scene, dave)
    assert not other.sessions


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize(("first", "second"), ROLES)
def test_an_attended_transfer_over_a_bad_wire_ends_once_for_everybody__transfer_7(first: str, second: str, seed: int) -> None:
    scene = Scene(first, second, seed, loss=0.12, duplicate=0.1, reorder=0.1)
    world = scene.world
    world.run(until=12.0)
    if len(world.engine.bridges) == 2:
        scene.transfer(swapped=bool(seed % 2))
    world.run(until=20.0)
    for phone in (scene.ann, scene.carol, scene.bob):
        for session in sorted(phone.sessions):
            phone.bye(session)
    at_rest(world)
    sids = [record.sid for record in world.records]
    assert len(sids) == len(set(sids))


# --- INVITE with Replaces ---------------------------------------------------------------------------------------------


def take_over(scene: Scene, old: Phone, session: str, **given: object) -> Phone:
    """Dave asks for the place of `old`."""
    dave = scene.world.phone(DAVE, extensions=(Refer(),))
    dave.call("2222", headers=(("Replaces", old.replaces(session)),), **given)  # type: ignore[arg-type]
    return dave


def only(phone: Phone) -> str:
    (session,) = phone.sessions
    return str(session)


@pytest.mark.parametrize("first", ["caller", "callee"])
@pytest.mark.parametrize("who", ["ann", "bob"])
def test_an_invite_takes_a_leg_over_and_the_old_one_is_hung_up__transfer_12(first: str, who: str) -> None:
    scene = Scene(first, "caller")
    world = scene.world
    world.run(until=1.8)
    old, other = (scene.ann, scene.bob) if who == "ann" else (scene.bob, scene.ann)
    dave = take_over(scene, old, only(old))
    world.run(until=0.15)
    assert [name for _, name, _ in dave.log] == ["answered"]
    world.run(until=10.0)
    assert not old.sessions - {SessionId("to-carol")}
    assert len(dave.sessions) == 1 and other.sessions
    pairs = [{world.engine.connects[sid].remote_address for sid in pair} for pair in world.engine.bridges.values()]
    assert {DAVE, other.address.host} in pairs
    for phone in (dave, scene.bob):
        for session in sorted(phone.sessions):
            phone.bye(session)
    at_rest(world)
    assert not other.sessions
    sids = [record.sid for record in world.records]
    assert len(sids) == len(set(sids))


def test_a_leg_that_talks_with_nobody_cannot_be_taken_over__transfer_12() -> None:
    scene = Scene("caller", "caller")
    scene.ann.script = Script(answer_after=None)
    scene.world.web.pages[VOICE_URL] = "<Response><Say>Hello</Say><Pause length='30'/></Response>"
    scene.world.run(until=1.5)
    dave = take_over(scene, scene.bob, "to-ann")
    scene.world.run(until=2.0)
    assert dave.statuses() == [603]
    end(scene, scene.bob)


def test_a_dialog_that_was_ended_cannot_be_taken_over__transfer_12() -> None:
    scene = Scene("caller", "caller")
    world = scene.world
    world.run(until=1.8)
    named = scene.ann.replaces(only(scene.ann))
    scene.ann.bye(SessionId(only(scene.ann)))
    world.run(until=1.0)
    dave = world.phone(DAVE)
    dave.call("2222", headers=(("Replaces", named),))
    world.run(until=2.0)
    assert dave.statuses() == [603]
    end(scene, scene.bob)


def test_a_stranger_takes_nothing_over__transfer_12() -> None:
    scene = Scene("caller", "caller")
    world = scene.world
    world.run(until=1.8)
    world.application = Refusal(403, "Forbidden", "nobody knows it", stranger=True)
    dave = take_over(scene, scene.ann, only(scene.ann))
    world.run(until=0.1)
    assert dave.statuses() == [403]
    assert scene.ann.sessions
    end(scene, scene.bob)


def test_who_gives_up_before_it_was_answered_takes_nothing_over__transfer_12() -> None:
    scene = Scene("caller", "caller")
    world = scene.world
    world.engine._delay_s = 0.5
    world.run(until=1.9)
    dave = take_over(scene, scene.ann, only(scene.ann))
    world.at(world.now + 0.1, dave.cancel)
    world.run(until=3.0)
    assert dave.statuses()[-1:] == [487]
    assert scene.ann.sessions
    for session in sorted(scene.bob.sessions):
        scene.bob.bye(session)
    at_rest(world)


@pytest.mark.parametrize("who", ["ann", "bob"])
def test_a_leg_that_hangs_up_meanwhile_is_not_taken_over__transfer_12(who: str) -> None:
    scene = Scene("caller", "caller")
    world = scene.world
    world.run(until=1.9)
    old = scene.ann
    dave = take_over(scene, old, only(old))
    gone = scene.ann if who == "ann" else scene.bob
    for session in sorted(gone.sessions):
        gone.bye(session)
    world.run(until=3.0)
    for phone in (dave, scene.bob, scene.ann, scene.carol):
        for session in sorted(phone.sessions):
            phone.bye(session)
    at_rest(world)
    assert not dave.sessions


@pytest.mark.parametrize("seed", range(10))
def test_taking_over_on_a_bad_wire_ends_once_for_everybody__transfer_12(seed: int) -> None:
    scene = Scene("caller", "callee", seed, loss=0.12, duplicate=0.1, reorder=0.1)
    world = scene.world
    world.run(until=12.0)
    old = scene.ann if seed % 2 else scene.carol
    if old.sessions and len(world.engine.bridges) == 2:
        take_over(scene, old, only(old))
    world.run(until=30.0)
    for phone in world.phones.values():
        for session in sorted(phone.sessions):
            phone.bye(session)
    at_rest(world)
    sids = [record.sid for record in world.records]
    assert len(sids) == len(set(sids))
