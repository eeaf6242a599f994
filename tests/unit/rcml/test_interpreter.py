"""What a call does next (behaviour 1.8, 2.8, 4.4; decisions 3, 6, 11)."""

from __future__ import annotations

from typing import Any

import pytest

from rcml.document import Document
from rcml.errors import UsageError
from rcml.interpreter import End, EndReason, Fetch, Interpreter, Run, Step
from rcml.settings import RcmlSettings
from rcml.verbs import Dial, Hangup, Invalid, Pause, Play, Redirect, Reject, Say
from tests.unit.rcml.reading import give

CONFERENCE = "<Dial><Conference>blue</Conference></Dial>"


def interpreter(*, answered: bool = False, answer_delay: bool = True, **settings: Any) -> Interpreter:
    return Interpreter(settings=RcmlSettings(**settings), answered=answered, answer_delay=answer_delay)


def document(*verbs: str) -> Document:
    return give("<Response>\n" + "\n".join(verbs) + "\n</Response>")


def expect_run(step: Step, kind: type, line: int) -> None:
    assert isinstance(step, Run)
    assert (type(step.verb), step.verb.line) == (kind, line)


def expect_end(step: Step, why: EndReason) -> None:
    assert step == End(why)


# --- the first verb and answering ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("verb", "answer_delay", "needs_answer"),
    [
        ("<Say>x</Say>", True, True),
        ("<Play>x.wav</Play>", True, True),
        ("<Pause/>", False, False),
        ("<Dial>1</Dial>", True, False),
        ("<Dial>1</Dial>", False, True),
        ("<Dial answerOnBridge='true'>1</Dial>", False, False),
        ("<Dial answerOnBridge='false'>1</Dial>", True, True),
        (CONFERENCE, True, True),
        (CONFERENCE.replace("<Dial>", "<Dial answerOnBridge='true'>"), True, True),
    ],
)
def test_what_answers_a_ringing_call__behaviour_1_8_4_1(verb: str, answer_delay: bool, needs_answer: bool) -> None:
    step = interpreter(answer_delay=answer_delay).start(document(verb))
    assert isinstance(step, Run)
    assert step.needs_answer is needs_answer


@pytest.mark.parametrize("verb", ["<Say>x</Say>", "<Play>x.wav</Play>", "<Dial answerOnBridge='false'>1</Dial>", CONFERENCE])
def test_an_answered_call_is_not_answered_again(verb: str) -> None:
    step = interpreter(answered=True).start(document(verb))
    assert isinstance(step, Run)
    assert not step.needs_answer
    later = interpreter()
    later.start(document("<Pause/>", verb))
    later.answered()
    step = later.done()
    assert isinstance(step, Run)
    assert not step.needs_answer


def test_a_dial_after_a_failed_dial_keeps_waiting_and_a_play_answers__behaviour_4_4() -> None:
    call = interpreter()
    call.start(document("<Dial>1</Dial>", "<Dial>2</Dial>", "<Pause/>", "<Play>x.wav</Play>"))
    for step, kind, needs_answer in (
        (call.done(answered=False, waited=False), Dial, False),
        (call.done(answered=False, waited=False), Pause, False),
        (call.done(), Play, True),
    ):
        assert isinstance(step, Run)
        assert (type(step.verb), step.needs_answer) == (kind, needs_answer)


@pytest.mark.parametrize(("reason", "status", "phrase"), [("busy", 486, "Busy Here"), ("rejected", 603, "Decline"), ("?", 603, "Decline")])
def test_reject_is_run_without_an_answer__behaviour_1_8(reason: str, status: int, phrase: str) -> None:
    step = interpreter().start(document(f"<Reject reason='{reason}'/>", "<Say>unreachable</Say>"))
    assert isinstance(step, Run) and isinstance(step.verb, Reject)
    assert (step.verb.status, step.verb.reason_phrase, step.needs_answer) == (status, phrase, False)


