"""Reliable provisional responses and PRACK (RFC 3262), from both sides."""

from __future__ import annotations

import pytest

from sip.core.commands import AnswerRequest, SendAnswer, SendBye, SendProvisional, SendReject
from sip.core.events import (
    CancelReceived,
    EndCause,
    InviteAnswered,
    InviteFailed,
    InviteProgressed,
    RequestReceived,
    SessionEnded,
)
from sip.core.reliable import NotAcknowledged, RAck, ReliableProvisionals, When, rack
from sip.message import Headers, ParseError, Response
from tests.support.core import ANSWER, OFFER, Core, ack, be_called, dial, invite, reply, request
from tests.unit.sip.core.provisionals import REQUIRED, SUPPORTED, heard, prack, reliable, ringing

# --- syntax -------------------------------------------------------------------------------------------------------


def test_a_rack_is_read__rfc3262_7_2() -> None:
    assert rack(Headers([("RAck", " 776656  1\tINVITE ")])) == RAck(776656, 1, "INVITE")
    for text in ("", "1", "1 1", "x 1 INVITE", "1 x INVITE", "1 1 INVITE x"):
        with pytest.raises(ParseError):
            rack(Headers([("RAck", text)]))


# --- as UAS -------------------------------------------------------------------------------------------------------


def test_without_the_extension_it_is_refused__rfc3262_3() -> None:
    core = Core()
    core.give(invite(headers=[REQUIRED]))
    refusal = core.sent_response()
    assert (refusal.status, refusal.headers.get("Unsupported")) == (420, "100rel")


@pytest.mark.parametrize(
    ("when", "asked", "body", "wanted"),
    [
        ("required", [], b"", False),
        ("required", [SUPPORTED], ANSWER, False),
        ("required", [REQUIRED], b"", True),
        ("media", [SUPPORTED], b"", False),
        ("media", [SUPPORTED], ANSWER, True),
        ("supported", [SUPPORTED], b"", True),
        ("supported", [], ANSWER, False),
    ],
)
def test_which_responses_are_reliable_is_a_setting__rfc3262_3(when: When, asked: list[tuple[str, str]], body: bytes, wanted: bool) -> None:
    core = reliable(when)
    be_called(core, headers=asked)
    response = ringing(core, body)
    assert ("RSeq" in response.headers, response.headers.get("Require") == "100rel") == (wanted, wanted)


def test_a_100_is_never_reliable__rfc3262_3() -> None:
    core = reliable()
    core.give(invite(headers=[REQUIRED]))
    assert core.sent_response().headers.get("RSeq") is None


def test_it_is_repeated_with_doubled_intervals_until_its_prack__rfc3262_3() -> None:
    core = reliable()
    be_called(core, headers=[REQUIRED])
    first = ringing(core)
    times = []
    for _ in range(160):
        core.pass_time(0.1)
        times += [round(core.now - 1000.0, 1) for _ in core.sent()]
    assert times == [0.5, 1.5, 3.5, 7.5, 15.5]
    core.give(prack(first))
    assert core.statuses() == [200]
    core.pass_time(40)
    assert core.statuses() == []
    assert core.events() == []


def test_a_second_one_waits_for_the_prack_of_the_first__rfc3262_3() -> None:
    core = reliable()
    be_called(core, headers=[REQUIRED])
    first = ringing(core)
    core.do(SendProvisional(core.session, 183, body=ANSWER))
    core.do(SendProvisional(core.session, 183, body=ANSWER))
    assert core.sent() == []
    core.give(prack(first))
    answered, second = (one.message for one in core.sent())
    assert isinstance(answered, Response)
    assert isinstance(second, Response)
    assert (answered.status, second.status, second.body) == (200, 183, ANSWER)
    assert int(second.headers.get("RSeq") or 0) == int(first.headers.get("RSeq") or 0) + 1


@pytest.mark.parametrize("wrong", ["number", "cseq", "method", "again"])
def test_a_prack_that_matches_nothing_is_481__rfc3262_3__trap35(wrong: str) -> None:
    core = reliable()
    be_called(core, headers=[REQUIRED])
    first = ringing(core)
    number = int(first.headers.get("RSeq") or 0)
    if wrong == "again":
        core.give(prack(first))
        assert core.statuses() == [200]
    text = {"number": f"{number + 1} 1 INVITE", "cseq": f"{number} 2 INVITE", "method": f"{number} 1 UPDATE", "again": f"{number} 1 INVITE"}
    core.give(prack(first, 3, headers=[("RAck", text[wrong])]))
    assert core.statuses() == [481]


