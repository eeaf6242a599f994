"""Requests outside of any dialog: two endpoints that talk to each other, and one on the bench."""

from __future__ import annotations

import hashlib

import pytest

from sip.core.capabilities import Capabilities
from sip.core.commands import AnswerRequest, Credentials, ExchangeId, SendOutOfDialog, TransactionId
from sip.core.events import FailureCause, OutOfDialogAnswered, OutOfDialogReceived
from sip.core.flows import Address, Flow, Listener, Resolve, Target, Transmit
from sip.message import Request, Response, UsageError, parse_auth
from sip.settings import SipSettings
from tests.support.core import OURS, PEER, UDP, Core, reply, request
from tests.support.wire import Wire, mirrored

ONE = ExchangeId("exchange-1")
TAKES = Capabilities(outside=("REGISTER", "MESSAGE", "OPTIONS"))
CREDENTIALS = Credentials("alice", "open sesame")


def register(exchange: str = ONE, **given: object) -> SendOutOfDialog:
    fields: dict[str, object] = {
        "request_uri": "sip:192.0.2.77",
        "from_uri": "sip:alice@example.net",
        "to_uri": "sip:alice@example.net",
        "contact_user": "alice",
        "headers": (("Expires", "600"),),
    }
    return SendOutOfDialog(ExchangeId(exchange), "REGISTER", **(fields | given))  # type: ignore[arg-type]


def challenge(to: Request, nonce: str = "n1") -> Response:
    return reply(to, 401, headers=[("WWW-Authenticate", f'Digest realm="example.net", nonce="{nonce}", qop="auth"')])


def md5(*parts: str) -> str:
    return hashlib.md5(":".join(parts).encode(), usedforsecurity=False).hexdigest()


class Pair:
    """Alice's endpoint and Bob's, over a network that may lose and double."""

    def __init__(self, seed: int = 1, **network: float) -> None:
        self.alice = Core(listeners=[Listener("udp", OURS, OURS)], capabilities=TAKES)
        self.bob = Core(listeners=[Listener("udp", PEER, PEER)], capabilities=TAKES, seed=8)
        self.wire = Wire(seed, **network)
        self._carried = {id(self.alice): 0, id(self.bob): 0}

    def run(self, seconds: float) -> None:
        end = self.alice.now + seconds
        while True:
            for core in (self.alice, self.bob):
                for at, output in core.out[self._carried[id(core)] :]:
                    if isinstance(output, Transmit):
                        self.wire.send(at, output.flow, output.data)
                self._carried[id(core)] = len(core.out)
            times = [self.wire.next_deadline(), self.alice.endpoint.next_deadline(), self.bob.endpoint.next_deadline()]
            due = min((one for one in times if one is not None), default=None)
            if due is None or due > end:
                break
            for core in (self.alice, self.bob):
                core.pass_time(due - core.now)
            for flow, data in self.wire.due(due):
                (self.alice if flow.local == OURS else self.bob).give(data, flow)
        for core in (self.alice, self.bob):
            core.pass_time(end - core.now)


# --- two endpoints ------------------------------------------------------------------------------------------------


def test_a_request_outside_of_dialogs_reaches_the_other_user_and_its_answer_returns__rfc3261_8() -> None:
    pair = Pair()
    pair.alice.do(
        SendOutOfDialog(
            ONE, "MESSAGE", "sip:bob@192.0.2.77", "sip:alice@192.0.2.1", b"Watson, come here.", "text/plain", from_display="Alice"
        )
    )
    pair.run(1)
    received = pair.bob.event()
    assert isinstance(received, OutOfDialogReceived)
    assert (received.request.method, received.request.body) == ("MESSAGE", b"Watson, come here.")
    assert received.request.headers.get("Contact") is None  # RFC 3428 4
    assert received.flow == mirrored(Flow("udp", OURS, PEER))
    pair.bob.do(AnswerRequest(received.transaction, 202, "Accepted", headers=(("X-Queue", "1"),)))
    pair.run(1)
    answered = pair.alice.event()
    assert isinstance(answered, OutOfDialogAnswered)
    assert answered.response is not None
    assert (answered.exchange, answered.method, answered.response.status, answered.failure) == (ONE, "MESSAGE", 202, None)
    assert answered.response.headers.get("X-Queue") == "1"
    pair.alice.settle()
    pair.bob.settle()


@pytest.mark.parametrize("seed", range(20))
def test_each_request_is_received_once_and_answered_once_over_a_bad_network__rfc3261_17_1_2_17_2_2(seed: int) -> None:
    pair = Pair(seed, loss=0.25, duplicate=0.2, reorder=0.2)
    pair.alice.do(register())
    pair.run(8)
    received = pair.bob.events()
    assert len(received) == 1, "the copies are the transaction's affair"
    assert isinstance(received[0], OutOfDialogReceived)
    pair.bob.do(AnswerRequest(received[0].transaction, 200))
    pair.run(40)
    answered = pair.alice.event()
    assert isinstance(answered, OutOfDialogAnswered)
    assert answered.response is not None
    pair.alice.settle()
    pair.bob.settle()


