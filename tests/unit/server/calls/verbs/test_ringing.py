"""What a caller hears while it rings, and that ringback lasts until there is something else to hear."""

from __future__ import annotations

import pytest

from server.calls.effects import Kind
from server.calls.targets import Outbound
from sip.core import commands
from tests.support.descriptions import sdp
from tests.unit.server.calls.bench import IN, ONE, Bench, dial

ANSWERED = 'answerOnBridge="false" timeout="60"'
EARLY = sdp("192.0.2.8")


def caller_stream(bench: Bench) -> str:
    return bench.sid


def playing(bench: Bench) -> str:
    """What the caller's stream plays now: the tone, or nothing."""
    name = bench.engine.streams[caller_stream(bench)].play
    return next((play.tone for play in bench.engine.played if play.play == name), "")


def send(bench: Bench, seconds: float) -> None:
    """The callee sends RTP meanwhile."""
    for _ in range(round(seconds * 10)):
        bench.engine.packets_in[bench.leg(0)] = bench.engine.packets_in.get(bench.leg(0), 0) + 5
        bench.run(0.1)


def test_ringback_lasts_until_the_callees_first_packet__rfc3960_3_2() -> None:
    bench = Bench(dial(ONE, ANSWERED))
    bench.progress(0, 183, EARLY)
    bench.run(20.0)
    assert playing(bench) == "ringback" and len(bench.engine.played) == 1
    send(bench, 0.3)
    assert playing(bench) == "" and bench.engine.bridges
    assert [note.data["event"] for note in bench.notes if note.data.get("event") == "early-media"] == ["early-media"]


def test_early_media_is_looked_for_only_as_long_as_there_is_none() -> None:
    bench = Bench(dial(ONE, ANSWERED))
    bench.progress(0, 183, EARLY)
    send(bench, 0.5)
    deadline = bench.registry.next_deadline()
    assert deadline is not None and deadline > bench.now + 50.0


@pytest.mark.parametrize("again", [(180, b""), (183, EARLY), (180, sdp("192.0.2.9"))])
def test_ringback_comes_back_when_the_callee_rings_and_sends_no_more__rfc3960_3_2(again: tuple[int, bytes]) -> None:
    """An announcement, then a phone rings; the same from another fork."""
    bench = Bench(dial(ONE, ANSWERED))
    bench.progress(0, 183, EARLY)
    send(bench, 1.0)
    assert playing(bench) == ""
    bench.progress(0, *again)
    bench.engine.packets_in[bench.leg(0)] += 3  # were on their way
    bench.run(1.0)
    assert playing(bench) == "ringback"
    send(bench, 0.4)
    assert playing(bench) == ""


def test_early_media_that_goes_on_behind_a_180_is_heard_on() -> None:
    bench = Bench(dial(ONE, ANSWERED))
    bench.progress(0, 183, EARLY)
    send(bench, 1.0)
    for _ in range(3):
        bench.progress(0, 180)
        send(bench, 1.0)
        assert playing(bench) == ""
    assert len(bench.engine.played) == 1


def test_a_caller_whose_phone_heard_our_183_gets_our_ringback_when_nothing_comes__rfc3960_3_2() -> None:
    bench = Bench(dial(ONE, 'timeout="60"'))
    bench.progress(0, 183, EARLY)
    assert bench.order() == ["180", "INVITE", "183"] and not bench.engine.played
    bench.run(1.0)
    assert playing(bench) == "ringback"
    send(bench, 0.4)
    assert playing(bench) == ""


def test_early_media_that_comes_at_once_is_not_rung_over() -> None:
    bench = Bench(dial(ONE, 'timeout="60"'))
    bench.progress(0, 183, EARLY)
    send(bench, 2.0)
    assert not bench.engine.played


@pytest.mark.parametrize("hold", ["inactive", "recvonly"])
def test_a_callee_that_says_it_will_not_send_is_no_early_media(hold: str) -> None:
    """The caller's own phone goes on ringing: nothing that we have is better."""
    bench = Bench(dial(ONE, 'timeout="60"'))
    bench.progress(0, 183, EARLY.replace(b"a=sendrecv", f"a={hold}".encode()))
    assert bench.order() == ["180", "INVITE"] and not bench.engine.bridges
    bench.progress(0, 183, EARLY)
    assert bench.order() == ["180", "INVITE", "183"] and bench.engine.bridges


def test_early_media_put_on_hold_brings_the_ringback_back() -> None:
    bench = Bench(dial(ONE, ANSWERED))
    bench.progress(0, 183, EARLY)
    send(bench, 1.0)
    bench.progress(0, 183, EARLY.replace(b"a=sendrecv", b"a=inactive"))
    bench.run(1.0)
    assert playing(bench) == "ringback"


def test_ringback_of_a_failed_proxy_is_that_of_the_next_until_it_is_heard__behaviour_2_4() -> None:
    bench = Bench(dial("<Number>1234</Number>", ANSWERED), outbound=Outbound("c", ("sip:gw1.example.com", "sip:gw2.example.com")))
    bench.progress(0, 183, EARLY)
    send(bench, 1.0)
    bench.fail(0, 503)
    assert playing(bench) == "ringback"
    bench.progress(1, 183, EARLY)
    bench.run(2.0)
    assert playing(bench) == "ringback", "what the first one sent does not count"
    send(bench, 0.4)
    assert playing(bench) == ""


def test_the_answer_ends_the_ringback_whether_anything_was_heard_or_not() -> None:
    bench = Bench(dial(ONE, ANSWERED))
    bench.progress(0, 183, EARLY)
    bench.run(5.0)
    bench.answer(0)
    bench.run(5.0)
    assert playing(bench) == "" and bench.engine.bridges
    assert not [note for note in bench.notes if note.kind is Kind.MEDIA and note.data.get("event") == "early-media"]
    bench.bye_from(IN)
    assert bench.of(commands.SendBye)
