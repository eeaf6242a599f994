"""Between a called party's answer and the bridge: keys that are pressed for it, a document that decides (behaviour 2.4, 2.5, 0.7)."""

from __future__ import annotations

import pytest

from media import engine
from media.settings import KNOWN_CODECS, MediaSettings
from server.calls.destination import Destination, Placed
from server.calls.effects import Fetch, Fetched, Kind
from server.calls.keys import pressing_s
from server.calls.legs.outbound import ELSEWHERE
from server.calls.legs.party import Party
from server.calls.policy import Application
from server.calls.records import By, Cause
from sip.core import commands, events
from sip.message import Headers, Request
from tests.support.descriptions import sdp
from tests.support.virtual import Page
from tests.unit.server.calls.bench import ACTION, IN, ONE, VOICE, Bench, dial

SCREEN = "http://app/screen"
ALICE = '<Sip url="/screen">sip:alice@192.0.2.8</Sip>'
CAROL = '<Sip url="/screen">sip:carol@192.0.2.10</Sip>'
NUMBER = "<Number>1-444-555-6666</Number>"
PRESSING = '<Number sendDigits="ww12#W3">1-444-555-6666</Number>'
ACCEPTS = "<Response><Say>A call for you.</Say></Response>"
DECLINES = "<Response><Say>Nobody wants this.</Say><Hangup/></Response>"


def screened(nouns: str = ALICE, page: str | Page = ACCEPTS, attributes: str = f'action="{ACTION}"', after: str = "") -> Bench:
    def before(bench: Bench) -> None:
        bench.web.pages[SCREEN] = page

    return Bench(dial(nouns, attributes, after), before=before)


def told(bench: Bench) -> tuple[str, str, str | None]:
    """What the action hears of the Dial."""
    (action,) = [dict(request.parameters) for _, request in bench.web.requests if request.url == ACTION]
    return action["DialCallStatus"], action["DialCallDuration"], action.get("FailureReason")


def rests(bench: Bench) -> None:
    """The call is over, and nothing of it lives once all peers have answered."""
    bench.run(4.0)
    ended = {sent.session: sent for sent in bench.sent if isinstance(sent, commands.SendCancel | commands.SendBye | commands.SendReject)}
    for session, sent in ended.items():
        match sent:
            case commands.SendCancel():
                bench.give(events.InviteFailed(session, events.FailureCause.CANCELED, None))
            case commands.SendBye():
                bench.give(events.SessionEnded(session, events.EndCause.BYE_ANSWERED))
            case commands.SendReject():
                bench.give(events.SessionEnded(session, events.EndCause.REJECTED))
    bench.run(90.0)
    assert not any(bench.registry.counts().values())
    assert bench.engine.empty and bench.engine.complaints == []
    assert len({record.sid for record in bench.records}) == len(bench.records)


# --- sendDigits -----------------------------------------------------------------------------------------------------


def test_keys_take_200_ms_and_pauses_half_a_second_or_one__behaviour_2_4() -> None:
    assert pressing_s("ww12#W3") == pytest.approx(2 * 0.5 + 3 * 0.2 + 1.0 + 0.2)


def test_keys_are_pressed_before_the_bridge_and_the_caller_is_answered_behind_them__behaviour_2_4() -> None:
    bench = Bench(dial(PRESSING))
    bench.progress(0)
    bench.answer(0)
    (press,) = bench.engine.digits
    assert (press.stream, press.digits, press.tone_ms, press.gap_ms) == (str(bench.leg(0)), "ww12#W3", 100, 100)
    assert bench.order() == ["180", "INVITE"] and not bench.engine.bridges
    bench.run(pressing_s("ww12#W3") - 0.01)
    assert not bench.engine.bridges
    bench.run(0.02)
    assert bench.order() == ["180", "INVITE", "200"]
    assert len(bench.engine.bridges) == 1
    bench.run(3.0)
    bench.bye_from(bench.leg(0))
    assert told(bench) == ("completed", "5", None)  # from its answer on, the keys included
    rests(bench)