def test_a_broken_rack_is_400() -> None:
    core = reliable()
    be_called(core, headers=[REQUIRED])
    core.give(prack(ringing(core), headers=[("RAck", "yes please")]))
    assert core.statuses() == [400]


def test_no_2xx_while_a_description_waits_for_its_prack__rfc3262_3__trap35() -> None:
    core = reliable()
    be_called(core, headers=[REQUIRED])
    first = ringing(core, ANSWER, 183)
    core.do(SendAnswer(core.session, ANSWER))
    core.do(SendAnswer(core.session, ANSWER))
    core.do(SendProvisional(core.session, 180))
    assert core.sent() == []
    core.give(prack(first))
    answered, final = (one.message for one in core.sent())
    assert isinstance(answered, Response)
    assert isinstance(final, Response)
    assert (answered.status, final.status, final.body) == (200, 200, ANSWER)
    core.give(ack(final))
    core.pass_time(100)
    assert core.statuses() == []


def test_a_2xx_need_not_wait_for_the_prack_of_a_bare_180__rfc3262_3() -> None:
    core = reliable()
    be_called(core, headers=[REQUIRED])
    first = ringing(core)
    core.do(SendAnswer(core.session, ANSWER))
    final = core.sent_response()
    assert final.status == 200
    core.give(prack(first))
    assert core.statuses() == [200], "it is still known"
    core.give(ack(final))
    core.pass_time(100)
    assert core.statuses() == []


def test_a_refusal_waits_for_nothing__rfc3262_3() -> None:
    core = reliable()
    be_called(core, headers=[REQUIRED])
    first = ringing(core, ANSWER, 183)
    core.do(SendReject(core.session, 486))
    refusal = core.sent_response()
    core.give(ack(refusal, branch="z9hG4bKpeer1"))
    core.give(prack(first))
    assert core.statuses() == [481]
    core.settle()


def test_without_a_prack_the_user_hears_of_it_once__rfc3262_3() -> None:
    core = reliable()
    be_called(core, headers=[REQUIRED])
    ringing(core)
    core.pass_time(32.1)
    assert core.event() == NotAcknowledged(core.session)
    core.sent()
    core.do(SendReject(core.session, 504))
    refusal = core.sent_response()
    core.give(ack(refusal, branch="z9hG4bKpeer1"))
    core.settle()
    assert [one.cause for one in core.all(SessionEnded)] == [EndCause.REJECTED]


def test_an_answer_that_was_held_becomes_504_when_the_user_hangs_up() -> None:
    core = reliable()
    be_called(core, headers=[REQUIRED])
    ringing(core, ANSWER, 183)
    core.do(SendAnswer(core.session, ANSWER))
    core.pass_time(32.1)
    core.sent()
    core.do(SendBye(core.session))
    refusal = core.sent_response()
    assert refusal.status == 504
    core.give(ack(refusal, branch="z9hG4bKpeer1"))
    core.settle()


def test_a_cancel_beats_an_answer_that_is_held__rfc3261_9_2() -> None:
    core = reliable()
    be_called(core, headers=[REQUIRED])
    first = ringing(core, ANSWER, 183)
    core.do(SendAnswer(core.session, ANSWER))
    core.give(request("CANCEL"))
    assert isinstance(core.event(), CancelReceived)
    assert core.statuses() == [200]
    core.give(prack(first))
    assert core.statuses() == [200], "the answer is not sent any more"
    core.do(SendBye(core.session))
    refusal = core.sent_response()
    assert refusal.status == 487
    core.give(ack(refusal, branch="z9hG4bKpeer1"))
    core.settle()


def test_the_repeated_180_of_each_minute_is_reliable_too__rfc3262_3() -> None:
    core = reliable()
    be_called(core, headers=[REQUIRED])
    core.give(prack(ringing(core)))
    core.sent()
    core.pass_time(60.1)
    again = core.sent_response()
    assert again.headers.get("RSeq")
    core.pass_time(31)
    assert core.endpoint.next_deadline() is not None, "no storm"


def test_a_minute_without_prack_and_with_a_response_that_waits_makes_no_storm() -> None:
    core = Core(extensions=[ReliableProvisionals()])
    be_called(core, headers=[REQUIRED])
    ringing(core)
    core.do(SendProvisional(core.session, 183))
    core.pass_time(200)
    assert len(core.sent()) < 12


def test_a_caller_that_offers_nothing_gets_no_provisional_response__rfc3262_5() -> None:
    core = reliable()
    be_called(core, headers=[REQUIRED], body=b"")
    core.do(SendProvisional(core.session, 180))
    assert core.sent() == []
    core.do(SendAnswer(core.session, OFFER))
    final = core.sent_response()
    assert (final.status, final.body) == (200, OFFER)


