"""Between a called party's answer and the bridge: a document that decides, or a key of the party's (behaviour 2.5, 0.7)."""

from __future__ import annotations

import pytest

from media import engine
from server.calls.effects import Fetch, Fetched
from server.calls.policy import Application
from server.calls.records import By, Cause
from sip.core import commands, events
from sip.message import Headers, Request
from tests.unit.server.calls.bench import ONE, VOICE, Bench, dial
from tests.unit.server.calls.verbs.screening import ALICE, CAROL, DECLINES, SCREEN, rests, screened, told

ASKS = "<Response><Gather numDigits='1' action='/key'><Say>Press 1.</Say></Gather><Hangup/></Response>"


def asked_for_a_key(nouns: str = ALICE) -> Bench:
    bench = screened(nouns, ASKS)
    accepts = {"1": "", "2": "<Response><Hangup/></Response>"}
    bench.web.pages["http://app/key"] = lambda request: bench.web.answer(request, accepts[dict(request.parameters)["Digits"]])
    return bench


def press(bench: Bench, leg: int, key: str, source: str = "rfc4733") -> None:
    bench.give_engine(engine.Digit(stream=str(bench.leg(leg)), digit=key, duration_ms=100, source=source))


# --- the document decides -------------------------------------------------------------------------------------------


def test_the_party_hears_its_document_and_then_the_caller__behaviour_2_5() -> None:
    bench = screened()
    bench.progress(0)
    bench.answer(0)
    bench.run(0.5)
    assert [play.stream for play in bench.engine.played] == [str(bench.leg(0))]
    assert bench.order() == ["180", "INVITE"] and not bench.engine.bridges
    bench.run(1.0)
    assert bench.order() == ["180", "INVITE", "200"] and len(bench.engine.bridges) == 1
    bench.run(2.0)
    bench.bye_from(bench.leg(0))
    assert told(bench) == ("completed", "3", None)
    rests(bench)


def test_the_screening_request_tells_of_the_leg__behaviour_2_5() -> None:
    bench = screened()
    bench.answer(0, headers=(("X-Agent", "7"), ("X-Agent", "8"), ("Server", "phone")))
    bench.run(0.1)
    ((_, request),) = [(at, request) for at, request in bench.web.requests if request.purpose == "screening"]
    assert (request.url, request.method) == (SCREEN, "POST")
    parameters = dict(request.parameters)
    expected = {"CallSid": str(bench.leg(0)), "AccountSid": "AC1", "From": "bob", "To": "alice", "CallStatus": "in-progress"}
    expected |= {"ApiVersion": "2012-04-24", "Direction": "outbound-dial", "CallerName": "Bob", "SipCallId": "leg-0"}
    assert {name: parameters[name] for name in expected} == expected
    assert [value for name, value in request.parameters if name == "SipHeader_X-Agent"] == ["7", "8"]
    assert not any(name.startswith("Dial") or name == "ParentCallSid" for name in parameters)


def test_a_numbers_screening_request_tells_nothing_of_sip__behaviour_2_5() -> None:
    bench = screened('<Number url="/screen" method="get">1234</Number>')
    bench.answer(0, headers=(("X-Agent", "7"),))
    bench.run(0.1)
    (request,) = [request for _, request in bench.web.requests if request.purpose == "screening"]
    assert request.method == "GET"
    assert not {"SipCallId", "SipHeader_X-Agent"} & dict(request.parameters).keys()


def test_forwarded_from_reaches_the_screening_document_and_the_leg_callbacks__behaviour_2_5_2_6() -> None:
    nouns = '<Sip url="/screen" statusCallback="/leg">sip:alice@192.0.2.8</Sip>'
    bench = Bench(dial(nouns), invite_headers=(("Diversion", "<sip:11223344@x.com>;counter=1"),))
    bench.answer(0)
    bench.run(0.1)
    assert bench.web.of("screening")[0]["ForwardedFrom"] == "11223344"
    assert {parameters["ForwardedFrom"] for parameters in bench.web.of("leg-status")} == {"11223344"}


def test_an_empty_document_accepts__behaviour_2_5() -> None:
    bench = screened(page="")
    bench.answer(0)
    bench.run(0.1)
    assert len(bench.engine.bridges) == 1


def test_a_redirect_goes_on_in_another_document__behaviour_2_5() -> None:
    bench = screened(page="<Response><Redirect>/second</Redirect></Response>")
    bench.web.pages["http://app/second"] = "<Response><Pause length='2'/></Response>"
    bench.answer(0)
    bench.run(1.9)
    assert not bench.engine.bridges
    assert bench.web.of("redirect")[0]["CallSid"] == str(bench.leg(0))
    bench.run(0.3)
    assert len(bench.engine.bridges) == 1


@pytest.mark.parametrize("verb", ["<Hangup/>", "<Reject/>", "<Pause/><Hangup/>"])
def test_a_document_that_hangs_up_declines__behaviour_2_5_0_7(verb: str) -> None:
    bench = screened(page=f"<Response>{verb}</Response>")
    bench.answer(0)
    bench.run(1.5)
    assert told(bench) == ("no-answer", "0", None)
    assert "DialSipResponseCode" not in bench.action
    assert bench.order() == ["180", "INVITE", "BYE", "480"]
    (leg,) = [record for record in bench.records if record.parent_sid]
    assert (leg.ended.cause, leg.ended.by) == (Cause.NO_ANSWER, By.APPLICATION)
    rests(bench)


def test_a_decline_lets_the_caller_go_on_with_the_next_verb__behaviour_2_5_2_8() -> None:
    bench = screened(page=DECLINES, attributes="", after=f"<Dial>{ONE}</Dial>")
    bench.answer(0)
    bench.run(2.0)
    assert bench.verbs().count("Dial") == 2  # nobody was connected, so the next Dial is no second one
    bench.answer(1)
    assert len(bench.engine.bridges) == 1


