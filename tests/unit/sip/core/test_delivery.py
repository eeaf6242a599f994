"""Where a request is tried: RFC 3263 and its fail-over, TCP for long ones, broken connections, challenges."""

from __future__ import annotations

import pytest

from sip.core.commands import Credentials, SendBye, SendCancel, SendReinvite, SendRequest
from sip.core.events import EndCause, FailureCause, InviteAnswered, InviteProgressed, SessionEnded
from sip.core.flows import Address, Flow, Listener, Resolve, Target
from sip.message import Request, parse_auth
from sip.settings import SipSettings
from tests.support.core import CALL, LISTENERS, OURS, PEER, UDP, Core, call, dial, dial_and_answer, reply
from tests.unit.sip.core.calling import T1, T2, T3, branch, failed

CHALLENGE = 'Digest realm="r", nonce="n1", algorithm=MD5, qop="auth"'

# --- names and addresses ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("uri", "asked"),
    [
        ("sip:bob@example.org", ("example.org", None, None, False)),
        ("sip:bob@example.org:5070", ("example.org", 5070, None, False)),
        ("sip:bob@example.org;transport=TCP", ("example.org", None, "tcp", False)),
        ("sips:bob@example.org", ("example.org", None, None, True)),
        ("sips:bob@example.org;transport=tcp", ("example.org", None, "tls", True)),  # RFC 3263 4.3: TLS
        ("sip:bob@example.org;maddr=other.example", ("other.example", None, None, False)),
    ],
)
def test_names_are_asked_of_dns__rfc3263_4__trap32(uri: str, asked: tuple[str, int | None, str | None, bool]) -> None:
    core = Core()
    core.do(call(request_uri=uri))
    query = core.last(Resolve)
    assert (query.host, query.port, query.transport, query.secure) == asked
    assert core.statuses() == []


@pytest.mark.parametrize(
    ("uri", "transport", "remote"),
    [
        ("sip:bob@192.0.2.77", "udp", "192.0.2.77:5060"),
        ("sip:bob@192.0.2.77:5070", "udp", "192.0.2.77:5070"),
        ("sip:bob@192.0.2.77;transport=tcp", "tcp", "192.0.2.77:5060"),
        ("sip:bob@example.org;maddr=192.0.2.9", "udp", "192.0.2.9:5060"),
        ("sip:bob@[2001:db8::7]:5070", "udp", "[2001:db8::7]:5070"),
    ],
)
def test_addresses_are_never_asked_of_dns__rfc3263_4_2(uri: str, transport: str, remote: str) -> None:
    six = Address("2001:db8::1", 5060)
    core = Core(listeners=(*LISTENERS, Listener("udp", six, six)))
    core.do(call(request_uri=uri))
    assert core.all(Resolve) == []
    sent = core.sent()[0]
    assert (sent.flow.transport, str(sent.flow.remote)) == (transport, remote)
    ours = "[2001:db8::1]:5060" if "[" in remote else "192.0.2.1:5060"
    assert (sent.message.headers.get("Via") or "").startswith(f"SIP/2.0/{transport.upper()} {ours};")


def test_the_advertised_address_stands_in_via_and_contact() -> None:
    core = Core(listeners=(Listener("udp", Address("0.0.0.0", 5080), Address("198.51.100.1", 5060)),))
    core.do(call())
    sent = core.sent()[0]
    assert sent.flow.local == Address("0.0.0.0", 5080)
    assert (sent.message.headers.get("Via") or "").startswith("SIP/2.0/UDP 198.51.100.1:5060;")
    assert sent.message.headers.get("Contact") == "<sip:alice@198.51.100.1:5060>"


def test_loopback_is_reached_by_the_loopback_socket() -> None:
    near = Address("127.0.0.1", 5060)
    core = Core(listeners=(*LISTENERS, Listener("udp", near, near)))
    core.do(call(request_uri="sip:bob@127.0.0.1:5090"))
    assert core.sent()[0].flow.local == near


def test_a_transport_that_we_do_not_speak_fails_at_once() -> None:
    core = Core()
    core.do(call(request_uri="sips:bob@192.0.2.77"))
    assert failed(core).cause is FailureCause.TRANSPORT
    core.settle()


def test_an_unknown_name_is_unresolved() -> None:
    core = Core()
    core.do(call(request_uri="sip:bob@nowhere.invalid"))
    core.resolve()
    failure = failed(core)
    assert (failure.cause, failure.detail) == (FailureCause.UNRESOLVED, "nowhere.invalid")  # the name, for who looks for it
    core.settle()


