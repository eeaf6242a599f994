"""Verbs that only say where the script goes on, and what the table of verbs promises."""

from __future__ import annotations

import pytest

from rcml.document import parse_document
from rcml.settings import RcmlSettings
from rcml.verbs import PARSERS, Dial, Verb
from server.calls.records import By, Cause
from server.calls.verbs import RUNNING
from sip.core import commands
from tests.unit.server.calls.bench import ACTION, ONE, Bench, dial

CONTENT = {"Say": "hello", "Play": "/a.wav", "Redirect": "/next", "Dial": ONE}


def verbs_of(text: str) -> tuple[Verb, ...]:
    return parse_document(text.encode(), content_type="text/xml", url="http://app/voice", settings=RcmlSettings()).verbs


@pytest.mark.parametrize("name", PARSERS)
def test_every_verb_that_can_be_read_is_carried_out_or_says_that_it_is_not(name: str) -> None:
    (verb,) = verbs_of(f"<Response><{name}>{CONTENT.get(name, '')}</{name}></Response>")
    assert type(verb) in RUNNING or verb.does_nothing is not None


def test_a_verb_without_a_line_in_the_table_ends_the_script_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(RUNNING, Dial)
    bench = Bench(dial(ONE))
    assert bench.order() == ["180", "500"]
    (notification,) = bench.notifications
    assert (notification.level, notification.line) == ("error", 1) and "<Dial>" in notification.message
    assert bench.records[-1].ended.cause is Cause.FAILED


@pytest.mark.parametrize(
    ("reason", "status", "phrase"), [("busy", 486, "Busy Here"), ("rejected", 603, "Decline"), ("forbidden", 403, "Forbidden")]
)
def test_reject_refuses_an_unanswered_call__behaviour_1_8(reason: str, status: int, phrase: str) -> None:
    bench = Bench(f"<Response><Reject reason='{reason}'/><Say>unreachable</Say></Response>")
    (reject,) = bench.of(commands.SendReject)
    assert (reject.status, reject.reason) == (status, phrase)
    assert bench.verbs() == ["Reject"]


def test_reject_after_a_pause_or_a_failed_dial_still_refuses__behaviour_1_8_4_3() -> None:
    bench = Bench(f"<Response><Pause/><Dial>{ONE}</Dial><Reject reason='busy'/></Response>")
    bench.run(1.5)
    bench.fail(0, 404)
    (reject,) = bench.of(commands.SendReject)
    assert (reject.status, reject.reason) == (486, "Busy Here")


def test_reject_of_an_answered_call_hangs_up__behaviour_9() -> None:
    bench = Bench("<Response><Say>Sorry.</Say><Reject/></Response>")
    bench.run(2.0)
    assert bench.order() == ["180", "200", "BYE"]
    assert bench.records[-1].ended.text == "reject-answered"


def test_hangup_ends_without_an_answer__behaviour_0_12() -> None:
    bench = Bench("<Response><Hangup/><Say>unreachable</Say></Response>")
    assert bench.order() == ["180", "603"]
    assert (bench.records[-1].ended.by, bench.records[-1].ended.text) == (By.APPLICATION, "hangup")


def test_hangup_after_a_failed_dial_relays_what_the_callee_said__behaviour_4_3() -> None:
    bench = Bench(dial(ONE, "", after="<Hangup/>"))
    bench.fail(0, 486, headers=(("Reason", "Q.850;cause=17"),))
    (reject,) = bench.of(commands.SendReject)
    assert reject.status == 486 and ("Reason", "Q.850;cause=17") in reject.headers


def test_redirect_asks_for_the_next_document_without_an_answer__behaviour_1_8() -> None:
    bench = Bench(
        f"<Response><Redirect method='GET'>{ACTION}</Redirect><Say>unreachable</Say></Response>", action="<Response><Reject/></Response>"
    )
    bench.run(0.5)
    assert [request.method for _, request in bench.web.requests if request.purpose == "redirect"] == ["GET"]
    assert bench.order() == ["180", "603"]


@pytest.mark.parametrize("verb", ["<Play>not a url</Play>", "<Redirect>not a url</Redirect>"])
def test_a_verb_without_a_usable_url_ends_the_call__behaviour_9(verb: str) -> None:
    bench = Bench(f"<Response>{verb}<Say>unreachable</Say></Response>")
    assert bench.order() == ["180", "500"]