def test_both_ends_agree_when_the_user_never_answers__rfc3261_17_1_2_2__rfc4320_4_2() -> None:
    pair = Pair()
    pair.alice.do(register())
    pair.run(70)
    received = pair.bob.event()
    assert isinstance(received, OutOfDialogReceived)
    answered = pair.alice.event()
    assert isinstance(answered, OutOfDialogAnswered)
    assert (answered.response, answered.failure) == (None, FailureCause.NO_RESPONSE)
    pair.bob.do(AnswerRequest(received.transaction, 200))  # too late: nobody asks any more
    pair.run(1)
    assert pair.alice.events() == []
    pair.alice.settle()
    pair.bob.settle()


# --- as UAS -------------------------------------------------------------------------------------------------------


def test_a_user_that_takes_a_method_is_asked_and_tells_so_in_allow__rfc3261_8_2_1() -> None:
    core = Core(capabilities=TAKES)
    core.give(request("REGISTER", headers=[("Contact", "<sip:alice@192.0.2.77>;expires=60")]))
    received = core.event()
    assert isinstance(received, OutOfDialogReceived)
    assert core.statuses() == []
    core.do(AnswerRequest(received.transaction, 200, headers=(("Contact", "<sip:alice@192.0.2.77>;expires=60"),)))
    answer = core.sent_response()
    assert answer.headers.get("Contact") == "<sip:alice@192.0.2.77>;expires=60"  # the bindings, 10.3
    assert answer.headers.get("To") != "<sip:bob@example.org>"
    core.give(request("PUBLISH", branch="z9hG4bKp"))
    refused = core.sent_response()
    assert (refused.status, refused.headers.get("Allow")) == (
        405,
        "INVITE, ACK, CANCEL, BYE, OPTIONS, INFO, NOTIFY, UPDATE, REGISTER, MESSAGE",
    )
    core.settle()


def test_the_request_again_is_the_same_transaction__rfc3261_17_2_2__trap7() -> None:
    core = Core(capabilities=TAKES)
    core.give(request("MESSAGE"))
    core.give(request("MESSAGE"))
    received = core.event()
    assert isinstance(received, OutOfDialogReceived)
    core.do(AnswerRequest(received.transaction, 403))
    first = core.sent()
    core.give(request("MESSAGE"))
    assert [one.data for one in core.sent()] == [first[0].data]
    core.do(AnswerRequest(received.transaction, 200))
    assert core.sent() == [], "one final answer"
    core.settle()


def test_a_provisional_answer_may_come_first__rfc3261_17_2_2() -> None:
    core = Core(capabilities=TAKES)
    core.give(request("MESSAGE"))
    received = core.event()
    assert isinstance(received, OutOfDialogReceived)
    core.do(AnswerRequest(received.transaction, 100))
    core.do(AnswerRequest(received.transaction, 200))
    assert core.statuses() == [100, 200]


def test_options_is_the_users_when_it_takes_it__rfc3261_11() -> None:
    core = Core(capabilities=TAKES)
    core.give(request("OPTIONS"))
    assert core.statuses() == []
    assert isinstance(core.event(), OutOfDialogReceived)


def test_what_is_taken_outside_only_is_refused_inside__rfc3261_8_2_1() -> None:
    core = Core(capabilities=Capabilities(outside=("MESSAGE",)))
    core.give(request("MESSAGE", to_tag="nobody"))
    assert core.sent_response().status == 481
    assert core.events() == []


def test_checks_of_a_uas_come_before_the_user__rfc3261_8_2() -> None:
    core = Core(capabilities=TAKES)
    core.give(request("REGISTER", headers=[("Require", "path")]))
    assert core.sent_response().status == 420
    core.give(request("REGISTER", branch="z9hG4bKa", uri="unknown:x"))
    assert core.sent_response().status == 416
    core.give(request("REGISTER", branch="z9hG4bKb"))
    core.give(request("REGISTER", branch="z9hG4bKotherway"))
    assert core.sent_response().status == 482
    assert isinstance(core.event(), OutOfDialogReceived)


def test_over_the_transaction_limit_there_is_503_with_retry_after() -> None:
    core = Core(SipSettings(max_transactions=1), capabilities=TAKES)
    core.give(request("MESSAGE"))
    core.give(request("MESSAGE", branch="z9hG4bKm2", cseq=2))
    busy = core.sent_response()
    assert (busy.status, busy.headers.get("Retry-After")) == (503, "10")


def test_an_answer_to_nothing_is_ignored_and_one_that_cannot_be_sent_is_refused() -> None:
    core = Core(capabilities=TAKES)
    assert core.do(AnswerRequest(TransactionId("t999"), 200)) == []
    with pytest.raises(UsageError, match="header field"):
        core.do(AnswerRequest(TransactionId("t999"), 200, headers=(("Via", "x"),)))


@pytest.mark.parametrize("method", ["INVITE", "ACK", "CANCEL", "BYE", "not a token"])
def test_the_core_keeps_its_own_methods(method: str) -> None:
    with pytest.raises(UsageError, match="not a method"):
        Capabilities(outside=(method,))


# --- as UAC -------------------------------------------------------------------------------------------------------