def test_a_tel_uri_needs_a_next_hop() -> None:
    core = Core()
    core.do(call(request_uri="tel:+12125551212"))
    assert failed(core).cause is FailureCause.UNRESOLVED
    core.do(call(request_uri="tel:+12125551212", next_hop="sip:192.0.2.50"))
    assert core.sent_request("INVITE").uri == "tel:+12125551212"


def test_an_answer_of_dns_that_nobody_waits_for_is_ignored() -> None:
    core = Core()
    assert core.endpoint.resolved(99, (T1,), core.now) == []


# --- fail-over ----------------------------------------------------------------------------------------------------


def open_by_name(core: Core, *targets: Target, **given: object) -> Request:
    core.do(call(request_uri="sip:bob@example.org", **given))
    core.resolve(*targets)
    return core.sent_request("INVITE")


def test_a_503_moves_on_under_a_new_branch__rfc3263_4_3__trap32() -> None:
    core = Core()
    first = open_by_name(core, T1, T2)
    core.give(reply(first, 503))
    ack, second = core.sent()
    assert isinstance(ack.message, Request)
    assert isinstance(second.message, Request)
    assert (ack.message.method, ack.flow.remote) == ("ACK", T1.address)
    assert (second.message.method, second.flow.remote) == ("INVITE", T2.address)
    assert branch(second.message) != branch(first)
    for name in ("Call-ID", "CSeq", "From", "To"):
        assert second.message.headers.get(name) == first.headers.get(name)
    assert core.events() == []
    core.give(reply(second.message, 200))
    assert isinstance(core.event(), InviteAnswered)


def test_a_timeout_moves_on__rfc3263_4_3__trap32() -> None:
    core = Core(SipSettings(silent_hop_s=0))  # else the next one is asked long before: test_hops.py
    open_by_name(core, T1, T2)
    core.pass_time(32.1)
    assert core.sent()[-1].flow.remote == T2.address
    core.pass_time(32.1)
    assert failed(core).cause is FailureCause.NO_RESPONSE
    core.settle()


def test_a_transport_error_moves_on__rfc3263_4_3__trap32() -> None:
    core = Core()
    open_by_name(core, T1, T2, T3)
    for target in (T1, T2):
        core.fail(Flow("udp", OURS, target.address))
    assert [one.flow.remote for one in core.sent()] == [T2.address, T3.address]
    core.fail(Flow("udp", OURS, T3.address))
    assert failed(core).cause is FailureCause.TRANSPORT
    core.settle()


def test_a_503_after_cancel_does_not_move_on() -> None:
    core = Core()
    first = open_by_name(core, T1, T2)
    core.do(SendCancel(CALL))
    core.give(reply(first, 503))
    assert failed(core).cause is FailureCause.CANCELED
    assert core.statuses() == ["ACK"]


@pytest.mark.parametrize("status", [404, 408, 480, 486, 500, 504, 600])
def test_other_finals_do_not_move_on__rfc3263_4_3__trap32(status: int) -> None:
    core = Core()
    first = open_by_name(core, T1, T2)
    core.give(reply(first, status))
    event = failed(core)
    assert event.response is not None
    assert event.response.status == status
    assert core.statuses() == ["ACK"]


def test_the_last_503_is_reported() -> None:
    core = Core()
    first = open_by_name(core, T1)
    core.give(reply(first, 503))
    event = failed(core)
    assert event.response is not None
    assert event.response.status == 503


def test_targets_of_transports_that_we_lack_are_passed_over() -> None:
    core = Core()
    core.do(call(request_uri="sip:bob@example.org"))
    core.resolve(Target("tls", Address("192.0.2.101", 5061)), T2)
    assert core.sent()[0].flow.remote == T2.address


def test_in_dialog_requests_fail_over_too__rfc3263_4_3() -> None:
    core = Core()
    sent = dial(core)
    core.give(reply(sent, 200, contact="<sip:bob@pbx.example>"))
    core.resolve(T1)
    assert core.statuses() == ["ACK"]
    core.do(SendBye(CALL))
    core.resolve(T1, T2)
    core.fail(Flow("udp", OURS, T1.address))
    assert [one.flow.remote for one in core.sent()] == [T1.address, T2.address]