def test_a_party_with_keys_has_won_by_its_answer__behaviour_2_4_2_7() -> None:
    bench = Bench(dial(PRESSING + ONE))
    bench.progress(1)
    bench.answer(0)
    (cancel,) = bench.of(commands.SendCancel)
    assert (cancel.session, cancel.reason) == (bench.leg(1), ELSEWHERE)
    bench.run(5.0)
    assert bench.order() == ["180", "INVITE", "INVITE", "CANCEL", "200"]


def test_a_party_that_hangs_up_during_its_keys_was_never_connected__behaviour_2_4_0_7() -> None:
    bench = Bench(dial(PRESSING))
    bench.answer(0)
    bench.run(1.0)
    bench.bye_from(bench.leg(0))
    assert told(bench) == ("no-answer", "0", None)
    bench.run(0.1)
    assert bench.order() == ["180", "INVITE", "480"]
    assert [(record.ended.cause, record.ended.by) for record in bench.records if record.parent_sid] == [(Cause.NO_ANSWER, By.CALLEE)]
    rests(bench)


def test_the_caller_who_leaves_during_the_keys_takes_the_party_down__behaviour_2_4_2_7() -> None:
    bench = Bench(dial(PRESSING))
    bench.answer(0)
    bench.run(1.0)
    bench.cancel()
    assert bench.order() == ["180", "INVITE", "BYE", "487"]
    assert told(bench)[:2] == ("canceled", "0")
    rests(bench)


def test_an_answered_caller_hears_ringback_while_keys_are_pressed__behaviour_2_4() -> None:
    bench = Bench(dial(PRESSING, 'answerOnBridge="false"'))
    bench.answer(0)
    assert [play.tone for play in bench.engine.played] == ["ringback"]
    ringback = bench.engine.played[0]
    assert bench.engine.streams[ringback.stream].play == ringback.play  # still to be heard
    bench.run(5.0)
    assert len(bench.engine.bridges) == 1 and not bench.engine.streams[ringback.stream].play


def test_early_media_is_not_heard_any_more_while_keys_are_pressed__behaviour_2_4_0_1() -> None:
    bench = Bench(dial(PRESSING))
    bench.progress(0, 183, sdp("192.0.2.8"))
    assert len(bench.engine.bridges) == 1
    bench.answer(0)
    assert not bench.engine.bridges
    bench.run(5.0)
    assert len(bench.engine.bridges) == 1


# --- screening: the document decides --------------------------------------------------------------------------------


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


def test_keys_come_before_the_document__behaviour_2_4_2_5() -> None:
    bench = screened('<Number url="/screen" sendDigits="w1">1234</Number>')
    bench.answer(0)
    bench.run(0.6)
    assert bench.web.of("screening") == [] and len(bench.engine.digits) == 1
    bench.run(0.2)
    assert len(bench.web.of("screening")) == 1
    bench.run(1.5)
    assert len(bench.engine.bridges) == 1


def test_codecs_that_only_pass_are_not_offered_to_whom_something_is_played__behaviour_2_5() -> None:
    for nouns, offered in ((ONE, True), (ALICE, False), ('<Number sendDigits="1">12</Number>', False)):
        bench = Bench(dial(nouns), offer=sdp("192.0.2.7", 4000, "18 0 101"), media=MediaSettings(codecs=KNOWN_CODECS))
        assert (b"RTP/AVP 18 " in bench.of(commands.SendInvite)[0].body) is offered


# --- screening: forks -----------------------------------------------------------------------------------------------


