"""An application written for TwiML: what its calls do otherwise (docs/rcml.md, The other dialect)."""

from __future__ import annotations

import pytest

from rcml.dialect import RCML, TWIML, Dialect
from server.calls.policy import Application
from sip.core import commands
from tests.unit.server.calls.bench import ACTION, ONE, VOICE, Bench, dial

BOTH = pytest.mark.parametrize("dialect", [RCML, TWIML], ids=["rcml", "twiml"])
CALLBACK = "<Sip statusCallback='/leg' {}>sip:alice@192.0.2.8</Sip>"
ALL = "statusCallbackEvent='initiated ringing answered completed'"


def called(document: str, dialect: Dialect, **more: object) -> Bench:
    return Bench(document, application=Application("2222", VOICE, dialect=dialect), **more)  # type: ignore[arg-type]


@BOTH
def test_the_caller_is_answered_before_or_after_the_dial__rcml_the_other_dialect(dialect: Dialect) -> None:
    bench = called(dial(ONE), dialect)
    assert bench.order() == (["180", "200", "INVITE"] if dialect is TWIML else ["180", "INVITE"])


def test_answer_on_bridge_and_the_numbers_own_setting_rule_over_the_dialect__behaviour_0_2() -> None:
    assert called(dial(ONE, 'answerOnBridge="true"'), TWIML).order() == ["180", "INVITE"]
    assert Bench(dial(ONE), application=Application("2222", VOICE, dialect=TWIML, answer_delay=True)).order() == ["180", "INVITE"]


@BOTH
def test_the_states_of_a_leg_are_told_by_their_own_names__rcml_the_other_dialect(dialect: Dialect) -> None:
    bench = called(dial(CALLBACK.format(ALL), ""), dialect)
    bench.answer(0)
    bench.bye_from(bench.leg(0))
    told = [(item["CallStatus"], item["SequenceNumber"]) for item in bench.web.of("leg-status")]
    if dialect is TWIML:
        assert told == [("initiated", "0"), ("in-progress", "1"), ("completed", "2")]  # counted as they were sent
    else:
        assert told == [("initiated", "0"), ("answered", "2"), ("completed", "3")]


@pytest.mark.parametrize(("status", "state"), [(486, "busy"), (404, "failed"), (480, "no-answer")])
def test_only_the_end_of_a_leg_is_told_unless_asked_for__rcml_the_other_dialect(status: int, state: str) -> None:
    bench = called(dial(CALLBACK.format(""), ""), TWIML)
    bench.progress(0)
    bench.fail(0, status)
    assert [(item["CallStatus"], item["SequenceNumber"]) for item in bench.web.of("leg-status")] == [(state, "0")]


@BOTH
def test_a_dial_after_an_answered_one__rcml_the_other_dialect(dialect: Dialect) -> None:
    bench = called(f"<Response><Dial>{ONE}</Dial><Dial>{ONE}</Dial></Response>", dialect)
    bench.answer(0)
    bench.bye_from(bench.leg(0))
    bench.run(0.1)
    assert len(bench.of(commands.SendInvite)) == (2 if dialect is TWIML else 1)


@BOTH
def test_parameters_of_a_request__rcml_the_other_dialect(dialect: Dialect) -> None:
    headers = (("X-Tag", "one"), ("X-Tag", "two"))
    bench = called(dial(ONE), dialect, caller="<sip:12025550199@192.0.2.7>;tag=1", invite_headers=headers)
    (voice,) = [request.parameters for _, request in bench.web.requests if request.purpose == "voice"]
    twiml = dialect is TWIML
    assert dict(voice)["ApiVersion"] == ("2010-04-01" if twiml else "2012-04-24")
    assert dict(voice)["From"] == ("+12025550199" if twiml else "12025550199")
    assert [value for name, value in voice if name == "SipHeader_X-Tag"] == (["one, two"] if twiml else ["one", "two"])


@BOTH
@pytest.mark.parametrize("answered", [True, False])
def test_the_action_says_whether_they_were_connected__rcml_the_other_dialect(dialect: Dialect, answered: bool) -> None:
    bench = called(dial(ONE), dialect)
    if answered:
        bench.answer(0)
        bench.bye_from(bench.leg(0))
    else:
        bench.fail(0, 486)
    assert bench.action.get("DialBridged") == (str(answered).lower() if dialect is TWIML else None)


@BOTH
def test_a_document_is_waited_for__rcml_the_other_dialect(dialect: Dialect) -> None:
    bench = called(dial(ONE, f'action="{ACTION}"'), dialect)
    assert {request.timeout_s for _, request in bench.web.requests if request.purpose == "voice"} == {15.0 if dialect is TWIML else 0.0}


def test_a_screening_document_is_of_the_same_dialect__behaviour_2_5() -> None:
    bench = called(dial('<Sip url="/screen">sip:alice@192.0.2.8</Sip>'), TWIML)
    bench.answer(0)
    bench.run(0.1)
    assert bench.web.of("screening")[0]["ApiVersion"] == "2010-04-01"


@BOTH
def test_a_document_by_rest_is_of_the_calls_dialect__rcml_the_other_dialect(dialect: Dialect) -> None:
    bench = called(dial(ONE), dialect)
    bench.act(bench.registry.redirect(bench.sid, Application("", "http://app/other"), bench.now))
    assert bench.web.of("redirect")[0]["ApiVersion"] == dialect.api_version
