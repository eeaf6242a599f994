"""Legs that go from call to call, and calls that are made without a caller: what only hand-written orders of events lead to."""

from __future__ import annotations

from media import engine
from media.settings import KNOWN_CODECS, MediaSettings
from rcml.settings import RcmlSettings
from server.calls.destination import Destination, Placed
from server.calls.legs.party import Party
from server.calls.policy import Application
from sip.core import commands, events
from tests.support.descriptions import sdp
from tests.unit.server.calls.bench import ACTION, IN, ONE, Bench, dial

NEXT = "http://app/next"
DESTINATION = Destination("sip:ann@192.0.2.9", "192.0.2.9", "sip:server@192.0.2.1")


def redirect(bench: Bench, sid: str) -> None:
    bench.act(bench.registry.redirect(sid, Application("", NEXT), bench.now))
    bench.media()
    bench.run(0.1)


def test_a_dial_that_settles_when_another_document_takes_over_touches_it_no_more__call_control_md() -> None:
    bench = Bench(dial(ONE, f'action="{ACTION}" timeLimit="5"'))
    sid = bench.sid
    bench.web.pages[NEXT] = "<Response><Play>/a.wav</Play><Pause/></Response>"
    bench.answer(0)
    bench.give(events.AnswerAcked(IN, b"", ""))
    bench.run(5.0)  # the BYE is out, and its answer awaited
    assert len(bench.of(commands.SendBye)) == 1
    redirect(bench, sid)
    bench.bye_answered(0)
    bench.run(5.0)
    assert bench.verbs() == ["Dial", "Play", "Pause"]
    assert [note.data["status"] for note in bench.notes if note.data.get("event") == "dial"] == ["completed"]
    assert bench.web.of("action") == []


def originate(bench: Bench, timeout_s: float = 5.0) -> str:
    """A call to Ann without a caller; its sid."""
    before = set(bench.registry.calls)
    application = Application("", NEXT, status_callback="http://app/status")
    placed = Placed([DESTINATION], "server", "ann")
    bench.act(bench.registry.originate(placed, Party("server", "ann"), application, timeout_s, bench.now))
    bench.media()
    bench.run(0.1)
    (sid,) = set(bench.registry.calls) - before
    return sid


def join(bench: Bench, first: str, second: str) -> None:
    bench.act(bench.registry.join(first, second, bench.now))
    bench.media()


def test_parties_who_are_joined_before_the_ack_of_a_late_offer_hear_each_other_after_it__call_control_md() -> None:
    bench = Bench("<Response><Say>hi</Say></Response>", offer=b"")
    first = bench.sid
    other = originate(bench)
    bench.web.pages[NEXT] = dial(ONE)
    bench.answer(0)
    bench.run(0.1)
    bench.answer(1)
    alice = next(leg.sid for leg in bench.registry.calls[other].legs)
    join(bench, first, alice)
    late = bench.of(commands.SendAnswer)[0].body
    assert late
    bench.give(events.AnswerAcked(IN, sdp("192.0.2.7"), "application/sdp"))
    assert {first, alice} in [set(pair) for pair in bench.engine.bridges.values()]


def test_a_call_without_a_caller_ends_once_in_the_log__operations_md() -> None:
    for crossed in (False, True):
        bench = Bench("")
        sid = originate(bench)
        bench.run(6.0)
        assert len(bench.of(commands.SendCancel)) == 1
        if crossed:
            bench.answer(0)
            bench.bye_answered(0)
        else:
            bench.give(events.InviteFailed(bench.leg(0), events.FailureCause.CANCELED, bench.response(0, 487)))
        bench.run(10.0)
        assert [line.event for line in bench.logs if line.facts.get("call_sid") == sid] == ["call_started", "call_ended"], crossed
        assert bench.forgotten.count(sid) == 1


def two_dialled(bench: Bench) -> tuple[str, str]:
    """Two callees of two calls, both answered."""
    first = bench.sid
    bench.answer(0)
    bench.give(events.AnswerAcked(IN, b"", ""))
    other = originate(bench)
    bench.web.pages[NEXT] = dial(ONE)
    bench.answer(1)
    bench.run(0.1)
    bench.answer(2)
    (one,), (two,) = bench.registry.calls[first].legs, bench.registry.calls[other].legs
    return one.sid, two.sid


def test_another_document_runs_on_a_leg_that_was_joined__call_control_md() -> None:
    bench = Bench(dial(ONE, ""))
    first, second = two_dialled(bench)
    join(bench, first, second)
    bench.web.pages[NEXT] = "<Response><Play>/a.wav</Play></Response>"
    before = len(bench.engine.played)
    redirect(bench, first)
    assert [play.stream for play in bench.engine.played[before:]] == [first]
    (bye,) = [bye for bye in bench.of(commands.SendBye) if bye.session == bench.leg(2)]
    assert bye