def test_reject_after_a_pause_or_a_failed_dial_is_still_run_without_an_answer__behaviour_1_8_4_3() -> None:
    call = interpreter()
    call.start(document("<Pause/>", "<Dial>1</Dial>", "<Reject reason='busy'/>"))
    call.done()
    assert call.done(answered=False, waited=False) == Run(Reject(4, 486, "Busy Here", "busy"), needs_answer=False)


def test_hangup_is_run_without_an_answer__behaviour_0_12() -> None:
    assert interpreter().start(document("<Hangup/>", "<Say>unreachable</Say>")) == Run(Hangup(2), needs_answer=False)


def test_redirect_asks_for_the_next_document_without_an_answer__behaviour_1_8() -> None:
    call = interpreter()
    step = call.start(document("<Redirect method='GET'>two</Redirect>", "<Say>unreachable</Say>"))
    assert step == Run(Redirect(2, "http://app.example.com/calls/two", "GET"), needs_answer=False)
    expect_run(call.start(document("<Say>x</Say>")), Say, 2)


def test_the_end_of_a_document_ends_the_call__reference_page() -> None:
    call = interpreter()
    expect_run(call.start(document("<Say>x</Say>")), Say, 2)
    expect_end(call.done(), EndReason.DOCUMENT_DONE)
    expect_end(interpreter().start(document()), EndReason.DOCUMENT_DONE)


@pytest.mark.parametrize("verb", ["<Play>not a url</Play>", "<Redirect>not a url</Redirect>"])
def test_a_verb_without_a_usable_url_ends_the_call__behaviour_9(verb: str) -> None:
    expect_run(interpreter().start(document(verb, "<Say>unreachable</Say>")), Invalid, 2)


def test_verbs_of_later_releases_are_passed_over() -> None:
    expect_run(interpreter().start(document("<Fax/>", "<Say>x</Say>")), Say, 3)


def test_a_document_that_cannot_be_had_ends_the_call__behaviour_1_9() -> None:
    call = interpreter()
    call.start(document("<Redirect>two</Redirect>"))
    expect_end(call.document_failed(), EndReason.FAILED)


# --- after the Dial -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("answered", [True, False])
@pytest.mark.parametrize("mode", ["skip-dials", "next-verb", "hangup"])
def test_an_action_is_asked_once_and_its_answer_runs_instead_of_the_rest__behaviour_2_8(answered: bool, mode: str) -> None:
    call = interpreter(after_answer=mode)
    call.start(document("<Dial action='done' method='get'>1</Dial>", "<Say>unreachable</Say>"))
    assert call.done(answered=answered, waited=False) == Fetch("http://app.example.com/calls/done", "GET", 2)
    expect_run(call.start(document("\n<Dial action='again'>2</Dial>")), Dial, 3)
    assert call.done(answered=False, waited=False) == Fetch("http://app.example.com/calls/again", "POST", 3)
    expect_end(call.document_failed(), EndReason.FAILED)


@pytest.mark.parametrize("answered", [True, False])
def test_an_action_that_is_no_url_ends_the_call_after_the_dial__behaviour_0_11(answered: bool) -> None:
    call = interpreter()
    expect_run(call.start(document("<Dial action='not a url'>1</Dial>", "<Say>unreachable</Say>")), Dial, 2)
    expect_end(call.done(answered=answered, waited=False), EndReason.ACTION_INVALID)


def test_an_unanswered_dial_goes_on_with_the_next_verb__reference_page() -> None:
    call = interpreter()
    call.start(document("<Dial>1</Dial>", "<Pause/>", "<Dial>2</Dial>", "<Say>nobody</Say>"))
    expect_run(call.done(answered=False, waited=False), Pause, 3)
    expect_run(call.done(), Dial, 4)
    expect_run(call.done(answered=False, waited=False), Say, 5)
    expect_end(call.done(), EndReason.DOCUMENT_DONE)
    assert call.take_notices() == []


SEQUENCE = ("<Dial>1</Dial>", "<Pause/>", "<Dial>2</Dial>", "<Pause/>", "<Dial>3</Dial>", "<Pause/>", "<Fax/>", "<Say>bye</Say>")


