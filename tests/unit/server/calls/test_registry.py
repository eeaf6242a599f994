"""Admission and what the timeline keeps, over several calls."""

from __future__ import annotations

import pytest

from rcml.settings import RcmlSettings
from server.calls.effects import Kind, Log
from server.calls.policy import Application
from server.calls.registry import STANDS_STILL_S
from sip.core import commands, events, flows
from sip.message import Headers, Request
from tests.support.descriptions import sdp
from tests.unit.server.calls.bench import IN, ONE, VOICE, Bench, dial

FLOW = flows.Flow("udp", flows.Address("192.0.2.1", 5060), flows.Address("192.0.2.7", 5060))


def invite(bench: Bench, name: str, traces: tuple[events.Traced, ...] = ()) -> None:
    headers = [("From", "<sip:bob@192.0.2.7>;tag=1"), ("To", "<sip:2222@192.0.2.1>"), ("Call-ID", name), ("CSeq", "1 INVITE")]
    request = Request("INVITE", "sip:2222@192.0.2.1", Headers([*headers, ("Content-Type", "application/sdp")]), sdp("192.0.2.7"))
    bench.give(events.InviteReceived(commands.SessionId(name), request, FLOW, traces))


def trace(session: str | None, direction: events.Direction, summary: str) -> events.Traced:
    name = None if session is None else commands.SessionId(session)
    return events.Traced(name, "second", direction, FLOW, summary.encode(), summary)


def test_max_calls_counts_calls_that_live__behaviour_2_11() -> None:
    bench = Bench(dial(ONE), max_calls=2)
    invite(bench, "second")
    invite(bench, "third")
    (reject,) = bench.of(commands.SendReject)
    assert (reject.session, reject.status) == ("third", 503) and ("Retry-After", "10") in reject.headers


def test_a_call_is_forgotten_once_when_nothing_of_it_lives() -> None:
    bench = Bench(dial(ONE, ""))
    sid = bench.sid
    bench.fail(0, 486)
    assert bench.forgotten == []
    bench.give(events.SessionEnded(IN, events.EndCause.REJECTED))
    bench.run(1.0)
    assert bench.forgotten == [sid]


def test_calls_that_are_over_take_no_place__behaviour_2_11() -> None:
    """They wait for an ACK, for 32 seconds at worst, and hold nothing else."""
    bench = Bench("<Response><Reject/></Response>", max_calls=1)
    assert bench.registry.counts()["lingering"] == 1
    invite(bench, "second")
    assert [reject.status for reject in bench.of(commands.SendReject)] == [603]


def test_what_is_over_is_no_session_and_no_stream__operations_md() -> None:
    """A call that dials one after another for hours has the streams of those that are up."""
    bench = Bench(dial(ONE, 'answerOnBridge="false"', 3 * f"<Dial>{ONE}</Dial>"))
    for leg in range(3):
        counts = bench.registry.counts()
        assert (counts["sessions"], counts["streams"]) == (2, 2), leg
        bench.fail(leg, 486)
    bench.answer(3)
    counts = bench.registry.counts()
    assert (counts["sessions"], counts["streams"], counts["calls"]) == (2, 2, 1)


def test_an_ended_recording_is_none_that_lives() -> None:
    bench = Bench(dial(ONE, 'record="true"', "<Pause length='60'/>"), rcml=RcmlSettings(after_answer="next-verb"))
    bench.answer(0)
    bench.run(5.0)
    assert bench.registry.counts()["recordings"] == 1
    bench.bye_from(bench.leg(0))
    bench.run(5.0)
    counts = bench.registry.counts()
    assert (counts["recordings"], counts["streams"], counts["sessions"], counts["calls"]) == (0, 1, 1, 1)


def test_every_http_exchange_stands_in_the_timeline__call_control_md() -> None:
    application = Application("2222", VOICE, status_callback="http://app/status")
    bench = Bench(dial('<Sip statusCallback="/leg">sip:alice@192.0.2.8</Sip>'), application=application)
    bench.progress(0)
    bench.fail(0, 486)
    bench.run(1.0)
    told = [str(note.data["purpose"]) for note in bench.notes if note.kind is Kind.HTTP]
    assert sorted(told) == ["action", "leg-status", "leg-status", "leg-status", "status", "status", "voice"]
    assert {note.leg for note in bench.notes if note.data.get("purpose") == "leg-status"} == {bench.leg(0)}


def test_forwarded_from_is_the_first_of_several_diversions__behaviour_1_2() -> None:
    for headers in (
        (("Diversion", "<sip:111@x>;reason=a, <sip:222@y>"),),
        (("Diversion", "<sip:111@x>"), ("Diversion", "<sip:222@y>")),
    ):
        bench = Bench(dial(ONE), invite_headers=headers)
        assert bench.web.of("voice")[0]["ForwardedFrom"] == "111"


def test_the_timeline_begins_with_what_was_on_the_wire_before_the_call() -> None:
    bench = Bench(dial(ONE))
    refused = trace(None, events.Direction.IN, "INVITE sip:2222@192.0.2.1"), trace(None, events.Direction.OUT, "420 Bad Extension (INVITE)")
    opening = (
        trace("second", events.Direction.IN, "INVITE sip:2222@192.0.2.1"),
        trace("second", events.Direction.OUT, "100 Trying (INVITE)"),
    )
    for one in (*refused, *opening):
        bench.give_trace(one)
    assert not [note for note in bench.notes if note.kind is Kind.SIP], "nobody's yet"
    invite(bench, "second", (*refused, *opening))
    bench.give_trace(trace("second", events.Direction.OUT, "180 Ringing (INVITE)"))
    sip = [note for note in bench.notes if note.kind is Kind.SIP]
    assert [str(note.data["summary"]).split()[0] for note in sip] == ["INVITE", "420", "INVITE", "100", "180"]
    assert len({(note.call_sid, note.leg) for note in sip}) == 1
    assert all(note.leg == note.call_sid for note in sip)


# --- breadth ------------------------------------------------------------------------------------------------------


def test_nouns_share_the_breadth_of_the_call__rfc5393_5_3_3() -> None:
    two = "<Number>1234</Number><Number>5678</Number>"
    for received, sent in (((), ["30", "30"]), ((("Max-Breadth", "5"),), ["3", "2"]), ((("Max-Breadth", "1"),), ["1"])):
        bench = Bench(dial(two), invite_headers=received)
        assert [dict(invite.headers).get("Max-Breadth") for invite in bench.of(commands.SendInvite)] == sent
    assert dict(Bench(dial("<Number>1234</Number>")).of(commands.SendInvite)[0].headers).get("Max-Breadth") is None
    assert Bench(dial(two), invite_headers=(("Max-Breadth", "0"),)).of(commands.SendInvite) == []


def test_a_timer_that_stands_still_keeps_no_other_call_waiting__operations_md(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bug of ours: the deadline of a call stays where it is, whatever happens."""
    bench = Bench("<Response><Pause length='60'/></Response>")
    call = next(iter(bench.registry.calls.values()))
    at = bench.now
    monkeypatch.setattr(type(call), "next_deadline", lambda self: at)
    bench.registry._deadlines.arm(call.sid, at)
    actions = bench.registry.timeout(bench.now)
    assert [action.event for action in actions if isinstance(action, Log)] == ["timer_stands_still"]
    assert bench.registry.next_deadline() == bench.now + STANDS_STILL_S
