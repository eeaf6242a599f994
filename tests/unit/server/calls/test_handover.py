"""What is told of a transfer under way: progress once each, the end once."""

from __future__ import annotations

from server.calls.handover import Handover
from server.calls.signals import TransferSettled
from sip.core.referring import NotifyRefer, ReferId
from tests.unit.server.calls.legs.legs import Legs

REFER = ReferId("r")


def test_progress_is_told_when_it_is_news__rfc3515_2_4_5() -> None:
    outbox, handover = Legs().outbox(), Handover(REFER)
    for status in (100, 180, 180, 183):
        handover.progress(outbox, status)
    assert outbox.drain() == [NotifyRefer(REFER, 180), NotifyRefer(REFER, 183)]


def test_the_end_is_told_once_by_whoever_is_first__behaviour_6() -> None:
    outbox, handover = Legs().outbox(), Handover(REFER)
    handover.settle(outbox, 486, back=True)
    handover.settle(outbox, 200)
    handover.progress(outbox, 180)
    assert outbox.drain() == [NotifyRefer(REFER, 486, final=True)]
    assert outbox.take_signals() == [TransferSettled(REFER, True)]
