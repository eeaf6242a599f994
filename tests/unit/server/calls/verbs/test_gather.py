"""Gather in a call: prompts, keys, timers, and what its action is told (behaviour 9; docs/rcml.md, Gather)."""

from __future__ import annotations

import pytest

from media import engine
from server.calls.effects import Kind
from sip.core import commands, events
from sip.message import Headers, Request
from tests.unit.server.calls.bench import ACTION, IN, Bench, clean

SAY = "<Say>Press a key.</Say>"
AFTER = "<Pause length='1'/><Hangup/>"


def gathering(attributes: str = f"action='{ACTION}'", prompts: str = "", after: str = AFTER, **changes: object) -> Bench:
    document = f"<Response><Gather {attributes}>{prompts}</Gather>{after}</Response>"
    return Bench(document, action="<Response><Hangup/></Response>", **changes)  # type: ignore[arg-type]  # each has its type


def press(bench: Bench, keys: str, source: str = "rfc4733") -> None:
    for key in keys:
        bench.give_engine(engine.Digit(stream=bench.sid, digit=key, duration_ms=100, source=source))


def info(bench: Bench, body: str, kind: str = "application/dtmf-relay", transaction: str = "t1") -> None:
    request = Request("INFO", "sip:x", Headers([("Content-Type", kind)]), body.encode())
    bench.give(events.RequestReceived(IN, commands.TransactionId(transaction), request))


def asked(bench: Bench) -> list[str]:
    return [parameters["Digits"] for parameters in bench.web.of("action")]


def gathered(bench: Bench) -> list[tuple[object, object]]:
    return [(note.data["keys"], note.data["by"]) for note in bench.notes if note.data.get("event") == "gathered"]


def test_gather_answers_the_call_and_its_finishing_key_ends_it__behaviour_9() -> None:
    bench = gathering()
    assert bench.order() == ["180", "200"]
    press(bench, "12#")
    assert gathered(bench) == [(2, "key")]
    bench.run(1.0)
    assert asked(bench) == ["12"]
    assert bench.order() == ["180", "200", "BYE"]
    clean(bench)


def test_as_many_keys_as_asked_for_end_it__behaviour_9() -> None:
    bench = gathering(f"action='{ACTION}' numDigits='3'")
    press(bench, "12")
    assert gathered(bench) == []
    press(bench, "3")
    bench.run(1.0)
    assert (asked(bench), gathered(bench)) == (["123"], [(3, "digits")])


def test_more_keys_than_the_setting_allows_are_not_taken__behaviour_9() -> None:
    bench = gathering(f"action='{ACTION}' finishOnKey=''")
    press(bench, "7" * 128)
    bench.run(1.0)
    assert asked(bench) == ["7" * 128]


def test_each_key_starts_the_wait_anew__behaviour_9() -> None:
    bench = gathering(f"action='{ACTION}' timeout='3'")
    for key in "1234":
        bench.run(2.9)
        press(bench, key)
    bench.run(2.9)
    assert gathered(bench) == []
    bench.run(0.2)
    assert (asked(bench), gathered(bench)) == (["1234"], [(4, "timeout")])


def test_the_first_key_and_the_next_ones_have_waits_of_their_own__behaviour_9() -> None:
    bench = gathering(f"action='{ACTION}' preTimeout='8' postTimeout='1'")
    bench.run(7.5)
    press(bench, "1")
    bench.run(0.9)
    assert gathered(bench) == []
    bench.run(0.2)
    assert gathered(bench) == [(1, "timeout")]


def test_without_a_finishing_key_every_key_counts__behaviour_9() -> None:
    bench = gathering(f"action='{ACTION}' finishOnKey='' timeout='2'")
    press(bench, "#*0")
    bench.run(2.5)
    assert asked(bench) == ["#*0"]


def test_nothing_pressed_goes_on_with_the_next_verb__behaviour_9() -> None:
    bench = gathering(f"action='{ACTION}' timeout='2'")
    bench.run(2.5)
    assert (asked(bench), bench.verbs()) == ([], ["Gather", "Pause"])
    clean(bench)


def test_the_finishing_key_alone_is_nothing__behaviour_9() -> None:
    bench = gathering()
    press(bench, "#")
    bench.run(0.5)
    assert (asked(bench), bench.verbs()) == ([], ["Gather", "Pause"])


def test_nothing_pressed_is_told_if_the_document_wants_that__behaviour_9() -> None:
    bench = gathering(f"action='{ACTION}' timeout='2' actionOnEmptyResult='true'")
    bench.run(2.5)
    assert (asked(bench), bench.verbs()) == ([""], ["Gather"])