def test_skip_dials_runs_what_is_left_but_no_further_dial__behaviour_2_8_0_3() -> None:
    call = interpreter(after_answer="skip-dials")
    call.start(document(*SEQUENCE))
    expect_run(call.done(answered=True, waited=False), Pause, 7)
    expect_run(call.done(), Say, 9)
    expect_end(call.done(), EndReason.DOCUMENT_DONE)
    (notice,) = call.take_notices()
    assert (notice.code, notice.level, notice.line) == (12200, "warning", 4)
    assert call.take_notices() == []


def test_the_sequence_of_dials_stops_once_a_party_answered__reference_page() -> None:
    call = interpreter()
    call.start(document("<Dial>1</Dial>", "<Pause/>", "<Dial>2</Dial>", "<Pause/>", "<Dial>3</Dial>"))
    expect_run(call.done(answered=False, waited=False), Pause, 3)
    expect_run(call.done(), Dial, 4)
    expect_end(call.done(answered=True, waited=False), EndReason.DOCUMENT_DONE)


def test_a_pause_that_leads_to_no_dial_runs_after_an_answered_dial__behaviour_0_3() -> None:
    call = interpreter()
    call.start(document("<Dial>1</Dial>", "<Pause/>"))
    expect_run(call.done(answered=True, waited=False), Pause, 3)


def test_next_verb_runs_all_that_is_left__behaviour_2_8() -> None:
    call = interpreter(after_answer="next-verb")
    call.start(document(*SEQUENCE))
    expect_run(call.done(answered=True, waited=False), Pause, 3)
    expect_run(call.done(), Dial, 4)
    assert call.take_notices() == []


def test_hangup_after_answer_runs_nothing_more__behaviour_2_8() -> None:
    call = interpreter(after_answer="hangup")
    call.start(document("<Dial>1</Dial>", "<Say>never</Say>"))
    expect_end(call.done(answered=True, waited=False), EndReason.DOCUMENT_DONE)
    call = interpreter(after_answer="hangup")
    call.start(document("<Dial>1</Dial>", "<Say>sorry</Say>"))
    expect_run(call.done(answered=False, waited=False), Say, 3)


def test_dials_of_the_next_document_run_again__behaviour_2_8() -> None:
    call = interpreter()
    call.start(document("<Dial>1</Dial>", "<Redirect>two</Redirect>"))
    expect_run(call.done(answered=True, waited=False), Redirect, 3)
    expect_run(call.start(document("<Dial>2</Dial>")), Dial, 2)


@pytest.mark.parametrize(
    "dial", ["<Dial/>", "<Dial> </Dial>", "<Dial action='x'/>", "<Dial action='not a url'/>", "<Dial><Number/></Dial>"]
)
def test_a_dial_of_nobody_is_passed_over_and_asks_no_action__behaviour_2_11(dial: str) -> None:
    call = interpreter()
    expect_run(call.start(document(dial, "<Say>x</Say>")), Say, 3)
    assert [(notice.code, notice.line) for notice in call.take_notices()] == [(12200, 2)]


# --- the caller has gone ------------------------------------------------------------------------------------------


def test_nothing_that_needs_a_call_runs_after_the_caller_has_gone__behaviour_0_6() -> None:
    rest = (
        "<Pause/>",
        "<Say>x</Say>",
        "<Play>x.wav</Play>",
        "<Redirect>x</Redirect>",
        "<Dial>2</Dial>",
        "<Reject/>",
        "<Hangup/>",
        "<Play>a b</Play>",
    )
    call = interpreter()
    call.start(document("<Say>x</Say>", *rest))
    call.caller_gone()
    expect_end(call.done(), EndReason.CALLER_GONE)
    expect_end(call.start(document(*rest)), EndReason.CALLER_GONE)
    expect_end(call.document_failed(), EndReason.CALLER_GONE)


