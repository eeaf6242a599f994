"""What becomes of the nouns of a Dial (behaviour 2.4, 2.7)."""

from __future__ import annotations

import pytest

from sip.core import commands
from tests.unit.server.calls.bench import ACTION, ONE, Bench, dial


def nouns(count: int) -> str:
    kinds = (
        '<Sip statusCallback="/leg">sip:sip{n}@192.0.2.8</Sip>',
        '<Number statusCallback="/leg">555{n:04}</Number>',
        '<Uri url="/screen" statusCallback="/leg">sip:uri{n}@192.0.2.9?n={n}</Uri>',
        '<Number sendDigits="1" statusCallback="/leg">556{n:04}?n={n}</Number>',
    )
    return "".join(kinds[n % len(kinds)].format(n=n) for n in range(count))


def test_a_mixed_fork_of_twelve_rings_all_at_once__behaviour_2_4_2_7_2_11() -> None:
    bench = Bench(dial(nouns(12) + "<Client>ghost</Client>"))
    invites = bench.of(commands.SendInvite)
    assert [invite.request_uri.split("@")[0] for invite in invites] == [
        uri for n in range(0, 12, 4) for uri in (f"sip:sip{n}", f"sip:555{n + 1:04}", f"sip:uri{n + 2}", f"sip:556{n + 3:04}")
    ]
    assert [dict(invite.headers).get("X-n") for invite in invites] == [f"{n}" if n % 4 > 1 else None for n in range(12)]
    assert [item.code for item in bench.notifications] == [11008]  # of the Client, which fails alone
    for leg in range(11):
        bench.progress(leg)
    bench.answer(4)
    assert len(bench.of(commands.SendCancel)) == 11 and len(bench.engine.bridges) == 1
    told = [parameters["CallStatus"] for parameters in bench.web.of("leg-status")]
    assert {event: told.count(event) for event in told} == {"initiated": 12, "ringing": 11, "answered": 1, "completed": 11}
    bench.bye_from(bench.leg(4))
    assert bench.action["DialCallSid"] == str(bench.leg(4))


def test_each_branch_has_its_share_of_the_breadth__rfc5393_5_3_3() -> None:
    bench = Bench(dial(nouns(12)))
    assert {dict(invite.headers)["Max-Breadth"] for invite in bench.of(commands.SendInvite)} == {"5"}


@pytest.mark.parametrize("name", ["Sip", "Uri"])
def test_uri_is_sip_by_its_old_name__behaviour_2_4(name: str) -> None:
    bench = Bench(dial(f'<{name} username="a" password="b">sip:x@192.0.2.8;transport=tcp?foo=bar</{name}>'))
    (invite,) = bench.of(commands.SendInvite)
    assert invite.request_uri == "sip:x@192.0.2.8;transport=tcp"
    assert ("X-foo", "bar") in invite.headers
    assert invite.credentials == commands.Credentials("a", "b")


def test_no_noun_that_can_be_called_ends_the_dial_with_the_first_reason__behaviour_4_3() -> None:
    bench = Bench(dial("<Client>a</Client><Client>b</Client>"))
    bench.run(0.1)
    assert bench.action["DialCallStatus"] == "failed" and "DialCallSid" not in bench.action
    assert bench.order() == ["180", "404"]


def test_one_that_can_be_called_is_reported_before_those_that_cannot__behaviour_3_3() -> None:
    bench = Bench(dial("<Client>a</Client>" + ONE, f'action="{ACTION}"'))
    bench.fail(0, 486)
    assert bench.action["DialCallStatus"] == "busy"