def test_without_an_action_the_next_verb_follows__behaviour_9() -> None:
    bench = gathering("numDigits='1'")
    press(bench, "1")
    bench.run(0.5)
    assert (asked(bench), bench.verbs()) == ([], ["Gather", "Pause"])


def test_an_action_that_is_no_url_ends_the_call_when_it_would_be_asked__behaviour_0_11() -> None:
    bench = gathering("action='no url' numDigits='1'")
    press(bench, "1")
    bench.run(0.5)
    assert bench.order() == ["180", "200", "BYE"]
    other = gathering("action='no url' timeout='1'")
    other.run(1.5)
    assert other.verbs() == ["Gather", "Pause"]


def test_the_action_gets_what_every_request_carries_and_the_method__behaviour_1_6() -> None:
    bench = gathering(f"action='{ACTION}' method='GET' numDigits='1'")
    press(bench, "1")
    bench.run(0.5)
    request = bench.web.requests[-1][1]
    assert (request.method, request.url) == ("GET", ACTION)
    assert bench.action["CallStatus"] == "in-progress" and bench.action["From"] == "bob"
    assert request.parameters[-1] == ("Digits", "1")


# --- prompts ----------------------------------------------------------------------------------------------------------


def test_prompts_are_heard_one_after_another_and_then_it_waits__behaviour_9() -> None:
    bench = gathering(f"action='{ACTION}' timeout='2'", f"{SAY}<Pause length='3'/><Play loop='2'>a.wav</Play>")
    bench.run(0.1)
    assert bench.verbs() == ["Gather", "Say"]
    bench.run(1.1)
    assert bench.verbs() == ["Gather", "Say", "Pause"]
    bench.run(3.0)
    assert bench.verbs() == ["Gather", "Say", "Pause", "Play"]
    bench.run(2.0)  # twice a second of sound
    assert gathered(bench) == []
    bench.run(2.1)
    assert gathered(bench) == [(0, "timeout")]


@pytest.mark.parametrize("prompts", [SAY, "<Pause length='9'/>", "<Play loop='0'>a.wav</Play>", SAY + SAY])
@pytest.mark.parametrize("after_s", [0.0, 0.5])
def test_a_key_ends_the_prompts_at_once__behaviour_9(prompts: str, after_s: float) -> None:
    bench = gathering(f"action='{ACTION}' timeout='2'", prompts)
    bench.run(after_s)
    press(bench, "4")
    bench.run(0.05)
    heard = {stream.play for stream in bench.engine.streams.values()}
    assert heard.isdisjoint(play.play for play in bench.engine.played)
    press(bench, "2")
    bench.run(2.2)
    assert asked(bench) == ["42"]
    assert len(bench.engine.played) <= 1
    clean(bench)


def test_keys_count_but_end_no_prompts_when_barge_in_is_false__behaviour_9() -> None:
    bench = gathering(f"action='{ACTION}' bargeIn='false' numDigits='2'", SAY + SAY)
    bench.run(0.2)
    press(bench, "12345")
    bench.run(1.5)
    assert (gathered(bench), len(bench.engine.played)) == ([], 2)
    bench.run(1.0)
    assert asked(bench) == ["12"]


def test_a_play_that_cannot_be_had_ends_the_call_as_it_does_elsewhere__behaviour_9() -> None:
    bench = gathering(f"action='{ACTION}'", "<Play>/broken.wav</Play>", broken_prompts=("http://app/broken.wav",))
    bench.run(0.5)
    assert (bench.order(), asked(bench)) == (["180", "200", "BYE"], [])
    assert [note.code for note in bench.notifications] == [13233]


def test_speech_alone_takes_no_keys_and_ends_after_its_prompts__behaviour_9() -> None:
    bench = gathering(f"action='{ACTION}' input='speech'", SAY)
    press(bench, "5")
    bench.run(1.5)
    assert (gathered(bench), bench.verbs(), asked(bench)) == ([(0, "timeout")], ["Gather", "Say", "Pause"], [])


def test_a_gather_that_ends_at_once_is_a_loop_like_any_other__behaviour_1_7() -> None:
    bench = Bench("<Response><Gather input='speech'/><Redirect>http://app/voice</Redirect></Response>")
    bench.run(30.0)
    assert len(bench.web.requests) < 120
    assert "BYE" in bench.order()


# --- by which way a key comes -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "kind", "digit"),
    [
        ("Signal=3\r\nDuration=160\r\n", "application/dtmf-relay", "3"),
        ("Signal= *\r\n", "application/dtmf-relay;x=y", "*"),
        ("Signal=11", "application/dtmf-relay", ""),
        ("7", "application/dtmf", "7"),
        ("d\r\n", "Application/DTMF", "D"),
    ],
)
def test_keys_by_info_are_taken__behaviour_9(body: str, kind: str, digit: str) -> None:
    bench = gathering(f"action='{ACTION}' timeout='1' actionOnEmptyResult='true'")
    info(bench, body, kind)
    bench.run(1.5)
    assert asked(bench) == [digit]
    assert [command.status for command in bench.of(commands.AnswerRequest)] == [200]


