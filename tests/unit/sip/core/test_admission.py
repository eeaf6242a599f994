"""Who has no room for a call says so at once, and keeps nothing (RFC 3261 8.2.7, 21.5.4)."""

from __future__ import annotations

from collections.abc import Hashable

from sip.core.commands import SendAnswer
from sip.core.events import Dropped, InviteReceived, ReinviteReceived, Traced
from sip.core.flows import Transmit
from tests.support.core import ALL_ZERO, ANSWER, OFFER, Core, be_called_and_answer, invite, request, to_tag


class Asked:
    def __init__(self) -> None:
        self.lets_in = True
        self.calls: list[Hashable] = []

    def admits(self, call: Hashable, now: float) -> bool:
        self.calls.append(call)
        return self.lets_in


def asked_core() -> tuple[Core, Asked]:
    asked = Asked()
    return Core(admission=asked), asked


def test_a_refused_invite_gets_one_503_with_retry_after_and_leaves_nothing__rfc3261_21_5_4() -> None:
    core, asked = asked_core()
    asked.lets_in = False
    core.give(invite())
    refusal = core.sent_response()  # no 100 before it
    assert refusal.status == 503
    assert 10 <= int(refusal.headers.get("Retry-After") or "") <= 20
    assert core.events() == []
    assert core.endpoint.counts() == ALL_ZERO and core.endpoint.next_deadline() is None
    core.give(request("ACK", to_tag=to_tag(refusal)))
    assert core.statuses() == []
    assert (core.all(Dropped), core.all(Traced)) == ([], [])  # nobody is told of each; its ACK is known


def test_copies_get_the_same_octets_and_callers_come_back_at_different_times__rfc3261_8_2_7() -> None:
    core, asked = asked_core()
    asked.lets_in = False
    for _ in range(2):
        core.give(invite())
    first, second = core.all(Transmit)
    assert first.data == second.data
    assert asked.calls[0] == asked.calls[1]
    for number in range(50):
        core.give(invite(call_id=f"call{number}", branch=f"z9hG4bK{number}"))
    later = {line for one in core.all(Transmit) for line in one.data.split(b"\r\n") if line.startswith(b"Retry-After")}
    assert len(later) > 5
    assert len(set(asked.calls)) == 51


def test_what_belongs_to_a_call_that_is_up_is_served_as_ever() -> None:
    core, asked = asked_core()
    answer = be_called_and_answer(core)
    asked.lets_in = False
    tag = to_tag(answer)
    core.give(request("INVITE", branch="z9hG4bKre", cseq=2, to_tag=tag, body=OFFER))
    assert isinstance(core.event(), ReinviteReceived)
    core.sent()
    core.give(request("BYE", branch="z9hG4bKbye", cseq=3, to_tag=tag))
    assert 200 in core.statuses()
    assert len(asked.calls) == 1


def test_a_copy_of_an_invite_that_was_let_in_belongs_to_its_call() -> None:
    core, asked = asked_core()
    core.give(invite())
    asked.lets_in = False
    core.give(invite())
    assert core.statuses() == [100, 100]
    assert len(core.all(InviteReceived)) == 1
    core.do(SendAnswer(core.session, ANSWER))
    assert core.statuses() == [200]


def test_a_caller_who_is_known_already_keeps_what_was_said_to_it() -> None:
    """Its next INVITE is let in, and who looks at the call sees why there were others before it."""
    core, asked = asked_core()
    core.give(invite(headers=[("Require", "foo")]))
    assert core.statuses() == [420]
    asked.lets_in = False
    core.give(invite(cseq=2, branch="z9hG4bK2"))
    asked.lets_in = True
    core.give(invite(cseq=3, branch="z9hG4bK3"))
    (received,) = core.all(InviteReceived)
    assert [one.summary.split()[0] for one in received.traces] == ["INVITE", "420", "INVITE", "INVITE", "100"]


def test_options_are_answered_all_the_same() -> None:
    core, asked = asked_core()
    asked.lets_in = False
    core.give(request("OPTIONS"))
    assert core.statuses() == [200]
    assert asked.calls == []
