"""The four transaction machines alone: every state, every timer, both kinds of transport (RFC 3261 17, RFC 6026)."""

from __future__ import annotations

import pytest

from sip.core.client_invite import ClientInvite, build_cancel
from sip.core.client_request import ClientRequest
from sip.core.machine import Action, Cause, GaveUp, Machine, PassUp, Send, State, pack, summarize
from sip.core.server_invite import ServerInvite
from sip.core.server_request import ServerRequest
from sip.core.timers import Timer, Times
from sip.message import Request, Response, parse_message
from tests.support.core import invite, reply, request

TIMES = Times()
UDP, TCP = False, True


def client_invite(reliable: bool) -> tuple[ClientInvite, Request]:
    sent = invite(headers=[("Route", "<sip:p1.example;lr>"), ("Route", "<sip:p2.example;lr>")])
    machine = ClientInvite(sent, pack(sent), reliable, TIMES)
    assert kinds(machine.start(0.0)) == ["send"]
    return machine, sent


def client_request(reliable: bool) -> tuple[ClientRequest, Request]:
    sent = request("BYE", to_tag="x")
    machine = ClientRequest(pack(sent), reliable, TIMES)
    assert kinds(machine.start(0.0)) == ["send"]
    return machine, sent


def kinds(actions: list[Action]) -> list[str]:
    names = []
    for action in actions:
        match action:
            case Send(_, repeated):
                names.append("again" if repeated else "send")
            case PassUp(Response(status=status)):
                names.append(f"up {status}")
            case PassUp(message):
                names.append(f"up {summarize(message).split()[0]}")
            case GaveUp(cause):
                names.append(f"gave up {cause.value}")
    return names


def run(machine: Machine, until: float) -> list[tuple[float, str]]:
    """Let the timers fire at their times; (time, what came out)."""
    happened = []
    while (at := machine.deadline()) is not None and at <= until:
        happened += [(round(at, 3), kind) for kind in kinds(machine.expire(at))]
    return happened


# --- INVITE client ------------------------------------------------------------------------------------------------


def test_timer_a_doubles_and_timer_b_ends_calling__rfc3261_17_1_1_2() -> None:
    machine, _ = client_invite(UDP)
    repeats = [(0.5, "again"), (1.5, "again"), (3.5, "again"), (7.5, "again"), (15.5, "again"), (31.5, "again")]
    assert run(machine, 100) == [*repeats, (32.0, "gave up timeout")]
    assert machine.state is State.TERMINATED


def test_reliable_invite_is_sent_once_and_timer_b_still_runs__rfc3261_17_1_1_2__trap10() -> None:
    machine, _ = client_invite(TCP)
    assert run(machine, 100) == [(32.0, "gave up timeout")]


def test_proceeding_has_no_timer__rfc3261_17_1_1_2__trap9() -> None:
    machine, sent = client_invite(UDP)
    assert kinds(machine.receive(reply(sent, 180), 1.0)) == ["up 180"]
    assert (machine.state, machine.deadline()) == (State.PROCEEDING, None)
    assert kinds(machine.receive(reply(sent, 183), 500.0)) == ["up 183"]


def test_refusal_is_acked_in_the_invites_own_transaction__rfc3261_17_1_1_3__trap1() -> None:
    machine, sent = client_invite(UDP)
    actions = machine.receive(reply(sent, 486, tag="bob"), 1.0)
    assert kinds(actions) == ["send", "up 486"]
    assert isinstance(actions[0], Send)
    ack = parse_message(actions[0].packet.data)
    assert isinstance(ack, Request)
    assert (ack.method, ack.uri) == ("ACK", sent.uri)
    assert ack.headers.get_all("Via") == [sent.headers.get("Via")]
    assert ack.headers.get_all("Route") == ["<sip:p1.example;lr>", "<sip:p2.example;lr>"]
    assert ack.headers.get("CSeq") == "1 ACK"
    assert ack.headers.get("To") == "<sip:bob@example.org>;tag=bob"
    assert ack.headers.get("From") == sent.headers.get("From")


def test_each_repeated_refusal_is_acked_once_and_timer_d_ends_it__rfc3261_17_1_1_2__trap1() -> None:
    machine, sent = client_invite(UDP)
    first = machine.receive(reply(sent, 486), 1.0)[0]
    again = machine.receive(reply(sent, 486), 2.0)
    assert kinds(again) == ["again"]
    assert isinstance(first, Send)
    assert isinstance(again[0], Send)
    assert again[0].packet.data == first.packet.data
    assert machine.deadline() == 33.0  # timer D is not restarted
    assert run(machine, 100) == []
    assert machine.state is State.TERMINATED


