"""Session timers (RFC 4028), from both sides and with either as refresher."""

from __future__ import annotations

import pytest

from sip.core.commands import AnswerRequest, SendAnswer, SendReinvite
from sip.core.events import EndCause, InviteFailed, InviteReceived, ReinviteReceived, RequestReceived, SessionEnded
from sip.core.session_timer import RefreshDue, SessionExpires, SessionTimers, min_se, session_expires
from sip.message import Headers, ParseError, Request, Response
from sip.settings import SessionTimerSettings, SipSettings
from tests.support.core import ANSWER, CALL, OFFER, Core, ack, be_called, dial, invite, reply, request, to_tag
from tests.unit.sip.core.calling import from_peer

TIMER = ("Supported", "timer")
UPDATE = ("Allow", "INVITE, ACK, BYE, UPDATE")


def timed(**settings: object) -> Core:
    timers = SessionTimerSettings(**settings)  # type: ignore[arg-type]
    return Core(SipSettings(session_timers=timers), extensions=[SessionTimers()])


def called(core: Core, *headers: tuple[str, str]) -> Response:
    """The peer calls, is answered, and acknowledges; our 200."""
    be_called(core, headers=headers)
    core.do(SendAnswer(core.session, ANSWER))
    answer = core.sent_response()
    core.give(ack(answer))
    core.events()
    return answer


def answered(core: Core, *headers: tuple[str, str]) -> Request:
    """We call and are answered; our INVITE."""
    sent = dial(core)
    core.give(reply(sent, 200, body=ANSWER, headers=headers))
    core.sent_request("ACK")
    core.events()
    return sent


def ends_expired(core: Core) -> None:
    bye = core.sent_request("BYE")
    assert "not refreshed" in (bye.headers.get("Reason") or "")
    event = core.event()
    assert isinstance(event, SessionEnded)
    assert event.cause is EndCause.EXPIRED
    core.give(reply(bye, 200))
    core.settle()


# --- syntax -------------------------------------------------------------------------------------------------------


def test_the_interval_is_read_in_its_forms__rfc4028_4() -> None:
    assert session_expires(Headers([("x", " 1800 ; refresher=UAS;lr")])) == SessionExpires(1800, "uas")
    assert session_expires(Headers([("Session-Expires", "99999999")])) == SessionExpires(86400)
    assert session_expires(Headers()) is None
    assert min_se(Headers([("Min-SE", "120;x=y")])) == 120
    for text in ("", "soon", "-1", "90;refresher=them", "90;;", "9" * 80):
        with pytest.raises(ParseError):
            session_expires(Headers([("Session-Expires", text)]))


# --- as UAS -------------------------------------------------------------------------------------------------------


def test_an_interval_that_is_too_small_is_422_with_ours__rfc4028_9() -> None:
    core = timed(min_s=120)
    core.give(invite(headers=[("Session-Expires", "100"), TIMER]))
    refusal = core.sent_response()
    assert (refusal.status, refusal.headers.get("Min-SE")) == (422, "120")
    core.settle()


def test_a_proxys_small_interval_is_not_the_callers_fault__rfc4028_9() -> None:
    core = timed(min_s=120)
    answer = called(core, ("Session-Expires", "100"))
    assert answer.headers.get("Session-Expires") is None
    core.pass_time(4000)
    assert core.statuses() == []


@pytest.mark.parametrize("text", ["", "soon", "90;refresher=nobody"])
def test_a_broken_interval_is_400(text: str) -> None:
    core = timed()
    core.give(invite(headers=[("Session-Expires", text), TIMER]))
    assert core.statuses() == [400]


@pytest.mark.parametrize(
    ("offered", "refresher", "told", "require"),
    [
        ("1200;refresher=uac", "us", "1200;refresher=uac", "timer"),
        ("1200;refresher=uas", "peer", "1200;refresher=uas", None),
        ("1200", "auto", "1200;refresher=uac", "timer"),
        ("1200", "us", "1200;refresher=uas", None),
        ("7200", "auto", "1800;refresher=uac", "timer"),
        (None, "auto", "1800;refresher=uac", "timer"),
    ],
)
def test_the_answer_says_how_long_and_who__rfc4028_9(offered: str | None, refresher: str, told: str, require: str | None) -> None:
    core = timed(refresher=refresher)
    answer = called(core, TIMER, *((("Session-Expires", offered),) if offered else ()))
    assert (answer.headers.get("Session-Expires"), answer.headers.get("Require")) == (told, require)


