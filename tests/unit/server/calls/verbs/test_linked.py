"""Two legs of two calls that talk with each other: either end is the end of both (behaviour.md 6)."""

from __future__ import annotations

from server.calls.bridge import Bridge
from server.calls.records import By
from server.calls.signals import TransferSettled, Unlinked
from server.calls.targets import CallerIdentity
from server.calls.verbs.linked import RunningLinked
from server.calls.verbs.running import HungUp, Stage, Stop
from sip.core.referring import ReferId
from tests.unit.server.calls.legs.legs import Legs


def linked() -> tuple[RunningLinked, Stage, Bridge]:
    legs = Legs()
    outbox = legs.outbox()
    stage = Stage(outbox, legs.inbound(outbox).leg, None, CallerIdentity("bob", None))  # type: ignore[arg-type]
    bridge = Bridge(outbox)
    verb = RunningLinked(stage, "CA2", bridge)
    verb.start()
    return verb, stage, bridge


def test_a_call_that_stops_tells_the_other__behaviour_6() -> None:
    verb, stage, bridge = linked()
    verb.stop(Stop(By.CALLER, reason="Q.850;cause=16"))
    assert stage.outbox.take_signals() == [Unlinked("CA2", "Q.850;cause=16")]
    assert (verb.partner, bridge.holds(stage.leg)) == ("", False)
    assert verb.result is not None


def test_a_call_whose_other_has_left_ends_with_the_reason__behaviour_6() -> None:
    verb, stage, _ = linked()
    verb.signalled(TransferSettled(ReferId("r"), False))
    before = verb.result
    verb.signalled(Unlinked("CA1", "Q.850;cause=16"))
    assert (before, verb.result) == (None, HungUp("The other party has left", "Q.850;cause=16"))
    assert stage.outbox.take_signals() == []


def test_a_call_that_is_taken_out_tells_nobody__behaviour_6() -> None:
    verb, stage, bridge = linked()
    verb.leave()
    verb.stop(Stop(By.OPERATOR, abandoned=True))
    assert stage.outbox.take_signals() == []
    assert not bridge.holds(stage.leg)