def test_others_ring_on_until_one_is_accepted__behaviour_2_5() -> None:
    bench = screened(ALICE + ONE)
    bench.progress(1)
    bench.answer(0)
    bench.run(0.5)
    assert bench.of(commands.SendCancel) == []
    bench.run(1.0)
    assert bench.order() == ["180", "INVITE", "INVITE", "200", "CANCEL"]
    assert bench.of(commands.SendCancel)[0].reason == ELSEWHERE
    bench.bye_from(bench.leg(0))
    assert bench.action["DialCallSid"] == str(bench.leg(0))
    rests(bench)


def test_one_without_a_document_who_answers_meanwhile_wins_at_once__behaviour_2_5() -> None:
    bench = screened(ALICE + ONE)
    bench.answer(0)
    bench.run(0.5)
    bench.answer(1)
    (bye,) = bench.of(commands.SendBye)
    assert (bye.session, bye.reason) == (bench.leg(0), ELSEWHERE)
    assert bench.engine.bridged_pairs[-1][1] == str(bench.leg(1))
    bench.run(2.0)
    assert len(bench.engine.bridged_pairs) == 1  # what the document has come to is of no matter
    bench.bye_answered(0)
    bench.bye_from(bench.leg(1))
    assert (bench.action["DialCallStatus"], bench.action["DialCallSid"]) == ("completed", str(bench.leg(1)))
    rests(bench)


def test_the_first_accepted_wins_and_not_the_first_to_answer__behaviour_2_5() -> None:
    def page(request: Fetch) -> Fetched:
        slow = dict(request.parameters)["To"] == "alice"
        return bench.web.answer(request, f"<Response><Pause length='{9 if slow else 1}'/></Response>")

    bench = screened(ALICE + CAROL, page)
    bench.answer(0)
    bench.run(2.0)
    bench.answer(1)
    bench.run(1.5)
    assert [bye.session for bye in bench.of(commands.SendBye)] == [bench.leg(0)]
    assert bench.engine.bridged_pairs[-1][1] == str(bench.leg(1))
    bench.bye_from(bench.leg(1))
    assert bench.action["DialCallSid"] == str(bench.leg(1))
    rests(bench)


def test_a_decline_leaves_the_others_ringing__behaviour_2_5_2_7() -> None:
    bench = screened(ALICE + ONE, DECLINES)
    bench.answer(0)
    bench.run(2.0)
    assert [bye.session for bye in bench.of(commands.SendBye)] == [bench.leg(0)]
    bench.bye_answered(0)
    bench.answer(1)
    assert len(bench.engine.bridges) == 1
    bench.bye_from(bench.leg(1))
    assert bench.action["DialCallStatus"] == "completed"
    rests(bench)


def test_the_last_to_be_declined_is_reported__behaviour_3_3() -> None:
    bench = screened(ALICE + ONE, DECLINES)
    bench.fail(1, 486)
    bench.answer(0)
    bench.run(2.0)
    assert (bench.action["DialCallStatus"], bench.action["DialCallSid"]) == ("no-answer", str(bench.leg(0)))
    rests(bench)


def test_timeout_ends_those_who_ring_and_lets_a_screened_party_decide__behaviour_2_5_2_2() -> None:
    bench = screened(ALICE + ONE, "<Response><Pause length='20'/></Response>", f'action="{ACTION}" timeout="10"')
    bench.progress(1)
    bench.run(5.0)
    bench.answer(0)
    bench.run(5.5)
    assert bench.order() == ["180", "INVITE", "INVITE", "CANCEL"]
    bench.run(15.0)
    assert bench.order() == ["180", "INVITE", "INVITE", "CANCEL", "200"]
    bench.bye_from(bench.leg(0))
    assert bench.action["DialCallStatus"] == "completed"
    rests(bench)


# --- screening: races -----------------------------------------------------------------------------------------------


def test_the_caller_cancels_during_screening__behaviour_2_7_3_1() -> None:
    bench = screened()
    bench.answer(0)
    bench.run(0.5)
    bench.cancel()
    assert bench.order() == ["180", "INVITE", "BYE", "487"]
    assert told(bench)[:2] == ("canceled", "0")
    (leg,) = [record for record in bench.records if record.parent_sid]
    assert (leg.ended.cause, leg.ended.by) == (Cause.CANCELED, By.CALLER)
    rests(bench)


