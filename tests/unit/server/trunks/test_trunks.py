"""All trunks together: settings that change, who is passed over, what the metrics are told."""

from __future__ import annotations

import random

from server.trunks.trunks import Trunks
from sip.core.commands import SendOutOfDialog
from tests.unit.server.trunks.answering import FLOW, GATEWAY, OURS, SECOND, account, answer, sent, silence

CONTACT = ("Contact", "<sip:line1@192.0.2.1:5060>;expires=600")


def trunks() -> Trunks:
    return Trunks(OURS, random.Random(1).randbytes)


def questions(those: Trunks, now: float) -> list[SendOutOfDialog]:
    return [action for action in those.timeout(now) if isinstance(action, SendOutOfDialog)]


def test_a_dead_place_is_passed_over_until_it_answers__behaviour_8() -> None:
    those = trunks()
    those.configure([account(places=(GATEWAY, SECOND), options_s=30.0, registrars=())], 0.0)
    first, second = questions(those, 2.0)
    those.answered(silence(first), 34.0)
    those.answered(answer(second, 200), 34.0)
    assert (those.dead(GATEWAY), those.dead(SECOND)) == ("no answer to OPTIONS", None)
    assert those.dead("sip:elsewhere.example.com") is None
    assert sorted(those.states()) == [("carrier", GATEWAY, False), ("carrier", SECOND, True)]
    (again,) = questions(those, 49.0)
    those.answered(answer(again, 200), 49.0)
    assert those.dead(GATEWAY) is None


def test_a_trunk_that_comes_back_is_registered_at_anew() -> None:
    those = trunks()
    register = sent(those.configure([account(options_s=30.0)], 0.0))
    those.answered(answer(register, 200, CONTACT), 0.0)
    (ask,) = questions(those, 2.0)
    those.answered(silence(ask), 34.0)
    (ask,) = questions(those, 49.0)
    assert sent(those.answered(answer(ask, 200), 49.0)).method == "REGISTER"


def test_settings_leave_alone_what_stays_the_same_and_leave_what_goes() -> None:
    those = trunks()
    register = sent(those.configure([account()], 0.0))
    those.answered(answer(register, 200, CONTACT), 0.0)
    assert those.configure([account()], 1.0) == []
    assert those.states() == [("carrier", "", True)]
    commands = [action for action in those.configure([account(user="line2")], 2.0) if isinstance(action, SendOutOfDialog)]
    assert [(one.headers[0][1], one.from_uri) for one in commands] == [
        ("0", "sip:line1@carrier.example"),
        ("3600", "sip:line2@carrier.example"),
    ]
    assert commands[0].call_id != commands[1].call_id
    assert those.busy
    those.answered(answer(commands[0], 200), 2.1)
    assert not those.busy


def test_what_is_no_trunks_of_ours_changes_nothing() -> None:
    those = trunks()
    register = sent(those.configure([account()], 0.0))
    other = trunks()
    stray = sent(other.configure([account(trunk="x")], 0.0))
    those.answered(answer(register, 200, CONTACT), 0.0)
    those.answered(silence(stray), 1.0)
    assert those.connection_lost(FLOW, 1.0) != []
    assert those.next_deadline() is None, "it is being registered"


def test_without_trunks_nothing_is_due() -> None:
    those = trunks()
    assert those.configure([], 0.0) == []
    assert (those.next_deadline(), those.states(), those.busy) == (None, [], False)