@pytest.mark.parametrize(
    ("page", "code"),
    [
        ("<Response><Say>unclosed</Response>", 12100),
        ("<Response><Play>/broken.wav</Play></Response>", 13233),
        (f"<Response><Dial>{ONE}</Dial></Response>", 12200),
    ],
)
def test_a_document_that_cannot_be_run_fails_the_dial__behaviour_2_5_0_7(page: str, code: int) -> None:
    bench = screened(page=page)
    bench.web.broken_prompts.add("http://app/broken.wav")
    bench.answer(0)
    bench.run(1.0)
    assert told(bench) == ("failed", "0", "Screening document unavailable")
    assert [(item.code, item.level, item.line) for item in bench.notifications] == [(code, "error", 1)]
    assert bench.order() == ["180", "INVITE", "BYE", "480"]
    rests(bench)


def test_a_document_that_cannot_be_had_fails_the_dial_and_no_fallback_is_asked__behaviour_2_5() -> None:
    def page(request: Fetch) -> Fetched:
        return Fetched(request.request, 503, request.url)

    application = Application("2222", VOICE, fallback_url="http://app/fallback")
    bench = Bench(dial(ALICE), application=application, before=lambda bench: bench.web.pages.update({SCREEN: page}))
    bench.answer(0)
    bench.run(0.5)
    assert told(bench) == ("failed", "0", "Screening document unavailable")
    assert bench.web.of("fallback") == []
    assert [item.code for item in bench.notifications] == [11206]


def test_screening_that_takes_too_long_is_over__behaviour_2_5() -> None:
    bench = screened('<Sip url="/screen" timeout="5">sip:alice@192.0.2.8</Sip>', "<Response><Pause length='30'/></Response>")
    bench.answer(0)
    bench.run(4.9)
    assert bench.order() == ["180", "INVITE"]
    bench.run(0.2)
    assert told(bench)[0] == "no-answer"
    assert bench.order()[:3] == ["180", "INVITE", "BYE"]
    rests(bench)


def test_an_application_that_hangs_holds_the_party_for_the_screening_time_only__behaviour_2_5() -> None:
    bench = screened('<Sip url="/screen" timeout="5">sip:alice@192.0.2.8</Sip>')
    bench.web.delay_s = 1e9
    bench.answer(0)
    bench.run(5.1)
    assert bench.action["DialCallStatus"] == "no-answer"
    assert bench.of(commands.SendBye)[0].session == bench.leg(0)


# --- press 1 to accept ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("key", "status"), [("1", "completed"), ("2", "no-answer")])
def test_the_partys_key_accepts_or_declines__behaviour_2_5(key: str, status: str) -> None:
    bench = asked_for_a_key()
    bench.answer(0)
    bench.run(0.3)
    press(bench, 0, key)
    bench.run(0.1)
    (asked,) = [dict(request.parameters) for _, request in bench.web.requests if request.url == "http://app/key"]
    assert (asked["Digits"], asked["CallSid"], asked["Direction"]) == (key, str(bench.leg(0)), "outbound-dial")
    assert len(bench.engine.bridges) == (key == "1")
    if key == "1":
        bench.bye_from(bench.leg(0))
    assert told(bench)[0] == status
    rests(bench)


def test_no_key_declines__behaviour_2_5() -> None:
    bench = asked_for_a_key()
    bench.answer(0)
    bench.run(8.0)
    assert told(bench)[0] == "no-answer"
    rests(bench)


def test_a_key_by_info_counts__behaviour_2_5() -> None:
    bench = asked_for_a_key()
    bench.answer(0)
    bench.run(0.3)
    info = Request("INFO", "sip:x", Headers([("Content-Type", "application/dtmf-relay")]), b"Signal=1\r\nDuration=100\r\n")
    bench.give(events.RequestReceived(bench.leg(0), commands.TransactionId("t"), info))
    bench.run(0.1)
    assert len(bench.engine.bridges) == 1


def test_the_callers_keys_are_not_the_partys__behaviour_2_5() -> None:
    bench = asked_for_a_key()
    bench.answer(0)
    bench.run(0.3)
    bench.give_engine(engine.Digit(stream=bench.sid, digit="1", duration_ms=100))
    bench.run(0.5)
    assert not bench.engine.bridges


def test_of_two_who_are_asked_the_one_who_presses_first_wins__behaviour_2_5() -> None:
    bench = asked_for_a_key(ALICE + CAROL)
    bench.answer(0)
    bench.answer(1)
    bench.run(0.5)
    press(bench, 1, "1")
    press(bench, 0, "1")  # too late by a hair: their answers are under way at once
    bench.run(0.2)
    assert len(bench.engine.bridged_pairs) == 1
    (bye,) = bench.of(commands.SendBye)
    bench.bye_from(bench.leg(0) if bye.session == bench.leg(1) else bench.leg(1))
    assert told(bench)[0] == "completed"
    rests(bench)


def test_a_party_that_leaves_a_message_is_recorded_for_itself__behaviour_2_5_7() -> None:
    bench = screened(page="<Response><Record maxLength='2' action='/kept' playBeep='false'/></Response>")
    bench.answer(0)
    bench.run(0.2)
    (recording,) = bench.engine.recordings
    bench.give_engine(engine.RecordingEnded(recording=recording, path="/rec/x.wav", duration_ms=2000, size_bytes=99, reason="limit"))
    bench.engine.recordings.clear()
    bench.run(0.1)
    (asked,) = [dict(request.parameters) for _, request in bench.web.requests if request.url == "http://app/kept"]
    assert recording in asked["RecordingUrl"]
    assert len(bench.engine.bridges) == 1
