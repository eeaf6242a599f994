"""What a request is answered before anybody is asked (RFC 3261 8.2, 9.2, 11, 12.2.2, 17.2.3)."""

from __future__ import annotations

import pytest

from sip.core.capabilities import Capabilities
from sip.core.commands import SendAnswer, SendBye, SendReject
from sip.core.events import AnswerAcked, Dropped, InviteReceived, Traced
from sip.message import Request
from sip.settings import SipSettings
from tests.support.core import (
    ANSWER,
    OFFER,
    PEER,
    TCP,
    Core,
    ack,
    be_called,
    be_called_and_answer,
    invite,
    request,
    to_tag,
    without,
)


def refusal(message: Request, capabilities: Capabilities | None = None) -> tuple[int, Core]:
    core = Core(capabilities=capabilities)
    core.give(message)
    sent = core.sent()
    assert len(sent) == 1
    assert core.events() == []
    assert sum(core.endpoint.counts().values()) == 0, "a refusal leaves nothing behind"
    return sent[0].message.status, core  # type: ignore[union-attr]


# --- the ordinary INVITE ------------------------------------------------------------------------------------------


def test_invite_gets_100_at_once_and_is_handed_up__rfc3261_8_2_6_1() -> None:
    core = Core()
    received = invite(headers=[("Timestamp", "54.1")])
    core.give(received)
    trying = core.sent_response()
    assert trying.status == 100
    assert trying.headers.get("To") == "<sip:bob@example.org>"  # no tag yet
    assert trying.headers.get("Timestamp") == "54.1"
    event = core.event()
    assert isinstance(event, InviteReceived)
    assert event.request.body == OFFER


def test_invite_again_is_the_same_call__rfc3261_17_2_3__trap5() -> None:
    core = Core()
    be_called(core)
    core.give(invite())
    assert core.statuses() == [100]
    assert core.events() == []
    assert core.last(Traced).repeated
    assert [one.repeated for one in core.all(Traced) if one.summary.startswith("INVITE")] == [False, True]


def test_a_new_branch_is_another_transaction__rfc3261_17_2_3__trap5() -> None:
    core = Core()
    be_called(core)
    core.give(invite(branch="z9hG4bKother", call_id="other"))
    assert isinstance(core.event(), InviteReceived)


def test_the_sent_by_is_part_of_the_match__rfc3261_17_2_3__trap5() -> None:
    core = Core()
    be_called(core)
    core.give(invite(via="SIP/2.0/UDP 192.0.2.99;branch=z9hG4bKpeer1", call_id="other"))
    assert isinstance(core.event(), InviteReceived)


def test_rfc2543_invite_and_ack_match_without_the_cookie__rfc3261_17_2_3__trap5() -> None:
    core = Core()
    old = invite(via="SIP/2.0/UDP 192.0.2.77")
    core.give(old)
    core.events()
    core.give(old)
    assert core.events() == []  # the same one
    core.sent()
    core.do(SendReject(core.session, 486))
    refused = core.sent_response()
    core.give(ack(refused, via="SIP/2.0/UDP 192.0.2.77"))
    assert len(core.events()) == 1  # SessionEnded
    core.pass_time(6)
    assert core.statuses() == []
    core.give(invite(via="SIP/2.0/UDP 192.0.2.77", cseq=2))
    assert isinstance(core.event(), InviteReceived)


def test_responses_echo_via_from_call_id_cseq_and_get_a_to_tag__rfc3261_8_2_6_2() -> None:
    core = Core()
    received = invite(via="SIP/2.0/UDP 192.0.2.77;branch=z9hG4bKa")
    received.headers.add("Via", "SIP/2.0/UDP 10.0.0.9:5070;branch=z9hG4bKb;x=1")
    core.give(received)
    core.sent()
    core.do(SendReject(core.session, 404))
    response = core.sent_response()
    assert response.headers.get_all("Via") == received.headers.get_all("Via")
    for name in ("From", "Call-ID", "CSeq"):
        assert response.headers.get(name) == received.headers.get(name)
    assert to_tag(response)
    assert "Contact" not in response.headers


# --- refusals -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["REGISTER", "SUBSCRIBE", "MESSAGE", "PUBLISH", "REFER", "PRACK"])
def test_methods_not_for_us_get_405_with_allow__rfc3261_8_2_1__trap23(method: str) -> None:
    core = Core()
    core.give(request(method))
    response = core.sent_response()
    assert response.status == 405
    assert response.headers.get("Allow") == "INVITE, ACK, CANCEL, BYE, OPTIONS, INFO, NOTIFY, UPDATE"


def test_methods_that_nobody_knows_get_501__rfc3261_21_5_2() -> None:
    assert refusal(request("NEWMETHOD"))[0] == 501


def test_allow_tells_the_truth__rfc3261_20_5() -> None:
    status, core = refusal(request("UPDATE"), Capabilities(inside=("INFO",)))
    assert status == 405
    core.give(request("OPTIONS", branch="z9hG4bKo"))
    assert core.sent()[-1].message.headers.get("Allow") == "INVITE, ACK, CANCEL, BYE, OPTIONS, INFO"


