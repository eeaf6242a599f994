"""A new call brings along what was said before it was one."""

from __future__ import annotations

from sip.core.events import Direction, InviteReceived, Traced
from sip.core.prelude import MAX_BYTES, MAX_CALL_IDS, MAX_MESSAGES
from sip.message import Response, build_message
from tests.support.core import UDP, Core, ack, invite, request


def seen(event: InviteReceived) -> list[tuple[str, str]]:
    return [(one.direction.value, one.summary.split()[0]) for one in event.traces]


def test_a_new_call_carries_its_invite_and_our_100() -> None:
    core = Core()
    core.give(invite())
    event = core.last(InviteReceived)
    assert seen(event) == [("in", "INVITE"), ("out", "100")]
    assert {one.session for one in event.traces} == {event.session}
    assert list(event.traces) == core.all(Traced), "each has come out by itself as well"


def test_a_new_call_carries_the_refusals_before_it() -> None:
    core = Core()
    core.give(invite(headers=[("Require", "100rel")]))
    refusal = core.sent()[0].message
    assert isinstance(refusal, Response)
    core.give(ack(refusal, branch="z9hG4bKpeer1"))
    core.give(invite(branch="z9hG4bK2", cseq=2))
    event = core.last(InviteReceived)
    assert seen(event) == [("in", "INVITE"), ("out", "420"), ("in", "ACK"), ("in", "INVITE"), ("out", "100")]
    assert [one.session for one in event.traces] == [None, None, None, event.session, event.session]
    core.give(invite(branch="z9hG4bK3", call_id="another"))
    assert seen(core.last(InviteReceived)) == [("in", "INVITE"), ("out", "100")]


def test_a_new_call_carries_the_broken_invite_before_it() -> None:
    core = Core()
    core.give(build_message(invite()).replace(b"Content-Length: ", b"Content-Length: 9"))
    core.give(invite(branch="z9hG4bK2", cseq=2))
    assert seen(core.last(InviteReceived)) == [("in", "INVITE"), ("out", "400"), ("in", "INVITE"), ("out", "100")]


def test_only_what_begins_with_an_invite_is_remembered() -> None:
    core = Core()
    core.give(request("REGISTER"))
    core.give(ack(Response(486, "Busy Here", invite().headers)))
    core.give(invite(branch="z9hG4bK2"))
    assert seen(core.last(InviteReceived)) == [("in", "INVITE"), ("out", "100")]


def test_a_call_is_carried_by_no_more_than_a_few_messages() -> None:
    core = Core()
    for number in range(20):
        core.give(invite(branch=f"z9hG4bKr{number}", cseq=number + 1, headers=[("Require", "100rel")]))
    core.give(invite(branch="z9hG4bKgood", cseq=30))
    traces = core.last(InviteReceived).traces
    assert len(traces) == MAX_MESSAGES + 2
    assert traces[-2].direction is Direction.IN


def test_a_flood_pushes_the_oldest_out_and_takes_no_more_room() -> None:
    core = Core()
    prelude = core.endpoint._prelude
    for number in range(MAX_CALL_IDS + 100):
        core.give(invite(branch=f"z9hG4bK{number}", call_id=f"flood-{number}", headers=[("Require", "x")]))
    assert len(prelude._traces) == MAX_CALL_IDS
    assert "flood-99" not in prelude._traces
    assert "flood-100" in prelude._traces
    big = b"x" * 60000
    for number in range(50):
        core.give(invite(branch=f"z9hG4bKb{number}", call_id=f"big-{number}", headers=[("Require", "x")], body=big), UDP)
    kept = sum(len(one.data) for traces in prelude._traces.values() for one in traces)
    assert kept == prelude._bytes <= MAX_BYTES
    assert core.endpoint.counts()["transactions"] == 0
