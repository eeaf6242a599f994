"""Hold and Resume: what the phone is offered, what is heard, and what the action is told (behaviour.md 9)."""

from __future__ import annotations

import pytest

from sip.core import commands, events
from sip.message import Headers, Response
from tests.support.descriptions import sdp
from tests.unit.server.calls.bench import ACTION, IN, Bench


def held(document: str) -> Bench:
    bench = Bench(f"<Response>{document}</Response>")
    bench.give(events.AnswerAcked(IN, b"", ""))
    return bench


def answer(bench: Bench, status: int = 200, direction: str = "recvonly") -> None:
    body = sdp("192.0.2.7") + f"a={direction}\r\n".encode() if status == 200 else b""
    headers = Headers([("Content-Type", "application/sdp")] if body else [])
    bench.give(events.ReinviteAnswered(IN, Response(status, "", headers, body) if status else None))
    bench.run(0.1)


def offers(bench: Bench) -> list[str]:
    """The direction of each."""
    found = [one.body.decode() for one in bench.of(commands.SendReinvite)]
    return [next((line[2:] for line in body.splitlines() if line in ("a=sendonly", "a=sendrecv")), "") for body in found]


def test_hold_offers_to_send_only_and_resume_takes_it_back__rfc3264_8_4() -> None:
    bench = held("<Hold/><Pause length='1'/><Resume/><Pause length='5'/>")
    assert offers(bench) == ["sendonly"]
    answer(bench)
    bench.run(1.0)
    assert offers(bench) == ["sendonly", "sendrecv"]
    answer(bench, direction="sendrecv")
    assert bench.verbs() == ["Hold", "Pause", "Resume", "Pause"]


@pytest.mark.parametrize(
    ("status", "told"),
    [(200, ("held", "200")), (488, ("failed", "488")), (0, ("no-answer", "408"))],
)
def test_the_action_of_hold_is_told_the_answer__behaviour_9(status: int, told: tuple[str, str]) -> None:
    bench = held(f'<Hold action="{ACTION}"/>')
    answer(bench, status)
    assert (bench.action["HoldStatus"], bench.action["HoldSipResponseCode"]) == told
    assert bench.action["CallSid"]


def test_the_action_of_resume_is_told_the_answer__behaviour_9() -> None:
    bench = held(f'<Hold/><Resume action="{ACTION}"/>')
    answer(bench)
    answer(bench, 500)
    assert (bench.action["ResumeStatus"], bench.action["ResumeSipResponseCode"]) == ("failed", "500")


def test_resume_without_hold_is_ignored__behaviour_9() -> None:
    bench = held(f'<Resume action="{ACTION}"/><Pause length="5"/>')
    bench.run(0.1)
    assert (offers(bench), bench.web.of("action"), bench.verbs()) == ([], [], ["Resume", "Pause"])


def test_a_hold_that_failed_leaves_nothing_to_resume__behaviour_9() -> None:
    bench = held("<Hold/><Resume/><Pause length='5'/>")
    answer(bench, 488)
    assert offers(bench) == ["sendonly"]
    assert bench.verbs() == ["Hold", "Resume", "Pause"]


def test_music_goes_on_until_resume__behaviour_9() -> None:
    bench = held("<Hold holdMusic='http://app/music.wav'/><Pause length='2'/><Resume/><Pause length='5'/>")
    answer(bench)
    bench.run(1.0)
    (stream,) = bench.engine.streams
    assert [play.loop for play in bench.engine.played] == [0]
    assert bench.engine.streams[stream].play == bench.engine.played[0].play
    bench.run(2.0)
    answer(bench, direction="sendrecv")
    assert bench.engine.streams[stream].play != bench.engine.played[0].play


def test_music_that_cannot_be_had_is_13233_and_the_phone_is_held_all_the_same__behaviour_9() -> None:
    music = "http://app/music.wav"
    bench = Bench(f'<Response><Hold holdMusic="{music}" action="{ACTION}"/></Response>', broken_prompts=(music,))
    bench.give(events.AnswerAcked(IN, b"", ""))
    answer(bench)
    bench.run(0.2)
    assert [one.code for one in bench.notifications] == [13233]
    assert bench.action["HoldStatus"] == "held"


def test_who_hangs_up_on_hold_ends_the_call__behaviour_9() -> None:
    bench = held(f'<Hold action="{ACTION}"/><Pause length="9"/>')
    bench.bye_from(IN)
    bench.run(9.0)
    assert "HoldStatus" not in bench.action
    assert bench.registry.counts()["calls"] == 0
