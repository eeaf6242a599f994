"""Refer: what the caller's phone is asked, and what the action is told of it (behaviour.md 9)."""

from __future__ import annotations

import pytest

from sip.core import commands, events
from sip.core.referring import ReferAnswered, ReferNotified, SendRefer
from sip.message import Headers, Response
from tests.unit.server.calls.bench import ACTION, IN, Bench


def referring(target: str = "sip:carol@example.com", attributes: str = f'action="{ACTION}"') -> Bench:
    bench = Bench(f"<Response><Refer {attributes}>{target}</Refer><Pause length='9'/></Response>")
    bench.give(events.AnswerAcked(IN, b"", ""))
    return bench


def answer(bench: Bench, status: int) -> None:
    (sent,) = bench.of(SendRefer)
    bench.give(ReferAnswered(IN, sent.refer, Response(status, "", Headers()) if status else None))


def tell(bench: Bench, status: int, *, over: bool = False) -> None:
    (sent,) = bench.of(SendRefer)
    bench.give(ReferNotified(IN, sent.refer, status, "", over))


def told(bench: Bench) -> dict[str, str]:
    bench.run(0.1)
    return {name: value for name, value in bench.action.items() if name.startswith(("Refer", "Notify"))}


@pytest.mark.parametrize(
    ("target", "uri"),
    [
        ("sip:carol@example.com;transport=tcp", "sip:carol@example.com;transport=tcp"),
        ("carol@example.com", "sip:carol@example.com"),
        ("+12025550143", "sip:+12025550143@server.example.com"),
        ("<Sip>sips:carol@example.com</Sip>", "sips:carol@example.com"),
    ],
)
def test_the_phone_is_asked_to_call_the_target__behaviour_9(target: str, uri: str) -> None:
    bench = referring(target)
    assert [(one.session, one.refer_to) for one in bench.of(SendRefer)] == [(IN, uri)]
    assert len(bench.of(commands.SendAnswer)) == 1, "only who is in a call can be referred"


@pytest.mark.parametrize(("final", "status"), [(200, "in-progress"), (486, "busy"), (404, "failed"), (480, "no-answer"), (180, "ringing")])
def test_the_action_is_told_of_all_three__behaviour_9(final: int, status: str) -> None:
    bench = referring()
    answer(bench, 202)
    tell(bench, 100)
    tell(bench, final, over=True)
    assert told(bench) == {"ReferCallStatus": status, "ReferSipResponseCode": "202", "NotifySipResponseCode": str(final)}


def test_a_phone_may_tell_before_it_answers__behaviour_9() -> None:
    bench = referring()
    tell(bench, 200)
    assert bench.web.of("action") == []
    answer(bench, 202)
    assert told(bench)["NotifySipResponseCode"] == "200"


@pytest.mark.parametrize(("status", "facts"), [(603, {"ReferSipResponseCode": "603"}), (0, {})])
def test_a_phone_that_refuses_has_nothing_to_tell__behaviour_9(status: int, facts: dict[str, str]) -> None:
    bench = referring()
    answer(bench, status)
    assert told(bench) == facts


def test_a_phone_that_tells_nothing_is_not_asked_again__behaviour_9() -> None:
    bench = referring()
    answer(bench, 202)
    tell(bench, 0, over=True)
    assert told(bench) == {"ReferSipResponseCode": "202"}


def test_a_phone_that_never_comes_to_an_end_is_left__behaviour_9() -> None:
    bench = referring()
    answer(bench, 202)
    tell(bench, 100)
    bench.run(181.0)
    assert told(bench) == {"ReferCallStatus": "queued", "ReferSipResponseCode": "202", "NotifySipResponseCode": "100"}


def test_a_phone_that_hangs_up_after_its_202_is_told_of__behaviour_9() -> None:
    bench = referring()
    answer(bench, 202)
    bench.bye_from(IN)
    assert told(bench) == {"ReferSipResponseCode": "202"}
    assert bench.action["CallStatus"] == "completed"


def test_without_an_action_the_next_verb_follows__behaviour_9() -> None:
    bench = referring(attributes="")
    answer(bench, 603)
    assert bench.verbs() == ["Refer", "Pause"]


def test_a_target_that_is_no_uri_is_11100_and_nothing_is_sent__behaviour_9() -> None:
    bench = referring("sip:")
    assert bench.of(SendRefer) == []
    assert [one.code for one in bench.notifications] == [11100]
    assert told(bench) == {}