def test_an_answered_caller_hangs_up_during_screening__behaviour_2_7_3_1() -> None:
    bench = screened(attributes=f'action="{ACTION}" answerOnBridge="false"')
    bench.answer(0)
    bench.run(0.5)
    bench.bye_from(IN)
    assert [bye.session for bye in bench.of(commands.SendBye)] == [bench.leg(0)]
    assert told(bench)[:2] == ("canceled", "0")
    rests(bench)


def test_the_caller_leaves_while_the_document_is_on_its_way__behaviour_2_7() -> None:
    bench = screened()
    bench.web.delay_s = 3.0
    bench.answer(0)
    bench.cancel()
    bench.run(5.0)
    assert bench.verbs() == ["Dial"]
    assert len(bench.web.of("action")) == 1
    rests(bench)


@pytest.mark.parametrize("after_s", [0.0, 0.5])
def test_the_party_hangs_up_during_screening__behaviour_2_5(after_s: float) -> None:
    bench = screened()
    bench.answer(0)
    bench.run(after_s)
    bench.bye_from(bench.leg(0))
    bench.run(0.1)
    assert told(bench) == ("no-answer", "0", None)
    assert bench.order() == ["180", "INVITE", "480"]
    (leg,) = [record for record in bench.records if record.parent_sid]
    assert (leg.ended.cause, leg.ended.by) == (Cause.NO_ANSWER, By.CALLEE)
    bench.run(3.0)
    assert bench.verbs().count("Say") == (1 if after_s else 0)
    rests(bench)


def test_the_operator_ends_the_screened_leg__behaviour_3_1() -> None:
    bench = screened()
    bench.answer(0)
    bench.run(0.5)
    bench.act(bench.registry.operator_end(str(bench.leg(0)), bench.now))
    bench.run(0.1)
    assert told(bench)[0] == "canceled"
    rests(bench)


def test_the_worker_dies_during_screening__behaviour_3_1() -> None:
    bench = screened()
    bench.answer(0)
    bench.run(0.5)
    bench.give_engine(engine.EngineLost("killed"))
    bench.engine.streams.clear()
    bench.run(0.1)
    assert told(bench) == ("failed", "0", "Media failure")
    assert bench.order()[-1] == "503"


def test_the_screened_leg_cannot_be_served__behaviour_3_1() -> None:
    bench = screened()
    bench.answer(0)
    bench.run(0.5)
    bench.give_engine(engine.Failed(op="connect", subject=str(bench.leg(0)), code="srtp", reason="keys"))
    assert told(bench) == ("failed", "0", "Media failure")
    rests(bench)


def test_the_screened_party_falls_silent_and_is_gone__behaviour_2_5() -> None:
    bench = screened(page="<Response><Pause length='50'/></Response>")
    bench.answer(0)
    bench.run(0.5)
    bench.dead.add(bench.leg(0))
    bench.give_engine(engine.MediaTimeout(stream=str(bench.leg(0)), silent_ms=30_000))
    bench.run(45.0)
    assert told(bench)[0] == "no-answer"
    rests(bench)


def test_the_screened_leg_is_taken_to_another_document__call_control() -> None:
    bench = screened(page="<Response><Pause length='50'/></Response>")
    bench.answer(0)
    bench.run(0.5)
    bench.web.pages["http://app/other"] = "<Response><Pause length='3'/></Response>"
    bench.act(bench.registry.redirect(str(bench.leg(0)), Application("", "http://app/other"), bench.now))
    bench.run(0.2)
    assert told(bench)[0] == "canceled" and bench.action["DialCallSid"] == str(bench.leg(0))
    assert bench.order() == ["180", "INVITE", "480"]
    bench.run(5.0)
    assert bench.of(commands.SendBye)[-1].session == bench.leg(0)
    rests(bench)