def test_our_interval_never_goes_below_the_min_se_of_the_request__rfc4028_9() -> None:
    core = timed(expires_s=300)
    answer = called(core, TIMER, ("Session-Expires", "3600"), ("Min-SE", "600"))
    assert answer.headers.get("Session-Expires") == "600;refresher=uac"


def test_for_a_caller_without_timers_we_refresh_what_a_proxy_asked_for__rfc4028_9_table_2() -> None:
    core = timed()
    answer = called(core, ("Session-Expires", "600"), UPDATE)
    assert (answer.headers.get("Session-Expires"), answer.headers.get("Require")) == ("600;refresher=uas", None)
    core.pass_time(300)
    assert core.sent_request("UPDATE").headers.get("Session-Expires") == "600;refresher=uac"


def test_a_caller_that_neither_knows_nor_wants_a_timer_has_none() -> None:
    core = timed()
    assert called(core).headers.get("Session-Expires") is None
    core.pass_time(10_000)
    assert core.statuses() == []


def test_who_does_not_refresh_is_hung_up_before_the_end__rfc4028_10__trap36() -> None:
    core = timed()
    called(core, TIMER, ("Session-Expires", "90;refresher=uac"))
    core.pass_time(59.9)
    assert core.statuses() == []
    core.pass_time(0.2)  # a third of 90 s is less than 32 s
    ends_expired(core)


def test_the_end_comes_32_seconds_early_at_most__rfc4028_10() -> None:
    core = timed()
    called(core, TIMER, ("Session-Expires", "900"))
    core.pass_time(900 - 32 - 0.1)
    assert core.statuses() == []
    core.pass_time(0.2)
    ends_expired(core)


def test_each_refresh_of_the_peer_starts_anew__rfc4028_10() -> None:
    core = timed()
    tag = to_tag(called(core, TIMER, ("Session-Expires", "90;refresher=uac")))
    for number in range(2, 6):
        core.pass_time(50)
        headers = [("Session-Expires", "90;refresher=uac"), TIMER]
        core.give(request("UPDATE", branch=f"z9hG4bKu{number}", cseq=number, to_tag=tag, headers=headers))
        event = core.event()
        assert isinstance(event, RequestReceived)
        core.do(AnswerRequest(event.transaction, 200))
        assert core.sent_response().headers.get("Session-Expires") == "90;refresher=uac"
    core.pass_time(60.1)
    ends_expired(core)


def test_a_refresh_that_asks_too_little_is_422_and_changes_nothing__rfc4028_9() -> None:
    core = timed()
    tag = to_tag(called(core, TIMER, ("Session-Expires", "300;refresher=uac")))
    core.give(request("UPDATE", branch="z9hG4bKu", cseq=2, to_tag=tag, headers=[("Session-Expires", "30"), TIMER]))
    refusal = core.sent_response()
    assert (refusal.status, refusal.headers.get("Min-SE")) == (422, "90")
    assert core.events() == []
    core.pass_time(268.1)
    ends_expired(core)


def test_a_refusal_of_the_users_is_no_refresh() -> None:
    core = timed()
    tag = to_tag(called(core, TIMER, ("Session-Expires", "90;refresher=uac")))
    core.pass_time(50)
    core.give(invite(branch="z9hG4bKre", cseq=2, to_tag=tag, headers=[("Session-Expires", "90;refresher=uac"), TIMER]))
    event = core.event()
    assert isinstance(event, ReinviteReceived)
    core.do(AnswerRequest(event.transaction, 488))
    core.sent()
    core.pass_time(9.9)
    assert "BYE" not in core.statuses()
    core.pass_time(0.2)
    assert "BYE" in core.statuses()


# --- as UAC -------------------------------------------------------------------------------------------------------


def test_our_invite_proposes_a_timer__rfc4028_7_1() -> None:
    core = timed(expires_s=600)
    sent = dial(core)
    assert sent.headers.get("Session-Expires") == "600"
    assert "timer" in (sent.headers.get("Supported") or "")
    assert sent.headers.get("Min-SE") is None, "90 is what everybody assumes"