@pytest.mark.parametrize("answered", [True, False])
def test_the_action_is_still_asked_after_the_caller_has_gone__behaviour_2_8(answered: bool) -> None:
    call = interpreter()
    call.start(document("<Dial action='done'>1</Dial>"))
    call.caller_gone()
    assert call.done(answered=answered, waited=False) == Fetch("http://app.example.com/calls/done", "POST", 2)
    expect_end(call.start(document("<Say>x</Say>")), EndReason.CALLER_GONE)


@pytest.mark.parametrize("action", ["", "action='not a url'"])
def test_without_an_action_a_gone_caller_ends_it__behaviour_2_8(action: str) -> None:
    call = interpreter()
    call.start(document(f"<Dial {action}>1</Dial>", "<Say>x</Say>"))
    call.caller_gone()
    expect_end(call.done(answered=True, waited=False), EndReason.CALLER_GONE)


# --- from outside, and mistakes of our own ------------------------------------------------------------------------


def test_a_document_from_outside_abandons_the_dial_without_its_action__behaviour_2_8() -> None:
    call = interpreter()
    call.start(document("<Dial action='done'>1</Dial>"))
    expect_run(call.start(document("<Say>x</Say>")), Say, 2)
    expect_end(call.done(), EndReason.DOCUMENT_DONE)
    call.start(document("<Dial action='done'>1</Dial>"))
    call.start(document())
    with pytest.raises(UsageError):
        call.done(answered=False, waited=False)


def test_an_input_that_cannot_be_is_a_usage_error() -> None:
    call = interpreter()
    for answered in (False, True):
        with pytest.raises(UsageError):
            call.done(answered=answered)
    call.start(document("<Dial>1</Dial>"))
    call.done()
    with pytest.raises(UsageError):
        call.done()


# --- bounds -------------------------------------------------------------------------------------------------------


def until_the_end(call: Interpreter, answer: Document, dials_answered: bool = False, dials_wait: bool = False) -> tuple[int, Step]:
    """Give the same document again and again; how many were given, and what came in the end."""
    documents, step = 1, call.start(answer)
    for _ in range(10_000):
        match step:
            case Fetch() | Run(Redirect()):
                documents, step = documents + 1, call.start(answer)
            case Run(Dial()):
                step = call.done(answered=dials_answered, waited=dials_wait)
            case Run():
                step = call.done()
            case _:
                return documents, step
    raise AssertionError("endless")


@pytest.mark.parametrize("verbs", ["<Redirect>x</Redirect>", "<Dial action='x'>1</Dial>", "<Say/><Fax/><Redirect>x</Redirect>"])
def test_a_loop_of_documents_in_which_nothing_happens_is_ended__rcml_limits(verbs: str) -> None:
    call = interpreter(max_idle_documents=20)
    assert until_the_end(call, document(verbs)) == (21, End(EndReason.FAILED))
    (notice,) = call.take_notices()
    assert (notice.code, notice.level, notice.line) == (12200, "error", 2)


def test_a_loop_in_which_something_is_heard_ends_at_the_calls_limit_of_documents__rcml_limits() -> None:
    call = interpreter(max_idle_documents=20, max_documents_per_call=300)
    assert until_the_end(call, document("<Pause/>", "<Redirect>x</Redirect>")) == (301, End(EndReason.FAILED))
    call = interpreter(max_idle_documents=20, max_documents_per_call=300)
    assert until_the_end(call, document("<Dial action='x'>1</Dial>"), dials_answered=True) == (301, End(EndReason.FAILED))


def test_dialling_again_and_again_is_no_loop_when_each_dial_takes_its_time__rcml_limits() -> None:
    """A hunt for a free agent, its caller waiting: `action` answers with the same Dial."""
    call = interpreter(max_idle_documents=20, max_documents_per_call=300)
    assert until_the_end(call, document("<Dial action='x'>1</Dial>"), dials_wait=True) == (301, End(EndReason.FAILED))


def test_a_call_ends_at_its_limit_of_verbs__rcml_limits() -> None:
    call = interpreter(max_verbs_per_call=50)
    assert until_the_end(call, document(*["<Pause/>"] * 30, "<Redirect>x</Redirect>")) == (2, End(EndReason.FAILED))
    assert "50 verbs" in call.take_notices()[0].message
