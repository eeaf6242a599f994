"""Any octets, in any state, leave the endpoint running, and what it says is SIP.

Hypothesis interleaves real messages of a live session, mutations of them, plain noise, commands, lost connections and time. At the
end the user lets go of everything: each session has ended exactly once and nothing is left.
"""

from __future__ import annotations

import contextlib
from collections import Counter

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from sip.core.commands import (
    AnswerRequest,
    Command,
    Credentials,
    SendAnswer,
    SendBye,
    SendCancel,
    SendProvisional,
    SendReinvite,
    SendReject,
    SendRequest,
    SessionId,
)
from sip.core.events import Direction, InviteAnswered, InviteFailed, InviteReceived, ReinviteReceived, RequestReceived, SessionEnded, Traced
from sip.core.flows import Address, Flow, Target, Transmit
from sip.message import ParseError, Request, Response, UsageError, build_message, parse_message
from tests.support.core import ALL_ZERO, OFFER, OURS, PEER, TCP, UDP, Core, call, reply, request

pytestmark = pytest.mark.fuzz

METHODS = ("INVITE", "ACK", "BYE", "CANCEL", "OPTIONS", "INFO", "UPDATE", "REGISTER", "FOO")
STATUSES = (100, 180, 183, 200, 202, 302, 401, 407, 408, 481, 486, 487, 491, 500, 503, 600)
PIECES = (
    b"\r\n", b"\r\n\r\n", b"\x00", b"\xff\xfe", b",", b";", b'"', b"<", b">", b" ", b"=", b"Via: SIP/2.0/UDP x;branch=z9hG4bKx\r\n",
    b"Contact: *\r\n", b"Record-Route: <sip:192.0.2.9;lr>\r\n", b"Record-Route: nonsense\r\n", b"Require: foo\r\n",
    b"Content-Length: 7\r\n",
    b"Route: <<>>\r\n", b"CSeq: 99999999999 INVITE\r\n", b"Max-Forwards: 0\r\n", b"WWW-Authenticate: Digest realm=\"r\", nonce=\"n\"\r\n",
    b"Content-Disposition: x;handling=optional\r\n", b"To: <sip:a@b>;tag=\r\n", b";received=10.0.0.1;rport=5;rport", b"[::1]", b"sips:",
    b"tel:+1", b"0" * 70, b"%41", b"\xc3\xbc",
)  # fmt: skip

Mutation = tuple[int, int, int]  # (kind, where, what)
Step = tuple[str, object, int, list[Mutation]]
mutations = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 10_000), st.integers(0, 255)), max_size=4)
steps = st.one_of(
    st.tuples(st.just("request"), st.sampled_from(METHODS), st.integers(0, 3), mutations),
    st.tuples(st.just("response"), st.sampled_from(STATUSES), st.integers(0, 5), mutations),
    st.tuples(st.just("replay"), st.integers(0, 50), st.integers(0, 1), mutations),
    st.tuples(st.just("command"), st.integers(0, 10), st.integers(0, 3), st.just([])),
    st.tuples(st.just("time"), st.integers(0, 40), st.integers(0, 0), st.just([])),
    st.tuples(st.just("noise"), st.binary(max_size=60), st.integers(0, 1), st.just([])),
    st.tuples(st.just("network"), st.integers(0, 3), st.integers(0, 3), st.just([])),
)


def mutate(data: bytes, plan: list[Mutation]) -> bytes:
    for kind, where, what in plan:
        at = where % (len(data) + 1)
        match kind:
            case 0:
                data = data[:at] + bytes([what]) + data[at + 1 :]
            case 1:
                data = data[:at] + data[at + what :]
            case 2:
                data = data[:at] + PIECES[what % len(PIECES)] + data[at:]
            case 3:  # a line twice, or one of ours as a header of its own
                lines = data.split(b"\r\n")
                lines.insert(1 + where % len(lines), lines[what % len(lines)])
                data = b"\r\n".join(lines)
            case _:
                lines = data.split(b"\r\n")
                lines[1 + where % len(lines) : 1 + where % len(lines)] = [PIECES[what % len(PIECES)].rstrip(b"\r\n")]
                data = b"\r\n".join(lines)
    return data


