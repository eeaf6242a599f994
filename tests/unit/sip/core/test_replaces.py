"""INVITEs with Replaces: which session they name, and which cannot be had (RFC 3891 3)."""

from __future__ import annotations

import pytest

from sip.core.commands import SendProvisional
from sip.core.events import InviteReceived
from sip.core.replaces import Replacing
from sip.message import Request
from tests.support.core import (
    CALL,
    Core,
    be_called,
    be_called_and_answer,
    dial,
    dial_and_answer,
    dial_and_ring,
    invite,
    request,
    to_tag,
)


def core_with_call() -> tuple[Core, str]:
    core = Core(extensions=[Replacing()])
    return core, to_tag(be_called_and_answer(core))


def take_over(*values: str) -> Request:
    headers = [("Replaces", value) for value in values]
    return invite(call_id="new", branch="z9hG4bKnew", from_tag="newtag", headers=headers)


def named(tag: str, *more: str, peer: str = "alicetag", call_id: str = "call-1@192.0.2.77") -> str:
    return ";".join((call_id, f"to-tag={tag}", f"from-tag={peer}", *more))


def test_the_whole_dialog_must_match__rfc3891_3_trap_37() -> None:
    core, tag = core_with_call()
    first = core.session
    for wrong in (named("x"), named(tag, peer="x"), named(tag, call_id="x"), named("alicetag", peer=tag)):
        core.give(take_over(wrong))
        assert core.statuses() == [481]
    core.give(take_over(named(tag)))
    event = core.event()
    assert isinstance(event, InviteReceived)
    assert event.replaces == first


def test_early_only_does_not_take_a_confirmed_dialog__rfc3891_3() -> None:
    core, tag = core_with_call()
    core.give(take_over(named(tag, "early-only")))
    assert core.statuses() == [486]


def test_a_dialog_that_was_ended_is_declined__rfc3891_3() -> None:
    core, tag = core_with_call()
    core.give(request("BYE", branch="z9hG4bKbye", cseq=2, to_tag=tag))
    core.sent()
    core.give(take_over(named(tag)))
    assert core.statuses() == [603]


def test_an_early_dialog_of_the_peer_cannot_be_replaced__rfc3891_3() -> None:
    core = Core(extensions=[Replacing()])
    be_called(core)
    core.do(SendProvisional(core.session, 180))
    tag = to_tag(core.sent_response())
    core.give(take_over(named(tag)))
    assert core.statuses() == [481]


def test_an_early_dialog_of_ours_can_be_replaced__rfc3891_3() -> None:
    core = Core(extensions=[Replacing()])
    sent = dial_and_ring(core)
    mine = (sent.headers.get("From") or "").partition(";tag=")[2]
    core.give(take_over(named(mine, "early-only", peer="bobtag", call_id=sent.headers.get("Call-ID") or "")))
    event = core.event()
    assert isinstance(event, InviteReceived)
    assert event.replaces == CALL


def test_a_call_of_ours_can_be_replaced__rfc3891_3() -> None:
    core = Core(extensions=[Replacing()])
    sent = dial_and_answer(core)
    mine = (sent.headers.get("From") or "").partition(";tag=")[2]
    core.give(take_over(named(mine, peer="bobtag", call_id=sent.headers.get("Call-ID") or "")))
    event = core.event()
    assert isinstance(event, InviteReceived)
    assert event.replaces == CALL


@pytest.mark.parametrize("values", [("broken",), ("a;to-tag=1;from-tag=2", "a;to-tag=1;from-tag=2")])
def test_what_cannot_be_read_is_refused__rfc3891_3(values: tuple[str, ...]) -> None:
    core, _ = core_with_call()
    core.give(take_over(*values))
    assert core.statuses() == [400]


def test_that_we_can_is_said_in_the_answer__rfc3891_4() -> None:
    core = Core(extensions=[Replacing()])
    answer = be_called_and_answer(core)
    assert "replaces" in answer.headers.values("Supported")
    assert "replaces" in dial(core).headers.values("Supported")


def test_an_invite_without_replaces_replaces_nothing() -> None:
    core, _ = core_with_call()
    core.give(invite(call_id="new", branch="z9hG4bKnew", from_tag="newtag"))
    event = core.event()
    assert isinstance(event, InviteReceived)
    assert event.replaces is None