@pytest.mark.parametrize("method", ["BYE", "INFO", "NOTIFY", "UPDATE"])
def test_requests_that_live_in_dialogs_get_481_outside__rfc3261_12_2_2__trap21(method: str) -> None:
    assert refusal(request(method))[0] == 481


@pytest.mark.parametrize("method", ["INVITE", "BYE", "OPTIONS", "INFO"])
def test_an_unknown_to_tag_gets_481__rfc3261_12_2_2__trap21(method: str) -> None:
    assert refusal(request(method, to_tag="nobody"))[0] == 481


def test_an_unknown_uri_scheme_gets_416__rfc3261_8_2_2_1__trap23() -> None:
    assert refusal(invite(uri="nobodyKnowsThisScheme:totallyopaquecontent"))[0] == 416


def test_tel_uris_are_served__rfc3966() -> None:
    core = Core()
    core.give(invite(uri="tel:+12125551212"))
    assert isinstance(core.event(), InviteReceived)


def test_unknown_require_gets_420_with_unsupported__rfc3261_8_2_2_3__trap23() -> None:
    core = Core()
    core.give(invite(headers=[("Require", "100rel, timer"), ("Require", "foo")]))
    response = core.sent_response()
    assert response.status == 420
    assert response.headers.get("Unsupported") == "100rel, timer, foo"


def test_require_of_what_we_support_passes__rfc3261_8_2_2_3() -> None:
    core = Core(capabilities=Capabilities(option_tags=("timer",)))
    core.give(invite(headers=[("Require", "timer")]))
    assert isinstance(core.event(), InviteReceived)


def test_proxy_require_is_not_for_a_uas__rfc3261_8_2_2_3() -> None:
    core = Core()
    core.give(invite(headers=[("Proxy-Require", "foo")]))
    assert isinstance(core.event(), InviteReceived)


def test_the_same_request_by_another_way_gets_482__rfc3261_8_2_2_2__trap22() -> None:
    core = Core()
    be_called(core)
    core.give(invite(branch="z9hG4bKotherway"))
    assert core.sent_response().status == 482
    assert core.events() == []


def test_a_body_that_we_cannot_read_gets_415_with_accept__rfc3261_8_2_3__trap23() -> None:
    core = Core()
    core.give(invite(body=b"x", content_type="text/plain"))
    response = core.sent_response()
    assert response.status == 415
    assert "application/sdp" in (response.headers.get("Accept") or "")


def test_an_encoded_body_gets_415__rfc3261_8_2_3() -> None:
    assert refusal(invite(headers=[("Content-Encoding", "gzip")]))[0] == 415


def test_an_optional_body_is_left_out__rfc3261_20_11() -> None:
    core = Core()
    core.give(invite(body=b"x", content_type="text/plain", headers=[("Content-Disposition", "render;handling=optional")]))
    event = core.event()
    assert isinstance(event, InviteReceived)
    assert event.request.body == b""
    assert "Content-Type" not in event.request.headers


@pytest.mark.parametrize("content_type", ["application/sdp", "Application/SDP;charset=utf-8", "multipart/mixed;boundary=x"])
def test_bodies_that_may_hold_sdp_pass__behaviour_1_1(content_type: str) -> None:
    core = Core()
    core.give(invite(content_type=content_type))
    assert isinstance(core.event(), InviteReceived)


def test_a_body_without_content_type_gets_400__rfc3261_20_15() -> None:
    assert refusal(without(invite(), "Content-Type"))[0] == 400


def test_an_invite_without_contact_gets_400__rfc3261_8_1_1_8() -> None:
    assert refusal(invite(contact=None))[0] == 400


def test_an_old_invite_without_contact_is_called_back_at_its_from__rfc2543() -> None:
    core = Core()
    core.give(invite(contact=None, via="SIP/2.0/UDP 192.0.2.77"))
    assert isinstance(core.event(), InviteReceived)


@pytest.mark.parametrize("accept", ["text/plain", "application/isup, text/html;level=1"])
def test_an_invite_that_takes_no_sdp_gets_406__rfc4475_3_3_15(accept: str) -> None:
    assert refusal(invite(headers=[("Accept", accept)]))[0] == 406


@pytest.mark.parametrize("accept", ["application/sdp", "text/plain, application/SDP;q=0.5", "application/*", "*/*", ""])
def test_an_invite_that_takes_sdp_passes__rfc3261_20_1(accept: str) -> None:
    core = Core()
    core.give(invite(headers=[("Accept", accept)]))
    assert isinstance(core.event(), InviteReceived)


@pytest.mark.parametrize("contact", ["*", "<mailto:a@b>", "<tel:+1>", "<tel:+1>, <mailto:c@d>", "<sip:a@b:99999>"])
def test_an_invite_with_an_unusable_contact_gets_400__rfc3261_12_1_1(contact: str) -> None:
    assert refusal(invite(contact=contact))[0] == 400