def test_an_offer_in_a_prack_is_answered_by_the_user__rfc3262_5() -> None:
    core = reliable()
    be_called(core, headers=[REQUIRED])
    first = ringing(core, ANSWER, 183)
    core.do(SendAnswer(core.session, b""))
    core.give(prack(first, body=OFFER))
    event = core.event()
    assert isinstance(event, RequestReceived)
    assert core.sent() == [], "the 200 to the INVITE waits for the answer"
    core.do(AnswerRequest(event.transaction, 200, body=b"v=0 other"))
    answered, final = (one.message for one in core.sent())
    assert isinstance(answered, Response)
    assert isinstance(final, Response)
    assert (answered.status, answered.body, final.status, final.body) == (200, b"v=0 other", 200, b"")


def test_an_offer_in_the_prack_of_a_bare_180_is_too_early__rfc3262_5() -> None:
    core = reliable()
    be_called(core, headers=[REQUIRED])
    core.give(prack(ringing(core), body=OFFER))
    assert core.statuses() == [500]
    assert core.events() == []


# --- as UAC -------------------------------------------------------------------------------------------------------


def test_a_reliable_response_gets_its_prack__rfc3262_4() -> None:
    core = reliable()
    sent = dial(core)
    assert "100rel" in (sent.headers.get("Supported") or "")
    core.give(heard(sent, 711, body=ANSWER))
    one = core.sent_request("PRACK")
    assert (one.headers.get("RAck"), one.headers.get("CSeq"), one.uri) == ("711 1 INVITE", "2 PRACK", "sip:bob@192.0.2.77")
    assert isinstance(core.event(), InviteProgressed)
    core.give(reply(one, 200))
    core.give(reply(sent, 200, body=ANSWER))
    core.sent_request("ACK")
    assert isinstance(core.event(), InviteAnswered)


def test_an_unreliable_response_gets_none__rfc3262_4() -> None:
    core = reliable()
    sent = dial(core)
    core.give(reply(sent, 180, headers=[("RSeq", "1")]))
    core.give(reply(sent, 180, headers=[REQUIRED]))
    core.give(reply(sent, 180, headers=[REQUIRED, ("RSeq", "soon")]))
    assert core.sent() == []
    assert len(core.events()) == 3


def test_a_copy_is_absorbed_and_the_next_number_is_not__rfc3262_4() -> None:
    core = reliable()
    sent = dial(core)
    core.give(heard(sent, 5))
    core.give(heard(sent, 5))
    core.sent_request("PRACK")
    assert len(core.events()) == 1
    core.give(heard(sent, 7, 183))
    assert core.sent() == [], "6 is missing: it comes again"
    core.give(heard(sent, 6, 183))
    assert core.sent_request("PRACK").headers.get("RAck") == "6 1 INVITE"
    core.give(heard(sent, 7, 183))
    assert core.sent_request("PRACK").headers.get("RAck") == "7 1 INVITE"


def test_numbers_are_those_of_one_early_dialog__rfc3262_4__trap35() -> None:
    core = reliable()
    sent = dial(core)
    core.give(heard(sent, 5, tag="one"))
    first = core.sent_request("PRACK")
    core.give(heard(sent, 90, tag="two"))
    second = core.sent_request("PRACK")
    assert "tag=one" in (first.headers.get("To") or "")
    assert "tag=two" in (second.headers.get("To") or "")
    assert second.headers.get("RAck") == "90 1 INVITE"


def test_a_prack_is_repeated_by_its_own_transaction__rfc3262_4() -> None:
    core = reliable()
    core.give(heard(dial(core), 5))
    core.pass_time(2)
    assert core.statuses() == ["PRACK", "PRACK", "PRACK"]


@pytest.mark.parametrize("status", [481, 500, None])
def test_what_a_prack_is_answered_ends_nothing(status: int | None) -> None:
    core = reliable()
    sent = dial(core)
    core.give(heard(sent, 5))
    one = core.sent_request("PRACK")
    core.events()
    if status is not None:
        core.give(reply(one, status))
    else:
        core.pass_time(33)
    assert core.events() == []
    core.sent()
    core.give(reply(sent, 486))
    assert isinstance(core.event(), InviteFailed)
    core.settle()


def test_a_flood_of_forks_is_not_acknowledged_without_end() -> None:
    core = reliable()
    sent = dial(core)
    for number in range(100):
        core.give(heard(sent, 1, tag=f"fork{number}"))
    assert len(core.statuses()) == 32
    core.give(reply(sent, 486))
    core.settle()