def test_an_ack_whose_target_cannot_be_reached_tries_the_next__rfc3263_4_3() -> None:
    core = Core()
    core.give(reply(dial(core), 200, contact="<sip:bob@pbx.example;transport=tcp>"))
    one, two = Target("tcp", T1.address), Target("tcp", T2.address)
    core.resolve(one, two)
    core.fail(Flow("tcp", Address(OURS.host, 0), T1.address))
    assert [(sent.message.method, sent.flow.remote) for sent in core.sent() if isinstance(sent.message, Request)] == [
        ("ACK", T1.address),
        ("ACK", T2.address),
    ]


def test_an_ack_whose_name_is_never_resolved_is_forgotten_with_its_invite() -> None:
    core = Core()
    core.give(reply(dial(core), 200, contact="<sip:bob@pbx.example>"))
    assert core.endpoint.counts()["resolves"] == 1
    core.pass_time(32.1)
    assert (core.endpoint.counts()["resolves"], core.endpoint.counts()["transactions"]) == (0, 0)


# --- connections --------------------------------------------------------------------------------------------------

BY_TCP = "sip:bob@192.0.2.77;transport=tcp"


def test_a_request_on_a_connection_that_breaks_goes_once_more_by_a_new_one() -> None:
    """The peer may close an idle connection in the moment in which we write to it."""
    core = Core()
    first = dial(core, request_uri=BY_TCP)
    core.lose(Flow("tcp", Address(OURS.host, 5060), PEER, 3))
    again = core.sent_request("INVITE")
    assert branch(again) == branch(first)
    core.lose(Flow("tcp", Address(OURS.host, 5060), PEER, 4))
    assert failed(core).cause is FailureCause.TRANSPORT
    core.settle()


def test_a_ringing_call_outlives_its_connection() -> None:
    core = Core()
    sent = dial(core, request_uri=BY_TCP)
    flow = Flow("tcp", Address(OURS.host, 40001), PEER, 3)
    core.give(reply(sent, 180), flow)
    core.lose(flow)
    assert isinstance(core.event(), InviteProgressed)
    assert core.statuses() == []
    core.give(reply(sent, 200), Flow("tcp", OURS, Address(PEER.host, 50000), 4))  # by a connection that the peer opened
    assert isinstance(core.event(), InviteAnswered)


def test_an_error_of_a_response_ends_nothing() -> None:
    core = Core()
    dial_and_answer(core)
    core.fail(UDP)
    assert core.events() == []
    assert core.endpoint.counts()["sessions"] == 1


def test_a_bye_that_cannot_be_sent_ends_the_session() -> None:
    core = Core()
    dial_and_answer(core)
    core.do(SendBye(CALL))
    core.fail(UDP)
    event = core.event()
    assert isinstance(event, SessionEnded)
    assert event.cause is EndCause.BYE_ANSWERED
    core.settle()


# --- challenges ---------------------------------------------------------------------------------------------------

TRUNK = Credentials("trunk", "secret")


def challenge(sent: Request, status: int = 407, text: str = CHALLENGE) -> object:
    name = "WWW-Authenticate" if status == 401 else "Proxy-Authenticate"
    return reply(sent, status, headers=[(name, text)])


@pytest.mark.parametrize(("status", "field"), [(401, "Authorization"), (407, "Proxy-Authorization")])
def test_a_challenge_is_answered_with_a_new_cseq__rfc3261_22_2__trap33(status: int, field: str) -> None:
    core = Core()
    first = dial(core, credentials=TRUNK, headers=(("X-Once", "1"),))
    core.give(challenge(first, status))  # type: ignore[arg-type]
    ack, again = (one.message for one in core.sent())
    assert isinstance(ack, Request)
    assert isinstance(again, Request)
    assert (ack.method, again.method, again.headers.get("CSeq")) == ("ACK", "INVITE", "2 INVITE")
    assert again.body == first.body
    for name in ("Call-ID", "From", "To", "X-Once", "Contact"):
        assert again.headers.get(name) == first.headers.get(name)
    assert branch(again) != branch(first)
    scheme, params = parse_auth(again.headers.get(field) or "")
    assert (scheme, params["username"], params["uri"], params["nc"]) == ("Digest", "trunk", first.uri, "00000001")
    assert core.events() == []
    core.give(reply(again, 200))
    acked = core.sent_request("ACK")
    assert acked.headers.get(field) == again.headers.get(field)  # the INVITE's credentials (trap 2)
    assert acked.headers.get("CSeq") == "2 ACK"


def test_a_second_challenge_is_failure__rfc3261_22_2__trap33() -> None:
    core = Core()
    core.give(challenge(dial(core, credentials=TRUNK)))  # type: ignore[arg-type]
    again = core.sent()[-1].message
    assert isinstance(again, Request)
    core.give(challenge(again, text='Digest realm="r", nonce="n2", qop="auth"'))  # type: ignore[arg-type]
    event = failed(core)
    assert event.cause is FailureCause.RESPONSE
    assert event.response is not None
    assert event.response.status == 407
    core.settle()