def test_a_silence_that_another_call_was_told_of_counts_for_both_who_are_joined__call_control_md() -> None:
    bench = Bench(dial(ONE, ""))
    first, second = two_dialled(bench)
    bench.dead.add(bench.leg(0))
    bench.engine.packets_in[first] = 100
    bench.give_engine(engine.MediaTimeout(stream=first, silent_ms=60000))
    join(bench, first, second)
    for _ in range(400):
        bench.engine.packets_in[second] = bench.engine.packets_in.get(second, 0) + 50
        bench.run(1.0)
    asked = [command.session for command in bench.of(commands.SendRequest) if command.method == "OPTIONS"]
    assert asked.count(bench.leg(0)) >= 2


def test_a_dial_whose_callee_is_taken_lasts_until_then__behaviour_3_2() -> None:
    bench = Bench(dial(ONE, f'action="{ACTION}" record="true"'), recording_wait_s=10.0)
    bench.engine.slow_disk = True
    bench.answer(0)
    bench.give(events.AnswerAcked(IN, b"", ""))
    bench.run(4.5)
    (leg,) = next(iter(bench.registry.calls.values())).legs
    bench.web.pages[NEXT] = "<Response><Pause length='3'/></Response>"
    redirect(bench, leg.sid)
    bench.run(6.0)  # its own call ends, and the BYE of that waits for an answer
    assert len(bench.of(commands.SendBye)) == 1
    name = next(str(note.data["recording"]) for note in bench.notes if note.data.get("event") == "record")
    bench.give_engine(engine.RecordingEnded(recording=name, path="/rec/x.wav", duration_ms=4500, size_bytes=44, reason="ended"))
    bench.run(0.1)
    assert bench.action["DialCallDuration"] == "4"


def test_max_forwards_is_never_negative__rfc3261_8_1_1_6() -> None:
    bench = Bench(dial(ONE), invite_headers=(("Max-Forwards", "1"),))
    bench.answer(0)
    (leg,) = next(iter(bench.registry.calls.values())).legs
    bench.web.pages[NEXT] = dial(ONE)
    redirect(bench, leg.sid)
    assert [dict(invite.headers)["Max-Forwards"] for invite in bench.of(commands.SendInvite)] == ["0", "0"]


def test_parties_without_a_codec_that_passes_for_both_are_not_joined__sdp_md() -> None:
    bench = Bench(dial(ONE, ""), offer=sdp("192.0.2.7", 4000, "18 0"), media=MediaSettings(codecs=KNOWN_CODECS))
    first = bench.sid
    bench.answer(0, sdp("192.0.2.8", 4000, "18"))
    bench.give(events.AnswerAcked(IN, b"", ""))
    other = originate(bench)
    bench.web.pages[NEXT] = dial(ONE, "")
    bench.answer(1, sdp("192.0.2.9", 4000, "0"))
    bench.run(0.1)
    bench.answer(2, sdp("192.0.2.8", 4000, "0"))
    (speaks_g729,), (does_not,) = bench.registry.calls[first].legs, bench.registry.calls[other].legs
    bridges = dict(bench.engine.bridges)
    assert len(bridges) == 2
    for one, two in ((first, does_not.sid), (other, speaks_g729.sid), (does_not.sid, speaks_g729.sid)):
        assert bench.registry.join(one, two, bench.now) == []
    assert bench.engine.bridges == bridges and bench.engine.complaints == []


def test_documents_from_outside_are_no_loop_however_many_they_are__call_control_md() -> None:
    bench = Bench(dial(ONE, 'timeout="600"'))
    sid = bench.sid
    bench.web.pages[NEXT] = dial(ONE, 'timeout="600"')
    times = RcmlSettings().max_idle_documents + 5
    for _ in range(times):
        bench.run(10.0)
        redirect(bench, sid)
    assert len(bench.of(commands.SendInvite)) == times + 1 and not bench.of(commands.SendReject)


def test_no_call_is_made_while_the_server_goes_down__operations_md() -> None:
    bench = Bench("<Response><Reject/></Response>")
    bench.act(bench.registry.shutdown(bench.now))
    placed = Placed([DESTINATION], "server", "ann")
    assert bench.registry.originate(placed, Party("server", "ann"), Application("", NEXT), 5.0, bench.now) == []
    assert bench.registry.counts()["calls"] == 0