@pytest.mark.parametrize("contact", ["<sip:a@192.0.2.91>, <sip:c@192.0.2.92>", "<tel:+1>, <sip:a@192.0.2.91>, <sip:c@192.0.2.92>"])
def test_of_two_contacts_the_first_sip_one_counts__rfc3261_8_1_1_8(contact: str) -> None:
    core = Core()
    be_called_and_answer(core, contact=contact)
    core.do(SendBye(core.session))
    (bye,) = core.sent()
    assert (bye.message.uri, bye.flow.remote.host) == ("sip:a@192.0.2.91", "192.0.2.91")  # type: ignore[union-attr]


def test_a_broken_record_route_gets_400__rfc3261_12_1_1() -> None:
    assert refusal(invite(headers=[("Record-Route", "<sip:p1.example;lr>, nonsense")]))[0] == 400


def test_an_invite_without_hops_left_gets_483__rfc7332_4() -> None:
    assert refusal(invite(headers=[("Max-Forwards", "0")]))[0] == 483


def test_options_is_answered_with_no_hops_left__rfc3261_11() -> None:
    assert refusal(request("OPTIONS", headers=[("Max-Forwards", "0")]))[0] == 200


def test_options_tells_what_we_can_do__rfc3261_11_2() -> None:
    core = Core(capabilities=Capabilities(option_tags=("timer",)))
    core.give(request("OPTIONS"))
    response = core.sent_response()
    assert response.status == 200
    assert response.headers.get("Allow")
    assert "application/sdp" in (response.headers.get("Accept") or "")
    assert response.headers.get("Supported") == "timer"
    assert to_tag(response)
    assert core.endpoint.counts()["transactions"] == 0


def test_a_stateless_refusal_is_the_same_each_time__rfc3261_8_2_7__trap7() -> None:
    core = Core()
    core.give(invite(headers=[("Require", "foo")]))
    core.give(invite(headers=[("Require", "foo")]))
    first, second = core.sent()
    assert first.data == second.data
    core.give(ack(first.message, branch="z9hG4bKpeer1"))  # type: ignore[arg-type]
    assert [one.reason for one in core.all(Dropped)] == ["refused", "refused"], "its ACK is no stray"


# --- limits -------------------------------------------------------------------------------------------------------


def test_invites_over_the_session_limit_get_503_with_retry_after() -> None:
    core = Core(SipSettings(max_sessions=1, retry_after_s=7))
    be_called(core)
    core.give(invite(branch="z9hG4bK2", call_id="second"))
    response = core.sent_response()
    assert (response.status, response.headers.get("Retry-After")) == (503, "7")
    assert core.endpoint.counts()["sessions"] == 1


def test_requests_over_the_transaction_limit_get_503_but_bye_passes() -> None:
    core = Core(SipSettings(max_transactions=2))
    answer = be_called_and_answer(core)
    tag = to_tag(answer)
    core.give(request("OPTIONS", branch="z9hG4bK2", cseq=2, to_tag=tag))
    assert core.sent_response().status == 200
    core.give(request("OPTIONS", branch="z9hG4bK3", cseq=3, to_tag=tag))
    assert core.sent_response().status == 503
    core.give(request("BYE", branch="z9hG4bK4", cseq=4, to_tag=tag))
    assert core.sent_response().status == 200


# --- CANCEL and ACK of nothing ------------------------------------------------------------------------------------


def test_cancel_of_nothing_gets_481__rfc3261_9_2() -> None:
    assert refusal(request("CANCEL"))[0] == 481


def test_an_ack_of_nothing_is_never_answered__rfc3261_17() -> None:
    core = Core()
    core.give(request("ACK", to_tag="nobody"))
    assert core.sent() == []
    assert core.last(Dropped).reason == "stray_ack"


def test_an_ack_with_the_invites_branch_acknowledges_a_2xx_too__rfc6026_7_1() -> None:
    """Seen from devices that take the branch over from the INVITE."""
    core = Core()
    be_called(core)
    core.do(SendAnswer(core.session, ANSWER))
    core.give(ack(core.sent_response(), branch="z9hG4bKpeer1"))
    assert isinstance(core.event(), AnswerAcked)
    core.pass_time(40)
    assert core.statuses() == []


def test_every_message_is_traced_with_its_session() -> None:
    core = Core()
    be_called_and_answer(core)
    traced = [(one.direction.value, one.summary, one.session) for one in core.all(Traced)]
    assert traced == [
        ("in", "INVITE sip:bob@192.0.2.1", core.session),
        ("out", "100 Trying (INVITE)", core.session),
        ("out", "200 OK (INVITE)", core.session),
        ("in", "ACK sip:bob@192.0.2.1", core.session),
    ]
    assert all(one.call_id == "call-1@192.0.2.77" and one.flow.remote == PEER for one in core.all(Traced))


def test_a_message_of_a_stream_is_traced_too() -> None:
    core = Core()
    core.give(invite(via="SIP/2.0/TCP 192.0.2.77;branch=z9hG4bKt"), TCP)
    first = core.all(Traced)[0]
    assert first.summary == "INVITE sip:bob@192.0.2.1"
    assert first.data.startswith(b"INVITE sip:bob@192.0.2.1 SIP/2.0\r\n")
    assert first.data.endswith(OFFER)
