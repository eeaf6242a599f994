"""Strangers: who is on no list is judged before anything is kept, and gets one small answer at most (RFC 3261 8.2.7, 26.1.5)."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from sip.core.commands import SendBye
from sip.core.events import Dropped, InviteReceived, SessionEnded, Traced
from sip.core.flows import Address, CloseConnection, Flow, Transmit
from sip.core.gate import Gate, Verdict
from sip.message import Request, Response, build_message
from sip.settings import ContactPolicy, SipSettings, StrangerSettings
from tests.support.core import (
    ALL_ZERO,
    ANSWER,
    OURS,
    PEER,
    TCP,
    Core,
    be_called_and_answer,
    dial,
    dial_and_answer,
    invite,
    reply,
    request,
    to_tag,
)

STRANGER = Flow("udp", OURS, Address("198.51.100.66", 5060))
OTHER = Flow("udp", OURS, Address("198.51.100.67", 5060))
BY_TCP = Flow("tcp", OURS, Address("198.51.100.66", 40001), 9)


@dataclass(slots=True)
class Lists:
    known: tuple[str, ...] = (PEER.host,)
    asked: list[str] = field(default_factory=list)
    contact: ContactPolicy = "auto"

    def admits(self, host: str) -> bool:
        self.asked.append(host)
        return host in self.known

    def explain(self, host: str) -> str:
        return f"add {host} to the list"

    def contact_policy(self, host: str) -> ContactPolicy:
        return self.contact


def guarded(lists: Lists | None = None, **limits: object) -> Core:
    return Core(SipSettings(strangers=StrangerSettings(**limits)), screen=lists or Lists())  # type: ignore[arg-type]


# --- one answer, and nothing kept ---------------------------------------------------------------------------------


def test_a_strangers_invite_gets_one_403_and_leaves_nothing_behind() -> None:
    core = guarded()
    core.give(invite(via="SIP/2.0/UDP 198.51.100.66;branch=z9hG4bKx;rport"), STRANGER)
    answer = core.sent_response()  # no 100 before it
    assert answer.status == 403
    assert to_tag(answer)
    assert answer.headers.get("Via") == "SIP/2.0/UDP 198.51.100.66;branch=z9hG4bKx;rport=5060;received=198.51.100.66"
    assert core.events() == []
    assert core.endpoint.counts() == ALL_ZERO
    assert core.endpoint.next_deadline() is None  # no timer G
    dropped = core.last(Dropped)
    assert (dropped.reason, dropped.status) == ("stranger", 403)
    assert dropped.detail == "INVITE: add 198.51.100.66 to the list"


def test_the_refusal_of_a_small_invite_is_no_amplifier__rfc3261_26_1_5() -> None:
    core = guarded()
    asked = (
        b"INVITE sip:1@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/UDP a;branch=z9hG4bK1;rport\r\nFrom: <sip:a@a>;tag=1\r\n"
        b"To: <sip:1@a>\r\nCall-ID: 1\r\nCSeq: 1 INVITE\r\nContact: <sip:a@a>\r\n\r\n"
    )
    core.give(asked, STRANGER)
    core.pass_time(100)
    sent = core.all(Transmit)
    assert len(sent) == 1
    assert len(sent[0].data) <= 1.6 * len(asked)


@pytest.mark.parametrize("method", ["INVITE", "OPTIONS", "REGISTER", "BYE"])
def test_a_stranger_does_not_hear_what_we_are(method: str) -> None:
    core = guarded()
    core.give(request(method), STRANGER)
    (sent,) = core.all(Transmit)
    assert b"dialplane" not in sent.data and b"Server" not in sent.data and b"Allow" not in sent.data


def test_a_broken_request_of_a_stranger_gets_one_answer_without_our_name() -> None:
    core = guarded()
    core.give(build_message(request("OPTIONS")).replace(b"CSeq: 1 OPTIONS", b"CSeq: 1 INVITE"), STRANGER)
    assert core.statuses() == [400]
    assert b"Server" not in core.last(Transmit).data


def test_options_of_strangers_by_setting() -> None:
    assert [_answer_to("OPTIONS", options=which) for which in ("answer", "refuse")] == [200, 403]


def _answer_to(method: str, **limits: str) -> int:
    core = guarded(None, **limits)
    core.give(request(method), STRANGER)
    return core.sent_response().status


def test_silence_by_setting() -> None:
    core = guarded(answer="silence")
    core.give(invite(), STRANGER)
    assert core.out == []
    assert core.endpoint.strangers() == {"refused": 0, "silenced": 1, "banned": 0}


def test_what_is_never_answered_costs_a_stranger_nothing_and_us_neither() -> None:
    core = guarded(max_per_source=1)
    for _ in range(10):
        core.give(request("ACK"), STRANGER)
        core.give(b"\r\n\r\n", STRANGER)
        core.give(reply(request("INVITE"), 200), STRANGER)
    assert core.out == []
    core.give(invite(), STRANGER)
    assert core.statuses() == [403]


def test_a_listed_source_is_served_as_ever() -> None:
    core = guarded()
    core.give(invite())
    assert isinstance(core.event(), InviteReceived)
    assert b"Server: dialplane" in core.last(Transmit).data


def test_the_lists_can_be_replaced() -> None:
    core = guarded()
    core.give(invite(), STRANGER)
    core.endpoint.replace_screen(Lists((STRANGER.remote.host,)))
    core.give(invite(), STRANGER)
    assert isinstance(core.event(), InviteReceived)
    core.give(invite(branch="z9hG4bKnext", call_id="next"))
    assert core.statuses()[-1] == 403


# --- budgets and bans ---------------------------------------------------------------------------------------------


def test_a_source_over_its_rate_is_banned_and_told_of_once() -> None:
    core = guarded(max_per_source=5, ban_s=60)
    for number in range(100):
        core.give(invite(branch=f"z9hG4bK{number}"), STRANGER)
    assert core.statuses() == [403] * 5
    bans = [one for one in core.all(Dropped) if one.reason == "stranger_banned"]
    assert [one.detail for one in bans] == ["more than 5 requests a second, so silence for 60 s; add 198.51.100.66 to the list"]
    assert core.endpoint.strangers() == {"refused": 5, "silenced": 95, "banned": 1}
    core.give(invite(), OTHER)
    assert core.statuses() == [403]  # another one does not suffer
    core.pass_time(61)
    core.give(invite(), STRANGER)
    assert core.statuses() == [403]


def test_all_strangers_together_have_a_budget() -> None:
    core = guarded(max_per_second=10)
    for number in range(50):
        core.give(invite(), Flow("udp", OURS, Address(f"198.51.100.{number}", 5060)))
    assert core.statuses() == [403] * 10
    core.pass_time(1)
    core.give(invite(), STRANGER)
    assert core.statuses() == [403]


def test_sources_are_remembered_up_to_a_limit() -> None:
    gate = Gate(StrangerSettings(max_sources=100), Lists())
    for number in range(1000):
        gate.judge(f"10.0.{number // 250}.{number % 250}", 1.0)
    assert len(gate) == 100


def test_of_ipv6_a_whole_64_is_one_source() -> None:
    gate = Gate(StrangerSettings(max_per_source=1), Lists())
    assert [gate.judge(f"2001:db8:1:2::{number}", 1.0) for number in (1, 2, 3)] == [Verdict.REFUSE, Verdict.BAN, Verdict.SILENCE]


def test_a_listed_source_is_never_banned() -> None:
    core = guarded(max_per_source=1)
    for number in range(50):
        core.give(request("OPTIONS", branch=f"z9hG4bK{number}", call_id=str(number)))
    assert core.statuses() == [200] * 50


def test_a_stranger_over_its_rate_loses_its_connection() -> None:
    core = guarded(max_per_source=1)
    core.give(_with_length(b"OPTIONS"), BY_TCP)
    assert core.statuses() == [200]
    core.give(_with_length(b"OPTIONS") * 3, BY_TCP)
    assert core.statuses() == []
    assert core.all(CloseConnection) == [CloseConnection(BY_TCP)]


def _with_length(method: bytes) -> bytes:
    return build_message(request(method.decode(), via="SIP/2.0/TCP 198.51.100.66;branch=z9hG4bKt"))


# --- what belongs to our calls ------------------------------------------------------------------------------------


def test_a_callee_on_no_list_answers_and_hangs_up() -> None:
    """Nouns may lead anywhere; what comes back belongs to a call."""
    core = guarded(max_per_source=1)
    sent = dial(core, request_uri="sip:bob@198.51.100.66")
    for status in (100, 180, 183, 180):
        core.give(reply(sent, status, contact="<sip:bob@198.51.100.66>"), STRANGER)
    answer = reply(sent, 200, contact="<sip:bob@198.51.100.66>", body=ANSWER)
    core.give(answer, STRANGER)
    core.sent_request("ACK")
    core.give(answer, STRANGER)
    core.sent_request("ACK")
    core.events()
    bye = _from_callee("BYE", answer)
    core.give(bye, STRANGER)
    assert core.statuses() == [200]
    assert isinstance(core.event(), SessionEnded)
    core.give(bye, STRANGER)  # the dialog is gone, the answer is not
    assert core.statuses() == [200]
    core.settle()
    core.give(bye, STRANGER)
    assert core.statuses() == [481]


def _from_callee(method: str, answer: Response, cseq: int = 9) -> Request:
    tag = (answer.headers.get("From") or "").partition(";tag=")[2]
    return request(
        method,
        cseq=cseq,
        branch=f"z9hG4bKcallee{cseq}",
        from_tag=to_tag(answer),
        to_tag=tag,
        call_id=answer.headers.get("Call-ID") or "",
    )


def test_a_callee_may_speak_from_the_host_of_its_contact() -> None:
    core = guarded(Lists(()))
    sent = dial(core, request_uri="sip:bob@198.51.100.66")
    answer = reply(sent, 200, contact="<sip:bob@198.51.100.67>", body=ANSWER)
    core.give(answer, STRANGER)
    core.sent()
    core.give(_from_callee("BYE", answer), OTHER)
    assert core.statuses() == [200]


@pytest.mark.parametrize("method", ["BYE", "INFO", "INVITE", "OPTIONS", "UPDATE"])
def test_a_request_in_a_dialog_from_an_address_that_is_neither_the_peers_nor_listed_is_refused(method: str) -> None:
    core = guarded()
    answer = be_called_and_answer(core)
    inside = request(method, cseq=2, branch="z9hG4bKspy", to_tag=to_tag(answer))
    core.give(inside, STRANGER)
    assert core.statuses() == [481]
    assert core.events() == []
    core.give(request("ACK", cseq=1, branch="z9hG4bKspyack", to_tag=to_tag(answer)), STRANGER)
    assert (core.statuses(), core.events()) == ([], [])
    core.give(request("BYE", cseq=3, branch="z9hG4bKpeerbye", to_tag=to_tag(answer)))
    assert core.statuses() == [200]
    assert isinstance(core.event(), SessionEnded)


def test_a_cancel_of_a_stranger_changes_nothing() -> None:
    core = guarded()
    core.give(invite())
    core.sent()
    core.events()
    core.give(request("CANCEL"), STRANGER)
    assert (core.statuses(), core.events()) == ([403], [])


def test_a_listed_source_may_speak_in_any_dialog_that_it_knows() -> None:
    """A carrier answers from one address and hangs up from another; both are in its range."""
    core = guarded(Lists((PEER.host, OTHER.remote.host)))
    answer = be_called_and_answer(core)
    core.give(request("BYE", cseq=2, branch="z9hG4bKother", to_tag=to_tag(answer)), OTHER)
    assert core.statuses() == [200]


def test_a_banned_callee_is_still_heard_in_its_call() -> None:
    core = guarded(max_per_source=1)
    sent = dial(core, request_uri="sip:bob@198.51.100.66")
    answer = reply(sent, 200, contact="<sip:bob@198.51.100.66>", body=ANSWER)
    core.give(answer, STRANGER)
    for number in range(5):
        core.give(invite(branch=f"z9hG4bK{number}"), STRANGER)  # somebody forges its address
    core.sent()
    core.give(_from_callee("BYE", answer), STRANGER)
    assert core.statuses() == [200]


@pytest.mark.parametrize(
    ("policy", "contact", "to"),
    [
        ("auto", "192.0.2.99", "192.0.2.99:5060"),
        ("observed", "192.0.2.99", "192.0.2.77:5060"),
        ("contact", "10.0.0.9", "10.0.0.9:5060"),
        ("auto", "10.0.0.9", "192.0.2.77:5060"),
    ],
)
def test_where_requests_go_inside_a_call_may_be_said_for_each_peer__behaviour_8(policy: ContactPolicy, contact: str, to: str) -> None:
    core = guarded(Lists(contact=policy))
    be_called_and_answer(core, contact=f"<sip:alice@{contact}>")
    core.do(SendBye(core.session))
    assert [str(one.flow.remote) for one in core.sent()] == [to]


def test_without_a_screen_everybody_is_served() -> None:
    core = Core()
    core.give(invite(), STRANGER)
    assert isinstance(core.event(), InviteReceived)
    assert core.endpoint.strangers() == {}
    assert core.endpoint.admits("203.0.113.1")


def test_tags_are_forgotten_with_their_dialogs() -> None:
    core = guarded()
    dial_and_answer(core)
    core.do(SendBye(core.all(Traced)[0].session))  # type: ignore[arg-type]
    be_called_and_answer(core)
    core.give(request("BYE", cseq=2, branch="z9hG4bKb", to_tag=list(core.endpoint._core.local_tags)[-1]))
    core.settle()
    assert not list(core.endpoint._core.local_tags)
    assert not list(core.endpoint._transactions.to_tags)


def test_tcp_of_a_listed_peer_is_served() -> None:
    core = guarded()
    core.give(build_message(invite(via="SIP/2.0/TCP 192.0.2.77;branch=z9hG4bKt")), TCP)
    assert isinstance(core.event(), InviteReceived)