def check_sip(data: bytes, stream: bool) -> None:
    """What we say parses; only the refusal of a broken request may repeat, as they came, the fields that break it."""
    try:
        parse_message(data, stream=stream)
    except ParseError as error:
        status = int(data[8:11]) if data.startswith(b"SIP/2.0 ") else 0
        assert status in (400, 413, 505, 513), data
        assert error.field in ("Via", "From", "To", "Call-ID", "CSeq"), data


class Game:
    def __init__(self) -> None:
        self.core = Core()
        self.heard: list[bytes] = []  # what the peer has said so far
        self.calls = 0

    def play(self, step: Step) -> None:
        core = self.core
        match step:
            case ("request", str(method), variant, plan):
                self._say(build_message(self._request(method, variant)), TCP if variant == 3 else UDP, plan)
            case ("response", int(status), which, plan):
                requests = [one for one in self._sent() if isinstance(one, Request)]
                if requests:
                    answer = reply(requests[-1 - which % len(requests)], status, tag=("bobtag", "fork")[which % 2])
                    self._say(build_message(answer), UDP, plan)
            case ("replay", int(which), stream, plan):
                if self.heard:
                    self._say(self.heard[which % len(self.heard)], TCP if stream else UDP, plan)
            case ("command", int(which), variant, _):
                self._command(which, variant)
            case ("time", int(seconds), _, _):
                core.pass_time(seconds)
            case ("noise", bytes(data), stream, _):
                self._say(data, TCP if stream else UDP, [])
            case ("network", int(which), variant, _):
                if which == 0:
                    core.lose(TCP)
                elif which == 1:
                    core.fail(Flow(("udp", "tcp")[variant % 2], OURS, PEER))
                else:
                    for query in range(1, 60):
                        targets = (Target("udp", PEER), Target("tcp", PEER))[: variant % 3]
                        core._take(core.endpoint.resolved(query, targets, core.now))
            case _:
                raise AssertionError(step)

    def finish(self) -> None:
        """The user hangs up, the network is repaired, time goes by."""
        core = self.core
        for event in list(self._live()):
            for command in (SendBye(event), SendCancel(event), SendReject(event, 500)):
                with contextlib.suppress(UsageError):  # the other kind of session
                    core.do(command)
        for connection in list(core.endpoint._context.connections.values()):
            core.lose(connection.flow)
        for query in list(core.endpoint._deliveries.queries):
            core._take(core.endpoint.resolved(query, (), core.now))
        core.pass_time(400)
        for query in list(core.endpoint._deliveries.queries):  # of BYEs that timers have sent meanwhile
            core._take(core.endpoint.resolved(query, (), core.now))
        core.pass_time(400)

    def judge(self) -> None:
        core = self.core
        for transmit in core.all(Transmit):
            if transmit.data != b"\r\n":
                check_sip(transmit.data, transmit.flow.reliable)
        ends = Counter(one.session for one in core.all(InviteFailed)) + Counter(one.session for one in core.all(SessionEnded))
        begun = Counter(one.session for one in core.all(InviteReceived)) + Counter(SessionId(f"c{n}") for n in range(self.calls))
        assert ends == begun, "each session ends exactly once"
        over: set[SessionId] = set()
        for _, output in core.out:
            session = getattr(output, "session", None)
            if isinstance(output, (Traced, Transmit)) or session is None:
                continue
            assert session not in over, f"{output} after the end"
            if isinstance(output, (InviteFailed, SessionEnded)):
                over.add(session)
        assert core.endpoint.counts() == ALL_ZERO
        assert core.endpoint.next_deadline() is None
        answers = sum(1 for one in core.all(Traced) if one.direction is Direction.OUT and " (ACK)" in one.summary)
        assert answers == 0, "an ACK is never answered"

    # --- what the peer says ---------------------------------------------------------------------------------------

    def _say(self, data: bytes, flow: Flow, plan: list[Mutation]) -> None:
        data = mutate(data, plan)
        if len(self.heard) < 200:
            self.heard.append(data)
        self.core.give(data, flow)
        if flow is TCP and any(type(output).__name__ == "CloseConnection" for _, output in self.core.out[-3:]):
            self.core.lose(TCP)

    def _sent(self) -> list[Request | Response]:
        found: list[Request | Response] = []
        for _, output in self.core.out:
            if isinstance(output, Transmit) and output.data != b"\r\n":
                with contextlib.suppress(ParseError):  # see check_sip
                    found.append(parse_message(output.data))
        return found

    def _request(self, method: str, variant: int) -> Request:
        responses = [one for one in self._sent() if isinstance(one, Response)]
        requests = [one for one in self._sent() if isinstance(one, Request)]
        number = len(self.heard)
        if variant == 1 and responses:  # inside the dialog of a call that the peer made
            to = responses[-1].headers.get("To") or ""
            call_id = responses[-1].headers.get("Call-ID") or ""
            tag = to.partition(";tag=")[2] or None
            return request(method, branch=f"z9hG4bKg{number}", cseq=number + 1, to_tag=tag, call_id=call_id, body=OFFER)
        if variant == 2 and requests:  # inside the dialog of a call of ours
            ours = requests[-1].headers
            tag = (ours.get("From") or "").partition(";tag=")[2]
            return request(
                method, branch=f"z9hG4bKg{number}", cseq=number + 1, from_tag="bobtag", to_tag=tag, call_id=ours.get("Call-ID") or ""
            )
        return request(method, branch=f"z9hG4bKg{number // 2}", call_id=f"g{number // 2}", body=OFFER if method == "INVITE" else b"")

    # --- what the user does ---------------------------------------------------------------------------------------

    def _live(self) -> list[SessionId]:
        return list(self.core.endpoint._core.sessions)

    def _command(self, which: int, variant: int) -> None:
        core = self.core
        live = self._live()
        if which == 0:
            uri = ("sip:bob@192.0.2.77", "sip:bob@example.org", "sip:bob@192.0.2.77;transport=tcp", "sip:bob@192.0.2.77")[variant]
            core.do(call(SessionId(f"c{self.calls}"), request_uri=uri, credentials=Credentials("u", "p")))
            self.calls += 1
            return
        if not live:
            return
        session = live[variant % len(live)]
        received: list[ReinviteReceived | RequestReceived] = [*core.all(ReinviteReceived), *core.all(RequestReceived)]
        asked = [one for one in received if one.session == session]
        commands: dict[int, Command] = {
            1: SendProvisional(session, 180),
            2: SendProvisional(session, 183, body=OFFER),
            3: SendAnswer(session, OFFER),
            4: SendReject(session, 486),
            5: SendBye(session),
            6: SendCancel(session, "SIP;cause=200"),
            7: SendReinvite(session, OFFER),
            8: SendRequest(session, "INFO"),
        }
        command = commands.get(which) or (AnswerRequest(asked[-1].transaction, (200, 488)[which % 2], body=OFFER) if asked else None)
        if command is None:
            return
        try:
            core.do(command)
        except UsageError as error:
            assert "wrong kind" in str(error)


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(st.lists(steps, max_size=30))
@example([("command", 0, 0, []), ("response", 183, 0, [(2, 40, 7)]), ("response", 200, 1, []), ("request", "BYE", 2, [])])
def test_any_datagram_in_any_state_leaves_the_endpoint_running_and_answers_sensibly(
    plan: list[Step],
) -> None:
    game = Game()
    for step in plan:
        game.play(step)
    game.finish()
    game.judge()


