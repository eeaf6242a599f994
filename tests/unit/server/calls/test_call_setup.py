"""How long it may take until a call is one: an INVITE is of worth for a while only (RFC 3261 13.3.1, 20.19)."""

from __future__ import annotations

import pytest

from server.calls.records import By, Cause
from sip.core import commands
from tests.unit.server.calls.bench import ACTION, ONE, Bench, dial

LONG = f'action="{ACTION}" timeout="600"'


def expiring(value: str, document: str = dial(ONE, LONG)) -> Bench:
    return Bench(document, invite_headers=(("Expires", value),))


def test_an_invite_that_expires_unanswered_is_487__rfc3261_13_3_1() -> None:
    bench = expiring("30")
    bench.progress(0)
    bench.run(29.0)
    assert bench.order() == ["180", "INVITE"]
    bench.run(1.5)
    assert bench.order() == ["180", "INVITE", "CANCEL", "487"]
    assert bench.action["DialCallStatus"] == "canceled"
    record = bench.records[-1].ended
    assert (record.cause, record.by, record.sip_status) == (Cause.CANCELED, By.TIMER, 487) and "expired" in record.text


@pytest.mark.parametrize("document", ['<Response><Pause length="60"/></Response>', "<Response><Redirect>/slow</Redirect></Response>"])
def test_whatever_runs_an_unanswered_invite_expires(document: str) -> None:
    bench = Bench(document, invite_headers=(("Expires", "5"),), before=lambda bench: setattr(bench.web, "delay_s", 60.0))
    bench.run(6.0)
    assert [reject.status for reject in bench.of(commands.SendReject)] == [487]


def test_an_answered_call_does_not_expire__rfc3261_13_3_1() -> None:
    bench = expiring("30")
    bench.answer(0)
    bench.run(600.0)
    assert not bench.of(commands.SendReject) and not bench.of(commands.SendBye) and bench.engine.bridges


@pytest.mark.parametrize("value", ["", "soon", "-1", "30;x=1", "１２", "99999999999", "4294967295"])
def test_what_is_no_time_or_a_very_long_one_does_not_end_the_call(value: str) -> None:
    bench = expiring(value)
    bench.run(500.0)
    assert bench.order() == ["180", "INVITE"]