@pytest.mark.parametrize("source", ["rfc4733", "inband"])
def test_a_key_that_comes_two_ways_is_taken_once__behaviour_9(source: str) -> None:
    bench = gathering(f"action='{ACTION}' timeout='1'")
    for key in "1122":
        info(bench, f"Signal={key}")
        bench.run(0.05)
        press(bench, key, source)
        bench.run(0.15)
    bench.run(1.5)
    assert asked(bench) == ["1122"]


def test_garbage_in_an_info_is_no_key__behaviour_9() -> None:
    bench = gathering(f"action='{ACTION}' timeout='1'")
    for body, kind in (
        ("Signal=xyz", "application/dtmf-relay"),
        ("12", "application/dtmf"),
        ("Signal=5", "text/plain"),
        ("", "application/dtmf"),
    ):
        info(bench, body, kind)
    bench.run(1.5)
    assert asked(bench) == []
    assert [command.status for command in bench.of(commands.AnswerRequest)] == [400, 400, 415, 200]


# --- typed ahead ------------------------------------------------------------------------------------------------------


def test_keys_that_come_while_the_application_is_asked_are_typed_ahead__rcml_gather() -> None:
    bench = gathering(f"action='{ACTION}' numDigits='1'")
    bench.web.pages[ACTION] = f"<Response><Gather action='http://app/two' numDigits='2'>{SAY}</Gather></Response>"
    press(bench, "1234")
    bench.run(0.5)
    assert [dict(request.parameters)["Digits"] for _, request in bench.web.requests if request.purpose == "action"] == ["1", "23"]
    assert bench.engine.played == []  # nobody needs to hear what they have answered


def test_keys_during_a_verb_that_takes_none_count_for_nothing__rcml_gather() -> None:
    bench = Bench(f"<Response><Say>hello</Say><Gather action='{ACTION}' timeout='1'/></Response>")
    press(bench, "1234")
    bench.run(1.2)
    press(bench, "5")
    bench.run(1.5)
    assert asked(bench) == ["5"]


def test_keys_before_a_say_do_not_get_to_the_gather_behind_it__rcml_gather() -> None:
    bench = gathering(f"action='{ACTION}' numDigits='1'")
    bench.web.pages[ACTION] = "<Response><Say>wrong</Say><Gather action='http://app/two' timeout='1'/></Response>"
    press(bench, "19")
    bench.run(3.0)
    assert asked(bench) == ["1"]


def test_the_finishing_key_behind_enough_keys_is_not_the_next_entry__rcml_gather() -> None:
    """1234# where four keys are enough: the # comes when the next Gather listens already."""
    bench = gathering(f"action='{ACTION}' numDigits='4'")
    bench.web.pages[ACTION] = "<Response><Gather action='http://app/two' numDigits='2' actionOnEmptyResult='true'/></Response>"
    press(bench, "1234")
    bench.run(0.3)
    press(bench, "#56")
    bench.run(0.3)
    assert asked(bench) == ["1234", "56"]


# --- endings ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("prompts", ["", SAY, "<Pause length='9'/>"])
def test_a_caller_who_leaves_in_the_midst_of_it_has_answered_nothing__behaviour_9(prompts: str) -> None:
    bench = gathering(f"action='{ACTION}' bargeIn='false'", prompts)
    bench.run(0.2)
    press(bench, "12")
    bench.bye_from(IN)
    clean(bench)
    assert (asked(bench), gathered(bench)) == ([], [(2, "stopped")])


def test_a_worker_that_dies_in_the_midst_of_it_ends_the_call__behaviour_3_1() -> None:
    bench = gathering(prompts=SAY)
    press(bench, "1")
    bench.engine.die(bench.now)
    bench.run(0.1)
    assert bench.order() == ["180", "200", "BYE"]
    clean(bench)


def test_the_operator_ends_it_without_an_action__behaviour_9() -> None:
    bench = gathering(prompts=SAY)
    press(bench, "1")
    bench.act(bench.registry.operator_end(bench.sid, bench.now))
    clean(bench)
    assert asked(bench) == []


def test_the_timeline_does_not_say_which_keys__docs_operations() -> None:
    bench = gathering(f"action='{ACTION}' numDigits='4'")
    press(bench, "9713")
    bench.run(0.5)
    assert not [note for note in bench.notes if note.kind is not Kind.HTTP and "9713" in str(note.data)]