@settings(max_examples=300, deadline=None)
@given(mutations, st.sampled_from(METHODS), st.booleans())
def test_any_mutation_of_a_request_is_answered_dropped_or_served(plan: list[Mutation], method: str, stream: bool) -> None:
    core = Core()
    flow = Flow("tcp", OURS, Address("192.0.2.77", 40000), 7) if stream else UDP
    outputs = core.give(mutate(build_message(request(method, body=OFFER)), plan), flow)
    for output in outputs:
        if isinstance(output, Transmit) and output.data != b"\r\n":
            check_sip(output.data, stream)


def test_the_games_reach_answered_calls() -> None:
    """The same machinery with a sensible plan: fuzzing that never gets past the first INVITE would prove little."""
    game = Game()
    plan: list[Step] = [
        ("command", 0, 0, []),
        ("response", 180, 0, []),
        ("response", 200, 0, []),
        ("request", "INFO", 2, []),
        ("command", 9, 0, []),
        ("request", "INVITE", 0, []),
        ("command", 3, 1, []),
        ("request", "ACK", 1, []),
    ]
    for step in plan:
        game.play(step)
    core = game.core
    assert core.all(InviteAnswered)
    assert core.all(RequestReceived)
    assert core.all(InviteReceived)
    game.finish()
    game.judge()
