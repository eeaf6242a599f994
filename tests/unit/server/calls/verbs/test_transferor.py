"""Who has handed its call over waits, and is let go (behaviour 0.10)."""

from __future__ import annotations

from server.calls.handover import Handover
from server.calls.records import By
from server.calls.signals import TransferSettled, Unlinked
from server.calls.targets import CallerIdentity
from server.calls.verbs.running import Finished, HungUp, Stage, Stop
from server.calls.verbs.transferor import RunningTransferor
from sip.core.referring import NotifyRefer, ReferId
from tests.unit.server.calls.legs.legs import Legs

REFER = ReferId("r")


def waiting() -> tuple[RunningTransferor, Handover, Stage]:
    legs = Legs()
    outbox = legs.outbox()
    stage = Stage(outbox, legs.inbound(outbox).leg, None, CallerIdentity("bob", None))  # type: ignore[arg-type]
    handover = Handover(REFER)
    verb = RunningTransferor(stage, handover)
    verb.start()
    outbox.drain()
    return verb, handover, stage


def test_it_is_let_go_when_its_transfer_is_settled__behaviour_0_10() -> None:
    verb, _, _ = waiting()
    verb.signalled(TransferSettled(ReferId("another"), False))
    verb.signalled(Unlinked("CA1", None))
    assert verb.result is None
    verb.signalled(TransferSettled(REFER, False))
    assert verb.result == HungUp("The call was transferred")


def test_it_is_let_go_in_time_and_told_what_is_known__behaviour_0_10() -> None:
    verb, handover, stage = waiting()
    assert verb.deadline == stage.outbox.now + stage.outbox.policy.transferor_s
    handover.fetched = True
    verb.timeout()
    assert isinstance(verb.result, HungUp)
    assert stage.outbox.drain() == [NotifyRefer(REFER, 200, final=True)]


def test_who_hangs_up_cannot_have_the_call_back__behaviour_6() -> None:
    verb, handover, stage = waiting()
    verb.stop(Stop(By.CALLER))
    assert (verb.result, handover.present, stage.outbox.drain()) == (Finished(), False, [])