def test_timer_d_is_zero_over_reliable_transports__rfc3261_17_1_1_2__trap10() -> None:
    machine, sent = client_invite(TCP)
    assert kinds(machine.receive(reply(sent, 486), 1.0)) == ["send", "up 486"]
    assert machine.state is State.TERMINATED


@pytest.mark.parametrize("reliable", [UDP, TCP])
def test_accepted_passes_2xx_up_again_until_timer_m__rfc6026_7_2(reliable: bool) -> None:
    machine, sent = client_invite(reliable)
    assert kinds(machine.receive(reply(sent, 200), 1.0)) == ["up 200"]
    assert machine.state is State.ACCEPTED
    assert kinds(machine.receive(reply(sent, 200, tag="fork"), 20.0)) == ["up 200"]
    assert kinds(machine.receive(reply(sent, 180), 21.0)) == []
    assert kinds(machine.receive(reply(sent, 486), 21.0)) == []
    assert run(machine, 32.9) == []
    assert machine.deadline() == 33.0
    assert run(machine, 33.0) == []
    assert machine.deadline() is None
    assert machine.receive(reply(sent, 200), 34.0) == []


def test_2xx_after_a_refusal_still_goes_up__rfc3261_16_7_step5() -> None:
    machine, sent = client_invite(UDP)
    machine.receive(reply(sent, 486), 1.0)
    assert kinds(machine.receive(reply(sent, 200), 2.0)) == ["up 200"]


@pytest.mark.parametrize("reliable", [UDP, TCP])
def test_transport_error_ends_calling__rfc3261_17_1_4(reliable: bool) -> None:
    machine, _ = client_invite(reliable)
    assert machine.transport_failed() == [GaveUp(Cause.TRANSPORT)]
    assert (machine.state, machine.deadline()) == (State.TERMINATED, None)


def test_cancel_copies_branch_uri_to_route_and_number__rfc3261_9_1__trap11() -> None:
    sent = invite(cseq=7, headers=[("Route", "<sip:p1.example;lr>")])
    cancel = build_cancel(sent)
    assert (cancel.method, cancel.uri) == ("CANCEL", sent.uri)
    for name in ("Via", "Route", "To", "From", "Call-ID"):
        assert cancel.headers.get_all(name) == sent.headers.get_all(name)
    assert cancel.headers.get("CSeq") == "7 CANCEL"
    assert "Require" not in cancel.headers


# --- other clients ------------------------------------------------------------------------------------------------


def test_timer_e_caps_at_t2_and_timer_f_gives_up__rfc3261_17_1_2_2__trap8() -> None:
    machine, _ = client_request(UDP)
    times = [0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5]
    assert run(machine, 100) == [*((at, "again") for at in times), (32.0, "gave up timeout")]


def test_timer_e_runs_at_t2_after_a_provisional__rfc3261_17_1_2_2__trap8() -> None:
    machine, sent = client_request(UDP)
    assert kinds(machine.receive(reply(sent, 100), 0.1)) == ["up 100"]
    assert machine.state is State.PROCEEDING
    times = [0.5, 4.5, 8.5, 12.5, 16.5, 20.5, 24.5, 28.5]
    assert run(machine, 100) == [*((at, "again") for at in times), (32.0, "gave up timeout")]


def test_reliable_request_is_sent_once__rfc3261_17_1_2_2__trap10() -> None:
    machine, _ = client_request(TCP)
    assert run(machine, 100) == [(32.0, "gave up timeout")]


def test_timer_k_absorbs_repeated_finals__rfc3261_17_1_2_2() -> None:
    machine, sent = client_request(UDP)
    assert kinds(machine.receive(reply(sent, 200), 1.0)) == ["up 200"]
    assert machine.receive(reply(sent, 200), 2.0) == []
    assert machine.deadlines == {Timer.K: 6.0}
    assert run(machine, 6.0) == []
    assert machine.state is State.TERMINATED


def test_timer_k_is_zero_over_reliable_transports__rfc3261_17_1_2_2__trap10() -> None:
    machine, sent = client_request(TCP)
    machine.receive(reply(sent, 200), 1.0)
    assert machine.state is State.TERMINATED


# --- INVITE server ------------------------------------------------------------------------------------------------


def server_invite(reliable: bool) -> tuple[ServerInvite, Request]:
    return ServerInvite(reliable, TIMES), invite()


def answer(machine: ServerInvite | ServerRequest, received: Request, status: int, at: float) -> list[Action]:
    return machine.respond(status, pack(reply(received, status)), at)