def test_a_stale_nonce_is_answered_again__rfc7616_3_3__trap33() -> None:
    core = Core()
    core.give(challenge(dial(core, credentials=TRUNK)))  # type: ignore[arg-type]
    for number in (2, 3):
        again = core.sent()[-1].message
        assert isinstance(again, Request)
        core.give(challenge(again, text=f'Digest realm="r", nonce="n{number}", qop="auth", stale=true'))  # type: ignore[arg-type]
    last = core.sent()[-1].message
    assert isinstance(last, Request)
    assert last.headers.get("CSeq") == "4 INVITE"
    assert parse_auth(last.headers.get("Proxy-Authorization") or "")[1]["nonce"] == "n3"
    assert core.events() == []


def test_without_credentials_a_challenge_is_failure() -> None:
    core = Core()
    core.give(challenge(dial(core)))  # type: ignore[arg-type]
    assert failed(core).cause is FailureCause.RESPONSE


def test_in_dialog_requests_carry_credentials_with_a_rising_count__rfc7616_3_4__trap33() -> None:
    core = Core()
    core.give(challenge(dial(core, credentials=TRUNK)))  # type: ignore[arg-type]
    again = core.sent()[-1].message
    assert isinstance(again, Request)
    core.give(reply(again, 200))
    core.sent()
    core.do(SendRequest(CALL, "INFO"))
    info = core.sent_request("INFO")
    assert parse_auth(info.headers.get("Proxy-Authorization") or "")[1]["nc"] == "00000002"
    core.give(challenge(info, text='Digest realm="r", nonce="n2", qop="auth"'))  # type: ignore[arg-type]
    info = core.sent_request("INFO")
    params = parse_auth(info.headers.get("Proxy-Authorization") or "")[1]
    assert (params["nonce"], params["nc"], info.headers.get("CSeq")) == ("n2", "00000001", "4 INFO")
    core.give(reply(info, 200))
    core.do(SendBye(CALL))
    bye = core.sent_request("BYE")
    assert (parse_auth(bye.headers.get("Proxy-Authorization") or "")[1]["nc"], bye.headers.get("CSeq")) == ("00000002", "5 BYE")


@pytest.mark.parametrize("method", ["BYE", "INVITE"])
def test_challenged_byes_and_reinvites_are_answered__trap33(method: str) -> None:
    core = Core()
    core.give(reply(dial(core, credentials=TRUNK), 200))
    core.sent()
    core.do(SendBye(CALL) if method == "BYE" else SendReinvite(CALL, b"v=0"))
    first = core.sent_request(method)
    core.give(challenge(first))  # type: ignore[arg-type]
    again = core.sent()[-1].message
    assert isinstance(again, Request)
    assert (again.method, again.body, again.headers.get("CSeq")) == (method, first.body, f"3 {method}")
    assert "Proxy-Authorization" in again.headers


def test_the_bye_of_a_lost_fork_answers_its_challenge() -> None:
    core = Core()
    sent = dial(core, credentials=TRUNK)
    core.give(reply(sent, 200))
    core.give(reply(sent, 200, tag="fork"))
    bye = core.sent()[-1].message
    assert isinstance(bye, Request)
    core.give(challenge(bye))  # type: ignore[arg-type]
    assert "Proxy-Authorization" in core.sent_request("BYE").headers


def test_ack_and_cancel_are_never_held_up_by_a_challenge__rfc3261_22_1__trap14() -> None:
    core = Core()
    sent = dial(core, credentials=TRUNK)
    core.give(reply(sent, 180))
    core.do(SendCancel(CALL))
    cancel = core.sent_request("CANCEL")
    core.give(challenge(cancel))  # type: ignore[arg-type]
    assert core.statuses() == []
    core.give(reply(sent, 487))
    assert core.statuses() == ["ACK"]


def test_our_uas_challenges_neither_ack_nor_cancel__rfc3261_22_1__trap14() -> None:
    from tests.support.core import be_called, request

    core = Core()
    be_called(core)
    core.give(request("CANCEL"))
    assert core.statuses() == [200]


def test_credentials_show_in_no_repr() -> None:
    core = Core()
    dial(core, credentials=TRUNK)
    assert "secret" not in repr(core.out)
    assert "secret" not in repr(TRUNK)
