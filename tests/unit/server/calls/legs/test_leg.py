"""One leg in either direction: durations, its one end, its one record, another home (behaviour 3.2; docs/call-control.md)."""

from __future__ import annotations

import pytest

from media import engine
from server.calls.legs.leg import Direction, Leg, LegState
from server.calls.records import By, CallEnded, CallRecord, Cause
from sip.core import commands, events
from sip.message import Headers, Request
from tests.support.descriptions import sdp
from tests.unit.server.calls.legs.legs import Legs, response

BYE = Request("BYE", "sip:x", Headers())


def test_an_inbound_leg_lasts_from_its_invite_and_an_outbound_one_from_its_answer__behaviour_3_2() -> None:
    legs = Legs()
    outbox = legs.outbox()
    inbound, outbound = legs.inbound(outbox), legs.outbound(outbox)
    for leg in (inbound.leg, outbound.leg):
        legs.open(leg)
    outbox.now += 1.0
    outbound.stream_opened()
    outbox.now += 2.9
    outbound.answered(events.InviteAnswered(outbound.leg.session, response(200, sdp("192.0.2.8"))))
    inbound.answer(())
    outbox.now += 5.5
    assert (inbound.leg.duration_s, inbound.leg.ring_duration_s) == (9, 3)
    assert (outbound.leg.duration_s, outbound.leg.ring_duration_s) == (5, 2)


@pytest.mark.parametrize("direction", ["inbound", "outbound"])
def test_a_leg_ends_once_and_writes_one_record(direction: str) -> None:
    legs = Legs()
    outbox = legs.outbox()
    pair = dict(zip(("inbound", "outbound"), legs.talking(outbox), strict=True))
    leg = pair[direction]
    outbox.drain()
    leg.end(By.APPLICATION, "the script is over", reason="Q.850;cause=16")
    leg.end(By.OPERATOR, "again")
    leg.finish(CallEnded(Cause.FAILED, By.SERVER))
    actions = outbox.drain()
    assert [a.reason for a in actions if isinstance(a, commands.SendBye)] == ["Q.850;cause=16"]
    assert len([a for a in actions if isinstance(a, engine.Close)]) == 1
    (record,) = [a for a in actions if isinstance(a, CallRecord)]
    assert (record.sid, record.ended) == (leg.sid, CallEnded(Cause.COMPLETED, By.APPLICATION, 200, "the script is over"))
    assert record.direction == ("inbound" if direction == "inbound" else "outbound-dial")
    assert record.parent_sid == ("" if direction == "inbound" else outbox.call_sid)
    assert not leg.gone
    leg.session_ended(events.SessionEnded(leg.session, events.EndCause.BYE_ANSWERED, response=response(200)))
    assert not leg.gone  # the stream is closing
    leg.media.closed()
    assert leg.gone


@pytest.mark.parametrize(
    ("direction", "cause", "ended"),
    [
        (Direction.INBOUND, events.EndCause.BYE_RECEIVED, (By.CALLER, 200)),
        (Direction.INBOUND, events.EndCause.ACK_TIMEOUT, (By.SERVER, 200)),
        (Direction.INBOUND, events.EndCause.DIALOG_GONE, (By.SERVER, 200)),
        (Direction.DIALLED, events.EndCause.BYE_RECEIVED, (By.CALLEE, 200)),
        (Direction.DIALLED, events.EndCause.DIALOG_GONE, (By.CALLEE, 481)),
        (Direction.DIALLED, events.EndCause.BYE_ANSWERED, (By.SERVER, 200)),
    ],
)
def test_who_ended_it_depends_on_the_direction(direction: Direction, cause: events.EndCause, ended: tuple[By, int]) -> None:
    legs = Legs()
    first, second = legs.talking(legs.outbox())
    leg = first if direction is Direction.INBOUND else second
    found = leg.session_ended(events.SessionEnded(leg.session, cause, request=BYE))
    assert (found.by, found.sip_status, found.cause) == (*ended, Cause.COMPLETED)


@pytest.mark.parametrize(
    ("direction", "command", "cause"), [("inbound", "SendReject", Cause.BUSY), ("outbound", "SendCancel", Cause.CANCELED)]
)
def test_an_unanswered_leg_is_refused_or_cancelled__rfc3261_9_1(direction: str, command: str, cause: Cause) -> None:
    legs = Legs()
    outbox = legs.outbox()
    inbound, outbound = legs.inbound(outbox), legs.outbound(outbox)
    legs.open(outbound.leg)
    outbound.stream_opened()
    leg: Leg = inbound.leg if direction == "inbound" else outbound.leg
    outbox.drain()
    leg.end(By.APPLICATION, "no", code=486)
    actions = outbox.drain()
    assert [type(a).__name__ for a in actions if isinstance(a, commands.Command)] == [command]
    assert leg.ended is not None and (leg.ended.cause, leg.state) == (cause, LegState.OVER)


def test_a_status_is_ringing_in_progress_and_then_how_it_ended__behaviour_1_10() -> None:
    legs = Legs()
    outbox = legs.outbox()
    inbound = legs.inbound(outbox)
    told = [inbound.leg.status]
    legs.open(inbound.leg)
    inbound.answer(())
    told.append(inbound.leg.status)
    inbound.leg.end(By.TIMER, "enough")
    assert [*told, inbound.leg.status] == ["ringing", "in-progress", "completed"]


def test_a_leg_with_another_home_speaks_through_that_and_keeps_its_parent() -> None:
    legs = Legs()
    old, new = legs.outbox(), legs.outbox()
    _, leg = legs.talking(old)
    parent = leg.parent_sid
    old.drain()
    leg.rehome(new)
    new.now += 4.0
    leg.media.play_tone("ringback")
    leg.end(By.OPERATOR, "moved and ended")
    assert old.drain() == []
    actions = new.drain()
    assert any(isinstance(action, engine.Play) for action in actions)
    (record,) = [action for action in actions if isinstance(action, CallRecord)]
    assert (record.parent_sid, record.duration_s) == (parent, 4)


def test_a_leg_of_which_nothing_lives_holds_nothing_that_holds_it() -> None:
    legs = Legs()
    _, leg = legs.talking(legs.outbox())
    opening = leg.opening
    leg.forget()
    assert leg.opening is not opening and not leg.early_media() and not leg.opening.late_offer
    leg.prepare_answer(())
    leg.answer()
    assert leg.preference(relay=True).codecs  # what was agreed is still known