def test_without_a_proposal_of_ours_the_peer_may_still_have_one__rfc4028_7_2() -> None:
    core = timed(expires_s=0)
    sent = answered(core, ("Session-Expires", "600;refresher=uac"), UPDATE, ("Require", "timer"))
    assert sent.headers.get("Session-Expires") is None
    core.pass_time(300)
    core.sent_request("UPDATE")


def test_a_422_is_met_by_a_longer_interval__rfc4028_7_3() -> None:
    core = timed(expires_s=600)
    sent = dial(core)
    core.give(reply(sent, 422, headers=[("Min-SE", "1200")]))
    sent_ack, again = (one.message for one in core.sent())
    assert isinstance(sent_ack, Request)
    assert isinstance(again, Request)
    assert (sent_ack.method, again.method) == ("ACK", "INVITE")
    assert (again.headers.get("Session-Expires"), again.headers.get("Min-SE")) == ("1200", "1200")
    assert (again.headers.get("Call-ID"), again.headers.get("CSeq")) == (sent.headers.get("Call-ID"), "2 INVITE")
    assert again.body == OFFER
    core.give(reply(again, 200, body=ANSWER, headers=[("Session-Expires", "1200;refresher=uac"), UPDATE]))
    core.sent_request("ACK")
    core.pass_time(600)
    assert core.sent_request("UPDATE").headers.get("Min-SE") == "1200"


@pytest.mark.parametrize("headers", [[], [("Min-SE", "soon")], [("Min-SE", "600")]])
def test_a_422_that_says_nothing_more_is_a_refusal(headers: list[tuple[str, str]]) -> None:
    core = timed(expires_s=600)
    core.give(reply(dial(core), 422, headers=headers))
    assert isinstance(core.event(), InviteFailed)
    core.settle()


def test_a_peer_that_wants_ever_more_is_not_followed() -> None:
    core = timed(expires_s=600)
    sent = dial(core)
    for wanted in (700, 800, 900):
        core.give(reply(sent, 422, headers=[("Min-SE", str(wanted))]))
        sent = core.sent()[-1].message  # type: ignore[assignment]
        assert sent.method == "INVITE"
    core.give(reply(sent, 422, headers=[("Min-SE", "1000")]))
    assert isinstance(core.event(), InviteFailed)
    core.settle()


def test_we_refresh_by_update_at_half_of_the_interval__rfc4028_10() -> None:
    core = timed()
    answered(core, ("Session-Expires", "200;refresher=uac"), UPDATE)
    for _ in range(5):
        core.pass_time(99.9)
        assert core.statuses() == []
        core.pass_time(0.1)
        update = core.sent_request("UPDATE")
        assert update.headers.get("Session-Expires") == "200;refresher=uac"
        assert update.body == b""
        core.give(reply(update, 200, headers=[("Session-Expires", "200;refresher=uac")]))
    assert core.events() == []


def test_a_peer_without_update_is_refreshed_by_the_users_reinvite__rfc4028_7_4() -> None:
    core = timed()
    answered(core, ("Session-Expires", "200;refresher=uac"), ("Allow", "INVITE, ACK, BYE"))
    core.pass_time(100)
    assert core.event() == RefreshDue(CALL)
    core.do(SendReinvite(CALL, OFFER))
    again = core.sent_request("INVITE")
    assert again.headers.get("Session-Expires") == "200;refresher=uac"
    core.give(reply(again, 200, body=ANSWER, headers=[("Session-Expires", "200;refresher=uac")]))
    core.sent_request("ACK")
    core.events()
    core.pass_time(99.9)
    assert core.events() == []
    core.pass_time(0.1)
    assert core.event() == RefreshDue(CALL)


@pytest.mark.parametrize("status", [405, 501])
def test_an_update_that_nobody_knows_is_followed_by_a_reinvite(status: int) -> None:
    core = timed()
    answered(core, ("Session-Expires", "200;refresher=uac"), UPDATE)
    core.pass_time(100)
    core.give(reply(core.sent_request("UPDATE"), status))
    assert core.event() == RefreshDue(CALL)