def test_a_redirected_caller_leaves_the_screened_party__behaviour_2_8() -> None:
    bench = screened()
    bench.answer(0)
    bench.run(0.5)
    bench.web.pages["http://app/other"] = "<Response><Reject/></Response>"
    bench.act(bench.registry.redirect(next(iter(bench.registry.calls)), Application("", "http://app/other"), bench.now))
    bench.run(0.5)
    assert bench.order() == ["180", "INVITE", "BYE", "603"]
    assert bench.web.of("action") == []
    rests(bench)


def test_a_hold_of_the_screened_party_is_answered__behaviour_2_11() -> None:
    bench = screened(page="<Response><Pause length='2'/></Response>")
    bench.answer(0)
    again = Request(
        "INVITE", "sip:x", Headers([("Content-Type", "application/sdp")]), sdp("192.0.2.8").replace(b"o=phone 1 1", b"o=phone 1 2")
    )
    bench.give(events.ReinviteReceived(bench.leg(0), commands.TransactionId("t"), again))
    assert bench.of(commands.AnswerRequest)[0].status == 200
    bench.run(3.0)
    assert len(bench.engine.bridges) == 1


def test_the_timeline_says_what_ran_on_which_leg__behaviour_2_5() -> None:
    bench = screened(page=DECLINES)
    bench.answer(0)
    bench.run(2.0)
    leg = str(bench.leg(0))
    assert [(note.data.get("verb"), note.leg) for note in bench.notes if note.kind is Kind.VERB] == [("Dial", ""), ("Say", leg)]
    states = [str(note.data["status"]) for note in bench.notes if note.kind is Kind.STATE and note.leg == leg]
    assert states == ["initiated", "answered", "screening", "declined"]
    assert [note.leg for note in bench.notes if note.data.get("purpose") == "screening"] == [leg]


def test_the_screened_leg_is_joined_with_another_call__call_control() -> None:
    bench = screened(ALICE + ONE, "<Response><Play loop='0'>/a.wav</Play></Response>")
    bench.answer(0)
    bench.run(0.5)
    placed = Placed([Destination("sip:ann@192.0.2.9", "192.0.2.9", "sip:s@192.0.2.1")], "s", "ann")
    bench.act(bench.registry.originate(placed, Party("s", "ann"), Application("9", "http://app/other"), 20.0, bench.now))
    bench.media()
    bench.web.pages["http://app/other"] = "<Response><Pause length='50'/></Response>"
    bench.answer(2)
    bench.run(0.1)
    bench.act(bench.registry.join(str(bench.leg(2)), str(bench.leg(0)), bench.now))
    assert set(bench.engine.bridged_pairs[-1]) == {str(bench.leg(0)), str(bench.leg(2))}
    assert not any(bench.engine.streams[str(bench.leg(n))].play for n in (0, 2))  # nothing covers what they say
    bench.fail(1, 486)
    assert bench.action["DialCallStatus"] == "busy"
    bench.bye_from(bench.leg(0))
    rests(bench)


# --- screening: press 1 to accept -----------------------------------------------------------------------------------

ASKS = "<Response><Gather numDigits='1' action='/key'><Say>Press 1.</Say></Gather><Hangup/></Response>"


def asked_for_a_key(nouns: str = ALICE) -> Bench:
    bench = screened(nouns, ASKS)
    accepts = {"1": "", "2": "<Response><Hangup/></Response>"}
    bench.web.pages["http://app/key"] = lambda request: bench.web.answer(request, accepts[dict(request.parameters)["Digits"]])
    return bench


def press(bench: Bench, leg: int, key: str, source: str = "rfc4733") -> None:
    bench.give_engine(engine.Digit(stream=str(bench.leg(leg)), digit=key, duration_ms=100, source=source))


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
    bench.give_engine(engine.Digit(stream=next(iter(bench.registry.calls)), digit="1", duration_ms=100))
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