def test_repeated_invite_gets_the_latest_provisional__rfc3261_17_2_1() -> None:
    machine, received = server_invite(UDP)
    assert machine.receive(received, 0.0) == []
    answer(machine, received, 100, 0.0)
    answer(machine, received, 180, 1.0)
    again = machine.receive(received, 2.0)
    assert kinds(again) == ["again"]
    assert isinstance(again[0], Send)
    assert again[0].packet.summary.startswith("180")
    assert machine.deadline() is None


def test_timer_g_repeats_a_refusal_until_timer_h__rfc3261_17_2_1__trap6() -> None:
    machine, received = server_invite(UDP)
    assert kinds(answer(machine, received, 486, 0.0)) == ["send"]
    times = [0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5]
    assert run(machine, 100) == [*((at, "again") for at in times), (32.0, "gave up timeout")]
    assert machine.state is State.TERMINATED


def test_reliable_refusal_is_sent_once_and_timer_h_still_runs__rfc3261_17_2_1__trap10() -> None:
    machine, received = server_invite(TCP)
    answer(machine, received, 486, 0.0)
    assert run(machine, 100) == [(32.0, "gave up timeout")]


def test_ack_confirms_a_refusal_and_timer_i_absorbs_stray_acks__rfc3261_17_2_1__trap6() -> None:
    machine, received = server_invite(UDP)
    answer(machine, received, 486, 0.0)
    assert kinds(machine.receive(request("ACK"), 1.0)) == ["up ACK"]
    assert machine.deadlines == {Timer.I: 6.0}
    assert machine.receive(request("ACK"), 2.0) == []
    assert machine.receive(received, 2.0) == []
    assert run(machine, 10.0) == []
    assert machine.state is State.TERMINATED


def test_timer_i_is_zero_over_reliable_transports__rfc3261_17_2_1__trap10() -> None:
    machine, received = server_invite(TCP)
    answer(machine, received, 486, 0.0)
    machine.receive(request("ACK"), 1.0)
    assert machine.state is State.TERMINATED


@pytest.mark.parametrize("reliable", [UDP, TCP])
def test_accepted_absorbs_repeated_invites_until_timer_l__rfc6026_7_1__trap4(reliable: bool) -> None:
    machine, received = server_invite(reliable)
    assert kinds(answer(machine, received, 200, 0.0)) == ["send"]
    assert machine.state is State.ACCEPTED
    assert machine.receive(received, 1.0) == []
    assert kinds(answer(machine, received, 200, 1.0)) == ["again"]  # the user repeats its 2xx through the transaction
    assert answer(machine, received, 486, 1.0) == []
    assert run(machine, 31.9) == []
    assert machine.deadline() == 32.0
    run(machine, 32.0)
    assert machine.receive(received, 33.0) == []
    assert machine.deadline() is None


def test_a_provisional_after_a_final_is_not_sent__rfc3261_17_2_1() -> None:
    machine, received = server_invite(UDP)
    answer(machine, received, 486, 0.0)
    assert answer(machine, received, 180, 1.0) == []
    assert answer(machine, received, 200, 1.0) == []


# --- other servers ------------------------------------------------------------------------------------------------


def test_repeated_request_gets_the_stored_final_until_timer_j__rfc3261_17_2_2__trap7() -> None:
    received = request("BYE", to_tag="x")
    machine = ServerRequest(UDP, TIMES, 0.0)
    assert machine.receive() == []  # TRYING: nothing to repeat yet
    first = answer(machine, received, 200, 1.0)[0]
    again = machine.receive()[0]
    assert isinstance(first, Send)
    assert isinstance(again, Send)
    assert (again.packet.data, again.repeated) == (first.packet.data, True)
    assert machine.deadlines == {Timer.J: 33.0}
    assert run(machine, 40.0) == []
    assert (machine.state, machine.receive()) == (State.TERMINATED, [])


def test_timer_j_is_zero_over_reliable_transports__rfc3261_17_2_2__trap10() -> None:
    machine = ServerRequest(TCP, TIMES, 0.0)
    answer(machine, request("BYE"), 200, 1.0)
    assert machine.state is State.TERMINATED


@pytest.mark.parametrize("reliable", [UDP, TCP])
def test_an_unanswered_request_ends_in_silence_and_never_in_408__rfc4320_4_2__trap8(reliable: bool) -> None:
    machine = ServerRequest(reliable, TIMES, 0.0)
    assert run(machine, 100) == []
    assert machine.state is State.TERMINATED


def test_only_the_first_final_counts__rfc3261_17_2_2() -> None:
    machine = ServerRequest(UDP, TIMES, 0.0)
    answer(machine, request("INFO"), 200, 1.0)
    assert answer(machine, request("INFO"), 500, 2.0) == []
