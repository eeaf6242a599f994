"""An answered party is sent packets at all times, also while nothing is said (behaviour.md 10.2, RFC 6263 4)."""

from __future__ import annotations

import pytest

from media import engine
from sip.core import commands, events
from sip.message import Headers, Request
from tests.support.descriptions import sdp
from tests.unit.server.calls.bench import ONE, Bench, dial


def caller_stream(bench: Bench) -> str:
    return bench.sid


def sends(bench: Bench, stream: str) -> str:
    """What the engine sends of its own: "silence", what a play is of, or nothing."""
    name = bench.engine.streams[stream].play
    plays = [play for play in (*bench.engine.played, *bench.engine.silences) if play.play == name]
    return (plays[0].tone or "file") if plays else ""


def reinvite(bench: Bench, session: commands.SessionId, direction: str) -> None:
    body = sdp("192.0.2.8").replace(b"sendrecv", direction.encode())
    request = Request("INVITE", "sip:x", Headers([("Content-Type", "application/sdp")]), body)
    bench.give(events.ReinviteReceived(session, commands.TransactionId(direction), request))


def test_a_pause_is_silence_and_no_lack_of_packets() -> None:
    bench = Bench('<Response><Play>/a.wav</Play><Pause length="60"/><Play>/b.wav</Play></Response>')
    bench.run(0.5)
    assert sends(bench, caller_stream(bench)) == "file"
    bench.run(2.0)
    assert sends(bench, caller_stream(bench)) == "silence"
    bench.run(58.5)
    assert sends(bench, caller_stream(bench)) == "file" and len(bench.engine.played) == 2


def test_dial_music_disabled_is_silence_and_no_lack_of_packets__behaviour_10_2() -> None:
    bench = Bench(dial(ONE, 'dialMusic="disabled" answerOnBridge="false"'))
    assert sends(bench, caller_stream(bench)) == "silence"
    bench.answer(0)
    assert sends(bench, caller_stream(bench)) == "" and bench.engine.bridges


def test_ringback_takes_the_place_of_silence() -> None:
    bench = Bench(dial(ONE, 'answerOnBridge="false"'))
    assert sends(bench, caller_stream(bench)) == "ringback"


def test_silence_is_sent_while_an_action_is_asked() -> None:
    bench = Bench(dial(ONE))
    bench.web.delay_s = 1000.0
    bench.answer(0)
    assert not bench.engine.silences
    bench.bye_from(bench.leg(0))
    assert sends(bench, caller_stream(bench)) == "silence"


def test_nothing_is_sent_to_a_caller_who_has_agreed_to_nothing_yet() -> None:
    bench = Bench(dial(ONE))
    bench.progress(0)
    bench.run(5.0)
    assert not bench.engine.silences and not bench.engine.played


@pytest.mark.parametrize("hold", ["inactive", "recvonly"])
def test_who_is_bridged_with_a_party_that_may_not_speak_is_sent_silence(hold: str) -> None:
    bench = Bench(dial(ONE))
    bench.answer(0)
    assert sends(bench, caller_stream(bench)) == ""
    reinvite(bench, bench.leg(0), hold)
    assert sends(bench, caller_stream(bench)) == "silence"
    reinvite(bench, bench.leg(0), "sendrecv")
    assert sends(bench, caller_stream(bench)) == ""


def test_a_party_that_holds_with_its_own_music_is_heard() -> None:
    bench = Bench(dial(ONE))
    bench.answer(0)
    reinvite(bench, bench.leg(0), "sendonly")
    assert not bench.engine.silences


def test_the_end_of_a_play_of_silence_is_nobodys_business() -> None:
    bench = Bench('<Response><Say>hello</Say><Pause length="30"/><Say>bye</Say></Response>')
    bench.run(2.0)
    *_, silence = bench.engine.silences
    bench.give_engine(engine.PlayEnded(stream=silence.stream, play=silence.play, reason="failed", detail="x"))
    bench.run(20.0)
    assert bench.verbs() == ["Say", "Pause"] and not bench.notifications and not bench.engine.complaints