@pytest.mark.parametrize("status", [408, 481])
def test_a_refresh_answered_408_or_481_ends_the_session__rfc4028_10__trap36(status: int) -> None:
    core = timed()
    answered(core, ("Session-Expires", "200;refresher=uac"), UPDATE)
    core.pass_time(100)
    core.give(reply(core.sent_request("UPDATE"), status))
    event = core.event()
    assert isinstance(event, SessionEnded)
    assert event.cause is EndCause.DIALOG_GONE
    core.settle()


def test_a_refresh_without_an_answer_ends_the_session__rfc4028_10() -> None:
    core = timed()
    answered(core, ("Session-Expires", "200;refresher=uac"), UPDATE)
    core.pass_time(132.1)
    event = core.event()
    assert isinstance(event, SessionEnded)
    assert event.cause is EndCause.DIALOG_GONE
    core.settle()


def test_a_refresh_that_is_refused_is_tried_again_until_the_end__rfc4028_10() -> None:
    core = timed()
    answered(core, ("Session-Expires", "200;refresher=uac"), UPDATE)
    tries = 0
    for _ in range(1000):
        core.pass_time(0.2)
        for one in core.sent():
            if isinstance(one.message, Request) and one.message.method == "UPDATE":
                tries += 1
                core.give(reply(one.message, 500))
            elif isinstance(one.message, Request):
                assert one.message.method == "BYE"
                core.give(reply(one.message, 200))
    assert tries == 3
    assert [one.cause for one in core.all(SessionEnded)] == [EndCause.EXPIRED]
    core.settle()


def test_a_refresh_that_is_too_small_is_sent_again__rfc4028_7_3() -> None:
    core = timed()
    answered(core, ("Session-Expires", "200;refresher=uac"), UPDATE)
    core.pass_time(100)
    core.give(reply(core.sent_request("UPDATE"), 422, headers=[("Min-SE", "400")]))
    again = core.sent_request("UPDATE")
    assert again.headers.get("Session-Expires") == "400;refresher=uac"
    core.give(reply(again, 200, headers=[("Session-Expires", "400;refresher=uac")]))
    core.pass_time(199)
    assert core.statuses() == []
    core.pass_time(1)
    core.sent_request("UPDATE")


def test_an_answer_without_interval_means_none__rfc4028_7_2() -> None:
    core = timed()
    answered(core)
    core.pass_time(10_000)
    assert core.statuses() == []


def test_the_callee_may_be_the_refresher__rfc4028_7_2() -> None:
    core = timed()
    sent = answered(core, ("Session-Expires", "90;refresher=uas"), ("Require", "timer"))
    core.pass_time(50)
    core.give(from_peer(sent, "UPDATE", headers=[("Session-Expires", "90;refresher=uac"), TIMER]))
    event = core.event()
    assert isinstance(event, RequestReceived)
    core.do(AnswerRequest(event.transaction, 200))
    core.sent()
    core.pass_time(59.9)
    assert core.statuses() == []
    core.pass_time(0.2)
    ends_expired(core)


def test_an_absurd_interval_of_the_answer_makes_no_storm_of_refreshes() -> None:
    core = timed()
    answered(core, ("Session-Expires", "1;refresher=uac"), UPDATE)
    core.pass_time(44)
    assert core.statuses() == []
    core.pass_time(1)
    core.sent_request("UPDATE")


def test_no_timer_outlives_its_session() -> None:
    core = timed()
    tag = to_tag(called(core, TIMER, ("Session-Expires", "90")))
    core.give(request("BYE", branch="z9hG4bKbye", cseq=2, to_tag=tag))
    core.settle()
    assert [one.cause for one in core.all(SessionEnded)] == [EndCause.BYE_RECEIVED]


def test_a_refresh_on_the_wire_does_not_outlive_its_session() -> None:
    core = timed()
    sent = answered(core, ("Session-Expires", "200;refresher=uac"), UPDATE)
    core.pass_time(100)
    update = core.sent_request("UPDATE")
    core.give(from_peer(sent, "BYE"))
    core.give(reply(update, 481))
    core.settle()
    assert len(core.all(SessionEnded)) == 1


def test_the_offered_extension_is_known__rfc4028_5() -> None:
    core = timed()
    core.give(invite(headers=[("Require", "timer"), ("Session-Expires", "1800")]))
    assert core.statuses() == [100]
    assert core.all(InviteReceived)