def test_a_register_is_what_10_2_asks_for__rfc3261_10_2() -> None:
    core = Core()
    core.do(register(call_id="row-1@192.0.2.1", cseq=7))
    sent = core.sent_request("REGISTER")
    assert sent.uri == "sip:192.0.2.77"
    assert (sent.headers.get("Call-ID"), sent.headers.get("CSeq")) == ("row-1@192.0.2.1", "7 REGISTER")
    assert sent.headers.get("To") == "<sip:alice@example.net>"
    assert (sent.headers.get("Contact"), sent.headers.get("Expires")) == ("<sip:alice@192.0.2.1:5060>", "600")
    core.give(reply(sent, 100))
    assert core.events() == []
    core.give(reply(sent, 200))
    answered = core.event()
    assert isinstance(answered, OutOfDialogAnswered)
    assert answered.cseq == 7
    core.settle()


def test_a_challenge_is_answered_once_with_the_next_number__rfc3261_22_2__trap33() -> None:
    core = Core()
    core.do(register(credentials=CREDENTIALS, cseq=3))
    first = core.sent_request("REGISTER")
    core.give(challenge(first))
    second = core.sent_request("REGISTER")
    assert second.headers.get("CSeq") == "4 REGISTER"
    assert second.headers.get("Call-ID") == first.headers.get("Call-ID")
    _, given = parse_auth(second.headers.get("Authorization") or "", "Authorization")
    proof = md5(md5("alice:example.net:open sesame"), "n1:00000001", given["cnonce"], "auth", md5("REGISTER:sip:192.0.2.77"))
    assert given["response"] == proof
    core.give(challenge(second, "n2"))
    answered = core.event()
    assert isinstance(answered, OutOfDialogAnswered)
    assert answered.response is not None
    assert (answered.response.status, answered.cseq) == (401, 4)
    core.settle()


def test_a_503_and_silence_move_on_to_the_next_address__rfc3263_4_3__trap32() -> None:
    core = Core()
    core.do(register(request_uri="sip:registrar.example.net"))
    assert core.last(Resolve).host == "registrar.example.net"
    core.resolve(*(Target("udp", Address(host, 5060)) for host in ("192.0.2.77", "192.0.2.78", "192.0.2.79")))
    core.give(reply(core.sent_request("REGISTER"), 503))
    (second,) = core.sent()
    assert second.flow.remote.host == "192.0.2.78"
    core.pass_time(33)
    assert core.sent()[-1].flow.remote.host == "192.0.2.79"
    core.pass_time(33)
    answered = core.event()
    assert isinstance(answered, OutOfDialogAnswered)
    assert (answered.response, answered.failure) == (None, FailureCause.NO_RESPONSE)
    core.settle()


@pytest.mark.parametrize("cause", [FailureCause.UNRESOLVED, FailureCause.TRANSPORT])
def test_a_request_that_goes_nowhere_says_why(cause: FailureCause) -> None:
    core = Core()
    core.do(register(request_uri="sip:registrar.example.net"))
    if cause is FailureCause.UNRESOLVED:
        core.resolve()
    else:
        core.resolve(Target("udp", PEER))
        core.fail(UDP)
    answered = core.event()
    assert isinstance(answered, OutOfDialogAnswered)
    assert (answered.response, answered.failure) == (None, cause)
    core.settle()


def test_an_outbound_proxy_is_the_next_hop__rfc3261_8_1_2() -> None:
    core = Core()
    core.do(SendOutOfDialog(ONE, "OPTIONS", "sip:bob@example.org", "sip:alice@192.0.2.1", next_hop="sip:192.0.2.9;lr"))
    (sent,) = core.sent()
    assert sent.flow.remote.host == "192.0.2.9"
    assert sent.message.headers.get("Route") == "<sip:192.0.2.9;lr>"
    assert sent.message.uri == "sip:bob@example.org"  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "wrong",
    [
        {"request_uri": "not a uri"},
        {"call_id": "two words"},
        {"call_id": ""},
        {"cseq": 0},
        {"cseq": 2**31},
        {"headers": (("Contact", "<sip:x>"),)},
        {"from_display": "a\r\nb"},
        {"contact_user": "a\nb"},
        {"contact_user": "a>b"},
        {"contact_user": "a@b"},
    ],
)
def test_what_cannot_be_put_on_the_wire_is_refused_and_leaves_no_trace(wrong: dict[str, object]) -> None:
    core = Core()
    with pytest.raises(UsageError):
        core.do(register(**wrong))  # type: ignore[arg-type]
    core.settle()
    assert core.out == []


@pytest.mark.parametrize("method", ["INVITE", "ACK", "CANCEL", "BYE", "two words"])
def test_methods_of_dialogs_are_not_sent_outside(method: str) -> None:
    with pytest.raises(UsageError, match="outside of a dialog"):
        Core().do(SendOutOfDialog(ONE, method, "sip:bob@192.0.2.77", "sip:alice@192.0.2.1"))


def test_a_name_is_used_for_one_exchange_at_a_time() -> None:
    core = Core()
    core.do(register())
    with pytest.raises(UsageError, match="in use"):
        core.do(register())
