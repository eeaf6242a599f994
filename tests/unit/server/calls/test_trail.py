"""A Dial that leads back to one of our own numbers: a loop is refused, a spiral is served (RFC 3261 6, 16.3; RFC 5393)."""

from __future__ import annotations

import pytest

from server.calls.policy import Application
from server.calls.trail import HEADER, header_of, mark_of, trail_of
from sip.core import commands
from sip.message import Headers
from tests.support.descriptions import sdp
from tests.unit.server.calls.bench import VOICE, Bench, dial

SELF = "<Sip>sip:2222@192.0.2.1</Sip>"


def trails(bench: Bench) -> list[str]:
    return [dict(invite.headers)[HEADER] for invite in bench.of(commands.SendInvite)]


def test_every_invite_of_a_dial_carries_the_numbers_that_led_to_it() -> None:
    bench = Bench(dial(2 * SELF))
    mark = mark_of("ID1", "2222", "bob")
    assert trails(bench) == [mark, mark]
    before = "0123456789ab"
    assert trails(Bench(dial(SELF), invite_headers=((HEADER, before),))) == [f"{before},{mark}"]


def test_a_call_that_comes_back_to_the_same_number_is_482__rfc3261_16_3() -> None:
    (trail,) = trails(Bench(dial(SELF)))
    back = Bench(dial(SELF), invite_headers=((HEADER, trail),))
    assert back.order() == ["482"] and not back.of(commands.SendInvite)
    (told,) = back.notifications
    assert told.code == 12200 and "2222" in told.message and not back.web.requests


@pytest.mark.parametrize("change", [{"caller": "<sip:carol@192.0.2.7>;tag=1"}, {"application": Application("3333", VOICE, dialled="3333")}])
def test_a_spiral_to_another_number_or_for_another_caller_is_served__rfc3261_6(change: dict[str, object]) -> None:
    (trail,) = trails(Bench(dial(SELF)))
    again = Bench(dial(SELF), invite_headers=((HEADER, trail),), **change)  # type: ignore[arg-type]
    assert again.order() == ["180", "INVITE"] and len(trails(again)[0].split(",")) == 2


def test_a_spiral_has_an_end__setting_max_passages() -> None:
    marks = [f"{number:012x}" for number in range(4)]
    for count, order in ((3, ["180", "INVITE"]), (4, ["482"])):
        bench = Bench(dial(SELF), invite_headers=((HEADER, ",".join(marks[:count])),), max_passages=3)
        assert bench.order() == order, count


def test_the_trail_is_not_the_applications_and_the_numbers_in_it_cannot_be_read() -> None:
    bench = Bench(dial(SELF), invite_headers=((HEADER, "0123456789ab"), ("X-Own", "1")))
    (told,) = bench.web.of("voice")
    assert [name for name in told if name.startswith("SipHeader_")] == ["SipHeader_X-Own"]
    assert "2222" not in trails(bench)[0]


def test_a_leg_that_calls_for_itself_later_keeps_its_trail() -> None:
    bench = Bench(dial(SELF))
    bench.answer(0, sdp("192.0.2.8"))
    bench.web.pages["http://app/other"] = dial(SELF, "")
    bench.act(bench.registry.redirect(bench.leg(0), Application("x", "http://app/other"), bench.now))
    bench.run(0.5)
    assert trails(bench) == 2 * [mark_of("ID1", "2222", "bob")]


@pytest.mark.parametrize("value", ["", "nonsense", "<script>", "0123", ",,,"])
def test_what_is_no_trail_is_none(value: str) -> None:
    assert trail_of(Headers([(HEADER, value)])) == () and header_of(()) == ()


def test_a_trail_may_stand_in_several_fields_and_is_bounded() -> None:
    assert trail_of(Headers([(HEADER, "0123456789AB"), (HEADER.lower(), "ba9876543210")])) == ("0123456789ab", "ba9876543210")
    assert len(trail_of(Headers([(HEADER, ",".join(f"{number:012x}" for number in range(500)))]))) == 64
